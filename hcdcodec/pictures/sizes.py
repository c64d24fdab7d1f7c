"""Read the size of a picture from the head of its file."""

from pathlib import Path

from hcdcodec.errors import HcdError
from hcdcodec.files import disk
from hcdcodec.pictures import jxl
from hcdcodec.pictures.formats import SNIFF_BYTES, open_lazily, pillow_reads, sniff

HEAD_BYTES = 1 << 18
"""Bytes of a file that nearly always hold the size. Large ones of TIFF have it at their end."""


def read_size(head: bytes) -> tuple[int, int] | None:
    """Return height and width of a picture; None where the beginning of its file does not tell.

    Nothing else about the file is checked: that is for whoever reads all of it.
    """
    if not sniff(head[:SNIFF_BYTES]):
        return None
    try:
        with pillow_reads(), open_lazily(head) as image:
            return image.height, image.width
    except (HcdError, MemoryError):
        return None


def read_file_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of a picture on the disk; None where its file does not tell.

    WebP, AVIF, HEIC and JPEG XL are read whole, and of other formats little more than the head.
    """
    try:
        head = disk.read_head(path, SNIFF_BYTES)
        if not sniff(head):
            return None
        if jxl.recognise(head):
            return jxl.read_size(disk.read(path))
        with pillow_reads(), path.open("rb") as file, open_lazily(file) as image:
            return image.height, image.width
    except (HcdError, OSError, MemoryError):
        return None
