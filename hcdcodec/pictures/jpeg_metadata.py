"""Make the segments of a JPEG that Pillow does not write, and leave out what no segment holds."""

import struct
from dataclasses import replace

from hcdcodec.errors import DamagedError
from hcdcodec.pictures import png_text
from hcdcodec.pictures.jpeg import APP13, COMMENT, EXIF, ICC, IPTC_RESOURCE, PHOTOSHOP, XMP
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.png_chunks import Chunk

_SEGMENT_MOST = 0xFFFF - 2  # the length of a segment counts its own two bytes
EXIF_MOST = _SEGMENT_MOST - len(EXIF)
XMP_MOST = _SEGMENT_MOST - len(XMP)
COMMENT_MOST = _SEGMENT_MOST
ICC_MOST = 255 * (_SEGMENT_MOST - len(ICC) - 2)
"""Largest numbers of bytes of metadata that a file can hold, or that we put there."""


def shorten(metadata: Metadata) -> Metadata:
    """Leave out the payloads that do not fit into a JPEG; `hcdcodec.pictures.losses` names them."""

    def fit(payload: bytes | None, most: int) -> bytes | None:
        return None if len(payload or b"") > most else payload

    return replace(
        metadata,
        icc=fit(metadata.icc, ICC_MOST),
        exif=fit(metadata.exif, EXIF_MOST),
        xmp=fit(metadata.xmp, XMP_MOST),
    )


def read_comment(chunk: Chunk) -> bytes | None:
    """Return the text of a comment; None for other chunks, and where the text is broken or does not fit."""
    if not png_text.has_keyword(chunk, png_text.COMMENT):
        return None
    try:
        text = png_text.read_text(chunk, limit=COMMENT_MOST)
    except DamagedError:
        return None
    return text if len(text) <= COMMENT_MOST else None


def build_segments(metadata: Metadata) -> bytes:
    """Build the segments that Pillow does not write: all comments, and IPTC."""
    texts = [text for chunk in metadata.chunks if (text := read_comment(chunk)) is not None]
    iptc = metadata.iptc or b""
    # A resource has an empty name, which its length and one byte of filling make, and an even number of bytes.
    resource = b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
    step = _SEGMENT_MOST - len(PHOTOSHOP)
    parts = [PHOTOSHOP + resource[at : at + step] for at in range(0, len(resource), step)] if iptc else []
    return b"".join(
        bytes((0xFF, marker)) + struct.pack(">H", 2 + len(payload)) + payload
        for marker, payloads in ((APP13, parts), (COMMENT, texts))
        for payload in payloads
    )
