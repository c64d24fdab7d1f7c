"""What stands beside the pixels of a file and Pillow does not hand over: carried, warned of, or refused.

    IPTC            JPEG APP13, TIFF tag 33723   carried as a PNG text chunk
    comments        JPEG, GIF, JPEG 2000         carried as PNG text chunks
    extended XMP    JPEG                         joined to the main packet
    gain map, depth map, preview, film           warned of: the picture is complete without them
    several views   multi-picture JPEG           refused: each of them is the picture
    camera raw      TIFF                         refused: the picture that is read is a preview

What can be carried goes where PNG tools look for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hcdcodec.errors import PictureError
from hcdcodec.pictures import tiff
from hcdcodec.pictures.jpeg import Jpeg, read_jpeg
from hcdcodec.pictures.metadata import IPTC_PROFILE, Strip
from hcdcodec.pictures.png_chunks import Chunk
from hcdcodec.pictures.png_text import profile_chunk, text_chunk
from hcdcodec.pictures.xmp import join_packets

_COMMENT_KEYWORD = b"Comment"
_MULTI_VIEW = 0x02  # panorama, disparity, multi-angle: the first byte of a type
_PREVIEW = 0x01
_GAIN_MAP_SIGNS = (b"hdrgm:", b'"GainMap"')
_BOXES = 1 << 16  # the head of an AVIF file, in which its items are listed


@dataclass(frozen=True)
class Remark:
    """A warning, and the kind of metadata that it is about; None: it is about none."""

    kind: Strip | None
    words: str


@dataclass(frozen=True)
class Extras:
    """What was found.

    Attributes:
        chunks: texts for a PNG.
        xmp: the packet, better than Pillow's; None: Pillow's is the one.
        remarks: what is lost.
    """

    chunks: tuple[Chunk, ...] = ()
    xmp: bytes | None = None
    remarks: tuple[Remark, ...] = ()


def read_extras(data: bytes) -> Extras:
    """Read what Pillow leaves.

    Args:
        data: a picture file of any kind, but no PNG.

    Raises:
        PictureError: the first picture in the file is not what the file is about, or it is made to harm.
        DamagedError: a TIFF without a readable directory.
    """
    if data.startswith(b"\xff\xd8"):
        return _of_jpeg(read_jpeg(data))
    if data.startswith((b"II", b"MM")):
        tiff.check_sizes(data)
        return _of_tiff(tiff.read_directory(data))
    is_mapped = data[4:8] == b"ftyp" and b"tmap" in data[:_BOXES]
    return Extras(remarks=(_lost("gain map"),) if is_mapped else ())


def read_comments(comments: Iterable[bytes]) -> Extras:
    """Make texts of comments, whose encoding no file tells."""
    texts = [text for comment in comments if (text := comment.rstrip(b"\0"))]
    chunks = tuple(text_chunk(_COMMENT_KEYWORD, text) for text in texts if b"\0" not in text)
    lost = Remark(Strip.TEXT, "a comment that is no text cannot be carried; keep the source for it")
    return Extras(chunks, remarks=() if len(chunks) == len(texts) else (lost,))


def _of_jpeg(jpeg: Jpeg) -> Extras:
    if any(kind >> 16 == _MULTI_VIEW for kind in jpeg.picture_types):
        raise PictureError("JPEG holds several views of its subject; save each as a single picture")
    tiff.check_sizes(jpeg.exif)
    xmp, remarks = jpeg.xmp, list[Remark]()
    if not jpeg.has_whole_icc:
        remarks.append(Remark(Strip.ICC, "a part of its colour profile is missing; it was left out"))
    if jpeg.has_extended_xmp:
        extension = jpeg.extended_xmp
        xmp = join_packets(jpeg.xmp or b"", extension) if extension is not None else None
        if xmp is None:
            xmp = jpeg.xmp
            remarks.append(Remark(Strip.XMP, "a part of its XMP cannot be joined to the rest; keep the source for it"))
    comments = read_comments(jpeg.comments)
    remarks += comments.remarks
    if behind := _name_of_what_follows(jpeg):
        remarks.append(_lost(behind))
    return Extras((*_iptc_chunk(jpeg.iptc), *comments.chunks), xmp, tuple(remarks))


def _of_tiff(directory: tiff.Directory) -> Extras:
    tiff.check_is_picture(directory)
    return Extras(_iptc_chunk(directory.value(tiff.IPTC)))


def _iptc_chunk(iptc: bytes) -> tuple[Chunk, ...]:
    return (profile_chunk(IPTC_PROFILE, iptc),) if iptc.strip(b"\0") else ()


def _name_of_what_follows(jpeg: Jpeg) -> str:
    """Return what to call what stands behind the picture; empty where nothing does that is worth a word."""
    kinds = jpeg.picture_types[1:]
    if kinds or b"\xff\xd8\xff" in jpeg.tail:
        if any(sign in (jpeg.xmp or b"") for sign in _GAIN_MAP_SIGNS):
            return "gain map"
        is_preview = kinds and all(kind >> 16 == _PREVIEW for kind in kinds)
        return "preview" if is_preview else "second picture, such as a gain or depth map,"
    return "film" if b"ftyp" in jpeg.tail[:_BOXES] else ""


def _lost(name: str) -> Remark:
    return Remark(None, f"the {name} behind the picture cannot be carried; keep the source for it")
