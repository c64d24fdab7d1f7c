"""The small file as lossless WebP. Any browser can show it.

    file     = "RIFF" size u32 "WEBP", chunks: VP8X, ICCP, VP8L, EXIF, XMP, hcDC, hcDM, hcDA; no byte follows
    chunk    = type 4 letters | length of the payload u32 | payload | a zero byte if the length is odd
    VP8X     = flags of the other chunks u8 | 0 u24 | width - 1 u24 | height - 1 u24
    VP8L     = the pixels: 2F | width - 1, height - 1: 14 bits each | alpha is used: 1 bit | version 0: 3 bits | ...
    number   = little-endian

`hcdcodec.format.side_parts` describes our chunks. They stand behind the pixels, because exiftool -all= drops VP8X, and
without it libwebp reads only files that begin with their pixels. Pixels and size come from VP8L alone. WebP has no grey
pixels, so a grey LR is stored as RGB.

Source: WebP container specification; RFC 9649, sections 2 and 3.
"""

import io
import struct
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from hcdcodec.errors import DamagedError, EditedError
from hcdcodec.format import side_parts
from hcdcodec.format.header import RESTORE
from hcdcodec.format.layout import Contents, Opened, Optimise
from hcdcodec.format.side_parts import Places
from hcdcodec.pictures import formats
from hcdcodec.pictures.boxes import Frame, Part, Slices
from hcdcodec.pictures.picture import Levels, expand, split

NAME = "WebP"
SIDE_MAX = 16383

_PLACES = Places(NAME, exif=b"EXIF", xmp=b"XMP ", icc=b"ICCP")
_RIFF = struct.Struct("<4sI4s")
_FRAME = struct.Struct("<4sI")
_FLAGS = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}
_VP8L_HEAD = 5
_OTHER_PIXELS = frozenset((b"VP8 ", b"ALPH", b"ANIM", b"ANMF"))
_COUNT_MAX = 1 << 12
"""Chunks of a file: each takes memory, however small it is."""

_EFFORT = {"method": 5, "quality": 75}
"""How long libwebp searches for fewer bytes."""

is_marked = side_parts.is_marked


def check_installed() -> None:
    """Do nothing: Pillow brings WebP along."""


