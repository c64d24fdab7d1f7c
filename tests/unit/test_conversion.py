"""Pictures that 8 bits hold only with a loss are refused with a word on what helps, or are converted."""

import io
import struct

import numpy as np
import numpy.typing as npt
import pytest
from conftest import DATA
from picture_files import saved
from PIL import Image, ImageCms, TiffImagePlugin
from sixteen_bits import LAB, SRGB, Samples, cmyk_profile, deep, png, tiff

from hcdcodec.errors import PictureError
from hcdcodec.pictures.metadata import Strip
from hcdcodec.pictures.picture import Mode
from hcdcodec.pictures.reading import read_picture

DEEP = "picture of more than 8 bits a channel cannot be stored as it is; encode --convert rounds it to 8 bits"


def rounded(samples: Samples, most: int = 65535) -> npt.NDArray[np.uint8]:
    return np.round(samples / most * 255).astype(np.uint8)


def profile(space: bytes) -> bytes:
    """An ICC profile of another space, made of an sRGB one, which no program may apply."""
    icc = ImageCms.ImageCmsProfile(SRGB).tobytes()
    return icc[:16] + space + icc[20:]


@pytest.mark.parametrize(
    ("data", "samples"),
    [
        (png(deep(5, 7), 0), deep(5, 7)),
        (png(deep(5, 7, 3), 2), deep(5, 7, 3)),
        (png(deep(5, 7, 2), 4), deep(5, 7, 2)),
        (png(deep(5, 7, 4), 6), deep(5, 7, 4)),
        *(
            (tiff(deep(5, 7, *channels), order, compression=compression), deep(5, 7, *channels))
            for order in "<>"
            for channels in ((), (3,), (4,))
            for compression in (1, 8)
        ),
        (tiff(65535 - deep(5, 7), photometric=0), deep(5, 7)),
        (saved(Image.fromarray(deep(5, 7)), "TIFF"), deep(5, 7)),
        (saved(Image.fromarray(deep(5, 7)), "JPEG2000"), deep(5, 7)),
        (b"P5 7 5 65535\n" + deep(5, 7).astype(">u2").tobytes(), deep(5, 7)),
        (b"P6 7 5 65535\n" + deep(5, 7, 3).astype(">u2").tobytes(), deep(5, 7, 3)),
    ],
)
def test_deep_samples_are_refused_or_rounded(data: bytes, samples: Samples) -> None:
    with pytest.raises(PictureError) as refused:
        read_picture(data)
    assert str(refused.value) == DEEP
    picture = read_picture(data, convert=True)
    assert np.array_equal(np.atleast_3d(picture.levels), np.atleast_3d(rounded(samples)))
    assert picture.warnings == ("rounded to 8 bits a channel",)


def test_a_tiff_of_12_bits_has_4096_levels() -> None:
    samples = deep(1, 34) >> np.uint16(4)
    first, second = samples[:, ::2], samples[:, 1::2]  # two samples stand in three bytes
    parts = (first >> 4, (first & 15) << 4 | second >> 8, second & 255)
    pixels = np.stack(parts, -1).astype(np.uint8).tobytes()
    tags = ((256, 34), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, len(pixels)))
    listed = b"".join(struct.pack("<HHIHxx", tag, 3, 1, value) for tag, value in tags)
    data = struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + listed + bytes(4)
    assert np.array_equal(read_picture(data, convert=True).pixels, rounded(samples, 4095))


