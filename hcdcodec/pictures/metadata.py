"""The metadata of a picture, and its form in PNG chunks.

    field   in a PNG                                              elsewhere
    icc     iCCP, decompressed                                    ICC profile as Pillow finds it
    exif    eXIf                                                  EXIF without the leading b"Exif\0\0"
    xmp     iTXt with keyword XML:com.adobe.xmp, decompressed     XMP packet; a JPEG's extension is joined to it
    chunks  colour space, density and text chunks, untouched      pHYs made from dots per inch, texts from a JPEG's
                                                                  comments and from IPTC

The payloads come back byte for byte. This module does not interpret them: orientation stays a tag, and colours stay as
they are stored. docs/metadata.md shows the way of each kind through encoding and decoding.

Stripping: a thumbnail inside EXIF belongs to EXIF. It is kept or left out together with the rest, never alone, because
cutting it out would move data to which maker notes point. Some tools repeat EXIF in text chunks; these are stripped
with EXIF. XMP can repeat parts of EXIF, such as the position; these are stripped with XMP. IPTC stands in a text chunk
and is stripped with the texts. Alpha is not metadata and always stays.
"""

import enum
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from PIL import ExifTags, Image, JpegImagePlugin, TiffImagePlugin

from hcdcodec.errors import DamagedError, PictureError
from hcdcodec.pictures import png_chunks, png_text, tiff

_XMP_KEYWORD = b"XML:com.adobe.xmp"
_EXIF_KEYWORDS = (b"raw profile type exif", b"raw profile type app1", b"exif:")
_XMP_KEYWORDS = (b"raw profile type xmp", b"raw profile type app1", _XMP_KEYWORD.lower() + b"\0")
_KEYWORD_MOST = 79  # bytes
IPTC_PROFILE = b"iptc"
_IPTC_MOST = 2  # chunks that are unpacked: a sound one may stand behind a broken one, and many bombs would cost minutes
_EXIF_PREFIX = b"Exif\0\0"
PAYLOAD_MAX = 1 << 26  # limit on one payload after decompression, so that a bomb cannot fill the memory
_METRES_PER_INCH = 0.0254
_DPI_OF_NOTHING = 1  # some programs write 1 dpi where they do not know the density
# Of ITU-T H.273: BT.709 or unknown; BT.709, unknown, BT.601 or sRGB. Programs show all of them as sRGB.
_USUAL_PRIMARIES, _USUAL_TRANSFERS = (1, 2), (1, 2, 6, 13)
_RESOLUTION_UNITS = (2, 3)  # inch, centimetre; 1 is none
# A TIFF mixes EXIF with the tags that describe its storage. These tags describe the picture.
_TIFF_TAGS = tuple(
    ExifTags.Base[name]
    for name in (
        "ProcessingSoftware", "DocumentName", "ImageDescription", "Make", "Model", "PageName", "Software", "DateTime",
        "Artist", "HostComputer", "Rating", "RatingPercent", "Copyright", "XPTitle", "XPComment", "XPAuthor",
        "XPKeywords", "XPSubject",
    )
)  # fmt: skip
_TIFF_GROUPS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


class Strip(enum.StrEnum):
    """One kind of metadata; the value is its name for users."""

    EXIF = "exif"
    ICC = "icc"
    XMP = "xmp"
    TEXT = "text"
    DENSITY = "density"
    COLOUR = "colour"


_KINDS = {
    b"iCCP": Strip.ICC,
    b"eXIf": Strip.EXIF,
    b"pHYs": Strip.DENSITY,
    **dict.fromkeys((b"cHRM", b"cICP", b"cLLI", b"gAMA", b"mDCV", b"sRGB"), Strip.COLOUR),
}


