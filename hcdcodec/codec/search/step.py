"""How a search moves and rounds an LR. Search and training share these rules, so that they cannot drift apart.

Every function takes one LR, (C, h, w), or several of one size, (B, C, h, w), and treats each of them by itself: what is
one number a picture has the shape (..., 1, 1, 1), and stays on the device.

Decoders differ. The best first step with a public super-resolution network is a third of that with crn, because the
output of that network changes more with its input. So the answers of the network decide how large the steps are. The
first step is bounded by what it promises by its slope. From then on a parabola goes through the errors before and after
a step, with the slope before it. It tells where along that step the error was lowest, and the next step is longer or
shorter.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.luma_weight import weighed_square
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
        distance = strayed.square().mean(_PICTURE, keepdim=True).clamp_(min=1e-20)
        return (self.bicubic_lr + strayed * (self.allowed / distance).sqrt_().clamp_(max=1)).clamp_(0, 1)


@dataclass(frozen=True)
class Answer:
    """What a forward and a backward pass tell of a rounded LR.

    Attributes:
        error: (..., 1, 1, 1), mean squared error of the reconstruction in levels squared.
        square: (..., 1, 1, 1), sum of the squared errors of values in [0, 1].
        along_luma: (..., 1, 1, 1), the same along luma, see `luma_weight.square_along_luma`.
        loss: (..., 1, 1, 1), what is minimised: the errors with luma weighed, their means in blocks, and bits.
        slope: (..., C, h, w), its gradient by the rounded LR.
    """

    error: torch.Tensor
    square: torch.Tensor
    along_luma: torch.Tensor
    loss: torch.Tensor
    slope: torch.Tensor

    def loss_at(self, luma: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Return the loss with luma weighed anew, where it was weighed by `before`."""
        plain = self.square, self.along_luma
        return self.loss + weighed_square(*plain, luma) - weighed_square(*plain, before)


@dataclass(frozen=True)
class SteState:
    """Where a search stands.

    Attributes:
        lr: (..., C, h, w) float32 in [0, 1], not rounded.
        rounded: the same on the grid.
        steps: of the grid, see `round_to_steps`.
        likeness: bounds the LR.
        mean: decaying mean of the slopes, as in Adam.
        square: decaying mean of their squares.
        count: answers so far.
        size: of the last step in levels, before it faded: how far a sample moves whose slopes agree.
        loss: of the last answer, luma weighed as in the next one: only such losses tell what a step has saved.
        promised: what the last step was to save of it, by the slope before.
        first_error: of the first answer.
        least_error: of all answers.
        luma: weight of luma for the next answer, see `luma_weight.weighed`.
    """

    lr: torch.Tensor
    rounded: torch.Tensor
    steps: torch.Tensor
    likeness: Likeness
    mean: torch.Tensor
    square: torch.Tensor
    count: int
    size: torch.Tensor
    loss: torch.Tensor
    promised: torch.Tensor
    first_error: torch.Tensor
    least_error: torch.Tensor
    luma: torch.Tensor


def begin_ste(start: torch.Tensor, steps: torch.Tensor, bicubic_lr: torch.Tensor, search: Ste) -> SteState:
    """Return the state of a search that has not moved yet.

    Args:
        start: (..., C, h, w) float32 in [0, 1].
        steps: of the grid, see `round_to_steps`.
        bicubic_lr: (..., C, h, w).
        search: options.
    """
    nothing = start.new_zeros((*start.shape[:-3], 1, 1, 1))
    likeness = Likeness.of(start, bicubic_lr, search)
    moments = torch.zeros_like(start), torch.zeros_like(start)
    unknown = (nothing,) * 5
    return SteState(
        start, round_to_steps(start, steps), steps, likeness, *moments, 0, *unknown, luma=nothing + search.luma
    )


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


