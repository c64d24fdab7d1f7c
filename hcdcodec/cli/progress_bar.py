"""The progress bar of a batch: one line on a terminal, nothing elsewhere."""

import contextlib
import os
import sys

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar as Stripe
from rich.table import Table
from rich.text import Text

from hcdcodec.cli import output
from hcdcodec.cli.work_meter import WorkMeter
from hcdcodec.files.names import printable

_NAME_SHARE, _STRIPE_SHARE = 3, 2
"""How the name and the stripe share the width that the numbers leave."""


class ProgressBar:
    """Progress over jobs; use as a context manager.

    Args:
        meter: measures the progress.
        verb: word for the work.
        visible: False = draw nothing.
    """

    def __init__(self, meter: WorkMeter, verb: str, *, visible: bool) -> None:
        self._meter, self._verb, self._visible = meter, verb, visible
        self._console = Console(stderr=True)  # standard output may carry a picture or rows
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=4,
            transient=True,  # the summary takes the place of the bar
            redirect_stdout=False,  # rich would write rows to standard error
        )

    def __enter__(self) -> "ProgressBar":
        if self._visible:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._visible:
            self._live.stop()

    def say(self, line: str, colour: str = "") -> None:
        """Print a line above the bar, to standard error."""
        say_above(self._console if self._visible else None, line, colour)

    def _draw(self) -> Table:
        progress = self._meter.now()
        line = Table.grid(padding=(0, 1), expand=True)
        # At the end of a full line, the ^C of an interrupt would go to a new one, and the bar would stand there twice.
        line.width = max(1, self._console.width - len("^C") - 1)
        for _ in range(2):
            line.add_column(no_wrap=True)
        line.add_column(ratio=_STRIPE_SHARE)
        line.add_column(no_wrap=True, justify="right", min_width=len("100 %"))
        line.add_column(ratio=_NAME_SHARE, no_wrap=True, overflow="ellipsis")
        line.add_column(no_wrap=True, justify="right", min_width=len("99 min left"))
        line.add_row(
            self._verb,
            f"{progress.ended}/{self._meter.count}",
            Stripe(total=1, completed=progress.share),
            f"{100 * progress.share:.0f} %",
            Text(_name(progress.names) or ("" if progress.share else "starting")),
            "" if progress.seconds_left is None else f"{format_seconds(progress.seconds_left)} left",
        )
        return line


def say_above(console: Console | None, line: str, colour: str) -> None:
    """Print a line to standard error, above the bar that a console draws; None: there is no bar."""
    if console is None:
        output.say(line, colour)
        return
    with contextlib.suppress(OSError):
        # rich would read square brackets in a name as markup, and `:name:` as an emoji. `Text` stays as it is.
        console.print(Text(line, colour), soft_wrap=True)


def may_draw(*, rows: bool, streams: bool) -> bool:
    """Tell whether a bar disturbs nobody on the terminal behind standard error.

    Args:
        rows: whether rows go to standard output.
        streams: whether the picture comes from standard input or goes to standard output.
    """
    if not (output.is_terminal(sys.stderr) and output.can_move()):
        return False
    # What reads our output, or writes our input, most likely draws on the same terminal.
    piped = output.is_pipe(sys.stdout) or (streams and output.is_pipe(sys.stdin))
    return not piped and not (rows and output.is_terminal(sys.stdout))


def format_seconds(seconds: float) -> str:
    """Return a time that is left, in a unit that suits it: nobody needs the seconds of an hour."""
    for unit, length in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < 100 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def _name(names: tuple[str, ...]) -> str:
    """Return the name of the file in work without its folder, and how many others are in work, too."""
    if not names:
        return ""
    others = f" +{len(names) - 1}" if len(names) > 1 else ""
    return printable(os.path.basename(names[0])) + others  # noqa: PTH119  (a name may be no path)
