"""Passes of a backbone over the tiles of one or several pictures: full batches, bounded memory, one precision.

A pass is one forward or one backward of a network over a whole picture. Pictures are lists of (C, h, w) tensors with
C = 3, or 1 for grey: the networks then see three copies and the mean of their three channels counts.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TypeVar

import torch

from hcdcodec.engine.devices import find_device, gains_by_bfloat16, is_shortage, precise, usual_batch_px
from hcdcodec.engine.luma_weight import weighed
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.noise import DetailsRule, draw_details
from hcdcodec.tiles import Rect, Tile

Details = Callable[[Rect], tuple[torch.Tensor, ...]]
"""Details z, each (1, C, h, w), for a window of LR samples."""

Batch = Sequence[tuple[int, Tile]]
"""Tiles whose windows have one size, each with the index of its picture."""

Upscale = Callable[[torch.Tensor, tuple[torch.Tensor, ...]], torch.Tensor]
"""`Backbone.upscale`, or what torch.compile makes of it."""

Made = TypeVar("Made")

_PINNED_MOST = 1 << 26
"""Bytes of a picture that may be pinned: they cannot be swapped, and torch keeps them for the next one."""

_COMPILED_MOST = 64
_COMPILING = threading.Lock()
"""Workers compile in turn; backward passes are compiled when they first run."""


@dataclass(frozen=True)
class Task:
    """The geometry of one picture on its way through a network.

    Attributes:
        height: HR rows that count; the canvas may have more.
        width: HR columns that count.
        tiles: tile plan over the LR.
        details: details z by window; None = zeros.
    """

    height: int
    width: int
    tiles: tuple[Tile, ...]
    details: Details | None = None

    def visible(self, core: Rect, scale: int) -> Rect:
        """Return the HR area of a core without the padding of the canvas."""
        area = core.times(scale)
        height, width = min(area.height, self.height - area.top), min(area.width, self.width - area.left)
        return Rect(area.top, area.left, max(height, 0), max(width, 0))


@dataclass
class Room:
    """How much a device's memory was seen to hold; copies of an engine share what was learnt.

    Attributes:
        pixels: HR pixels in flight that are still worth a try; None = nothing has failed yet.
    """

    pixels: int | None = None


@dataclass(frozen=True)
class Engine:
    """A backbone, where and how precisely it computes, and how much at once.

    Attributes:
        backbone: the network, already on `device`.
        device: where it computes.
        fast: type of the convolutions during the search; reference passes are float32.
        batch_px: HR pixels in flight; at least one tile always is.
        is_compiled: the search goes through torch.compile; reference passes never do.
        room: halves batches once memory did not suffice.
        stream: of a GPU, for `at_work`; None elsewhere.
    """

    backbone: Backbone
    device: torch.device
    fast: torch.dtype
    batch_px: int
    is_compiled: bool = False
    room: Room = field(default_factory=Room, compare=False)
    stream: torch.cuda.Stream | None = field(default=None, compare=False)

    def at_work(self) -> contextlib.AbstractContextManager[object]:
        """Return the context to compute in: on a GPU, engines copy and compute beside each other, not in turn."""
        if self.stream is None:
            return contextlib.nullcontext()
        self.stream.wait_stream(torch.cuda.default_stream(self.device))  # which may still be moving the network
        return torch.cuda.stream(self.stream)

    def sent(self, levels: torch.Tensor) -> torch.Tensor:
        """Return uint8 levels on the device; a GPU fetches them while the CPU goes on."""
        if self.device.type == "cuda" and levels.numel() <= _PINNED_MOST:
            levels = levels.pin_memory()
        return levels.to(self.device, non_blocking=True)

    def downscale(self, canvas: torch.Tensor, tiles: Sequence[Tile]) -> torch.Tensor:
        """Downscale one picture.

        Args:
            canvas: (C, H, W) uint8 on any device, H and W multiples of the backbone's.
            tiles: tile plan over the LR.

        Returns:
            (C, H / scale, W / scale) float32 in [0, 1] on the device, not rounded.
        """
        scale = self.backbone.scale
        lr = torch.empty(canvas.shape[0], canvas.shape[1] // scale, canvas.shape[2] // scale, device=self.device)
        with torch.inference_mode(), precise(self.device, torch.float32):
            for tile in tiles:
                rows, columns = tile.window.times(scale).slices()
                hr = self._to_unit(canvas[:, rows, columns])
                made = _as_channels(self.backbone.downscale(_as_rgb(hr)[None])[0], canvas.shape[0])
                lr[:, *tile.core.slices()] = made[:, *tile.core.within(tile.window).slices()]
        return lr.clamp_(0, 1).clone()

    def upscale(self, lrs: Sequence[torch.Tensor], tasks: Sequence[Task]) -> Iterator[tuple[int, Rect, torch.Tensor]]:
        """Yield (picture, visible HR area, (C, H, W) float32 not clamped) for every tile: the reference decode."""
        for batch, made in self._computed(tasks, partial(self._reference, lrs, tasks)):
            for (index, tile), hr in zip(batch, made, strict=True):
                yield index, *self._visible(tasks[index], tile, _as_channels(hr, lrs[index].shape[0]))

    def errors(
        self, lrs: Sequence[torch.Tensor], tasks: Sequence[Task], targets: Sequence[torch.Tensor]
    ) -> list[float]:
        """Return the squared error of the reference decode in 8 bits, by picture, as a mean in levels squared."""
        sums = self._zeros(len(lrs))
        for index, area, hr in self.upscale(lrs, tasks):
            target = targets[index][:, *area.slices()].to(self.device, torch.float32)
            levels = hr.clamp(0, 1).mul(255).round()
            sums[index] += (levels - target).square().sum(dtype=torch.float64)
        return [total / target.numel() for total, target in zip(sums.tolist(), targets, strict=True)]

    def gradients(
        self,
        lrs: Sequence[torch.Tensor],
        tasks: Sequence[Task],
        targets: Sequence[torch.Tensor],
        luma: float = 0.0,
    ) -> tuple[list[float], list[torch.Tensor]]:
        """Run one forward and one backward pass.

        The error is that of the clamped reconstruction, but the gradient passes the clamp: a pixel that overshoots
        into its target costs nothing, one that hangs outside is still pulled back.

        Args:
            lrs: (C, h, w) float32 in [0, 1] on the device, one a picture.
            tasks: one a picture.
            targets: (C, H, W) uint8 on any device, the true HR.
            luma: weight of luma in what the gradient is of, see `luma.weighed`.

        Returns:
            For each picture the mean squared error in levels squared, unweighted, and the gradient by `lrs` of the
            weighted one, summed over all pixels.
        """
        sums = self._zeros(len(lrs))
        gradients = [torch.zeros_like(lr) for lr in lrs]
        for batch, found in self._computed(tasks, partial(self._slopes, lrs, tasks, targets, luma)):
            for (index, tile), square, slope in zip(batch, *found, strict=True):
                sums[index] += square
                # The LR of a grey picture fed three channels, so it collects the gradients of all three.
                gradients[index][:, *tile.window.slices()] += (
                    slope if lrs[index].shape[0] == 3 else slope.sum(0, keepdim=True)
                )
        errors = [total * 255**2 / target.numel() for total, target in zip(sums.tolist(), targets, strict=True)]
        return errors, gradients

    def _reference(self, lrs: Sequence[torch.Tensor], tasks: Sequence[Task], batch: Batch) -> torch.Tensor:
        """Return the reconstruction of a batch, (B, 3, H, W) float32."""
        with torch.inference_mode(), precise(self.device, torch.float32):
            return self._run(self.backbone.upscale, batch, lrs, tasks)[1]

    def _slopes(
        self,
        lrs: Sequence[torch.Tensor],
        tasks: Sequence[Task],
        targets: Sequence[torch.Tensor],
        luma: float,
        batch: Batch,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the squared error of each tile, and the gradient of the weighted one by the windows, (B, 3, h, w)."""
        squares = []
        turn = _COMPILING if self.is_compiled else contextlib.nullcontext()
        with turn, torch.enable_grad(), precise(self.device, self.fast):
            upscale = _compiled(self.backbone) if self.is_compiled else self.backbone.upscale
            windows, made = self._run(upscale, batch, lrs, tasks)
            slopes = torch.zeros_like(made)
            for slot, (index, tile) in enumerate(batch):
                hr = _as_channels(made[slot].detach(), lrs[index].shape[0])
                area, seen = self._visible(tasks[index], tile, hr)
                residual = seen.clamp(0, 1) - self._to_unit(targets[index][:, *area.slices()])
                squares.append(residual.square().sum(dtype=torch.float64))
                rows, columns = area.within(tile.window.times(self.backbone.scale)).slices()
                slopes[slot, :, rows, columns] = 2 * weighed(residual, luma) / (3 / lrs[index].shape[0])
            (back,) = torch.autograd.grad(made, windows, slopes)
        return squares, back

    def _run(
        self, upscale: Upscale, batch: Batch, lrs: Sequence[torch.Tensor], tasks: Sequence[Task]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (windows, their reconstruction), both (B, 3, ...) float32."""
        windows = torch.stack([_as_rgb(lrs[index][:, *tile.window.slices()]) for index, tile in batch])
        windows = windows.detach().contiguous(memory_format=torch.channels_last)
        windows.requires_grad_(torch.is_grad_enabled())
        details: tuple[torch.Tensor, ...] = ()
        sources = [tasks[index].details for index, _ in batch]
        if any(sources):
            made = [source(tile.window) for source, (_, tile) in zip(sources, batch, strict=True) if source]
            details = tuple(torch.cat(planes).to(self.device) for planes in zip(*made, strict=True))
        return windows, upscale(windows, details)

    def _visible(self, task: Task, tile: Tile, hr: torch.Tensor) -> tuple[Rect, torch.Tensor]:
        """Return the visible HR area of a tile's core and the pixels of the window that lie in it."""
        area = task.visible(tile.core, self.backbone.scale)
        return area, hr[:, *area.within(tile.window.times(self.backbone.scale)).slices()]

    def _computed(self, tasks: Sequence[Task], compute: Callable[[Batch], Made]) -> Iterator[tuple[Batch, Made]]:
        """Yield every batch of the pictures' tiles, and what `compute` makes of it.

        Raises:
            MemoryError: it does not suffice for a single tile.
        """
        for group in _by_shape(tasks):
            tile_px = group[0][1].window.times(self.backbone.scale).area
            start = 0
            while start < len(group):
                batch = group[start : start + max(1, self._in_flight_px // tile_px)]
                made = self._attempt(compute, batch, tile_px)
                if made is not None:
                    yield batch, made
                    start += len(batch)

    def _attempt(self, compute: Callable[[Batch], Made], batch: Batch, tile_px: int) -> Made | None:
        """Return what `compute` makes of a batch; None where memory does not suffice: then the next ones are smaller.

        Nothing is lost by that, since `compute` changes nothing. What it took is free again once this has returned.
        """
        try:
            return compute(batch)
        except RuntimeError as error:
            if not is_shortage(error):
                raise
            if len(batch) == 1:
                raise MemoryError from error
        self.room.pixels = len(batch) // 2 * tile_px
        return None

    @property
    def _in_flight_px(self) -> int:
        return self.batch_px if self.room.pixels is None else min(self.batch_px, self.room.pixels)

    def _zeros(self, count: int) -> torch.Tensor:
        """Return sums to add to on the device: looking at each of them would stop a GPU each time."""
        return torch.zeros(count, dtype=torch.float64, device=self.device)

    def _to_unit(self, levels: torch.Tensor) -> torch.Tensor:
        """Return uint8 levels as float32 in [0, 1] on the device."""
        return levels.to(self.device).to(torch.float32).div_(255)


def details_source(backbone: Backbone, rule: int, seed: int, scale: float) -> Details | None:
    """Return what draws the details z of a header's rule; None where they are zeros."""
    if rule == DetailsRule.ZEROS:
        return None
    return partial(draw_details, backbone.details, rule=rule, seed=seed, scale=scale)


def engine_for(
    backbone: Backbone, device: str = "cpu", batch_px: int | None = None, *, is_compiled: bool = False
) -> Engine:
    """Return the engine that suits a device.

    Args:
        backbone: any; it is moved to the device.
        device: "cpu", "cuda" or "cuda:N".
        batch_px: HR pixels in flight; default: `usual_batch_px`.
        is_compiled: the search goes through torch.compile.

    Raises:
        UsageError: there is no such device.
    """
    place, batch_px = find_device(device), batch_px or usual_batch_px(device)
    if place.type == "cuda":
        # The reference decode is float32 on every device; TF32 would flip levels.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        stream = torch.cuda.Stream(place)  # type: ignore[no-untyped-call]
        return Engine(backbone.to(place), place, torch.bfloat16, batch_px, is_compiled, stream=stream)
    fast = torch.bfloat16 if gains_by_bfloat16() else torch.float32
    return Engine(backbone.to(place), place, fast, batch_px, is_compiled)


@cache
def _compiled(backbone: Backbone) -> Upscale:
    """Return the network's upscaling, compiled for all sizes of windows at once; as it is, where nothing can compile.

    All networks of a kind share one cache of what is compiled, and each device and special size takes a place in it.
    """
    torch._dynamo.config.recompile_limit = max(_COMPILED_MOST, torch._dynamo.config.recompile_limit)
    torch._dynamo.config.suppress_errors = True
    return torch.compile(backbone.upscale, dynamic=True)


def _by_shape(tasks: Sequence[Task]) -> list[list[tuple[int, Tile]]]:
    """Return lists of (picture, tile) whose windows have one size, and all or none of which have details."""
    groups: dict[tuple[int, int, bool], list[tuple[int, Tile]]] = {}
    for index, task in enumerate(tasks):
        for tile in task.tiles:
            key = (tile.window.height, tile.window.width, task.details is None)
            groups.setdefault(key, []).append((index, tile))
    return list(groups.values())


def _as_rgb(planes: torch.Tensor) -> torch.Tensor:
    """(1 or 3, h, w) -> (3, h, w)."""
    return planes if planes.shape[0] == 3 else planes.expand(3, -1, -1)


def _as_channels(planes: torch.Tensor, channels: int) -> torch.Tensor:
    """(3, h, w) -> (channels, h, w): the mean, for grey."""
    return planes if channels == 3 else planes.mean(0, keepdim=True)
