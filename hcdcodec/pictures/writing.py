"""Write pictures to files without loss."""

import enum
import io
from collections.abc import Iterable

import numpy as np
from PIL import ExifTags, Image

from hcdcodec.errors import DamagedError, OutputError
from hcdcodec.pictures import formats, png_chunks, png_text
from hcdcodec.pictures.metadata import IPTC_PROFILE, Metadata, Strip, kinds_of
from hcdcodec.pictures.picture import Mode, Picture, expand

_WEBP_SIDE_MAX = 16383  # WebP stores a side in 14 bits
_ORIENTATIONS = range(1, 9)

_RUNS = 3
"""Strategy Z_RLE of zlib, for reconstructions.

In a photograph after the PNG filters, zlib finds little more than runs of one byte. Looking only for them takes a
fraction of the time and costs few bytes; benchmarks/choices/restored_png.py measures both.
"""


class Format(enum.StrEnum):
    """How a decoded picture is stored, always without loss; the value is the file name's suffix."""

    PNG = "png"
    WEBP = "webp"
    TIFF = "tiff"


def write_picture(picture: Picture, fmt: Format, *, marks: Iterable[png_chunks.Chunk] = ()) -> bytes:
    """Store a picture without loss.

    Args:
        picture: the picture. WebP has no grey, so a grey picture becomes RGB; so it does in all formats if its profile
            says RGB. TIFF splits EXIF into its own tags. Only PNG can hold `Metadata.chunks`.
        fmt: the format of the file.
        marks: further chunks, before those of the metadata; only for PNG.

    Raises:
        OutputError: this format cannot hold the picture.
    """
    metadata = picture.metadata
    if fmt is Format.PNG:
        data = _save(_to_pillow(picture), "PNG", compress_type=_RUNS)
        return png_chunks.insert(data, (*marks, *metadata.to_chunks(compact=False)))
    if fmt is Format.WEBP:
        return _save_webp(_to_pillow(picture), metadata)
    return _save_tiff(_to_pillow(picture), metadata)


def losses(metadata: Metadata, fmt: Format) -> tuple[str, ...]:
    """Return warnings about metadata that a format cannot hold. A lost density needs no warning."""
    names = []
    for kind, name in ((Strip.TEXT, "texts"), (Strip.COLOUR, "colour space")):
        chunks = [chunk for chunk in metadata.chunks if kind in kinds_of(chunk) and chunk.type != b"sRGB"]
        if fmt is Format.TIFF:  # it has a tag for IPTC
            chunks = [chunk for chunk in chunks if not png_text.is_profile(chunk, IPTC_PROFILE)]
        if chunks and fmt is not Format.PNG:
            names.append(name)
    return (f"{fmt.upper()} cannot hold its {' and '.join(names)}; decode to PNG to keep them",) if names else ()


def _to_pillow(picture: Picture) -> Image.Image:
    pixels = picture.pixels
    if picture.mode is Mode.GREY and picture.metadata.has_rgb_profile:
        pixels = expand(pixels)
    return Image.fromarray(pixels if picture.alpha is None else np.dstack((pixels, picture.alpha)))


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _save_webp(image: Image.Image, metadata: Metadata) -> bytes:
    if max(image.size) > _WEBP_SIDE_MAX:
        raise OutputError(f"WebP holds at most {_WEBP_SIDE_MAX} pixels a side; choose PNG or TIFF")
    payloads = {"icc_profile": metadata.icc or b"", "exif": metadata.exif or b"", "xmp": metadata.xmp or b""}
    # `exact` keeps the colours of transparent pixels, which WebP would otherwise change.
    return _save(image, "WEBP", lossless=True, exact=True, **payloads)


def _save_tiff(image: Image.Image, metadata: Metadata) -> bytes:
    try:
        with formats.pillow_reads():
            tags = metadata.to_tiff()
            # Pillow compresses TIFF with libtiff, and that writer cannot store nested tags such as EXIF.
            is_flat = ExifTags.IFD.Exif not in tags and ExifTags.IFD.GPSInfo not in tags
            payloads = {"icc_profile": metadata.icc, "dpi": metadata.dpi, "exif": tags}
            if is_flat and tags.get(ExifTags.Base.Orientation, 1) in _ORIENTATIONS:  # it refuses all others
                return _save(image, "TIFF", compression="tiff_deflate", **payloads)
            return _save(image, "TIFF", compression="raw", **payloads)
    except DamagedError as error:
        raise OutputError("damaged EXIF data cannot go into a TIFF; choose PNG or WebP") from error
