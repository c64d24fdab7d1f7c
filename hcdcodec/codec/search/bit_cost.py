"""The price of bits, so that the search can prefer levels that cost few.

The price of a bit is a share of the picture's own error. A fixed price in levels squared would not suit all scales,
because their errors differ too much. The search counts bits by a code that is fitted to each picture, see
`hcdcodec.codec.search.residual_code`. Training has many small pictures at once, and counts them by `estimate_bits`.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from hcdcodec.codec.search.residual_code import ResidualCode, fit_code, refit
from hcdcodec.codec.search.residuals import filtered
from hcdcodec.codec.search.step import grid_steps
from hcdcodec.format.grid import Grid

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
        code: by which bits are counted; None before `fitted`, and where bits are free.
    """

    grid: Grid
    per_bit: float
    error: float
    samples: int
    code: ResidualCode | None = None

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

    def fitted(self, lr: torch.Tensor) -> "Price":
        """Return the price with a code that suits an LR, (C, h, w) on its grid."""
        if self.is_nothing:
            return self
        if self.code is not None:
            return replace(self, code=refit(self.code, lr))
        return replace(self, code=fit_code(lr, grid_steps(self.grid, lr.shape[0], lr.device)))

    def bits(self, lr: torch.Tensor) -> torch.Tensor:
        """Estimate the bits of an LR, (C, h, w) on its grid: float64 scalar on the device, zero where they are free."""
        return torch.zeros((), dtype=torch.float64, device=lr.device) if self.code is None else self.code.bits(lr)

    def bits_and_slope(self, lr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `bits` and the gradient of their cost by the LR, as of a summed squared error of values in [0, 1]."""
        if self.code is None:
            return self.bits(lr), torch.zeros_like(lr)
        total, slope = self.code.bits_and_slope(lr)
        return total, slope.mul_(self._weight / 255**2)


def bit_value(per_bit: float, step: Step) -> Step:
    """Return what a bit in a picture of one sample is worth, as a share of the picture's error.

    Args:
        per_bit: see `Price`.
        step: of the grid, in levels; a number, or a tensor of one for each picture.
    """
    return per_bit * (step - 1)


def estimate_bits(lr: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Estimate in training the bits that PNG takes beyond a first one for each sample; it has a gradient.

    Args:
        lr: (..., C, rows, w) in [0, 1]. What is to the left of it, and above it, is black, as in PNG.
        steps: of the grid, (C, 1, 1), or (B, 1, 1, 1) for several LRs.

    Returns:
        (...) sums.
    """
    samples = lr * (255 / steps)
    *_, paeth = filtered(samples)
    return torch.log2(1 + (samples - paeth).abs()).sum((-3, -2, -1))
