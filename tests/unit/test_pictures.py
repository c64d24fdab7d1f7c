"""Pictures come in as they are, go out as they came, and are refused where that is impossible."""

import contextlib
import io
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from conftest import DATA
from picture_files import ICC, exif_tags, noise, saved, segment
from PIL import ExifTags, Image, TiffImagePlugin

from hcdcodec.errors import DamagedError, OutputError, PictureError, UsageError
from hcdcodec.files.picture_names import Format, format_of
from hcdcodec.format.lr_digest import lr_digest_chunk, read_lr_digest
from hcdcodec.pictures import png_chunks, png_text
from hcdcodec.pictures.formats import SNIFF_BYTES, sniff
from hcdcodec.pictures.metadata import Metadata, Strip, colour_chunks
from hcdcodec.pictures.picture import Mode, Picture, drop_neutral_colours, single_channel
from hcdcodec.pictures.reading import png_pixels, read_picture
from hcdcodec.pictures.writing import write_picture

XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/">ä</x:xmpmeta>'.encode()
LOSSLESS = (Format.PNG, Format.WEBP, Format.TIFF, Format.JXL)


def rgb() -> Image.Image:
    return Image.fromarray(noise(9, 13, 3))


def grey() -> Image.Image:
    return Image.fromarray(noise(9, 13))


def exif(orientation: int = 6) -> bytes:
    block = exif_tags(orientation)
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
        saved(Image.fromarray(noise(4, 4).astype(np.int32)), "TIFF"),
        saved(Image.fromarray(noise(4, 4).astype(np.float32)), "TIFF"),
        saved(rgb().convert("RGBX"), "TIFF"),
    ],
)
def test_samples_that_8_bits_cannot_hold_are_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="; convert it to 8"):
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
        b"\0\0\0\x18ftypmp42\0\0\0\0isommp42",
        b"PK\3\4",
        b"GIF",
    ],
)
def test_sniff_takes_nothing_else(head: bytes) -> None:
    assert not sniff(head)


# Writing


@pytest.mark.parametrize("fmt", LOSSLESS)
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
    assert [format_of(f"a{fmt.suffix}") for fmt in Format] == list(Format)
    assert [format_of(name) for name in ("a.JPEG", "b.tif", ".heif", "c.gif", "png")] == [
        Format.JPEG, Format.TIFF, Format.HEIC, None, None,
    ]  # fmt: skip


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


def test_of_several_chunks_of_a_kind_the_first_one_counts() -> None:
    first, second = Metadata(ICC, exif(), XMP), Metadata(b"other", b"MM\0*other", b"<other/>")
    assert Metadata.from_chunks([*first.to_chunks(compact=True), *second.to_chunks(compact=False)]) == first


def test_exif_of_a_png_may_have_the_prefix_of_jpeg() -> None:
    for block, expected in ((b"Exif\0\0" + exif(), exif()), (b"Exif\0\0", None)):
        data = png_chunks.insert(saved(rgb(), "PNG"), [png_chunks.Chunk(b"eXIf", block)])
        assert read_picture(data).metadata.exif == expected


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


def test_tiff_carries_titles_keywords_and_ratings_both_ways() -> None:
    block, title = Image.Exif(), "Café\0".encode("utf-16-le")
    block.update({ExifTags.Base.XPTitle: title, ExifTags.Base.XPKeywords: title})
    block.update({ExifTags.Base.Rating: 4, ExifTags.Base.DocumentName: "scan 7"})
    data = write_picture(Picture(noise(4, 4, 3), None, Metadata(exif=block.tobytes()[6:])), Format.TIFF)
    for exif_of in (data, write_picture(read_picture(data), Format.PNG)):
        with Image.open(io.BytesIO(exif_of)) as image:
            found = image.getexif()
        assert {tag: found.get(tag) for tag in block} == dict(block)


def test_tiff_keeps_the_orientation_tag() -> None:
    data = write_picture(Picture(noise(4, 6, 3), None, Metadata(exif=exif(orientation=6))), Format.TIFF)
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[ExifTags.Base.Orientation] == 6


