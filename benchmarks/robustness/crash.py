"""Kill runs at random moments, many times, and look at what is left: nothing half, nothing lost, and the next run ends.

    nice python -m benchmarks.robustness.crash --rounds 200
    python -m benchmarks.robustness.crash --rounds 0 --many 100000

Each round encodes (or decodes) a folder of tiny pictures with the bicubic backbone in a process of its own, which gets
SIGKILL, SIGTERM or SIGINT at a random moment: in half of the rounds of the whole run, in the others soon after it has
begun to write. Its messages and rows go nowhere, to a full device, or to streams that are closed. In every third round
another run works beside it on the same files, with --preserve and a slow disk, and has to succeed. The processes are
forked from one that has imported everything, so that the signals meet the run and not the start of Python. --many plans
a folder of so many empty files.
"""

import argparse
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # threads do not survive a fork

import numpy as np
import torch
from PIL import Image

import hcdcodec.batch.encode_files
from benchmarks.common import record
from hcdcodec import cli
from hcdcodec.files.find import is_temporary
from hcdcodec.files.plan import plan_decode, plan_encode
from hcdcodec.format import container
from hcdcodec.format.source_files import refuse_source

PICTURES = 16
WRITING_S = 0.1
"""About the time from a run's first file to its last."""

SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
ENCODE = ("encode", "--backbone", "bicubic", "--effort", "1")
STREAMS = {os.devnull: 0, "/dev/full": 1, "closed": 0}
"""Where standard output and error of a run go, and with which status a run ends then that nothing else disturbs."""

SLOW_S = 0.02
"""Seconds that a slow disk takes to store a file."""

OLD_S = 400 * 86400
"""Age of the sources: with --preserve, results look as old."""

Contents = Mapping[str, bytes]


@dataclass
class Direction:
    """One way through the codec: what is run, on what, and what an undisturbed run gives."""

    arguments: tuple[str, ...]
    source: Path
    expected: Contents = field(default_factory=dict)
    seconds: float = float("inf")

    def start(self, target: Path, *options: str, streams: str = os.devnull, slow_s: float = 0.0) -> int:
        """Start a run in a process of its own and return its number.

        Args:
            target: where its results go.
            options: of the command.
            streams: one of `STREAMS`.
            slow_s: seconds that it waits for the disk, each time.
        """
        if child := os.fork():
            return child
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _connect(streams)
        os.fsync = _slowed(os.fsync, slow_s)  # type: ignore[assignment]
        sys.argv = ["hcdcodec", *self.arguments, *options, "--json", str(self.source), f"{target}/"]
        try:
            cli.main()
        except SystemExit as left:
            # The interpreter waits for threads when it ends, and so must this; taking all of torch down would only take
            # the time in which signals find nothing to interrupt.
            threading._shutdown()  # type: ignore[attr-defined]
            os._exit(left.code if isinstance(left.code, int) else 1)
        raise AssertionError("the command line came back")

    def measure(self, target: Path) -> None:
        """Run undisturbed, three times for the shortest time, and remember what comes out."""
        for _ in range(3):
            start = time.monotonic()
            _expect(status_of(self.start(target)) == 0, "an undisturbed run failed")
            self.seconds = min(self.seconds, time.monotonic() - start)
            self.expected = visible(target)
            for path in target.rglob("*.png"):
                path.unlink()
        _expect(len(self.expected) == PICTURES, "an undisturbed run left something out")


def _slowed(store: Callable[[Any], None], seconds: float) -> Callable[[Any], None]:
    def wait(descriptor: Any) -> None:
        time.sleep(seconds)
        store(descriptor)

    return wait


def _connect(streams: str) -> None:
    for descriptor in (1, 2):
        if streams == "closed":
            os.close(descriptor)
        else:
            os.dup2(os.open(streams, os.O_WRONLY), descriptor)


