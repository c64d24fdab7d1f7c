"""Files that were made to harm, and honest files beside them, for `benchmarks.robustness.hostile` and for tests."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from benchmarks.common.hostile_archives import dearest_tiles
from hcdcodec.format import container
from hcdcodec.format.header import Header
from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Mode
from hcdcodec.tiles import largest_tile

BOMB = 300 << 20
"""Bytes that a bomb unpacks to."""

SIDE = 1200
"""HR pixels each way of larger pictures."""

USUAL = largest_tile(Bicubic(4).halo_px)
"""Tile and halo that encoding plans with."""

NO_WEIGHTS = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb924")
"""Start of the model hash of networks without weights."""

PIXEL = (b"IDAT", zlib.compress(b"\0\1\2\3"))
"""The one pixel of the smallest pictures."""

File = tuple[str, int, bytes]
"""What is wrong with a file, its pixels, its content."""


def honest_source(pixels: int, size: int) -> bytes:
    """Return a PNG of noise of at least so many pixels and bytes."""
    side = int(np.ceil(np.sqrt(max(pixels, size / 3))))
    return _saved(np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8), "PNG", compress_level=1)


def honest_encoded(pixels: int, size: int) -> bytes:
    """Return a file of ours of at least so many pixels and bytes."""
    side = 4 * int(np.ceil(np.sqrt(max(pixels / 16, size / 3))))
    return _small(side, np.random.default_rng(0).integers(0, 256, (side // 4, side // 4, 3)).astype(np.uint8), *USUAL)


def _saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _small(side: int, lr: np.ndarray, tile: int = 0, halo: int = 0) -> bytes:
    """Pack an LR whose pixels nobody searched."""
    about = Header(4, "bicubic", NO_WEIGHTS, side, side, Mode.RGB, tile=tile, halo=halo)
    return container.pack(about, lr, alpha=None, metadata=Metadata(), level=0)


def deflated(size: int) -> bytes:
    """Compress so many zeros, a multiple of 2^20."""
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


def chunked(ihdr: tuple[int, ...], *chunks: tuple[bytes, bytes]) -> bytes:
    """Build a PNG from (width, height, depth, colour) and chunks."""
    first = png_chunks.Chunk(b"IHDR", struct.pack(">IIBBBBB", *ihdr, 0, 0, 0))
    return png_chunks.build([first, *(png_chunks.Chunk(*chunk) for chunk in chunks), png_chunks.Chunk(b"IEND", b"")])


def sources() -> Iterator[File]:
    """Yield hostile sources."""
    bomb = deflated(BOMB)
    yield "PNG, pixels that explode", 1, chunked((1, 1, 8, 2), (b"IDAT", bomb))
    yield "PNG, profile that explodes", 1, chunked((1, 1, 8, 2), (b"iCCP", b"a\0\0" + bomb), PIXEL)
    yield "PNG, text that explodes", 1, chunked((1, 1, 8, 2), (b"zTXt", b"Comment\0\0" + bomb), PIXEL)
    for count in (60_000, 70_000, 2_000_000):
        yield f"PNG, {count} chunks", 1, chunked((1, 1, 8, 2), *[(b"vpAg", b"")] * count, PIXEL)
    yield "PNG, 60000 texts", 1, chunked((1, 1, 8, 2), *[(b"tEXt", b"a\0b")] * 60_000, PIXEL)
    yield (
        "PNG, 1 IDAT a byte",
        SIDE * 8,
        chunked((SIDE, 8, 8, 2), *((b"IDAT", bytes([part])) for part in zlib.compress(bytes(8 * (3 * SIDE + 1))))),
    )
    flat = np.full((SIDE, SIDE, 3), 9, np.uint8)
    progressive = _saved(flat, "JPEG", progressive=True)
    for count in (100, 101, 1000):
        yield f"JPEG, {count} scans", SIDE * SIDE, scans(progressive, count)
    picture = _saved(flat[:12, :16], "JPEG")
    for count in (60_000, 70_000, 5_000_000):
        yield f"JPEG, {count} segments", 16 * 12, picture[:2] + b"\xff\xfe\0\2" * count + picture[2:]
    tiff = _saved(flat[:12, :16], "TIFF")
    yield "TIFF, 80000 directories", 16 * 12, pages(tiff, 80_000)
    yield "TIFF, 3000 tags share 1 MiB", 16 * 12, overlapping(tiff, 3000, 1 << 20)
    yield (
        "BMP, claims 60000x60000",
        1,
        _saved(flat[:12, :16], "BMP").replace(struct.pack("<ii", 16, 12), struct.pack("<ii", 60_000, 60_000)),
    )
    yield (
        "GIF, claims 65535x65535",
        1,
        _saved(flat[:12, :16], "GIF").replace(struct.pack("<HH", 16, 12), b"\xff" * 4, 1),
    )


def encoded() -> Iterator[File]:
    """Yield hostile files of ours."""
    lr = np.full((SIDE // 4, SIDE // 4, 3), 77, np.uint8)
    pixels = SIDE * SIDE
    yield "LR, tiles of 1 with a halo of 15", pixels, _small(SIDE, lr, tile=1, halo=15)
    yield "LR, the dearest tiles that are taken", pixels, _small(SIDE, lr, *dearest_tiles(len(lr)))
    yield "LR, one tile", pixels, _small(SIDE, lr, tile=0)
    sound = _small(SIDE, lr, *USUAL)
    for count in (60_000, 2_000_000):
        yield f"LR, {count} chunks", pixels, png_chunks.insert(sound, [png_chunks.Chunk(b"vpAg", b"")] * count)
    exploding = png_chunks.Chunk(b"zTXt", b"hcdcodec\0\0" + deflated(BOMB))
    yield "LR, header that explodes", pixels, png_chunks.insert(sound, [exploding])
    header = replace(container.peek(sound), height=40_000, width=40_000)
    yield (
        "LR, claims 40000x40000",
        1,
        png_chunks.build(
            chunk._replace(payload=header.to_bytes()) if chunk.type == b"hcDC" else chunk
            for chunk in png_chunks.walk(sound)
            if chunk.type != b"tEXt"
        ),
    )


def scans(data: bytes, count: int) -> bytes:
    """Repeat the last scan of a progressive JPEG until there are so many; decoders go through each of them."""
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + data[-2:]


def pages(data: bytes, count: int) -> bytes:
    """Chain copies of a TIFF's directory, all of the same pixels, behind it."""
    (first,) = struct.unpack_from("<I", data, 4)
    place = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    copy, start = data[first:place], len(data) + len(data) % 2
    chain = (copy + struct.pack("<I", start + (len(copy) + 4) * (number + 1)) for number in range(count - 2))
    head = data[:place] + struct.pack("<I", start) + data[place + 4 :].ljust(start - place - 4, b"\0")
    return b"".join((head, *chain, copy, bytes(4)))


def overlapping(data: bytes, tags: int, size: int) -> bytes:
    """Give a TIFF many tags with the same bytes."""
    start = len(data) + len(data) % 2
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    entries = data[first + 2 : first + 2 + 12 * count]
    entries += b"".join(struct.pack("<HHII", 40_000 + tag, 7, size, start) for tag in range(tags))
    directory = struct.pack("<H", count + tags) + entries + bytes(4)
    return data[:4] + struct.pack("<I", start + size) + data[8:].ljust(start - 8, b"\0") + bytes(size) + directory
