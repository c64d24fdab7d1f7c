"""What a person sees while a batch runs: one calm line on a terminal, nothing elsewhere."""

import contextlib
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.cli import output


class _Rate(ProgressColumn):
    """Megapixels a second, over the whole run."""

    def render(self, task: Task) -> Text:
        megapixels = task.fields["pixels"] / 1e6
        return Text(f"{megapixels / task.elapsed:.2f} MP/s" if megapixels and task.elapsed else "", "dim")


class _Gain(ProgressColumn):
    """Mean dB that the search has gained so far."""

    def render(self, task: Task) -> Text:
        gains = task.fields["gains"]
        return Text(f"{sum(gains) / len(gains):+.2f} dB" if gains else "", "green")


class Meter:
    """Progress over jobs; use as a context manager.

    Args:
        total: number of jobs.
        verb: what is being done.
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
            console=Console(stderr=True),
            transient=True,
            disable=not visible,
        )
        self._pixels = 0
        self._gains: list[float] = []
        self._task = self._progress.add_task(verb, total=total, pixels=0, gains=self._gains)

    def __enter__(self) -> "Meter":
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
            if outcome.psnr is not None and outcome.psnr_before is not None and outcome.psnr != float("inf"):
                self._gains.append(outcome.psnr - outcome.psnr_before)
        self._progress.update(self._task, advance=1, pixels=self._pixels)

    def say(self, line: str) -> None:
        """Print a line above the bar, to standard error."""
        if self._progress.disable:
            output.say(line)
            return
        with contextlib.suppress(OSError):
            # As `Text`, since names may look like markup, or like an emoji.
            self._progress.console.print(Text(line), soft_wrap=True)
