"""What travels with a picture besides its pixels, and its form in PNG chunks.

    field   in a PNG                                              elsewhere
    icc     iCCP, decompressed                                    ICC profile as Pillow finds it
    exif    eXIf                                                  EXIF without the leading b"Exif\\0\\0"
    xmp     iTXt with keyword XML:com.adobe.xmp, decompressed     XMP packet as Pillow finds it
    chunks  colour space, density and text chunks, untouched      pHYs made from dots per inch

The payloads come back byte for byte. Nothing here interprets them: orientation stays a tag, colours stay as stored.

Stripping: a thumbnail inside EXIF belongs to EXIF. It is kept byte for byte with it and left out with it, never alone,
since cutting it out would move what maker notes point to. EXIF that some tools repeat in text chunks goes with it; what
XMP repeats of it, such as the position, goes with XMP. Alpha is no metadata and always stays.
"""

import enum
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from PIL import ExifTags, Image

from hcdcodec.errors import DamagedError, PictureError
from hcdcodec.pictures import png_chunks

_KEPT = frozenset((b"cHRM", b"cICP", b"cLLI", b"gAMA", b"mDCV", b"pHYs", b"sRGB", b"iTXt", b"tEXt", b"zTXt"))
_TEXTS = frozenset((b"iTXt", b"tEXt", b"zTXt"))
_TWIN_MAX = 1024
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_EXIF_KEYWORDS = (b"raw profile type exif", b"raw profile type app1", b"exif:")
_EXIF_PREFIX = b"Exif\0\0"
_PAYLOAD_MAX = 1 << 26
_METRES_PER_INCH = 0.0254
_DPI_OF_NOTHING = 1  # what Pillow reports for a TIFF that says nothing
# A TIFF's EXIF is spread over its tags; these say something about the picture and nothing about how it is stored.
_TIFF_TAGS = tuple(
    ExifTags.Base[name]
    for name in ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "HostComputer", "Copyright")
)
_TIFF_GROUPS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


@dataclass(frozen=True)
class Metadata:
    """Payloads exactly as they stand in the source.

    Attributes:
        icc: the colour profile.
        exif: the TIFF structure, beginning with b"II" or b"MM".
        xmp: the packet, UTF-8.
        chunks: further PNG chunks, in the order of the source.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    chunks: tuple[png_chunks.Chunk, ...] = ()

    @classmethod
    def from_chunks(cls, chunks: Iterable[png_chunks.Chunk]) -> "Metadata":
        """Take the metadata out of a PNG's chunks; the first of a kind counts, as for libpng.

        Raises:
            DamagedError: a compressed payload is broken or larger than 64 MiB.
        """
        icc = exif = xmp = None
        kept: list[png_chunks.Chunk] = []
        for chunk in chunks:
            if chunk.type == b"iCCP":
                icc = icc or _read_iccp(chunk.payload)
            elif chunk.type == b"eXIf":
                exif = exif or chunk.payload.removeprefix(_EXIF_PREFIX)
            elif chunk.type == b"iTXt" and chunk.payload.startswith(_XMP_KEYWORD + b"\0"):
                xmp = xmp or _read_itxt(chunk.payload, limit=_PAYLOAD_MAX)
            elif chunk.type in _KEPT and not is_header_twin(chunk):
                kept.append(chunk)
        return cls(icc, exif or None, xmp, tuple(kept))

    @classmethod
    def from_pillow(cls, image: Image.Image) -> "Metadata":
        """Take the metadata out of a picture that is no PNG, once its pixels are loaded."""
        icc, exif, xmp = (image.info.get(key) for key in ("icc_profile", "exif", "xmp"))
        if image.format == "TIFF":
            exif = _descriptive(image.getexif(), _TIFF_TAGS)  # orientation is not among them: Pillow has applied it
        return cls(
            icc=icc or None,
            exif=exif.removeprefix(_EXIF_PREFIX) or None if isinstance(exif, bytes) else None,
            xmp=xmp or None if isinstance(xmp, bytes) else None,
            chunks=_density(image.info.get("dpi")),
        )

    def to_chunks(self, *, compact: bool) -> tuple[png_chunks.Chunk, ...]:
        """Make the chunks that `from_chunks` reads.

        Args:
            compact: compress the XMP packet. Every PNG reader takes that, but Adobe's rules ask for plain text, which
                tools find by scanning; so it is for the small file only.

        Raises:
            PictureError: a payload is larger than the 64 MiB that `from_chunks` reads.
        """
        for name, payload in (("icc", self.icc), ("xmp", self.xmp)):
            if len(payload or b"") > _PAYLOAD_MAX:
                raise PictureError(f"its {name} metadata has more than {_PAYLOAD_MAX} bytes; use --strip {name}")
        chunks = list(self.chunks)
        if self.icc is not None:
            chunks.append(png_chunks.Chunk(b"iCCP", b"icc\0\0" + zlib.compress(self.icc, 9)))
        if self.exif is not None:
            chunks.append(png_chunks.Chunk(b"eXIf", self.exif))
        if self.xmp is not None:
            text = b"\1\0\0\0" + zlib.compress(self.xmp, 9) if compact else b"\0\0\0\0" + self.xmp
            chunks.append(png_chunks.Chunk(b"iTXt", _XMP_KEYWORD + b"\0" + text))
        return tuple(chunks)

    def to_tiff(self) -> Image.Exif:
        """Make the tags of a TIFF: what EXIF says about the picture and not about a file, and the XMP packet."""
        source, tags = Image.Exif(), Image.Exif()
        source.load(self.exif or b"")
        tags.load(_descriptive(source, (*_TIFF_TAGS, ExifTags.Base.Orientation)) or b"")
        if self.xmp is not None:
            tags[ExifTags.Base.XMLPacket] = self.xmp
        return tags

    @property
    def has_rgb_profile(self) -> bool:
        """Whether the profile describes RGB: such a one may stand only in a PNG that stores colours."""
        return self.icc is not None and self.icc[16:20] == b"RGB "

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Dots per inch, (x, y), when a pHYs chunk tells them."""
        density = next((chunk.payload for chunk in self.chunks if chunk.type == b"pHYs"), b"")
        if len(density) != 9 or density[8] != 1:
            return None
        x, y = (int.from_bytes(density[at : at + 4], "big") * _METRES_PER_INCH for at in (0, 4))
        return x, y


