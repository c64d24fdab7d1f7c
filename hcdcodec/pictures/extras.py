"""Read the parts of a file that Pillow does not return. They are carried, or cause a warning or a refusal.

    IPTC            JPEG APP13, TIFF tag 33723   carried as a PNG text chunk
    comments        JPEG, GIF, JPEG 2000         carried as PNG text chunks
    extended XMP    JPEG                         joined to the main packet
    gain map, depth map, preview, film,          warning: the picture is complete without them
    other data behind a JPEG or PNG
    content credentials (C2PA), unknown parts    warning: they are about other bytes, or nobody knows about what
    ICC profile     JPEG 2000, BMP               carried
    EXIF and XMP of JPEG 2000; XMP, ICC of GIF   warning
    place on a map, layers       TIFF            warning: the picture is complete without them
    several views   multi-picture JPEG           refused: each view is a picture of its own
    camera raw      TIFF                         refused: the picture that would be read is a preview

Each carried part goes to the place where PNG tools look for it.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hcdcodec.errors import DamagedError, PictureError
from hcdcodec.pictures import tiff
from hcdcodec.pictures.boxes import walk_boxes
from hcdcodec.pictures.colour_boxes import read_profile
from hcdcodec.pictures.jpeg import Jpeg, read_jpeg
from hcdcodec.pictures.metadata import IPTC_PROFILE, Strip, kinds_of
from hcdcodec.pictures.png_chunks import Chunk
from hcdcodec.pictures.png_text import COMMENT, profile_chunk, text_chunk
from hcdcodec.pictures.xmp import join_packets

_MULTI_VIEW = 0x02  # panorama, disparity, multi-angle: the first byte of a type
_PREVIEW = 0x01
# The prefix of Adobe's namespace for gain maps, and the name of the item in Google's container directory.
_GAIN_MAP_SIGNS = (b"hdrgm:", b'"GainMap"')
_BOXES = 1 << 16  # the head of an AVIF file, in which its items are listed
_CREDENTIALS = "content credentials (C2PA)"
_UUIDS = {
    bytes.fromhex("d8fec3d61b0e483c92975828877ec481"): _CREDENTIALS,  # C2PA 2.1, section A.5
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "XMP",  # Adobe XMP part 3, section 1.2.3
    b"JpgTiffExif->JP2": "EXIF",
}
_JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_GIF_PARTS = {
    b"\x21\xff\x0bXMP DataXMP": (Strip.XMP, "XMP"),
    b"\x21\xff\x0bICCRGBG1012": (Strip.ICC, "colour profile"),
}
_KNOWN_BOXES = frozenset((
    b"jP  ", b"ftyp", b"etyp", b"rreq", b"jp2h", b"jp2c", b"meta", b"mini", b"mdat", b"idat", b"moov", b"free", b"skip",
    b"wide",
))  # fmt: skip
_WEBP_CHUNKS = frozenset((b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L", b"EXIF", b"XMP ", b"ANIM", b"ANMF"))
_MAP_PLACE = "place on a map (GeoTIFF)"
# OGC GeoTIFF 1.1, annex B: the picture's scale, its tie points, its transformation, and the keys of the map.
_TIFF_PARTS = {33550: _MAP_PLACE, 33922: _MAP_PLACE, 34264: _MAP_PLACE, 34735: _MAP_PLACE}
_TIFF_PARTS |= {37724: "stack of layers (Photoshop)"}  # beside them stands the picture of all layers together
_BMP_HEADER, _BMP_V5 = 14, 124  # where the second header of a BMP begins; its size where it can name a profile
_BMP_EMBEDDED = b"DEBM"
_FILLING = b"\0\r\n\xff\xd9"  # also ends of JPEG files, which some cameras write twice
_JUMBF_SEGMENT = 0xEB  # ITU-T T.86 reserves APP11 for JPEG XT and JUMBF, in which C2PA stands
# These chunks say how a PNG is stored or shown, or when. hcDS is the mark of our reconstructions.
_STORAGE_CHUNKS = frozenset((
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"bKGD", b"hIST", b"sBIT", b"sPLT", b"tIME",
    b"hcDS",
))  # fmt: skip


@dataclass(frozen=True)
class MetadataWarning:
    """A warning and its kind of metadata; None: it is about no kind that a user can strip."""

    kind: Strip | None
    words: str


@dataclass(frozen=True)
class Extras:
    """The parts of a file that Pillow does not return.

    Attributes:
        chunks: PNG text chunks.
        xmp: the complete XMP packet; None: take the packet that Pillow returns.
        icc: the colour profile; None: take the profile that Pillow returns.
        warnings: warnings about parts that are lost.
    """

    chunks: tuple[Chunk, ...] = ()
    xmp: bytes | None = None
    icc: bytes | None = None
    warnings: tuple[MetadataWarning, ...] = ()


def read_extras(data: bytes) -> Extras:
    """Read the parts that Pillow does not return.

    Args:
        data: a picture file of any format except PNG.

    Raises:
        PictureError: the first picture in the file is not its main picture, or the file would cost far too much.
        DamagedError: the file is a TIFF without a readable directory.
    """
    if data.startswith(b"\xff\xd8"):
        return _extras_of_jpeg(read_jpeg(data))
    if data.startswith((b"II", b"MM")):
        tiff.check_tag_sizes(data)
        return _extras_of_tiff(tiff.read_directory(data))
    is_mapped = data[4:8] == b"ftyp" and b"tmap" in data[:_BOXES]
    warnings = [_warn_about("gain map")] if is_mapped else []
    if data[4:8] == b"ftyp" or data.startswith(_JP2_SIGNATURE):
        warnings += map(_warn_about_part, dict.fromkeys(_lost_boxes(data)))
    if data[8:12] == b"WEBP":
        lost = dict.fromkeys(kind for kind in _riff_types(data) if kind not in _WEBP_CHUNKS)
        warnings += (
            _warn_about_part(_CREDENTIALS if kind == b"C2PA" else f"WebP chunk {_text(kind)}") for kind in lost
        )
    if data.startswith(b"GIF"):
        warnings += [_warn_about_part(name, kind) for mark, (kind, name) in _GIF_PARTS.items() if mark in data]
    return Extras(icc=_read_profile(data), warnings=tuple(warnings))


def name_lost_chunks(chunks: Iterable[Chunk]) -> list[str]:
    """Return warnings about the chunks of a PNG that are not carried and that the pixels do not need."""
    types = {chunk.type for chunk in chunks if chunk.type not in _STORAGE_CHUNKS and not kinds_of(chunk)}
    names = (_CREDENTIALS if kind == b"caBX" else f"PNG chunk {kind.decode()}" for kind in sorted(types))
    return [_warn_about_part(name).words for name in names]


def name_data_behind(tail: bytes) -> list[str]:
    """Return a warning about the bytes behind the last chunk of a PNG, unless they are filling."""
    return [_warn_about("data").words] if tail.strip(_FILLING) else []


def name_heic_parts(info: Mapping[Any, Any]) -> list[str]:
    """Return warnings about the pictures beside the main one in a HEIC, as pillow-heif lists them."""
    names = {"depth_images": "depth map", "aux": "second picture, such as a gain map,"}
    return [_warn_about(name).words for key, name in names.items() if info.get(key)]


def read_comments(comments: Iterable[bytes]) -> Extras:
    """Make text chunks of comments. Files do not say in which encoding a comment is."""
    texts = [text for comment in comments if (text := comment.rstrip(b"\0"))]
    chunks = tuple(text_chunk(COMMENT, text) for text in texts if b"\0" not in text)
    lost = MetadataWarning(Strip.TEXT, "a comment that is no text cannot be carried; keep the source for it")
    return Extras(chunks, warnings=() if len(chunks) == len(texts) else (lost,))


def _read_profile(data: bytes) -> bytes | None:
    """Return the colour profile of a JPEG 2000 or BMP file; None where it has none."""
    if data.startswith(_JP2_SIGNATURE):
        return read_profile(data)
    head = data[_BMP_HEADER : _BMP_HEADER + _BMP_V5]
    if data[:2] != b"BM" or len(head) < _BMP_V5 or head[0] != _BMP_V5 or head[56:60] != _BMP_EMBEDDED:
        return None
    place, size = (int.from_bytes(head[at : at + 4], "little") for at in (112, 116))
    return data[_BMP_HEADER + place : _BMP_HEADER + place + size] or None


def _extras_of_jpeg(jpeg: Jpeg) -> Extras:
    if any(kind >> 16 == _MULTI_VIEW for kind in jpeg.picture_types):
        raise PictureError("JPEG holds several views of its subject; save each as a single picture")
    # Pillow reads the EXIF block with its TIFF reader, so the block can cost as much as a hostile TIFF.
    tiff.check_tag_sizes(jpeg.exif)
    xmp, warnings = jpeg.xmp, list[MetadataWarning]()
    if not jpeg.has_whole_icc:
        warnings.append(MetadataWarning(Strip.ICC, "a part of its colour profile is missing; it was left out"))
    if jpeg.has_extended_xmp:
        extension = jpeg.extended_xmp
        xmp = join_packets(jpeg.xmp or b"", extension) if extension is not None else None
        if xmp is None:
            xmp = jpeg.xmp
            warnings.append(
                MetadataWarning(Strip.XMP, "a part of its XMP cannot be joined to the rest; keep the source for it")
            )
    comments = read_comments(jpeg.comments)
    warnings += comments.warnings
    if behind := _name_tail(jpeg):
        warnings.append(_warn_about(behind))
    if any(segment.marker == _JUMBF_SEGMENT and segment.payload.startswith(b"JP") for segment in jpeg.segments):
        warnings.append(_warn_about_part(_CREDENTIALS))
    return Extras((*_iptc_chunk(jpeg.iptc), *comments.chunks), xmp, warnings=tuple(warnings))


def _extras_of_tiff(directory: tiff.Directory) -> Extras:
    tiff.check_is_picture(directory)
    lost = dict.fromkeys(name for tag, name in _TIFF_PARTS.items() if tag in directory.entries)
    return Extras(_iptc_chunk(directory.value(tiff.IPTC)), warnings=tuple(map(_warn_about_part, lost)))


def _iptc_chunk(iptc: bytes) -> tuple[Chunk, ...]:
    return (profile_chunk(IPTC_PROFILE, iptc),) if iptc.strip(b"\0") else ()


def _name_tail(jpeg: Jpeg) -> str:
    """Return a name for what stands behind the picture; empty where there is nothing but filling."""
    kinds = jpeg.picture_types[1:]
    if kinds or b"\xff\xd8\xff" in jpeg.tail:
        if any(sign in (jpeg.xmp or b"") for sign in _GAIN_MAP_SIGNS):
            return "gain map"
        is_preview = kinds and all(kind >> 16 == _PREVIEW for kind in kinds)
        return "preview" if is_preview else "second picture, such as a gain or depth map,"
    if b"ftyp" in jpeg.tail[:_BOXES]:
        return "film"
    return "data" if jpeg.tail.strip(_FILLING) else ""


def _lost_boxes(data: bytes) -> Iterator[str]:
    """Yield names of the boxes of a JPEG 2000, AVIF or HEIC file that are not carried, up to a wrong length."""
    with contextlib.suppress(DamagedError):  # whoever decodes the picture will say so
        for box in walk_boxes(data, ""):
            if box.type == b"uuid":
                yield _UUIDS.get(box.payload[:16], "box uuid")
            elif box.type not in _KNOWN_BOXES:
                yield f"box {_text(box.type)}"


def _text(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace").strip()


def _riff_types(data: bytes) -> Iterator[bytes]:
    """Yield the types of the chunks of a WebP."""
    position = 12
    while position + 8 <= len(data):
        yield data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2


def _warn_about_part(name: str, kind: Strip | None = None) -> MetadataWarning:
    return MetadataWarning(kind, f"its {name} cannot be carried; keep the source for it")


def _warn_about(name: str) -> MetadataWarning:
    return MetadataWarning(None, f"the {name} behind the picture cannot be carried; keep the source for it")
