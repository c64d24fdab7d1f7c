"""The outcome of one job. It is all that the batch reports to its caller."""

import enum
from dataclasses import dataclass
from pathlib import Path


class Status(enum.Enum):
    """How a job ended, or which state a survey found."""

    DONE = "done"
    SKIPPED = "skipped"
    """The result was up to date already, or would have been no smaller than its source."""
    FAILED = "failed"
    IGNORED = "ignored"
    """The walk found this file, and it is not a picture."""
    MISSING = "missing"
    """Of a survey: there is no result."""
    STALE = "stale"
    """Of a survey: the result was made from another source or with other settings."""


# With slots, an outcome takes a third of the memory; a run keeps one for each picture that is up to date.
@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The end of one job. A number that was not measured is 0 or None."""

    name: str
    """Name of the source in messages."""
    status: Status
    target: Path | None = None
    """Path of the result; None: standard output, or there is no result."""
    message: str = ""
    """The reason where the job was not done, as `what is wrong; what to do`, without the name. Else a warning.

    For a survey, the reason why a result is stale.
    """
    is_left_out: bool = False
    """The picture was encoded, but its result was not smaller than its source, and was not stored."""
    is_older: bool = False
    """The result is up to date, but an older release made it with other weights."""
    source_bytes: int = 0
    """Size of the source as a file."""
    target_bytes: int = 0
    """Size of the result as a file, even if it was not stored."""
    height: int = 0
    """Height of the HR picture, in pixels."""
    width: int = 0
    quality: int | None = None
    """Quality that encoding used; a target may have chosen it."""
    misses_target: bool = False
    """The result is stored, or stands there already, but no quality meets the target."""
    psnr_before: float | None = None
    """PSNR-RGB in dB of the reconstruction from the LR with which the search started."""
    psnr: float | None = None
    """PSNR-RGB in dB of the reconstruction from the LR that was written; infinite if it is exact."""
    is_searched: bool = False
    """Whether a search ran, so that the two PSNRs can differ."""
    passes: int = 0
    """Number of forward and backward passes of the search."""
    seconds: float = 0.0
    """Working time. Pictures that are computed together share it by their pixels."""

    @property
    def pixels(self) -> int:
        """Number of HR pixels."""
        return self.height * self.width

    @property
    def is_larger(self) -> bool:
        """Whether the result has more bytes than the source."""
        return 0 < self.source_bytes < self.target_bytes
