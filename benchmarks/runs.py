"""The command line in a process of its own, and what it took."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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

_WATCH = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200")


@dataclass(frozen=True)
class Run:
    """What a command took.

    Attributes:
        seconds: from the start of Python to its end.
        cpu_s: of all its threads and processes.
        peak_mib: most memory in use at once, without what its own processes had.
        resident_mib: memory in use after each picture.
        gpu_percent: part of the time in which GPUs were busy, start included; None where nothing can tell.
    """

    seconds: float
    cpu_s: float
    peak_mib: float
    resident_mib: tuple[float, ...]
    gpu_percent: float | None


def run(arguments: Sequence[str | Path]) -> Run:
    """Run `hcdcodec encode` or `decode`; leave with a sentence if a picture fails."""
    command = [sys.executable, "-c", _COMMAND, *map(str, arguments), "--json"]
    start = time.perf_counter()
    busy: list[float] = []
    with _watched(busy), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        resident, last = [], ""
        for line in process.stdout:
            if line.startswith("{"):
                _expect_done(line)
                resident.append(_resident(process.pid))
            last = line
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"hcdcodec {' '.join(map(str, arguments))} ended with status {process.returncode}")
    seconds = time.perf_counter() - start
    percent = sum(busy) / len(busy) if busy else None
    return Run(seconds, used.ru_utime + used.ru_stime, int(last) / _MIB, tuple(resident), percent)


@contextlib.contextmanager
def _watched(busy: list[float]) -> Iterator[None]:
    """Collect how busy the machine's GPUs are while the body runs, five times a second."""
    try:
        watcher = subprocess.Popen(_WATCH, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        yield
        return
    with watcher:
        try:
            yield
        finally:
            watcher.terminate()
            assert watcher.stdout is not None
            busy += [float(line) for line in watcher.stdout if line.strip().isdecimal()]


def _expect_done(line: str) -> None:
    outcome = json.loads(line)
    if outcome["status"] != "done":
        raise SystemExit(f"{outcome['name']}: {outcome.get('message') or outcome['status']}")


def _resident(process: int) -> float:
    return int(Path(f"/proc/{process}/status").read_text().partition("VmRSS:")[2].split()[0]) / _MIB
