"""Read the size of a picture from the head of its file."""

from hcdcodec.errors import HcdError
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
