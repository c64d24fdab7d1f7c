"""Walk through the boxes of which JPEG XL, JPEG 2000 and AVIF files consist.

    file   = boxes
    box    = size of the whole box u32 | type 4 letters | payload
             size 1: the size follows as u64; size 0: up to the end of the file
    number = big-endian

Source: ISO/IEC 14496-12, section 4.2; ISO/IEC 15444-1, annex I.4.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from hcdcodec.errors import DamagedError

_COUNT_MAX = 1 << 12
"""Boxes of a file: each takes memory, however small it is."""


class Slices(Protocol):
    """The bytes of a file, in memory or still on the disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> bytes: ...


class Part(NamedTuple):
    """One part of a file: a box, or a chunk of a WebP."""

    type: bytes
    payload: bytes


class Frame(NamedTuple):
    """Where the payload of a part stands in its file."""

    type: bytes
    start: int
    end: int


def walk_boxes(data: bytes, name: str) -> Iterator[Part]:
    """Yield the boxes of a file, or of a payload that holds boxes; see `find_boxes`."""
    for frame in find_boxes(data, name):
        yield Part(frame.type, data[frame.start : frame.end])


def find_boxes(data: Slices, name: str, position: int = 0) -> Iterator[Frame]:
    """Yield the places of the boxes of a file, or of a payload that holds boxes.

    Args:
        data: the boxes.
        name: of the format, for messages.
        position: where the first box begins.

    Raises:
        DamagedError: a length is wrong, or there are too many boxes. Boxes before that are yielded.
    """
    left = _COUNT_MAX
    while position != len(data):
        if left == 0 or position + 8 > len(data):
            raise DamagedError(f"{name} is truncated, or consists of too many boxes; fetch the file again")
        size, kind = struct.unpack(">I4s", data[position : position + 8])
        start = position + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        elif size == 0:
            size = len(data) - position
        end = position + size
        if not start <= end <= len(data):
            raise DamagedError(f"{name} is truncated, or a length in it is wrong; fetch the file again")
        yield Frame(kind, start, end)
        position, left = end, left - 1
