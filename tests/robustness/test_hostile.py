"""Files made to harm: every one fails alone, in one line and with an exit status, and memory stays bounded.

Names, links, special files and places are in test_plan.py, test_disk.py and test_cli.py; full and closed streams in
test_output.py; checkpoints, manifests and states of trainings in test_checkpoints.py, test_manifest.py and
test_training.py; chunk by chunk, the contradictions are in test_png_chunks.py, test_header.py and test_container.py.
"""

import base64
import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import picture_files
import pytest
import torch
from conftest import FAST, Draw, Ran, Run, Tiny
from PIL import Image
from safetensors.torch import load_file, save_file

from benchmarks.common.hostile_files import BOMB, NO_WEIGHTS, PIXEL, chunked, deflated, overlapping, pages, scans
from hcdcodec.errors import OutputError, PictureError
from hcdcodec.files.encoded_names import Container
from hcdcodec.files.picture_names import Format
from hcdcodec.format import container, jxl_container, webp_container
from hcdcodec.format.exif_twin import add_twin
from hcdcodec.format.header import AlphaRule, Header
from hcdcodec.format.source_files import refuse_source
from hcdcodec.pictures import jxl, png_chunks
from hcdcodec.pictures.boxes import Part
from hcdcodec.pictures.losses import losses
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Mode, Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

saved = partial(picture_files.saved, Image.new("RGB", (16, 12), (200, 100, 50)))


def claiming(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) >= 1
    return data.replace(old, new, 1)


PLAIN = saved("PNG")
XMP = b"XML:com.adobe.xmp\0\1\0\0\0"
HUGE = struct.pack("<I", 60_000)
SOURCES = {
    "huge.png": (chunked((60_000, 60_000, 8, 2), PIXEL), "the limit is"),
    "huge.bmp": (claiming(saved("BMP"), struct.pack("<ii", 16, 12), HUGE * 2), "the limit is"),
    "huge.gif": (claiming(saved("GIF"), struct.pack("<HH", 16, 12), b"\xff" * 4), "the limit is"),
    "huge.jpg": (claiming(saved("JPEG"), struct.pack(">HH", 12, 16), b"\xff" * 4), "the limit is"),
    "huge.ppm": (b"P6 60000 60000 255\n", "the limit is"),
    "huge.qoi": (b"qoif" + struct.pack(">II", 60_000, 60_000) + b"\3\0" + bytes(60), "the limit is"),
    "huge.tif": (claiming(claiming(saved("TIFF"), struct.pack("<HHII", 256, 4, 1, 16),
        struct.pack("<HHII", 256, 4, 1, 60_000)), struct.pack("<HHII", 257, 4, 1, 12),
        struct.pack("<HHII", 257, 4, 1, 60_000)), "the limit is"),
    "checksum.png": (PLAIN[:50] + bytes([PLAIN[50] ^ 1]) + PLAIN[51:], "fails its checksum"),
    "cut.png": (PLAIN[:-20], "truncated"),
    "length.png": (PLAIN[:33] + b"\x7f\xff\xff\xff" + PLAIN[37:], "truncated"),
    "two heads.png": (chunked((1, 1, 8, 2), (b"IHDR", PLAIN[16:29]), PIXEL), "out of order"),
    "palette twice.png": (chunked((1, 1, 8, 3), (b"PLTE", b"abc"), (b"PLTE", b"abc"), PIXEL), "out of order"),
    "palette late.png": (chunked((1, 1, 8, 3), PIXEL, (b"PLTE", b"abc")), "out of order"),
    "torn.png": (chunked((1, 1, 8, 2), PIXEL, (b"tEXt", b"a\0b"), PIXEL), "interrupted"),
    "unknown.png": (chunked((1, 1, 8, 2), (b"EVIL", b""), PIXEL), "of no known kind"),
    "chunks.png": (chunked((1, 1, 8, 2), *[(b"vpAg", b"")] * 140_000, PIXEL), "too many tiny chunks"),
    "scans.jpg": (scans(saved("JPEG", progressive=True), 101), "more than 100 scans"),
    "segments.jpg": (saved("JPEG")[:2] + b"\xff\xfe\0\2" * 70_000 + saved("JPEG")[2:], "65536 segments"),
    "overlapping.tif": (overlapping(saved("TIFF"), 3000, 1 << 20), "TIFF tags hold more bytes than the file"),
    "pages.tif": (pages(saved("TIFF"), 80_000), "several frames or pages"),
    "deep.png": (chunked((1, 1, 16, 0), (b"IDAT", zlib.compress(b"\0\1\2"))), "more than 8 bits a channel cannot be"),
    "frames.gif": (saved("GIF", save_all=True, append_images=[Image.new("RGB", (16, 12))]), "several frames"),
    "print.jpg": (b"", "CMYK picture cannot be stored"),
    "words.png": (b"plain words", "not a picture"),
    "empty.png": (b"", "not a picture"),
    "encoded.png": (png_chunks.insert(PLAIN, [png_chunks.Chunk(b"tEXt", b"hcdcodec\0x")]), "already encoded by"),
    "new\nline \udcff\udcfe.png": (PLAIN[:-1], "truncated"),
}  # fmt: skip


