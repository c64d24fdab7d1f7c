"""Read and write PNG text chunks, and the binary blocks that some tools store in them.

    tEXt     = keyword 00 text, Latin-1
    zTXt     = keyword 00 00 text, Latin-1, compressed
    iTXt     = keyword 00, compressed or not u8, 00, language 00 translated keyword 00 text, UTF-8
    profile  = a zTXt "Raw profile type NAME" with the text "\\nNAME\\n  length\\n" and hexadecimal lines

Source: PNG specification, third edition, section 11.3.3. ImageMagick invented the profile, and ExifTool and Exiv2 read
it, too.
"""

import binascii
import zlib

from hcdcodec.errors import DamagedError
from hcdcodec.pictures.png_chunks import Chunk, inflate

TYPES = frozenset((b"iTXt", b"tEXt", b"zTXt"))
COMMENT = b"Comment"
"""The keyword of texts that stand in the comments of other formats."""

_PROFILE = b"Raw profile type "
_HEX_COLUMNS = 72  # as ImageMagick writes it


def has_keyword(chunk: Chunk, keyword: bytes) -> bool:
    """Tell whether a chunk is a text with this keyword. All three forms count, since tools change one into another."""
    return chunk.type in TYPES and chunk.payload.startswith(keyword + b"\0")


def read_text(chunk: Chunk, *, limit: int) -> bytes:
    """Return the text of a text chunk.

    Args:
        chunk: a chunk of one of `TYPES`.
        limit: largest number of bytes that a compressed text may give.

    Raises:
        DamagedError: the text is compressed and broken, or longer than the limit.
    """
    _, _, rest = chunk.payload.partition(b"\0")
    if chunk.type == b"tEXt":
        return rest
    if chunk.type == b"zTXt":
        return inflate(rest[1:], limit=limit)
    language_on = rest[2:].split(b"\0", 2)
    if rest[:2] not in (b"\0\0", b"\1\0") or len(language_on) != 3:
        raise DamagedError("a PNG text chunk is broken; remove it from the picture or fetch the file again")
    return inflate(language_on[2], limit=limit) if rest[0] else language_on[2]


def text_chunk(keyword: bytes, text: bytes) -> Chunk:
    """Make a text chunk. The text has no zero byte; if it is not valid UTF-8, it is taken for Latin-1."""
    if text.isascii() or not _is_utf8(text):
        return Chunk(b"tEXt", keyword + b"\0" + text)
    # The end of the keyword, no compression, method 0, no language, no translated keyword.
    return Chunk(b"iTXt", keyword + b"\0\0\0\0\0" + text)


def profile_chunk(name: bytes, payload: bytes) -> Chunk:
    """Make the text form of a binary block, such as b"iptc"."""
    digits = binascii.hexlify(payload)
    lines = [digits[at : at + _HEX_COLUMNS] for at in range(0, len(digits), _HEX_COLUMNS)]
    text = b"\n".join((b"", name, b"%8d" % len(payload), *lines, b""))
    return Chunk(b"zTXt", _PROFILE + name + b"\0\0" + zlib.compress(text, 9))


def is_profile(chunk: Chunk, name: bytes) -> bool:
    """Tell whether a chunk is the text form of the binary block of this name."""
    return has_keyword(chunk, _PROFILE + name)


def read_profile(chunk: Chunk, name: bytes, *, limit: int) -> bytes | None:
    """Return the binary block of this name; None where the chunk is a different text.

    Raises:
        DamagedError: the block is broken, or its text is longer than the limit.
    """
    if not is_profile(chunk, name):
        return None
    try:
        _, _, digits = read_text(chunk, limit=limit).strip().split(maxsplit=2)
        return binascii.unhexlify(b"".join(digits.split()))
    except ValueError as error:
        raise DamagedError("a PNG text chunk holds a broken profile; remove it from the picture") from error


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
