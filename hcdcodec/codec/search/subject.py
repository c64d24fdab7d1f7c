"""The input and the result of the search of one picture."""

from dataclasses import dataclass

import torch

from hcdcodec.codec.search.step import grid_steps, round_to_steps
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.format.grid import Grid


@dataclass(frozen=True)
class Subject:
    """One picture to search.

    Attributes:
        canvas: (C, H, W) uint8, the picture padded to the backbone's multiple.
        task: its geometry.
        grid: levels that the LR may take.
    """

    canvas: torch.Tensor
    task: TileTask
    grid: Grid

    @property
    def target(self) -> torch.Tensor:
        """Return the picture itself, (C, height, width) uint8."""
        return self.canvas[:, : self.task.height, : self.task.width]


@dataclass(frozen=True)
class Refined:
    """What a search found.

    Attributes:
        lr: (C, h, w) uint8 on the CPU, on the grid.
        passes: forward and backward passes over this picture, downscaling and acceptance included.
        error_before: mean squared error of the backbone's own LR after rounding, in levels squared.
        error: the same of `lr`; never larger.
    """

    lr: torch.Tensor
    passes: int
    error_before: float
    error: float


def quantise(lr: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Round one LR, (C, h, w) float32 in [0, 1] with C = 1 or 3, to a grid; see `round_to_steps`."""
    return round_to_steps(lr, grid_steps(grid, lr.shape[0], lr.device))
