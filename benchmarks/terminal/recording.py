"""Record what a terminal shows of the commands: in the middle of their work, and at their end.

The bar moves, so a recording shows it at one moment: when a third of the work is done. Files for 60, 80 and 120 columns
are to be looked at; nothing reads them.
"""

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

from benchmarks.common import record

_PROGRAM = "import os; os.login_tty(0); from hcdcodec.cli import main; main()"
_ROWS = 40
_SHARE = re.compile(r"(\d+) % ")
_CTRL_C = b"\x03"


@dataclass(frozen=True)
class Scene:
    """One command.

    Attributes:
        title: what it shows.
        words: the command line without its program.
        interrupted: whether Ctrl-C ends it when two thirds of the work are done.
    """

    title: str
    words: Sequence[str]
    interrupted: bool = False


@dataclass(frozen=True)
class Shown:
    """What a terminal showed.

    Attributes:
        middle: the lines when a third of the work was done, or two thirds; empty if there was no bar then.
        end: the lines at the end.
        status: exit status.
    """

    middle: list[str]
    end: list[str]
    status: int


def main() -> None:
    """Record all scenes at each width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, nargs="+", default=[60, 80, 120], help="widths; default: 60 80 120")
    parser.add_argument("--effort", default="2", help="of the search; default: 2")
    parser.add_argument("--backbone", default="crn", help="default: crn")
    given = record.parse(parser)
    given.out.mkdir(parents=True, exist_ok=True)
    for columns in given.columns:
        with tempfile.TemporaryDirectory() as folder:
            _prepare(Path(folder))
            lines = [f"# {line}" for line in record.provenance()]
            for scene in _scenes(["--effort", given.effort, "--backbone", given.backbone]):
                lines += _written(scene, _play(scene, Path(folder), columns), columns)
        (given.out / f"{columns}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"-> {columns}.txt")


def _scenes(network: list[str]) -> Iterator[Scene]:
    encode = ["encode", *network, "photos", "small"]
    yield Scene("interrupt", encode, interrupted=True)
    yield Scene("encode: it goes on", encode)
    yield Scene("encode again: nothing to do", encode)
    yield Scene("other settings: what a run would do", [*encode, "--quality", "90", "--dry-run"])
    yield Scene("other settings: a run", [*encode, "--quality", "90"])
    yield Scene("decode", ["decode", "small", "restored"])
    yield Scene("verify", ["verify", "small"])
    yield Scene(
        "failures, and a target that is missed", ["encode", *network, "--target-psnr", "60", "broken", "gone", "small"]
    )
    yield Scene("a wrong call", ["encode", "photos", "small", "--quality", "0"])


def _prepare(folder: Path) -> None:
    """Make the folders of the scenes from the photographs of the tests."""
    photos = record.ROOT / "tests" / "data" / "photos"
    for number in range(4):
        _copy(photos / "rocket.jpg", folder / "photos" / f"IMG_{2041 + number}.jpg")
    _copy(photos / "coffee.png", folder / "photos/holidays/a long name that somebody gave to a cup of coffee.png")
    _copy(photos / "README.md", folder / "photos/notes.txt")
    data = (photos / "rocket.jpg").read_bytes()
    (folder / "broken").mkdir()
    (folder / "broken/cut off.jpg").write_bytes(data[: len(data) // 2])
    _copy(photos / "chelsea.png", folder / "broken/chelsea.png")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _play(scene: Scene, folder: Path, columns: int) -> Shown:
    """Run a command on a terminal, and look at its screen."""
    leader, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (_ROWS, columns))
    screen = pyte.Screen(columns, _ROWS)
    stream, middle = pyte.ByteStream(screen), list[str]()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm-256color"}
    command = [sys.executable, "-c", _PROGRAM, *scene.words]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=folder, env=environment
    ) as process:
        os.close(terminal)
        for data in _read(leader):
            stream.feed(data)
            wanted = 66 if scene.interrupted else 33
            if not middle and any(int(share) >= wanted for share in _SHARE.findall("\n".join(screen.display))):
                middle = _lines(screen)
                if scene.interrupted:
                    os.write(leader, _CTRL_C)
    os.close(leader)
    return Shown(middle, _lines(screen), process.returncode)


def _read(leader: int) -> Iterator[bytes]:
    """Yield what is written to a terminal until its last program has ended."""
    while select.select([leader], [], [], 300)[0]:
        try:
            yield os.read(leader, 1 << 16)
        except OSError:  # on Linux, the end of a terminal is an error
            return


def _lines(screen: pyte.Screen) -> list[str]:
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _written(scene: Scene, shown: Shown, columns: int) -> Iterator[str]:
    yield from ("", f"=== {scene.title} ".ljust(columns, "="), f"$ hcdcodec {' '.join(scene.words)}")
    if shown.middle:
        yield from (*shown.middle, "--- later ".ljust(columns, "-"))
    yield from (*shown.end, f"[status {shown.status}]")


if __name__ == "__main__":
    main()
