"""How files are treated, in both directions, and how restored pictures are stored."""

from dataclasses import dataclass
from pathlib import Path

from hcdcodec.files import disk
from hcdcodec.files.encoded_names import source_name
from hcdcodec.files.picture_names import Format, FormatChoice, ending_of, format_of, is_picture_name
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS

IO_THREADS = 2
"""Number of threads that read, and of threads that write.

Two are enough to overlap decompression and oxipng with the networks; more would take cores away from the networks.
"""


@dataclass(frozen=True)
class FileOptions:
    """How files are treated, in both directions.

    Attributes:
        force: replace the file at a target even if it is up to date or not ours.
        checksum: compare digests even where size and time agree.
        preserve: give results the times of their sources.
        max_pixels: larger HR pictures are refused before they are allocated.
        threads: number of threads that read, and of threads that write.
    """

    force: bool = False
    checksum: bool = False
    preserve: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    threads: int = IO_THREADS

    @property
    def max_bytes(self) -> int:
        """Larger source files are not read."""
        return disk.most_bytes(self.max_pixels)


@dataclass(frozen=True)
class DecodeOptions:
    """How restored pictures are stored.

    Attributes:
        choice: the format of all results; "source" and None: the name of each target says it, and PNG is for others.
        quality: 1 to 100 for the formats that can lose something; None: see `hcdcodec.pictures.writing`.
        upright: turn the pixels as EXIF says.
    """

    choice: FormatChoice = None
    quality: int | None = None
    upright: bool = False

    def format_for(self, target: Path | None) -> Format:
        """Return the format of a result; None is standard output."""
        if isinstance(self.choice, Format):
            return self.choice
        return (target and format_of(target.name)) or Format.PNG

    def explain_format(self, source: Path | None) -> str:
        """Return a warning where a source does not come back in its own format; empty if it does."""
        name = source and source_name(source.name)
        if self.choice != "source" or not name or format_of(name) or not is_picture_name(name):
            return ""
        return f"{ending_of(name)} files are not written; stored as PNG"

    @property
    def settings(self) -> bytes:
        """Return what a restored PNG records beside the digest of its small file."""
        return b"\1" if self.upright else b""