@dataclass(frozen=True)
class Metadata:
    """The payloads of the metadata, exactly as they stand in the source.

    Attributes:
        icc: the colour profile.
        exif: the EXIF block, a TIFF structure that begins with b"II" or b"MM".
        xmp: the XMP packet, UTF-8.
        chunks: further PNG chunks, in the order of the source.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    chunks: tuple[png_chunks.Chunk, ...] = ()

    @classmethod
    def from_chunks(cls, chunks: Iterable[png_chunks.Chunk]) -> "Metadata":
        """Take the metadata out of a PNG's chunks. Of several chunks of one kind, the first counts, as in libpng.

        Raises:
            DamagedError: a compressed payload is broken or larger than 64 MiB.
        """
        metadata, faults = cls.salvage(chunks)
        if faults:
            raise faults[0].error
        return metadata

    @classmethod
    def salvage(cls, chunks: Iterable[png_chunks.Chunk]) -> tuple["Metadata", tuple["Fault", ...]]:
        """Take the metadata out of the sound chunks of a PNG, and return the faults of the others."""
        payloads = dict[Strip, bytes | None]()
        kept, faults = list[png_chunks.Chunk](), list[Fault]()
        for chunk in chunks:
            kind = next(iter(kinds_of(chunk)), None)
            if kind not in (Strip.ICC, Strip.EXIF, Strip.XMP):
                kept += [chunk] if kind else []
            elif kind not in payloads:  # a second one is not unpacked: a file of many bombs would cost minutes
                payloads[kind] = None
                try:
                    payloads[kind] = _read(chunk) or None
                except DamagedError as error:
                    faults.append(Fault(chunk.type.decode(), error))
        return cls(**payloads, chunks=tuple(kept)), tuple(faults)

    @classmethod
    def from_pillow(cls, image: Image.Image) -> "Metadata":
        """Take the metadata out of a picture that is not a PNG. Its pixels must be loaded already."""
        icc, exif, xmp = (image.info.get(key) for key in ("icc_profile", "exif", "xmp"))
        if image.format == "TIFF":  # orientation is not among the tags: Pillow has applied it
            exif = _copy_descriptive(image.getexif(), _TIFF_TAGS)
        return cls(
            icc=icc or None,
            exif=exif.removeprefix(_EXIF_PREFIX) or None if isinstance(exif, bytes) else None,
            xmp=xmp or None if isinstance(xmp, bytes) else None,
            chunks=(
                *(_density_chunks(image.info.get("dpi")) if _has_density(image) else ()),
                *_nclx_chunks(image.info.get("nclx_profile")),
            ),
        )

    def to_chunks(self, *, compact: bool) -> tuple[png_chunks.Chunk, ...]:
        """Make the chunks that `from_chunks` reads.

        Args:
            compact: whether to compress the XMP packet. All PNG readers accept that. But Adobe's specification asks
                for plain text, because some tools scan files for it. So only the small file is compact.

        Raises:
            PictureError: a payload is larger than the 64 MiB that `from_chunks` reads.
        """
        for name, payload in (("icc", self.icc), ("xmp", self.xmp)):
            if len(payload or b"") > PAYLOAD_MAX:
                raise PictureError(f"its {name} metadata has more than {PAYLOAD_MAX} bytes; use --strip {name}")
        chunks = list(self.chunks)
        if self.icc is not None:
            # A profile name, its zero byte, and compression method 0 (PNG, section 11.3.2.3).
            chunks.append(png_chunks.Chunk(b"iCCP", b"icc\0\0" + zlib.compress(self.icc, 9)))
        if self.exif is not None:
            chunks.append(png_chunks.Chunk(b"eXIf", self.exif))
        if self.xmp is not None:
            text = b"\1\0\0\0" + zlib.compress(self.xmp, 9) if compact else b"\0\0\0\0" + self.xmp
            chunks.append(png_chunks.Chunk(b"iTXt", _XMP_KEYWORD + b"\0" + text))
        return tuple(chunks)

    def to_tiff(self) -> Image.Exif:
        """Make the tags of a TIFF: the EXIF tags that describe the picture, the XMP packet and IPTC."""
        source, tags = Image.Exif(), Image.Exif()
        # The EXIF block may come from a stranger's small file, which no reader of pictures has checked.
        tiff.check_tag_sizes(self.exif or b"")
        source.load(self.exif or b"")
        tags.load(_copy_descriptive(source, (*_TIFF_TAGS, ExifTags.Base.Orientation)) or b"")
        if self.xmp is not None:
            tags[ExifTags.Base.XMLPacket] = self.xmp
        if self.iptc is not None:
            tags[tiff.IPTC] = self.iptc
        return tags

    @property
    def kinds(self) -> tuple[Strip, ...]:
        """The kinds of metadata that are there, in the order of `Strip`."""
        there = {name for name in (Strip.EXIF, Strip.ICC, Strip.XMP) if getattr(self, name) is not None}
        there.update(kind for chunk in self.chunks for kind in kinds_of(chunk))
        return tuple(kind for kind in Strip if kind in there)

    @property
    def iptc(self) -> bytes | None:
        """The IPTC records in the text chunks; None where there are none, or the first two are broken."""
        profiles = (chunk for chunk in self.chunks if png_text.is_profile(chunk, IPTC_PROFILE))
        for chunk in islice(profiles, _IPTC_MOST):
            try:
                if iptc := png_text.read_profile(chunk, IPTC_PROFILE, limit=PAYLOAD_MAX):
                    return iptc
            except DamagedError:
                continue  # as a text chunk it is still carried
        return None

    @property
    def has_rgb_profile(self) -> bool:
        """Whether the profile describes RGB. PNG allows it only beside colour pixels."""
        return self.icc is not None and self.icc[16:20] == b"RGB "

    @property
    def has_grey_profile(self) -> bool:
        """Whether the profile describes grey. PNG allows it only beside grey pixels."""
        return self.icc is not None and self.icc[16:20] == b"GRAY"

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Dots per inch, (x, y); None where no pHYs chunk says them."""
        # PNG, section 11.3.4.3: pixels per unit for x and y, then the unit; 1 is the metre.
        density = next((chunk.payload for chunk in self.chunks if chunk.type == b"pHYs"), b"")
        if len(density) != 9 or density[8] != 1:
            return None
        x, y = (int.from_bytes(density[at : at + 4], "big") * _METRES_PER_INCH for at in (0, 4))
        return x, y


class Fault(NamedTuple):
    """A chunk that cannot be read, and why."""

    type: str
    error: DamagedError


