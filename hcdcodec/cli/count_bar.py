"""A progress bar for commands that work on one thing after the other: so many of so many, and the time left."""

import contextlib
import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from hcdcodec.cli import output


class CountBar:
    """Progress over things of one kind; use as a context manager. It draws on a terminal only.

    Args:
        work: the word for the work.
        total: number of things; None = unknown, then the bar only shows that the work goes on.
        wanted: False = draw nothing, for example because lines on standard output show the progress.
    """

    def __init__(self, work: str, total: float | None, *, wanted: bool = True) -> None:
        counts: list[ProgressColumn] = [] if total is None else [MofNCompleteColumn(), TimeRemainingColumn()]
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *counts,
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # rich would write the lines of standard output to standard error
            disable=not (wanted and output.is_terminal(sys.stderr)),
        )
        self._task = self._progress.add_task(work, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, count: float = 1) -> None:
        """Count things that are done."""
        self._progress.advance(self._task, count)

    def say(self, line: str) -> None:
        """Print a line above the bar, to standard error."""
        if self._progress.disable:
            output.say(line)
            return
        with contextlib.suppress(OSError):
            # rich would read square brackets in a name as markup, and `:name:` as an emoji. `Text` stays as it is.
            self._progress.console.print(Text(line), soft_wrap=True)
