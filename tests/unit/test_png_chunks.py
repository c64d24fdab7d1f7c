"""PNG chunks: what is read, and what is refused."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from hcdcodec.errors import DamagedError
from hcdcodec.pictures import png_chunks


def sample() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def rebuilt(*chunks: tuple[bytes, bytes]) -> bytes:
    """Join any chunks, also in an order that no sound file has."""
    return png_chunks.build(png_chunks.Chunk(name, payload) for name, payload in chunks)


IHDR = (b"IHDR", bytes((0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0)))
IDAT = (b"IDAT", zlib.compress(b"\0\7"))
IEND = (b"IEND", b"")


def test_walk_and_build_are_inverse() -> None:
    data = sample()
    chunks = tuple(png_chunks.walk(data))
    assert [chunk.type for chunk in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    assert png_chunks.build(chunks) == data
    assert png_chunks.size(chunks) == len(data)


def test_handmade_file_is_what_pillow_reads() -> None:
    assert Image.open(io.BytesIO(rebuilt(IHDR, IDAT, IEND))).getpixel((0, 0)) == 7


def test_ihdr_gives_height_before_width() -> None:
    assert png_chunks.ihdr(next(png_chunks.walk(sample()))) == png_chunks.Ihdr(height=4, width=5, depth=8, colour=2)


def test_insert_puts_chunks_behind_ihdr_and_essentials_takes_them_out() -> None:
    data = sample()
    extra = (png_chunks.Chunk(b"tEXt", b"a\0b"), png_chunks.Chunk(b"hcXX", b""))
    chunks = tuple(png_chunks.walk(png_chunks.insert(data, extra)))
    assert chunks[1:3] == extra
    assert png_chunks.essentials(chunks) == data


def test_walk_is_lazy() -> None:
    data = png_chunks.insert(sample(), [png_chunks.Chunk(b"hcXX", b"first")])
    walker = png_chunks.walk(data[:60])
    assert [next(walker).type, next(walker).payload] == [b"IHDR", b"first"]
    with pytest.raises(DamagedError, match="truncated"):
        next(walker)


def test_what_follows_the_end_is_left_alone() -> None:
    assert tuple(png_chunks.walk(sample() + b"more")) == tuple(png_chunks.walk(sample()))


def test_every_prefix_is_refused() -> None:
    data = sample()
    for length in range(len(data)):
        with pytest.raises(DamagedError):
            tuple(png_chunks.walk(data[:length]))


def test_every_changed_byte_is_noticed() -> None:
    data = sample()
    for position in range(len(data)):
        for mask in (0x01, 0x20, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= mask
            with pytest.raises(DamagedError):
                tuple(png_chunks.walk(bytes(changed)))


@pytest.mark.parametrize(
    "chunks",
    [
        (IDAT, IEND),
        (IHDR, IEND),
        (IHDR, IHDR, IDAT, IEND),
        (IHDR, IDAT, (b"PLTE", b"abc"), IEND),
        (IHDR, (b"PLTE", b"abc"), (b"PLTE", b"abc"), IDAT, IEND),
        (IHDR, IDAT, (b"tEXt", b"a\0b"), IDAT, IEND),
        (IHDR, (b"NEWS", b""), IDAT, IEND),
        (IHDR, (b"a1bc", b""), IDAT, IEND),
        (IHDR, IDAT, (b"IEND", b"x")),
        ((b"IHDR", IHDR[1][:-1]), IDAT, IEND),
        ((b"IHDR", bytes(4) + IHDR[1][4:]), IDAT, IEND),
        ((b"IHDR", b"\x80" + IHDR[1][1:]), IDAT, IEND),
        ((b"IHDR", IHDR[1][:10] + b"\1" + IHDR[1][11:]), IDAT, IEND),
    ],
)
def test_impossible_files_are_refused(chunks: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(DamagedError):
        tuple(png_chunks.walk(rebuilt(*chunks)))


def test_a_length_beyond_the_file_allocates_nothing() -> None:
    with pytest.raises(DamagedError, match="truncated"):
        tuple(png_chunks.walk(png_chunks.SIGNATURE + b"\xff\xff\xff\xffIHDR" + bytes(40)))


def test_inflate() -> None:
    assert png_chunks.inflate(zlib.compress(b"payload"), limit=7) == b"payload"
    assert png_chunks.inflate(zlib.compress(b""), limit=1) == b""


@pytest.mark.parametrize("data", [zlib.compress(bytes(100)), zlib.compress(b"abc")[:-1], b"no zlib", b""])
def test_inflate_refuses_bombs_and_broken_streams(data: bytes) -> None:
    with pytest.raises(DamagedError):
        png_chunks.inflate(data, limit=99)


def test_very_many_chunks_are_walked_in_linear_time() -> None:
    letters = range(26)
    names = (bytes((97 + a, 97 + b, 65 + c, 97 + d)) for a in letters for b in letters for c in letters for d in (0, 1))
    data = png_chunks.insert(sample(), [png_chunks.Chunk(name, b"") for name in names])
    assert sum(1 for _ in png_chunks.walk(data)) == 26**3 * 2 + 3
