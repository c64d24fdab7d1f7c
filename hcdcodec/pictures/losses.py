"""Tell which metadata a format cannot hold."""

from collections.abc import Iterator

from hcdcodec.files.picture_names import Format
from hcdcodec.pictures import png_text
from hcdcodec.pictures.jpeg_metadata import EXIF_MOST, ICC_MOST, XMP_MOST, read_comment
from hcdcodec.pictures.metadata import IPTC_PROFILE, Metadata, Strip, kinds_of


def losses(metadata: Metadata, fmt: Format) -> tuple[str, ...]:
    """Return warnings about metadata that a format cannot hold. A lost density needs no warning."""
    names = () if fmt is Format.PNG else tuple(_lost(metadata, fmt))
    return (f"{fmt.upper()} cannot hold its {' and '.join(names)}; decode to PNG to keep them",) if names else ()


def _lost(metadata: Metadata, fmt: Format) -> Iterator[str]:
    texts = [chunk for chunk in metadata.chunks if Strip.TEXT in kinds_of(chunk)]
    if fmt in (Format.TIFF, Format.JPEG) and metadata.iptc is not None:  # they hold IPTC once
        texts.remove(next(chunk for chunk in texts if png_text.is_profile(chunk, IPTC_PROFILE)))
    if not all(fmt is Format.JPEG and read_comment(chunk) is not None for chunk in texts):
        yield "texts"
    # What an sRGB chunk says is what all programs assume.
    if any(Strip.COLOUR in kinds_of(chunk) and chunk.type != b"sRGB" for chunk in metadata.chunks):
        yield "colour space"
    icc, exif, xmp = (len(payload or b"") for payload in (metadata.icc, metadata.exif, metadata.xmp))
    if (fmt is Format.JXL and icc) or (fmt is Format.JPEG and icc > ICC_MOST):
        yield "colour profile"
    if fmt is Format.JPEG and exif > EXIF_MOST:
        yield "EXIF"
    if fmt is Format.JPEG and xmp > XMP_MOST:
        yield "XMP"
