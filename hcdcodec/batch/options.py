"""How files are treated, in both directions."""

from dataclasses import dataclass

from hcdcodec.files import disk
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
