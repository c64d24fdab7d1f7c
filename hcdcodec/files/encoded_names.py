"""Names of small files: the source's whole name, then .hcd.png, .hcd.webp or .hcd.jxl."""

import enum
from pathlib import Path


class Container(enum.StrEnum):
    """The kind of picture file that a small file is; the value is the end of its name."""

    PNG = "png"
    WEBP = "webp"
    JXL = "jxl"

    @property
    def suffix(self) -> str:
        """Return what is appended to the name of a source."""
        return f".hcd.{self}"


def is_encoded(name: str) -> bool:
    """Tell whether a file is called as encoding calls results, whatever their container."""
    return source_name(name) is not None


def source_name(name: str) -> str | None:
    """Return the name of the source of a small file; None where a file is called otherwise."""
    for container in Container:
        if name.lower().endswith(container.suffix) and len(name) > len(container.suffix):
            return name[: -len(container.suffix)]
    return None


def twins(target: Path) -> tuple[Path, ...]:
    """Return what the small file of the same source would be called in each other container.

    Args:
        target: a small file; one that the user has named otherwise has no such twins.
    """
    source = source_name(target.name)
    if source is None:
        return ()
    paths = (target.with_name(source + container.suffix) for container in Container)
    return tuple(path for path in paths if path.name.lower() != target.name.lower())
