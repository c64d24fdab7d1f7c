"""Every sentence that a batch says, and its exit status.

The report is told each outcome once and keeps sums only, so that a million pictures take no more memory than one.
It prints nothing: lines for people go to stderr and lines for programs to stdout by the hand of the command line.
"""

import base64
import enum
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.files.names import printable

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


class Work(enum.Enum):
    """What is done to the pictures, as a participle."""

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
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        return self.total / self.count


@dataclass
class Report:
    """Turns outcomes into lines, a summary and an exit status."""

    work: Work
    verbosity: Verbosity = Verbosity.NORMAL
    clock: Callable[[], float] = time.monotonic
    """Seconds. Read when the report is made and when it is summed up: pictures overlap, their seconds do not add up."""
    _counts: Counter[Status] = field(default_factory=Counter, init=False)
    _source_bytes: int = field(default=0, init=False)
    _target_bytes: int = field(default=0, init=False)
    _pixels: int = field(default=0, init=False)
    _psnr: _Mean = field(default_factory=_Mean, init=False)
    _gain: _Mean = field(default_factory=_Mean, init=False)
    _exact: int = field(default=0, init=False)
    _larger: int = field(default=0, init=False)
    _left_out: int = field(default=0, init=False)
    _older: int = field(default=0, init=False)
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def add(self, outcome: Outcome) -> None:
        """Take one outcome into the sums; only what was done counts in bytes, pixels and dB."""
        self._counts[outcome.status] += 1
        self._left_out += outcome.status is Status.SKIPPED and outcome.target_bytes > 0
        self._older += outcome.is_older
        if outcome.status is not Status.DONE:
            return
        self._source_bytes += outcome.source_bytes
        self._target_bytes += outcome.target_bytes
        self._pixels += outcome.pixels
        self._larger += outcome.is_larger
        if outcome.psnr == math.inf:
            self._exact += 1
        elif outcome.psnr is not None:
            self._psnr.add(outcome.psnr)
            if outcome.psnr_before is not None:
                self._gain.add(outcome.psnr - outcome.psnr_before)

    @property
    def exit_status(self) -> int:
        """0 if everything was done or was up to date, 1 if something failed."""
        return 1 if self._counts[Status.FAILED] else 0

    @property
    def is_complete(self) -> bool:
        """Whether everything has its result, and each is up to date."""
        return not any(self._counts[status] for status in (Status.FAILED, Status.MISSING, Status.STALE))

    def line(self, outcome: Outcome) -> str | None:
        """Return what people are to read about one outcome, if anything."""
        warned = outcome.status is Status.DONE and outcome.message and self.verbosity >= Verbosity.NORMAL
        if outcome.status is not Status.FAILED and not warned and self.verbosity < Verbosity.VERBOSE:
            return None
        return message(outcome.name, self._sentence(outcome))

    def _sentence(self, outcome: Outcome) -> str:
        if outcome.status is Status.DONE:
            done = [f"{self.work.value}, {_measurements(outcome)}"] if self.verbosity >= Verbosity.VERBOSE else []
            return "; ".join([*done, *self._warnings(outcome)])
        if outcome.status is Status.FAILED:
            return outcome.message or "failed"
        return f"{outcome.status.value}, {outcome.message}" if outcome.message else outcome.status.value

    def _warnings(self, outcome: Outcome) -> list[str]:
        found = [f"warning: {outcome.message}"] if outcome.message else []
        if self.work is Work.ENCODE and outcome.is_larger and self.verbosity >= Verbosity.VERBOSE:
            found.append("warning: larger than its source, --skip-if-larger would store nothing")
        return found

    def summary(self) -> str:
        """Return the end of the batch in up to four lines: pictures, bytes, quality, time; empty if to be quiet."""
        if self.verbosity < Verbosity.NORMAL:
            return ""
        lines = [self._pictures()]
        if self._counts[Status.DONE]:
            lines += [self._bytes(), self._quality(), self._time()]
        return "\n".join(line for line in lines if line)

    def _pictures(self) -> str:
        words = {Status.DONE: self.work.value, Status.SKIPPED: "up to date"}
        numbers = self._counts - Counter({Status.SKIPPED: self._left_out})
        counts = [f"{numbers[s]} {words.get(s, s.value)}" for s in Status if numbers[s]]
        counts += [f"{self._left_out} left out as not smaller than their source"] if self._left_out else []
        counts += [f"{self._older} of them made by an older release, --upgrade redoes them"] if self._older else []
        return ", ".join(counts) or "no pictures found"

    def _bytes(self) -> str:
        if not (self._source_bytes and self._target_bytes):
            return ""
        change = f"{_size(self._source_bytes)} -> {_size(self._target_bytes)}"
        if self.work is not Work.ENCODE:
            return change
        ratio = self._target_bytes / self._source_bytes
        verdict = "of the source files" if ratio < 1 else "of the source files: nothing saved"
        bpp = f", {8 * self._target_bytes / self._pixels:.3f} bpp" if self._pixels else ""
        larger = f", {self._larger} larger than their source" if self._larger else ""
        return f"{change}, {100 * ratio:.1f} % {verdict}{bpp}{larger}"

    def _quality(self) -> str:
        parts = [f"PSNR {self._psnr.value:.2f} dB on average"] if self._psnr.count else []
        if self._gain.count:
            parts.append(f"{self._gain.value:+.2f} dB by the search")
        if self._exact:
            parts.append(f"{self._exact} without any error")
        return ", ".join(parts)

    def _time(self) -> str:
        seconds = self.clock() - self._started
        speed = f", {self._pixels / 1e6 / seconds:.2f} MP/s" if seconds > 0 and self._pixels else ""
        return f"{seconds:.1f} s{speed}"


