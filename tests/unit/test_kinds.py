"""Formats that other packages read and write, and formats that lose something: what comes back, and what is said."""

import importlib
import io
import shutil
import struct
import subprocess
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import picture_files
import pytest
from picture_files import ICC, exif, segment
from PIL import ExifTags, Image

from hcdcodec.errors import OutputError, PictureError
from hcdcodec.files.picture_names import Format
from hcdcodec.pictures import jpeg_metadata, plugins, png_chunks
from hcdcodec.pictures.extras import name_heic_parts
from hcdcodec.pictures.losses import losses
from hcdcodec.pictures.metadata import Metadata, Strip
from hcdcodec.pictures.metrics import psnr
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.png_text import profile_chunk, text_chunk
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

ROWS, COLUMNS = np.mgrid[:24, :36]
PIXELS = np.dstack([ROWS * 9, COLUMNS * 6, ROWS + COLUMNS]).astype(np.uint8)
ALPHA = (255 - COLUMNS * 5).astype(np.uint8)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
saved = partial(picture_files.saved, Image.fromarray(PIXELS))
LOSSY = (Format.JPEG, Format.AVIF, Format.HEIC, Format.WEBP, Format.JXL)


def require(fmt: Format) -> None:
    try:
        plugins.require(fmt)
    except PictureError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("fmt", LOSSY)
def test_quality_is_worth_bytes(fmt: Format) -> None:
    require(fmt)
    picture = Picture(np.random.default_rng(0).integers(0, 256, (24, 36, 3)).astype(np.uint8))
    made = [write_picture(picture, fmt, quality=quality) for quality in (20, 95)]
    errors = [psnr(picture.pixels, read_picture(data).pixels) for data in made]
    assert len(made[0]) < len(made[1]) and errors[0] < errors[1]
    assert len(write_picture(picture, fmt)) > len(made[0])


@pytest.mark.parametrize("fmt", LOSSY)
@pytest.mark.parametrize("grey", [False, True])
def test_lossy_formats_hold_the_picture_and_its_metadata(fmt: Format, grey: bool) -> None:
    require(fmt)
    pixels = PIXELS[..., 0] if grey else PIXELS
    picture = Picture(pixels, None, Metadata(None if grey or fmt is Format.JXL else ICC, exif(), XMP))
    again = read_picture(write_picture(picture, fmt, quality=95))
    assert np.abs(np.atleast_3d(again.pixels).astype(int) - np.atleast_3d(pixels)).mean() < 3
    assert (again.metadata.icc, again.metadata.xmp) == (picture.metadata.icc, XMP)
    block = Image.Exif()
    block.load(again.metadata.exif or b"")
    assert block[ExifTags.Base.Make] == "Maker"


@pytest.mark.parametrize("fmt", [Format.AVIF, Format.HEIC, Format.WEBP, Format.JXL])
def test_alpha_goes_along(fmt: Format) -> None:
    require(fmt)
    again = read_picture(write_picture(Picture(PIXELS, ALPHA), fmt, quality=95))
    assert again.alpha is not None and np.abs(again.alpha.astype(int) - ALPHA).mean() < 3


def test_jpeg_refuses_alpha() -> None:
    with pytest.raises(OutputError, match="JPEG cannot hold transparency; choose PNG, WebP or AVIF"):
        write_picture(Picture(PIXELS, ALPHA), Format.JPEG)


def test_jpeg_takes_alpha_that_hides_nothing() -> None:
    data = write_picture(Picture(PIXELS, np.full_like(ALPHA, 255)), Format.JPEG)
    assert data == write_picture(Picture(PIXELS), Format.JPEG)


@pytest.mark.parametrize("fmt", [Format.HEIC, Format.JXL])
def test_formats_whose_viewers_do_not_go_by_exif_are_turned(fmt: Format) -> None:
    require(fmt)
    again = read_picture(write_picture(Picture(PIXELS, None, Metadata(exif=exif(6))), fmt, quality=95))
    assert np.abs(again.pixels.astype(int) - np.rot90(PIXELS, 3)).mean() < 3
    assert again.metadata.exif == exif(1)


def test_avif_keeps_the_orientation() -> None:
    again = read_picture(write_picture(Picture(PIXELS, None, Metadata(exif=exif(6))), Format.AVIF))
    block = Image.Exif()
    block.load(again.metadata.exif or b"")
    assert block[ExifTags.Base.Orientation] == 6 and again.height == 24


# JPEG


