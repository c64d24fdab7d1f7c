"""Algorithm 1 of the paper, for comparison."""

from collections.abc import Sequence

import torch

from hcdcodec.codec.search.options import Paper
from hcdcodec.codec.search.picture_search import PictureSearch
from hcdcodec.codec.search.subject import Subject, quantise
from hcdcodec.engine.engine import Engine
from hcdcodec.engine.gradient import loss_gradient
from hcdcodec.engine.grey import as_channels, as_rgb


def search_paper(engine: Engine, pictures: Sequence[PictureSearch], search: Paper) -> None:
    """Run Algorithm 1 on one picture after the other: its l2 ball spans a whole picture."""
    for picture in pictures:
        picture.last = _algorithm_1(engine, picture.subject, picture.start, search)
        picture.passes += 4 * search.hr_steps + (1 if search.hr_steps else 0) + 2 * search.lr_steps


def _algorithm_1(engine: Engine, subject: Subject, start: torch.Tensor, search: Paper) -> torch.Tensor:
    """Return the last iterate, rounded.

    Source: Xu et al., Algorithm 1; random start, l2 ball over the whole picture, last iterate, as released.
    """
    generator = torch.Generator().manual_seed(search.seed)
    hr = engine.to_unit(subject.canvas)
    ball = _Ball(hr, search, generator)
    for _ in range(search.hr_steps):
        ball.descend(_hr_gradient(engine, subject, ball.moved()))
    if search.hr_steps:
        start = _whole_downscale(engine, ball.moved()).detach().clamp(0, 1)
        engine.on_work(subject.task.window_px(engine.backbone.scale))
    base = quantise(start, subject.grid)
    if not search.lr_steps:  # no random start either
        return base
    ball = _Ball(base, search, generator)
    for _ in range(search.lr_steps):
        ball.descend(_lr_gradient(engine, subject, ball.moved()))
    return quantise(ball.moved(), subject.grid)


def _lr_gradient(engine: Engine, subject: Subject, lr: torch.Tensor) -> torch.Tensor:
    return loss_gradient(engine, [lr], [subject.task], [subject.target]).slopes[0]


def _hr_gradient(engine: Engine, subject: Subject, hr: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the error by the HR, through downscaling, straight-through rounding and upscaling."""
    hr = hr.detach().requires_grad_()
    with torch.enable_grad():
        lr = _whole_downscale(engine, hr)
        slope = _lr_gradient(engine, subject, quantise(lr.detach().clamp(0, 1), subject.grid))
        (gradient,) = torch.autograd.grad(lr, hr, slope)
    engine.on_work(2 * subject.task.window_px(engine.backbone.scale))
    return gradient


def _whole_downscale(engine: Engine, hr: torch.Tensor) -> torch.Tensor:
    """(C, H, W) -> (C, h, w) in one window, differentiable: the paper's l2 ball spans the whole picture."""
    return as_channels(engine.backbone.downscale(as_rgb(hr)[None])[0], hr.shape[0])


class _Ball:
    """A perturbation inside an l2 ball around a picture, kept in [0, 1]."""

    def __init__(self, base: torch.Tensor, search: Paper, generator: torch.Generator) -> None:
        self.base = base
        self.search = search
        noise = torch.randn(base.shape, generator=generator, dtype=torch.float32).to(base.device)
        radius = float(torch.rand((), generator=generator, dtype=torch.float32)) * search.epsilon
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
