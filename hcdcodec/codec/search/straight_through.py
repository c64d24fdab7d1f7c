"""Search of the LR alone, with rounding inside the loop. The gradient ignores the rounding (straight-through)."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from hcdcodec.codec.search.options import Ste
from hcdcodec.codec.search.picture_search import PictureSearch
from hcdcodec.codec.search.step import Answer, begin_ste, fade, grid_steps, round_to_steps, ste_step
from hcdcodec.codec.search.tints import SCALE_MOST, UntintedRounding
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
    bicubic = replace(engine, backbone=Bicubic(engine.backbone.scale), on_work=lambda pixels: None)
    descents = [
        _Descent(picture, bicubic.downscale(picture.subject.canvas, picture.subject.task.tiles), search)
        for picture in pictures
    ]
    for step in range(search.steps):
        active = [descent for descent in descents if not descent.has_stopped()]
        if not active:
            break
        if step == search.steps // 2:
            for descent in active:
                descent.fit_price()
        _step(engine, active, fade(step, search))
    for descent in descents:
        # The work of a whole search was announced, so that of the steps that it did not need is done now.
        engine.on_work(
            2 * (search.steps - len(descent.costs)) * descent.picture.subject.task.window_px(engine.backbone.scale)
        )
        descent.propose()


def _step(engine: Engine, descents: Sequence["_Descent"], share: float) -> None:
    """Take one step with every picture, `share` of its size."""
    states, pictures = [descent.state for descent in descents], [descent.picture for descent in descents]
    found = loss_gradient(
        engine,
        [state.rounded for state in states],
        [picture.subject.task for picture in pictures],
        [picture.subject.target for picture in pictures],
        [state.luma for state in states],
    )
    prices = [picture.price for picture in pictures]
    bits, slopes = zip(
        *(price.bits_and_slope(state.rounded) for price, state in zip(prices, states, strict=True)), strict=True
    )
    for index, descent in enumerate(descents):
        loss = found.losses[index] + prices[index].loss(bits[index])
        sums = found.errors[index].float(), found.squares[index].float(), found.along_luma[index].float()
        answer = Answer(*sums, loss.float(), found.slopes[index] + slopes[index])
        descent.move(answer, share, found.residuals[index], engine.backbone.scale)
    # The only read of numbers from the device in a step: the CPU waits for a GPU at each read.
    numbers = torch.stack((found.errors, torch.stack(bits)), dim=1).tolist()
    for descent, (error, count) in zip(descents, numbers, strict=True):
        descent.note(error, count)


class _Descent:
    """The search of one picture: where it stands, and the cheapest iterate on the grid."""

    def __init__(self, picture: PictureSearch, bicubic_lr: torch.Tensor, search: Ste) -> None:
        self.picture, self.search = picture, search
        subject = picture.subject
        steps = grid_steps(subject.grid, subject.canvas.shape[0], picture.start.device)
        self.state = begin_ste(picture.start, steps, bicubic_lr, search)
        self.judged = self.champion = self.state.rounded
        self.costs: list[float] = []

    def fit_price(self) -> None:
        """Count bits by a code that suits the LR as it is now."""
        self.picture.price = self.picture.price.fitted(self.state.rounded)

    def move(self, answer: Answer, share: float, residual: torch.Tensor, scale: int) -> None:
        """Take one step, `share` of its size; in the end without tints, see `tints`."""
        self.judged = self.state.rounded
        is_ending = len(self.costs) >= self._begin_of_end and scale <= SCALE_MOST
        rounding = UntintedRounding(self.judged, residual, scale) if is_ending else round_to_steps
        self.state = ste_step(self.state, answer, self.search, share, rounding)

    def note(self, error: float, bits: float) -> None:
        """Record what the LR before the last step costs, in error and bits."""
        cost = self.picture.price.cost(error, bits)
        if not self.costs or cost < min(self.costs):
            self.champion = self.judged
        self.costs.append(cost)

    def has_stopped(self) -> bool:
        """Tell whether the last `patience` steps gained less than `tolerance`."""
        patience = self.search.patience
        if len(self.costs) <= max(patience, self._begin_of_end):
            return False
        earlier, now = min(self.costs[:-patience]), min(self.costs)
        return decibels(now, _EXACT_DB) - decibels(earlier, _EXACT_DB) < self.search.tolerance

    @property
    def _begin_of_end(self) -> int:
        """Return the step with which the last quarter begins."""
        return self.search.steps * 3 // 4

    def propose(self) -> None:
        """Store the last iterate, which is not judged yet, and the best judged iterate."""
        self.picture.passes += 2 * len(self.costs)
        self.picture.last, self.picture.champion = self.state.rounded, self.champion
        self.picture.champion_cost = min(self.costs)
