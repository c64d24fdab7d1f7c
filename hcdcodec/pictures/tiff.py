"""Read the directories of TIFF files and of EXIF blocks, which have the same form, without trusting them.

    file      = "II" or "MM", 42 or 43 (BigTIFF), then the offset of the first directory
    directory = number of entries, entries, offset of the next directory or 0
    entry     = tag u16, type u16, count, the value or, if it does not fit, its offset

Pillow copies the values of all tags at once, and tags can share their bytes, so a small file can take gigabytes. This
module first adds up the sizes of the tags. It copies a value only on request.

Source: TIFF 6.0, section 2; TIFF Technical Note 1 for SubIFDs; Adobe DNG 1.7, chapters 2 and 4.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hcdcodec.errors import DamagedError, PictureError

IPTC = 33723
X_RESOLUTION, RESOLUTION_UNIT = 282, 296

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_WIDTH, _HEIGHT, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 256, 257, 262, 330, 50706
_GROUPS = (34665, 34853)  # EXIF and GPS
_REDUCED_RESOLUTION = 1  # bit 0 of the one tag
_OLD_REDUCED_RESOLUTION = 2  # the value of the other
_SENSOR_COLOURS = (32803, 34892)  # colour filter array, linear raw
# Bytes of one value by type: 1 to 12 are of TIFF 6.0, section 2; 13 (IFD) and 16 to 18 (BigTIFF) came later.
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SHARED_MOST = 1 << 16
"""Number of bytes by which the tags may be larger than the file: in sound files some tags share a few bytes."""
_SUB_IFDS_MOST = 32
_TAGS_MOST = 1 << 12  # libtiff reads no more, either; each entry takes time, and up to 32 directories are read


class TagEntry(NamedTuple):
    """One tag: the type, number and position of its values."""

    type: int
    amount: int
    start: int

    @property
    def size(self) -> int:
        """Number of bytes of all its values."""
        return _TYPE_SIZES.get(self.type, 1) * self.amount


@dataclass(frozen=True)
class Directory:
    """One directory.

    Attributes:
        data: the file.
        order: byte order, "<" or ">".
        entries: entries by tag; of a tag that occurs twice, the first one.
        size: bytes of all values together, without parts behind the end of the file.
    """

    data: bytes
    order: str
    entries: Mapping[int, TagEntry]
    size: int

    def value(self, tag: int) -> bytes:
        """Return the bytes of a tag as they stand in the file; empty where there is no such tag."""
        entry = self.entries.get(tag, TagEntry(1, 0, 0))
        return self.data[entry.start : entry.start + entry.size]

    def numbers(self, tag: int, most: int = 1) -> tuple[int, ...]:
        """Return the first values of a tag of integers; empty where there is no such tag."""
        code = _INTEGERS.get(self.entries[tag].type) if tag in self.entries else None
        if code is None:
            return ()
        width = struct.calcsize(code)
        count = min(most, len(self.value(tag)) // width)
        return struct.unpack_from(f"{self.order}{count}{code}", self.value(tag))

    @property
    def pixel_count(self) -> int:
        """Rows times columns of its picture; 0 where it describes no picture."""
        return sum(self.numbers(_WIDTH)) * sum(self.numbers(_HEIGHT))


def read_directory(data: bytes, offset: int | None = None) -> Directory:
    """Read one directory.

    Args:
        data: a TIFF file or an EXIF block.
        offset: where the directory stands; default: the first one.

    Raises:
        DamagedError: the file is not a TIFF, or ends before the directory does.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "")
    try:
        (version,) = struct.unpack_from(order + "H", data, 2)
        # BigTIFF has wider offsets and counts, and its first offset stands four bytes later.
        number, count_code, slot = ("Q", "Q", 8) if version == 43 else ("I", "H", 4)
        if not order or version not in (42, 43):
            raise struct.error
        if offset is None:
            (offset,) = struct.unpack_from(order + number, data, slot)
        return _read_entries(data, order, offset, number, count_code, slot)
    except struct.error as error:
        raise DamagedError("TIFF directory is truncated or damaged; fetch the file again") from error


def check_tag_sizes(data: bytes) -> None:
    """Refuse tags that share many bytes, since copying them takes a multiple of the file's memory.

    Args:
        data: a TIFF file or an EXIF block. One that cannot be read passes: Pillow copies no more of it than its size.

    Raises:
        DamagedError: tags of the first directory, or of the groups in it, share bytes.
    """
    try:
        first = read_directory(data)
        groups = [read_directory(data, place) for group in _GROUPS for place in first.numbers(group)]
    except DamagedError:
        return
    if sum(directory.size for directory in (first, *groups)) > len(data) + _SHARED_MOST:
        raise DamagedError("TIFF tags hold more bytes than the file; save the picture again")


def check_is_picture(directory: Directory) -> None:
    """Refuse a file whose first directory is not the main picture. Camera raw looks like TIFF, with a preview first.

    Pyramids, whose SubIFDs are smaller, and files with thumbnails pass.

    Raises:
        PictureError: the first picture is not the main picture.
    """
    about = _explain_raw(directory)
    if about:
        raise PictureError(f"camera raw, or a TIFF like it, is not read ({about}); develop it into a picture first")


def _explain_raw(directory: Directory) -> str:
    """Return the reason why the first directory is not the main picture; empty where it is."""
    if directory.numbers(_DNG_VERSION):
        return "it is a DNG file"
    if directory.data[8:10] == b"CR":
        return "it is a CR2 file"
    if any(kind in _SENSOR_COLOURS for kind in directory.numbers(_PHOTOMETRIC)):
        return "its samples are those of a sensor"
    is_reduced = any(bits & _REDUCED_RESOLUTION for bits in directory.numbers(_NEW_SUBFILE_TYPE))
    if is_reduced or directory.numbers(_SUBFILE_TYPE) == (_OLD_REDUCED_RESOLUTION,):
        return "its first picture is a preview of reduced resolution"
    behind = directory.numbers(_SUB_IFDS, _SUB_IFDS_MOST)
    if any(_count_pixels(directory.data, place) > directory.pixel_count for place in behind):
        return "a larger picture stands behind its first one"
    return ""


def _count_pixels(data: bytes, place: int) -> int:
    try:
        return read_directory(data, place).pixel_count
    except DamagedError:
        return 0  # a directory that cannot be read holds no picture


def _read_entries(data: bytes, order: str, offset: int, number: str, count_code: str, slot: int) -> Directory:
    (count,) = struct.unpack_from(order + count_code, data, offset)
    entry = struct.Struct(f"{order}HH{number}{slot}x")
    start = offset + struct.calcsize(order + count_code)
    if count > _TAGS_MOST or start + count * entry.size > len(data):
        raise struct.error
    entries, size = dict[int, TagEntry](), 0
    for at in range(start, start + count * entry.size, entry.size):
        tag, kind, values = entry.unpack_from(data, at)
        place = at + entry.size - slot
        found = TagEntry(kind, values, place)
        if found.size > slot:
            found = TagEntry(kind, values, struct.unpack_from(order + number, data, place)[0])
        size += min(found.size, max(len(data) - found.start, 0))
        entries.setdefault(tag, found)
    return Directory(data, order, entries, size)
