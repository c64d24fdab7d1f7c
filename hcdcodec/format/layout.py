"""The task of every container: hold a lossless picture with our header, and give it back.

The modules `png_container`, `webp_container` and `jxl_container` are the three layouts; `hcdcodec.format.container`
chooses among them by content. A layout knows its kind of file: the places of its parts, their order, lengths and
checksums. It does not read the header.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hcdcodec.errors import DamagedError
from hcdcodec.format.header import RESTORE
from hcdcodec.format.oxipng_worker import Raw
from hcdcodec.pictures.boxes import Slices
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels

Optimise = Callable[[Raw], bytes]
"""Makes the smallest PNG file of pixels, in this process or in another one."""


@dataclass(frozen=True, eq=False)
class Contents:
    """The content of a new file.

    Attributes:
        header: the 106 bytes of the header.
        lr: (h, w) grey or (h, w, 3) RGB uint8.
        alpha: a complete PNG, or None.
        metadata: metadata of the HR picture.
        level: preset of oxipng, see `hcdcodec.format.container.PNG_LEVELS`.
    """

    header: bytes
    lr: Levels
    alpha: bytes | None
    metadata: Metadata
    level: int


@dataclass(frozen=True, eq=False)
class Opened:
    """The parts of a file, before any pixel is decoded.

    Attributes:
        header: the bytes of the header, unchecked.
        height: number of rows of the stored picture.
        width: number of its columns.
        alpha: a complete PNG, unchecked, or None.
        read_metadata: reads the metadata; raises DamagedError.
        read_pixels: decodes the stored pixels and their alpha, or None; raises PictureError or DamagedError.
    """

    header: bytes
    height: int
    width: int
    alpha: bytes | None
    read_metadata: Callable[[], Metadata]
    read_pixels: Callable[[], tuple[Levels, Levels | None]]


class Layout(Protocol):
    """A module that writes and reads one kind of file."""

    NAME: str
    """The usual name of the container."""
    SIDE_MAX: int
    """Largest number of rows, and of columns."""

    def check_installed(self) -> None:
        """Raise UsageError where a package is missing that writes such files."""

    def recognise(self, head: bytes) -> bool:
        """Tell whether a file is of this kind, by its first bytes."""

    def is_marked(self, head: bytes) -> bool:
        """Tell whether one of our marks stands in a file of this kind, or in its beginning."""

    def write(self, contents: Contents, optimise: Optimise) -> bytes:
        """Make a file."""

    def open(self, data: bytes) -> Opened:
        """Take a whole file apart; raise DamagedError, EditedError or NotOursError."""

    def peek(self, data: Slices) -> bytes:
        """Find the header in a file, or in its beginning; raise DamagedError or NotOursError."""

    def check_end(self, data: Slices) -> None:
        """Raise DamagedError where a file does not end where it must; read little of it."""


def make_raw(pixels: Levels, level: int, *, to_grey: bool = True, to_palette: bool = True) -> Raw:
    """Return pixels in the form that oxipng takes; see `Raw`."""
    height, width = pixels.shape[:2]
    return Raw(pixels.tobytes(), height, width, 1 if pixels.ndim == 2 else 3, level, to_grey, to_palette)


def stripped(name: str) -> str:
    """Return the message about a picture without our header."""
    return f"{name} carries no hcdcodec header; encode it first, or restore it from a copy if a tool has stripped it"


def agree(found: bytes | None, twin: bytes | None) -> bytes | None:
    """Return the header from one of its two forms; None where there is neither.

    Raises:
        DamagedError: they differ.
    """
    if found is not None and twin is not None and found != twin:
        raise DamagedError(f"the header and its text form differ; {RESTORE}")
    return twin if found is None else found


def take_single(found: Sequence[bytes], name: str) -> bytes | None:
    """Return the single payload of its kind, or None.

    Raises:
        DamagedError: there are several.
    """
    if len(found) > 1:
        raise DamagedError(f"there is more than one {name} chunk; {RESTORE}")
    return found[0] if found else None
