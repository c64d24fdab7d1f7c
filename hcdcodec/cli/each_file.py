"""The loop of commands that work on one file after the other."""

from collections.abc import Callable, Sequence

from hcdcodec.cli import exits, output
from hcdcodec.cli.report import message
from hcdcodec.errors import HcdError

NO_MEMORY = "not enough memory for this picture; leave it out, or end other programs"


def reason(error: HcdError | MemoryError) -> str:
    """Say why a file failed."""
    return NO_MEMORY if isinstance(error, MemoryError) else str(error)


def do_each(paths: Sequence[str], do: Callable[[str], None]) -> int:
    """Call `do` with each file, print the failures, and return the exit status."""
    status = 0
    for path in paths:
        try:
            do(path)
        except (HcdError, MemoryError) as error:
            output.say(message(path, reason(error)))
            status = exits.FAILED
    return status
