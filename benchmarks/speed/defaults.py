"""What 'hcdcodec encode' does with all defaults, beside the same network without a search: quality, bytes and seconds.

    python -m benchmarks.speed.defaults --limit 1 --crop 128
    HCDCODEC_IMAGES=images python -m benchmarks.speed.defaults --set val

Every number is of a reconstruction from a file; sides are cut to multiples of the scale, and PSNR-Y and SSIM leave out
a border of `scale` pixels.
"""

import argparse

from benchmarks.common import pictures, record, round_trip
from benchmarks.common.set_means import measure
from hcdcodec.codec.search.options import DEFAULT_EFFORT, search_of
from hcdcodec.format.grid import DEFAULT_QUALITY

METHODS = {"no search": round_trip.NONE, "defaults": search_of(DEFAULT_EFFORT)}


def main() -> None:
    """Measure every set and write a table of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    given = record.parse(parser, pictures, round_trip)
    engine = round_trip.engine_of(given, scale=given.scale)
    for pictured in pictures.chosen(given, given.scale):
        rows = [
            {"set": pictured.name, "method": method, **measure(engine, pictured, search, DEFAULT_QUALITY)}
            for method, search in METHODS.items()
        ]
        record.say(rows)
        record.write_csv(given.out / f"defaults_{given.backbone}_x{given.scale}_{pictured.name}.csv", rows)


if __name__ == "__main__":
    main()
