"""What click refuses, said in the form of all our messages: what is wrong; what to do."""

import contextlib

import click

from hcdcodec.cli import output
from hcdcodec.files.names import printable


def tell(error: click.ClickException) -> None:
    """Say what is wrong with the command line, on one line; a call without any argument gets the help instead."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        with contextlib.suppress(OSError):
            error.show()
    else:
        output.fail(f"hcdcodec: {printable(_sentence(error))}")


def _sentence(error: click.ClickException) -> str:
    said = " ".join(error.format_message().split()).rstrip(".").replace("'. (", "' (")
    said = said[:1].lower() + said[1:]
    if "; " in said:  # from a type of ours, which has said what to do
        return said
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{said}; see '{context.command_path if context else 'hcdcodec'} --help'"
