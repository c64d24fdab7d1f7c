"""Put the tiles of one or several pictures into full batches, and into smaller ones where memory is too small."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from hcdcodec.engine.devices import is_shortage
from hcdcodec.engine.grey import as_rgb
from hcdcodec.tiles import Rect, Tile

Details = Callable[[Rect], tuple[torch.Tensor, ...]]
"""Details z, each (1, C, h, w), for a window of LR samples."""

Batch = Sequence[tuple[int, Tile]]
"""Tiles whose windows have one size, each with the index of its picture."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class TileTask:
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

    def visible(self, tile: Tile, scale: int, hr: torch.Tensor) -> tuple[Rect, torch.Tensor]:
        """Return the HR area of a tile's core without the padding of the canvas, and its part of the window `hr`."""
        core = tile.core.times(scale)
        height, width = min(core.height, self.height - core.top), min(core.width, self.width - core.left)
        area = Rect(core.top, core.left, max(height, 0), max(width, 0))
        return area, hr[:, *area.within(tile.window.times(scale)).slices()]

    def window_px(self, scale: int) -> int:
        """Return the HR pixels of all windows: what one pass computes."""
        return sum(tile.window.times(scale).area for tile in self.tiles)


@dataclass
class MemoryLimit:
    """The largest batch that the memory of a device can hold, as far as known. Copies of an engine share it.

    Attributes:
        pixels: largest number of HR pixels to try; None = no batch has failed yet.
    """

    pixels: int | None = None


@dataclass(frozen=True)
class TileBatches:
    """The tiles of some pictures, in batches of one shape each.

    Attributes:
        tasks: one a picture.
        scale: HR size / LR size.
        batch_px: HR pixels in flight; at least one tile always is.
        limit: what memory was seen to hold; it falls where a batch fails.
        on_batch: is told the HR pixels of each batch after it was computed.
    """

    tasks: Sequence[TileTask]
    scale: int
    batch_px: int
    limit: MemoryLimit
    on_batch: Callable[[int], None]

    def run(self, compute: Callable[[Batch], Made]) -> Iterator[tuple[Batch, Made]]:
        """Yield every batch, and what `compute` makes of it.

        Raises:
            MemoryError: it does not suffice for a single tile.
        """
        for group in self._by_shape():
            tile_px = group[0][1].window.times(self.scale).area
            start = 0
            while start < len(group):
                most_px = min(self.batch_px, self.limit.pixels or self.batch_px)
                batch = group[start : start + max(1, most_px // tile_px)]
                made = self._try(compute, batch, tile_px)
                if made is not None:
                    self.on_batch(len(batch) * tile_px)
                    yield batch, made
                    start += len(batch)

    def _try(self, compute: Callable[[Batch], Made], batch: Batch, tile_px: int) -> Made | None:
        """Return the result of `compute` for a batch; None where memory is too small, and later batches are smaller.

        The batch can be repeated, since `compute` has no side effects. Its memory is free again after this function.
        """
        try:
            return compute(batch)
        except RuntimeError as error:
            if not is_shortage(error):
                raise
            if len(batch) == 1:
                raise MemoryError from error
        self.limit.pixels = len(batch) // 2 * tile_px
        return None

    def _by_shape(self) -> list[list[tuple[int, Tile]]]:
        """Return lists of (picture, tile) whose windows have one size, and all or none of which have details."""
        groups: dict[tuple[int, int, bool], list[tuple[int, Tile]]] = {}
        for index, task in enumerate(self.tasks):
            for tile in task.tiles:
                key = (tile.window.height, tile.window.width, task.details is None)
                groups.setdefault(key, []).append((index, tile))
        return list(groups.values())


def gather_windows(lrs: Sequence[torch.Tensor], batch: Batch) -> torch.Tensor:
    """Return the LR windows of a batch, (B, 3, h, w) float32, as a leaf that takes gradients where they are on."""
    windows = torch.stack([as_rgb(lrs[index][:, *tile.window.slices()]) for index, tile in batch])
    windows = windows.detach().contiguous(memory_format=torch.channels_last)
    return windows.requires_grad_(torch.is_grad_enabled())


def gather_details(tasks: Sequence[TileTask], batch: Batch, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Return the details z of a batch, each (B, C, h, w); empty where they are zeros."""
    made = [source(tile.window) for index, tile in batch if (source := tasks[index].details)]
    return tuple(torch.cat(planes).to(device) for planes in zip(*made, strict=True))