BOMBS = {
    "profile.png": chunked((1, 1, 8, 2), (b"iCCP", b"a\0\0" + deflated(BOMB)), PIXEL),
    "packet.png": chunked((1, 1, 8, 2), (b"iTXt", XMP + deflated(BOMB)), PIXEL),
}
"""Metadata that explodes, beside sound pixels."""


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def check_lines(err: str, expected: dict[str, str]) -> None:
    """One line a file, in one form: the program, the name, what is wrong; what to do."""
    lines = err.splitlines()
    assert len(lines) == len(expected)
    for name, words in expected.items():
        shown = name.encode(errors="surrogateescape").decode(errors="backslashreplace").replace("\n", "\\n")
        (line,) = (line for line in lines if f"{shown}: " in line)
        assert line.startswith("hcdcodec: ") and "; " in line and words in line, line
        assert "INTERNAL" not in line


def test_hostile_sources_fail_alone(tmp_path: Path, hcdcodec: Run) -> None:
    cmyk = picture_files.saved(Image.new("CMYK", (16, 12)), "JPEG")
    files = {name: data for name, (data, _) in SOURCES.items()} | {"print.jpg": cmyk}
    put(tmp_path / "in", files | {"good.png": PLAIN})
    ran = hcdcodec("encode", *(tmp_path / "in" / name for name in (*files, "good.png")), f"{tmp_path}/small/", *FAST)
    assert (ran.status, ran.out) == (1, b"")
    check_lines(ran.err, {name: words for name, (_, words) in SOURCES.items()})
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["good.png.hcd.png"]


@pytest.mark.parametrize("name", BOMBS)
def test_metadata_that_explodes_is_left_out_with_a_word(tmp_path: Path, hcdcodec: Run, name: str) -> None:
    put(tmp_path, {name: BOMBS[name]})
    ran = hcdcodec("encode", tmp_path / name, tmp_path / "a.hcd.png", "-v", *FAST)
    assert ran.status == 0
    assert "warning: a compressed PNG chunk holds more than 67108864 bytes (" in ran.err
    assert container.unpack((tmp_path / "a.hcd.png").read_bytes()).metadata == Metadata()


def shared_exif(tags: int, size: int) -> bytes:
    """Build EXIF whose group of exposure has tags that share the same bytes."""
    group = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 34665, 4, 1, 26, 0)
    entries = b"".join(struct.pack("<HHII", 40_000 + tag, 7, size, 32 + 12 * tags) for tag in range(tags))
    return group + struct.pack("<H", tags) + entries + bytes(4) + bytes(size)


def test_exif_whose_tags_share_bytes_takes_no_memory() -> None:
    """A TIFF takes EXIF apart, and other kinds carry it as it is."""
    block = shared_exif(3000, 1 << 20)
    with pytest.raises(OutputError, match="its EXIF"):
        write_picture(Picture(np.zeros((1, 1), np.uint8), None, Metadata(exif=block)), Format.TIFF)
    assert write_picture(Picture(np.zeros((1, 1), np.uint8), None, Metadata(exif=block)), Format.PNG)
    block = shared_exif(2000, 30_000)
    parts = [block[at : at + 60_000] for at in range(0, len(block), 60_000)]
    segments = [b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in parts]
    data = saved("JPEG")
    with pytest.raises(PictureError, match="more bytes than the file"):
        read_picture(data[:2] + b"".join(segments) + data[2:])


