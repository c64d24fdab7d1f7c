"""The beginning of a JPEG XL codestream: size and kind of its picture, read before memory is allocated for it.

    FF 0A | size | what kind of samples | ...

A field is a number of bits, the lowest bit of a byte first. Some numbers begin with two bits that choose one of four
encodings.

Source: ISO/IEC 18181-1, annex D (image headers).
"""

from hcdcodec.errors import DamagedError, EditedError
from hcdcodec.format.header import RESTORE

SIGNATURE = b"\xff\x0a"

_HEAD = 64
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIDE = ((1, 9), (1, 13), (1, 18), (1, 30))


def read_sides(codestream: bytes) -> tuple[int, int]:
    """Return height and width of the picture.

    Args:
        codestream: a codestream, or its beginning.

    Raises:
        DamagedError: the bytes are no codestream.
        EditedError: the picture is not 8-bit, is turned, or has a preview, frames or unknown channels.
    """
    if not codestream.startswith(SIGNATURE) or len(codestream) < len(SIGNATURE) + 2:
        raise DamagedError(f"the pixels do not begin as they must; {RESTORE}")
    bits = _Bits(codestream[len(SIGNATURE) : _HEAD])
    sides = _sides(bits)
    if not bits.take(1):
        _check_samples(bits)
    return sides


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


def _check_samples(bits: _Bits) -> None:
    is_turned = is_more = False
    if bits.take(1):
        is_turned = bits.take(3) != 0
        if bits.take(1):  # a size to show it at
            _sides(bits)
        is_more = bits.take(2) != 0  # preview, animation
    is_float = bits.take(1)
    depth = 0 if is_float or is_more else bits.select(((8, 0), (10, 0), (12, 0), (1, 6)))
    bits.take(1)
    channels = bits.select(((0, 0), (1, 0), (2, 4), (1, 12)))
    if is_turned or depth != 8 or channels > 1:
        raise EditedError(f"the picture was converted after encoding; {RESTORE}")
