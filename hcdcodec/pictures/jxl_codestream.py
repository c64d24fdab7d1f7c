"""The beginning of a JPEG XL codestream: size and kind of its picture, read before memory is allocated for it.

    FF 0A | size | what kind of samples | ...

A field is a number of bits, the lowest bit of a byte first. Some numbers begin with two bits that choose one of four
encodings.

Source: ISO/IEC 18181-1, annex D (image headers).
"""

from dataclasses import dataclass

from hcdcodec.errors import DamagedError

SIGNATURE = b"\xff\x0a"

_HEAD = 64
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIDE = ((1, 9), (1, 13), (1, 18), (1, 30))


@dataclass(frozen=True)
class JxlHead:
    """The kind of a picture.

    Attributes:
        height: rows as they are stored, which is before the picture is turned.
        width: columns.
        bits: bits of a sample; 0 where they are floating-point numbers, or stand behind a preview or frames.
        orientation: 1 to 8, as in EXIF. A decoder turns the picture by it.
        has_more: whether there is a preview, or frames.
        extra_channels: number of channels beside the colours, such as alpha.
    """

    height: int
    width: int
    bits: int = 8
    orientation: int = 1
    has_more: bool = False
    extra_channels: int = 0


def read_head(codestream: bytes) -> JxlHead:
    """Read the beginning of a codestream.

    Raises:
        DamagedError: the bytes are no codestream.
    """
    if not codestream.startswith(SIGNATURE) or len(codestream) < len(SIGNATURE) + 2:
        raise DamagedError("JPEG XL pixels do not begin as they must; fetch the file again")
    bits = _Bits(codestream[len(SIGNATURE) : _HEAD])
    height, width = _sides(bits)
    return JxlHead(height, width) if bits.take(1) else _read_samples(bits, height, width)


class _Bits:
    """A reader of bits. Behind the end it reads zeros."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value

    def select(self, choices: tuple[tuple[int, int], ...]) -> int:
        """Read two bits that choose an (offset, number of bits), then a number of so many bits; add the offset."""
        offset, count = choices[self.take(2)]
        return offset + self.take(count)


def _sides(bits: _Bits) -> tuple[int, int]:
    in_eights = bits.take(1)

    def side() -> int:
        return 8 * (1 + bits.take(5)) if in_eights else bits.select(_SIDE)

    height, ratio = side(), bits.take(3)
    if not ratio:
        return height, side()
    over, under = _RATIOS[ratio - 1]
    return height, height * over // under


def _read_samples(bits: _Bits, height: int, width: int) -> JxlHead:
    orientation, has_more = 1, False
    if bits.take(1):
        orientation = 1 + bits.take(3)
        if bits.take(1):  # a size to show it at
            _sides(bits)
        has_more = bits.take(2) != 0  # preview, animation
    if has_more:
        return JxlHead(height, width, 0, orientation, has_more)
    is_float = bits.take(1)
    depth = bits.select(((32, 0), (16, 0), (24, 0), (1, 6)) if is_float else ((8, 0), (10, 0), (12, 0), (1, 6)))
    if is_float:
        bits.take(4)  # bits of the exponent
    bits.take(1)
    channels = bits.select(((0, 0), (1, 0), (2, 4), (1, 12)))
    return JxlHead(height, width, 0 if is_float else depth, orientation, extra_channels=channels)
