"""Rounding that keeps the mean colour of each block.

On a coarse grid, all samples of a flat block may round the same way. Then the whole block has another colour: a tint.
The gradient cannot remove it. It pulls all samples of such a block over to the next level together, and the block gets
the opposite tint. So some samples are chosen here, those that rounding has moved farthest, and go to their other level.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from hcdcodec.codec.search.step import round_to_steps
from hcdcodec.engine.block_colour import BLOCK_PX

SCALE_MOST = 4
"""Largest scale at which tints are removed. With crn x8, a block has only 16 samples: to move them removes half of the
tints at quality 75, and costs 0.04 dB. benchmarks/results/README.md names the files."""

_TOLERABLE, _TOLERABLE_STEPS = 0.4, 0.04
"""The largest tint that stays, in levels and in steps of the grid; the larger of the two counts."""

_REMAINING = 0.7
"""Share of the largest tint that is left where a larger one is removed. Less would move more samples."""


@dataclass(frozen=True)
class UntintedRounding:
    """Rounds the next LR of a search, and removes the tints that its reconstruction would have.

    A decoder passes mean colours through. So the tint of a block is what it was, plus the change of the LR's mean.

    Attributes:
        judged: the LR before, (C, h, w) on the grid.
        residual: of its reconstruction, (C, h, w), see `LossGradient.residuals`.
        scale: HR size / LR size.
    """

    judged: torch.Tensor
    residual: torch.Tensor
    scale: int

    def __call__(self, lr: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return an LR, (C, h, w) float32 in [0, 1], on the grid with these steps, (C, 1, 1)."""
        rounded = round_to_steps(lr, steps)
        levels, exists = self._blocks(rounded * 255), self._blocks(torch.ones_like(lr)) > 0
        count = exists.sum(-1, keepdim=True)
        expected = self._blocks((self.residual + rounded - self.judged) * 255)
        tint = expected.sum(-1, keepdim=True) / count
        tolerable = (_TOLERABLE_STEPS * steps).clamp(min=_TOLERABLE)
        excess = (tint.abs() - _REMAINING * tolerable).where(tint.abs() > tolerable, 0)
        moved = levels - steps * tint.sign()
        # White may be no multiple of the step, so it stays.
        can_move = exists & (moved >= 0) & (moved <= 255) & (levels < 255)
        strayed = ((levels - self._blocks(lr * 255)) * tint.sign()).where(can_move, -torch.inf)
        rank = strayed.argsort(-1, descending=True).argsort(-1)
        is_moved = can_move & (rank < (excess * count / steps).ceil())
        return self._join(moved.where(is_moved, levels), lr.shape).div_(255)

    @property
    def _side(self) -> int:
        return BLOCK_PX // self.scale

    def _blocks(self, planes: torch.Tensor) -> torch.Tensor:
        """(C, h, w) -> (C, blocks, samples), with zeros beyond the border."""
        height, width = planes.shape[1:]
        padded = F.pad(planes, (0, -width % self._side, 0, -height % self._side))
        cells = padded.unflatten(2, (-1, self._side)).unflatten(1, (-1, self._side))
        blocks: torch.Tensor = cells.transpose(2, 3).flatten(3).flatten(1, 2)
        return blocks

    def _join(self, blocks: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """(C, blocks, samples) -> (C, h, w): the reverse of `_blocks`."""
        down, across = (-(-length // self._side) for length in shape[1:])
        cells = blocks.unflatten(2, (self._side, self._side)).unflatten(1, (down, across))
        whole: torch.Tensor = cells.transpose(2, 3).flatten(3).flatten(1, 2)
        return whole[:, : shape[1], : shape[2]]
