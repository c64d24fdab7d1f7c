"""PNG files as lists of chunks, read strictly.

    file   = 89 50 4E 47 0D 0A 1A 0A, chunks: IHDR first, IEND last, the IDAT chunks in one run
    chunk  = length of the payload  u32 | type  4 ASCII letters | payload | CRC-32 of type and payload  u32
    number = big-endian

Pillow opens some truncated files and some with a wrong CRC, and where it refuses, its words help nobody. So nothing
here is left to it but the pixels: every length and every CRC is checked before a payload is believed.

Source: PNG specification, third edition, sections 5 and 11.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hcdcodec.errors import DamagedError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PALETTE = 3  # the colour type whose samples are indices

_FRAME = struct.Struct(">I4s")
_FRAME_SIZE = 12
_IHDR = struct.Struct(">IIBBBBB")
_IHDR_END = len(SIGNATURE) + _FRAME_SIZE + _IHDR.size
_CRITICAL = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_PIXEL_CHUNKS = frozenset((b"tRNS", b"acTL", b"fcTL", b"fdAT"))  # ancillary, and yet what pixels depend on
_SIDE_MAX = 2**31 - 1
_COUNT_MAX, _USUAL_BYTES = 1 << 17, 1 << 10
"""Chunks of a file, and further ones for as many bytes of it: each takes memory, however small it is."""


class Chunk(NamedTuple):
    """One PNG chunk."""

    type: bytes
    payload: bytes


@dataclass(frozen=True)
class Ihdr:
    """What the first chunk says: sizes in pixels, bits per sample, colour type (0 grey, 2 RGB, 3 palette, 4, 6)."""

    height: int
    width: int
    depth: int
    colour: int


def walk(data: bytes, damaged: list[Chunk] | None = None) -> Iterator[Chunk]:
    """Yield the chunks up to IEND, each checked before it is yielded.

    Lazy, so a caller that needs the first chunks only may pass the beginning of a file only.

    Args:
        data: a PNG file; what follows IEND is not looked at.
        damaged: takes the chunks that fail their checksum and on which no pixel depends, instead of an error.

    Raises:
        DamagedError: the file is truncated, a CRC is wrong, or the chunks are too many or out of order.
    """
    if not data.startswith(SIGNATURE):
        raise DamagedError("PNG signature is missing; fetch the file again")
    position, seen, last = len(SIGNATURE), set[bytes](), b""
    left = _COUNT_MAX + len(data) // _USUAL_BYTES
    while last != b"IEND":
        chunk, is_sound = _chunk_at(data, position)
        if not is_sound and (damaged is None or chunk.type[:1].isupper() or chunk.type in _PIXEL_CHUNKS):
            raise DamagedError(f"PNG chunk {chunk.type.decode()} fails its checksum; fetch the file again")
        position, left = position + _FRAME_SIZE + len(chunk.payload), left - 1
        if left < 0:
            raise DamagedError("PNG consists of too many tiny chunks; save the picture again")
        if not is_sound and damaged is not None:
            damaged.append(chunk)
            continue
        _check_order(chunk, seen, last)
        yield chunk
        seen.add(last := chunk.type)


def ihdr(chunk: Chunk) -> Ihdr:
    """Read the first chunk of a file.

    Raises:
        DamagedError: it is no IHDR, or one that the specification does not allow.
    """
    if chunk.type != b"IHDR" or len(chunk.payload) != _IHDR.size:
        raise DamagedError("PNG does not start with an IHDR chunk; fetch the file again")
    width, height, depth, colour, *methods = _IHDR.unpack(chunk.payload)
    if not (0 < width <= _SIDE_MAX and 0 < height <= _SIDE_MAX) or methods[:2] != [0, 0]:
        raise DamagedError("PNG has an impossible IHDR chunk; fetch the file again")
    return Ihdr(height, width, depth, colour)


def size(chunks: Iterable[Chunk]) -> int:
    """Count the bytes of a file that consists of these chunks."""
    return len(SIGNATURE) + sum(_FRAME_SIZE + len(chunk.payload) for chunk in chunks)


def build(chunks: Iterable[Chunk]) -> bytes:
    """Join chunks, IHDR to IEND, to a file."""
    return SIGNATURE + b"".join(map(_chunk_bytes, chunks))


def insert(data: bytes, chunks: Iterable[Chunk]) -> bytes:
    """Put chunks right behind IHDR, where every ancillary chunk is allowed.

    Args:
        data: a PNG file that this process has just made.
        chunks: ancillary ones, none of which the file has already.
    """
    view = memoryview(data)  # files can be large, and slices of bytes are copies
    return b"".join((view[:_IHDR_END], *map(_chunk_bytes, chunks), view[_IHDR_END:]))


def essentials(chunks: Iterable[Chunk]) -> bytes:
    """Build the file that has only what the pixels need, so that a decoder never meets the rest.

    A tRNS chunk is not among it: what it means is read by `hcdcodec.pictures.reading`.
    """
    return build(chunk for chunk in chunks if chunk.type in _CRITICAL)


def inflate(data: bytes, *, limit: int) -> bytes:
    """Decompress a complete zlib stream of at most `limit` bytes.

    Raises:
        DamagedError: the stream is broken, goes on, or gives more than `limit` bytes.
    """
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise DamagedError("a compressed PNG chunk is broken; remove the file's metadata or fetch it again") from error
    if len(plain) > limit:
        raise DamagedError(f"a compressed PNG chunk holds more than {limit} bytes; remove the file's metadata")
    if not stream.eof:
        raise DamagedError("a compressed PNG chunk is cut off; remove the file's metadata or fetch it again")
    return plain


def _chunk_at(data: bytes, position: int) -> tuple[Chunk, bool]:
    """Return a chunk, and whether its checksum is right."""
    start = position + _FRAME.size
    if start > len(data):
        raise DamagedError("PNG is truncated; fetch the file again")
    length, name = _FRAME.unpack_from(data, position)
    if not name.isalpha():
        raise DamagedError("PNG chunk has an impossible name; fetch the file again")
    if start + length + 4 > len(data):
        raise DamagedError("PNG is truncated; fetch the file again")
    payload = data[start : start + length]
    checksum = int.from_bytes(data[start + length : start + length + 4], "big")
    return Chunk(name, payload), zlib.crc32(payload, zlib.crc32(name)) == checksum


def _check_order(chunk: Chunk, seen: set[bytes], last: bytes) -> None:
    if not seen:
        ihdr(chunk)
    elif chunk.type == b"IHDR" or (chunk.type == b"PLTE" and seen & {b"PLTE", b"IDAT"}):
        raise DamagedError(f"PNG chunk {chunk.type.decode()} is out of order; fetch the file again")
    elif chunk.type == b"IDAT" and b"IDAT" in seen and last != b"IDAT":
        raise DamagedError("PNG pixels are interrupted by another chunk; fetch the file again")
    elif chunk.type == b"IEND" and (b"IDAT" not in seen or chunk.payload):
        raise DamagedError("PNG ends without pixels; fetch the file again")
    elif chunk.type[:1].isupper() and chunk.type not in _CRITICAL:
        raise DamagedError(f"PNG chunk {chunk.type.decode()} is of no known kind; save the picture again as plain PNG")


def _chunk_bytes(chunk: Chunk) -> bytes:
    crc = zlib.crc32(chunk.payload, zlib.crc32(chunk.type))
    return _FRAME.pack(len(chunk.payload), chunk.type) + chunk.payload + crc.to_bytes(4, "big")
