"""Tile plans: pure geometry in LR samples.

A plan covers a (height, width) LR with windows of one size. Each window has a core. The cores cover the LR without
overlap. On each side of its core, a window has at least `halo` samples of context, unless the border of the LR is
nearer. At the borders, windows are moved inwards and never padded, so a network sees the same border as in the whole
picture.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

TILE = 256
"""Core of the largest square tile in LR samples. At x4, a picture of up to about one megapixel is one tile."""

DISTANT_TILE, DISTANT_HALO = 96, 16
"""The same, and the halo, for networks whose full halo costs too much.

With these, tiles change pixels slightly. The header stores the plan and the search uses it, so both sides agree.
"""

_CORE_MOST = 0xFFFF
"""The header has two bytes for a core."""


@dataclass(frozen=True)
class Rect:
    """Half-open rectangle of LR samples."""

    top: int
    left: int
    height: int
    width: int

    @property
    def area(self) -> int:
        """Rows times columns."""
        return self.height * self.width

    def times(self, factor: int) -> "Rect":
        """Return the same area on a grid `factor` times finer."""
        return Rect(self.top * factor, self.left * factor, self.height * factor, self.width * factor)

    def slices(self) -> tuple[slice, slice]:
        """Return (rows, columns) for indexing the last two axes."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def within(self, outer: "Rect") -> "Rect":
        """Return the same area relative to the corner of `outer`."""
        return Rect(self.top - outer.top, self.left - outer.left, self.height, self.width)


@dataclass(frozen=True)
class Tile:
    """A window to compute, and its core, which is kept."""

    window: Rect
    core: Rect


def plan(height: int, width: int, tile: int, halo: int) -> tuple[Tile, ...]:
    """Cover an LR with equal windows.

    Args:
        height: LR height.
        width: LR width.
        tile: largest size of a core, at least 1; 0 = one window for the whole LR.
        halo: samples of context on each side of a core.

    Returns:
        Tiles in row order; one tile where the LR is not larger than a window.
    """
    # All windows have one size, so that tiles of one picture, and of several, can share a batch.
    return tuple(
        Tile(Rect(top, left, window_h, window_w), Rect(core_top, core_left, core_h, core_w))
        for top, window_h, core_top, core_h in _spans(height, tile, halo)
        for left, window_w, core_left, core_w in _spans(width, tile, halo)
    )


def largest_tile(halo_px: int | None) -> tuple[int, int]:
    """Return core and halo of the largest square tile that the encoder plans for a network; see `Backbone.halo_px`."""
    return (DISTANT_TILE, DISTANT_HALO) if halo_px is None else (TILE, halo_px)


def choose_tile(height: int, width: int, halo_px: int | None) -> tuple[int, int]:
    """Return the core and halo whose plan for an LR computes the fewest samples.

    Windows have one size, so the last one overlaps the one before it by all that is left over. Of 750 x 1000 samples
    with a halo of 24, each is computed 1.48 times with cores of 256, and 1.31 times with the cores that are chosen.

    Args:
        height: LR height.
        width: LR width.
        halo_px: of the network, see `Backbone.halo_px`.
    """
    tile, halo = largest_tile(halo_px)
    # For each number of windows along an axis, the smallest core that suffices. Larger cores only overlap more.
    inner = [length - 2 * halo for length in (height, width) if length > 2 * halo]
    cores = {-(-length // count) for length in inner for count in range(1, length // halo + 2)}
    costs = {core: count_windows(height, width, core, halo) for core in (tile, *sorted(cores, reverse=True))}
    fitting = [core for core, (_, samples) in costs.items() if samples <= (tile + 2 * halo) ** 2 and core <= _CORE_MOST]
    return min(fitting, key=lambda core: math.prod(costs[core])), halo


def count_windows(height: int, width: int, tile: int, halo: int) -> tuple[int, int]:
    """Return the number of windows in a plan, and the samples of each, without making the plan."""
    # A stranger's header can ask for a plan of millions of tiles. This checks it before `plan` builds them.
    down, high = _count(height, tile, halo)
    across, wide = _count(width, tile, halo)
    return down * across, high * wide


def _count(length: int, tile: int, halo: int) -> tuple[int, int]:
    """Return the number of windows along one axis, and their length."""
    window = tile + 2 * halo
    if tile == 0 or length <= window:
        return 1, length
    return 1 + -(-(length - window) // tile), window


def _spans(length: int, tile: int, halo: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (window start, window length, core start, core length) along one axis."""
    count, window = _count(length, tile, halo)
    # The last window is moved inwards to end at the border, so it may overlap the one before it by more than a halo.
    starts = [*(tile * i for i in range(count - 1)), length - window]
    for i, start in enumerate(starts):
        # The first core begins at the border, and the last one ends there: no context is needed beyond it.
        core = start + halo if i else 0
        end = starts[i + 1] + halo if i + 1 < len(starts) else length
        yield start, window, core, end - core
