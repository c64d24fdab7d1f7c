"""Read JPEG files as lists of segments: the metadata, the number of scans, and the end of the picture.

    file    = FF D8, segments, scans, FF D9
    segment = FF, marker u8, length u16 of all but the marker, payload
    scan    = a segment (marker DA), then coded bytes in which FF stands only before 00 or a restart marker

Pillow keeps only the last comment and the first XMP segment, and does not read IPTC that spans several segments.

Source: ITU-T T.81, annex B; Adobe XMP part 3, section 1.1.3; CIPA DC-007 (multi-picture format), section 5.2.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from hcdcodec.errors import DamagedError, PictureError
from hcdcodec.pictures.tiff import read_directory

# Neither a stuffed FF 00 nor a restart. Of the FF that may fill up before a marker, the last one is enough.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_START, _END, _SCAN, COMMENT, _APP1, _APP2, APP13 = 0xD8, 0xD9, 0xDA, 0xFE, 0xE1, 0xE2, 0xED
EXIF, ICC = b"Exif\0\0", b"ICC_PROFILE\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENSION = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>\s*)([0-9A-Fa-f]{32})")
PHOTOSHOP = b"Photoshop 3.0\0"
_RESOURCE = struct.Struct(">4sHB")  # signature, number, length of a name
IPTC_RESOURCE = 0x0404
_MPF = b"MPF\0"  # a TIFF structure follows
_MP_ENTRIES, _MP_ENTRY_SIZE = 0xB002, 16

SCANS_MOST = 100
"""Largest number of scans. Each one costs a pass over the whole picture; encoders write about a dozen."""

SEGMENTS_MOST = 1 << 16
"""Largest number of segments: a file of empty segments would cost much memory."""


class _XmpPart(NamedTuple):
    """A part of an extended XMP packet."""

    total: int
    offset: int
    text: bytes


class Segment(NamedTuple):
    """One segment."""

    marker: int
    payload: bytes


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file without its pixels.

    Attributes:
        segments: the segments up to the end of the picture, also those that start a scan.
        tail: the bytes behind the end of the picture.
    """

    segments: tuple[Segment, ...]
    tail: bytes

    @property
    def comments(self) -> tuple[bytes, ...]:
        """All comments."""
        return tuple(segment.payload for segment in self.segments if segment.marker == COMMENT)

    @property
    def exif(self) -> bytes:
        """The EXIF block, joined from its segments; empty where there is none."""
        return b"".join(self._find_payloads(_APP1, EXIF))

    @property
    def has_whole_icc(self) -> bool:
        """Whether there is no colour profile, or it has as many parts as it says. Pillow makes the same test."""
        parts = [part for part in self._find_payloads(_APP2, ICC) if len(part) > 1]
        # Each part begins with its number and the count of parts, one byte each.
        return not parts or len(parts) == min(parts)[1]

    @property
    def xmp(self) -> bytes | None:
        """The main XMP packet."""
        return next(iter(self._find_payloads(_APP1, XMP)), None)

    @property
    def iptc(self) -> bytes:
        """The IPTC records; empty where there are none."""
        resources = b"".join(self._find_payloads(APP13, PHOTOSHOP))
        return b"".join(data for kind, data in _resources(resources) if kind == IPTC_RESOURCE)

    @property
    def has_extended_xmp(self) -> bool:
        """Whether the main packet says that there is more."""
        return _EXTENSION.search(self.xmp or b"") is not None

    @property
    def extended_xmp(self) -> bytes | None:
        """The extended packet that the main packet names, joined from its parts; None where it is not complete."""
        # Each part begins with the digest of the packet (32 characters), its whole length and the offset of the part.
        found = _EXTENSION.search(self.xmp or b"")
        parts = sorted(
            _XmpPart(int.from_bytes(part[32:36], "big"), int.from_bytes(part[36:40], "big"), part[40:])
            for part in self._find_payloads(_APP1, _EXTENDED_XMP)
            if found is not None and part[:32] == found[1] and len(part) >= 40
        )  # all parts have the same total, so this sorts them by offset
        whole = b"".join(part.text for part in parts)
        places = [0, *accumulate(len(part.text) for part in parts)]
        is_complete = bool(parts) and all(
            part.offset == place and part.total == len(whole) for part, place in zip(parts, places, strict=False)
        )
        return whole if is_complete else None

    @property
    def picture_types(self) -> tuple[int, ...]:
        """The types of all pictures in the file by its multi-picture index; empty where it has no index."""
        for index in self._find_payloads(_APP2, _MPF):
            try:
                directory = read_directory(index)
            except DamagedError:
                return ()  # with a broken index, other readers do not find the pictures either
            entries = directory.value(_MP_ENTRIES)
            starts = range(0, len(entries) - _MP_ENTRY_SIZE + 1, _MP_ENTRY_SIZE)
            # CIPA DC-007, section 5.2.3.3: the lower 24 bits of an entry are the type.
            return tuple(struct.unpack_from(directory.order + "I", entries, at)[0] & 0xFFFFFF for at in starts)
        return ()

    def _find_payloads(self, marker: int, name: bytes) -> Sequence[bytes]:
        return [
            segment.payload[len(name) :]
            for segment in self.segments
            if segment.marker == marker and segment.payload.startswith(name)
        ]


def read_jpeg(data: bytes) -> Jpeg:
    """Split a file into segments. Bytes that libjpeg skips are skipped here, too.

    Raises:
        PictureError: more segments or scans than any encoder writes.
    """
    segments, scans, end = list[Segment](), 0, len(data)
    for segment, position in _walk(data):
        if segment.marker == _END:
            end = position
            break
        scans += segment.marker == _SCAN
        segments.append(segment)
        if scans > SCANS_MOST or len(segments) > SEGMENTS_MOST:
            raise PictureError(f"JPEG has more than {SCANS_MOST} scans or {SEGMENTS_MOST} segments; save it again")
    return Jpeg(tuple(segments), data[end:])


def _walk(data: bytes) -> Iterator[tuple[Segment, int]]:
    """Yield each segment and the position behind it."""
    position = 2
    while (found := _MARKER.search(data, position)) is not None:
        marker, position = found[1][0], found.end()
        if marker in (_START, _END, 1):  # markers without length and payload
            yield Segment(marker, b""), position
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        yield Segment(marker, data[position + 2 : position + length]), position + length
        # The length counts its own two bytes. A smaller one is wrong, and must not stop the walk from moving on.
        position += max(length, 2)


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number, data) of Photoshop's resources."""
    # Name (with its length byte) and data are each padded to an even length.
    position = 0
    while position + _RESOURCE.size <= len(data) and data[position : position + 4].isalnum():
        _, kind, name = _RESOURCE.unpack_from(data, position)
        position += 6 + (1 + name + 1) // 2 * 2
        size = int.from_bytes(data[position : position + 4], "big")
        yield kind, data[position + 4 : position + 4 + size]
        position += 4 + (size + 1) // 2 * 2