def standing(outcome: Outcome) -> str:
    """Return what a survey found about one result: `source -> target (state)`."""
    target = "standard output" if outcome.target is None else printable(str(outcome.target))
    state = "up to date" if outcome.status is Status.SKIPPED else outcome.status.value
    state += ", made by an older release" if outcome.is_older else ""
    return f"{printable(outcome.name)} -> {target} ({state})"


def message(name: str, sentence: str) -> str:
    """Return the one form of message that there is, on one line: `hcdcodec: name: what is wrong; what to do`."""
    return f"hcdcodec: {printable(name)}: {printable(sentence)}"


def json_line(outcome: Outcome) -> str:
    """Return one outcome as a JSON object on one line, in ASCII, with the members of `Outcome` each time.

    What was not measured is null. An infinite PSNR is null too, since JSON has no infinity, with `exact` true instead.
    A name or target that is no UTF-8 stands there with escapes, and exactly in one more member, `name_base64` or
    `target_base64`.
    """
    members = {
        **_named("name", outcome.name),
        **_named("target", os.fspath(outcome.target) if outcome.target else None),
        "status": outcome.status.value,
        "message": printable(outcome.message),
        "source_bytes": outcome.source_bytes,
        "target_bytes": outcome.target_bytes,
        "height": outcome.height,
        "width": outcome.width,
        "quality": outcome.quality,
        "psnr_before": _finite(outcome.psnr_before),
        "psnr": _finite(outcome.psnr),
        "exact": outcome.psnr == math.inf,
        "passes": outcome.passes,
        "seconds": round(outcome.seconds, 3),
    }
    return json.dumps(members, allow_nan=False)


def _named(member: str, name: str | None) -> dict[str, str | None]:
    if name is None:
        return {member: None}
    exact = os.fsencode(name)
    text = exact.decode("utf-8", "backslashreplace")
    if text.encode("utf-8") == exact:
        return {member: text}
    return {member: text, f"{member}_base64": base64.b64encode(exact).decode("ascii")}


def _finite(decibels: float | None) -> float | None:
    return None if decibels is None or math.isinf(decibels) else round(decibels, 4)


def _measurements(outcome: Outcome) -> str:
    parts = [f"{_size(outcome.source_bytes)} -> {_size(outcome.target_bytes)}"] if outcome.target_bytes else []
    if outcome.quality is not None:
        parts.append(f"quality {outcome.quality}")
    if outcome.psnr is not None:
        parts.append("no error" if outcome.psnr == math.inf else f"{outcome.psnr:.2f} dB")
    if outcome.passes:
        parts.append(f"{outcome.passes} passes")
    return ", ".join([*parts, f"{outcome.seconds:.1f} s"])


def _size(count: int) -> str:
    """Return a number of bytes with three digits or more, in powers of 1000."""
    power = min(len(_UNITS) - 1, (len(str(count)) - 1) // 3)
    return (
        f"{count} bytes" if power == 0 else f"{count / 1000**power:.{2 - (len(str(count)) - 1) % 3}f} {_UNITS[power]}"
    )
