"""Run a network on a device: downscaling and the reference decode, over the tiles of one or several pictures.

A pass is one forward or one backward of a network over a whole picture. Pictures are lists of (C, h, w) tensors with
C = 3, or 1 for grey.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from hcdcodec.engine.devices import Precision, fast_type, find_device, forbid_short_products, precise, usual_batch_px
from hcdcodec.engine.grey import as_channels, as_rgb
from hcdcodec.engine.tile_batches import (
    Batch,
    Details,
    MemoryLimit,
    TileBatches,
    TileTask,
    gather_details,
    gather_windows,
)
from hcdcodec.errors import ModelError
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.native.library import manner
from hcdcodec.networks.noise import DetailsRule, draw_details
from hcdcodec.pictures.picture import Levels
from hcdcodec.tiles import Rect, Tile

NOT_A_NUMBER = "the network makes no finite picture of this; restore its weights, or choose another network"

_PINNED_MOST = 1 << 26
"""Bytes of a picture that may be pinned: they cannot be swapped, and torch keeps them for the next one."""


@dataclass(frozen=True)
class Engine:
    """A backbone with its device, precision and batch size.

    Attributes:
        backbone: the network, already on `device`.
        device: where it computes.
        fast: type of the convolutions during the search; reference passes are float32.
        batch_px: HR pixels in one batch; a batch always has at least one tile.
        is_compiled: whether the search uses torch.compile; reference passes never do.
        memory_limit: limits batches after memory was too small.
        stream: stream of a GPU for `at_work`; None on a CPU.
        on_work: is told after each batch how much was done: HR pixels of its windows, times passes.
    """

    backbone: Backbone
    device: torch.device
    fast: torch.dtype
    batch_px: int
    is_compiled: bool = False
    memory_limit: MemoryLimit = field(default_factory=MemoryLimit, compare=False)
    stream: torch.cuda.Stream | None = field(default=None, compare=False)
    on_work: Callable[[int], None] = field(default=lambda pixels: None, compare=False)

    @property
    def manner(self) -> str:
        """Return how it computes, for a line of text."""
        kind = str(self.fast).removeprefix("torch.")
        return f"{self.device}, {manner() if self.device.type == 'cpu' else 'CUDA'}, gradients in {kind}"

    def batches(self, tasks: Sequence[TileTask], passes: int = 1) -> TileBatches:
        """Return the tiles of pictures in batches that fit into memory, for so many passes over each."""
        limits = self.batch_px, self.memory_limit
        return TileBatches(tasks, self.backbone.scale, *limits, lambda pixels: self.on_work(passes * pixels))

    def at_work(self) -> contextlib.AbstractContextManager[object]:
        """Return the context for computing. On a GPU, engines do not wait for each other: each has a stream."""
        forbid_short_products(self.device)
        if self.stream is None:
            return contextlib.nullcontext()
        self.stream.wait_stream(torch.cuda.default_stream(self.device))  # which may still be moving the network
        return torch.cuda.stream(self.stream)

    def sent(self, levels: torch.Tensor) -> torch.Tensor:
        """Return uint8 levels on the device. A GPU copies them while the CPU continues."""
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
        sides = canvas.shape[1] // scale, canvas.shape[2] // scale
        lr = torch.empty(canvas.shape[0], *sides, dtype=torch.float32, device=self.device)
        with torch.inference_mode(), precise(self.device, torch.float32):
            for tile in tiles:
                rows, columns = tile.window.times(scale).slices()
                hr = self.to_unit(canvas[:, rows, columns])
                made = as_channels(self.backbone.downscale(as_rgb(hr)[None])[0], canvas.shape[0])
                lr[:, *tile.core.slices()] = made[:, *tile.core.within(tile.window).slices()]
                self.on_work(tile.window.times(scale).area)
        return lr.clamp_(0, 1).clone()

    def upscale(
        self, lrs: Sequence[torch.Tensor], tasks: Sequence[TileTask]
    ) -> Iterator[tuple[int, Rect, torch.Tensor]]:
        """Yield (picture, visible HR area, (C, H, W) float32 not clamped) for every tile: the reference decode."""

        def reconstruct(batch: Batch) -> torch.Tensor:
            with torch.inference_mode(), precise(self.device, torch.float32):
                details = gather_details(tasks, batch, self.device)
                return self.backbone.upscale(gather_windows(lrs, batch), details)

        for batch, made in self.batches(tasks).run(reconstruct):
            for (index, tile), hr in zip(batch, made, strict=True):
                channels = lrs[index].shape[0]
                yield index, *tasks[index].visible(tile, self.backbone.scale, as_channels(hr, channels))

    def errors(
        self, lrs: Sequence[torch.Tensor], tasks: Sequence[TileTask], targets: Sequence[torch.Tensor]
    ) -> list[float]:
        """Return the squared error of the reference decode in 8 bits, by picture, as a mean in levels squared.

        Raises:
            ModelError: one of them is not a number.
        """
        # Sums stay on the device until the end, because each read of a number would make the CPU wait for the GPU.
        sums = torch.zeros(len(lrs), dtype=torch.float64, device=self.device)
        for index, area, hr in self.upscale(lrs, tasks):
            target = targets[index][:, *area.slices()].to(self.device, torch.float32)
            levels = hr.clamp(0, 1).mul(255).round()
            sums[index] += (levels - target).square().sum(dtype=torch.float64)
        errors = [total / target.numel() for total, target in zip(sums.tolist(), targets, strict=True)]
        if not all(map(math.isfinite, errors)):
            raise ModelError(NOT_A_NUMBER)
        return errors

    def to_unit(self, levels: torch.Tensor) -> torch.Tensor:
        """Return uint8 levels as float32 in [0, 1] on the device."""
        return levels.to(self.device).to(torch.float32).div_(255)


def to_planar(levels: Levels) -> torch.Tensor:
    """(H, W, C) -> (C, H, W), a view."""
    # torch shares the memory, and warns unless the array is writable; Pillow's arrays are read-only.
    return torch.from_numpy(np.require(levels, requirements=["C", "W"])).permute(2, 0, 1)


def details_source(backbone: Backbone, rule: int, seed: int, scale: float) -> Details | None:
    """Return the function that draws the details z of a header's rule; None where they are zeros."""
    return None if rule == DetailsRule.ZEROS else partial(draw_details, backbone.details, seed=seed, scale=scale)


def engine_for(
    backbone: Backbone,
    device: str = "cpu",
    batch_px: int | None = None,
    *,
    is_compiled: bool = False,
    precision: Precision = Precision.AUTO,
) -> Engine:
    """Return the engine that suits a device.

    Args:
        backbone: any; it is moved to the device.
        device: "cpu", "cuda", "cuda:N" or "auto".
        batch_px: HR pixels in flight; default: `usual_batch_px`.
        is_compiled: the search goes through torch.compile.
        precision: float type of the search.

    Raises:
        UsageError: there is no such device.
    """
    place, batch_px = find_device(device), batch_px or usual_batch_px(device)
    fast = fast_type(precision, place, backbone)
    forbid_short_products(place)
    stream = torch.cuda.Stream(place) if place.type == "cuda" else None
    return Engine(backbone.to(place), place, fast, batch_px, is_compiled, stream=stream)
