"""Formats in which pictures are stored, and the endings of their names."""

import enum
import os
from typing import Literal

_SYNONYMS = {
    ".tif": ".tiff",
    **dict.fromkeys((".jpeg", ".jpe", ".jfif"), ".jpg"),
    **dict.fromkeys((".heif", ".hif"), ".heic"),
}
_OTHERS = frozenset((
    ".bmp", ".dib", ".gif", ".heics", ".heifs", ".j2k", ".jp2", ".jpf", ".jpx", ".mpo", ".pbm", ".pgm", ".pnm", ".ppm",
    ".qoi",
))  # fmt: skip


class Format(enum.StrEnum):
    """How a decoded picture is stored; the value is its name for users."""

    PNG = "png"
    WEBP = "webp"
    TIFF = "tiff"
    JPEG = "jpeg"
    AVIF = "avif"
    HEIC = "heic"
    JXL = "jxl"

    @property
    def suffix(self) -> str:
        """Return the usual ending of a name, with its dot."""
        return ".jpg" if self is Format.JPEG else f".{self}"

    @property
    def is_always_lossless(self) -> bool:
        """Whether the format keeps every pixel at any quality."""
        return self in (Format.PNG, Format.TIFF)


FormatChoice = Format | Literal["source"] | None
"""A format; "source": that of each source, by its name; None: the ending of a named target chooses, else PNG."""


def ending_of(name: str) -> str:
    """Return the ending of a name, or a bare ending, with its synonyms merged."""
    suffix = os.path.splitext("x" + name)[1].lower()  # noqa: PTH122  (Path.suffix is empty for ".png")
    return _SYNONYMS.get(suffix, suffix)


def format_of(name: str) -> Format | None:
    """Return the format that the ending of a name stands for; None where no such format is written."""
    return next((fmt for fmt in Format if fmt.suffix == ending_of(name)), None)


def is_picture_name(name: str) -> bool:
    """Tell whether a name says that its file is a picture, of any format that is read."""
    return format_of(name) is not None or ending_of(name) in _OTHERS
