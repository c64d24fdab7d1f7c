"""Metadata that is left out on request, and nothing besides it."""

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Draw, Run
from picture_files import ICC
from PIL import ExifTags, Image

from hcdcodec.cli import options
from hcdcodec.cli.arguments import Arguments
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.errors import PictureError
from hcdcodec.files.picture_names import Format
from hcdcodec.format import container
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.metadata import Metadata, Strip, strip_metadata
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

NOTE = png_chunks.Chunk(b"iTXt", b"Note\0\0\0\0\0b")
CHUNKS = {
    Strip.TEXT: (png_chunks.Chunk(b"tEXt", b"Title\0a"), png_chunks.Chunk(b"zTXt", b"Long\0\0x"), NOTE),
    Strip.DENSITY: (png_chunks.Chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),),
    Strip.COLOUR: (png_chunks.Chunk(b"gAMA", struct.pack(">I", 45455)), png_chunks.Chunk(b"cICP", b"\1\15\0\1")),
}
FULL = Metadata(ICC, b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x:xmpmeta/>", tuple(c for cs in CHUNKS.values() for c in cs))


@pytest.mark.parametrize("kind", Strip)
def test_one_kind_goes_and_the_rest_stays(kind: Strip) -> None:
    left = strip_metadata(FULL, [kind])
    for name in (Strip.ICC, Strip.EXIF, Strip.XMP):
        assert getattr(left, name) == (None if name is kind else getattr(FULL, name))
    assert left.chunks == tuple(c for name, chunks in CHUNKS.items() if name is not kind for c in chunks)


@pytest.mark.parametrize(
    ("kind", "keyword"),
    [
        *((Strip.EXIF, name) for name in (b"Raw profile type exif", b"Raw profile type APP1", b"exif:GPSLatitude")),
        *((Strip.XMP, name) for name in (b"Raw profile type xmp", b"Raw profile type APP1", b"XML:com.adobe.xmp")),
    ],
)
def test_what_a_tool_repeats_as_text_goes_with_it(kind: Strip, keyword: bytes) -> None:
    twins = tuple(png_chunks.Chunk(text, keyword + b"\0\0x") for text in (b"tEXt", b"zTXt"))
    assert strip_metadata(replace(FULL, chunks=FULL.chunks + twins), [kind]).chunks == FULL.chunks


@pytest.mark.parametrize("name", [Strip.ICC, Strip.XMP])
def test_what_could_not_be_read_back_is_not_written(name: Strip) -> None:
    fields: dict[str, Any] = {name: bytes((1 << 26) + 1)}
    huge = replace(FULL, **fields)
    with pytest.raises(PictureError, match=f"--strip {name}"):
        huge.to_chunks(compact=True)
    assert strip_metadata(huge, [name]).to_chunks(compact=True)


def test_nothing_and_all() -> None:
    assert strip_metadata(FULL, ()) == FULL
    assert strip_metadata(FULL, tuple(Strip)) == Metadata()


def test_the_command_line_offers_every_kind() -> None:
    assert list(Strip) == list(options.STRIP)


def test_other_strips_are_other_settings() -> None:
    assert repr(EncodeOptions(strip=(Strip.EXIF,))) != repr(EncodeOptions())
    orders = ("icc", "exif"), ("exif", "icc", "exif")
    chosen = [Arguments(paths=(), strip=order).encode_options().strip for order in orders]
    assert chosen == [(Strip.EXIF, Strip.ICC)] * 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), FULL),
        (("--strip", "exif", "--strip", "text"), replace(FULL, exif=None, chunks=FULL.chunks[3:])),
        (("--strip", "all"), Metadata()),
    ],
)
def test_files_do_not_hold_what_was_stripped(
    tmp_path: Path, draw: Draw, hcdcodec: Run, arguments: tuple[str, ...], expected: Metadata
) -> None:
    picture = Picture(draw(12, 14, 3), draw(12, 14, seed=1), FULL)
    (tmp_path / "a.png").write_bytes(write_picture(picture, Format.PNG))
    small, back = tmp_path / "a.png.hcd.png", tmp_path / "out.png"
    assert hcdcodec("encode", tmp_path / "a.png", small, "-b", "bicubic", "-e", "0", *arguments).status == 0
    assert container.unpack(small.read_bytes()).metadata == expected
    assert hcdcodec("decode", small, back).status == 0
    again = read_picture(back.read_bytes())
    assert again.metadata == expected
    assert again.alpha is not None and np.array_equal(again.alpha, draw(12, 14, seed=1))


def photograph_with_thumbnail(draw: Draw) -> tuple[bytes, bytes]:
    """Return a JPEG, and its EXIF block that ends in a thumbnail, laid out as cameras do."""
    small = io.BytesIO()
    Image.fromarray(draw(8, 12, 3)).save(small, "JPEG")
    orientation = struct.pack("<HHHIHH", 1, ExifTags.Base.Orientation, 3, 1, 6, 0)
    entries = ((0x0103, 3, 6), (0x0201, 4, 68), (0x0202, 4, len(small.getvalue())))
    thumbnail = struct.pack("<H", 3) + b"".join(struct.pack("<HHII", tag, kind, 1, to) for tag, kind, to in entries)
    block = b"II*\0\x08\0\0\0" + orientation + struct.pack("<I", 26) + thumbnail + bytes(4)
    exif = block + small.getvalue()
    assert exif[68:70] == b"\xff\xd8" and len(block) == 68
    large = io.BytesIO()
    Image.fromarray(draw(24, 36, 3)).save(large, "JPEG", exif=b"Exif\0\0" + exif)
    return large.getvalue(), exif


@pytest.mark.parametrize("strip", [False, True])
def test_the_thumbnail_stays_and_goes_with_exif(tmp_path: Path, draw: Draw, hcdcodec: Run, *, strip: bool) -> None:
    data, exif = photograph_with_thumbnail(draw)
    (tmp_path / "a.jpg").write_bytes(data)
    arguments = ("--strip", "exif") if strip else ()
    hcdcodec("encode", tmp_path / "a.jpg", f"{tmp_path}/small/", "-b", "bicubic", "-e", "0", *arguments)
    hcdcodec("decode", tmp_path / "small", tmp_path / "out")
    back = (tmp_path / "out/a.jpg.png").read_bytes()
    assert read_picture(back).metadata.exif == (None if strip else exif)
    assert (exif[68:] in back) is not strip