def main() -> None:
    """Run the rounds and write what was counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="runs that a signal stops; default: 200")
    parser.add_argument("--many", type=int, default=0, metavar="N", help="plan a folder of N files; default: 0")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    given = record.parse(parser)
    torch.set_num_threads(1)
    result: dict[str, object] = {}
    root = Path(tempfile.mkdtemp())  # removed below and not by a context, which the children, too, would leave
    if given.rounds:
        result |= _rounds(root, given.rounds, random.Random(given.seed))
    if given.many:
        result |= _planned(root, given.many)
    shutil.rmtree(root)
    record.write_json(given.out / ("crash.json" if given.rounds else "many.json"), result)


def _rounds(root: Path, count: int, dice: random.Random) -> dict[str, object]:
    for number in range(PICTURES):
        _draw(root / "in" / f"{number % 3}" / f"{number}.png", number)
    encode, decode = Direction(ENCODE, root / "in"), Direction(("decode",), root / "small")
    encode.measure(root / "small")
    status_of(encode.start(root / "small"))
    decode.measure(root / "out")
    counts: Counter[str] = Counter()
    ways = itertools.cycle(itertools.product((encode, decode), SIGNALS))
    for number, (direction, kind) in enumerate(ways):
        if counts["disturbed"] == count:
            break
        counts.update(_round(direction, kind, root / f"round {number}", dice, accompanied=number % 3 == 2))
    return {
        "pictures a round": PICTURES,
        "seconds of an undisturbed run": {d.arguments[0]: round(d.seconds, 2) for d in (encode, decode)},
        **dict(sorted(counts.items())),
    }


def _round(
    direction: Direction, kind: signal.Signals, target: Path, dice: random.Random, *, accompanied: bool
) -> Counter[str]:
    """Disturb one run, check what it left, let the next one finish, check again."""
    streams = dice.choice(list(STREAMS))
    child = direction.start(target, streams=streams)
    other = direction.start(target, "--preserve", slow_s=SLOW_S) if accompanied else 0
    if dice.random() < 0.5:
        time.sleep(dice.uniform(0, direction.seconds))
    else:
        _await_files(target, direction.seconds)
        time.sleep(dice.uniform(0, WRITING_S))
    os.kill(child, kind)
    status = status_of(child)
    undisturbed = status == STREAMS[streams]
    _expect(undisturbed or status in (SIGNALS[kind], -kind), f"exit status {status} after {kind.name}, {streams}")
    _expect(not other or status_of(other) == 0, "the run beside it failed")
    finished, left = visible(target), remains(target)
    for name, data in finished.items():
        _expect(data == direction.expected[name], f"{name} is not what an undisturbed run writes")
        if direction.arguments[0] == "encode":
            container.unpack(data)
    _expect(kind is signal.SIGKILL or not left, f"{kind.name} left a temporary file")
    before = marks(target)
    _expect(status_of(direction.start(target)) == 0, "the next run failed")
    _expect(visible(target) == direction.expected, "the next run did not complete")
    _expect(before.items() <= marks(target).items(), "the next run did something again")
    whole = len(finished) == PICTURES
    moment = "everything" if whole else "some" if finished else "nothing"
    return Counter(
        {
            "ended before the signal, not counted" if undisturbed else "disturbed": 1,
            **(
                {} if undisturbed else {f"{direction.arguments[0]} {kind.name}": 1, f"stopped with {moment} written": 1}
            ),
            **({} if undisturbed else {f"messages to {streams}": 1, "with another run beside it": accompanied}),
            "finished files found afterwards": 0 if undisturbed else len(finished),
            "hidden temporary files left by SIGKILL": len(left),
            "partial files visible": 0,
            "finished files lost or redone": 0,
            "next runs that completed": 1,
        }
    )


def _await_files(folder: Path, seconds: float) -> None:
    """Wait until a run has begun to write, but no longer than a whole run takes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not _files(folder):
        time.sleep(0.0005)


def status_of(child: int) -> int:
    """Wait for a process and return its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def visible(folder: Path) -> Contents:
    """Return what anybody would take for a result."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in _files(folder) if not is_temporary(path.name)}


def remains(folder: Path) -> list[Path]:
    """Return what a killed run has left and the next but one sweeps."""
    return [path for path in _files(folder) if is_temporary(path.name)]


def marks(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what changes when a file is written again."""
    found = [path for path in _files(folder) if not is_temporary(path.name)]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24 + seed, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    os.utime(path, (time.time() - OLD_S,) * 2)


def _planned(root: Path, count: int) -> dict[str, object]:
    """Plan a folder of many files, both ways."""
    folder = root / "many"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.png.hcd.png").write_bytes(b"\x89PNG\r\n\x1a\nhcDCHCDC")
    start = time.monotonic()
    decode = plan_decode([str(folder)], str(root / "out"))
    middle = time.monotonic()
    encode = plan_encode([str(folder)], str(root / "out"), refuse=refuse_source)
    end = time.monotonic()
    _expect((len(decode.jobs), len(encode.ignored)) == (count, count), "the plan is not complete")
    seconds = {"decode": round(middle - start, 2), "encode": round(end - middle, 2)}
    return {"files in one folder": count, "seconds to plan": seconds}


def _expect(truth: bool, otherwise: str) -> None:  # an assert would go with python -O
    if not truth:
        raise SystemExit(f"crash.py: {otherwise}")


if __name__ == "__main__":
    assert hcdcodec.batch.encode_files  # imported for the children
    main()
