"""Names of small files: the source's whole name, then .hcd.png, .hcd.webp or .hcd.jxl."""

import enum
from pathlib import Path


class Container(enum.StrEnum):
    """A kind of small file; the value is the end of its name."""

    PNG = "png"
    WEBP = "webp"
    JXL = "jxl"

    @property
    def suffix(self) -> str:
        """Return the suffix that encoding appends to the name of a source."""
        return f".hcd.{self}"


def is_encoded(name: str) -> bool:
    """Tell whether a file has a name that encoding gives to results, in any container."""
    return source_name(name) is not None


def source_name(name: str) -> str | None:
    """Return the name of the source of a small file; None where the name has another form."""
    for container in Container:
        if name.lower().endswith(container.suffix) and len(name) > len(container.suffix):
            return name[: -len(container.suffix)]
    return None


def twins(target: Path) -> tuple[Path, ...]:
    """Return the names of the same small file in the other containers.

    Args:
        target: a small file. If the user has given it a name of another form, it has no twins.
    """
    source = source_name(target.name)
    if source is None:
        return ()
    paths = (target.with_name(source + container.suffix) for container in Container)
    return tuple(path for path in paths if path.name.lower() != target.name.lower())