def test_a_jpeg_gets_all_comments_iptc_and_density_back() -> None:
    iptc = b"\x1c\x02\x78\0\x0fHarbour at dawn" * 4000  # more than one segment
    density = png_chunks.Chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1))
    comments = (text_chunk(b"Comment", b"first"), text_chunk(b"Comment", "gr\u00fcn".encode()))
    metadata = Metadata(ICC, exif(), XMP, (density, profile_chunk(b"iptc", iptc), *comments))
    data = write_picture(Picture(PIXELS, None, metadata), Format.JPEG)
    again = read_picture(data).metadata
    assert again == metadata and losses(metadata, Format.JPEG) == ()
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["comment"] == b"first" or image.info["comment"] == "gr\u00fcn".encode()


def test_what_does_not_fit_into_a_jpeg_is_named() -> None:
    title, long = text_chunk(b"Title", b"a"), text_chunk(b"Comment", b"x" * 70_000)
    large = bytes(70_000)
    metadata = Metadata(bytes(255 * jpeg_metadata.XMP_MOST + (1 << 20)), b"II*\0" + large, XMP + large, (title, long))
    again = read_picture(write_picture(Picture(PIXELS, None, metadata), Format.JPEG)).metadata
    assert again == Metadata()
    (warning,) = losses(metadata, Format.JPEG)
    assert warning == "JPEG cannot hold its texts and colour profile and EXIF and XMP; decode to PNG to keep them"


@pytest.mark.parametrize("fmt", Format)
@pytest.mark.parametrize(
    "chunk",
    [
        png_chunks.Chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(70_000))),  # short in the PNG, long in a JPEG
        png_chunks.Chunk(b"zTXt", b"Comment\0\0broken"),
        png_chunks.Chunk(b"iTXt", b"Comment\0\5"),
        png_chunks.Chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(b"\niptc\n       2\nzz\n")),
    ],
)
def test_texts_that_a_format_does_not_hold_cost_no_picture(fmt: Format, chunk: png_chunks.Chunk) -> None:
    picture = Picture(PIXELS, None, Metadata(chunks=(chunk,)))
    kept = read_picture(write_picture(picture, fmt)).metadata.chunks
    assert chunk in kept or losses(picture.metadata, fmt) == (
        f"{fmt.upper()} cannot hold its texts; decode to PNG to keep them",
    )


@pytest.mark.parametrize(
    ("fmt", "picture"),
    [
        (Format.JPEG, Picture(np.zeros((1, 65501), np.uint8))),
        (Format.AVIF, Picture(np.zeros((1, 65537), np.uint8))),
        (Format.AVIF, Picture(PIXELS, None, Metadata(exif=b"garbage"))),
    ],
)
def test_what_a_format_cannot_hold_is_refused(fmt: Format, picture: Picture) -> None:
    with pytest.raises(OutputError, match="; choose PNG"):
        write_picture(picture, fmt)


# HEIC


def heic(**options: object) -> bytes:
    require(Format.HEIC)
    return saved("HEIF", quality=95, **options)


def test_heic_is_turned_when_it_is_read_and_says_so() -> None:
    picture = read_picture(heic(exif=b"Exif\0\0" + exif(6)))
    assert np.abs(picture.pixels.astype(int) - np.rot90(PIXELS, 3)).mean() < 3
    assert picture.metadata.exif == exif(1)


def test_several_pictures_in_a_heic_are_refused() -> None:
    with pytest.raises(PictureError, match="several frames"):
        read_picture(heic(save_all=True, append_images=[Image.fromarray(PIXELS[::-1])]))


PNM = {
    "P4": (b"P4 9 2\n", 4), "P5": (b"P5 3 2 255\n", 6), "P5, 16 bits": (b"P5 3 2 65535\n", 12),
    "P6": (b"P6 3 2 100\n", 18), "P6, 16 bits": (b"P6 3 2 1023\n", 36),
}  # fmt: skip


@pytest.mark.parametrize(("head", "size"), PNM.values(), ids=PNM)
@pytest.mark.parametrize("between", [b"", b"\n"])
def test_several_pictures_in_a_pnm_are_refused(head: bytes, size: int, between: bytes) -> None:
    one = head + bytes(size)
    with pytest.raises(PictureError, match="several frames"):
        read_picture(one + between + one, convert=True)
    assert read_picture(one + between, convert=True).height == 2
    # Pixels that look like a head are no head.
    assert read_picture(head + (b"P6 1 1 255 " * 4)[:size], convert=True).height == 2