def recognise(head: bytes) -> bool:
    """Tell whether a file is a WebP."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def write(contents: Contents, optimise: Optimise) -> bytes:
    """Make a file."""
    buffer = io.BytesIO()
    Image.fromarray(expand(contents.lr)).save(buffer, "WEBP", lossless=True, exact=True, **_EFFORT)
    pixels = next(part for part in _walk(buffer.getvalue()) if part.type == b"VP8L")
    icc = contents.metadata.icc
    parts = [
        *([Part(b"ICCP", icc)] if icc is not None else []),
        pixels,
        *side_parts.make_parts(contents, _PLACES),
    ]
    flags = sum(_FLAGS.get(part.type, 0) for part in parts)
    height, width = contents.lr.shape[:2]
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return _build([Part(b"VP8X", bytes((flags, 0, 0, 0)) + sides), *parts])


def open(data: bytes) -> Opened:
    """Read the parts of a file.

    Raises:
        NotOursError: there is no header.
        EditedError: the file has lossy pixels, or frames.
        DamagedError: truncated, lengths or sizes that contradict each other.
    """
    check_end(data)
    parts = tuple(_walk(data))
    header = side_parts.find_header(parts, _PLACES)
    pixels = _pixel_part(parts)
    height, width = _sides(pixels.payload)
    _check_canvas(parts, height, width)
    return Opened(
        header,
        height,
        width,
        side_parts.find_alpha(parts),
        lambda: side_parts.find_metadata(parts, _PLACES),
        lambda: _decode(pixels),
    )


def peek(data: Slices) -> bytes:
    """Return the header. Of the other chunks only the lengths are read.

    Raises:
        NotOursError: there is no header.
        DamagedError: the file is truncated, or the header fails its checksum.
    """
    return side_parts.peek_header(data, _frames(data), _PLACES)


def check_end(data: Slices) -> None:
    """Check that a file has as many bytes as it says.

    Raises:
        DamagedError: it does not.
    """
    size = _RIFF.unpack(data[: _RIFF.size])[1] + 8 if len(data) >= _RIFF.size else 0
    if size < len(data):
        raise DamagedError(f"there are bytes behind the end of the WebP; {RESTORE}")
    if size > len(data):
        raise DamagedError("WebP is truncated; fetch the file again")


def _walk(data: bytes) -> Iterator[Part]:
    for frame in _frames(data):
        if (frame.end - frame.start) % 2 and data[frame.end]:
            raise DamagedError("WebP chunk is filled up with something else than zero; fetch the file again")
        yield Part(frame.type, data[frame.start : frame.end])


def _frames(data: Slices) -> Iterator[Frame]:
    """Yield the places of the chunks; check each length before its chunk is yielded."""
    position, left = _RIFF.size, _COUNT_MAX
    if len(data) < position:
        raise DamagedError("WebP is truncated; fetch the file again")
    end = _RIFF.unpack(data[:position])[1] + 8
    while position < end:
        if left == 0:
            raise DamagedError("WebP consists of too many chunks; save the picture again")
        if position + _FRAME.size > len(data):
            raise DamagedError("WebP is truncated; fetch the file again")
        name, length = _FRAME.unpack(data[position : position + _FRAME.size])
        start = position + _FRAME.size
        position, left = start + length + length % 2, left - 1
        if position > min(end, len(data)):
            raise DamagedError("WebP is truncated, or a length in it is wrong; fetch the file again")
        yield Frame(name, start, start + length)


def _build(parts: Iterable[Part]) -> bytes:
    body = b"".join(
        _FRAME.pack(part.type, len(part.payload)) + part.payload + bytes(len(part.payload) % 2) for part in parts
    )
    return _RIFF.pack(b"RIFF", len(body) + 4, b"WEBP") + body


def _pixel_part(parts: Iterable[Part]) -> Part:
    pixels = [part for part in parts if part.type == b"VP8L"]
    if any(part.type in _OTHER_PIXELS for part in parts):
        raise EditedError(f"the picture was converted after encoding; {RESTORE}")
    if len(pixels) != 1:
        raise DamagedError(f"the WebP holds {len(pixels)} pictures instead of one; {RESTORE}")
    return pixels[0]


def _sides(payload: bytes) -> tuple[int, int]:
    """Return height and width from the head of the pixels."""
    bits = int.from_bytes(payload[1:_VP8L_HEAD], "little")
    if len(payload) < _VP8L_HEAD or payload[0] != 0x2F or bits >> 29:
        raise DamagedError(f"the pixels do not begin as they must; {RESTORE}")
    return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1


def _check_canvas(parts: tuple[Part, ...], height: int, width: int) -> None:
    """Check that the first chunk agrees with the pixels and with the other chunks."""
    first = parts[0]
    if any(part.type == b"VP8X" for part in parts[1:]):
        raise DamagedError(f"the WebP has more than one canvas, or one out of order; {RESTORE}")
    if first.type != b"VP8X":  # exiftool drops it where nothing is left to announce
        return
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    announced = sum(flag for name, flag in _FLAGS.items() if any(part.type == name for part in parts))
    if first.payload[4:] != sides or first.payload[:1] not in (bytes((announced,)), bytes((announced | 0x10,))):
        raise DamagedError(f"the canvas of the WebP contradicts its pixels or its chunks; {RESTORE}")


def _decode(pixels: Part) -> tuple[Levels, Levels | None]:
    """Decode the pixels alone, so that a decoder never meets the rest."""
    height, width = _sides(pixels.payload)
    with formats.pillow_reads(), formats.wait_turn(height * width):
        return split(np.array(formats.load(formats.open_lazily(_build([pixels])))))
