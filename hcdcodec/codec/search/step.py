"""How a search moves and rounds an LR. Search and training share these rules, so that they cannot drift apart.

Every function takes one LR, (C, h, w), or several of one size, (B, C, h, w), and treats each of them by itself.
"""

import math
from dataclasses import dataclass

import torch

from hcdcodec.codec.search.options import Ste
from hcdcodec.format.grid import Grid

_PICTURE = (-3, -2, -1)
"""Axes of one LR."""


@dataclass(frozen=True)
class Likeness:
    """How far an LR may lie from the bicubic LR, so that it stays a picture.

    Attributes:
        bicubic_lr: (..., C, h, w) in [0, 1].
        allowed: (..., 1, 1, 1), mean squared distance.
    """

    bicubic_lr: torch.Tensor
    allowed: torch.Tensor

    @classmethod
    def of(cls, start: torch.Tensor, bicubic_lr: torch.Tensor, search: Ste) -> "Likeness":
        """Return what a search allows that begins with `start`, which may lie farther away than others may."""
        own = (start - bicubic_lr).square().mean(_PICTURE, keepdim=True) * 10 ** (search.leeway_db / 10)
        return cls(bicubic_lr, own.clamp(min=10 ** (-search.likeness_db / 10)))

    def hold(self, lr: torch.Tensor) -> torch.Tensor:
        """Return the LR in [0, 1], drawn towards the bicubic one until it lies no farther away than is allowed."""
        strayed = lr - self.bicubic_lr
        strayed *= (
            (self.allowed / strayed.square().mean(_PICTURE, keepdim=True).clamp_(min=1e-20)).sqrt_().clamp_(max=1)
        )
        return (self.bicubic_lr + strayed).clamp_(0, 1)


@dataclass
class Moments:
    """What the search remembers of the gradients of an LR, as Adam does.

    Attributes:
        mean: decaying mean.
        square: decaying mean of squares.
        count: gradients so far.
    """

    mean: torch.Tensor
    square: torch.Tensor
    count: int = 0

    @classmethod
    def of(cls, lr: torch.Tensor) -> "Moments":
        """Return those of an LR that has not moved yet."""
        return cls(torch.zeros_like(lr), torch.zeros_like(lr))


def ste_step(
    lr: torch.Tensor,
    gradient: torch.Tensor,
    moments: Moments,
    likeness: Likeness,
    search: Ste,
    size: torch.Tensor,
) -> torch.Tensor:
    """Return the LR after one step, each sample at its own pace.

    Args:
        lr: (..., C, h, w) float32 in [0, 1], not rounded.
        gradient: of what is minimised, by the rounded LR; its scale does not matter.
        moments: of the earlier gradients; this one is taken in.
        likeness: bounds the LR.
        search: options.
        size: (..., 1, 1, 1) or a scalar, in levels: how far a sample moves whose gradients agree.
    """
    moments.count += 1
    moments.mean.lerp_(gradient, 1 - search.momentum)
    moments.square.lerp_(gradient.square(), 1 - search.memory)
    mean = moments.mean / (1 - search.momentum**moments.count)
    pace = (moments.square / (1 - search.memory**moments.count)).sqrt_()
    # With the picture's mean pace in it, flat areas do not move as far as edges do, which would gain nothing.
    pace += search.softness * pace.square().mean(_PICTURE, keepdim=True).sqrt() + 1e-20
    return likeness.hold(lr - size / 255 * mean / pace)


def first_size(search: Ste, error: torch.Tensor) -> torch.Tensor:
    """Return the size of the first step in levels; it is smaller where the LR is nearly right and soon overshot.

    Args:
        search: options.
        error: mean squared error before the search in levels squared, any shape.
    """
    return search.step_size * (error.sqrt() / search.full_step_error).clamp(max=1)


def fade(step: int, steps: int) -> float:
    """Return the size of a step as a part of the first one's: from 1 towards 0 along a cosine."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def round_to_steps(lr: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Round to the nearest level of a grid: a multiple of its step, or white.

    Args:
        lr: (..., C, h, w) float32 in [0, 1].
        steps: distance between neighbouring levels, broadcastable: (C, 1, 1), or (B, 1, 1, 1) for several LRs.

    Returns:
        Float32 in [0, 1], exactly k / 255.
    """
    levels = lr.mul(255)
    multiples = levels.div(steps).round_().mul_(steps).clamp_(0, 255)
    # Where no multiple is 255, white is a level of its own, closer to the last multiple than a step.
    last = torch.div(255, steps, rounding_mode="floor").mul_(steps)
    return torch.where(2 * levels > last + 255, 255, multiples).div_(255)


def grid_steps(grid: Grid, channels: int, device: torch.device) -> torch.Tensor:
    """Return the grid's steps as (C, 1, 1) float32."""
    steps = grid.steps if channels == 3 else (grid.green,)
    return torch.tensor(steps, dtype=torch.float32).view(-1, 1, 1).to(device)
