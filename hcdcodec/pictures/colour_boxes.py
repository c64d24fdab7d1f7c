"""Read what JPEG 2000 and AVIF files say about their colours, which Pillow does not return.

    file      = boxes, see `hcdcodec.pictures.boxes`
    JPEG 2000 = jp2h, in it colr: method u8, 2 bytes, then a profile if the method is 2 or 3
    AVIF      = meta: 4 bytes, then iprp, in it ipco, in it colr: "nclx", primaries u16, transfer u16, ...; or a profile
    number    = big-endian

Source: ISO/IEC 15444-1, annex I.5.3; ISO/IEC 14496-12, section 12.1.5; ISO/IEC 23008-12, section 6.5.5.
"""

import contextlib
import struct
from collections.abc import Iterator

from hcdcodec.errors import DamagedError
from hcdcodec.pictures.boxes import walk_boxes

_PROFILES = (2, 3)  # methods of JPEG 2000: a restricted profile, any profile


def read_profile(data: bytes) -> bytes | None:
    """Return the colour profile of a JPEG 2000 file; None where it has none. The first colr box counts."""
    colr = next(_find(data, b"jp2h", b"colr"), b"")
    return colr[3:] or None if colr[:1] and colr[0] in _PROFILES else None


def read_colour_space(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer of an AVIF, of ITU-T H.273; None where it does not tell, or has a profile."""
    boxes = list(_find(data, b"meta", b"iprp", b"ipco", b"colr"))
    nclx = [box for box in boxes if box[:4] == b"nclx" and len(box) >= 8]
    if not nclx or len(nclx) < len(boxes):
        return None
    primaries, transfer = struct.unpack_from(">HH", nclx[0], 4)
    return primaries, transfer


def _find(data: bytes, *path: bytes) -> Iterator[bytes]:
    """Yield the payloads of the boxes at a path, up to the first length that is wrong."""
    first, *rest = path
    with contextlib.suppress(DamagedError):  # whoever decodes the picture will say so
        for box in walk_boxes(data, ""):
            if box.type == first and rest:
                yield from _find(box.payload[4:] if first == b"meta" else box.payload, *rest)
            elif box.type == first:
                yield box.payload
