"""The bar of commands that work on one thing after the other, as a terminal gets it."""

import os
import pty
import subprocess
import sys
import tempfile

import pytest

CODE = """
import sys
from hcdcodec.cli.count_bar import CountBar
with CountBar("verify", {total}, wanted={wanted}) as bar:
    for number in range(3):
        bar.advance()
        bar._progress.refresh()
    bar.reach(2)
    bar._progress.refresh()
    bar.say("hcdcodec: [bold]a.png: no picture; leave it out")
    sys.stdout.write("a row\\n")
"""


def drawn(total: float | None, *, wanted: bool = True) -> tuple[str, str]:
    """Return what a program with a bar writes to a terminal as standard error, and to standard output."""
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with tempfile.TemporaryFile() as rows:
        command = [sys.executable, "-c", CODE.format(total=total, wanted=wanted)]
        subprocess.run(command, env=environment, stdout=rows, stderr=its, check=True)
        rows.seek(0)
        written = rows.read()
    os.close(its)
    said = b""
    try:
        while part := os.read(ours, 1 << 16):
            said += part
    except OSError:  # so a terminal ends
        pass
    os.close(ours)
    return said.decode(), written.decode()


def test_it_counts_on_a_terminal() -> None:
    said, rows = drawn(3)
    assert "verify" in said
    assert [count for count in ("1/3", "2/3", "3/3") if count not in said] == []
    assert "hcdcodec: [bold]a.png: no picture; leave it out" in said
    assert rows == "a row\n" and "a row" not in said


def test_it_shows_a_share_of_minutes() -> None:
    said, _ = drawn(4.0)
    assert [share for share in ("25%", "50%", "75%") if share not in said] == []


def test_without_a_total_it_only_moves() -> None:
    said, _ = drawn(None)
    assert "verify" in said and "/" not in said.partition("hcdcodec:")[0].replace("\x1b", "")


@pytest.mark.parametrize("total", [3, None])
def test_unwanted_it_draws_nothing(total: int | None) -> None:
    said, rows = drawn(total, wanted=False)
    assert said.splitlines() == ["hcdcodec: [bold]a.png: no picture; leave it out"]
    assert rows == "a row\n"


def test_without_a_terminal_it_draws_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CODE.format(total=3, wanted=True)], capture_output=True, text=True, check=True
    )
    assert ran.stderr == "hcdcodec: [bold]a.png: no picture; leave it out\n"