@pytest.mark.parametrize("name", ["pages.tif", "overlapping.tif", "scans.jpg"])
def test_what_is_made_to_take_long_is_refused_at_once(name: str) -> None:
    """They took time by the square of their number, and gigabytes."""
    begun = time.process_time()
    with pytest.raises(PictureError):
        read_picture(SOURCES[name][0])
    assert time.process_time() - begun < 2


def extended(main: bytes, extension: bytes) -> bytes:
    """Build a JPEG with an extended XMP packet."""
    digits = b"0" * 32
    payloads = [b"http://ns.adobe.com/xap/1.0/\0x:HasExtendedXMP='" + digits + b"'" + main]
    for at in range(0, len(extension), 60_000):
        head = b"http://ns.adobe.com/xmp/extension/\0" + digits + struct.pack(">II", len(extension), at)
        payloads.append(head + extension[at : at + 60_000])
    data = saved("JPEG")
    return data[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(p) + 2) + p for p in payloads) + data[2:]


def packed_boxes(count: int) -> bytes:
    """Build a JPEG XL with a small compressed box and many that explode."""
    brotli = pytest.importorskip("brotli")
    pytest.importorskip("pillow_jxl")
    boxes = [b"xml " + brotli.compress(b"<x/>"), *[b"xml " + brotli.compress(bytes(60 << 20), quality=1)] * count]
    codestream = saved("JXL")
    return jxl.BEGIN + b"".join(
        struct.pack(">I", 8 + len(payload)) + payload
        for payload in (b"ftypjxl \0\0\0\0jxl ", *(b"brob" + box for box in boxes), b"jxlc" + codestream)
    )


def repeated_tags(count: int) -> bytes:
    """Build a BigTIFF of 16x16 pixels with 32 further directories, all at the same place, of so many tags."""
    entry = struct.Struct("<HHQQ")
    place = 24 + 3 * entry.size + 8
    first = entry.pack(256, 4, 1, 16) + entry.pack(257, 4, 1, 16) + entry.pack(330, 18, 32, place)
    head = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 3) + first + bytes(8)
    again = struct.pack("<Q", count) + entry.pack(40_000, 1, 1, 0) * count + bytes(8)
    return head + struct.pack("<Q", place + 32 * 8) * 32 + again


@pytest.mark.parametrize(
    "make",
    [
        lambda: saved("JPEG")[:-2] + b"\xff" * 30_000 + b"\0\xff\xd9",
        lambda: extended(b"<r:RDF>" + b" " * 50_000 + b"</r:RDF>", b"<r:RDF></r:RDF>"),
        lambda: extended(b"<r:RDF></r:RDF>", b"<r:RDF>" * 20_000),
        lambda: extended(b"<r:RDF></r:RDF>", b"<r:RDF " * 20_000),
        lambda: packed_boxes(100),
        lambda: repeated_tags(65_000),
        lambda: chunked((1, 1, 8, 2), *[(b"iCCP", b"p\0\0" + deflated(BOMB))] * 30, PIXEL),
        lambda: chunked((1, 1, 8, 2), *[(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + deflated(BOMB))] * 30, PIXEL),
    ],
    ids=["filling", "spaces", "elements", "open elements", "boxes", "tags", "profiles", "packets"],
)
def test_metadata_that_is_made_to_take_long_takes_a_moment(make: Callable[[], bytes]) -> None:
    data = make()
    begun = time.process_time()
    with contextlib.suppress(PictureError):
        read_picture(data)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "packed", [deflated(BOMB), zlib.compress(b"\niptc\n 8\n" + b"1c" * (16 << 20))], ids=["bombs", "records"]
)
def test_of_many_iptc_profiles_few_are_unpacked(packed: bytes) -> None:
    profile = png_chunks.Chunk(b"zTXt", b"Raw profile type iptc\0\0" + packed)
    metadata = Metadata(chunks=(profile,) * 100)
    begun = time.process_time()
    metadata.to_tiff()
    (warning,) = losses(metadata, Format.TIFF)
    assert "its texts" in warning and time.process_time() - begun < 2


def test_as_many_scans_as_encoders_write_are_read() -> None:
    assert read_picture(scans(saved("JPEG", progressive=True), 100)).pixel_count == 16 * 12


