"""Pictures become files, without loss."""

import enum
import io
from collections.abc import Iterable

import numpy as np
from PIL import ExifTags, Image

from hcdcodec.errors import DamagedError, OutputError
from hcdcodec.pictures import formats, png_chunks, png_text
from hcdcodec.pictures.metadata import IPTC_PROFILE, Metadata, Strip, kinds_of
from hcdcodec.pictures.picture import Mode, Picture, expand

_WEBP_SIDE_MAX = 16383
_ORIENTATIONS = range(1, 9)

_RUNS = 3
"""zlib's Z_RLE, for reconstructions: filtered photographs hold hardly anything but runs for zlib to find.

0.07 instead of 0.29 CPU seconds a megapixel with Pillow's own choice, for 2.0 % more bytes on val and 1.8 % on Set14
(choices/restored_png.py); a drawn page of text took a fourth more (by hand).
"""


class Format(enum.StrEnum):
    """How a decoded picture is stored, always without loss; the value is the file name's suffix."""

    PNG = "png"
    WEBP = "webp"
    TIFF = "tiff"


def write_picture(picture: Picture, fmt: Format, *, marks: Iterable[png_chunks.Chunk] = ()) -> bytes:
    """Store a picture without loss.

    Args:
        picture: what to store. WebP knows no grey and stores it as RGB, and so does every kind of file under a profile
            that says RGB; TIFF takes EXIF apart into its own tags; only PNG takes `Metadata.chunks`.
        fmt: the kind of file.
        marks: further chunks, before those of the metadata; PNG only.

    Raises:
        OutputError: this kind of file cannot hold the picture.
    """
    metadata = picture.metadata
    if fmt is Format.PNG:
        data = _save(_to_pillow(picture), "PNG", compress_type=_RUNS)
        return png_chunks.insert(data, (*marks, *metadata.to_chunks(compact=False)))
    if fmt is Format.WEBP:
        return _save_webp(_to_pillow(picture), metadata)
    return _save_tiff(_to_pillow(picture), metadata)


def losses(metadata: Metadata, fmt: Format) -> tuple[str, ...]:
    """Return what to tell about metadata that a kind of file cannot hold; density is not worth a word."""
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
    return _save(image, "WEBP", lossless=True, exact=True, **payloads)


def _save_tiff(image: Image.Image, metadata: Metadata) -> bytes:
    try:
        with formats.pillow_reads():
            tags = metadata.to_tiff()
            # The writer that compresses cannot nest tags, as EXIF does.
            is_flat = ExifTags.IFD.Exif not in tags and ExifTags.IFD.GPSInfo not in tags
            payloads = {"icc_profile": metadata.icc, "dpi": metadata.dpi, "exif": tags}
            if is_flat and tags.get(ExifTags.Base.Orientation, 1) in _ORIENTATIONS:  # it refuses all others
                return _save(image, "TIFF", compression="tiff_deflate", **payloads)
            return _save(image, "TIFF", compression="raw", **payloads)
    except DamagedError as error:
        raise OutputError("damaged EXIF data cannot go into a TIFF; choose PNG or WebP") from error
