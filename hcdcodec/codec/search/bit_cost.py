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

import torch

from hcdcodec.format.grid import Grid

_BAND_PX = 1 << 18


@dataclass(frozen=True)
class Price:
    """What bits cost.

    Attributes:
        grid: of the LR.
        per_bit: what a bit may cost in squared error, as a multiple of `error`, for each level beyond 1 in a grid's
            step: the coarser the grid, and the worse the picture, the more error is saved by a bit.
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
        return self.per_bit * (self.grid.green - 1) * self.error

    def of(self, lr: torch.Tensor) -> float:
        """Return the cost of an LR, (C, h, w) in [0, 1] and on its grid, as mean squared error in levels squared."""
        if self.is_nothing:
            return 0.0
        bits = sum(float(self._bits(lr[:, context:bottom], top - context)) for context, top, bottom in _bands(lr))
        return self._weight * bits / self.samples

    def slope(self, lr: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the cost by the LR, as of a summed squared error of values in [0, 1]."""
        slope = torch.zeros_like(lr)
        if self.is_nothing:
            return slope
        for context, top, bottom in _bands(lr):
            band = lr[:, context:bottom].detach().requires_grad_()
            with torch.enable_grad():
                slope[:, context:bottom] += torch.autograd.grad(self._bits(band, top - context), band)[0]
        return slope.mul_(self._weight / 255**2)

    def _bits(self, band: torch.Tensor, context: int) -> torch.Tensor:
        """Estimate bits beyond a first one a sample.

        Args:
            band: (C, rows, w). What is to the left of it, and above it, is black, as in PNG.
            context: rows at the top that are not counted.
        """
        padded = torch.nn.functional.pad(band, (1, 0, 1, 0))[:, context:]
        left, above, corner, here = padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1], padded[:, 1:, 1:]
        aim = left + above - corner
        to_left, to_above, to_corner = ((aim - near).abs() for near in (left, above, corner))
        paeth = torch.where(to_above <= to_corner, above, corner)
        paeth = torch.where((to_left <= to_above) & (to_left <= to_corner), left, paeth)
        steps = torch.tensor(self.grid.steps if band.shape[0] == 3 else (self.grid.green,), device=band.device)
        return torch.log2(1 + (here - paeth).abs() * (255 / steps.view(-1, 1, 1))).sum()


def _bands(lr: torch.Tensor) -> Iterator[tuple[int, int, int]]:
    """Yield (first row that is read, first that is counted, end): in bands, large LRs take hardly any memory."""
    height, width = lr.shape[1:]
    rows = max(1, _BAND_PX // width)
    for top in range(0, height, rows):
        yield max(top - 1, 0), top, min(top + rows, height)
