"""A pool of `hcdcodec.format.oxipng_worker` programs for the writing threads. Each serves one thread at a time."""

import contextlib
import errno
import os
import subprocess
import sys
from collections import deque
from typing import Self

from hcdcodec.errors import OutputError
from hcdcodec.format import oxipng_worker
from hcdcodec.format.oxipng_worker import Raw


class Optimisers:
    """Programs that start when they are needed and end with the context.

    Args:
        count: number of threads that will ask at the same time. All programs together have one thread for each core.
    """

    def __init__(self, count: int) -> None:
        self._threads = max(1, (os.cpu_count() or 1) // max(1, count))
        self._idle: deque[subprocess.Popen[bytes]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End all programs. They are idle, since a thread that waits for an answer is still inside the context."""
        while self._idle:
            with self._idle.pop():
                pass  # leaving the context of a process closes its input, which ends it, and waits for the end

    def optimise(self, raw: Raw) -> bytes:
        """Optimise like `oxipng_worker.optimise`, but in another process, so that other threads can go on.

        Raises:
            OutputError: the program cannot be started, or was killed, most likely because memory was short.
        """
        program = self._take()
        assert program.stdin is not None and program.stdout is not None
        try:
            made = oxipng_worker.ask(program.stdin, program.stdout, raw)
        except (OSError, EOFError) as error:
            raise OutputError(_explain(_end(program))) from error
        self._idle.append(program)
        return made

    def _take(self) -> subprocess.Popen[bytes]:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        try:
            return self._start()
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO).lower()
            remedy = "run again with fewer --jobs, or check the Python that runs this"
            raise OutputError(f"the PNG optimiser cannot be started ({reason}); {remedy}") from error

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # By path, so that the package with its imports is not loaded. -P keeps its folder out of sys.path, where
            # our modules could hide others of the same name.
            [sys.executable, "-P", oxipng_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # oxipng's thread pool would take all cores in each of the programs.
            env={**os.environ, "RAYON_NUM_THREADS": str(self._threads)},
            start_new_session=True,  # Ctrl-C goes to the whole session of a terminal; only we handle it
        )


_home: int | None = None
"""Number of the process in which oxipng has started its threads."""


def optimise(raw: Raw) -> bytes:
    """Return the smallest PNG file that is found, for one picture.

    A fork copies no threads, and oxipng would wait for its own for ever. So a forked process has a program do it.

    Raises:
        OutputError: a program is needed, and it cannot be started, or was killed.
    """
    global _home
    _home = _home or os.getpid()
    if _home == os.getpid():
        return oxipng_worker.optimise(raw)
    with Optimisers(1) as optimisers:
        return optimisers.optimise(raw)


def _end(program: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a program that has closed its output, and return its exit status."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(1)
    program.kill()
    with contextlib.suppress(OSError), program:
        pass
    return program.wait()


def _explain(status: int) -> str:
    if status < 0:
        return "the PNG optimiser was killed; free some memory or lower --jobs, and run again"
    return f"the PNG optimiser ended with status {status}; check the package pyoxipng, and run again"