def test_what_pillow_remarks_is_not_printed(tmp_path: Path, hcdcodec: Run) -> None:
    """Broken EXIF is nothing that pixels depend on, and comes back as it was."""
    block = b"II*\0\x08\0\0\0\5\0" + b"\x0f\1\2\0\xff\xff\0\0\xff\xff\xff\x7f" + b"abc"
    (tmp_path / "a.jpg").write_bytes(saved("JPEG", exif=b"Exif\0\0" + block))
    with pytest.warns(UserWarning, match="orrupt EXIF|larger than file"), Image.open(tmp_path / "a.jpg") as image:
        image.getexif()
    arguments = ("encode", tmp_path / "a.jpg", tmp_path / "a.hcd.png", *FAST)
    assert hcdcodec(*arguments) == Ran(0, b"", "")
    assert container.unpack((tmp_path / "a.hcd.png").read_bytes()).metadata.exif == block


def small(*, height: int = 12, width: int = 16, **fields: object) -> bytes:
    about = Header(4, "bicubic", NO_WEIGHTS, height, width, Mode.RGB)
    lr = np.full((-(-height // 4), -(-width // 4), 3), 77, np.uint8)
    return container.pack(replace(about, **fields), lr, alpha=None, metadata=Metadata(), level=0)  # type: ignore[arg-type]


def rebuilt(data: bytes, **chunks: bytes) -> bytes:
    """Replace payloads, or with an empty one remove chunks, with sound checksums."""
    pairs = ((chunk, chunks.get(chunk.type.decode(), chunk.payload)) for chunk in png_chunks.walk(data))
    return png_chunks.build(png_chunks.Chunk(chunk.type, new) for chunk, new in pairs if new or chunk.type == b"IEND")


def twin(header: bytes) -> bytes:
    return b"hcdcodec\0" + base64.b64encode(header)


def lying(**fields: object) -> bytes:
    """Make a file whose header says something else than its pixels, in both forms and with sound checksums."""
    header = replace(container.peek(small()), **fields).to_bytes()  # type: ignore[arg-type]
    return rebuilt(small(), hcDC=header, tEXt=twin(header))


HEADER = container.peek(small()).to_bytes()
OLD, NEW = (HEADER[:4] + bytes([version]) + HEADER[5:] for version in (0, 2))
LOUD = HEADER[:58] + struct.pack(">f", 3e38) + HEADER[62:]
EXPLODING = png_chunks.Chunk(b"zTXt", b"hcdcodec\0\0" + deflated(1 << 24))
ENCODED = {
    "a huge picture": (lying(height=1 << 31, width=1 << 31), "resized or cropped"),
    "a huge scale": (lying(scale=255, height=765, width=1020), "scale 255 is out of range"),
    "beyond the limit": (chunked((20_000, 20_000, 8, 2), (b"hcDC", replace(container.peek(small()), height=80_000,
        width=80_000).to_bytes()), PIXEL), "the limit is"),
    "more pixels than said": (rebuilt(small(), IDAT=deflated(1 << 20)), "changed after encoding"),
    "fewer pixels than said": (rebuilt(small(), IDAT=zlib.compress(b"\0")), "truncated, damaged"),
    "no pixels": (rebuilt(small(), IDAT=b"no zlib"), "truncated, damaged"),
    "a long header": (rebuilt(small(), hcDC=bytes(1 << 24), tEXt=b""), "does not begin as it must"),
    "a long twin": (rebuilt(small(), hcDC=b"", tEXt=twin(bytes(1 << 24))), "does not begin as it must"),
    "an exploding twin": (png_chunks.insert(rebuilt(small(), tEXt=b"", hcDC=b""), [EXPLODING]), "more than 1024 bytes"),
    "a twin that differs": (rebuilt(small(), tEXt=twin(OLD)), "differ"),
    "two headers": (png_chunks.insert(small(), [png_chunks.Chunk(b"hcDC", HEADER)]), "more than one header"),
    "an old version": (rebuilt(small(), hcDC=OLD, tEXt=b""), "version 0 is unknown; encode its source again"),
    "a new version": (rebuilt(small(), hcDC=NEW, tEXt=b""), "version 2 is unknown; decode with a newer release"),
    "a row too many": (container.pack(container.peek(small()), np.full((4, 4, 3), 77, np.uint8), alpha=None,
        metadata=Metadata(), level=0), "size does not fit the header"),
    "tiny tiles": (small(height=1200, width=1200, tile=1, halo=15), "tiles are none that hcdcodec makes"),
    "one huge tile": (small(height=1200, width=1200), "tiles are none that hcdcodec makes"),
    "details beyond all bounds": (rebuilt(small(), hcDC=LOUD, tEXt=b""), "contradicts itself"),
    "tiny chunks": (png_chunks.insert(small(), [png_chunks.Chunk(b"vpAg", b"")] * 140_000), "too many tiny chunks"),
    "an unknown network": (lying(backbone="unheard-of"), "no backbone is called 'unheard-of'"),
    "other weights": (lying(model_hash=bytes(16)), "needs the bicubic x4 weights 000000000000"),
    "missing weights": (lying(backbone="crn-l", model_hash=bytes(16)), "no weights for crn-l x4"),
    "an unread scale": (lying(scale=1, height=3, width=4), "scale 1 is out of range"),
    "alpha from nowhere": (png_chunks.insert(small(), [png_chunks.Chunk(b"hcDA", PLAIN)]), "knows nothing of"),
    "a tail": (small() + b"x", "behind the end"),
    "no header": (PLAIN, "no hcdcodec header"),
    "a photograph": (saved("JPEG"), "not a PNG"),
}  # fmt: skip


def small_webp(**fields: object) -> list[Part]:
    """Return the chunks of a WebP of ours."""
    about = replace(container.peek(small()), **fields)  # type: ignore[arg-type]
    lr = np.full((3, 4, 3), 77, np.uint8)
    packed = container.pack(about, lr, alpha=None, metadata=Metadata(), level=0, kind=Container.WEBP)
    return list(webp_container._walk(packed))


def webp(*parts: Part, **payloads: bytes) -> bytes:
    """Build a WebP of ours with other payloads, without those that are empty, and with further chunks."""
    kept = ((part, payloads.get(part.type.decode().strip(), part.payload)) for part in small_webp())
    return webp_container._build([*(Part(part.type, new) for part, new in kept if new), *parts])


def boxes(*parts: Part) -> bytes:
    """Build a JPEG XL of ours around a codestream, as far as a reader gets without decoding it."""
    own = [part for part in small_webp() if part.type == b"hcDC"]
    return jxl_container._build([*own, *parts])


WEBP = webp()
WIDE_WEBP = b"\x2f" + (16383 << 14 | 16383).to_bytes(4, "little")
WIDE_JXL = b"\xff\x0a" + (3 << 1 | (1 << 30) - 1 << 3 | 1 << 33).to_bytes(8, "little")
TURNED_JXL = b"\xff\x0a" + (2 << 3 | 3 << 17 | 1 << 27 | 5 << 28).to_bytes(8, "little")
OTHERS = {
    "webp, a tail.hcd.webp": (WEBP + b"x", "behind the end"),
    "webp, cut.hcd.webp": (WEBP[:-9], "truncated"),
    "webp, a long chunk.hcd.webp": (WEBP[:16] + b"\xff\xff\xff\x7f" + WEBP[20:], "a length in it is wrong"),
    "webp, tiny chunks.hcd.webp": (webp(*[Part(b"vpAg", b"")] * 140_000), "too many chunks"),
    "webp, a huge picture.hcd.webp": (webp(VP8X=b"", VP8L=WIDE_WEBP), "resized or cropped"),
    "webp, two pictures.hcd.webp": (webp(Part(b"VP8L", WIDE_WEBP)), "2 pictures instead of one"),
    "webp, no pixels.hcd.webp": (webp(VP8L=small_webp()[1].payload[:5]), "truncated, damaged"),
    "webp, frames.hcd.webp": (webp(Part(b"ANMF", bytes(16))), "converted after encoding"),
    "webp, another canvas.hcd.webp": (webp(VP8X=b"\x08\0\0\0\xff\xff\xff\xff\xff\xff"), "contradicts its pixels"),
    "webp, no checksum.hcd.webp": (webp(hcDC=HEADER), "fails its checksum"),
    "webp, a long header.hcd.webp": (webp(hcDC=bytes(1 << 24), EXIF=b""), "fails its checksum"),
    "webp, two headers.hcd.webp": (webp(small_webp()[3]), "more than one header"),
    "webp, a twin that differs.hcd.webp": (webp(EXIF=add_twin(None, OLD)), "differ"),
    "webp, a new version.hcd.webp": (webp(hcDC=b"", EXIF=add_twin(None, NEW)), "version 2 is unknown"),
    "webp, broken metadata.hcd.webp": (webp(Part(b"hcDM", png_chunks.join([EXPLODING])[:-1])), "truncated"),
    "webp, exploding metadata.hcd.webp": (webp(Part(b"hcDM", png_chunks.join([png_chunks.Chunk(b"iCCP", b"a\0\0" +
        deflated(BOMB))]))), "more than 67108864 bytes"),
    "webp, tiny metadata.hcd.webp": (webp(Part(b"hcDM", png_chunks.join([png_chunks.Chunk(b"vpAg", b"")] * 70_000))),
        "too many tiny chunks"),
    "webp, alpha from nowhere.hcd.webp": (webp(Part(b"hcDA", PLAIN)), "knows nothing of"),
    "webp, a photograph.hcd.webp": (saved("WEBP"), "WebP carries no hcdcodec header"),
    "jxl, cut.hcd.jxl": (boxes(Part(b"jxlc", WIDE_JXL))[:-3], "truncated"),
    "jxl, a short box.hcd.jxl": (boxes() + struct.pack(">I", 7) + b"jxlc", "a length in it is wrong"),
    "jxl, a long box.hcd.jxl": (boxes() + struct.pack(">I4sQ", 1, b"jxlc", 1 << 63), "a length in it is wrong"),
    "jxl, a box of no length.hcd.jxl": (boxes() + struct.pack(">I4sQ", 1, b"jxlc", 0), "a length in it is wrong"),
    "jxl, tiny boxes.hcd.jxl": (boxes(*[Part(b"free", b"")] * 140_000), "too many boxes"),
    "jxl, no picture.hcd.jxl": (boxes(), "holds no picture"),
    "jxl, no pixels.hcd.jxl": (boxes(Part(b"jxlc", b"\xff\x0a")), "do not begin as they must"),
    "jxl, a huge picture.hcd.jxl": (boxes(Part(b"jxlc", WIDE_JXL)), "resized or cropped"),
    "jxl, turned.hcd.jxl": (boxes(Part(b"jxlc", TURNED_JXL)), "converted after encoding"),
    "jxl, half a picture.hcd.jxl": (boxes(Part(b"jxlp", bytes(4) + WIDE_JXL)), "a part of one"),
    "jxl, a bare codestream.hcd.jxl": (WIDE_JXL, "JPEG XL carries no hcdcodec header"),
}  # fmt: skip


def test_hostile_files_fail_alone_when_decoded(tmp_path: Path, hcdcodec: Run) -> None:
    files = {f"{name}.hcd.png": data for name, (data, _) in ENCODED.items()}
    expected = {f"{name}.hcd.png": words for name, (_, words) in ENCODED.items()}
    files |= {name: data for name, (data, _) in OTHERS.items()}
    expected |= {name: words for name, (_, words) in OTHERS.items()}
    put(tmp_path / "small", files | {"good.hcd.png": small()})
    ran = hcdcodec("decode", tmp_path / "small", tmp_path / "out")
    assert (ran.status, ran.out) == (1, b"")
    check_lines(ran.err, expected)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]
    ran = hcdcodec("verify", "-q", *(tmp_path / "small" / name for name in files))
    assert (ran.status, ran.out) == (1, b"")
    check_lines(ran.err, expected)  # what decode refuses, verify refuses in the same words


MEASURE = """
import io, resource, sys
from hcdcodec.format import container
from hcdcodec.pictures.reading import read_picture
from hcdcodec.errors import HcdError
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
read_picture(open(sys.argv[1], "rb").read())
for name in sys.argv[2:]:
    data = open(name, "rb").read()
    before, said = peak(), "read"
    for read in (read_picture, container.unpack):
        try:
            read(data)
        except HcdError as error:
            said = str(error)
    print(peak() - before, said)
"""


@pytest.mark.slow
def test_bombs_take_no_memory(tmp_path: Path) -> None:
    """Bombs of 300 MiB and more; a profile may take the 64 MiB that it is allowed, twice while it grows."""
    bomb = deflated(BOMB)
    header = (b"hcDC", container.peek(small(height=4, width=4)).to_bytes())
    alpha = chunked((16, 12, 8, 0), (b"IDAT", bomb))
    about = replace(container.peek(small()), alpha_rule=AlphaRule.PLANE).to_bytes()
    put(
        tmp_path,
        {
            "pixels.png": chunked((1, 1, 8, 2), (b"IDAT", bomb)),
            "encoded.png": chunked((1, 1, 8, 2), header, (b"IDAT", bomb)),
            "alpha.png": png_chunks.insert(rebuilt(small(), hcDC=about, tEXt=b""), [png_chunks.Chunk(b"hcDA", alpha)]),
            "text.png": chunked((1, 1, 8, 2), (b"zTXt", b"Comment\0\0" + bomb), PIXEL),
            "twin.png": chunked((1, 1, 8, 2), (b"zTXt", b"hcdcodec\0\0" + bomb), PIXEL),
            "many.png": chunked((1, 1, 8, 2), *[(b"tEXt", b"a\0b")] * 60_000, PIXEL),
            "profile.png": BOMBS["profile.png"],
        },
    )
    names = [*sorted(path.name for path in tmp_path.glob("*.png")), *["huge.png", "huge.bmp", "huge.gif", "huge.jpg"]]
    put(tmp_path, {name: SOURCES[name][0] for name in names if name.startswith("huge")} | {"plain": PLAIN})
    command = [sys.executable, "-c", MEASURE, "plain", *names]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = [line.partition(" ") for line in ran.stdout.splitlines()]
    grown = {name: int(size) for name, (size, _, _) in zip(names, lines, strict=True)}
    assert all(size < (150 if name == "profile.png" else 48) for name, size in grown.items()), grown


def test_an_endless_standard_input_ends(hcdcodec: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hcdcodec.batch.encode_files.FileOptions.max_bytes", 1 << 20)
    with open("/dev/zero") as endless:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", endless)
        ran = hcdcodec("encode", "-", tmp_path / "small.png", *FAST)
    assert ran.status == 1
    assert ran.err == "hcdcodec: standard input: more than 1048576 bytes; raise --max-pixels\n"


# --- weights ----------------------------------------------------------------------------------------------------------


def spoiled(path: Path, how: str) -> None:
    state = load_file(path)
    name = next(iter(state))
    if how == "nan":
        state[name][0] = torch.nan
    elif how == "shape":
        state[name] = state[name][:-1].clone()
    elif how == "names":
        state["another"] = state.pop(name)
    elif how == "bytes":
        state[name] += 1
    if how in ("nan", "shape", "names", "bytes"):
        save_file(state, path)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif how == "length":
        path.write_bytes(struct.pack("<Q", 1 << 62) + path.read_bytes()[8:])
    elif how == "offsets":
        about = json.dumps({name: {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
        path.write_bytes(struct.pack("<Q", len(about)) + about)
    elif how == "pickle":
        path.write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")
    elif how == "gone":
        path.unlink()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nan", "values that are not finite"),
        ("shape", "other shape"),
        ("names", "missing"),
        ("bytes", "needs the tiny x4 weights"),
        ("cut", "cannot read the weights"),
        ("length", "cannot read the weights"),
        ("offsets", "cannot read the weights"),
        ("pickle", "cannot read the weights"),
        ("gone", "cannot read the weights"),
    ],
)
def test_spoiled_weights_start_nothing(
    tmp_path: Path, hcdcodec: Run, tiny: Tiny, draw: Draw, how: str, words: str
) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        Image.fromarray(draw(12, 16, 3)).save(file, "PNG")
    encode = ("encode", tmp_path / "a.png", f"{tmp_path}/small/", "-b", tiny.name, "-e", "0", "--force")
    arguments = ("--weights-dir", tiny.weights_dir)
    assert hcdcodec(*encode, *arguments).status == 0
    spoiled(next(tiny.weights_dir.glob("*.safetensors")), how)
    ran = hcdcodec("decode", tmp_path / "small", tmp_path / "out", *arguments)
    assert (ran.status, ran.err.count("\n")) == (1, 1)
    assert words in ran.err and ran.err.startswith("hcdcodec: ") and "; " in ran.err
    assert not (tmp_path / "out").exists()
    if how != "bytes":  # sound weights, only others: they may encode
        ran = hcdcodec(*encode, *arguments)
        assert (ran.status, ran.err.count("\n")) == (3, 1) and words in ran.err


def test_a_full_disk_stops_no_more_than_it_must(tmp_path: Path, hcdcodec: Run, draw: Draw) -> None:
    """Small results still fit after a large one did not."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs privileges")
    for name, side in (("a", 24), ("b", 900), ("c", 24)):
        with (tmp_path / f"{name}.png").open("wb") as file:
            Image.fromarray(draw(side, side, 3)).save(file, "PNG")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs privileges")
    try:
        sources = [tmp_path / f"{name}.png" for name in "abc"]
        ran = hcdcodec("encode", *sources, disk, *FAST, "-Q", "100")
        assert ran.status == 1
        assert ran.err == f"hcdcodec: {sources[1]}: the disk is full; free some space and run again\n"
        assert sorted(path.name for path in disk.iterdir()) == ["a.png.hcd.png", "c.png.hcd.png"]
        assert hcdcodec("verify", "-q", *disk.iterdir()).status == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# --- places -----------------------------------------------------------------------------------------------------------


def test_results_with_paths_that_are_too_long_fail_alone(
    tmp_path: Path, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source can be read, but below the longer destination the deep one has no place."""
    put(tmp_path / "in", {"a.png": PLAIN})
    (tmp_path / "small").mkdir()
    for top, name, data in (("in", "deep.png", PLAIN), ("small", "deep.png.hcd.png", small())):
        monkeypatch.chdir(tmp_path / top)
        for _ in range(15):
            Path("d" * 250).mkdir()
            monkeypatch.chdir("d" * 250)
        Path(name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "small", {"a.png.hcd.png": small()})
    far = "/".join(["far" * 80] * 2)
    for arguments, made in (
        (("encode", "in", f"{far}/small", *FAST), "a.png.hcd.png"),
        (("decode", "small", far), "a.png"),
    ):
        for _ in range(2):  # the second time, the other one is up to date
            ran = hcdcodec(*arguments)
            assert ran.status == 1 and (Path(arguments[2]) / made).is_file()
            assert ran.err.count("\n") == 1 and ran.err.endswith(
                ": the result's name is too long for the file system; shorten the source's name\n"
            )
    ran = hcdcodec("status", "in", f"{far}/small", *FAST)
    assert (ran.status, ran.out) == (1, b"1 up to date, 1 failed\n")


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """As where it is swapped in between the walk's two looks."""
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(PictureError, match="is empty"):
        refuse_source(tmp_path / "a.png")


def test_a_huge_foreign_file_at_a_target_costs_nothing(tmp_path: Path, hcdcodec: Run) -> None:
    put(tmp_path, {"a.png": PLAIN})
    target = tmp_path / "a.hcd.png"
    with target.open("wb") as file:
        file.truncate(1 << 34)
    begun = time.process_time()
    ran = hcdcodec("encode", tmp_path / "a.png", target, *FAST)
    assert time.process_time() - begun < 2
    assert ran == Ran(1, b"", f"hcdcodec: {tmp_path / 'a.png'}: {target} exists and was not made by hcdcodec; "
                      "move it away or use --force\n")  # fmt: skip
    assert target.stat().st_size == 1 << 34


def test_a_program_without_threads_is_told_so(tmp_path: Path) -> None:
    """Stacks that no memory holds keep each thread from being started."""
    put(tmp_path, {"a.png": PLAIN})
    code = "import threading, hcdcodec.cli; threading.stack_size(1 << 50); hcdcodec.cli.main()"
    command: list[str | Path] = [
        sys.executable,
        "-c",
        code,
        "encode",
        tmp_path / "a.png",
        tmp_path / "b.hcd.png",
        *FAST,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (
        1,
        "hcdcodec: no more threads can be started; end other programs or raise the limit (ulimit -u)\n",
    )


@pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="there are no leases here")
@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_source_under_a_lease_is_waited_for(tmp_path: Path, hcdcodec: Run, whole_folder: bool) -> None:
    """Samba holds files so, and gives them up to those who wait for them."""
    put(tmp_path / "in", {"a.png": PLAIN})
    holder = subprocess.Popen([sys.executable, "-c", LEASE, tmp_path / "in/a.png"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        source = tmp_path / "in" if whole_folder else tmp_path / "in/a.png"
        assert hcdcodec("encode", source, f"{tmp_path}/small/", *FAST) == Ran(0, b"", "")
    finally:
        holder.kill()
        holder.communicate()
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["a.png.hcd.png"]


LEASE = """
import fcntl, os, signal, sys
held = os.open(sys.argv[1], os.O_RDWR)
signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK))
fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
while True:
    signal.pause()
"""
