"""What the command line says of itself: help in groups, pages to read, refusals in one form, completion by shells."""

import os
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from conftest import Ran, Run

from hcdcodec.cli.command import cli
from hcdcodec.cli.groups import Group, GroupedOption
from hcdcodec.cli.help_topics import PAGES

TOPICS = sorted(path.stem for path in PAGES.glob("*.md"))
COMMANDS = [name for name, command in cli.commands.items() if not isinstance(command, click.Group)]


# --- --help -----------------------------------------------------------------------------------------------------------


def test_options_of_encode_stand_in_groups() -> None:
    output = CliRunner().invoke(cli, ["encode", "--help"]).output
    places = [output.index(f"\n{group}:\n") for group in Group]
    assert places == sorted(places)
    assert "\nOptions:" not in output
    quality = output[output.index(Group.QUALITY) : output.index(Group.FILES)]
    assert "-Q, --quality" in quality
    assert "75 is a good" in quality


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help(command: str) -> None:
    for parameter in cli.commands[command].params:
        if isinstance(parameter, click.Option):
            assert isinstance(parameter, GroupedOption)
            assert parameter.help, parameter.name


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_fits_the_terminal_and_ends_with_examples(command: str, width: int) -> None:
    result = CliRunner().invoke(cli, [command, "--help"], terminal_width=width)
    text, _, examples = result.output.partition("Examples:")
    assert result.exit_code == 0 and max(map(len, text.splitlines())) <= width
    assert f"  hcdcodec {command} " in examples or command == "help"


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"]])
def test_one_liners_fit(arguments: list[str]) -> None:
    assert "..." not in CliRunner().invoke(cli, arguments).output.partition("Commands:")[2]


@pytest.mark.parametrize("arguments", [["--help"], ["encode", "--help"]])
def test_help_says_that_it_is_lossy(arguments: list[str]) -> None:
    said = " ".join(CliRunner().invoke(cli, arguments).output.split())
    assert "Lossy: keep your originals, or compare before you delete them." in said


HEAVY = "import sys, hcdcodec.cli.command; sys.exit(bool({'torch', 'rich', 'numpy', 'PIL'} & set(sys.modules)))"


def test_help_loads_nothing_heavy() -> None:
    subprocess.run([sys.executable, "-c", HEAVY], check=True)


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_lists_the_pages(hcdcodec: Run) -> None:
    out = hcdcodec("help").out.decode()
    assert re.findall(r"^  (\w+) +\S", out, re.MULTILINE) == TOPICS


@pytest.mark.parametrize("topic", TOPICS)
def test_help_shows_a_page(hcdcodec: Run, topic: str) -> None:
    ran = hcdcodec("help", topic)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.decode().rstrip() == (PAGES / f"{topic}.md").read_text(encoding="utf-8").rstrip()


@pytest.mark.parametrize("names", [["encode"], ["models", "import"]])
def test_help_shows_the_help_of_a_command(hcdcodec: Run, names: list[str]) -> None:
    assert hcdcodec("help", *names).out == hcdcodec(*names, "--help").out


def test_no_page_hides_a_command() -> None:
    assert not set(TOPICS) & set(cli.commands)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "no such command 'nothing'; see 'hcdcodec --help'"),
        (["encode", "--wolf"], "no such option '--wolf'; see 'hcdcodec encode --help'"),
        (
            ["encode", "-e", "x", "a", "b"],
            "invalid value for '-e' / '--effort': 'x' is not a valid integer range; see 'hcdcodec encode --help'",
        ),
        (
            ["encode", "--shard", "x", "a", "b"],
            "invalid value for '--shard': 'x' is no share; write 1/4 to 4/4 for four machines",
        ),
        (["info"], "no file is named; name small files or folders, or give a list of files by --files-from"),
        (["verify", "--files-from", "a", "b"], "files come from arguments or from --files-from, not from both"),
        (["encode", "album"], "there is no destination; did you mean: hcdcodec encode album small/"),
        (["decode", "my album"], "there is no destination; did you mean: hcdcodec decode 'my album' restored/"),
        (["status", "album"], "there is no destination; did you mean: hcdcodec status album small/"),
        (["help", "nothing"], "there is no page or command 'nothing'; 'hcdcodec help' lists the pages"),
    ],
)
def test_what_makes_no_sense_is_said_in_our_form(hcdcodec: Run, arguments: list[str], said: str) -> None:
    assert hcdcodec(*arguments) == Ran(2, b"", f"hcdcodec: {said}\n")


def test_a_call_without_arguments_shows_the_help(hcdcodec: Run) -> None:
    ran = hcdcodec()
    assert ran.status == 2
    assert ran.err.startswith("Usage: hcdcodec ")


# --- completion -------------------------------------------------------------------------------------------------------


def completed(*words: str) -> list[str]:
    """Return what a shell is told for the last word: TYPE,VALUE for each."""
    environment = {
        **os.environ,
        "_HCDCODEC_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["hcdcodec", *words]),
        "COMP_CWORD": str(len(words)),
    }
    code = "from hcdcodec.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["encode", "alb"], ["file,alb"]),
        (["verify", "sma"], ["file,sma"]),
        (["encode", "--backbone", "b"], ["plain,bicubic"]),
        (["encode", "--device", "cu"], ["plain,cuda", "plain,cuda:0", "plain,cuda:1"]),
        (
            ["decode", "--format", ""],
            [
                "plain,png",
                "plain,webp",
                "plain,tiff",
                "plain,jpeg",
                "plain,avif",
                "plain,heic",
                "plain,jxl",
                "plain,source",
            ],
        ),
        (["help", "enc"], ["plain,encode"]),
        (["info", "--weights-dir", "sma"], ["file,sma"]),
        (["encode", "--container", "w"], ["plain,webp"]),
        (["train", "--backbone", "hc"], ["plain,hcflow"]),
        (["train", "--start", "ins"], ["plain,installed"]),
        (["train", "--start", "cr"], ["file,cr"]),
    ],
)
def test_shells_complete(words: list[str], expected: list[str]) -> None:
    assert completed(*words) == expected
