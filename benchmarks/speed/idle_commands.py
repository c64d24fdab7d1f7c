"""Commands that have little to do, here and in another checkout of hcdcodec, by turns.

    python -m benchmarks.speed.idle_commands ../other

Columns: seconds of the processors and on the clock, the least of some rounds, and bytes that the command read (what
the system counts as read from files, caches included). Results of 200 pictures stand there already, so that encode and
decode only look.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import record

PROGRAM = "from hcdcodec.cli import main; main()"
READ = f"""
import atexit
def told():
    with open("/proc/self/io") as lines:
        print("read", lines.readline().split()[1], flush=True)
atexit.register(told)
{PROGRAM}
"""
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "--help": ("--help",),
    "models list": ("models", "list"),
    "status": ("status", "in", "small", "-e", "0"),
    "encode, nothing to do": ("encode", "in", "small", "-e", "0"),
    "decode, nothing to do": ("decode", "small", "out"),
}


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, metavar="DIR", help="checkout to compare with")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = record.parse(parser)
    rows = list(_measure(given))
    record.say(rows)
    record.write_csv(given.out / "idle_commands.csv", rows)


def _measure(given: argparse.Namespace) -> Iterator[record.Row]:
    checkouts = {"other": given.other.resolve(), "here": record.ROOT}
    with tempfile.TemporaryDirectory() as name:
        folders = {place: Path(name) / place for place in checkouts}
        for place, folder in folders.items():
            _draw(folder / "in", given.pictures)
            for command in ("encode, nothing to do", "decode, nothing to do"):  # this time there is something
                _run(checkouts[place], folder, COMMANDS[command])
        for command, words in COMMANDS.items():
            rounds = [
                {place: _run(root, folders[place], words) for place, root in checkouts.items()}
                for _ in range(given.rounds)
            ]
            for place in checkouts:
                least = {column: min(taken[place][column] for taken in rounds) for column in rounds[0][place]}
                yield {"command": command, "checkout": place, **least}


def _draw(folder: Path, count: int) -> None:
    """Save pictures of noise, 96x96: what they show doesn't matter here."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (count, 96, 96, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number:04}.png")


def _run(root: Path, folder: Path, words: tuple[str, ...]) -> dict[str, float]:
    """Run a command of a checkout; return what it took."""
    environment = {**os.environ, "PYTHONPATH": str(root), "HCDCODEC_WEIGHTS": str(root / "weights")}
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [sys.executable, "-c", READ, *words], env=environment, cwd=folder, check=False, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_s": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime,
        "clock_s": time.perf_counter() - begun,
        "bytes_read": int(ran.stdout.split()[-1]),
    }


if __name__ == "__main__":
    main()
