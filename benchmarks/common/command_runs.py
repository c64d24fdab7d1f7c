"""The command line in a process of its own, and what it took."""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.common import round_trip
from hcdcodec.codec.search.options import DEFAULT_EFFORT

_COMMAND = """
import sys
from pathlib import Path
from hcdcodec.cli import main
try:
    main()
finally:
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
"""The peak is read here and not from the parent's accounts, where the parent's own memory counts, too."""

_MIB = 1024

_WATCH = ("nvidia-smi", "--query-gpu=index,utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200")


@dataclass(frozen=True)
class Run:
    """What a command took.

    Attributes:
        seconds: from the start of Python to its end.
        cpu_s: of all its threads and processes.
        peak_mib: most memory in use at once, without what its own processes had.
        resident_mib: memory in use after each picture.
        gpu_percent: part of the time in which the busiest GPU was busy, start included; None where nothing can tell.
    """

    seconds: float
    cpu_s: float
    peak_mib: float
    resident_mib: tuple[float, ...]
    gpu_percent: float | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose what both commands do."""
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT, help=f"default: {DEFAULT_EFFORT}")
    parser.add_argument("--jobs", type=int, default=0, help="threads of the command; default: its own")
    round_trip.add_options(parser)


def both_ways(given: argparse.Namespace, source: Path) -> dict[str, Run]:
    """Encode a folder and decode the result, each by a command of its own."""
    small, restored = (source.with_name(f"{source.name}.{what}") for what in ("small", "restored"))
    machine = ["--device", given.device, *(["--jobs", str(given.jobs)] if given.jobs else [])]
    machine += ["--weights-dir", str(given.weights_dir)] if given.weights_dir else []
    network = ["--backbone", given.backbone, "--scale", str(given.scale), "--effort", str(given.effort)]
    return {
        "encode": run(["encode", *network, *machine, source, f"{small}/"]),
        "decode": run(["decode", *machine, small, f"{restored}/"]),
    }


def run(arguments: Sequence[str | Path]) -> Run:
    """Run `hcdcodec encode` or `decode`; leave with a sentence if a picture fails."""
    command = [sys.executable, "-c", _COMMAND, *map(str, arguments), "--json"]
    with _watched() as percent:
        run = _alone(command)
    return replace(run, gpu_percent=max(percent, default=None))


def _alone(command: Sequence[str]) -> Run:
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        resident, last = [], ""
        for line in process.stdout:
            if line.startswith("{"):
                _expect_done(line)
                resident.append(_resident(process.pid))
            last = line
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{shlex.join(command[3:])} ended with status {process.returncode}")
    return Run(seconds, used.ru_utime + used.ru_stime, int(last) / _MIB, tuple(resident), None)


@contextlib.contextmanager
def _watched() -> Iterator[list[float]]:
    """Sample the machine's GPUs while the body runs; the list then says in percent how busy each was on average."""
    percent: list[float] = []
    if not shutil.which(_WATCH[0]):
        yield percent
        return
    with tempfile.TemporaryFile("w+") as samples:
        with subprocess.Popen(_WATCH, stdout=samples) as watcher:
            try:
                yield percent
            finally:
                watcher.terminate()
        samples.seek(0)
        found: dict[str, list[int]] = {}
        for line in samples:
            index, _, busy = line.strip().partition(", ")
            if busy.isdecimal():
                found.setdefault(index, []).append(int(busy))
        percent += [sum(values) / len(values) for values in found.values()]


def _expect_done(line: str) -> None:
    outcome = json.loads(line)
    if outcome["status"] != "done":
        raise SystemExit(f"{outcome['name']}: {outcome.get('message') or outcome['status']}")


def _resident(process: int) -> float:
    return int(Path(f"/proc/{process}/status").read_text().partition("VmRSS:")[2].split()[0]) / _MIB
