"""Search of the LR alone, with rounding inside the loop: gradients pass the rounding as if it were not there."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from hcdcodec.codec.search.options import Ste
from hcdcodec.codec.search.picture_search import PictureSearch
from hcdcodec.codec.search.step import Likeness, Moments, fade, first_size, ste_step
from hcdcodec.codec.search.subject import quantise
from hcdcodec.engine.engine import Engine
from hcdcodec.engine.gradient import loss_gradient
from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.pictures.metrics import decibels

_EXACT_DB = 140.0
"""From here on, far less than one sample in a picture differs by a level."""


def search_ste(engine: Engine, pictures: Sequence[PictureSearch], search: Ste) -> None:
    """Descend on all pictures together; those that stopped leave the batches."""
    if not search.steps:
        return
    bicubic = replace(engine, backbone=Bicubic(engine.backbone.scale))
    descents = [
        _Descent(picture, bicubic.downscale(picture.subject.canvas, picture.subject.task.tiles), search)
        for picture in pictures
    ]
    for step in range(search.steps):
        active = [descent for descent in descents if not descent.has_stopped()]
        if not active:
            break
        _step(engine, active, fade(step, search.steps))
    for descent in descents:
        descent.propose()


def _step(engine: Engine, descents: Sequence["_Descent"], share: float) -> None:
    """Take one step with every picture, `share` of the first one in size."""
    lrs, subjects = [descent.rounded for descent in descents], [descent.picture.subject for descent in descents]
    found = loss_gradient(
        engine, lrs, [one.task for one in subjects], [one.target for one in subjects], descents[0].search.luma
    )
    bits, slopes = zip(*(descent.picture.price.bits_and_slope(descent.rounded) for descent in descents), strict=True)
    # The only look at numbers in a step: a GPU stops for each.
    numbers = torch.stack((found.errors, torch.stack(bits)), dim=1).tolist()
    for descent, (error, count), slope, bit_slope in zip(descents, numbers, found.slopes, slopes, strict=True):
        descent.note(error, count)
        descent.move(slope + bit_slope, share)


class _Descent:
    """The state of one picture's search: LR, moments of its gradients, cheapest iterate on the grid."""

    def __init__(self, picture: PictureSearch, bicubic_lr: torch.Tensor, search: Ste) -> None:
        self.picture, self.search, self.lr = picture, search, picture.start
        self.rounded = picture.rounded_start
        self.moments = Moments.of(self.lr)
        self.likeness = Likeness.of(self.lr, bicubic_lr, search)
        self.size = first_size(search, torch.tensor(picture.price.error, dtype=torch.float64))
        self.costs: list[float] = []
        self.champion = self.rounded

    def note(self, error: float, bits: float) -> None:
        """Record what the current rounded LR costs, in error and bits."""
        cost = self.picture.price.cost(error, bits)
        if not self.costs or cost < min(self.costs):
            self.champion = self.rounded
        self.costs.append(cost)

    def move(self, gradient: torch.Tensor, share: float) -> None:
        """Take one step, `share` of the first one in size."""
        self.lr = ste_step(self.lr, gradient, self.moments, self.likeness, self.search, share * self.size)
        self.rounded = quantise(self.lr, self.picture.subject.grid)

    def has_stopped(self) -> bool:
        """Tell whether the last `patience` steps were not worth their passes."""
        patience = self.search.patience
        if len(self.costs) <= max(patience, self.search.steps * 3 // 4):
            return False
        earlier, now = min(self.costs[:-patience]), min(self.costs)
        return decibels(now, _EXACT_DB) - decibels(earlier, _EXACT_DB) < self.search.tolerance

    def propose(self) -> None:
        """Hand over the last iterate, which nothing has judged yet, and the best judged one."""
        self.picture.passes += 2 * len(self.costs)
        self.picture.last, self.picture.champion = self.rounded, self.champion
        self.picture.champion_cost = min(self.costs)
