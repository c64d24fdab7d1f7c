"""What training minimises: the reconstruction's error through the rounded LR, and the LR's distance from a picture."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.devices import precise
from hcdcodec.engine.luma_weight import weighed
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.training.recipe import Recipe

_STE = Ste(0)
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
        plain = Bicubic(self.recipe.scale).downscale(batch.hr)
        given = lr
        if searched:
            first = Batch(batch.hr[:searched], batch.grid[:searched])
            given = torch.cat(
                (self._searched(lr[:searched].detach(), plain[:searched], first, likeness_db), lr[searched:])
            )
        error = self._log_error(given, batch).mean()
        distance = self._log_distance(lr, plain)
        total = error + self.recipe.likeness_weight * _excess(distance, likeness_db).mean()
        return Losses(self.recipe.loss_scale * total, error.detach(), distance.detach().mean())

    def _searched(self, lr: torch.Tensor, plain: torch.Tensor, batch: Batch, likeness_db: float) -> torch.Tensor:
        """Return the LR after some steps of `hcd.Ste` against the decoder as it is."""
        lr = lr.clamp(0, 1)
        mean, square = torch.zeros_like(lr), torch.zeros_like(lr)
        with _frozen(self.network):
            for step in range(self.recipe.search_steps):
                gradient = self._gradient(lr, plain, batch, likeness_db)
                mean.lerp_(gradient, 1 - _STE.momentum)
                square.lerp_(gradient.square(), 1 - _STE.memory)
                pace = (square / (1 - _STE.memory ** (step + 1))).sqrt()
                pace = pace + _STE.softness * pace.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-20
                schedule = 0.5 * (1 + math.cos(math.pi * step / self.recipe.search_steps))
                stride = schedule * self.recipe.search_pace / 255 / (1 - _STE.momentum ** (step + 1))
                lr = (lr - stride * mean / pace).clamp(0, 1)
        return lr

    def _gradient(self, lr: torch.Tensor, plain: torch.Tensor, batch: Batch, likeness_db: float) -> torch.Tensor:
        """Return the gradient by the LR of what is minimised, summed over the crops."""
        lr = lr.detach().requires_grad_()
        likeness = _excess(self._log_distance(lr, plain), likeness_db)
        total = (self._log_error(lr, batch) + self.recipe.likeness_weight * likeness).sum()
        return torch.autograd.grad(total, lr)[0]

    def _log_error(self, lr: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return (B,) logarithms of the decoder's squared error, luma weighed as in the search, for the rounded LR."""
        lr = rounded(lr, batch.grid).contiguous(memory_format=torch.channels_last)
        with precise(lr.device, self.precision):
            made = self.upscale(lr).float()
        residual = made - batch.hr
        return torch.log((residual * weighed(residual, _STE.luma)).mean((1, 2, 3)) + self.recipe.floor)

    def _log_distance(self, lr: torch.Tensor, plain: torch.Tensor) -> torch.Tensor:
        """Return (B,) logarithms of the LR's squared distance from the bicubic LR."""
        return torch.log((lr - plain).square().mean((1, 2, 3)) + self.recipe.floor)


def rounded(lr: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Round to the grid, with the gradient of the identity.

    Args:
        lr: (B, 3, h, w) float32.
        grid: (B, 1, 1, 1) step in levels.
    """
    nearest = (torch.round(lr * 255 / grid) * grid / 255).clamp(0, 1)
    return lr + (nearest - lr).detach()


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
