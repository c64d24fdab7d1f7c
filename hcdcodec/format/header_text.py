"""The text form of the header, for tools that drop private chunks: "hcdcodec" 00, then the header in base64.

It is written as tEXt. Some tools change a tEXt into zTXt or iTXt, so all three are read.
"""

import base64
import binascii

from hcdcodec.errors import DamagedError
from hcdcodec.format.header import RESTORE
from hcdcodec.pictures import png_text
from hcdcodec.pictures.png_chunks import Chunk

KEYWORD = b"hcdcodec"

_TEXT_MAX = 1024


def is_header_text(chunk: Chunk) -> bool:
    """Tell whether a chunk is the text form of a header."""
    return png_text.has_keyword(chunk, KEYWORD)


def read_header_text(chunk: Chunk) -> bytes:
    """Return the header, unchecked, that a text chunk holds.

    Raises:
        DamagedError: the text is not base64, cannot be decompressed, or is longer than any header.
    """
    try:
        return base64.b64decode(png_text.read_text(chunk, limit=_TEXT_MAX), validate=True)
    except binascii.Error as error:
        raise DamagedError(f"the header's text form is broken; {RESTORE}") from error


def header_text(payload: bytes) -> Chunk:
    """Make the text form of a header."""
    return Chunk(b"tEXt", KEYWORD + b"\0" + base64.b64encode(payload))
