"""Exit statuses, and the loop of commands that treat one file after the other."""

from collections.abc import Callable, Sequence

import click

from hcdcodec.cli.report import message
from hcdcodec.errors import HcdError

FAILED, USAGE, WEIGHTS, LOCKED, INTERRUPTED, TERMINATED = 1, 2, 3, 75, 130, 143


def each(paths: Sequence[str], do: Callable[[str], None]) -> int:
    """Do something to each file; return the exit status."""
    status = 0
    for path in paths:
        try:
            do(path)
        except HcdError as error:
            click.echo(message(path, str(error)), err=True)
            status = FAILED
    return status
