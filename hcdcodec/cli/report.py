"""All sentences about a batch, and its exit status.

The report takes each outcome once and keeps only sums, so a million pictures take no more memory than one. It prints
nothing. `hcdcodec.cli.run_batch` prints lines for people to stderr and lines for programs to stdout.
"""

import base64
import enum
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.files.names import printable
from hcdcodec.files.sizes import format_bytes

_MINUTE, _HOUR = 60, 3600


class Verb(enum.Enum):
    """The work that is done to the pictures; the value is the participle for messages."""

    ENCODE = "encoded"
    DECODE = "decoded"
    VERIFY = "verified"


class Verbosity(enum.IntEnum):
    """How much people want to read."""

    QUIET = -1
    """Failures only, and no summary."""
    NORMAL = 0
    """Failures, and a summary at the end."""
    VERBOSE = 1
    """One line for each name."""


@dataclass
class Mean:
    """A mean that keeps only a sum and a count."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Take one value into the mean."""
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        """Return the mean; there must be a value."""
        return self.total / self.count


class Report:
    """Turns outcomes into lines, a summary and an exit status.

    Args:
        verb: the work.
        verbosity: how much people want to read.
        clock: returns seconds. It is read here and in the summary, since the times of pictures overlap.
    """

    def __init__(self, verb: Verb, verbosity: Verbosity, clock: Callable[[], float] = time.monotonic) -> None:
        self.verb, self.verbosity, self.clock = verb, verbosity, clock
        self._counts, self._missed, self._stale = Counter[Status](), Counter[Status](), Counter[str]()
        self._source_bytes = self._target_bytes = self._pixels = 0
        self._exact = self._larger = self._left_out = self._older = 0
        self._psnr, self._gain = Mean(), Mean()
        self._started = clock()

    def add(self, outcome: Outcome) -> None:
        """Take one outcome into the sums. Only pictures that were done count in bytes, pixels and dB."""
        self._counts[outcome.status] += 1
        if outcome.status is Status.STALE:
            self._stale[outcome.message] += 1
        self._left_out += outcome.is_left_out
        self._older += outcome.is_older
        self._missed[outcome.status] += outcome.misses_target
        if outcome.status is not Status.DONE:
            return
        self._source_bytes += outcome.source_bytes
        self._target_bytes += outcome.target_bytes
        self._pixels += outcome.pixels
        self._larger += outcome.is_larger
        # One infinite PSNR would make the mean infinite, so exact pictures are counted apart.
        if outcome.psnr == math.inf:
            self._exact += 1
        elif outcome.psnr is not None:
            self._psnr.add(outcome.psnr)
            if outcome.is_searched and outcome.psnr_before is not None:
                self._gain.add(outcome.psnr - outcome.psnr_before)

    @property
    def exit_status(self) -> int:
        """0 if everything was done or was up to date, 1 if something failed or missed its target."""
        return 1 if self._counts[Status.FAILED] or self._missed.total() else 0

    @property
    def is_complete(self) -> bool:
        """Whether everything has its result, and each is up to date and meets its target."""
        return not (self.exit_status or self._counts[Status.MISSING] or self._counts[Status.STALE])

    def line(self, outcome: Outcome) -> str | None:
        """Return the line about one outcome for people; None if this verbosity has no line for it."""
        failed = outcome.status is Status.FAILED or outcome.misses_target
        warned = outcome.status is Status.DONE and outcome.message and self.verbosity >= Verbosity.NORMAL
        if not failed and not warned and self.verbosity < Verbosity.VERBOSE:
            return None
        return message(outcome.name, self._sentence(outcome))

    def _sentence(self, outcome: Outcome) -> str:
        if outcome.status is Status.DONE:
            done = (
                [f"{self.verb.value}, {_format_measurements(outcome)}"] if self.verbosity >= Verbosity.VERBOSE else []
            )
            return "; ".join([*done, *self._warnings(outcome)])
        if outcome.status is Status.FAILED:
            return outcome.message or "failed"
        return f"{outcome.status.value}, {outcome.message}" if outcome.message else outcome.status.value

    def _warnings(self, outcome: Outcome) -> list[str]:
        word = "" if outcome.misses_target else "warning: "
        found = [f"{word}{outcome.message}"] if outcome.message else []
        if self.verb is Verb.ENCODE and outcome.is_larger and self.verbosity >= Verbosity.VERBOSE:
            found.append("warning: larger than its source, --skip-if-larger would store nothing")
        return found

    def summary(self) -> str:
        """Return a summary: pictures, why results are stale, bytes, quality, time. It is empty with `QUIET`."""
        if self.verbosity < Verbosity.NORMAL:
            return ""
        lines = [self._pictures(), *stale_lines(self._stale)]
        if self._counts[Status.DONE]:
            lines += [self._bytes(), self._quality(), self._time()]
        return "\n".join(line for line in lines if line)

    def _pictures(self) -> str:
        words = {Status.DONE: self.verb.value, Status.SKIPPED: "up to date"}
        # Pictures that --skip-if-larger left out are skipped, too, but they are not up to date.
        numbers = self._counts - Counter({Status.SKIPPED: self._left_out, Status.STALE: self._stale.total()})
        for status, count in (+self._missed).items():
            words[status] += f" ({count} missed the target)"
        counts = [f"{numbers[s]} {words.get(s, s.value)}" for s in Status if numbers[s]]
        counts += [f"{self._left_out} left out as not smaller than their source"] if self._left_out else []
        counts += [f"{self._older} of them made by an older release, --upgrade redoes them"] if self._older else []
        if self._counts.total() == self._counts[Status.IGNORED]:
            counts.insert(0, f"no {'pictures' if self.verb is Verb.ENCODE else 'small files'} found")
        return ", ".join(counts)

    def _bytes(self) -> str:
        if not (self._source_bytes and self._target_bytes):
            return ""
        change = f"{format_bytes(self._source_bytes)} -> {format_bytes(self._target_bytes)}"
        if self.verb is not Verb.ENCODE:
            return change
        ratio = self._target_bytes / self._source_bytes
        verdict = "of the source files" if ratio < 1 else "of the source files: nothing saved"
        bpp = f", {8 * self._target_bytes / self._pixels:.3f} bpp" if self._pixels else ""
        larger = f", {self._larger} larger than their source" if self._larger else ""
        return f"{change}, {100 * ratio:.1f} % {verdict}{bpp}{larger}"

    def _quality(self) -> str:
        parts = [f"PSNR-RGB {self._psnr.value:.2f} dB on average"] if self._psnr.count else []
        if self._gain.count:
            parts.append(f"{self._gain.value:+.2f} dB by the search")
        if self._exact:
            parts.append(f"{self._exact} without any error")
        return ", ".join(parts)

    def _time(self) -> str:
        seconds = self.clock() - self._started
        speed = f", {self._pixels / 1e6 / seconds:.2f} MP/s" if seconds > 0 and self._pixels else ""
        return f"{seconds:.1f} s{speed}"


