"""What files that were made to harm cost, beside honest files with as many pixels and as many bytes.

    python -m benchmarks.robustness.hostile

Each file is read, or decoded with the bicubic backbone, in a process of its own that is forked from one that has
imported everything. An honest file is a PNG of noise with as many pixels and at least as many bytes, or what encoding
gives for such a picture. A cost below the floors counts as the floor: it harms nobody. Archives bring weights in
`.hcdcodec`; the honest one has weights like the shipped ones of crn x4.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

os.environ["OMP_NUM_THREADS"] = "1"  # threads do not survive a fork

from benchmarks.common import record
from benchmarks.common.hostile_archives import archives, honest_archive
from benchmarks.common.hostile_files import File, encoded, honest_encoded, honest_source, sources
from hcdcodec import api
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.engines import Engines
from hcdcodec.errors import HcdError
from hcdcodec.format import container
from hcdcodec.networks.archive import folders_above
from hcdcodec.pictures.reading import read_picture

CPU_FLOOR_S, MIB_FLOOR = 0.02, 16.0
FACTOR = 20
"""Times the honest file's cost above which a hostile file costs too much."""

Use = Callable[[bytes], object]
Content = TypeVar("Content")


@dataclass(frozen=True)
class Cost:
    """What using a file took, and what came of it."""

    cpu_s: float
    mib: float
    answer: str

    def times(self, other: "Cost") -> float:
        """Return how many times another cost this is, in time or in memory."""
        cpu = max(self.cpu_s, CPU_FLOOR_S) / max(other.cpu_s, CPU_FLOOR_S)
        return round(max(cpu, max(self.mib, MIB_FLOOR) / max(other.mib, MIB_FLOOR)), 1)


def main() -> None:
    """Measure each file and write the table; leave with status 1 where one costs too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, help="only so many files of each kind; default: all")
    given = record.parse(parser)
    read_picture(honest_source(1, 1))  # what is loaded at the first use counts for no file
    api.decode(honest_encoded(1, 1))
    rows = [*_rows(sources(), read_picture, honest_source, given.limit)]
    rows += _rows(encoded(), api.decode, honest_encoded, given.limit)
    rows += _archive_rows(given.limit)
    record.write_csv(given.out / "hostile.csv", rows)
    record.say(rows)
    sys.exit(any(float(row["times"]) > FACTOR for row in rows))


def _rows(
    files: Iterator[File], use: Use, honest: Callable[[int, int], bytes], limit: int | None
) -> Iterator[dict[str, float | int | str]]:
    for number, (name, pixels, data) in enumerate(files):
        if number == limit:
            return
        usual, cost = _measure(use, honest(pixels, len(data))), _measure(use, data)
        yield {"file": name, "bytes": len(data), **_columns(usual, cost)}


def _columns(usual: Cost, cost: Cost) -> dict[str, float | int | str]:
    """Return what a row says about costs."""
    return {
        "cpu_s": cost.cpu_s,
        "mib": cost.mib,
        "honest_cpu_s": usual.cpu_s,
        "honest_mib": usual.mib,
        "times": cost.times(usual),
        "answer": cost.answer,
    }


def _archive_rows(limit: int | None) -> Iterator[dict[str, float | int | str]]:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for number, (what, side, path) in enumerate(archives(top / "hostile")):
            if number == limit:
                return
            honest = honest_archive(top / "honest" / str(side), side)
            sizes = (file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
            usual, cost = _measure(_decode_archive, honest), _measure(_decode_archive, path)
            yield {"file": what, "bytes": sum(sizes), **_columns(usual, cost)}


def _decode_archive(path: Path) -> None:
    engines, packed = Engines("cpu", takes_archives=True), container.unpack(path.read_bytes())
    decode_picture(engines.get(packed.header, folders_above(path, 1)), packed)


def _measure(use: Callable[[Content], object], data: Content) -> Cost:
    """Use a file in a process of its own."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return Cost(*json.loads(said)) if said else Cost(float("inf"), float("inf"), "died")
    before, start, answer = _peak(), time.process_time(), "taken"
    try:
        use(data)
    except HcdError as error:
        answer = str(error).partition(";")[0]
    cost = round(time.process_time() - start, 3), round(_peak() - before, 1), answer
    os.write(writing, json.dumps(cost).encode())
    os._exit(0)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
