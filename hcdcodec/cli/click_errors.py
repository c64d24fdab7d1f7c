"""What click refuses, said in the form of all our messages: what is wrong; what to do."""

import contextlib
import re

import click

from hcdcodec.cli import output
from hcdcodec.files.names import printable

_RANGE = re.compile(r"Invalid value for '(?:-\w' / ')?(--[\w-]+)': (\S+) is not in the range (\d+)<=x<=(\d+)")
_LEAST = re.compile(r"Invalid value for '(?:-\w' / ')?(--[\w-]+)': (\S+) is not in the range x>=(\d+)")


def tell(error: click.ClickException) -> None:
    """Say what is wrong with the command line, on one line; a call without any argument gets the help instead."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        with contextlib.suppress(OSError):
            error.show()
    else:
        output.fail(f"hcdcodec: {printable(_sentence(error))}")


def _sentence(error: click.ClickException) -> str:
    said = " ".join(error.format_message().split()).rstrip(".").replace("'. (", "' (")
    said = _RANGE.sub(r"\1 takes \3 to \4, not \2", said)
    said = _LEAST.sub(r"\1 takes \3 or more, not \2", said)
    said = said[:1].lower() + said[1:]
    if "; " in said:  # from a type of ours, which has said what to do
        return said
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{said}; see '{context.command_path if context else 'hcdcodec'} --help'"