def test_a_colour_space_without_profile_becomes_a_chunk_unless_it_is_the_usual_one() -> None:
    heif = pytest.importorskip("pillow_heif")
    usual = read_picture(heic())
    assert usual.metadata.chunks == ()
    wide = heif.from_pillow(Image.fromarray(PIXELS))
    buffer = io.BytesIO()
    wide.save(buffer, quality=95, color_primaries=12, transfer_characteristics=13, matrix_coefficients=6,
              full_range_flag=1)  # fmt: skip
    picture = read_picture(buffer.getvalue())
    assert picture.metadata.chunks == (png_chunks.Chunk(b"cICP", bytes((12, 13, 0, 1))),)


def test_pictures_beside_the_main_one_of_a_heic_are_named() -> None:
    assert name_heic_parts({"aux": {}, "depth_images": []}) == []
    found = name_heic_parts({"aux": {"urn:com:apple:photo:2020:aux:hdrgainmap": [3]}, "depth_images": [object()]})
    assert found == [
        "the depth map behind the picture cannot be carried; keep the source for it",
        "the second picture, such as a gain map, behind the picture cannot be carried; keep the source for it",
    ]


def test_truncated_heic_is_refused() -> None:
    data = heic()
    for length in range(64, len(data) - 40, 97):
        with pytest.raises(PictureError, match=r"truncated|damaged"):
            read_picture(data[:length])


def test_hostile_bytes_raise_nothing_else() -> None:
    random = np.random.default_rng(1)
    for data in [heic(exif=b"Exif\0\0" + exif(6), xmp=XMP), jxl(exif=bytes(4) + exif(6), xmp=XMP)] * 40:
        changed = bytearray(data)
        for position in random.integers(0, len(data), 3):
            changed[position] ^= random.integers(1, 256)
        try:
            read_picture(bytes(changed), max_pixels=1 << 20, convert=True)
        except PictureError as error:
            assert "; " in str(error)  # what is wrong; what to do


# JPEG XL


def jxl(image: Image.Image | None = None, **options: object) -> bytes:
    require(Format.JXL)
    options = {"lossless": True, "num_threads": 0, **options}
    return picture_files.saved(image or Image.fromarray(PIXELS), "JXL", **options)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_lossless_jxl_is_read_exactly(mode: str) -> None:
    image = Image.fromarray(np.dstack([PIXELS, ALPHA])).convert(mode)
    picture = read_picture(jxl(image))
    assert np.array_equal(picture.levels, np.asarray(image))
    assert picture.metadata.icc is None and picture.warnings == ()
    assert [chunk.type for chunk in picture.metadata.chunks] == [b"sRGB"]


@pytest.mark.parametrize("compressed", [False, True])
def test_boxes_of_a_jxl_are_read_even_compressed_ones(compressed: bool) -> None:
    pytest.importorskip("brotli")
    data = jxl(exif=b"\0\0\0\0" + exif(6), xmp=XMP, jumb=b"credentials", compress_metadata=compressed)
    picture = read_picture(data)
    assert picture.metadata.exif == exif(1)  # a JPEG XL is turned by its codestream and not by EXIF
    assert picture.metadata.xmp == XMP and picture.height == 24
    assert picture.warnings == ("JPEG XL box jumb cannot be carried; keep the source for it",)
    assert read_picture(data, strip=tuple(Strip)).metadata == Metadata()


def test_a_compressed_box_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    brotli = pytest.importorskip("brotli")
    bomb = b"Exif" + brotli.compress(bytes(1 << 22))
    data = jxl(exif=exif())
    box = struct.pack(">I4s", 8 + len(bomb), b"brob") + bomb
    from hcdcodec.pictures import jxl as reader

    monkeypatch.setattr(reader, "PAYLOAD_MAX", 1 << 20)
    with pytest.raises(PictureError, match="holds more than"):
        read_picture(data.replace(data[32:], box + data[32:], 1))


