"""What training minimises: the reconstruction's error through the rounded LR, the LR's bits, and its distance from a
picture.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from hcdcodec.codec.search.bit_cost import bit_value, estimate_bits
from hcdcodec.codec.search.options import Ste
from hcdcodec.codec.search.step import Answer, SteState, begin_ste, fade, round_to_steps, ste_step
from hcdcodec.engine.devices import precise
from hcdcodec.engine.gradient import residual_slope
from hcdcodec.engine.luma_weight import square_along_luma, weighed
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.training.recipe import Recipe

_LUMA = Ste(0).luma
DB = 10 / math.log(10)
"""dB of a natural logarithm of squared errors."""


@dataclass(frozen=True)
class Batch:
    """What one iteration trains on.

    Attributes:
        hr: (B, 3, P, P) float32 in [0, 1].
        grid: (B, 1, 1, 1) float32, step of the LR grid in levels.
    """

    hr: torch.Tensor
    grid: torch.Tensor


@dataclass(frozen=True)
class Losses:
    """What came out, all scalars.

    Attributes:
        total: to be minimised; the only one with a gradient.
        error: mean logarithm of the reconstruction's squared error, luma weighed as in the search.
        distance: mean logarithm of the LR's squared distance from the bicubic LR.
    """

    total: torch.Tensor
    error: torch.Tensor
    distance: torch.Tensor


@dataclass(frozen=True)
class Objective:
    """The loss of a network by a recipe.

    Attributes:
        network: what is trained.
        recipe: numbers.
        precision: type of the convolutions.
        downscale: the network's, perhaps compiled.
        upscale: the network's, perhaps compiled.
    """

    network: Backbone
    recipe: Recipe
    precision: torch.dtype
    downscale: Callable[[torch.Tensor], torch.Tensor]
    upscale: Callable[[torch.Tensor], torch.Tensor]

    def losses(self, batch: Batch, searched: int, likeness_db: float) -> Losses:
        """Return the loss of a batch.

        Args:
            batch: crops and their grids.
            searched: how many of its first crops have their LR searched before the decoder sees it.
            likeness_db: PSNR of the LR against the bicubic one that is asked for.
        """
        with precise(batch.hr.device, self.precision):
            lr = self.downscale(batch.hr).float()
        bicubic_lr = Bicubic(self.recipe.scale).downscale(batch.hr)
        given = lr
        if searched:
            first = Batch(batch.hr[:searched], batch.grid[:searched])
            given = torch.cat((self.search(lr[:searched].detach(), bicubic_lr[:searched], first), lr[searched:]))
        error = self._log_error(given, batch).mean()
        distance = self._log_distance(lr, bicubic_lr)
        total = error + self.recipe.likeness_weight * _excess(distance, likeness_db).mean()
        total = total + self._bit_cost(lr, batch).mean()
        return Losses(self.recipe.loss_scale * total, error.detach(), distance.detach().mean())

    def search(self, lr: torch.Tensor, bicubic_lr: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return LRs after some steps of the codec's own search against the decoder as it is.

        Args:
            lr: (B, 3, h, w), the encoder's.
            bicubic_lr: (B, 3, h, w).
            batch: what they are of.
        """
        recipe = self.recipe
        search = Ste(recipe.search_steps, recipe.search_pace, per_bit=recipe.bit_weight)
        state, value = begin_ste(lr.clamp(0, 1), batch.grid, bicubic_lr, search), torch.zeros(())
        with _frozen(self.network):
            for step in range(search.steps):
                answer = self._answer(state, batch)
                if step == 0:
                    value = bit_value(search.per_bit, batch.grid) * answer.error / 255**2
                answer = _with_bits(answer, state, value)
                state = ste_step(state, answer, search, fade(step, search))
        return state.lr

    def _answer(self, state: SteState, batch: Batch) -> Answer:
        """Return what the decoder tells of LRs, as `loss_gradient` does."""
        lr = state.rounded.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
        with precise(lr.device, self.precision):
            made = self.upscale(lr).float()
        residual = made.detach().clamp(0, 1) - batch.hr
        outer = residual_slope(residual, state.luma)
        (slope,) = torch.autograd.grad(made, lr, outer)
        square, loss = (residual.mul(other).sum((1, 2, 3), keepdim=True) for other in (residual, outer / 2))
        error = square / batch.hr[0].numel() * 255**2
        return Answer(error, square, square_along_luma(residual).view(-1, 1, 1, 1), loss, slope)

    def _bit_cost(self, lr: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return (B,) what the bits of rounded LRs cost as shares of the errors, which are so many logarithms more."""
        bits = estimate_bits(rounded(lr, batch.grid), batch.grid)
        return bit_value(self.recipe.bit_weight, batch.grid.flatten()) * bits / batch.hr[0].numel()

    def _log_error(self, lr: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return (B,) logarithms of the decoder's squared error, luma weighed as in the search, for the rounded LR."""
        lr = rounded(lr, batch.grid).contiguous(memory_format=torch.channels_last)
        with precise(lr.device, self.precision):
            made = self.upscale(lr).float()
        residual = made - batch.hr
        return torch.log((residual * weighed(residual, _LUMA)).mean((1, 2, 3)) + self.recipe.floor)

    def _log_distance(self, lr: torch.Tensor, bicubic_lr: torch.Tensor) -> torch.Tensor:
        """Return (B,) logarithms of the LR's squared distance from the bicubic LR."""
        return torch.log((lr - bicubic_lr).square().mean((1, 2, 3)) + self.recipe.floor)


def rounded(lr: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Round to the grid, with the gradient of the identity.

    Args:
        lr: (B, 3, h, w) float32.
        grid: (B, 1, 1, 1) step in levels.
    """
    return lr + (round_to_steps(lr, grid) - lr).detach()


def _with_bits(answer: Answer, state: SteState, value: torch.Tensor) -> Answer:
    """Add the cost of bits to an answer, `value` for each, (B, 1, 1, 1), as `Price` has it."""
    lr = state.rounded.detach().requires_grad_()
    cost = value * estimate_bits(lr, state.steps).view(-1, 1, 1, 1)
    (slope,) = torch.autograd.grad(cost.sum(), lr)
    return replace(answer, loss=answer.loss + cost.detach(), slope=answer.slope + slope)


@contextlib.contextmanager
def _frozen(network: Backbone) -> Iterator[None]:
    """Keep gradients off the weights, which makes a backward pass cheaper by a third."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def _excess(distance: torch.Tensor, likeness_db: float) -> torch.Tensor:
    """Return by how much logarithmic distances are larger than allowed."""
    return torch.relu(distance + likeness_db / DB)
