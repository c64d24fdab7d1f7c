"""Hierarchical Collaborative Downscaling: search the LR by gradient descent on its own decoder's error.

Two searches stand behind `refine`. `Paper` is Algorithm 1 of Xu et al. (ICCV 2023, arXiv 2211.10643), for comparison.
`Ste` is ours: it moves the LR alone, rounds inside the loop (straight-through), and starts from the unrounded LR.
Whatever they find is accepted only where the reference decode of the rounded LR has a smaller error than before.
On coarse grids `Ste` also counts what an LR costs in bits.

An integer polish of the result (benchmarks/polish.py: single samples moved by a level, kept where the error falls) gave
no more than as many passes of `Ste`, at quality 100 and at 75; it was left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from hcdcodec.codec.search.bit_cost import Price
from hcdcodec.engine.engine import Engine, Task
from hcdcodec.errors import UsageError
from hcdcodec.format.grid import Grid
from hcdcodec.networks.bicubic import Bicubic


@dataclass(frozen=True)
class Ste:
    """Search of the LR with rounding inside the loop.

    Attributes:
        steps: updates of the LR, two passes each; 0 = none.
        step_size: largest first step in LR levels; steps fall to zero along a cosine.
        full_step_error: root of the mean squared error, in levels, from which on steps have that size. Below, they
            shrink in proportion: an LR that is nearly right is soon overshot. With it, the 256-pixel middles of the
            first 12 val pictures gain at quality 100 with crn x2 0.53 dB PSNR-Y more at effort 1 and 0.20 at effort 5,
            with x4 0.015 and 0.017; at 6 instead of 8, effort 1 of x2 gains 0.07 less (by hand).
        likeness_db: PSNR against the antialiased bicubic LR that the searched LR keeps before rounding, so that it
            stays a picture: a ball around the bicubic LR.
        leeway_db: how much of that PSNR may be lost where the backbone's own LR has no more to begin with.
        momentum: decay of the mean gradient. Low: within ten steps, much momentum only overshoots.
        memory: decay of the mean squared gradient, which sets each sample's pace.
        softness: weight of the picture's mean pace against the sample's own. At 0 this is Adam, where flat areas move
            as far as edges, for nothing.
        patience: steps without gain of `tolerance` after which a picture's search ends; in its last quarter only, since
            long steps may overshoot and the short ones that follow still gain.
        tolerance: gain in dB that counts.
        per_bit: see `Price`; at grid 1 bits are free.
        luma: weight of luma in what the search descends on, see `luma.weighed`. What is kept is decided by the plain
            error. At 1 instead of 0, the 256-pixel middles of the first 16 val pictures gain 0.19 dB PSNR-Y at
            quality 100 and lose 0.04 dB PSNR-RGB; at 2 another 0.06, for 0.04 (by hand, with the x4 weights of step 6
            in weights/README.md).
    """

    steps: int
    step_size: float = 6.0
    full_step_error: float = 8.0
    likeness_db: float = 35.0
    leeway_db: float = 0.9
    momentum: float = 0.5
    memory: float = 0.99
    softness: float = 1.0
    patience: int = 4
    tolerance: float = 0.003
    per_bit: float = 0.4
    luma: float = 1.0


@dataclass(frozen=True)
class Paper:
    """Algorithm 1 with the paper's defaults and, where it is silent, the released code's choice.

    Attributes:
        hr_steps: updates of the HR perturbation, four passes each.
        lr_steps: updates of the LR perturbation, two passes each.
        alpha: length of a step, l2 norm over the whole picture, values in [0, 1].
        epsilon: radius of the l2 ball.
        seed: of the random start.
    """

    hr_steps: int = 15
    lr_steps: int = 15
    alpha: float = 20 / 255
    epsilon: float = 0.3
    seed: int = 0


Search = Ste | Paper

DEFAULT_EFFORT = 5
# (steps, step_size) by effort. Of the sizes that were tried, 1 to 6 levels, these gained most, or within 0.02 dB of it,
# on the middles of six val pictures.
_EFFORTS = ((0, 6.0), (1, 3.0), (2, 4.0), (3, 4.0), (5, 5.0), (8, 6.0), (12, 6.0), (18, 6.0), (30, 6.0), (60, 6.0))


def search_of(effort: int) -> Ste:
    """Return the search of an effort.

    Args:
        effort: 0 (the backbone alone) to 9 (to convergence).

    Raises:
        UsageError: out of range.
    """
    if not 0 <= effort < len(_EFFORTS):
        raise UsageError(f"effort {effort} is out of range; 0 to 9 are possible")
    steps, step_size = _EFFORTS[effort]
    return Ste(steps, step_size)


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


def refine(engine: Engine, subjects: Sequence[Subject], search: Search) -> list[Refined]:
    """Downscale and search pictures together.

    Args:
        engine: network, device and precision.
        subjects: the pictures; windows of one size share batches.
        search: which search, with its options.

    Returns:
        One result a picture, in order. Nothing is mixed between pictures: each has its own state, stop and best LR.
    """
    # Every step compares with the picture: it goes over to a GPU once, not each time.
    subjects = [replace(subject, canvas=engine.sent(subject.canvas)) for subject in subjects]
    starts = [engine.downscale(subject.canvas, subject.task.tiles) for subject in subjects]
    plain = [quantise(start, subject.grid) for start, subject in zip(starts, subjects, strict=True)]
    before = _judge(engine, subjects, plain)
    per_bit = 0.0 if isinstance(search, Paper) else search.per_bit
    prices = [
        Price(subject.grid, per_bit, error, subject.target.numel())
        for subject, error in zip(subjects, before, strict=True)
    ]
    if isinstance(search, Paper):
        proposals = _paper(engine, subjects, starts, search)
    else:
        proposals = _ste(engine, subjects, starts, prices, search)
    return _accept(engine, subjects, list(zip(before, plain, strict=True)), proposals, prices)


@dataclass(frozen=True)
class _Proposal:
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


def _accept(
    engine: Engine,
    subjects: Sequence[Subject],
    plain: Sequence[tuple[float, torch.Tensor]],
    proposals: Sequence[_Proposal],
    prices: Sequence[Price],
) -> list[Refined]:
    """Keep, for each picture, the candidate that costs least of those whose reference decode is no worse than before.

    The start, `plain` with its error, which everything is compared with, is one of them.
    """
    last = _judge(engine, subjects, [proposal.lr for proposal in proposals])
    called = [
        proposal.rival if proposal.lr is not None and proposal.rival_cost < error + price.of(proposal.lr) else None
        for proposal, error, price in zip(proposals, last, prices, strict=True)
    ]
    rivals = _judge(engine, subjects, called)
    refined = []
    for index, proposal in enumerate(proposals):
        before = plain[index][0]
        candidates = [plain[index]]
        for error, lr in ((last[index], proposal.lr), (rivals[index], called[index])):
            if lr is not None and error < before:
                candidates.append((error, lr))
        costs = [error + prices[index].of(lr) for error, lr in candidates]
        error, kept = candidates[costs.index(min(costs))]
        checks = 1 + (proposal.lr is not None) + (called[index] is not None)
        levels = kept.mul(255).round().to(torch.uint8).cpu()
        refined.append(Refined(levels, 1 + proposal.passes + checks, before, error))
    return refined


def _judge(engine: Engine, subjects: Sequence[Subject], lrs: Sequence[torch.Tensor | None]) -> list[float]:
    """Return the reference error of each LR; infinity where there is none."""
    present = [(lr, subject) for lr, subject in zip(lrs, subjects, strict=True) if lr is not None]
    errors = iter(
        engine.errors([lr for lr, _ in present], [s.task for _, s in present], [s.target for _, s in present])
    )
    return [math.inf if lr is None else next(errors) for lr in lrs]


def _ste(
    engine: Engine,
    subjects: Sequence[Subject],
    starts: Sequence[torch.Tensor],
    prices: Sequence[Price],
    search: Ste,
) -> list[_Proposal]:
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

    def proposal(self) -> _Proposal:
        """Propose the last iterate, which nothing has judged yet, with the best judged one as its rival."""
        if not self.history:
            return _Proposal(None, 0)
        return _Proposal(self.rounded(), self.passes, quantise(self.champion, self.price.grid), min(self.history))


def _paper(
    engine: Engine, subjects: Sequence[Subject], starts: Sequence[torch.Tensor], search: Paper
) -> list[_Proposal]:
    """Run Algorithm 1 on one picture after the other: its l2 ball spans a whole picture."""
    return [_algorithm_1(engine, subject, start, search) for subject, start in zip(subjects, starts, strict=True)]


def _algorithm_1(engine: Engine, subject: Subject, start: torch.Tensor, search: Paper) -> _Proposal:
    """Source: Xu et al., Algorithm 1; random start, l2 ball over the whole picture, last iterate, as released."""
    generator = torch.Generator().manual_seed(search.seed)
    hr = subject.canvas.to(engine.device).to(torch.float32).div_(255)
    ball = _Ball(hr, search, generator)
    for _ in range(search.hr_steps):
        ball.descend(_hr_gradient(engine, subject, ball.moved()))
    if search.hr_steps:
        start = _whole_downscale(engine, ball.moved()).detach().clamp(0, 1)
    base = quantise(start, subject.grid)
    passes = 4 * search.hr_steps + (1 if search.hr_steps else 0) + 2 * search.lr_steps
    if not search.lr_steps:  # no random start either
        return _Proposal(base, passes)
    ball = _Ball(base, search, generator)
    for _ in range(search.lr_steps):
        ball.descend(engine.gradients([ball.moved()], [subject.task], [subject.target])[1][0])
    return _Proposal(quantise(ball.moved(), subject.grid), passes)


def _hr_gradient(engine: Engine, subject: Subject, hr: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the error by the HR, through downscaling, straight-through rounding and upscaling."""
    hr = hr.detach().requires_grad_()
    with torch.enable_grad():
        lr = _whole_downscale(engine, hr)
        _, slopes = engine.gradients(
            [quantise(lr.detach().clamp(0, 1), subject.grid)], [subject.task], [subject.target]
        )
        (gradient,) = torch.autograd.grad(lr, hr, slopes[0])
    return gradient


