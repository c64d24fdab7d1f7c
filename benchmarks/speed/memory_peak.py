"""The most memory that a command takes for one picture of 1 to 100 megapixels, encoding and decoding.

    python -m benchmarks.speed.memory_peak --effort 1
    python -m benchmarks.speed.memory_peak --effort 1 --limit 1

It depends neither on the effort nor on other work on the machine.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.common import command_runs, picture_folders, record

MEGAPIXELS = (1, 4, 16, 50, 100)


def main() -> None:
    """Measure every size and write one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the N smallest sizes")
    given = record.parse(parser, command_runs)
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure(given, Path(folder), megapixels) for megapixels in MEGAPIXELS[: given.limit or None]]
    record.write_csv(given.out / "memory_peak.csv", rows)


def _measure(given: argparse.Namespace, folder: Path, megapixels: int) -> record.Row:
    picture_folders.draw(folder / f"{megapixels}/picture.png", megapixels)
    runs = command_runs.both_ways(given, folder / f"{megapixels}")
    row = {"megapixels": megapixels, **{f"{way}_peak_mib": round(run.peak_mib) for way, run in runs.items()}}
    record.say([row])
    return row


if __name__ == "__main__":
    main()
