"""The command line in a process of its own, and what it took."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
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


@dataclass(frozen=True)
class Run:
    """What a command took.

    Attributes:
        seconds: from the start of Python to its end.
        cpu_s: of all its threads and processes.
        peak_mib: most memory in use at once, without what its own processes had.
        resident_mib: memory in use after each picture.
    """

    seconds: float
    cpu_s: float
    peak_mib: float
    resident_mib: tuple[float, ...]


def run(arguments: Sequence[str | Path]) -> Run:
    """Run `hcdcodec encode` or `decode`; leave with a sentence if a picture fails."""
    command = [sys.executable, "-c", _COMMAND, *map(str, arguments), "--json"]
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
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"hcdcodec {' '.join(map(str, arguments))} ended with status {process.returncode}")
    seconds = time.perf_counter() - start
    return Run(seconds, used.ru_utime + used.ru_stime, int(last) / _MIB, tuple(resident))


def _expect_done(line: str) -> None:
    outcome = json.loads(line)
    if outcome["status"] != "done":
        raise SystemExit(f"{outcome['name']}: {outcome.get('message') or outcome['status']}")


def _resident(process: int) -> float:
    return int(Path(f"/proc/{process}/status").read_text().partition("VmRSS:")[2].split()[0]) / _MIB
