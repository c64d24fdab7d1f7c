"""docs/metadata.md says what becomes of each kind of metadata; this makes its table, and compares.

To write it anew: PYTHONPATH=tests python tests/unit/test_metadata_table.py > hcdcodec/docs/metadata.md
"""

import importlib
import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import picture_files
import pytest
from conftest import DATA, float32_engine
from picture_files import ICC, segment
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin
from sixteen_bits import cmyk_profile, deep
from sixteen_bits import png as png_16
from sixteen_bits import tiff as tiff_16

import hcdcodec
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.errors import OutputError, PictureError
from hcdcodec.files.encoded_names import Container
from hcdcodec.files.picture_names import Format
from hcdcodec.format import container
from hcdcodec.pictures import plugins, png_chunks, png_text
from hcdcodec.pictures.losses import losses
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.orientation import read_orientation
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

DOCUMENT = Path(hcdcodec.__file__).parent / "docs" / "metadata.md"
INTRODUCTION = """\
# What becomes of metadata

A picture's metadata goes into the small file and from there into the restored picture. In the table, "in a" is the
format of the source. The column "small file" is about the small file, and each column behind it about a restored
picture of that format. The small file is a PNG, a WebP or a JPEG XL: the three hold the same. The table is made by
tests/unit/test_metadata_table.py, which builds a file of each kind, encodes it, decodes it to each format, and looks.

- kept: the same bytes, or for density and comments the same values
- rewritten: the same content in other bytes
- close: nearly the same, as the format is lossy at its default quality
- turned: the pixels were turned, and EXIF says that they are upright
- as it is stored: viewers do not turn the source either, whatever its EXIF says; EXIF then says that it is upright
- converted: rounded to 8 bits a channel, or made sRGB, and encoding says so
- lost: it is gone, and no message says so
- warned: it is gone, and encoding or decoding says so; the picture itself is complete
- refused: encoding or decoding says why, and stores nothing

The rows of pixels and alpha tell what each format does to a restored picture. The small file itself is lossy for
pixels, and keeps alpha exactly.

"""

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 36, 3)).astype(np.uint8)
ROWS, COLUMNS = np.mgrid[:24, :36]
SMOOTH = np.dstack([ROWS * 9, COLUMNS * 6, ROWS + COLUMNS]).astype(np.uint8)
RDF = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""%s/></rdf:RDF>'
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + RDF % b"" + b"</x:xmpmeta>"
IPTC = b"\x1c\x02\x78\0\x0fHarbour at dawn."
GUID = b"0123456789ABCDEF" * 2
COMMENT = b"scanned by hand"
EXTENDED = XMP.replace(b' rdf:about=""', b' rdf:about="" xmlns:p="http://ns.adobe.com/photoshop/1.0/" p:History="long"')
COLOUR = (png_chunks.Chunk(b"gAMA", struct.pack(">I", 45455)), png_chunks.Chunk(b"cICP", b"\1\15\0\1"))


def exif() -> bytes:
    block = Image.Exif()
    block[ExifTags.Base.Artist] = "A. Nonymous"
    block[ExifTags.Base.YCbCrPositioning] = 1  # says how a file is stored, and nothing of the picture
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:01 00:00:00"
    return block.tobytes().removeprefix(b"Exif\0\0")


saved = partial(picture_files.saved, Image.fromarray(PIXELS))


def jpeg(*segments: bytes, tail: bytes = b"") -> bytes:
    data = saved("JPEG")
    return data[:2] + b"".join(segments) + data[2:] + tail


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return png_chunks.insert(saved("PNG"), [png_chunks.Chunk(*chunk) for chunk in chunks])


def tiff(tag: int, kind: int, value: object) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag] = value
    tags.tagtype[tag] = kind
    return saved("TIFF", tiffinfo=tags)


def jp2_with_profile() -> bytes:
    """Build a JPEG 2000 with a profile in the place of the number of a colour space."""
    data, colr = saved("JPEG2000"), b"colr\2\0\0" + ICC
    start, at = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    (whole,), (old,) = (struct.unpack_from(">I", data, place) for place in (start, at))
    size = struct.pack(">I", whole + 4 + len(colr) - old)
    return data[:start] + size + data[start + 4 : at] + struct.pack(">I", 4 + len(colr)) + colr + data[at + old :]


def bmp_with_profile() -> bytes:
    """Build a BMP whose header, of version 5, names a profile behind the pixels."""
    data = saved("BMP")
    head, pixels = data[18:54], data[54:]
    about = struct.pack("<16x4s48x4I", b"DEBM", 4, 124 + len(pixels), len(ICC), 0)
    body = struct.pack("<I", 124) + head + about + pixels + ICC
    return struct.pack("<2sIII", b"BM", 14 + len(body), 0, 14 + 124) + body


