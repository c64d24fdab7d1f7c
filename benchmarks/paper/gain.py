"""What the search gains for how many passes: ours at every effort, the paper's scheme at several lengths.

    python -m benchmarks.paper.gain --limit 1 --crop 128
    HCDCODEC_IMAGES=images python -m benchmarks.paper.gain --set test/Set5 test/Set14 test/Kodak --windows

PSNR-Y against the same network without a search, at grid 1 (every LR level allowed) or at --quality, always of
reconstructions from files. A pass is one forward or one backward of a network over the picture, checks included.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from benchmarks.common import pictures, record, round_trip
from benchmarks.common.pictures import PictureSet
from benchmarks.common.set_means import measure, summary
from hcdcodec.codec.search.options import DEFAULT_EFFORT, Paper, search_of
from hcdcodec.engine.engine import Engine

LENGTHS = (1, 2, 4, 8, 15)
EFFORTS = range(10)


def main() -> None:
    """Measure every set and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--quality", type=int, default=round_trip.FULL_GRID, help="of our search; default: 100")
    parser.add_argument("--efforts", type=int, nargs="+", default=list(EFFORTS))
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS), help="N of the paper's scheme")
    parser.add_argument("--windows", action="store_true", help="the paper's scheme on LR windows of 128, too")
    given = record.parse(parser, pictures, round_trip)
    engine = round_trip.engine_of(given, scale=given.scale)
    for pictured in pictures.chosen(given, given.scale):
        rows = _with_gains(list(_rows(given, engine, pictured)))
        stem = given.out / f"gain_{given.backbone}_x{given.scale}_{pictured.name}"
        record.say(rows)
        record.write_csv(stem.with_suffix(".csv"), rows, [f"the default effort is {DEFAULT_EFFORT}"])
        for axis in ("passes", "encode_s"):
            path = stem.with_name(f"{stem.name}_{axis}.svg")
            record.write_plot(path, partial(_draw, rows, axis), f"{pictured.name}, {given.backbone} x{given.scale}")


def _rows(given: argparse.Namespace, engine: Engine, pictured: PictureSet) -> Iterator[record.Row]:
    round_trip.travel(
        engine, next(iter(pictured))[1], search_of(1)
    )  # the first call pays for the libraries' preparations
    yield {"method": "none", "setting": "", **measure(engine, pictured, round_trip.NONE)}
    for effort in given.efforts:
        ours = measure(engine, pictured, search_of(effort), given.quality)
        yield {"method": "ours", "setting": f"effort {effort}", **ours}
    for length in given.lengths:
        yield {"method": "paper", "setting": f"N={length}", **measure(engine, pictured, Paper(length, length))}
    if given.windows:
        pairs = [(picture, round_trip.travel_by_windows(engine, picture, Paper())) for _, picture in pictured]
        for index, label in enumerate(("paper on windows", "paper on windows, decoded apart")):
            found = [(picture, both[index]) for picture, both in pairs]
            yield {"method": label, "setting": "N=15", **summary(given.scale, found)}


def _with_gains(rows: Sequence[record.Row]) -> list[record.Row]:
    """Add what each row gains over the first one."""
    start = float(rows[0]["psnr_y"] or 0)
    return [{**row, "gain": float(row["psnr_y"] or 0) - start} for row in rows]


def _draw(rows: Sequence[record.Row], axis: str, axes: Any) -> None:
    for method in dict.fromkeys(row["method"] for row in rows[1:]):
        points = [(row[axis], row["gain"]) for row in rows if row["method"] == method]
        axes.plot(*zip(*points, strict=True), marker="o", label=method)
    axes.set_xlabel({"passes": "passes", "encode_s": "seconds a picture, encoding"}[axis])
    axes.set_ylabel("gain in PSNR-Y, dB")


if __name__ == "__main__":
    main()