def test_an_impossible_orientation_goes_into_a_tiff_as_it_is() -> None:
    data = write_picture(
        Picture(noise(4, 6, 3), None, Metadata(exif=only(ExifTags.Base.Orientation, 262))), Format.TIFF
    )
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[ExifTags.Base.Orientation] == 262


def test_exif_of_wrong_types_is_an_error_at_most() -> None:
    for tag, value in ((ExifTags.Base.Make, 7), (ExifTags.Base.Software, b"\xff\0\xfe")):
        picture = Picture(noise(4, 6, 3), None, Metadata(exif=only(tag, value)))
        with contextlib.suppress(OutputError):
            assert np.array_equal(read_picture(write_picture(picture, Format.TIFF)).pixels, picture.pixels)


def only(tag: int, value: object) -> bytes:
    block = Image.Exif()
    block[tag] = value
    return block.tobytes().removeprefix(b"Exif\0\0")


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


@pytest.mark.parametrize(("unit", "expected"), [(0, None), (1, 300), (2, 762)])
def test_the_unit_of_a_jfif_density_counts(unit: int, expected: float | None) -> None:
    data = saved(rgb(), "JPEG", dpi=(300, 300))
    place = data.index(b"JFIF\0") + 7
    dpi = read_picture(data[:place] + bytes([unit]) + data[place + 1 :]).metadata.dpi
    assert dpi == (None if expected is None else pytest.approx((expected, expected), abs=0.02))


def test_a_density_of_1_says_nothing() -> None:
    for dpi in ((1, 1), (300, 1)):
        assert read_picture(saved(rgb(), "JPEG", dpi=dpi)).metadata.chunks == ()


def test_a_density_without_a_unit_is_none() -> None:
    assert Metadata(chunks=(png_chunks.Chunk(b"pHYs", struct.pack(">IIB", 4, 3, 0)),)).dpi is None


@pytest.mark.parametrize(
    ("primaries", "transfer", "payload"),
    [(1, 13, None), (1, 6, None), (2, 2, None), (9, 16, b"\x09\x10\0\1"), (9, 13, b"\x09\x0d\0\1"), (256, 1, None)],
)
def test_unusual_colour_spaces_are_named(primaries: int, transfer: int, payload: bytes | None) -> None:
    expected = () if payload is None else (png_chunks.Chunk(b"cICP", payload),)
    assert colour_chunks(primaries, transfer) == expected


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
def test_broken_or_exploding_metadata_is_left_out_with_a_word(chunk: png_chunks.Chunk) -> None:
    data = png_chunks.insert(saved(rgb(), "PNG"), [chunk])
    picture = read_picture(data)
    assert np.array_equal(picture.pixels, noise(9, 13, 3))
    (warning,) = picture.warnings
    assert warning.endswith("; it was left out") and "\n" not in warning
    assert ("67108864 bytes" in warning) is (len(chunk.payload) > 1000)
    kind = Strip.ICC if chunk.type == b"iCCP" else Strip.XMP
    assert read_picture(data, strip=(kind,)).warnings == ()
    with pytest.raises(DamagedError):
        Metadata.from_chunks([chunk])  # files of ours are never guessed at


@pytest.mark.parametrize("kind", [b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"pHYs", b"gAMA", b"tIME", b"bKGD"])
def test_a_chunk_that_fails_its_checksum_is_left_out_with_a_word(kind: bytes) -> None:
    data = png_chunks.insert(saved(rgb(), "PNG"), [png_chunks.Chunk(kind, b"Title\0\0" + zlib.compress(b"x"))])
    place = data.index(kind) + 5
    data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    picture = read_picture(data)
    assert np.array_equal(picture.pixels, noise(9, 13, 3))
    assert picture.metadata == Metadata()
    assert picture.warnings == (f"PNG chunk {kind.decode()} fails its checksum; it was left out",)
    assert read_picture(data, strip=tuple(Strip)).warnings == () or kind in (b"tIME", b"bKGD")


