"""oxipng as a program of its own gives the same files, frees Python's lock, and may die without harm."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import Draw

from hcdcodec.errors import OutputError
from hcdcodec.format import oxipng_worker
from hcdcodec.format.oxipng_pool import Optimisers
from hcdcodec.format.oxipng_worker import Raw


def raw_of(pixels: np.ndarray, *, level: int = 1, to_grey: bool = True) -> Raw:
    height, width = pixels.shape[:2]
    return Raw(pixels.tobytes(), height, width, 1 if pixels.ndim == 2 else 3, level, to_grey)


def test_files_are_those_of_this_process(draw: Draw) -> None:
    grey = np.repeat(draw(9, 7)[..., None], 3, axis=2)
    raws = [raw_of(draw(1, 1)), raw_of(draw(33, 20, 3)), raw_of(grey), raw_of(grey, to_grey=False)]
    with Optimisers(2) as optimisers:
        assert [optimisers.optimise(raw) for raw in raws] == [oxipng_worker.optimise(raw) for raw in raws]


def test_threads_share_programs_and_none_is_left(draw: Draw) -> None:
    raws = [raw_of(draw(16, 8 + number, 3)) for number in range(12)]
    with Optimisers(3) as optimisers, ThreadPoolExecutor(3) as pool:
        made = list(pool.map(optimisers.optimise, raws))
        assert 1 <= len(optimisers._idle) <= 3
        programs = [program.pid for program in optimisers._idle]
    assert made == [oxipng_worker.optimise(raw) for raw in raws]
    for program in programs:
        with pytest.raises(ProcessLookupError):
            os.kill(program, 0)


def test_other_threads_go_on_meanwhile(draw: Draw) -> None:
    """If this fails where `optimiser.optimise` is called, oxipng frees the lock itself and the programs can go."""
    raw = raw_of(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8), level=4)
    with Optimisers(1) as optimisers, ThreadPoolExecutor(1) as pool:
        pool.submit(optimisers.optimise, raw_of(draw(1, 1))).result()  # the program is there
        working, ticks = pool.submit(optimisers.optimise, raw), 0
        while not working.done():
            time.sleep(0.001)
            ticks += 1
    assert ticks > 10


def test_a_killed_program_fails_one_picture(draw: Draw) -> None:
    raw = raw_of(draw(40, 30, 3))
    with Optimisers(1) as optimisers:
        expected = optimisers.optimise(raw)
        os.kill(optimisers._idle[0].pid, signal.SIGKILL)
        with pytest.raises(OutputError, match="killed; free some memory"):
            optimisers.optimise(raw)
        assert optimisers.optimise(raw) == expected


@pytest.mark.parametrize(("name", "words"), [("", "permission denied"), ("none", "no such file")])
def test_a_program_that_cannot_be_started_is_named(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    """What cannot be started was said to be the picture's fault."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / name))
    with Optimisers(1) as optimisers, pytest.raises(OutputError, match=f"optimiser cannot be started \\({words}.*; "):
        optimisers.optimise(raw_of(draw(4, 4)))


def test_a_program_that_ends_at_once_is_named(draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with Optimisers(1) as optimisers, pytest.raises(OutputError, match="ended with status 7; "):
        optimisers.optimise(raw_of(draw(40, 40, 3)))


def test_programs_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    code = f"""
import os, signal
from hcdcodec.format.oxipng_worker import Raw
from hcdcodec.format.oxipng_pool import Optimisers
optimisers = Optimisers(1)
optimisers.optimise(Raw(bytes(3), 1, 1, 3, 0, True))
open({str(tmp_path / "pid")!r}, "w").write(str(optimisers._idle[0].pid))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    program = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    end = time.monotonic() + 10
    while program.exists() and program.read_text().rpartition(") ")[2][0] != "Z" and time.monotonic() < end:
        time.sleep(0.01)
    assert not program.exists() or program.read_text().rpartition(") ")[2][0] == "Z"
