"""Does the mean colour of each block of 32 x 32 pixels stay within half a level? By quality, from decoded files.

    HCDCODEC_IMAGES=images python -m benchmarks.checks.block_means --set val --crop 256

A block is flat if no colour in it has a standard deviation of 4 levels. There a tint could be seen.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.common import pictures, record, round_trip
from benchmarks.common.pictures import PictureSet
from hcdcodec.codec.search.options import DEFAULT_EFFORT, search_of
from hcdcodec.engine.block_colour import BLOCK_PX
from hcdcodec.engine.engine import Engine

QUALITIES = (100, 75, 49, 40)
FLAT = 4.0
"""Standard deviation in levels below which a block is flat."""

Blocks = npt.NDArray[np.float64]
"""(rows, columns, pixels, colours)."""


def main() -> None:
    """Measure every set and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--qualities", type=int, nargs="+", default=list(QUALITIES))
    given = record.parse(parser, pictures, round_trip)
    engine = round_trip.engine_of(given, scale=given.scale)
    for pictured in pictures.chosen(given, given.scale):
        rows = [{"quality": quality, **_measure(engine, pictured, quality)} for quality in given.qualities]
        record.say(rows)
        record.write_csv(given.out / f"block_means_{given.backbone}_x{given.scale}_{pictured.name}.csv", rows)


def _measure(engine: Engine, pictured: PictureSet, quality: int) -> record.Row:
    """Return what became of the means of all blocks, and those of flat blocks, in per cent and levels."""
    found = list(_errors(engine, pictured, quality))
    errors, is_flat = (np.concatenate(parts) for parts in zip(*found, strict=True))
    flat = errors[is_flat]
    return {
        "blocks": len(errors),
        "mean": errors.mean(),
        "over_half_percent": 100 * (errors > 0.5).mean(),
        "worst": errors.max(),
        "flat": len(flat),
        "flat_over_half_percent": 100 * (flat > 0.5).mean() if len(flat) else None,
        "flat_worst": flat.max() if len(flat) else None,
    }


def _errors(engine: Engine, pictured: PictureSet, quality: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each picture the absolute errors of the means, and whether they are of flat blocks."""
    for _, picture in pictured:
        decoded = round_trip.travel(engine, picture, search_of(DEFAULT_EFFORT), quality).decoded
        before, after = _blocks(picture.pixels), _blocks(decoded)
        errors = np.abs(after.mean(2) - before.mean(2))
        is_flat = np.broadcast_to(before.std(2).max(-1, keepdims=True) < FLAT, errors.shape)
        yield errors.ravel(), is_flat.ravel()


def _blocks(pixels: np.ndarray) -> Blocks:
    """Return the whole blocks of a picture."""
    down, across = (side // BLOCK_PX for side in pixels.shape[:2])
    whole = pixels[: down * BLOCK_PX, : across * BLOCK_PX].astype(np.float64)
    split = whole.reshape(down, BLOCK_PX, across, BLOCK_PX, -1).swapaxes(1, 2)
    return split.reshape(down, across, BLOCK_PX * BLOCK_PX, -1)


if __name__ == "__main__":
    main()