@pytest.mark.parametrize("kind", [b"tRNS", b"acTL"])
def test_chunks_on_which_pixels_depend_are_never_left_out(kind: bytes) -> None:
    data = png_chunks.insert(saved(rgb(), "PNG"), [png_chunks.Chunk(kind, bytes(8))])
    place = data.index(kind) + 5
    with pytest.raises(PictureError, match="fails its checksum"):
        read_picture(data[:place] + b"\1" + data[place + 1 :])


# What Pillow does not hand over


def jpeg(*segments: bytes, tail: bytes = b"", **options: object) -> bytes:
    data = saved(rgb(), "JPEG", **options)
    return data[:2] + b"".join(segments) + data[2:] + tail


def irb(kind: int, data: bytes, name: bytes = b"") -> bytes:
    named = bytes([len(name)]) + name
    return b"8BIM" + struct.pack(">H", kind) + named + bytes(len(named) % 2) + struct.pack(">I", len(data)) + data


IPTC = b"\x1c\x02\x78\0\x0fHarbour at dawn" + b"\x1c\x02\x50\0\x0cA. Nonymous" + b"."
PHOTOSHOP = b"Photoshop 3.0\0"


def test_iptc_and_comments_of_a_jpeg_become_texts() -> None:
    resources = irb(0x03ED, bytes(16)) + irb(0x0404, IPTC, b"odd name") + bytes(len(IPTC) % 2) + irb(0x0425, bytes(16))
    comments = (b"scanned by hand\0", "gr\u00fcn".encode(), "gr\u00fcn".encode("latin-1"))
    data = jpeg(
        segment(0xED, PHOTOSHOP + resources[:50]),
        segment(0xED, PHOTOSHOP + resources[50:]),
        *(segment(0xFE, comment) for comment in comments),
    )
    picture = read_picture(data)
    assert picture.warnings == ()
    assert picture.metadata.iptc == IPTC
    assert picture.metadata.chunks[1:] == (
        png_chunks.Chunk(b"tEXt", b"Comment\0scanned by hand"),
        png_chunks.Chunk(b"iTXt", b"Comment\0\0\0\0\0" + "gr\u00fcn".encode()),
        png_chunks.Chunk(b"tEXt", b"Comment\0" + "gr\u00fcn".encode("latin-1")),
    )
    back = write_picture(picture, Format.PNG)
    assert read_picture(back).metadata == picture.metadata
    with Image.open(io.BytesIO(back)) as image:  # in ImageMagick's form
        assert image.info["Raw profile type iptc"].split()[:2] == ["iptc", str(len(IPTC))]
    assert read_picture(write_picture(picture, Format.TIFF)).metadata.iptc == IPTC
    assert read_picture(data, strip=(Strip.TEXT,)).metadata == Metadata()


def test_iptc_is_found_behind_a_broken_one() -> None:
    broken = png_chunks.Chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n 1\nxy")
    assert Metadata(chunks=(broken, png_text.profile_chunk(b"iptc", IPTC))).iptc == IPTC
    assert Metadata(chunks=(broken,)).iptc is None


def test_a_comment_that_is_no_text_is_warned_of() -> None:
    picture = read_picture(jpeg(segment(0xFE, b"a\0b")))
    assert picture.metadata == Metadata() and "comment" in picture.warnings[0]
    assert read_picture(jpeg(segment(0xFE, b"a\0b")), strip=(Strip.TEXT,)).warnings == ()


