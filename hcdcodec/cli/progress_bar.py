"""The progress bar of a batch: one line on a terminal, nothing elsewhere."""

import contextlib
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.cli import output
from hcdcodec.cli.report import Mean


class _Rate(ProgressColumn):
    """Megapixels a second, over the whole run."""

    def render(self, task: Task) -> Text:
        megapixels = task.fields["pixels"] / 1e6
        return Text(f"{megapixels / task.elapsed:.2f} MP/s" if megapixels and task.elapsed else "", "dim")


class _Gain(ProgressColumn):
    """Mean dB that the search has gained so far."""

    def render(self, task: Task) -> Text:
        gain = task.fields["gain"]
        return Text(f"{gain.value:+.2f} dB" if gain.count else "", "green")


class ProgressBar:
    """Progress over jobs; use as a context manager.

    Args:
        total: number of jobs.
        verb: word for the work.
        visible: False = draw nothing.
    """

    def __init__(self, total: int, verb: str, *, visible: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            _Gain(),
            TimeRemainingColumn(),
            console=Console(stderr=True),  # standard output may carry a picture or rows
            transient=True,  # the summary takes the place of the bar
            disable=not visible,
        )
        self._pixels = 0
        self._gain = Mean()
        self._task = self._progress.add_task(verb, total=total, pixels=0, gain=self._gain)

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, outcome: Outcome) -> None:
        """Count one outcome."""
        if outcome.status is Status.DONE:
            self._pixels += outcome.pixels
            # The gain of an exact picture is infinite, and so would be the mean.
            if outcome.psnr is not None and outcome.psnr_before is not None and outcome.psnr != float("inf"):
                self._gain.add(outcome.psnr - outcome.psnr_before)
        self._progress.update(self._task, advance=1, pixels=self._pixels)

    def say(self, line: str) -> None:
        """Print a line above the bar, to standard error."""
        if self._progress.disable:
            output.say(line)
            return
        with contextlib.suppress(OSError):
            # rich would read square brackets in a name as markup, and `:name:` as an emoji. `Text` stays as it is.
            self._progress.console.print(Text(line), soft_wrap=True)
