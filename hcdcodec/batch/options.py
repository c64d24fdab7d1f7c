"""How files are treated, in both directions."""

from dataclasses import dataclass

from hcdcodec.files import disk
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS

THREADS = 2
"""Reading and writing threads: decompression and oxipng overlap with the networks without crowding them out."""


@dataclass(frozen=True)
class FileOptions:
    """How files are treated, in both directions.

    Attributes:
        force: replace whatever stands at a target, up to date or not ours.
        checksum: compare digests even where size and time agree.
        preserve: give results the times of their sources.
        max_pixels: larger HR pictures are refused before they are allocated.
        threads: for reading, and as many for writing.
    """

    force: bool = False
    checksum: bool = False
    preserve: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    threads: int = THREADS

    @property
    def max_bytes(self) -> int:
        """Larger source files are not read."""
        return disk.most_bytes(self.max_pixels)