@pytest.mark.filterwarnings("ignore:Metadata Warning, tag 33723:UserWarning")
@pytest.mark.parametrize("kind", [1, 4, 7])
def test_iptc_of_a_tiff_becomes_a_text(kind: int) -> None:
    """Adobe's own programs wrote it as LONG."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[33723] = iptc = IPTC + bytes(-len(IPTC) % 4)
    tags.tagtype[33723] = 7
    width = 4 if kind == 4 else 1
    old, new = (struct.pack("<HHI", 33723, *of) for of in ((7, len(iptc)), (kind, len(iptc) // width)))
    assert read_picture(saved(rgb(), "TIFF", tiffinfo=tags).replace(old, new)).metadata.iptc == iptc


RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
GUID = "60910B370F3B59D1B471C4EB983A10A6"


def packet(content: str, note: str = "") -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about=""{note}/>'
        f"{content}</rdf:RDF></x:xmpmeta>"
    ).encode()


NOTE = f' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{GUID}"'
HISTORY = '<rdf:Description rdf:about="" xmlns:p="http://ns.adobe.com/photoshop/1.0/" p:History="%s"/>'


def extension(data: bytes, *, guid: str = GUID, part: int = 700) -> list[bytes]:
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid.encode()
    places = range(0, len(data), part)
    return [segment(0xE1, head + struct.pack(">II", len(data), at) + data[at : at + part]) for at in places]


def test_extended_xmp_is_joined_by_its_name() -> None:
    main = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet("", NOTE))
    parts = extension(packet(HISTORY % ("retouched; " * 200)))
    others = extension(packet(HISTORY % "of another picture"), guid=GUID[::-1])
    picture = read_picture(jpeg(main, *others, *parts[::-1]))
    assert picture.warnings == ()
    xmp = picture.metadata.xmp
    assert xmp is not None and b"HasExtendedXMP" not in xmp and b"another" not in xmp
    assert xmp.count(b"retouched; ") == 200
    assert len(ElementTree.fromstring(xmp)[0]) == 3


@pytest.mark.parametrize(
    "note",
    [
        f'<rdf:Description xmlns:n="http://ns.adobe.com/xmp/note/"><n:HasExtendedXMP>{GUID}</n:HasExtendedXMP>',
        f"<rdf:Description xmlns:n=\"http://ns.adobe.com/xmp/note/\" n:HasExtendedXMP = '{GUID}'>",
    ],
)
def test_the_note_of_an_extension_may_be_written_in_other_ways(note: str) -> None:
    main = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet(note + "</rdf:Description>"))
    picture = read_picture(jpeg(main, *extension(packet(HISTORY % "retouched"))))
    xmp = picture.metadata.xmp
    assert picture.warnings == ()
    assert xmp is not None and b"HasExtendedXMP" not in xmp and b"retouched" in xmp


@pytest.mark.parametrize(
    "parts",
    [
        [],
        extension(packet(HISTORY % ("x" * 2000)))[1:],
        extension(packet(HISTORY % ("x" * 2000)))[:-1],
        extension(b"no packet"),
        extension(packet("<unbound:a/>")),
    ],
)
def test_extended_xmp_that_cannot_be_joined_is_warned_of(parts: list[bytes]) -> None:
    main = packet("", NOTE)
    data = jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + main), *parts)
    picture = read_picture(data)
    assert picture.metadata.xmp == main
    assert len(picture.warnings) == 1 and "XMP" in picture.warnings[0] and "; " in picture.warnings[0]
    assert read_picture(data, strip=(Strip.XMP,)).warnings == ()


@pytest.mark.parametrize("numbers", [[(1, 2)], [(2, 2)], [(1, 3), (3, 3)]])
def test_a_profile_without_all_its_parts_is_warned_of(numbers: list[tuple[int, int]]) -> None:
    data = jpeg(*(segment(0xE2, b"ICC_PROFILE\0" + bytes(number) + ICC) for number in numbers))
    picture = read_picture(data)
    assert picture.metadata.icc is None
    assert picture.warnings == ("a part of its colour profile is missing; it was left out",)
    assert read_picture(data, strip=(Strip.ICC,)).warnings == ()


def mpf(*kinds: int) -> bytes:
    entries = b"".join(struct.pack("<IIIHH", kind, 500, 0, 0, 0) for kind in kinds)
    fields = (
        (0xB000, 7, 4, b"0100"),
        (0xB001, 4, 1, struct.pack("<I", len(kinds))),
        (0xB002, 7, len(entries), b"2\0\0\0"),
    )
    table = b"".join(struct.pack("<HHI", *field[:3]) + field[3] for field in fields)
    return segment(0xE2, b"MPF\0II*\0\x08\0\0\0\3\0" + table + bytes(4) + entries)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (jpeg(mpf(0x030000, 0x010001), tail=saved(grey(), "JPEG")), "the preview behind"),
        (jpeg(mpf(0x030000, 0), tail=saved(grey(), "JPEG")), "the second picture, such as a gain or depth map"),
        (jpeg(mpf(0x030000, 0), tail=saved(grey(), "JPEG"), xmp=b'<x hdrgm:Version="1.0"/>'), "the gain map behind"),
        (jpeg(tail=saved(grey(), "JPEG"), xmp=b'<x Item:Semantic="GainMap"/>'), "the gain map behind"),
        (jpeg(tail=bytes(24) + b"\0\0\0\x18ftypmp42" + bytes(99)), "the film behind"),
        (jpeg(tail=b"\xff\xd9\0\0SEFH"), "the data behind"),
        (saved(rgb(), "PNG") + b"\0more", "the data behind"),
    ],
)
def test_what_stands_behind_a_picture_is_warned_of(data: bytes, words: str) -> None:
    picture = read_picture(data)
    plain = saved(rgb(), "PNG" if data.startswith(b"\x89PNG") else "JPEG")
    assert np.array_equal(picture.pixels, read_picture(plain).pixels)
    (warning,) = picture.warnings
    assert words in warning and "; " in warning
    assert read_picture(data, strip=tuple(Strip)).warnings == picture.warnings


@pytest.mark.parametrize("data", [jpeg(tail=b"\xff\xd9\0\r\n"), saved(rgb(), "PNG") + bytes(3)])
def test_filling_behind_a_picture_is_nothing(data: bytes) -> None:
    assert not read_picture(data).warnings


@pytest.mark.parametrize("kinds", [(0x020002, 0x020002), (0x20030000, 0x020003), (0x020001, 0x020001)])
def test_several_views_are_refused(kinds: tuple[int, ...]) -> None:
    with pytest.raises(PictureError, match="several views"):
        read_picture(jpeg(mpf(*kinds), tail=saved(grey(), "JPEG")))


@pytest.mark.parametrize("tail", [b"", b"\0" * 99, b"\r\n"])
def test_filling_behind_a_jpeg_is_nothing_to_tell(tail: bytes) -> None:
    assert read_picture(jpeg(tail=tail)).warnings == ()


def test_density_is_never_invented() -> None:
    artist = Image.Exif()
    artist[ExifTags.Base.Artist] = "A. Nonymous"
    data = saved(rgb(), "JPEG", exif=artist)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["dpi"] == (72, 72)
    assert read_picture(data).metadata.chunks == ()
    artist.update({ExifTags.Base.XResolution: 300.0, ExifTags.Base.ResolutionUnit: 2})
    assert read_picture(saved(rgb(), "JPEG", exif=artist)).metadata.dpi == pytest.approx((300, 300), abs=0.02)
    artist[ExifTags.Base.ResolutionUnit] = 1
    assert read_picture(saved(rgb(), "JPEG", exif=artist)).metadata.chunks == ()


# TIFF files that are no pictures, and those that look so


def tiff_of(tags: dict[int, tuple[int, int]], *, sub: tuple[int, int] | None = None) -> bytes:
    """Add tags, (type, value), to a TIFF of 13 x 9 pixels, and a SubIFD (width, height) that is only described."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    if sub is not None:
        info[330] = 0xABCD
        info.tagtype[330] = 13
    for tag, (kind, value) in tags.items():
        info[tag] = bytes((1, 4, 0, 0)) if kind == 1 else value
        info.tagtype[tag] = kind
    data = saved(rgb(), "TIFF", tiffinfo=info)
    if sub is None:
        return data
    directory = struct.pack("<HHHIIHHIII", 2, 256, 4, 1, sub[0], 257, 4, 1, sub[1], 0)
    data += bytes(len(data) % 2)
    return data.replace(struct.pack("<I", 0xABCD), struct.pack("<I", len(data)), 1) + directory


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff_of({254: (4, 1)}), "reduced resolution"),
        (tiff_of({255: (3, 2)}), "reduced resolution"),
        (tiff_of({50706: (1, 0)}), "DNG"),
        (tiff_of({}, sub=(14, 9)), "a larger picture"),
        (tiff_of({}).replace(struct.pack("<HHIHH", 262, 3, 1, 2, 0), struct.pack("<HHIHH", 262, 3, 1, 32803, 0)),
         "sensor"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(4) + struct.pack("<HI", 0, 0) + bytes(64), "CR2"),
    ],
)  # fmt: skip
def test_camera_raw_is_no_picture(data: bytes, words: str) -> None:
    with pytest.raises(PictureError, match=f"camera raw.*{words}.*; "):
        read_picture(data)