def gif(application: bytes, payload: bytes) -> bytes:
    data = saved("GIF")
    colours = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    blocks = (application, *(payload[at : at + 255] for at in range(0, len(payload), 255)))
    parts = (bytes((len(block),)) + block for block in blocks)
    return data[:colours] + b"\x21\xff" + b"".join(parts) + b"\0" + data[colours:]


def wide_avif() -> bytes:
    """Build an AVIF that says Display P3 by a number."""
    data = saved("AVIF")
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :]


def extended_xmp() -> bytes:
    note = b' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"' % GUID
    main = b"http://ns.adobe.com/xap/1.0/\0" + XMP.replace(b' rdf:about=""', b' rdf:about=""' + note)
    more = b"http://ns.adobe.com/xmp/extension/\0" + GUID + struct.pack(">II", len(EXTENDED), 0) + EXTENDED
    return jpeg(segment(0xE1, main), segment(0xE1, more))


def several(*kinds: int) -> bytes:
    """Build a JPEG with an index of pictures of these types, and one more behind it."""
    entries = b"".join(struct.pack("<IIIHH", kind, 500, 0, 0, 0) for kind in kinds)
    count, place = struct.pack("<I", len(kinds)), struct.pack("<I", 50)
    fields = ((0xB000, 7, 4, b"0100"), (0xB001, 4, 1, count), (0xB002, 7, len(entries), place))
    table = b"".join(struct.pack("<HHI", *field[:3]) + field[3] for field in fields)
    return jpeg(segment(0xE2, b"MPF\0II*\0\x08\0\0\0\3\0" + table + bytes(4) + entries), tail=saved("JPEG"))


def texts(metadata: Metadata, keyword: bytes) -> bytes | None:
    chunks = (chunk for chunk in metadata.chunks if png_text.has_keyword(chunk, keyword))
    return next((png_text.read_text(chunk, limit=1 << 20) for chunk in chunks), None)


def history(metadata: Metadata) -> bytes | None:
    return metadata.xmp if b"History" in (metadata.xmp or b"") else None


def chunk_of(metadata: Metadata, *types: bytes) -> bytes | None:
    return b"".join(chunk.payload for chunk in metadata.chunks if chunk.type in types) or None


def dpi(metadata: Metadata) -> int | None:
    return None if metadata.dpi is None else round(metadata.dpi[0])


@dataclass(frozen=True)
class Kind:
    """One kind of metadata in one kind of file.

    Attributes:
        name: what the table calls it.
        source: file format.
        data: a file with it.
        find: takes it out of what was read.
        value: what stands in the file.
    """

    name: str
    source: str
    data: bytes
    find: Callable[[Metadata], object] = lambda metadata: None
    value: object = b"something"


def repacked() -> bytes:
    """Build a JPEG XL that is a JPEG without loss."""
    how = {"mode": "RGB", "lossless": True, "quality": 100, "effort": 3, "use_container": True, "num_threads": 0}
    encoder = importlib.import_module("pillow_jxl").Encoder(**how, decoding_speed=0, use_original_profile=True)
    data = saved("JPEG", icc_profile=ICC, exif=b"Exif\0\0" + exif(), xmp=XMP)
    packed: bytes = encoder(data, PIXELS.shape[1], PIXELS.shape[0], jpeg_encode=True)
    return packed


