"""Search of the LR alone, with rounding inside the loop."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from hcdcodec.codec.search.bit_cost import Price
from hcdcodec.codec.search.options import Ste
from hcdcodec.codec.search.subject import Proposal, Subject, quantise
from hcdcodec.engine.engine import Engine
from hcdcodec.networks.bicubic import Bicubic


def search_ste(
    engine: Engine,
    subjects: Sequence[Subject],
    starts: Sequence[torch.Tensor],
    prices: Sequence[Price],
    search: Ste,
) -> list[Proposal]:
    """Descend on all pictures together; those that stopped leave the batches."""
    plain = replace(engine, backbone=Bicubic(engine.backbone.scale))
    climbs = [
        _Climb(start, plain.downscale(subject.canvas, subject.task.tiles), price)
        for start, subject, price in zip(starts, subjects, prices, strict=True)
    ]
    for step in range(search.steps):
        active = [index for index, climb in enumerate(climbs) if not climb.stopped(search)]
        if not active:
            break
        errors, gradients = engine.gradients(
            [climbs[index].rounded() for index in active],
            [subjects[index].task for index in active],
            [subjects[index].target for index in active],
            search.luma,
        )
        for index, error, gradient in zip(active, errors, gradients, strict=True):
            climbs[index].note(error)
            climbs[index].move(gradient, search, 0.5 * (1 + math.cos(math.pi * step / search.steps)))
    return [climb.proposal() for climb in climbs]


class _Climb:
    """The state of one picture's search: float LR, Adam's moments, cheapest rounded iterate."""

    def __init__(self, lr: torch.Tensor, plain: torch.Tensor, price: Price) -> None:
        self.lr = lr
        self.plain = plain
        self.reach = float((lr - plain).square().mean())
        self.price = price
        self.mean = torch.zeros_like(lr)
        self.square = torch.zeros_like(lr)
        self.history: list[float] = []
        self.champion = lr
        self.passes = 0

    def rounded(self) -> torch.Tensor:
        """Return the LR on its grid."""
        return quantise(self.lr, self.price.grid)

    def note(self, error: float) -> None:
        """Record what the current rounded LR costs, in error and bits."""
        cost = error + self.price.of(self.rounded())
        if not self.history or cost < min(self.history):
            self.champion = self.lr.clone()
        self.history.append(cost)
        self.passes += 2

    def move(self, gradient: torch.Tensor, search: Ste, schedule: float) -> None:
        """Take one step, each sample at its own pace, and stay in [0, 1].

        Args:
            gradient: of the squared error.
            search: options.
            schedule: 1 at the beginning, towards 0.
        """
        gradient = gradient + self.price.slope(self.rounded())
        count = len(self.history)
        self.mean.lerp_(gradient, 1 - search.momentum)
        self.square.lerp_(gradient.square(), 1 - search.memory)
        mean = self.mean / (1 - search.momentum**count)
        pace = (self.square / (1 - search.memory**count)).sqrt_()
        pace += search.softness * pace.square().mean().sqrt() + 1e-20
        step = schedule * search.step_size * min(1.0, math.sqrt(self.price.error) / search.full_step_error)
        strayed = self.lr - step / 255 * mean / pace - self.plain
        allowed = max(self.reach * 10 ** (search.leeway_db / 10), 10 ** (-search.likeness_db / 10))
        strayed *= (allowed / strayed.square().mean().clamp_(min=1e-20)).sqrt_().clamp_(max=1)
        self.lr = (self.plain + strayed).clamp_(0, 1)

    def stopped(self, search: Ste) -> bool:
        """Tell whether the last `patience` steps were not worth their passes."""
        if len(self.history) <= max(search.patience, search.steps * 3 // 4):
            return False
        earlier, now = min(self.history[: -search.patience]), min(self.history)
        return 10 * math.log10(max(earlier, 1e-9) / max(now, 1e-9)) < search.tolerance

    def proposal(self) -> Proposal:
        """Propose the last iterate, which nothing has judged yet, with the best judged one as its rival."""
        if not self.history:
            return Proposal(None, 0)
        return Proposal(self.rounded(), self.passes, quantise(self.champion, self.price.grid), min(self.history))
