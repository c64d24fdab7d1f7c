"""One unit of work, in names alone."""

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
    """What messages call it."""
    key: str
    """The source's name inside its SRC: the same wherever that SRC is mounted, hence what `shard` goes by."""
    named: bool
    """Given by the user, so that not being a picture is an error; False: met while walking."""
