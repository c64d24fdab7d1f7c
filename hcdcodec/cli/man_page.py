"""The manual page, made from the texts of --help. The build of the wheel runs this module and installs what it prints.

It needs click alone, as `--help` does, since the build has little more.
"""

import re
import sys
from collections.abc import Iterator

import click

from hcdcodec.cli import command
from hcdcodec.cli.groups import options_by_group


def man_page(release: str) -> str:
    """Return the page in roff, for the macros of man(7).

    Args:
        release: number of the release that the page is for.
    """
    top = click.Context(command.cli, info_name="hcdcodec", **command.cli.context_settings)
    summary, _, rest = _paragraphs(command.cli)[0].partition(". ")
    lines = [
        f'.TH HCDCODEC 1 "" "hcdcodec {release}" "User Commands"',
        ".nh",  # no hyphenation: names of files and options must stay whole
        ".ad l",
        ".SH NAME",
        f"hcdcodec \\- {_escaped(summary[:1].lower() + summary[1:])}",
        ".SH SYNOPSIS",
        ".B hcdcodec",
        "[\\-\\-version] [\\-\\-help] COMMAND [ARGUMENTS]",
        ".SH DESCRIPTION",
        *_text([rest, *_paragraphs(command.cli)[1:]]),
        ".SH COMMANDS",
        *(line for context in _commands(top) for line in _section(context)),
        ".SH EXIT STATUS",
        *(line for status, meaning in _statuses() for line in _entry(status, meaning)),
        ".SH ENVIRONMENT",
        *(line for name, meaning in _VARIABLES for line in _entry(name, meaning)),
        ".SH SEE ALSO",
        *_text(["'hcdcodec help' lists pages to read, and 'hcdcodec help PAGE' shows one."]),
    ]
    return "\n".join(lines) + "\n"


_VARIABLES = (
    ("HCDCODEC_WEIGHTS", "Folder of weights that is searched after --weights-dir, and before all others."),
    ("HCDCODEC_NATIVE", "0 switches the kernel in C off; avx2, avx512 or avx512bf16 allows no better one than that."),
    ("NO_COLOR", "Set to anything: no colours on a terminal."),
)


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Yield the context of each command that is no group, in the order of --help."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        inner = click.Context(group.commands[name], parent=context, info_name=name)
        if isinstance(inner.command, click.Group):
            yield from _commands(inner)
        else:
            yield inner


def _section(context: click.Context) -> Iterator[str]:
    arguments = " ".join(context.command.collect_usage_pieces(context))
    yield f".SS {_escaped(context.command_path)}"
    yield f".B {_escaped(context.command_path)}"
    yield _escaped(arguments)
    yield from _text(_paragraphs(context.command))
    for group, records in options_by_group(context).items():
        if records:
            yield from (".PP", f".I {_escaped(group)}")
            yield from (line for names, text in records for line in _entry(names, text))
    if context.command.epilog:
        yield from (".PP", ".I Examples", ".PP", ".nf", ".RS")
        yield from (_escaped(line.strip()) for line in context.command.epilog.strip().splitlines())
        yield from (".RE", ".fi")


def _paragraphs(described: click.Command) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in (described.help or "").split("\n\n")]


def _text(paragraphs: list[str]) -> Iterator[str]:
    for paragraph in filter(None, paragraphs):
        yield from (".PP", _escaped(paragraph))


def _entry(name: str, text: str) -> Iterator[str]:
    yield from (".TP", f"\\fB{_escaped(name)}\\fR", _escaped(text))


def _statuses() -> list[tuple[str, str]]:
    """Return (status, meaning) from the table in the documentation of `hcdcodec.cli.command`."""
    columns = [re.split(r"  +", line.strip()) for line in (command.__doc__ or "").splitlines()[2:]]
    pairs = [tuple(cells[at : at + 2]) for cells in columns for at in range(0, len(cells) - 1, 2)]
    return sorted(((pair[0], pair[1]) for pair in pairs), key=lambda pair: int(pair[0].partition(",")[0]))


def _escaped(text: str) -> str:
    r"""Return text as roff prints it: a plain - would be a hyphen, and a line must not begin with a dot or quote."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    click.echo(man_page(sys.argv[1]), nl=False)
