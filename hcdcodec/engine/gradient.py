"""The gradient of a reconstruction's error by the LR: one forward and one backward pass of the upscaling network."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F

from hcdcodec.engine.block_colour import WEIGHT, block_means
from hcdcodec.engine.devices import precise
from hcdcodec.engine.engine import Engine
from hcdcodec.engine.grey import as_channels
from hcdcodec.engine.luma_weight import square_along_luma, weighed
from hcdcodec.engine.tile_batches import Batch, TileTask, gather_details, gather_windows
from hcdcodec.networks.base import Backbone

Upscale = Callable[[torch.Tensor, tuple[torch.Tensor, ...]], torch.Tensor]
"""`Backbone.upscale`, or what torch.compile makes of it."""

_COMPILED_MOST = 64
_COMPILING = threading.Lock()
"""Only one worker compiles at a time. Backward passes are compiled when they first run, also under this lock."""


@dataclass(frozen=True)
class LossGradient:
    """The results of a forward and a backward pass. They stay on the device.

    Attributes:
        errors: (pictures,) float64, mean squared errors in levels squared, not weighed.
        squares: (pictures,) float64, squared errors of values in [0, 1], summed over all pixels.
        along_luma: (pictures,) float64, the same along luma, see `luma_weight.square_along_luma`.
        losses: (pictures,) float64, what was differentiated: these weighed, and the errors of the means of blocks.
        slopes: for each picture the gradient of its loss by its LR, (C, h, w).
        residuals: for each picture what its reconstruction has too much, values in [0, 1], averaged over the pixels of
            each LR sample, (C, h, w); 0 where no pixel counts.
    """

    errors: torch.Tensor
    squares: torch.Tensor
    along_luma: torch.Tensor
    losses: torch.Tensor
    slopes: list[torch.Tensor]
    residuals: list[torch.Tensor]


def loss_gradient(
    engine: Engine,
    lrs: Sequence[torch.Tensor],
    tasks: Sequence[TileTask],
    targets: Sequence[torch.Tensor],
    lumas: Sequence[torch.Tensor | float] = (),
) -> LossGradient:
    """Run one forward and one backward pass in the engine's fast type.

    Args:
        engine: network, device and precision.
        lrs: (C, h, w) float32 in [0, 1] on the device, one a picture.
        tasks: one a picture.
        targets: (C, H, W) uint8 on any device, the true HR.
        lumas: weight of luma in the loss of each picture, see `luma_weight.weighed`; default: it counts no more.
    """
    lumas = lumas or [0.0] * len(lrs)
    sums = torch.zeros(3, len(lrs), dtype=torch.float64, device=engine.device)
    slopes, residuals = ([torch.zeros_like(lr) for lr in lrs] for _ in range(2))

    differentiate = partial(_differentiate, engine, lrs, tasks, targets, lumas)
    for batch, found in engine.batches(tasks, passes=2).run(differentiate):
        for (index, tile), summed, residual, slope in zip(batch, *found, strict=True):
            sums[:, index] += summed
            rows, columns = residual.shape[1:]
            residuals[index][:, *replace(tile.core, height=rows, width=columns).slices()] = residual
            # The LR of a grey picture fed three channels, so it collects the gradients of all three.
            whole = slope if lrs[index].shape[0] == 3 else slope.sum(0, keepdim=True)
            slopes[index][:, *tile.window.slices()] += whole
    samples = torch.tensor([target.numel() for target in targets], dtype=torch.float64)
    samples = samples.to(engine.device, non_blocking=True)
    squares, along_luma, loss = sums
    return LossGradient(squares * 255**2 / samples, squares, along_luma, loss, slopes, residuals)


def residual_slope(residual: torch.Tensor, luma: torch.Tensor | float) -> torch.Tensor:
    """Return the gradient of the weighed, summed square of a residual of clamped values.

    The mean of each block counts once more, see `block_colour`. The clamp itself is left out of the gradient. A pixel
    outside of [0, 1] costs nothing if its clamped value is right; otherwise it still has a gradient, which pulls it
    back.
    """
    return 2 * (weighed(residual, luma) + WEIGHT * block_means(residual))


def _differentiate(
    engine: Engine,
    lrs: Sequence[torch.Tensor],
    tasks: Sequence[TileTask],
    targets: Sequence[torch.Tensor],
    lumas: Sequence[torch.Tensor | float],
    batch: Batch,
) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Return of each tile (squared error, the same along luma, loss), its residual, and the gradient by the windows."""
    sums, residuals = [], []
    turn = _COMPILING if engine.is_compiled else contextlib.nullcontext()
    with turn, torch.enable_grad(), precise(engine.device, engine.fast):
        upscale = _compile(engine.backbone) if engine.is_compiled else engine.backbone.upscale
        windows = gather_windows(lrs, batch)
        made = upscale(windows, gather_details(tasks, batch, engine.device))
        slopes = torch.zeros_like(made)
        for slot, (index, tile) in enumerate(batch):
            channels, scale = lrs[index].shape[0], engine.backbone.scale
            area, seen = tasks[index].visible(tile, scale, as_channels(made[slot].detach(), channels))
            residual = seen.clamp(0, 1) - engine.to_unit(targets[index][:, *area.slices()])
            inner = area.within(tile.window.times(scale)).slices()
            slope = residual_slope(residual, lumas[index])
            square, loss = _dot(residual, residual), _dot(slope, residual) / 2
            residuals.append(F.avg_pool2d(residual, scale, ceil_mode=True, count_include_pad=False))
            sums.append(torch.stack((square, square_along_luma(residual).double(), loss)))
            slopes[slot, :, *inner] = slope if channels == 3 else slope / 3
        (back,) = torch.autograd.grad(_Slopes.apply(made, slopes), windows)  # type: ignore[no-untyped-call]
    return sums, residuals, back


class _Slopes(torch.autograd.Function):
    """Let given slopes go back from an output.

    `torch.autograd.grad` would take them, too, but it imports sympy to compare their shapes, which takes 0.3 s.
    """

    @staticmethod
    def forward(ctx: Any, made: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(slopes)
        return made.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[torch.Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return slopes, None


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.dot(a.flatten(), b.flatten()).double()


@cache
def _compile(backbone: Backbone) -> Upscale:
    """Return the network's upscaling, compiled for all sizes of windows at once; as it is, where nothing can compile.

    All networks of a kind share one cache of what is compiled, and each device and special size takes a place in it.
    """
    # PyTorch 2.6 knows the limit by this name alone; later releases take it for recompile_limit.
    torch._dynamo.config.cache_size_limit = max(_COMPILED_MOST, torch._dynamo.config.cache_size_limit)
    torch._dynamo.config.suppress_errors = True
    return torch.compile(backbone.upscale, dynamic=True)
