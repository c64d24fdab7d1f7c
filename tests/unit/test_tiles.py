"""Tiles cover every sample once, with context, in windows of one size."""

import itertools
import math

import numpy as np
import pytest

from hcdcodec.tiles import Rect, Tile, choose_tile, count_windows, largest_tile, plan

SIZES = (1, 2, 7, 8, 9, 14, 15, 16, 40, 41)
TILES = [(0, 3), (1, 0), (1, 2), (4, 0), (8, 3), (64, 1)]


def whole(height: int, width: int) -> Rect:
    return Rect(0, 0, height, width)


def holds(outer: Rect, inner: Rect) -> bool:
    return (
        outer.top <= inner.top
        and outer.left <= inner.left
        and inner.top + inner.height <= outer.top + outer.height
        and inner.left + inner.width <= outer.left + outer.width
    )


@pytest.mark.parametrize(("tile", "halo"), TILES)
def test_cores_partition_the_picture_and_have_their_context(tile: int, halo: int) -> None:
    for height, width in itertools.product(SIZES, SIZES):
        owners = np.zeros((height, width), int)
        for each in plan(height, width, tile, halo):
            owners[each.core.slices()] += 1
            assert holds(whole(height, width), each.window)
            # Context ends only where the picture does.
            assert each.core.top - each.window.top >= min(halo, each.core.top)
            assert each.core.left - each.window.left >= min(halo, each.core.left)
            below, behind = height - each.core.top - each.core.height, width - each.core.left - each.core.width
            assert each.window.top + each.window.height - each.core.top - each.core.height >= min(halo, below)
            assert each.window.left + each.window.width - each.core.left - each.core.width >= min(halo, behind)
        assert (owners == 1).all()


@pytest.mark.parametrize(("tile", "halo"), TILES)
def test_windows_have_one_size(tile: int, halo: int) -> None:
    side = tile + 2 * halo
    for height, width in itertools.product(SIZES, SIZES):
        expected = {(min(height, side), min(width, side)) if tile else (height, width)}
        assert {(each.window.height, each.window.width) for each in plan(height, width, tile, halo)} == expected


def test_no_more_tiles_than_needed() -> None:
    assert len(plan(100, 60, 0, 3)) == 1
    assert len(plan(14, 14, 8, 3)) == 1
    assert len(plan(15, 14, 8, 3)) == 2
    assert len(plan(64, 64, 8, 0)) == 64


def test_a_plan_is_the_same_every_time_and_in_row_order() -> None:
    tiles = plan(40, 41, 8, 3)
    assert tiles == plan(40, 41, 8, 3)
    assert list(tiles) == sorted(tiles, key=lambda each: (each.core.top, each.core.left))
    assert tiles[0] == Tile(Rect(0, 0, 14, 14), Rect(0, 0, 11, 11))


def test_rectangles() -> None:
    area = Rect(2, 3, 4, 5)
    assert area.times(4) == Rect(8, 12, 16, 20)
    assert area.within(Rect(1, 1, 10, 10)) == Rect(1, 2, 4, 5)
    assert np.arange(100).reshape(10, 10)[area.slices()].shape == (4, 5)
    assert np.arange(100).reshape(10, 10)[area.slices()][0, 0] == 23


@pytest.mark.parametrize("halo_px", [3, 16, 24, 46, None])
@pytest.mark.parametrize("size", [(1, 1), (300, 300), (375, 500), (750, 1000), (1001, 1499), (1, 200_000), (9000, 7)])
def test_the_chosen_tile_computes_least(size: tuple[int, int], halo_px: int | None) -> None:
    largest, halo = largest_tile(halo_px)
    chosen, halo_chosen = choose_tile(*size, halo_px)
    work = {core: math.prod(count_windows(*size, core, halo)) for core in (*range(8, 520), chosen)}
    fitting = [work[core] for core in work if count_windows(*size, core, halo)[1] <= (largest + 2 * halo) ** 2]
    assert work[chosen] == min(fitting)
    assert (chosen == largest) == (work[largest] == min(fitting))
    assert halo_chosen == halo and chosen < 1 << 16
