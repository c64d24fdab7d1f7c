"""One picture that is searched, and what a search finds."""

import math
from dataclasses import dataclass

import torch

from hcdcodec.engine.engine import Task
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
    task: Task
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
    """Round to the grid.

    Args:
        lr: (C, h, w) float32 in [0, 1], C = 1 or 3.
        grid: allowed levels.

    Returns:
        The nearest allowed values, float32 in [0, 1], exactly k / 255.
    """
    levels, steps = lr.mul(255), _steps(lr, grid)
    multiples = levels.div(steps).round_().mul_(steps).clamp_(0, 255)
    # Where no multiple is 255, white is a level of its own, closer to the last multiple than a step.
    last = torch.div(255, steps, rounding_mode="floor").mul_(steps)
    return torch.where(2 * levels > last + 255, 255, multiples).div_(255)


@dataclass(frozen=True)
class Proposal:
    """What a search offers for acceptance.

    Attributes:
        lr: (C, h, w) float32 on the grid; None = nothing was searched.
        passes: spent so far.
        rival: an earlier iterate that may turn out to cost less, in error and bits, than the proposed one.
        rival_cost: its cost in the precision of the search.
    """

    lr: torch.Tensor | None
    passes: int
    rival: torch.Tensor | None = None
    rival_cost: float = math.inf


def _steps(lr: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the grid's steps as (C, 1, 1)."""
    steps = grid.steps if lr.shape[0] == 3 else (grid.green,)
    return torch.tensor(steps, dtype=torch.float32, device=lr.device).view(-1, 1, 1)