def test_the_transparent_colour_of_a_deep_png_has_16_bits() -> None:
    samples = np.array([[7, 8, 7 * 257]], np.uint16)
    picture = read_picture(png(samples, 0, (b"tRNS", b"\0\7")), convert=True)
    assert picture.alpha is not None and picture.alpha.tolist() == [[0, 255, 255]]


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_heic_is_rounded_from_its_own_depth(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    monkeypatch.setattr(heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    samples = deep(16, 16, 3) & np.uint16(0x10000 - (1 << 16 - bits))
    buffer = io.BytesIO()
    # Matrix 0 is RGB, so that nothing but the encoder itself could change a sample; -1 is without loss.
    heif.from_bytes("RGB;16", (16, 16), samples.tobytes()).save(buffer, quality=-1, chroma=444, matrix_coefficients=0)
    with pytest.raises(PictureError, match="--convert"):
        read_picture(buffer.getvalue())
    picture = read_picture(buffer.getvalue(), convert=True)
    assert np.array_equal(picture.pixels, rounded(samples // np.uint16(1 << 16 - bits), 2**bits - 1))


def test_deep_avif_is_read_as_its_decoder_rounds_it() -> None:
    data = (DATA / "deep.avif").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(read_picture(data, convert=True).pixels, np.asarray(image))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((DATA / "deep.jp2").read_bytes(), "JPEG2000 of 16 bits cannot be rounded; save it as a 16-bit PNG or TIFF"),
        (
            saved(Image.fromarray(np.zeros((4, 4), np.int32)), "TIFF"),
            "32-bit picture cannot be stored; convert it to 8",
        ),
        (saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "floating-point picture cannot be stored; "),
        # Samples of 8 bits with a sign: Pillow would read -1 as 255.
        (saved(Image.new("L", (4, 4)), "TIFF", tiffinfo={339: 2}), "signed or 32-bit picture cannot be stored; "),
    ],
)
def test_what_no_option_helps_is_refused_in_any_case(data: bytes, words: str) -> None:
    with pytest.raises(PictureError, match=words):
        read_picture(data, convert=True)


def test_lab_becomes_srgb() -> None:
    colours = Image.new("RGB", (8, 8), (200, 60, 40))
    converted = ImageCms.profileToProfile(colours, SRGB, LAB, outputMode="LAB")
    assert converted is not None
    data = saved(converted, "TIFF")
    with pytest.raises(PictureError, match="Lab picture cannot be stored as it is; encode --convert makes sRGB of it"):
        read_picture(data)
    picture = read_picture(data, convert=True)
    assert picture.mode is Mode.RGB and picture.metadata.icc is None
    assert np.abs(picture.pixels.astype(int) - (200, 60, 40)).max() <= 2  # Lab has 8 bits, too
    assert picture.warnings == ("converted from Lab to sRGB",)
    assert [chunk.type for chunk in picture.metadata.chunks if chunk.type == b"sRGB"] == [b"sRGB"]
    assert read_picture(data, convert=True, strip=tuple(Strip)).metadata.chunks == ()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile_and_not_without_one(kind: str) -> None:
    inks = Image.new("CMYK", (8, 8), (0, 200, 220, 20))
    with pytest.raises(PictureError, match="CMYK picture cannot be stored as it is; encode --convert makes sRGB of it"):
        read_picture(saved(inks, kind))
    with pytest.raises(PictureError, match="CMYK picture has no profile"):
        read_picture(saved(inks, kind), convert=True)
    with pytest.raises(PictureError, match="CMYK picture has no profile"):
        read_picture(saved(inks, kind, icc_profile=profile(b"RGB ")), convert=True)
    with pytest.raises(PictureError, match="profile is broken; "):
        read_picture(saved(inks, kind, icc_profile=profile(b"CMYK")), convert=True)
    data = saved(inks, kind, icc_profile=cmyk_profile())
    picture = read_picture(data, convert=True)
    assert picture.metadata.icc is None and picture.warnings == ("converted from CMYK to sRGB",)
    red, green, blue = picture.pixels.reshape(-1, 3).astype(int).mean(0)
    assert red > 200 and green < 120 and blue < 80  # no cyan and much of the other two is red


def test_a_premultiplied_tiff_of_16_bits_is_refused() -> None:
    data = tiff(deep(5, 7, 4)).replace(struct.pack("<HHIHH", 338, 3, 1, 2, 0), struct.pack("<HHIHH", 338, 3, 1, 1, 0))
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
    with pytest.raises(PictureError, match="cannot be rounded; "):
        read_picture(data, convert=True)