def test_a_jpeg_inside_a_jxl_is_read_as_that_jpeg() -> None:
    require(Format.JXL)
    metadata = Metadata(ICC, exif(6), XMP, (text_chunk(b"Comment", b"hi"),))
    source = write_picture(Picture(PIXELS, None, metadata), Format.JPEG)
    how = {"mode": "RGB", "lossless": True, "quality": 100, "effort": 3, "use_container": True, "num_threads": 0}
    encoder = importlib.import_module("pillow_jxl").Encoder(**how, decoding_speed=0, use_original_profile=True)
    picture = read_picture(encoder(source, 36, 24, jpeg_encode=True))
    expected = read_picture(source)
    assert np.array_equal(picture.pixels, expected.pixels) and picture.metadata == expected.metadata


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: jxl(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)), "16-bit JPEG XL cannot be rounded; "),
        (lambda: jxl(Image.fromarray(PIXELS[..., 0].astype(np.float32))), "floating-point JPEG XL cannot be rounded; "),
        (lambda: jxl()[:-60], "truncated"),
        (lambda: b"\xff\x0a words", "not a picture|JPEG XL|truncated"),
    ],
)
def test_jxl_that_8_bits_cannot_hold_is_refused(made: object, words: str) -> None:
    with pytest.raises(PictureError, match=words):
        read_picture(made(), convert=True)  # type: ignore[operator]


def test_the_size_of_a_jxl_is_checked_before_it_is_decoded() -> None:
    for data in (jxl(), jxl(exif=exif())):
        with pytest.raises(PictureError, match="24 x 36 pixels, the limit is 863"):
            read_picture(data, max_pixels=24 * 36 - 1)


@pytest.mark.tools
def test_a_jxl_of_libjxl_itself_is_read(tmp_path: Path) -> None:
    """Its encoder puts the orientation of EXIF into the codestream, and the decoder turns the picture by that."""
    if shutil.which("cjxl") is None:
        pytest.skip("cjxl is not installed")
    require(Format.JXL)
    source = write_picture(Picture(PIXELS, None, Metadata(None, exif(6), XMP)), Format.PNG)
    (tmp_path / "a.png").write_bytes(source)
    subprocess.run(["cjxl", "-d", "0", tmp_path / "a.png", tmp_path / "a.jxl"], check=True, capture_output=True)
    picture = read_picture((tmp_path / "a.jxl").read_bytes())
    assert np.array_equal(picture.pixels, np.rot90(PIXELS, 3))


@pytest.mark.parametrize(("fmt", "package"), [(Format.HEIC, "pillow_heif"), (Format.JXL, "pillow_jxl")])
def test_a_missing_package_is_named(fmt: Format, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    require(fmt)
    data = write_picture(Picture(PIXELS), fmt)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    for work in (lambda: read_picture(data), lambda: write_picture(Picture(PIXELS), fmt)):
        with pytest.raises(PictureError, match=rf"needs the package .*; pip install 'hcdcodec\[{fmt}\]'"):
            work()


# What is lost without being metadata that anybody carries


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (png_chunks.insert(saved("PNG"), [png_chunks.Chunk(b"caBX", b"x")]), ["content credentials (C2PA)"]),
        (png_chunks.insert(saved("PNG"), [png_chunks.Chunk(b"vpAg", b"x"), png_chunks.Chunk(b"oFFs", b"x")]),
         ["PNG chunk oFFs", "PNG chunk vpAg"]),
        (png_chunks.insert(saved("PNG"), [png_chunks.Chunk(b"tIME", bytes(7)), png_chunks.Chunk(b"sBIT", b"888")]), []),
        (saved("JPEG")[:2] + segment(0xEB, b"JP\0\1") + saved("JPEG")[2:], ["content credentials (C2PA)"]),
        (saved("WEBP") + b"C2PA\4\0\0\0data", ["content credentials (C2PA)"]),
        (saved("WEBP") + 2 * b"abc \1\0\0\0x\0", ["WebP chunk abc"]),
        (saved("JPEG2000") + 2 * b"\0\0\0\x0cxml <x/>" + b"\0\0\0\x18uuid" + bytes(16), ["box xml", "box uuid"]),
        (saved("AVIF") + b"\0\0\0\x0cmpvdfilm", ["box mpvd"]),
        (saved("JPEG2000") + b"\0\0\0\x1cuuid" + bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x/>", ["XMP"]),
        (saved("JPEG2000") + b"\0\0\0\x1cuuidJpgTiffExif->JP2II*\0", ["EXIF"]),
        (saved("AVIF") + b"\0\0\0\x18uuid" + bytes.fromhex("d8fec3d61b0e483c92975828877ec481"),
         ["content credentials (C2PA)"]),
    ],
)  # fmt: skip
def test_parts_that_nobody_carries_are_named(data: bytes, names: list[str]) -> None:
    assert read_picture(data).warnings == tuple(
        f"its {name} cannot be carried; keep the source for it" for name in names
    )
