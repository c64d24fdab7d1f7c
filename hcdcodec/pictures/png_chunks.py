"""Read and write PNG files as lists of chunks, with strict checks.

    file   = 89 50 4E 47 0D 0A 1A 0A, chunks: IHDR first, IEND last, the IDAT chunks in one run
    chunk  = length of the payload  u32 | type  4 ASCII letters | payload | CRC-32 of type and payload  u32
    number = big-endian

Pillow opens some truncated files and some files with a wrong CRC, and its error messages do not help users. So Pillow
only decodes the pixels, and this module checks each length and each CRC before a payload is used.

Source: PNG specification, third edition, sections 5 and 11.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hcdcodec.errors import DamagedError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PALETTE = 3  # colour type of PNG whose samples are indices into a palette

_FRAME = struct.Struct(">I4s")
_FRAME_SIZE = 12
_IHDR = struct.Struct(">IIBBBBB")
_IHDR_END = len(SIGNATURE) + _FRAME_SIZE + _IHDR.size
_CRITICAL = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_PIXEL_CHUNKS = frozenset((b"tRNS", b"acTL", b"fcTL", b"fdAT"))  # ancillary, but the pixels depend on them
_SIDE_MAX = 2**31 - 1
_COUNT_MAX, _USUAL_BYTES = 1 << 16, 1 << 10
"""Limit on chunks: this number, and one more for each _USUAL_BYTES of the file. Even a tiny chunk takes memory."""


class Chunk(NamedTuple):
    """One PNG chunk."""

    type: bytes
    payload: bytes


@dataclass(frozen=True)
class Ihdr:
    """The fields of IHDR: sizes in pixels, bits per sample, and the colour type.

    Colour types are 0 grey, 2 RGB, 3 palette, 4 grey with alpha, and 6 RGB with alpha.
    """

    height: int
    width: int
    depth: int
    colour: int


def walk(data: bytes, damaged: list[Chunk] | None = None) -> Iterator[Chunk]:
    """Yield the chunks up to IEND. Each is checked before it is yielded.

    This is a generator, so a caller that needs only the first chunks may pass only the beginning of a file.

    Args:
        data: a PNG file; bytes behind IEND are ignored.
        damaged: a list for chunks that fail their checksum and do not affect the pixels; None: they are errors.

    Raises:
        DamagedError: the file is truncated, a CRC is wrong, or the chunks are too many or out of order.
    """
    if not data.startswith(SIGNATURE):
        raise DamagedError("PNG signature is missing; fetch the file again")
    seen, last = set[bytes](), b""
    for chunk, is_sound in _chunks(data, len(SIGNATURE), _COUNT_MAX + len(data) // _USUAL_BYTES):
        # An upper-case first letter marks a critical chunk (PNG, section 5.4), without which no pixel is right.
        if not is_sound and (damaged is None or chunk.type[:1].isupper() or chunk.type in _PIXEL_CHUNKS):
            raise DamagedError(f"PNG chunk {chunk.type.decode()} fails its checksum; fetch the file again")
        if not is_sound and damaged is not None:
            damaged.append(chunk)
            continue
        if not seen or chunk.type[:1].isupper():  # any number of other chunks may stand anywhere
            _check_order(chunk, seen, last)
        yield chunk
        seen.add(last := chunk.type)
        if last == b"IEND":
            return
    raise DamagedError("PNG is truncated; fetch the file again")


def ihdr(chunk: Chunk) -> Ihdr:
    """Read the first chunk of a file.

    Raises:
        DamagedError: it is not an IHDR chunk, or the specification does not allow its fields.
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
    return SIGNATURE + join(chunks)


def insert(data: bytes, chunks: Iterable[Chunk]) -> bytes:
    """Insert chunks right behind IHDR, where all ancillary chunks are allowed.

    Args:
        data: a PNG file that this process has just made.
        chunks: ancillary chunks that the file does not have yet.
    """
    view = memoryview(data)  # slices of bytes would copy a large file
    return b"".join((view[:_IHDR_END], *map(_chunk_bytes, chunks), view[_IHDR_END:]))


def join(chunks: Iterable[Chunk]) -> bytes:
    """Join chunks without a PNG around them, for files of other kinds."""
    return b"".join(map(_chunk_bytes, chunks))


def split(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks that `join` has joined, each checked before it is yielded.

    Raises:
        DamagedError: the data is truncated, a CRC is wrong, or the chunks are too many.
    """
    for chunk, is_sound in _chunks(data, 0, _COUNT_MAX):
        if not is_sound:
            raise DamagedError(f"PNG chunk {chunk.type.decode()} fails its checksum; fetch the file again")
        yield chunk


def essentials(chunks: Iterable[Chunk]) -> bytes:
    """Build a file with only those chunks that the pixels need, so that a decoder never reads the others.

    It has no tRNS chunk; `hcdcodec.pictures.reading` applies that chunk.
    """
    return build(chunk for chunk in chunks if chunk.type in _CRITICAL)


def inflate(data: bytes, *, limit: int) -> bytes:
    """Decompress a complete zlib stream of at most `limit` bytes.

    Raises:
        DamagedError: the stream is broken or cut off, or gives more than `limit` bytes.
    """
    # One byte more than the limit shows that there is more; a bomb is never unpacked as a whole.
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


def _chunks(data: bytes, position: int, most: int) -> Iterator[tuple[Chunk, bool]]:
    """Yield the chunks from a position on, at most so many, each with whether its checksum is right."""
    while position < len(data):
        if most == 0:
            raise DamagedError("PNG consists of too many tiny chunks; save the picture again")
        chunk, is_sound = _chunk_at(data, position)
        position, most = position + _FRAME_SIZE + len(chunk.payload), most - 1
        yield chunk, is_sound


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
    chunk, end = Chunk(name, data[start : start + length]), start + length
    return chunk, data[end : end + 4] == _checksum(chunk)


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
    return _FRAME.pack(len(chunk.payload), chunk.type) + chunk.payload + _checksum(chunk)


def _checksum(chunk: Chunk) -> bytes:
    return zlib.crc32(chunk.payload, zlib.crc32(chunk.type)).to_bytes(4, "big")
