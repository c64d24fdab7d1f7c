"""What holds for all inputs, tried on some that nobody thought of; benchmarks/robustness/fuzz.py tries many more."""

import io
import zlib

import numpy as np
import pytest
from conftest import Levels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from hcdcodec.errors import ContainerError, DamagedError, PictureError
from hcdcodec.files.picture_names import Format
from hcdcodec.format.container import Packed, pack, peek, unpack
from hcdcodec.format.header import Header
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Mode, Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

LIMIT = 1 << 20
FEW = settings(max_examples=40, deadline=None, derandomize=True, database=None,
               suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])  # fmt: skip

payloads = some.binary(min_size=1, max_size=40)
chunks = some.builds(
    png_chunks.Chunk,
    some.sampled_from([b"tEXt", b"pHYs", b"gAMA", b"sRGB"]),
    payloads.filter(lambda p: b"hcdcodec" not in p),
)
metadata = some.builds(
    Metadata,
    icc=some.none() | payloads,
    exif=some.none() | payloads.map(lambda p: b"II" + p),
    xmp=some.none() | payloads,
    chunks=some.lists(chunks, max_size=3).map(tuple),
)


@some.composite
def pictures(draw: some.DrawFn) -> Picture:
    height, width = draw(some.integers(1, 20)), draw(some.integers(1, 20))
    shape = (height, width) if draw(some.booleans()) else (height, width, 3)
    random = np.random.default_rng(draw(some.integers(0, 1 << 16)))
    few = draw(some.sampled_from([2, 16, 256]))
    pixels = (random.integers(0, few, shape) * (255 // (few - 1))).astype(np.uint8)
    alpha = random.integers(0, 256, (height, width)).astype(np.uint8) if draw(some.booleans()) else None
    return Picture(pixels, alpha, draw(metadata))


@some.composite
def files(draw: some.DrawFn) -> bytes:
    picture = draw(pictures())
    scale = draw(some.integers(2, 5))
    header = Header(scale, "tiny", bytes(16), picture.height, picture.width, picture.mode)
    shape = (-(-picture.height // scale), -(-picture.width // scale), *picture.pixels.shape[2:])
    lr = np.resize(picture.pixels, shape)
    return pack(header, lr, alpha=picture.alpha, metadata=picture.metadata, level=0)


def planes(packed: Packed) -> tuple[Levels, Levels]:
    return packed.lr, np.zeros((1, 1), np.uint8) if packed.alpha is None else packed.alpha


def same(one: Packed, other: Packed) -> bool:
    return one.header == other.header and all(map(np.array_equal, planes(one), planes(other)))


@FEW
@given(pictures())
def test_pictures_survive_png(picture: Picture) -> None:
    again = read_picture(write_picture(picture, Format.PNG))
    assert np.array_equal(again.pixels, picture.pixels)
    assert (again.alpha is None) is (picture.alpha is None)
    assert again.alpha is None or picture.alpha is None or np.array_equal(again.alpha, picture.alpha)
    assert again.metadata == picture.metadata


@FEW
@given(files())
def test_what_was_packed_is_read_back_and_packs_the_same(data: bytes) -> None:
    packed = unpack(data)
    again = pack(packed.header, packed.lr, alpha=packed.alpha, metadata=packed.metadata, level=0)
    assert again == data
    assert peek(data) == packed.header
    assert packed.lr.shape[2:] == (() if packed.header.mode is Mode.GREY else (3,))


@FEW
@given(files(), some.data())
def test_changed_bytes_are_noticed(data: bytes, choice: some.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(choice.draw(some.integers(1, 4))):
        changed[choice.draw(some.integers(0, len(data) - 1))] = choice.draw(some.integers(0, 255))
    try:
        found = unpack(bytes(changed), max_pixels=LIMIT)
    except ContainerError as error:
        assert "; " in str(error) and "\n" not in str(error)
    else:
        assert same(found, unpack(data))


@FEW
@given(files(), some.data())
def test_changed_chunks_of_sound_checksums_are_read_or_refused(data: bytes, choice: some.DataObject) -> None:
    """Duplicated, dropped, moved and rewritten chunks: pixels that are given out are those that the digest names."""
    parts = list(png_chunks.walk(data))
    for _ in range(choice.draw(some.integers(1, 3))):
        at = choice.draw(some.integers(0, len(parts) - 1))
        how = choice.draw(some.sampled_from(["drop", "twice", "move", "rewrite"]))
        part = parts.pop(at)
        if how == "twice":
            parts[at:at] = [part, part]
        elif how == "move":
            parts.insert(choice.draw(some.integers(0, len(parts))), part)
        elif how == "rewrite":
            parts.insert(at, png_chunks.Chunk(part.type, choice.draw(some.binary(max_size=120))))
        if not parts:
            return
    try:
        found = unpack(png_chunks.build(parts), max_pixels=LIMIT)
    except ContainerError as error:
        assert "; " in str(error)
    else:
        assert np.array_equal(found.lr, unpack(data).lr)


@FEW
@given(some.binary(max_size=200), some.booleans())
def test_any_bytes_are_refused(data: bytes, signed: bool) -> None:
    data = png_chunks.SIGNATURE + data if signed else data
    for read, kind in ((unpack, ContainerError), (peek, ContainerError), (read_picture, PictureError)):
        with pytest.raises(kind):
            read(data)


@FEW
@given(some.binary(max_size=120))
def test_any_header_is_read_or_refused(payload: bytes) -> None:
    for data in (payload, b"HCDC\1" + payload, b"HCDC\1" + payload.ljust(101, b"\1")[:101]):
        try:
            header = Header.from_bytes(data)
        except ContainerError:
            continue
        assert header.to_bytes() == data


@FEW
@given(some.sampled_from(["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG", "QOI", "PPM"]), some.data())
def test_changed_pictures_are_read_or_refused(kind: str, choice: some.DataObject) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 7, 3)).astype(np.uint8)).save(buffer, kind)
    changed = bytearray(buffer.getvalue())
    for _ in range(choice.draw(some.integers(1, 4))):
        changed[choice.draw(some.integers(0, len(changed) - 1))] = choice.draw(some.integers(0, 255))
    try:
        picture = read_picture(bytes(changed), max_pixels=LIMIT)
    except PictureError as error:
        assert "; " in str(error)
    else:
        assert 0 < picture.pixel_count <= LIMIT


@FEW
@given(some.binary(max_size=300), some.integers(1, 400))
def test_inflate_gives_everything_or_nothing(data: bytes, limit: int) -> None:
    packed = zlib.compress(data)
    if len(data) <= limit:
        assert png_chunks.inflate(packed, limit=limit) == data
    else:
        with pytest.raises(DamagedError):
            png_chunks.inflate(packed, limit=limit)
