"""What became of one picture: the only thing that the pipeline tells anyone."""

import enum
from dataclasses import dataclass
from pathlib import Path


class Status(enum.Enum):
    """How it ended."""

    DONE = "done"
    SKIPPED = "skipped"
    """The result was up to date already, or would have been no smaller than its source."""
    FAILED = "failed"
    IGNORED = "ignored"
    """Met while walking, and no picture."""
    MISSING = "missing"
    """Nothing was to be done but looking, and there is no result."""
    STALE = "stale"
    """Likewise, and the result was made from another source or with other settings."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of one job; numbers stay at 0 or None where nothing was measured."""

    name: str
    """What messages call the source."""
    status: Status
    target: Path | None = None
    """Where the result stands; None: on standard output, or there is none."""
    message: str = ""
    """Why it was not done, `what is wrong; what to do`, without the name; a warning, where it was done."""
    is_older: bool = False
    """Up to date, but an older release made it with other weights."""
    source_bytes: int = 0
    """Size of the source as a file."""
    target_bytes: int = 0
    """Size of the result as a file, even if it was not stored."""
    height: int = 0
    """Of the HR picture, in pixels."""
    width: int = 0
    quality: int | None = None
    """Of the LR grid, as encoding chose it."""
    psnr_before: float | None = None
    """dB over the RGB levels, of the reconstruction from the LR that the search started with."""
    psnr: float | None = None
    """dB over the RGB levels, of the reconstruction from the LR that was written; infinite if it is exact."""
    passes: int = 0
    """Forward and backward passes that the search took."""
    seconds: float = 0.0
    """Working time; pictures worked on together share theirs."""

    @property
    def pixels(self) -> int:
        """Number of HR pixels."""
        return self.height * self.width

    @property
    def is_larger(self) -> bool:
        """Whether the result has more bytes than the source."""
        return 0 < self.source_bytes < self.target_bytes