def is_header_twin(chunk: png_chunks.Chunk) -> bool:
    """Whether a chunk is the text form of an hcdcodec header."""
    return chunk.type in _TEXTS and chunk.payload.startswith(png_chunks.HEADER_KEYWORD + b"\0")


def is_exif_twin(chunk: png_chunks.Chunk) -> bool:
    """Whether a text chunk holds EXIF, or tags of it: ImageMagick writes it so."""
    return chunk.type in _TEXTS and chunk.payload.lower().startswith(_EXIF_KEYWORDS)


def twin_text(chunk: png_chunks.Chunk) -> bytes:
    """Return the text of what `is_header_twin` has found: tools rewrite tEXt as zTXt or iTXt as they like.

    Raises:
        DamagedError: it is compressed and broken, or longer than any header.
    """
    if chunk.type == b"iTXt":
        return _read_itxt(chunk.payload, limit=_TWIN_MAX)
    _, _, text = chunk.payload.partition(b"\0")
    return png_chunks.inflate(text[1:], limit=_TWIN_MAX) if chunk.type == b"zTXt" else text


def _read_iccp(payload: bytes) -> bytes:
    _, _, compressed = payload.partition(b"\0")
    if compressed[:1] != b"\0":
        raise DamagedError("PNG colour profile is broken; remove it from the picture")
    return png_chunks.inflate(compressed[1:], limit=_PAYLOAD_MAX)


def _read_itxt(payload: bytes, *, limit: int) -> bytes:
    _, _, rest = payload.partition(b"\0")
    language_on = rest[2:].split(b"\0", 2)
    if rest[:2] not in (b"\0\0", b"\1\0") or len(language_on) != 3:
        raise DamagedError("a PNG text chunk is broken; remove it from the picture or fetch the file again")
    return png_chunks.inflate(language_on[2], limit=limit) if rest[0] else language_on[2]


def _descriptive(source: Image.Exif, tags: Iterable[int]) -> bytes | None:
    """Copy some tags, and the groups that hold exposure and position, into an EXIF block of their own."""
    exif = Image.Exif()
    exif.update({tag: source[tag] for tag in tags if tag in source})
    for group in _TIFF_GROUPS:
        exif.get_ifd(group).update(source.get_ifd(group))
    return exif.tobytes() if len(exif) or any(exif.get_ifd(group) for group in _TIFF_GROUPS) else None


def _density(dpi: object) -> tuple[png_chunks.Chunk, ...]:
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return ()
    try:
        per_metre = [round(float(dots) / _METRES_PER_INCH) for dots in dpi]
        payload = b"".join(dots.to_bytes(4, "big") for dots in per_metre) + b"\1"
    except (ValueError, OverflowError, ZeroDivisionError):
        return ()  # a density that is no number is none
    return (png_chunks.Chunk(b"pHYs", payload),) if min(dpi) > _DPI_OF_NOTHING else ()


class Strip(enum.StrEnum):
    """One kind of metadata; the value is what users call it."""

    EXIF = "exif"
    ICC = "icc"
    XMP = "xmp"
    TEXT = "text"
    DENSITY = "density"
    COLOUR = "colour"


_CHUNKS = {
    Strip.TEXT: frozenset((b"iTXt", b"tEXt", b"zTXt")),
    Strip.DENSITY: frozenset((b"pHYs",)),
    Strip.COLOUR: frozenset((b"cHRM", b"cICP", b"cLLI", b"gAMA", b"mDCV", b"sRGB")),
}


def stripped(metadata: Metadata, kinds: Iterable[Strip]) -> Metadata:
    """Return metadata without some kinds; all of `Strip` leave nothing."""
    kinds = frozenset(kinds)
    dropped = frozenset().union(*(types for kind, types in _CHUNKS.items() if kind in kinds))
    fields = {name: None for name in (Strip.EXIF, Strip.ICC, Strip.XMP) if name in kinds}
    chunks = [chunk for chunk in metadata.chunks if chunk.type not in dropped]
    if Strip.EXIF in kinds:
        chunks = [chunk for chunk in chunks if not is_exif_twin(chunk)]
    return replace(metadata, **fields, chunks=tuple(chunks))
