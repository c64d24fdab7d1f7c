"""Estimate the bits of an LR in a PNG file, with a gradient, so that the search can prefer levels that cost few bits.

PNG filters store each sample as its difference from a neighbour, and small differences take few bits. The estimate uses
the Paeth filter for all rows. Differences from the left or the upper neighbour alone gain less.

The price of a bit is a share of the picture's own error. A fixed price in levels squared would not suit all scales,
because their errors differ too much.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from hcdcodec.codec.search.step import grid_steps
from hcdcodec.format.grid import Grid

_BAND_PX = 1 << 18
Step = TypeVar("Step", float, torch.Tensor)


@dataclass(frozen=True)
class Price:
    """Lagrange multiplier: one bit is worth `per_bit * (step - 1) * error` of squared error.

    It grows with the grid step and with the picture's own error.

    Attributes:
        grid: grid of the LR.
        per_bit: share of `error` that one bit is worth, for each level by which the grid step is larger than 1.
        error: mean squared error before the search, in levels squared.
        samples: number of samples over which errors are averaged.
    """

    grid: Grid
    per_bit: float
    error: float
    samples: int

    @property
    def is_nothing(self) -> bool:
        """Tell whether bits are free."""
        return self._weight == 0

    @property
    def _weight(self) -> float:
        return bit_value(self.per_bit, self.grid.green) * self.error

    def cost(self, error: float, bits: float) -> float:
        """Return the cost of an LR: its error and the price of its bits, as mean squared error in levels squared.

        Args:
            error: its mean squared error in levels squared.
            bits: of its estimate.
        """
        return error + self._weight * bits / self.samples

    def loss(self, bits: torch.Tensor) -> torch.Tensor:
        """Return what bits cost as a summed squared error of values in [0, 1], as `bits_and_slope` has it."""
        return bits * (self._weight / 255**2)

    def bits(self, lr: torch.Tensor) -> torch.Tensor:
        """Estimate the bits of an LR, (C, h, w) on its grid: float64 scalar on the device, zero where they are free."""
        total = torch.zeros((), dtype=torch.float64, device=lr.device)
        for context, top, bottom in () if self.is_nothing else _bands(lr):
            total += estimate_bits(lr[:, context:bottom], self._steps(lr), top - context)
        return total

    def bits_and_slope(self, lr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `bits` and the gradient of their cost by the LR, as of a summed squared error of values in [0, 1]."""
        total, slope = torch.zeros((), dtype=torch.float64, device=lr.device), torch.zeros_like(lr)
        for context, top, bottom in () if self.is_nothing else _bands(lr):
            band = lr[:, context:bottom].detach().requires_grad_()
            with torch.enable_grad():
                bits = estimate_bits(band, self._steps(lr), top - context)
            slope[:, context:bottom] += torch.autograd.grad(bits, band)[0]
            total += bits.detach()
        return total, slope.mul_(self._weight / 255**2)

    def _steps(self, lr: torch.Tensor) -> torch.Tensor:
        return grid_steps(self.grid, lr.shape[0], lr.device)


def bit_value(per_bit: float, step: Step) -> Step:
    """Return what a bit in a picture of one sample is worth, as a share of the picture's error.

    Args:
        per_bit: see `Price`.
        step: of the grid, in levels; a number, or a tensor of one for each picture.
    """
    return per_bit * (step - 1)


def estimate_bits(lr: torch.Tensor, steps: torch.Tensor, context: int = 0) -> torch.Tensor:
    """Estimate the bits that PNG takes beyond a first one for each sample; it has a gradient.

    Args:
        lr: (..., C, rows, w) in [0, 1]. What is to the left of it, and above it, is black, as in PNG.
        steps: of the grid, (C, 1, 1), or (B, 1, 1, 1) for several LRs.
        context: rows at the top that are not counted.

    Returns:
        (...) sums.
    """
    padded = torch.nn.functional.pad(lr, (1, 0, 1, 0))[..., context:, :]
    left, above = padded[..., 1:, :-1], padded[..., :-1, 1:]
    corner, here = padded[..., :-1, :-1], padded[..., 1:, 1:]
    # Paeth's filter (PNG, section 9.4): a plane through the three neighbours predicts a value. The neighbour nearest to
    # it is the prediction. Ties go to the left neighbour, then to the upper one.
    plane = left + above - corner
    to_left, to_above, to_corner = ((plane - near).abs() for near in (left, above, corner))
    paeth = torch.where(to_above <= to_corner, above, corner)
    paeth = torch.where((to_left <= to_above) & (to_left <= to_corner), left, paeth)
    return torch.log2(1 + (here - paeth).abs() * (255 / steps)).sum((-3, -2, -1))


def _bands(lr: torch.Tensor) -> Iterator[tuple[int, int, int]]:
    """Yield (first row that is read, first that is counted, end): in bands, large LRs take hardly any memory."""
    height, width = lr.shape[1:]
    rows = max(1, _BAND_PX // width)
    for top in range(0, height, rows):
        yield max(top - 1, 0), top, min(top + rows, height)
