"""Pictures come in as they are, go out as they came, and are refused where that is impossible."""

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from conftest import DATA
from PIL import ExifTags, Image, ImageCms

from hcdcodec.errors import OutputError, PictureError, UsageError
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.formats import SNIFF_BYTES, sniff
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Mode, Picture, single_channel
from hcdcodec.pictures.reading import png_pixels, read_lr_digest, read_picture
from hcdcodec.pictures.writing import Format, write_picture

XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/">ä</x:xmpmeta>'.encode()
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb() -> Image.Image:
    return Image.fromarray(noise(9, 13, 3))


def grey() -> Image.Image:
    return Image.fromarray(noise(9, 13))


def exif(orientation: int = 6) -> bytes:
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    block[ExifTags.Base.Make] = "Maker"
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:01 00:00:00"
    return block.tobytes().removeprefix(b"Exif\0\0")


def raw_png(depth: int, colour: int, rows: bytes, width: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Build a PNG of one row from packed samples."""
    ihdr = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", ihdr), *chunks, (b"IDAT", zlib.compress(b"\0" + rows)), (b"IEND", b"")]
    return png_chunks.build(png_chunks.Chunk(*part) for part in parts)


# What is read


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "QOI", "JPEG2000"])
def test_lossless_rgb_is_read_exactly(kind: str) -> None:
    picture = read_picture(saved(rgb(), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert np.array_equal(picture.pixels, noise(9, 13, 3))
    assert (picture.mode, picture.alpha, picture.height, picture.width) == (Mode.RGB, None, 9, 13)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "JPEG2000"])
def test_lossless_grey_is_read_exactly(kind: str) -> None:
    picture = read_picture(saved(grey(), kind))
    assert np.array_equal(picture.pixels, noise(9, 13))
    assert picture.mode is Mode.GREY


@pytest.mark.parametrize("kind", ["JPEG", "AVIF", "WEBP"])
def test_lossy_kinds_are_read_as_pillow_reads_them(kind: str) -> None:
    data = saved(rgb(), kind)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(read_picture(data).pixels, np.asarray(image))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_one_bit_becomes_grey(kind: str) -> None:
    bits = noise(9, 13) > 127
    assert np.array_equal(read_picture(saved(Image.fromarray(bits), kind)).pixels, np.where(bits, 255, 0))


@pytest.mark.parametrize(
    ("kind", "channels"), [("PNG", 2), ("PNG", 4), ("TIFF", 2), ("TIFF", 4), ("WEBP", 4), ("QOI", 4)]
)
def test_alpha_is_taken_apart(kind: str, channels: int) -> None:
    samples = noise(9, 13, channels)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    picture = read_picture(saved(Image.fromarray(samples), kind, **options))
    assert np.array_equal(picture.pixels, samples[..., 0] if channels == 2 else samples[..., :3])
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, samples[..., -1])


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palettes_are_looked_up(kind: str) -> None:
    indexed = rgb().quantize(7)
    assert np.array_equal(read_picture(saved(indexed, kind)).pixels, np.asarray(indexed.convert("RGB")))


def test_gif_transparency_becomes_alpha() -> None:
    indexed = rgb().quantize(7)
    picture = read_picture(saved(indexed, "GIF", transparency=2))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, np.asarray(indexed) == 2)


def test_palette_of_greys_becomes_grey_unless_the_profile_says_rgb() -> None:
    indexed = grey().convert("RGB").quantize(256)
    assert indexed.mode == "P"
    plain = read_picture(saved(indexed, "PNG"))
    assert plain.mode is Mode.GREY
    profiled = read_picture(saved(indexed, "PNG", icc_profile=ICC))
    assert profiled.mode is Mode.RGB
    assert np.array_equal(profiled.pixels[..., 1], plain.pixels)


@pytest.mark.parametrize(
    ("data", "pixels", "alpha"),
    [
        (raw_png(1, 0, b"\x40", 2, (b"tRNS", b"\0\1")), [0, 255], [255, 0]),
        (raw_png(2, 0, b"\x1b", 4, (b"tRNS", b"\0\2")), [0, 85, 170, 255], [255, 255, 0, 255]),
        (raw_png(4, 0, b"\x0f", 2, (b"tRNS", b"\0\x0f")), [0, 255], [255, 0]),
        (raw_png(8, 0, b"\x07\x08", 2, (b"tRNS", b"\0\7")), [7, 8], [0, 255]),
        (raw_png(8, 2, b"abcabd", 2, (b"tRNS", b"\0a\0b\0c")), [[97, 98, 99], [97, 98, 100]], [0, 255]),
        (
            raw_png(2, 3, b"\x18", 3, (b"PLTE", bytes(range(9))), (b"tRNS", b"\x50\x60")),
            [[0, 1, 2], [3, 4, 5], [6, 7, 8]],
            [0x50, 0x60, 255],
        ),
    ],
)
def test_png_transparency_of_every_kind(data: bytes, pixels: list[object], alpha: list[int]) -> None:
    picture = read_picture(data)
    assert picture.alpha is not None
    assert picture.pixels.tolist() == [pixels]
    assert picture.alpha.tolist() == [alpha]


@pytest.mark.parametrize("transparency", [b"", b"\0", b"\0\1\0"])
def test_png_transparency_of_a_wrong_size_is_refused(transparency: bytes) -> None:
    with pytest.raises(PictureError, match="tRNS"):
        read_picture(raw_png(8, 0, b"\x07", 1, (b"tRNS", transparency)))


def test_interlaced_png() -> None:
    ihdr = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 1)
    parts = [(b"IHDR", ihdr), (b"IDAT", zlib.compress(b"\0\x2a")), (b"IEND", b"")]
    assert read_picture(png_chunks.build(png_chunks.Chunk(*part) for part in parts)).pixels.tolist() == [[42]]


def test_first_frame_of_a_multi_picture_jpeg_is_the_picture() -> None:
    data = saved(rgb(), "MPO", save_all=True, append_images=[rgb().rotate(180)])
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
        assert np.array_equal(read_picture(data).pixels, np.asarray(image))


def test_arrays_may_be_written_to() -> None:
    for data in (saved(rgb(), "PNG"), saved(rgb(), "BMP"), saved(Image.fromarray(noise(3, 3, 4)), "PNG")):
        picture = read_picture(data)
        assert picture.pixels.flags.writeable
        assert picture.pixels.flags.c_contiguous


def test_real_photographs() -> None:
    for path in sorted((DATA / "photos").glob("*.[pj][np]g")):
        with Image.open(path) as image:
            assert np.array_equal(read_picture(path.read_bytes()).pixels, np.asarray(image))


# What is refused


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.jp2", "deep.avif"])
def test_more_than_8_bits_are_refused_although_pillow_would_cut_them(name: str) -> None:
    data = (DATA / name).read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
    with pytest.raises(PictureError, match=r"8.bit"):
        read_picture(data)


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.fromarray(noise(4, 4).astype(np.uint16) * 257), "PNG"),
        saved(Image.fromarray(noise(4, 4).astype(np.uint16) * 257), "TIFF"),
        saved(Image.fromarray(noise(4, 4).astype(np.int32)), "TIFF"),
        saved(Image.fromarray(noise(4, 4).astype(np.float32)), "TIFF"),
        saved(rgb().convert("CMYK"), "JPEG"),
        saved(rgb().convert("CMYK"), "TIFF"),
        saved(Image.merge("LAB", rgb().split()), "TIFF"),
        saved(rgb().convert("RGBX"), "TIFF"),
        b"P6\n# comment 1 2 3\n1 1\n65535\n" + bytes(6),
        b"P5 1 1 65535\n" + bytes(2),
        b"P3 1 1 1023\n1 2 3\n",
    ],
)
def test_samples_that_8_bits_cannot_hold_are_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="without loss; convert it to 8"):
        read_picture(data)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_several_frames_are_refused(kind: str) -> None:
    with pytest.raises(PictureError, match=r"single picture"):
        read_picture(saved(rgb(), kind, save_all=True, append_images=[rgb().rotate(180)]))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "QOI", "JPEG2000", "JPEG", "GIF", "AVIF"])
def test_truncated_files_are_refused(kind: str) -> None:
    data = saved(rgb(), kind)
    for length in range(SNIFF_BYTES, len(data) - 40, 25):
        with pytest.raises(PictureError, match=r"truncated|damaged"):
            read_picture(data[:length])


def test_png_without_its_end_or_with_a_wrong_checksum_is_refused() -> None:
    data = saved(rgb(), "PNG")
    with pytest.raises(PictureError, match="truncated"):
        read_picture(data[:-1])
    with pytest.raises(PictureError, match="IDAT fails its checksum"):
        read_picture(data[:-13] + bytes((data[-13] ^ 1,)) + data[-12:])


@pytest.mark.parametrize("data", [b"", b"P", b"plain text", b"%PDF-1.7\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", bytes(100)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="not a picture"):
        read_picture(data)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_only_our_own_limit_on_pixels_counts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(rgb(), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_picture(data, max_pixels=9 * 13).pixel_count == 9 * 13
    assert Image.MAX_IMAGE_PIXELS == 10
    with pytest.raises(PictureError, match="9 x 13 pixels, the limit is 116"):
        read_picture(data, max_pixels=9 * 13 - 1)


def test_size_is_checked_before_pixels_are_looked_at() -> None:
    ihdr = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = png_chunks.build(
        (png_chunks.Chunk(b"IHDR", ihdr), png_chunks.Chunk(b"IDAT", b""), png_chunks.Chunk(b"IEND", b""))
    )
    with pytest.raises(PictureError, match="limit"):
        read_picture(data)


@pytest.mark.parametrize("mark", [png_chunks.Chunk(b"hcDC", b"HCDC"), png_chunks.Chunk(b"tEXt", b"hcdcodec\0SENE")])
def test_an_encoded_picture_is_no_source(mark: png_chunks.Chunk) -> None:
    with pytest.raises(PictureError, match="already encoded"):
        read_picture(png_chunks.insert(saved(rgb(), "PNG"), [mark]))


def test_hostile_bytes_raise_nothing_else() -> None:
    random = np.random.default_rng(1)
    kinds = ("PNG", "BMP", "PPM", "WEBP", "QOI", "JPEG2000", "JPEG", "GIF", "AVIF")
    for data in [saved(rgb(), kind) for kind in kinds] * 20:
        changed = bytearray(data)
        for position in random.integers(0, len(data), 3):
            changed[position] ^= random.integers(1, 256)
        try:
            read_picture(bytes(changed), max_pixels=1 << 20)
        except PictureError as error:
            assert "; " in str(error)  # what is wrong; what to do


# Sniffing


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "QOI", "JPEG2000", "JPEG", "GIF", "AVIF", "MPO"])
def test_sniff_knows_every_kind_that_is_read(kind: str) -> None:
    assert sniff(saved(rgb(), kind)[:SNIFF_BYTES])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x89PNG",
        b"BM is how this text begins, and it goes on for a while",
        b"P5 is a paragraph",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x18ftypmp42\0\0\0\0isommp42",
        b"PK\3\4",
        b"GIF",
    ],
)
def test_sniff_takes_nothing_else(head: bytes) -> None:
    assert not sniff(head)


# Writing


@pytest.mark.parametrize("fmt", Format)
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 3), (1, 1), (1, 1, 3)])
def test_pictures_survive_every_format(fmt: Format, alpha: bool, shape: tuple[int, ...]) -> None:
    picture = Picture(noise(*shape), noise(*shape[:2]) if alpha else None)
    again = read_picture(write_picture(picture, fmt))
    assert (np.atleast_3d(again.pixels) == np.atleast_3d(picture.pixels)).all()
    assert (again.alpha is not None) is alpha
    assert again.alpha is None or np.array_equal(again.alpha, noise(*shape[:2]))
    if fmt is not Format.WEBP:  # which knows no grey
        assert again.mode is picture.mode


def test_formats_are_suffixes() -> None:
    assert [f".{fmt}" for fmt in Format] == [".png", ".webp", ".tiff"]


def test_png_metadata_comes_back_byte_for_byte() -> None:
    chunks = (
        png_chunks.Chunk(b"gAMA", bytes(4)),
        png_chunks.Chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
        png_chunks.Chunk(b"tEXt", b"Title\0caf\xe9"),
        png_chunks.Chunk(b"iTXt", b"Comment\0\0\0de\0\0" + "grün".encode()),
    )
    metadata = Metadata(ICC, exif(), XMP, chunks)
    data = write_picture(Picture(noise(4, 4, 3), None, metadata), Format.PNG)
    assert read_picture(data).metadata == metadata
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == ICC
        assert image.getexif()[ExifTags.Base.Make] == "Maker"
        assert image.info["xmp"] == XMP
        assert image.info["Title"] == "café"
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_webp_carries_icc_exif_and_xmp_byte_for_byte() -> None:
    metadata = Metadata(ICC, exif(), XMP)
    data = write_picture(Picture(noise(4, 4, 3), None, metadata), Format.WEBP)
    assert read_picture(data).metadata == metadata


@pytest.mark.parametrize("block", [None, exif(orientation=1)])
def test_tiff_carries_icc_xmp_density_and_the_tags_of_exif(block: bytes | None) -> None:
    density = png_chunks.Chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1))
    data = write_picture(Picture(noise(4, 4, 3), None, Metadata(ICC, block, XMP, (density,))), Format.TIFF)
    again = read_picture(data)
    assert np.array_equal(again.pixels, noise(4, 4, 3))
    assert (again.metadata.icc, again.metadata.xmp, again.metadata.chunks) == (ICC, XMP, (density,))
    with Image.open(io.BytesIO(data)) as image:
        tags = image.getexif()
        assert tags.get(ExifTags.Base.Make) == ("Maker" if block else None)
        expected = {ExifTags.Base.DateTimeOriginal: "2020:01:01 00:00:00"} if block else {}
        assert tags.get_ifd(ExifTags.IFD.Exif) == expected
    assert (again.metadata.exif is not None) is (block is not None)


def test_tiff_keeps_the_orientation_tag() -> None:
    data = write_picture(Picture(noise(4, 6, 3), None, Metadata(exif=exif(orientation=6))), Format.TIFF)
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[ExifTags.Base.Orientation] == 6


@pytest.mark.parametrize(
    ("fmt", "picture"),
    [
        (Format.WEBP, Picture(np.zeros((1, 16384), np.uint8))),
        (Format.TIFF, Picture(np.zeros((1, 1), np.uint8), None, Metadata(exif=b"garbage"))),
    ],
)
def test_what_a_format_cannot_hold_is_refused(fmt: Format, picture: Picture) -> None:
    with pytest.raises(OutputError, match="choose PNG"):
        write_picture(picture, fmt)


# Metadata of sources


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_metadata_of_other_kinds_and_orientation_left_alone(kind: str) -> None:
    data = saved(rgb(), kind, exif=b"Exif\0\0" + exif(), icc_profile=ICC, xmp=XMP)
    picture = read_picture(data)
    assert (picture.metadata.icc, picture.metadata.xmp) == (ICC, XMP)
    assert picture.metadata.exif == exif()
    assert (picture.height, picture.width) == (9, 13)  # orientation 6 would turn it


def test_density_of_a_jpeg_becomes_the_png_chunk() -> None:
    assert read_picture(saved(rgb(), "JPEG", dpi=(300, 150))).metadata.dpi == pytest.approx((300, 150), abs=0.02)
    assert read_picture(saved(rgb(), "TIFF")).metadata.chunks == ()


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunks.Chunk(b"iCCP", b"icc\0\0no zlib"),
        png_chunks.Chunk(b"iCCP", b"icc\0\1" + zlib.compress(b"profile")),
        png_chunks.Chunk(b"iTXt", b"XML:com.adobe.xmp\0\2\0\0\0text"),
        png_chunks.Chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0text"),
        png_chunks.Chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0"),
        png_chunks.Chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes((1 << 26) + 1), 9)),
    ],
)
def test_broken_or_exploding_metadata_is_refused(chunk: png_chunks.Chunk) -> None:
    with pytest.raises(PictureError, match=r"metadata|remove it"):
        read_picture(png_chunks.insert(saved(rgb(), "PNG"), [chunk]))


def test_xmp_is_smaller_in_compact_form_and_the_same() -> None:
    metadata = Metadata(xmp=XMP + b" " * 2000)
    plain, compact = (metadata.to_chunks(compact=compact) for compact in (False, True))
    assert len(compact[0].payload) < 200 < 2000 < len(plain[0].payload)
    assert Metadata.from_chunks(plain) == Metadata.from_chunks(compact) == metadata


# The mark of decoded pictures


def test_lr_digest_comes_back_from_the_beginning_of_the_file() -> None:
    picture = Picture(noise(40, 40, 3), None, Metadata(icc=ICC))
    data = write_picture(picture, Format.PNG, lr_digest=bytes(range(16)))
    assert read_lr_digest(data) == read_lr_digest(data[:100]) == bytes(range(16))
    assert np.array_equal(read_picture(data).pixels, picture.pixels)


@pytest.mark.parametrize("data", [b"", b"no PNG", saved(rgb(), "PNG"), saved(rgb(), "PNG")[:50], saved(rgb(), "WEBP")])
def test_no_lr_digest(data: bytes) -> None:
    assert read_lr_digest(data) is None


# Pixels


def test_single_channel() -> None:
    levels = noise(4, 5)
    three = np.stack([levels] * 3, axis=-1)
    assert single_channel(levels) is levels
    found = single_channel(three)
    assert found is not None
    assert np.array_equal(found, levels)
    three[3, 4, 2] ^= 1
    assert single_channel(three) is None


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((4, 4), np.float32), None),
        (np.zeros((4, 4, 4), np.uint8), None),
        (np.zeros(4, np.uint8), None),
        (np.zeros((0, 4), np.uint8), None),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), bool)),
    ],
)
def test_arrays_that_are_no_picture_are_refused(pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(UsageError):
        Picture(pixels, alpha)


def test_png_pixels_reports_what_the_file_stores() -> None:
    pixels, alpha = png_pixels(tuple(png_chunks.walk(saved(Image.fromarray(noise(3, 4, 2)), "PNG"))))
    assert np.array_equal(pixels, noise(3, 4, 2)[..., 0])
    assert alpha is not None
    assert np.array_equal(alpha, noise(3, 4, 2)[..., 1])
