"""The usual colour profile of sRGB, which the header names instead of the file storing it.

"sRGB IEC61966-2.1" of 1998 is the profile that cameras and programs embed most. It has 3144 bytes, and hardly gets
smaller by compression. Two thirds of them are the curve of sRGB, in 1024 points, so this module builds the profile from
the numbers of the standards. SHA-256 tells whether the result is the profile, byte for byte.

Profiles of other colours are stored as they are. A viewer shows a small file without a profile as sRGB, so a file that
names Display P3 or Adobe RGB would have wrong colours there.

Source: ICC.1:1998-09 for the layout; IEC 61966-2-1 for curve, primaries and viewing conditions.
"""

import hashlib
import struct
from functools import cache

DIGEST = bytes.fromhex("2b3aa1645779a9e634744faf9b01e9102b0c9b88fd6deced7934df86b949af7e")
"""SHA-256 of the profile."""

_POINTS = 1024
_SCRIPT_BYTES = 67
_WHITE, _BLACK = (0xF351, 0x10000, 0x116CC), (0, 0, 0)
_RED, _GREEN, _BLUE = (0x6FA2, 0x38F5, 0x390), (0x6299, 0xB785, 0x18DA), (0x24A0, 0xF84, 0xB6CF)
_LUMINANCE = 0x4C0956, 0x500000, 0x571FE7
_VIEWING = struct.pack(">7I", 0x13A4FE, 0x145F2E, 0x10CF14, 0x3EDCC, 0x4130B, 0x35C9E, 1)
_MEASUREMENT = struct.pack(">7I", 1, 0, 0, 0, 0, 0x28F, 2)
_HEAD = struct.pack(
    ">I4sI4s4s4s6H4s4sI4s4sQI3I4s44x",
    *(3144, b"Lino", 0x02100000, b"mntr", b"RGB ", b"XYZ "),
    *(1998, 2, 9, 6, 49, 0),
    *(b"acsp", b"MSFT", 0, b"IEC ", b"sRGB", 0, 0),
    *(0xF6D6, 0x10000, 0xD32D, b"HP  "),
)


def is_srgb(profile: bytes | None) -> bool:
    """Tell whether a profile is this one."""
    return profile is not None and hashlib.sha256(profile).digest() == DIGEST


@cache
def make_srgb() -> bytes:
    """Build the profile."""
    tags = _tags()
    table, data, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    for name, tag in tags.items():
        if tag not in places:  # the three curves are stored once
            places[tag] = len(_HEAD) + 4 + 12 * len(tags) + len(data)
            data += tag + bytes(-len(tag) % 4)
        table += struct.pack(">4sII", name, places[tag], len(tag))
    return _HEAD + table + data


def _tags() -> dict[bytes, bytes]:
    return {
        b"cprt": _tag(b"text", b"Copyright (c) 1998 Hewlett-Packard Company\0"),
        b"desc": _description("sRGB IEC61966-2.1"),
        b"wtpt": _colour(_WHITE),
        b"bkpt": _colour(_BLACK),
        b"rXYZ": _colour(_RED),
        b"gXYZ": _colour(_GREEN),
        b"bXYZ": _colour(_BLUE),
        b"dmnd": _description("IEC http://www.iec.ch"),
        b"dmdd": _description("IEC 61966-2.1 Default RGB colour space - sRGB"),
        b"vued": _description("Reference Viewing Condition in IEC61966-2.1"),
        b"view": _tag(b"view", _VIEWING),
        b"lumi": _colour(_LUMINANCE),
        b"meas": _tag(b"meas", _MEASUREMENT),
        b"tech": _tag(b"sig ", b"CRT "),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve()),
    }


def _tag(kind: bytes, content: bytes) -> bytes:
    return kind + bytes(4) + content


def _colour(levels: tuple[int, int, int]) -> bytes:
    return _tag(b"XYZ ", struct.pack(">3I", *levels))


def _description(text: str) -> bytes:
    """Return a text with its length, an empty Unicode form, and the form that old Macintoshes read."""
    letters = text.encode() + b"\0"
    size = len(letters)
    return _tag(b"desc", struct.pack(f">I{size}s10xB{_SCRIPT_BYTES}s", size, letters, size, letters))


def _curve() -> bytes:
    return _tag(b"curv", struct.pack(f">I{_POINTS}H", _POINTS, *(_light(point) for point in range(_POINTS))))


def _light(point: int) -> int:
    """Return the light of a level, 0 to 65535. No value is so close to a half that machines could round it apart."""
    level = point / (_POINTS - 1)
    return round(65535 * (level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4))
