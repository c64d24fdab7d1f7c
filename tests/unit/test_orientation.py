"""Pictures are turned as EXIF says, and then say that they are upright."""

import io
import struct
from functools import partial

import numpy as np
import pytest
from picture_files import exif
from PIL import ExifTags, Image, ImageOps

from hcdcodec.pictures.metadata import Metadata, Strip
from hcdcodec.pictures.orientation import read_orientation, turn_upright
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.png_chunks import Chunk
from hcdcodec.pictures.reading import read_image, read_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 13, 3)).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_and_alpha_are_turned_as_pillow_turns_them(orientation: int) -> None:
    picture = Picture(PIXELS, PIXELS[..., 0], Metadata(exif=exif(orientation)))
    turned = turn_upright(picture)
    image = Image.fromarray(PIXELS)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turned.pixels, expected)
    assert turned.alpha is not None and np.array_equal(turned.alpha, expected[..., 0])
    block = Image.Exif()
    block.load(turned.metadata.exif or b"")
    assert dict(block) == {ExifTags.Base.Orientation: 1, ExifTags.Base.Make: "Maker"}
    assert turn_upright(turned) is turned


@pytest.mark.parametrize("block", [b"", b"garbage", exif(9), exif(0), exif(1), b"II*\0\x08\0\0\0"])
def test_without_a_sound_orientation_nothing_is_turned(block: bytes) -> None:
    picture = Picture(PIXELS, None, Metadata(exif=block))
    assert read_orientation(block) == 1 and turn_upright(picture) is picture


@pytest.mark.parametrize("form", [b'tiff:Orientation="%d"', b"<tiff:Orientation>%d</tiff:Orientation>"])
def test_xmp_says_upright_too(form: bytes) -> None:
    turned = turn_upright(Picture(PIXELS, None, Metadata(exif=exif(6), xmp=b"<x>" + form % 6 + b"</x>")))
    assert turned.metadata.xmp == b"<x>" + form % 1 + b"</x>"


def test_density_is_turned_too() -> None:
    chunks = (Chunk(b"pHYs", struct.pack(">IIB", 300, 150, 1)), Chunk(b"gAMA", bytes(4)))
    for orientation in range(1, 9):
        expected = (150, 300) if orientation >= 5 else (300, 150)
        turned = turn_upright(Picture(PIXELS, None, Metadata(exif=exif(orientation), chunks=chunks)))
        assert turned.metadata.chunks[0].payload == struct.pack(">IIB", *expected, 1)
        assert turned.metadata.chunks[1] == chunks[1]


@pytest.mark.parametrize(("orientation", "expected"), [(1, (200, 100)), (3, (200, 100)), (6, (100, 200))])
def test_the_density_of_a_tiff_is_turned_with_its_pixels(orientation: int, expected: tuple[int, int]) -> None:
    buffer, block = io.BytesIO(), Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    Image.fromarray(PIXELS).save(buffer, "TIFF", exif=block, dpi=(200, 100))
    opened = Image.open(io.BytesIO(buffer.getvalue()))
    for picture in (read_picture(buffer.getvalue()), read_image(opened), read_image(opened)):
        assert picture.metadata.dpi == pytest.approx(expected, abs=0.1)
        assert picture.height == (13 if orientation == 6 else 9)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_exif_that_is_stripped_still_turns_the_picture(kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, exif=b"Exif\0\0" + exif(8))
    picture = read_picture(buffer.getvalue(), upright=True, strip=(Strip.EXIF,))
    assert (picture.height, picture.width, picture.metadata.exif) == (13, 9, None)
    assert read_picture(buffer.getvalue(), strip=(Strip.EXIF,)).height == 9


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_that_will_lie_on_its_side_is_named(kind: str, orientation: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, exif=b"Exif\0\0" + exif(orientation))
    read = partial(read_picture, buffer.getvalue())
    image = partial(read_image, Image.open(io.BytesIO(buffer.getvalue())))
    for kept in (read, image):
        for strip in ((Strip.EXIF,), tuple(Strip)):
            words = kept(strip=strip).warnings
            assert words == (
                ("EXIF says how to turn it, and is left out; add --upright to turn the pixels",) * (orientation == 6)
            )
            assert kept(strip=strip, upright=True).warnings == ()
        assert kept(strip=(Strip.XMP,)).warnings == ()
