"""The time of a command on 25 to 200 mixed pictures, and how far from a line, encoding and decoding.

    python -m benchmarks.speed.picture_count
    python -m benchmarks.speed.picture_count --limit 120

Pictures are cut from the shipped photographs or from --set.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import command_runs, picture_folders, pictures, record

SHARES = (8, 4, 2, 1)


@dataclass(frozen=True)
class Timed:
    """A command on so many pictures."""

    way: str
    pictures: int
    megapixels: float
    seconds: float


def main() -> None:
    """Run both commands on every count and write one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="pictures at most; default: 200")
    pictures.add_set_option(parser)
    given = record.parse(parser, command_runs)
    with tempfile.TemporaryDirectory() as folder:
        timed = list(_timed(given, Path(folder)))
    rows = [row for way in ("encode", "decode") for row in _beside_line([one for one in timed if one.way == way])]
    record.say(rows)
    record.write_csv(given.out / "picture_count.csv", rows)


def _timed(given: argparse.Namespace, folder: Path) -> Iterator[Timed]:
    for count in sorted({max(1, given.limit // share) for share in SHARES}):
        source = folder / f"{count}"
        megapixels = picture_folders.fill(source, pictures.photographs(given), count) / 1e6
        for way, run in command_runs.both_ways(given, source).items():
            yield Timed(way, count, megapixels, run.seconds)


def _beside_line(timed: Sequence[Timed]) -> Iterator[record.Row]:
    """Yield the rows of one command, with the time on the line that fits best."""
    sizes, seconds = [one.megapixels for one in timed], [one.seconds for one in timed]
    line = np.polyval(np.polyfit(sizes, seconds, min(1, len(timed) - 1)), sizes)
    for one, expected in zip(timed, line, strict=True):
        yield {**vars(one), "seconds_on_the_line": float(expected)}


if __name__ == "__main__":
    main()
