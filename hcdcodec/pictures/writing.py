"""Pictures become files, without loss."""

import enum
import io

import numpy as np
from PIL import ExifTags, Image

from hcdcodec.errors import DamagedError, OutputError
from hcdcodec.pictures import formats, png_chunks
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture

_WEBP_SIDE_MAX = 16383

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


def write_picture(picture: Picture, fmt: Format, *, lr_digest: bytes | None = None) -> bytes:
    """Store a picture without loss.

    Args:
        picture: what to store. WebP knows no grey and stores it as RGB; TIFF takes EXIF apart into its own tags; only
            PNG takes `Metadata.chunks`.
        fmt: the kind of file.
        lr_digest: of the LR file that this picture was decoded from (alpha and metadata count too); PNG only.

    Raises:
        OutputError: this kind of file cannot hold the picture.
    """
    metadata = picture.metadata
    if fmt is Format.PNG:
        mark = () if lr_digest is None else (png_chunks.Chunk(png_chunks.LR_DIGEST_CHUNK, lr_digest),)
        data = _save(_to_pillow(picture), "PNG", compress_type=_RUNS)
        return png_chunks.insert(data, (*mark, *metadata.to_chunks(compact=False)))
    if fmt is Format.WEBP:
        return _save_webp(_to_pillow(picture), metadata)
    return _save_tiff(_to_pillow(picture), metadata)


def _to_pillow(picture: Picture) -> Image.Image:
    return Image.fromarray(picture.pixels if picture.alpha is None else np.dstack((picture.pixels, picture.alpha)))


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
    except DamagedError as error:
        raise OutputError("damaged EXIF data cannot go into a TIFF; choose PNG or WebP") from error
    # The writer that compresses cannot nest tags, as EXIF does.
    compression = "raw" if ExifTags.IFD.Exif in tags or ExifTags.IFD.GPSInfo in tags else "tiff_deflate"
    payloads = {"icc_profile": metadata.icc, "dpi": metadata.dpi}
    return _save(image, "TIFF", compression=compression, exif=tags, **payloads)
