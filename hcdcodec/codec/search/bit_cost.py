"""What an LR costs in a PNG file, estimated with a gradient, so that the search can prefer cheap levels.

PNG filters store each sample as its difference from a neighbour's, and small differences take few bits. The estimate
takes the Paeth filter for all rows; with differences from left or upper neighbours instead, half of the gain was lost.

A bit is worth a share of the picture's own error. What one costs in errors themselves differs tenfold between scales: a
price fit for x4 made files of x2 larger at equal quality.

On the middles of six val pictures (8 steps, PSNR-RGB), bytes at equal quality by the ladder of grids fall by 2.0 % at
quality 75 and 1.3 % at 49 with crn x4, 384 pixels wide, and by 1.3 % at 75 and at 43 with crn x2 (a12f00f7), 256 wide.
Half of the price gave 1.6, 1.2, 1.0 and 0.8 %, twice the price 1.6, 2.0, 1.1 and 1.8 %.
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
    """What bits cost: one is worth `per_bit * (step - 1) * error` of squared error, a Lagrange multiplier.

    Attributes:
        grid: of the LR.
        per_bit: share of `error` that a bit may cost for each level beyond 1 in the grid's step: the coarser the grid,
            and the worse the picture, the more error is saved by a bit.
        error: mean squared error without a search, in levels squared.
        samples: over which errors are averaged.
    """

    grid: Grid
    per_bit: float
    error: float
    samples: int

    @property
    def is_nothing(self) -> bool:
        """Tell whether no LR costs anything."""
        return self._weight == 0

    @property
    def _weight(self) -> float:
        return bit_value(self.per_bit, self.grid.green) * self.error

    def cost(self, error: float, bits: float) -> float:
        """Return what an LR costs altogether, as mean squared error in levels squared.

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
    # Paeth's filter: whichever neighbour is nearest to what a plane through the three would predict.
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
