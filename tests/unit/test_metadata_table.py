"""docs/metadata.md says what becomes of each kind of metadata; this makes its table, and compares.

To write it anew: PYTHONPATH=tests python tests/unit/test_metadata_table.py > hcdcodec/docs/metadata.md
"""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from conftest import float32_engine
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

import hcdcodec
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.errors import PictureError
from hcdcodec.files.encoded_names import Container
from hcdcodec.files.picture_names import Format
from hcdcodec.format import container
from hcdcodec.pictures import png_chunks, png_text
from hcdcodec.pictures.losses import losses
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

DOCUMENT = Path(hcdcodec.__file__).parent / "docs" / "metadata.md"
INTRODUCTION = """\
# What becomes of metadata

A picture's metadata goes into the small file and from there into the restored one. This table is made by
tests/unit/test_metadata_table.py: it builds a file of each kind, encodes it, decodes it to each format, and looks.
The small file is a PNG, a WebP or a JPEG XL: the three hold the same.

- kept: the same bytes, or for density and comments the same values
- rewritten: what it says is there, in other bytes
- lost: it is not there, and no message says so
- warned: it is not there, and encoding or decoding says so; the picture itself is complete
- refused: encoding says why, and stores nothing

"""

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 36, 3)).astype(np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
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


def saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, **options)
    return buffer.getvalue()


def segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(payload)) + payload


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


ICCS = {kind: saved(kind, icc_profile=ICC) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")}
EXIFS = {kind: saved(kind, exif=b"Exif\0\0" + exif()) for kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF")}
XMPS = {kind: saved(kind, xmp=XMP) for kind in ("JPEG", "WEBP", "AVIF")}
XMPS |= {"TIFF": tiff(700, 1, XMP), "PNG": png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))}
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
    Kind("a damaged chunk", "PNG", BROKEN),
    Kind("gain or depth map, preview", "JPEG", several(0x030000, 0)),
    Kind("film", "JPEG", jpeg(tail=bytes(4) + b"ftypmp42")),
    Kind("several views", "JPEG", several(0x020002, 0x020002)),
    Kind("camera raw", "TIFF", tiff(254, 4, 1)),
)  # fmt: skip


def cells(kind: Kind) -> Iterator[str]:
    """Yield what becomes of it: in the small file, and in each format that is decoded to."""
    try:
        picture = read_picture(kind.data)
    except PictureError:
        yield from ("refused", *("" for _ in Format))
        return
    yield cell(kind, picture, picture.warnings)
    engine = float32_engine("bicubic", 4)
    (encoded,) = encode_pictures(engine, [picture], EncodeOptions(search_of(0)))
    for small in Container:
        pack = partial(container.pack, encoded.header, encoded.lr, kind=small)
        data = pack(alpha=None, metadata=picture.metadata, level=0)
        restored = decode_picture(engine, container.unpack(data))
        assert restored.metadata == picture.metadata, small
    for fmt in Format:
        yield cell(kind, read_picture(write_picture(restored, fmt)), picture.warnings + losses(restored.metadata, fmt))


def cell(kind: Kind, found: Picture, warnings: tuple[str, ...]) -> str:
    value = kind.find(found.metadata)
    if value is None:
        return "warned" if warnings else "lost"
    return "kept" if value == kind.value else "rewritten"


def document() -> str:
    head = ("what", "in a", "small file", *(f"decoded to {fmt.name}" for fmt in Format))
    rows = [
        head,
        ("---",) * len(head),
        *((kind.name, kind.source.replace("WEBP", "WebP"), *cells(kind)) for kind in KINDS),
    ]
    return INTRODUCTION + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_the_document_says_what_happens() -> None:
    assert DOCUMENT.read_text() == document()


def test_nothing_is_lost_on_the_way_to_png() -> None:
    for kind in KINDS:
        assert "lost" not in list(cells(kind))[:2], kind.name
        assert "lost" not in list(cells(kind)) or kind.name == "density"


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201
