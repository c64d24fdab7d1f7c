"""The task of every container: hold a lossless picture with our header, and give it back.

The modules `png_container`, `webp_container` and `jxl_container` are the three layouts; `hcdcodec.format.container`
chooses among them by content. A layout knows its file: where parts stand, their order, lengths and checksums. It knows
nothing of what the header says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hcdcodec.errors import DamagedError
from hcdcodec.format.header import RESTORE
from hcdcodec.format.oxipng_worker import Raw
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels

Optimise = Callable[[Raw], bytes]
"""Makes the smallest PNG file of pixels, here or elsewhere."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file is made of.

    Attributes:
        header: 106 bytes.
        lr: (h, w) grey or (h, w, 3) RGB uint8.
        alpha: a complete PNG, or None.
        metadata: of the HR picture.
        level: how long oxipng searches, see `hcdcodec.format.container.PNG_LEVELS`.
    """

    header: bytes
    lr: Levels
    alpha: bytes | None
    metadata: Metadata
    level: int


@dataclass(frozen=True, eq=False)
class Opened:
    """A file that was taken apart, and none of whose pixels were decoded.

    Attributes:
        header: as it stands in the file.
        height: rows of the LR, as the picture itself says.
        width: its columns.
        alpha: a complete PNG, unchecked, or None.
        read_metadata: raises DamagedError.
        read_pixels: returns the pixels as they are stored, and their alpha or None; raises PictureError.
    """

    header: bytes
    height: int
    width: int
    alpha: bytes | None
    read_metadata: Callable[[], Metadata]
    read_pixels: Callable[[], tuple[Levels, Levels | None]]


class Slices(Protocol):
    """The bytes of a file, in memory or still on the disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> bytes: ...


class Layout(Protocol):
    """A module that writes and reads one kind of file."""

    NAME: str
    """What people call it."""
    SIDE_MAX: int
    """Most rows, and columns."""

    def check_installed(self) -> None:
        """Raise UsageError where this kind cannot be written here."""

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


def make_raw(pixels: Levels, level: int, *, to_grey: bool = True, to_palette: bool = True) -> Raw:
    """Return what oxipng is to make a PNG of; see `Raw`."""
    height, width = pixels.shape[:2]
    return Raw(pixels.tobytes(), height, width, 1 if pixels.ndim == 2 else 3, level, to_grey, to_palette)


def stripped(name: str) -> str:
    """Return what to say of a picture without our header."""
    return f"{name} carries no hcdcodec header; encode it first, or restore it from a copy if a tool has stripped it"


def agree(found: bytes | None, twin: bytes | None) -> bytes | None:
    """Return the header, of which one of two forms is enough; None where there is neither.

    Raises:
        DamagedError: they differ.
    """
    if found is not None and twin is not None and found != twin:
        raise DamagedError(f"the header and its text form differ; {RESTORE}")
    return twin if found is None else found


def take_single(found: Sequence[bytes], name: str) -> bytes | None:
    """Return the one payload of its kind, or None.

    Raises:
        DamagedError: there are several.
    """
    if len(found) > 1:
        raise DamagedError(f"there is more than one {name} chunk; {RESTORE}")
    return found[0] if found else None