def _whole_downscale(engine: Engine, hr: torch.Tensor) -> torch.Tensor:
    """(C, H, W) -> (C, h, w) in one window, differentiable: the paper's l2 ball spans the whole picture."""
    grey = hr.shape[0] == 1
    lr = engine.backbone.downscale((hr.expand(3, -1, -1) if grey else hr)[None])[0]
    return lr.mean(0, keepdim=True) if grey else lr


class _Ball:
    """A perturbation inside an l2 ball around a picture, kept in [0, 1]."""

    def __init__(self, base: torch.Tensor, search: Paper, generator: torch.Generator) -> None:
        self.base = base
        self.search = search
        noise = torch.randn(base.shape, generator=generator).to(base.device)
        radius = float(torch.rand((), generator=generator)) * search.epsilon
        self.delta = self._project(noise * (radius / noise.norm()))

    def moved(self) -> torch.Tensor:
        """Return the perturbed picture."""
        return self.base + self.delta

    def descend(self, gradient: torch.Tensor) -> None:
        """Step against the gradient, normalised over the whole picture."""
        self.delta = self._project(self.delta - self.search.alpha * gradient / (gradient.norm() + 1e-10))

    def _project(self, delta: torch.Tensor) -> torch.Tensor:
        delta = delta * min(1.0, self.search.epsilon / (float(delta.norm()) + 1e-10))
        return (self.base + delta).clamp(0, 1) - self.base


def _steps(lr: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the grid's steps as (C, 1, 1)."""
    steps = grid.steps if lr.shape[0] == 3 else (grid.green,)
    return torch.tensor(steps, dtype=torch.float32, device=lr.device).view(-1, 1, 1)
