"""Print lines for programs on standard output, and lines for people on standard error.

A line that cannot be written is lost, but it never stops the work. If a line of standard output is lost, the command
ends with status 1, since the user asked for this line.
"""

import contextlib
import logging
import os
import stat
import sys
from typing import TextIO

import click

from hcdcodec.cli.exits import FAILED

FAILURE, WARNING = "red", "yellow"
"""The colours of lines."""

_lost: list[str] = []
"""The reasons why lines of standard output were lost."""


def write(line: str, stream: TextIO | None = None) -> None:
    """Write a line to standard output.

    Args:
        line: the text without a line end.
        stream: standard output as it was when the command began; None: as it is now.

    Raises:
        BrokenPipeError: the reader has ended.
    """
    if (stream := stream or sys.stdout) is None:
        return
    try:
        stream.write(line + "\n")
        # After each line, so that a program at the other end of a pipe can follow the run.
        stream.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: it is closed
        _lost.append(getattr(error, "strerror", None) or str(error))


def say(line: str, colour: str = "") -> None:
    """Write a line to standard error.

    Args:
        line: the text without a line end.
        colour: `FAILURE` or `WARNING`; shown only where the terminal may show colours.
    """
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write((click.style(line, fg=colour) if colour and has_colours() else line) + "\n")
            sys.stderr.flush()


def fail(line: str) -> None:
    """Write a line about a failure to standard error."""
    say(line, FAILURE)


def has_colours() -> bool:
    """Tell whether standard error is a terminal that shows colours, and the user has not switched them off."""
    return is_terminal(sys.stderr) and not os.environ.get("NO_COLOR") and can_move()


def can_move() -> bool:
    """Tell whether the terminal can draw one line anew."""
    return os.environ.get("TERM") != "dumb"


def hush_archives(*, quiet: bool) -> None:
    """Say that weights of an archive are used, or leave that out with `quiet`."""
    logging.getLogger("hcdcodec.archive").setLevel(logging.ERROR if quiet else logging.NOTSET)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal. A closed stream is not."""
    return stream is not None and not stream.closed and stream.isatty()


def wants_summary(stream: TextIO | None) -> bool:
    """Tell whether somebody reads a summary there: on a terminal, or in a regular file that keeps it.

    A pipe or socket leads to cron or to a journal, where a run that went well should leave nothing.
    """
    if stream is None or stream.closed:
        return False
    try:
        return stream.isatty() or stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # no file at all
        return False


def is_pipe(stream: TextIO | None) -> bool:
    """Tell whether another program is at the other end of a stream."""
    try:
        mode = os.fstat(stream.fileno()).st_mode if stream is not None and not stream.closed else 0
    except OSError:  # no file at all
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def prepare() -> None:
    """Prepare the standard streams: they accept any file name, and no other file can take their numbers."""
    # With a closed standard stream, the next file that is opened would get its number, and messages would go into it.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def finish(status: int) -> int:
    """Write the lines that are still buffered.

    Args:
        status: exit status of the command.

    Returns:
        The final exit status; it is not 0 if lines were lost.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        leave_quietly()
        return status or FAILED
    except (OSError, ValueError) as error:
        _lost.append(getattr(error, "strerror", None) or str(error))
    if not _lost:
        return status
    say(f"hcdcodec: standard output cannot be written ({_lost[0].lower()}); the work was done, but lines are lost")
    leave_quietly()
    return status or FAILED


def leave_quietly() -> None:
    """Stop the interpreter from printing an error at its end about output that cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
