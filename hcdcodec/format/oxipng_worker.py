"""Run oxipng, in this process or as a program of its own.

pyoxipng holds Python's global lock (GIL) while it works. A thread that calls it would stop all other threads, so the
batch runs this module as a program.

    request = height u32 | width u32 | channels u8 | level u8 | grey allowed u8 | palette allowed u8 |
              samples
    answer  = size u32 | PNG file
    number  = big-endian

The program answers one request after the other. It ends when its standard input ends, even if the process that started
it was killed. It loads only oxipng, so it starts fast.
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
    """Pixels for a PNG file.

    Attributes:
        samples: 8-bit samples, row by row, with interleaved channels.
        height: rows.
        width: columns.
        channels: 1 for grey, 3 for RGB.
        level: preset of oxipng, 0 to 6; a higher one searches longer for fewer bytes.
        to_grey: whether RGB pixels that are all grey may be stored as grey.
        to_palette: whether few colours may be stored as a palette; else pixels keep their channels.
    """

    samples: bytes
    height: int
    width: int
    channels: int
    level: int
    to_grey: bool
    to_palette: bool = True


def optimise(raw: Raw) -> bytes:
    """Return the smallest PNG file that oxipng finds."""
    colour = oxipng.ColorType.grayscale() if raw.channels == 1 else oxipng.ColorType.rgb()
    image = oxipng.RawImage(raw.samples, raw.width, raw.height, color_type=colour)
    # Of oxipng's options, `palette_reduction` only shortens palettes: this one decides whether there may be one.
    return image.create_optimized_png(
        level=raw.level, grayscale_reduction=raw.to_grey, color_type_reduction=raw.to_palette
    )


def ask(requests: IO[bytes], answers: IO[bytes], raw: Raw) -> bytes:
    """Send a request to the program, and return its answer.

    Raises:
        EOFError: the program has ended without an answer.
        OSError: the program has ended before it has taken the request.
    """
    allowed = raw.to_grey, raw.to_palette
    requests.write(_REQUEST.pack(raw.height, raw.width, raw.channels, raw.level, *allowed))
    requests.write(raw.samples)
    requests.flush()
    (size,) = _ANSWER.unpack(_read_exactly(answers, _ANSWER.size))
    return _read_exactly(answers, size)


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    while len(head := requests.read(_REQUEST.size)) == _REQUEST.size:
        height, width, channels, level, *allowed = _REQUEST.unpack(head)
        samples = _read_exactly(requests, height * width * channels)
        data = optimise(Raw(samples, height, width, channels, level, *allowed))
        answers.write(_ANSWER.pack(len(data)))
        answers.write(data)
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
