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

    def __getitem__(self, crops: slice) -> "Batch":
        """Return some of the crops."""
        return Batch(self.hr[crops], self.grid[crops])


@dataclass(frozen=True)
class Searched:
    """Crops whose LRs are searched.

    Attributes:
        batch: what they are.
        state: where their search stands.
        bit_value: (B, 1, 1, 1), what a bit costs there; 0 before the first step.
    """

    batch: Batch
    state: SteState
    bit_value: torch.Tensor | float = 0.0


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

    def losses(self, batch: Batch, searched: Searched | None, likeness_db: float) -> Losses:
        """Return the loss of some crops.

        Args:
            batch: crops whose LR the decoder sees as the encoder gives it. They train both.
            searched: crops whose LR the decoder sees after some steps of the search. They train the decoder alone.
            likeness_db: PSNR of the LR against the bicubic one that is asked for.
        """
        lr, bicubic_lr = self.downscaled(batch)
        distance = torch.log((lr - bicubic_lr).square().mean((1, 2, 3)) + self.recipe.floor)
        excess = torch.relu(distance + likeness_db / DB)
        cost = self.recipe.likeness_weight * excess + self._bit_cost(lr, batch)
        if searched:
            lr = torch.cat((searched.state.lr, lr))
            batch = Batch(torch.cat((searched.batch.hr, batch.hr)), torch.cat((searched.batch.grid, batch.grid)))
        error = self._log_error(lr, batch)
        total = (error.sum() + cost.sum()) / len(error)
        return Losses(self.recipe.loss_scale * total, error.detach().mean(), distance.detach().mean())

    def downscaled(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the encoder's LRs and the bicubic ones, (B, 3, h, w) each."""
        with precise(batch.hr.device, self.precision):
            lr = self.downscale(batch.hr).float()
        return lr, Bicubic(self.recipe.scale).downscale(batch.hr)

    def begin_search(self, batch: Batch) -> Searched:
        """Return crops with the LRs where the codec's own search begins."""
        with torch.no_grad():
            lr, bicubic_lr = self.downscaled(batch)
        return Searched(batch, begin_ste(lr.clamp(0, 1), batch.grid, bicubic_lr, self._search))

    def search(self, crops: Searched, steps: int) -> Searched:
        """Return crops with LRs that are some steps further, against the decoder as it is."""
        search, state, value = self._search, crops.state, crops.bit_value
        with _frozen(self.network):
            for step in range(state.count, min(state.count + steps, search.steps)):
                answer = self._answer(state, crops.batch)
                if step == 0:
                    value = bit_value(search.per_bit, crops.batch.grid) * answer.error / 255**2
                state = ste_step(state, _with_bits(answer, state, value), search, fade(step, search))
        return Searched(crops.batch, state, value)

    @property
    def _search(self) -> Ste:
        recipe = self.recipe
        return Ste(recipe.search_steps, recipe.search_pace, per_bit=recipe.bit_weight)

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
        """Return (B,) what bits of rounded LRs cost, as a share of each error. It adds to the log of the error."""
        bits = estimate_bits(rounded(lr, batch.grid), batch.grid)
        return bit_value(self.recipe.bit_weight, batch.grid.flatten()) * bits / batch.hr[0].numel()

    def _log_error(self, lr: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return (B,) logarithms of the decoder's squared error, luma weighed as in the search, for the rounded LR."""
        lr = rounded(lr, batch.grid).contiguous(memory_format=torch.channels_last)
        with precise(lr.device, self.precision):
            made = self.upscale(lr).float()
        residual = made - batch.hr
        return torch.log((residual * weighed(residual, _LUMA)).mean((1, 2, 3)) + self.recipe.floor)


def rounded(lr: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Round to the grid, with the gradient of the identity.

    Args:
        lr: (B, 3, h, w) float32.
        grid: (B, 1, 1, 1) step in levels.
    """
    return lr + (round_to_steps(lr, grid) - lr).detach()


def _with_bits(answer: Answer, state: SteState, value: torch.Tensor | float) -> Answer:
    """Add the cost of bits to an answer, `value` for each, (B, 1, 1, 1), as `Price` has it."""
    lr = state.rounded.detach().requires_grad_()
    cost = value * estimate_bits(lr, state.steps).view(-1, 1, 1, 1)
    (slope,) = torch.autograd.grad(cost.sum(), lr)
    return replace(answer, loss=answer.loss + cost.detach(), slope=answer.slope + slope)


@contextlib.contextmanager
def _frozen(network: Backbone) -> Iterator[None]:
    """Keep gradients off the weights, which makes a backward pass cheaper by a third."""
    trained = [values for values in network.parameters() if values.requires_grad]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for values in trained:
            values.requires_grad_(True)
