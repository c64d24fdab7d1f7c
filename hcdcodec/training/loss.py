"""What training minimises: the reconstruction's error through the rounded LR, the LR's bits, and its distance from a
picture.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from hcdcodec.codec.search.bit_cost import bit_value, estimate_bits
from hcdcodec.codec.search.options import Ste
from hcdcodec.codec.search.step import Likeness, Moments, fade, first_size, round_to_steps, ste_step
from hcdcodec.engine.devices import precise
from hcdcodec.engine.gradient import residual_slope
from hcdcodec.engine.luma_weight import weighed
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
        lr = lr.clamp(0, 1)
        moments, likeness = Moments.of(lr), Likeness.of(lr, bicubic_lr, search)
        before = size = torch.zeros(())
        with _frozen(self.network):
            for step in range(search.steps):
                error, slope = self._slope(lr, batch, search.luma)
                if step == 0:
                    before, size = error, first_size(search, error).view(-1, 1, 1, 1)
                gradient = slope + self._bit_slope(lr, batch, before)
                lr = ste_step(lr, gradient, moments, likeness, search, fade(step, search.steps) * size)
        return lr

    def _slope(self, lr: torch.Tensor, batch: Batch, luma: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (B,) squared errors of the decoder in levels squared, and their slope as of `loss_gradient`."""
        windows = round_to_steps(lr, batch.grid).contiguous(memory_format=torch.channels_last).requires_grad_()
        with precise(lr.device, self.precision):
            made = self.upscale(windows).float()
        residual = made.detach().clamp(0, 1) - batch.hr
        (slope,) = torch.autograd.grad(made, windows, residual_slope(residual, luma))
        return residual.square().mean((1, 2, 3)) * 255**2, slope

    def _bit_slope(self, lr: torch.Tensor, batch: Batch, error: torch.Tensor) -> torch.Tensor:
        """Return the slope of what bits cost where errors were `error`, (B,), as of `Price.bits_and_slope`."""
        lr = round_to_steps(lr, batch.grid).requires_grad_()
        values = bit_value(self.recipe.bit_weight, batch.grid.flatten()) * error / 255**2
        return torch.autograd.grad((values * estimate_bits(lr, batch.grid)).sum(), lr)[0]

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
