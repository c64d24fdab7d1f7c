"""Where the time of whole commands goes: a megapixel, and a folder of small pictures, encoded and decoded.

    HCDCODEC_IMAGES=images python -m benchmarks.speed.where --set test/Kodak

py-spy looks at the main thread 200 times a second, which slows nothing down. Each look counts for the first line of
`PARTS` that fits a call which is under way. Reading and writing have their own threads: the main thread only waits for
them. "Python's start and end" is what remains of the time that the command takes without py-spy.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import picture_folders, pictures, record
from hcdcodec.pictures.picture import Levels, Picture

RATE = 200

PARTS = (
    ("import torch", "<module> (torch/__init__.py"),
    ("import other modules", "_find_and_load ("),
    ("load the network", "load_backbone ("),
    ("kernel in a search", "run (hcdcodec/networks/native/winograd.py", "_differentiate ("),
    ("kernel elsewhere", "run (hcdcodec/networks/native/winograd.py"),
    ("rest of the network's passes", "_differentiate ("),
    ("rest of the network's passes", "scale (hcdcodec/engine/engine.py"),
    ("rest of the network's passes", "reconstruct ("),
    ("steps of the search", "ste_step ("),
    ("bits of LRs", "(hcdcodec/codec/search/bit_cost.py"),
    ("errors of reconstructions", "errors (hcdcodec/engine/engine.py"),
    ("rest of the search", "refine ("),
    ("levels of decoded pictures", "decode_pictures ("),
    ("wait for reading", "_read_ahead ("),
    ("wait for writing", "outcomes (hcdcodec/batch/stages.py"),
    ("wait for writing", "__exit__ (hcdcodec/format/oxipng_pool.py"),
    ("command line", "main (hcdcodec/cli/command.py"),
)
"""What time is spent on, and the calls that tell: all of them must be under way."""

REST = "Python's start and end"


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=60, metavar="N", help="small pictures; default: 60")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest counts; default: 3")
    parser.add_argument("--backbone", default="crn")
    pictures.add_set_option(parser)
    given = record.parse(parser)
    rows = list(_rows(given))
    record.say(rows)
    record.write_csv(given.out / "where.csv", rows)


def _rows(given: argparse.Namespace) -> Iterator[record.Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photographs = pictures.photographs(given)
        (folder / "megapixel").mkdir()
        Image.fromarray(_megapixel(photographs)).save(folder / "megapixel" / "0.png")
        picture_folders.fill(folder / "small", photographs, given.limit, picture_folders.MIXED[:3])
        for pictured in ("megapixel", "small"):
            source, small, back = (str(folder / f"{pictured}{end}") for end in ("", ".small/", ".back/"))
            encode = ["encode", "--force", "--backbone", given.backbone, source, small]
            for words in (encode, ["decode", "--force", small, back]):
                found = _fastest(words, given.rounds)
                for part, seconds in found.items():
                    shares = {"seconds": seconds, "share": seconds / sum(found.values())}
                    yield {"pictures": pictured, "command": words[0], "part": part, **shares}


def _megapixel(sources: Sequence[Picture]) -> Levels:
    """Return 16 squares of photographs, side by side."""
    some = list(itertools.islice(pictures.squares(sources, 256), 16))
    return np.vstack([np.hstack([square.pixels for square in some[row::4]]) for row in range(4)])


def _fastest(words: Sequence[str], rounds: int) -> dict[str, float]:
    """Return the seconds of each part, in the order of `PARTS`, of the round in which they were fewest."""
    whole = min(_seconds(_command(words)) for _ in range(rounds))
    found = min((_sampled(words) for _ in range(rounds)), key=Counter.total)
    parts = {part: found[part] / RATE for part, *_ in PARTS if found[part]}
    return {**parts, REST: max(0.0, whole - sum(parts.values()))}


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-c", "from hcdcodec.cli import main; main()", *words]


def _seconds(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
    return time.perf_counter() - begun


def _sampled(words: Sequence[str]) -> Counter[str]:
    """Return how often the main thread was seen at each part."""
    with tempfile.TemporaryDirectory() as name:
        stacks = Path(name) / "stacks"
        program = str(Path(sys.executable).with_name("py-spy"))
        _seconds([program, "record", "--idle", "-r", str(RATE), "-f", "raw", "-o", str(stacks), "--", *_command(words)])
        lines = [line.rpartition(" ") for line in stacks.read_text().splitlines()]
    found: Counter[str] = Counter()
    for calls, _, count in lines:
        if part := _part(calls):
            found[part] += int(count)
    return found


def _part(calls: str) -> str:
    """Return the part that a stack of calls belongs to; empty for other threads."""
    if "main (hcdcodec/cli/" not in calls:
        return ""
    return next((part for part, *marks in PARTS if all(mark in calls for mark in marks)), PARTS[-1][0])


if __name__ == "__main__":
    main()
