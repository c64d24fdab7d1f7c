"""Turn the stored pixels of a picture as its EXIF orientation says."""

from contextlib import suppress

import numpy as np
from PIL import ExifTags, Image

from hcdcodec.errors import DamagedError
from hcdcodec.pictures import formats, tiff
from hcdcodec.pictures.picture import Levels

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What shows each orientation upright. Source: EXIF 2.32, section 4.6.4, tag 274."""


def orientation_of(exif: bytes | None) -> int:
    """Return the orientation, 1 to 8. It is 1, upright as stored, where EXIF says nothing or cannot be read."""
    tags = Image.Exif()
    with suppress(DamagedError), formats.pillow_reads():
        tiff.check_tag_sizes(exif or b"")
        tags.load(exif or b"")
    orientation = tags.get(ExifTags.Base.Orientation)
    return orientation if orientation in _TURNS else 1


def turn_upright(pixels: Levels, orientation: int) -> Levels:
    """Return pixels as a viewer shows them; no sample changes."""
    if orientation not in _TURNS:
        return pixels
    return np.asarray(Image.fromarray(pixels).transpose(_TURNS[orientation]))
