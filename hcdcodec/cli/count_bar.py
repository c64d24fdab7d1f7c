"""A progress bar for commands that work on one thing after the other: so many of so many, and the time left."""

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from hcdcodec.cli.progress_bar import may_draw, say_above


class CountBar:
    """Progress over things of one kind; use as a context manager. It draws on a terminal only.

    Args:
        work: the word for the work.
        total: number of things; None = unknown, then the bar only shows that the work goes on. A float, such as
            minutes, is shown in per cent.
        wanted: False = draw nothing, for example because lines on standard output show the progress.
    """

    def __init__(self, work: str, total: float | None, *, wanted: bool = True) -> None:
        count = MofNCompleteColumn() if isinstance(total, int) else TaskProgressColumn()
        counts: list[ProgressColumn] = [] if total is None else [count, TimeRemainingColumn()]
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *counts,
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # rich would write the lines of standard output to standard error
            disable=not (wanted and may_draw(rows=False, streams=False)),
        )
        self._task = self._progress.add_task(work, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, count: float = 1) -> None:
        """Count things that are done."""
        self._progress.advance(self._task, count)

    def reach(self, count: float) -> None:
        """Tell how many things are done by now."""
        self._progress.update(self._task, completed=count)

    def say(self, line: str, colour: str = "") -> None:
        """Print a line above the bar, to standard error; see `output.say`."""
        say_above(None if self._progress.disable else self._progress.console, line, colour)
