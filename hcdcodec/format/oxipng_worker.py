"""oxipng, here or as a program of its own: it keeps Python's lock while it works, so a thread with it stops all others.

    request = height u32 | width u32 | channels u8 | level u8 | grey allowed u8 | palette allowed u8 |
              samples
    answer  = size u32 | PNG file
    number  = big-endian

The program answers one request after the other and ends when its standard input does, whatever has become of the
process that started it. It loads nothing but oxipng.
"""

import struct
import sys
from dataclasses import dataclass
from typing import IO

import oxipng

_REQUEST = struct.Struct(">IIBB??")
_ANSWER = struct.Struct(">I")


@dataclass(frozen=True)
class Raw:
    """Pixels that are to become a PNG file.

    Attributes:
        samples: 8 bits each, row by row, channels interleaved.
        height: rows.
        width: columns.
        channels: 1 for grey, 3 for RGB.
        level: how long to search for fewer bytes, 0 to 6.
        to_grey: RGB that is all grey may be stored as grey.
        to_palette: few colours may be stored as a palette.
    """

    samples: bytes
    height: int
    width: int
    channels: int
    level: int
    to_grey: bool
    to_palette: bool = True


def optimise(raw: Raw) -> bytes:
    """Return the smallest PNG file that is found."""
    colour = oxipng.ColorType.grayscale() if raw.channels == 1 else oxipng.ColorType.rgb()
    image = oxipng.RawImage(raw.samples, raw.width, raw.height, color_type=colour)
    return image.create_optimized_png(
        level=raw.level, grayscale_reduction=raw.to_grey, palette_reduction=raw.to_palette
    )


def ask(requests: IO[bytes], answers: IO[bytes], raw: Raw) -> bytes:
    """Have the program at the other end optimise.

    Raises:
        EOFError: it has ended without an answer; or OSError, if it has not even taken the request.
    """
    allowed = raw.to_grey, raw.to_palette
    requests.write(_REQUEST.pack(raw.height, raw.width, raw.channels, raw.level, *allowed))
    requests.write(raw.samples)
    requests.flush()
    (size,) = _ANSWER.unpack(_exactly(answers, _ANSWER.size))
    return _exactly(answers, size)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    while len(head := requests.read(_REQUEST.size)) == _REQUEST.size:
        height, width, channels, level, *allowed = _REQUEST.unpack(head)
        samples = _exactly(requests, height * width * channels)
        data = optimise(Raw(samples, height, width, channels, level, *allowed))
        answers.write(_ANSWER.pack(len(data)))
        answers.write(data)
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
