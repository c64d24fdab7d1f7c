"""The manual page has all that --help says, and roff reads it without a warning."""

import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from conftest import ROOT
from hatchling.builders.wheel import WheelBuilder

from hcdcodec.cli.command import cli
from hcdcodec.cli.man_page import man_page


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(cli, "hcdcodec"))


def plain(page: str) -> str:
    """Return the page without what is roff's."""
    for escape, meaning in (("\\-", "-"), ("\\(ti", "~"), ("\\(ha", "^"), ("\\&", ""), ("\\e", "\\")):
        page = page.replace(escape, meaning)
    return page


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_is_complete(path: str) -> None:
    page = plain(man_page("1.2.3"))
    section = page.partition(f".SS {path}\n")[2].partition(".S")[0]
    command = COMMANDS[path]
    for parameter in command.params:
        for name in parameter.opts if isinstance(parameter, click.Option) else ():
            assert name in section
        if isinstance(parameter, click.Option) and parameter.help:
            assert parameter.help in section
    assert " ".join((command.help or "").split("\n\n")[0].split()) in section
    for line in (command.epilog or "").strip().splitlines():
        assert line.strip() in section


def test_it_names_the_release_and_every_exit_status() -> None:
    page = plain(man_page("1.2.3"))
    assert page.startswith('.TH HCDCODEC 1 "" "hcdcodec 1.2.3"')
    statuses = page.partition(".SH EXIT STATUS")[2].partition(".SH")[0]
    for status in ("0", "1", "2", "3", "75", "129, 130, 143"):
        assert f"\\fB{status}\\fR\n" in statuses


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
def test_roff_has_nothing_to_say() -> None:
    ran = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"], input=man_page("1"), capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""


def test_wheels_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")  # the kernel takes long to compile, and another test has it
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    where = tmp_path / "installed"
    shutil.unpack_archive(wheel, where, "zip")
    (page,) = where.glob("*.data/data/share/man/man1/hcdcodec.1")
    assert page.read_text() == man_page(version("hcdcodec"))
