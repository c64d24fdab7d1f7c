"""One unit of work: names of a source and of its result."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One picture to read and one result to write."""

    source: Path | None
    """None: standard input."""
    target: Path | None
    """None: standard output."""
    name: str
    """Name of the source in messages."""
    key: str
    """Name of the source relative to its SRC. It is the same on all machines, so `shard` uses it."""
    named: bool
    """Whether the user named the source, so that it must be a picture; False: a walk found it."""
