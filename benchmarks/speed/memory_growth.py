"""The memory that a command has in use after 50 and after 1000 small pictures, encoding and decoding.

    python -m benchmarks.speed.memory_growth --effort 1
    python -m benchmarks.speed.memory_growth --effort 1 --limit 60

Pictures are cut from the shipped photographs or from --set. Memory depends neither on the effort nor on other work on
the machine.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.common import command_runs, picture_folders, pictures, record

SMALL = tuple(range(24, 97))
EARLY = 50
"""Pictures after which a command's memory should have stopped to grow."""

_WINDOW = 20
"""Pictures over which memory in use is averaged: what is in flight differs from one to the next."""


def main() -> None:
    """Run both commands and write one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="pictures; default: 1000")
    pictures.add_set_option(parser)
    given = record.parse(parser, command_runs)
    with tempfile.TemporaryDirectory() as folder:
        picture_folders.fill(Path(folder) / "in", pictures.photographs(given), given.limit, SMALL)
        rows = list(_rows(command_runs.both_ways(given, Path(folder) / "in")))
    record.say(rows)
    record.write_csv(given.out / "memory_growth.csv", rows)


def _rows(runs: dict[str, command_runs.Run]) -> Iterator[record.Row]:
    for way, run in runs.items():
        early, late = (float(np.mean(run.resident_mib[:end][-_WINDOW:])) for end in (EARLY, None))
        counts = {"pictures": len(run.resident_mib), f"mib_after_{EARLY}": early, "mib_after_all": late}
        yield {"way": way, **counts, "ratio": late / early, "peak_mib": run.peak_mib}


if __name__ == "__main__":
    main()