def kinds_of(chunk: png_chunks.Chunk) -> Collection[Strip]:
    """Return the kinds of metadata to which a chunk belongs; empty for a chunk that is not carried.

    A text chunk with EXIF or XMP, as ImageMagick writes it, belongs to two kinds or three: app1 may hold either.
    """
    if chunk.type not in png_text.TYPES:
        return (_KINDS[chunk.type],) if chunk.type in _KINDS else ()
    if _is_xmp(chunk):
        return (Strip.XMP,)
    keyword = chunk.payload[:_KEYWORD_MOST].lower()
    kinds = {Strip.EXIF: _EXIF_KEYWORDS, Strip.XMP: _XMP_KEYWORDS}
    return (Strip.TEXT, *(kind for kind, keywords in kinds.items() if keyword.startswith(keywords)))


def strip_chunks(chunks: Iterable[png_chunks.Chunk], kinds: Collection[Strip]) -> tuple[png_chunks.Chunk, ...]:
    """Return the chunks that belong to none of the given kinds."""
    if not kinds:  # looking at each of a hundred thousand chunks takes as long as reading them
        return tuple(chunks)
    return tuple(chunk for chunk in chunks if not any(kind in kinds for kind in kinds_of(chunk)))


def strip_metadata(metadata: Metadata, kinds: Collection[Strip]) -> Metadata:
    """Return metadata without the given kinds; with all kinds of `Strip`, nothing is left."""
    fields = {name: None for name in (Strip.EXIF, Strip.ICC, Strip.XMP) if name in kinds}
    return replace(metadata, **fields, chunks=strip_chunks(metadata.chunks, kinds))


def colour_chunks(primaries: int, transfer: int) -> tuple[png_chunks.Chunk, ...]:
    """Make a cICP chunk of a colour space, by the numbers of ITU-T H.273, unless it is the usual one."""
    is_usual = primaries in _USUAL_PRIMARIES and transfer in _USUAL_TRANSFERS
    if is_usual or max(primaries, transfer) > 0xFF:
        return ()
    # Decoded pixels are RGB, which is matrix 0, and use all levels, which the last byte says (PNG, section 11.3.2.6).
    return (png_chunks.Chunk(b"cICP", bytes((primaries, transfer, 0, 1))),)


def _is_xmp(chunk: png_chunks.Chunk) -> bool:
    return chunk.type == b"iTXt" and png_text.has_keyword(chunk, _XMP_KEYWORD)


def _read(chunk: png_chunks.Chunk) -> bytes:
    if chunk.type == b"eXIf":
        # Some programs leave JPEG's prefix in eXIf, where PNG does not allow it.
        return chunk.payload.removeprefix(_EXIF_PREFIX)
    if chunk.type == b"iTXt":
        return png_text.read_text(chunk, limit=PAYLOAD_MAX)
    _, _, compressed = chunk.payload.partition(b"\0")
    if compressed[:1] != b"\0":
        raise DamagedError("PNG colour profile is broken; remove it from the picture")
    return png_chunks.inflate(compressed[1:], limit=PAYLOAD_MAX)


def _copy_descriptive(source: Image.Exif, tags: Iterable[int]) -> bytes | None:
    """Copy the given tags, and the groups of exposure and position, into a new EXIF block."""
    exif = Image.Exif()
    exif.update({tag: source[tag] for tag in tags if tag in source})
    # Pillow's `get_ifd` creates an empty group where there is none, in the source as well.
    groups = {group: source.get_ifd(group) for group in _TIFF_GROUPS if group in source}
    for group, values in groups.items():
        if values:
            exif.get_ifd(group).update(values)
    return exif.tobytes() if len(exif) or any(groups.values()) else None


def _has_density(image: Image.Image) -> bool:
    """Tell whether the file holds the density that Pillow reports. Pillow invents one for some JPEG and TIFF files."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        tags = image.getexif()
        is_in_exif = tags.get(tiff.RESOLUTION_UNIT) in _RESOLUTION_UNITS and tiff.X_RESOLUTION in tags
        return image.info.get("jfif_unit") in (1, 2) or is_in_exif
    return not isinstance(image, TiffImagePlugin.TiffImageFile) or tiff.X_RESOLUTION in image.tag_v2


def _nclx_chunks(nclx: object) -> tuple[png_chunks.Chunk, ...]:
    """Make a cICP chunk of the colour space that pillow-heif returns, unless it is the usual one."""
    if not isinstance(nclx, Mapping):
        return ()
    return colour_chunks(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]))


def _density_chunks(dpi: object) -> tuple[png_chunks.Chunk, ...]:
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return ()
    try:
        per_metre = [round(float(dots) / _METRES_PER_INCH) for dots in dpi]
        payload = b"".join(dots.to_bytes(4, "big") for dots in per_metre) + b"\1"
    except (ValueError, OverflowError, ZeroDivisionError):
        return ()  # zero, infinite or no number: there is no density
    return (png_chunks.Chunk(b"pHYs", payload),) if min(dpi) > _DPI_OF_NOTHING else ()