def standing_line(outcome: Outcome) -> str:
    """Return the line about the state of one result: `source -> target (state)`."""
    target = "standard output" if outcome.target is None else printable(str(outcome.target))
    state = "up to date" if outcome.status is Status.SKIPPED else outcome.status.value
    state += ", made by an older release" if outcome.is_older else ""
    state += ", missed the target" if outcome.misses_target else ""
    state += f": {outcome.message}" if outcome.status is Status.STALE else ""
    return f"{printable(outcome.name)} -> {target} ({state})"


def stale_lines(reasons: Counter[str]) -> list[str]:
    """Return one line for each reason why results are stale, such as "7 stale: quality 90, now 75"."""
    return [f"{count} stale: {reason}" for reason, count in reasons.most_common()]


def message(name: str, sentence: str) -> str:
    """Return a message on one line, in the form of all messages: `hcdcodec: name: what is wrong; what to do`."""
    return f"hcdcodec: {printable(name)}: {printable(sentence)}"


def json_line(outcome: Outcome) -> str:
    """Return one outcome as a JSON object on one line, in ASCII, with the members of `Outcome` each time.

    A number that was not measured is null. An infinite PSNR is null too, since JSON has no infinity; `exact` is true
    then. A name or target that is not UTF-8 is written with escapes, and its exact bytes stand in one more member,
    `name_base64` or `target_base64`.
    """
    members = {
        **name_members("name", outcome.name),
        **name_members("target", os.fspath(outcome.target) if outcome.target else None),
        "status": outcome.status.value,
        "message": printable(outcome.message),
        "source_bytes": outcome.source_bytes,
        "target_bytes": outcome.target_bytes,
        "height": outcome.height,
        "width": outcome.width,
        "quality": outcome.quality,
        "misses_target": outcome.misses_target,
        "psnr_before": round_finite(outcome.psnr_before),
        "psnr": round_finite(outcome.psnr),
        "exact": outcome.psnr == math.inf,
        "passes": outcome.passes,
        "seconds": round(outcome.seconds, 3),
    }
    return json.dumps(members, allow_nan=False)


def failure_members(member: str, name: str, why: str) -> dict[str, str | None]:
    """Return a failure for JSON: the name under `member`, and status and message as in `json_line`."""
    return {**name_members(member, name), "status": Status.FAILED.value, "message": printable(why)}


def name_members(member: str, name: str | None) -> dict[str, str | None]:
    """Return a name for JSON, and its exact bytes in base64 where it is not UTF-8."""
    if name is None:
        return {member: None}
    exact = os.fsencode(name)
    text = exact.decode("utf-8", "backslashreplace")
    # The two differ only where a byte became an escape. Then a program cannot get the name back from the text.
    if text.encode("utf-8") == exact:
        return {member: text}
    return {member: text, f"{member}_base64": base64.b64encode(exact).decode("ascii")}


def round_finite(value: float | None) -> float | None:
    """Return a measured number for JSON, which has no infinity: an infinite PSNR is null there."""
    return round(value, 4) if value is not None and math.isfinite(value) else None


def _format_measurements(outcome: Outcome) -> str:
    parts = (
        [f"{format_bytes(outcome.source_bytes)} -> {format_bytes(outcome.target_bytes)}"]
        if outcome.target_bytes
        else []
    )
    if outcome.quality is not None:
        parts.append(f"quality {outcome.quality}")
    if outcome.psnr is not None:
        parts.append("no error" if outcome.psnr == math.inf else f"{outcome.psnr:.2f} dB")
    if outcome.passes:
        parts.append(f"{outcome.passes} passes")
    return ", ".join([*parts, f"{outcome.seconds:.1f} s"])


def format_time(seconds: float) -> str:
    """Return a time that was forecast, no finer than a forecast is."""
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / _MINUTE:.0f} minutes" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} hours"