Rounding = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(LR, steps of the grid) -> LR on the grid."""


def ste_step(
    state: SteState, answer: Answer, search: Ste, share: float, rounding: Rounding = round_to_steps
) -> SteState:
    """Return the state after one step.

    Args:
        state: before it.
        answer: of `state.rounded`.
        search: options.
        share: size of this step as a part of what it would be without an end, see `fade`.
        rounding: rounds the LR after the step to the grid with these steps.
    """
    count = state.count + 1
    mean = state.mean.lerp(answer.slope, 1 - search.momentum)
    square = state.square.lerp(answer.slope.square(), 1 - search.memory)
    pace = (square / (1 - search.memory**count)).sqrt_()
    # With the picture's mean pace in it, flat areas do not move as far as edges do, which would gain nothing.
    pace += search.softness * pace.square().mean(_PICTURE, keepdim=True).sqrt() + 1e-20
    direction = mean / (1 - search.momentum**count) / pace
    size = _next_size(state, answer, search) if state.count else _first_size(answer, direction, search)
    lr = state.likeness.hold(state.lr - share * size / 255 * direction)
    rounded = rounding(lr, state.steps)
    first_error = state.first_error if state.count else answer.error
    least_error = torch.minimum(state.least_error, answer.error) if state.count else answer.error
    luma = state.luma if count < _SURE else _weigh_luma(1 - least_error / first_error.clamp(min=1e-9), search)
    loss = answer.loss_at(luma, state.luma)
    return replace(
        state,
        lr=lr,
        rounded=rounded,
        mean=mean,
        square=square,
        count=count,
        size=size,
        loss=loss,
        # The slope is of the rounded LR, so it promises for the move of the rounded LR.
        promised=_sum(answer.slope * (state.rounded - rounded)) * (loss / answer.loss.clamp(min=1e-20)),
        first_error=first_error,
        least_error=least_error,
        luma=luma,
    )


_SURE = 3
"""Answers before which it is not known how far the error can fall."""


def _first_size(answer: Answer, direction: torch.Tensor, search: Ste) -> torch.Tensor:
    """Return the size of the first step: smaller where the LR is nearly right, or where the error falls steeply."""
    bound = search.step_size * (answer.error.sqrt() / search.full_step_error).clamp(max=1)
    by_level = _sum(answer.slope * direction) / 255
    return torch.minimum(bound, search.promise * answer.loss / by_level.clamp(min=1e-20))


def _next_size(state: SteState, answer: Answer, search: Ste) -> torch.Tensor:
    """Return the size of a later step from what the last one promised and what it saved.

    On the parabola with slope `promised` at 0 that has fallen by `saved` at 1, the lowest point lies at
    promised / (2 * (promised - saved)).
    """
    bend = (state.promised - (state.loss - answer.loss)).clamp(min=1e-20)
    lowest = state.promised / (2 * bend)
    return state.size * (lowest / search.lowest_at).clamp(_SHORTER, _LONGER)


_SHORTER, _LONGER = 0.5, 1.5
"""How much the size changes at most from one step to the next."""


def _weigh_luma(fallen: torch.Tensor, search: Ste) -> torch.Tensor:
    """Return the weight of luma where the error has fallen by a share: where little can be gained, colour is dear."""
    return search.luma * (fallen / search.full_luma_gain).clamp(0, 1).square()


def _sum(values: torch.Tensor) -> torch.Tensor:
    return values.sum(_PICTURE, keepdim=True)


def fade(step: int, search: Ste) -> float:
    """Return the share of its size that a step has: from 1 towards `search.last_share` along a cosine."""
    return search.last_share + (1 - search.last_share) * 0.5 * (1 + math.cos(math.pi * step / search.steps))


def grid_steps(grid: Grid, channels: int, device: torch.device) -> torch.Tensor:
    """Return the grid's steps as (C, 1, 1) float32."""
    steps = grid.steps if channels == 3 else (grid.green,)
    return torch.tensor(steps, dtype=torch.float32).view(-1, 1, 1).to(device, non_blocking=True)