@pytest.mark.parametrize(
    "data",
    [
        tiff_of({}, sub=(6, 4)),
        tiff_of({}, sub=(60, 40))[:-14],
        tiff_of({254: (4, 0)}),
        tiff_of({254: (4, 2)}),
        tiff_of({37724: (7, 0)} | {34377: (1, 0)}),
    ],
    ids=["pyramid", "a SubIFD that is cut off", "full", "page", "Photoshop"],
)
def test_tiff_files_with_more_than_the_picture_are_read(data: bytes) -> None:
    assert np.array_equal(read_picture(data).pixels, noise(9, 13, 3))


def test_big_tiff_is_read() -> None:
    assert np.array_equal(read_picture(saved(rgb(), "TIFF", big_tiff=True)).pixels, noise(9, 13, 3))


def test_tiff_groups_are_written_only_where_there_are_some() -> None:
    artist = Image.Exif()
    artist[ExifTags.Base.Artist] = "A. Nonymous"
    block = artist.tobytes().removeprefix(b"Exif\0\0")
    data = write_picture(Picture(noise(9, 13, 3), None, Metadata(exif=block)), Format.TIFF)
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        assert image.tag_v2[ExifTags.Base.Artist] == "A. Nonymous"
        assert not image.tag_v2.keys() & {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}
        assert image.info["compression"] == "tiff_adobe_deflate"


