"""The header's twin behind the EXIF data, for tools that drop parts they do not know.

    EXIF = the source's TIFF structure, or one that names this program alone | "hcdcodec header " | the header as zlib
           stream, or in base64, which takes 50 bytes more and stands in some older files

Nothing in a TIFF structure points behind its end, so programs ignore the twin, and the source's EXIF comes back byte
for byte. cwebp, webpmux and ImageMagick 6 copy it (tests/robustness/test_survival.py). XMP would be another place, but
ImageMagick 6 drops every XMP packet of a WebP. A tool that writes EXIF anew, such as exiftool, drops the twin.
"""

import base64
import binascii
import zlib

from hcdcodec.errors import DamagedError
from hcdcodec.format.header import RESTORE

MARK = b"hcdcodec header "

_EMPTY = b"MM\0*\0\0\0\x08\0\1\x01\x31\0\2\0\0\0\x09\0\0\0\x1a\0\0\0\0hcdcodec\0"  # Software
_ZLIB = b"x"
"""First byte of a zlib stream of the usual window. In base64, headers begin with another letter."""
_TWIN_MAX = 1024


def add_twin(exif: bytes | None, header: bytes) -> bytes:
    """Return EXIF with the twin of a header behind it.

    Args:
        exif: EXIF of the source, or None.
        header: the bytes of the header.
    """
    return (_EMPTY if exif is None else exif) + MARK + zlib.compress(header, 9)


def split_twin(exif: bytes) -> tuple[bytes | None, bytes | None]:
    """Return the source's EXIF and the header, unchecked, each None where there is none.

    Raises:
        DamagedError: the twin is broken.
    """
    own, mark, twin = exif.rpartition(MARK)
    if not mark or len(twin) > _TWIN_MAX:
        return exif or None, None
    try:
        header = _inflate(twin) if twin.startswith(_ZLIB) else base64.b64decode(twin, validate=True)
    except (binascii.Error, zlib.error) as error:
        raise DamagedError(f"the header's text form is broken; {RESTORE}") from error
    return None if own in (b"", _EMPTY) else own, header


def _inflate(twin: bytes) -> bytes:
    stream = zlib.decompressobj()
    header = stream.decompress(twin, _TWIN_MAX)
    if not stream.eof:
        raise zlib.error
    return header
