"""What commands print: lines for programs on standard output, lines for people on standard error.

A line that cannot be written is lost; it never stops the work. Lost lines of standard output are what somebody asked
for, so the command then ends with status 1.
"""

import contextlib
import os
import sys
from typing import TextIO

from hcdcodec.cli.exits import FAILED

_lost: list[str] = []
"""Why lines of standard output were lost."""


def write(line: str, stream: TextIO | None = None) -> None:
    """Write a line to standard output.

    Args:
        line: without its end.
        stream: what standard output was when the command began; None: what it is now.

    Raises:
        BrokenPipeError: whoever read it has gone.
    """
    if (stream := stream or sys.stdout) is None:
        return
    try:
        stream.write(line + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: it is closed
        _lost.append(getattr(error, "strerror", None) or str(error))


def say(line: str) -> None:
    """Write a line to standard error."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal; a closed one is none."""
    return stream is not None and not stream.closed and stream.isatty()


def prepare() -> None:
    """Make the standard streams fit for any name, and keep files from becoming a standard stream by accident."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def finish(status: int) -> int:
    """Write what is still buffered.

    Args:
        status: exit status of the command.

    Returns:
        The status to leave with: not 0 if lines were lost.
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
    """Keep the interpreter from complaining, while it closes, about what cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