# Grey


@pytest.mark.parametrize("fmt", [Format.PNG, Format.WEBP, Format.TIFF])
@pytest.mark.parametrize("alpha", [False, True])
def test_grey_pixels_under_an_rgb_profile_are_stored_as_rgb(fmt: Format, alpha: bool) -> None:
    data = write_picture(Picture(noise(9, 13), noise(9, 13) if alpha else None, Metadata(icc=ICC)), fmt)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == ("RGBA" if alpha else "RGB")
        assert np.array_equal(np.asarray(image)[..., 0], noise(9, 13))


def test_neutral_colours_are_dropped_unless_the_profile_says_rgb() -> None:
    neutral = np.stack([noise(9, 13)] * 3, axis=-1)
    dropped = drop_neutral_colours(Picture(neutral, noise(9, 13), warnings=("first; of all",)))
    assert np.array_equal(dropped.pixels, noise(9, 13)) and dropped.alpha is not None
    assert dropped.warnings[0] == "first; of all" and "one channel" in dropped.warnings[1]
    for kept in (Picture(neutral, None, Metadata(icc=ICC)), Picture(noise(9, 13, 3)), Picture(noise(9, 13))):
        assert drop_neutral_colours(kept) is kept


def test_xmp_is_smaller_in_compact_form_and_the_same() -> None:
    metadata = Metadata(xmp=XMP + b" " * 2000)
    plain, compact = (metadata.to_chunks(compact=compact) for compact in (False, True))
    assert len(compact[0].payload) < 200 < 2000 < len(plain[0].payload)
    assert Metadata.from_chunks(plain) == Metadata.from_chunks(compact) == metadata


# The mark of decoded pictures


def test_lr_digest_comes_back_from_the_beginning_of_the_file() -> None:
    picture = Picture(noise(40, 40, 3), None, Metadata(icc=ICC))
    data = write_picture(picture, Format.PNG, marks=(lr_digest_chunk(bytes(range(16))),))
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