plugins.require(Format.HEIC)
plugins.require(Format.JXL)
REPACKED = repacked()
ICCS = {kind: saved(kind, icc_profile=ICC) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF")}
ICCS |= {"JPEG as JXL": REPACKED, "JPEG 2000": jp2_with_profile(), "BMP": bmp_with_profile()}
ICCS |= {"GIF": gif(b"ICCRGBG1012", ICC)}
EXIFS = {kind: saved(kind, exif=b"Exif\0\0" + exif()) for kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "HEIF")}
EXIFS |= {"JXL": saved("JXL", exif=bytes(4) + exif()), "JPEG as JXL": REPACKED}
XMPS = {kind: saved(kind, xmp=XMP) for kind in ("JPEG", "WEBP", "AVIF", "HEIF", "JXL")}
XMPS |= {"JPEG as JXL": REPACKED}
XMPS |= {"TIFF": tiff(700, 1, XMP), "PNG": png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))}
XMPS |= {"GIF": gif(b"XMP DataXMP", XMP)}
IPTCS = {
    "JPEG": jpeg(segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0" + struct.pack(">I", len(IPTC)) + IPTC)),
    "TIFF": tiff(33723, 7, IPTC),
    "PNG": png(tuple(png_text.profile_chunk(b"iptc", IPTC))),  # type: ignore[arg-type]
}
COMMENTS = {"JPEG": jpeg(segment(0xFE, COMMENT)), "PNG": png((b"tEXt", b"Comment\0" + COMMENT))}
COMMENTS |= {"GIF": saved("GIF", comment=COMMENT), "JPEG 2000": saved("JPEG2000", comment=COMMENT)}
DENSITIES = {kind: saved(kind, dpi=(300, 300)) for kind in ("PNG", "JPEG", "TIFF", "BMP")}
BROKEN = png((b"iCCP", b"icc\0\0no profile"))

KINDS = (
    *(Kind("ICC profile", name, data, lambda found: found.icc, ICC) for name, data in ICCS.items()),
    *(Kind("EXIF", name, data, lambda found: found.exif, exif()) for name, data in EXIFS.items()),
    *(Kind("XMP", name, data, lambda found: found.xmp, XMP) for name, data in XMPS.items()),
    Kind("XMP, extended", "JPEG", extended_xmp(), history),
    *(Kind("IPTC", name, data, lambda found: found.iptc, IPTC) for name, data in IPTCS.items()),
    *(Kind("comment", name, data, partial(texts, keyword=b"Comment"), COMMENT) for name, data in COMMENTS.items()),
    Kind("text", "PNG", png((b"tEXt", b"Title\0a")), partial(texts, keyword=b"Title"), b"a"),
    *(Kind("density", name, data, dpi, 300) for name, data in DENSITIES.items()),
    Kind("colour space", "PNG", png(*COLOUR), lambda found: chunk_of(found, b"gAMA", b"cICP"),
         b"".join(chunk.payload for chunk in COLOUR)),
    Kind("colour space", "AVIF", wide_avif(), lambda found: chunk_of(found, b"cICP"), b"\14\15\0\1"),
    Kind("content credentials (C2PA)", "JPEG", jpeg(segment(0xEB, b"JP\0\1"))),
    Kind("content credentials (C2PA)", "PNG", png((b"caBX", b"x"))),
    Kind("a chunk that nobody knows", "PNG", png((b"vpAg", b"x"))),
    Kind("a chunk that nobody knows", "WebP", saved("WEBP") + b"abc \0\0\0\0"),
    Kind("a box that nobody knows", "JPEG 2000", saved("JPEG2000") + b"\0\0\0\x0cxml <x/>"),
    Kind("EXIF, XMP", "JPEG 2000", saved("JPEG2000") + b"\0\0\0\x1cuuidJpgTiffExif->JP2II*\0"),
    Kind("place on a map (GeoTIFF)", "TIFF", tiff(34735, 3, (1, 1, 0, 0))),
    Kind("layers (Photoshop)", "TIFF", tiff(37724, 7, b"Adobe Photoshop Document Data Block\0")),
    Kind("a damaged chunk", "PNG", BROKEN),
    Kind("gain or depth map, preview", "JPEG", several(0x030000, 0)),
    Kind("film", "JPEG", jpeg(tail=bytes(4) + b"ftypmp42")),
    Kind("other data behind the picture", "JPEG", jpeg(tail=b"SEFH")),
    Kind("other data behind the picture", "PNG", saved("PNG") + b"more"),
    Kind("several views", "JPEG", several(0x020002, 0x020002)),
    Kind("camera raw", "TIFF", tiff(254, 4, 1)),
)  # fmt: skip


def encoded(picture: Picture) -> Picture:
    """Return what comes back from each kind of small file, which is the same."""
    engine = float32_engine("bicubic", 4)
    (made,) = encode_pictures(engine, [picture], EncodeOptions(search_of(0)))
    for small in Container:
        pack = partial(container.pack, made.header, made.lr, kind=small)
        restored = decode_picture(
            engine, container.unpack(pack(alpha=picture.alpha, metadata=picture.metadata, level=0))
        )
        assert restored.metadata == picture.metadata, small
    return restored


def cells(kind: Kind) -> Iterator[str]:
    """Yield what becomes of metadata: in the small file, and in each format that is decoded to."""
    try:
        picture = read_picture(kind.data)
    except PictureError:
        yield from ("refused", *("" for _ in Format))
        return
    yield cell(kind, picture, picture.warnings)
    restored = encoded(picture)
    for fmt in Format:
        yield cell(kind, read_picture(write_picture(restored, fmt)), picture.warnings + losses(restored.metadata, fmt))


def cell(kind: Kind, found: Picture, warnings: tuple[str, ...]) -> str:
    value = kind.find(found.metadata)
    if value is None:
        return "warned" if warnings else "lost"
    return "kept" if value == kind.value else "rewritten"


def nearness(levels: Levels, expected: Levels) -> str:
    assert levels.shape == expected.shape
    assert np.abs(levels.astype(int) - expected).mean() < 12
    return "kept" if np.array_equal(levels, expected) else "close"


def pixel_cells(channels: int) -> Iterator[str]:
    """Yield what each format does to the pixels of a restored picture of so many channels."""
    alpha = PIXELS[..., 0] if channels in (2, 4) else None  # noise, since lossy codecs keep a smooth alpha
    restored = encoded(Picture(SMOOTH[..., 0] if channels < 3 else SMOOTH, alpha))
    if alpha is not None:
        assert restored.alpha is not None and np.array_equal(restored.alpha, alpha)
    yield "close" if alpha is None else "kept"
    for fmt in Format:
        try:
            found = read_picture(write_picture(restored, fmt))
        except OutputError:
            yield "refused"
            continue
        colours = found.pixels[..., :1] if found.pixels.ndim > restored.pixels.ndim else np.atleast_3d(found.pixels)
        if alpha is None:
            yield nearness(colours, np.atleast_3d(restored.pixels))
        else:
            assert found.alpha is not None and restored.alpha is not None
            yield nearness(found.alpha, restored.alpha)


def orientation_cells(kind: str) -> Iterator[str]:
    """Yield whether a picture is to be turned, or has been turned, after each step."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = 6
    exif = bytes(4) * (kind == "JXL") + block.tobytes().removeprefix(b"Exif\0\0")
    data = saved(kind, exif=b"Exif\0\0" + exif if kind != "JXL" else exif)
    picture = read_picture(data)
    yield turned(read_orientation(picture.metadata.exif or b""), (picture.height, picture.width))
    restored = encoded(Picture(PIXELS, None, Metadata(exif=block.tobytes().removeprefix(b"Exif\0\0"))))
    for fmt in Format:
        with Image.open(io.BytesIO(write_picture(restored, fmt))) as image:
            yield turned(image.getexif().get(ExifTags.Base.Orientation, 1), image.size[::-1])


def turned(orientation: int, size: tuple[int, int]) -> str:
    if orientation == 6:
        return "kept"
    assert orientation == 1
    return "turned" if size == PIXELS.shape[1::-1] else "as it is stored"


def conversion_cell(data: bytes) -> str:
    """Return what becomes of a picture that 8-bit grey or RGB cannot hold."""
    with pytest.raises(PictureError, match=r"; encode --convert "):
        read_picture(data)
    assert read_picture(data, convert=True).warnings
    return "refused, converted with --convert"


def saved_deep_heic() -> bytes:
    buffer = io.BytesIO()
    heif = importlib.import_module("pillow_heif")
    heif.from_bytes("RGB;16", PIXELS.shape[1::-1], (PIXELS.astype(np.uint16) * 257).tobytes()).save(buffer)
    return buffer.getvalue()


def saved_lab() -> bytes:
    lab = ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(PIXELS), ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    assert image is not None
    return picture_files.saved(image, "TIFF")


ORIENTED = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "JXL", "TIFF")
DEEP = {
    "PNG": png_16(deep(24, 36, 3), 2),
    "TIFF": tiff_16(deep(24, 36, 3)),
    "HEIC": saved_deep_heic(),
    "AVIF": (DATA / "deep.avif").read_bytes(),
    "PNM": b"P6 36 24 65535\n" + deep(24, 36, 3).astype(">u2").tobytes(),
}
INKS = {kind: picture_files.saved(Image.fromarray(PIXELS).convert("CMYK"), kind, icc_profile=cmyk_profile())
        for kind in ("JPEG", "TIFF")}  # fmt: skip


def document() -> str:
    names = {"WEBP": "WebP", "HEIF": "HEIC", "JXL": "JPEG XL", "JPEG as JXL": "JPEG XL of a JPEG"}
    head = ("what", "in a", "small file", *(names.get(fmt.name, fmt.name) for fmt in Format))
    nowhere = ("",) * len(Format)
    rows = [
        head,
        ("---",) * len(head),
        ("pixels, grey", "any", *pixel_cells(1)),
        ("pixels, colour", "any", *pixel_cells(3)),
        ("alpha, grey", "any", *pixel_cells(2)),
        ("alpha, colour", "any", *pixel_cells(4)),
        *(("orientation", names.get(kind, kind), *orientation_cells(kind)) for kind in ORIENTED),
        *(("more than 8 bits", name, conversion_cell(data), *nowhere) for name, data in DEEP.items()),
        *(("CMYK with a profile", name, conversion_cell(data), *nowhere) for name, data in INKS.items()),
        ("Lab", "TIFF", conversion_cell(saved_lab()), *nowhere),
        *((kind.name, names.get(kind.source, kind.source), *cells(kind)) for kind in KINDS),
    ]
    return INTRODUCTION + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_the_document_says_what_happens() -> None:
    assert DOCUMENT.read_text() == document()


def test_nothing_is_lost_on_the_way_to_png() -> None:
    for kind in KINDS:
        found = list(cells(kind))
        assert "lost" not in found[:2], kind.name
        assert "lost" not in found or kind.name == "density"


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201
