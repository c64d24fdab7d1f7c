"""Several `hcdcodec.format.oxipng_worker` programs, for threads that write: each works for one thread at a time."""

import contextlib
import os
import subprocess
import sys
from collections import deque
from types import TracebackType
from typing import Self

from hcdcodec.errors import OutputError
from hcdcodec.format import oxipng_worker
from hcdcodec.format.oxipng_worker import Raw


class Optimisers:
    """Programs that are started when they are needed, and end with the context.

    Args:
        count: threads that will ask at the same time; the programs together have as many threads as there are cores.
    """

    def __init__(self, count: int) -> None:
        self._threads = max(1, (os.cpu_count() or 1) // max(1, count))
        self._idle: deque[subprocess.Popen[bytes]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have idle programs end; none is busy, as who waits for an answer is inside the context."""
        while self._idle:
            with self._idle.pop():
                pass  # closes its input, and waits

    def optimise(self, raw: Raw) -> bytes:
        """Do what `optimiser.optimise` does, without Python's lock.

        Raises:
            OutputError: the program was killed, most likely for want of memory.
        """
        program = self._take()
        assert program.stdin is not None and program.stdout is not None
        try:
            made = oxipng_worker.ask(program.stdin, program.stdout, raw)
        except (OSError, EOFError) as error:
            _bury(program)
            raise OutputError(
                "the PNG optimiser was killed; free some memory or lower --jobs, and run again"
            ) from error
        self._idle.append(program)
        return made

    def _take(self) -> subprocess.Popen[bytes]:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        return subprocess.Popen(
            # By its path and without its folder: modules of ours must not stand in for others of the same name.
            [sys.executable, "-P", oxipng_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "RAYON_NUM_THREADS": str(self._threads)},
            start_new_session=True,  # so that an interrupt from the terminal is ours to handle
        )


def _bury(program: subprocess.Popen[bytes]) -> None:
    program.kill()
    with contextlib.suppress(OSError), program:
        pass
