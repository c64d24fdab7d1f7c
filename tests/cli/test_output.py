"""Streams that are closed, full or narrow lose lines, and never work."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import FAST, PROGRAM
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(np.full((8, 8, 3), (10, 20, 30), np.uint8)).save(tmp_path / "in" / name)
    return tmp_path


def run(folder: Path, line: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command line of a shell, in which $HCDCODEC is the command."""
    command = ["sh", "-c", line.replace("$HCDCODEC", '"$0" -c "$1"'), sys.executable, PROGRAM]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="surrogateescape", check=False, env=env
    )


def results(folder: Path) -> set[str]:
    return {path.name for path in (folder / "small").iterdir()}


ALL = {"a.png.hcd.png", "b.png.hcd.png", "c.png.hcd.png"}


def test_a_full_standard_output_loses_rows_and_no_picture(folder: Path) -> None:
    ran = run(folder, f"$HCDCODEC encode --json in small {' '.join(FAST)} >/dev/full")
    assert (ran.returncode, results(folder)) == (1, ALL)
    assert ran.stderr.count("\n") == 1 and "no space left on device" in ran.stderr


@pytest.mark.parametrize(
    "command",
    [
        "encode --json in small",
        "decode --json small out",
        "status -v in small",
        "info small/a.png.hcd.png",
        "verify small/a.png.hcd.png",
        "compare in small",
        "models list",
        "--help",
        "--version",
    ],
)
def test_a_full_standard_output_is_one_line_and_status_1(folder: Path, command: str) -> None:
    assert run(folder, f"$HCDCODEC encode in small {' '.join(FAST)}").returncode == 0
    options = " ".join(FAST) if command.split()[0] in ("encode", "status") else ""
    ran = run(folder, f"$HCDCODEC {command} {options} >/dev/full")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr


def test_a_picture_that_does_not_fit_into_standard_output_names_it(folder: Path) -> None:
    ran = run(folder, f"$HCDCODEC encode in/a.png - {' '.join(FAST)} >/dev/full")
    why = "standard output cannot be written (no space left on device); check where it goes"
    assert (ran.returncode, ran.stderr) == (1, f"hcdcodec: in/a.png: {why}\n")


@pytest.mark.parametrize("end", ["2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_work_goes_on_where_nobody_can_be_told(folder: Path, end: str) -> None:
    (folder / "in/d.png").write_bytes(b"words")
    ran = run(folder, f"$HCDCODEC encode -v in small {' '.join(FAST)} {end}")
    assert (ran.returncode, ran.stderr, results(folder)) == (1, "", ALL)
    assert run(folder, f"$HCDCODEC encode -v in small --exclude d.png {' '.join(FAST)} {end}").returncode == 0


@pytest.mark.parametrize(
    "command", ["encode --files-from - small", "verify --files-from -", "encode - small/a.hcd.png"]
)
def test_a_closed_standard_input_is_a_wrong_call(folder: Path, command: str) -> None:
    ran = run(folder, f"$HCDCODEC {command} <&-")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert ran.stderr.startswith("hcdcodec: standard input is closed")


@pytest.mark.parametrize("command", [f"encode --force {' '.join(FAST)}", "decode --force"])
def test_the_file_behind_standard_input_is_never_replaced(folder: Path, command: str) -> None:
    before = (folder / "in/a.png").read_bytes()
    ran = run(folder, f"$HCDCODEC {command} - in/a.png <in/a.png")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "in/a.png is standard input, and its result would replace it; " in ran.stderr
    assert (folder / "in/a.png").read_bytes() == before


@pytest.mark.parametrize("command", ["encode --files-from - small", "encode - small/a.hcd.png"])
def test_a_standard_input_that_cannot_be_read_is_a_wrong_call(folder: Path, command: str) -> None:
    ran = run(folder, f"$HCDCODEC {command} {' '.join(FAST)} 0>/dev/null")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert ran.stderr.startswith("hcdcodec: standard input cannot be read (Bad file descriptor); ")


def test_a_reader_that_leaves_is_no_traceback(folder: Path) -> None:
    ran = run(folder, f"$HCDCODEC encode --json in small {' '.join(FAST)} | true")
    assert ran.stderr == ""


def test_a_terminal_in_latin_1_shows_what_it_can(folder: Path) -> None:
    (folder / "in/\u4e2d.png").write_bytes((folder / "in/a.png").read_bytes())
    environment = {"PYTHONIOENCODING": "latin-1", "PATH": "/usr/bin:/bin"}
    ran = run(folder, f"$HCDCODEC status -v in small {' '.join(FAST)}", env=environment)
    assert (ran.returncode, ran.stderr) == (1, "") and "\\u4e2d.png" in ran.stdout
