"""Turn pictures upright, for viewers that do not go by the orientation in EXIF.

The orientation is a number from 1 to 8: 1 is upright, 6 is to be turned right, 8 is to be turned left, 3 upside down;
the others are mirrored, too. XMP can repeat it, as tiff:Orientation.

Source: TIFF 6.0, section 8, tag 274.
"""

import re
import struct
from dataclasses import replace

import numpy as np

from hcdcodec.errors import DamagedError
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.pictures.png_chunks import Chunk
from hcdcodec.pictures.tiff import read_directory

_ORIENTATION, _SHORT = 274, 3
UPRIGHT = 1
_MIRRORED = (2, 4, 5, 7)
_QUARTERS = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}  # number of quarter turns to the left, after mirroring
_XMP = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|\s*>\s*))[2-8]")


def turn_upright(picture: Picture) -> Picture:
    """Turn the pixels as EXIF says, and say in EXIF and XMP that they are upright.

    A thumbnail in EXIF stays as it is. A picture that is upright, or has no orientation, is returned unchanged.
    """
    orientation = read_orientation(picture.metadata.exif or b"")
    if orientation == UPRIGHT:
        return picture
    alpha = None if picture.alpha is None else turn(picture.alpha, orientation)
    metadata = mark_upright(picture.metadata)
    if orientation in (5, 6, 7, 8):
        metadata = replace(metadata, chunks=tuple(map(_swap_density, metadata.chunks)))
    return replace(picture, pixels=turn(picture.pixels, orientation), alpha=alpha, metadata=metadata)


def read_orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block, 1 to 8; 1 where there is none or it makes no sense."""
    place = _find(exif)
    if place is None:
        return UPRIGHT
    start, order = place
    number: int = struct.unpack_from(order + "H", exif, start)[0]
    return number if number in range(1, 9) else UPRIGHT


def mark_upright(metadata: Metadata) -> Metadata:
    """Set the orientation in EXIF and XMP to 1 where it stands there; nothing else changes."""
    exif, xmp = metadata.exif, metadata.xmp
    if exif is not None and (place := _find(exif)) is not None:
        start, order = place
        exif = exif[:start] + struct.pack(order + "H", UPRIGHT) + exif[start + 2 :]
    return replace(metadata, exif=exif, xmp=xmp and _XMP.sub(rb"\g<1>1", xmp))


def _find(exif: bytes) -> tuple[int, str] | None:
    """Return the position of the orientation in an EXIF block, and the byte order; None where there is none."""
    try:
        directory = read_directory(exif)
    except DamagedError:
        return None
    entry = directory.entries.get(_ORIENTATION)
    return (entry.start, directory.order) if entry is not None and entry[:2] == (_SHORT, 1) else None


def turn(levels: Levels, orientation: int) -> Levels:
    """Turn samples, (H, W) or (H, W, C), so that a picture of this orientation is upright."""
    if orientation in _MIRRORED:
        levels = np.fliplr(levels)
    return np.ascontiguousarray(np.rot90(levels, _QUARTERS.get(orientation, 0)))


def _swap_density(chunk: Chunk) -> Chunk:
    if chunk.type != b"pHYs":
        return chunk
    return Chunk(chunk.type, chunk.payload[4:8] + chunk.payload[:4] + chunk.payload[8:])
