"""Write pictures to files: without loss where the format can, unless the caller wants fewer bytes."""

import io
from collections.abc import Iterable
from dataclasses import replace

from PIL import ExifTags, Image

from hcdcodec.errors import DamagedError, OutputError
from hcdcodec.files.picture_names import Format
from hcdcodec.pictures import formats, jpeg_metadata, plugins, png_chunks, tiff
from hcdcodec.pictures.jpeg import EXIF
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.orientation import turn_upright
from hcdcodec.pictures.picture import Mode, Picture, expand

QUALITIES = {Format.JPEG: 90, Format.AVIF: 90, Format.HEIC: 75}
"""Default qualities of the formats without a lossless form.

JPEG and AVIF keep the colours of all pixels (4:4:4), since for its bytes that brings more than a higher quality. HEIC
does not: few programs would show it. So its PSNR hardly grows with the quality.
benchmarks/choices/decode_formats.py measures all this.
"""

SIDES = {Format.WEBP: 16383, Format.JPEG: 65500, Format.AVIF: 65536}
"""Most pixels a side, where a format has a limit. WebP has 14 bits; the limit of JPEG is one of libjpeg."""

_ORIENTATIONS = range(1, 9)

_RUNS = 3
"""Strategy Z_RLE of zlib, for reconstructions.

In a photograph after the PNG filters, zlib finds little more than runs of one byte. Looking only for them takes a
fraction of the time and costs few bytes; benchmarks/choices/restored_png.py measures both.
"""


def write_picture(
    picture: Picture, fmt: Format, *, quality: int | None = None, marks: Iterable[png_chunks.Chunk] = ()
) -> bytes:
    """Store a picture.

    Args:
        picture: the picture. WebP has no grey, so a grey picture becomes RGB; so it does in all formats if its profile
            says RGB. JPEG takes alpha only where all of it is 255. TIFF splits EXIF into its own tags. Only PNG can
            hold all `Metadata.chunks`. HEIC and JPEG XL are turned upright, since their viewers do not go by EXIF.
        fmt: the format of the file.
        quality: 1 to 100, as the format's own encoder means it; not for PNG and TIFF. None: without loss where the
            format can, else the one in `QUALITIES`.
        marks: further chunks, before those of the metadata; only for PNG.

    Raises:
        OutputError: this format cannot hold the picture.
        PictureError: a package is missing.
    """
    plugins.require(fmt)
    if max(picture.height, picture.width) > SIDES.get(fmt, 1 << 30):
        raise OutputError(f"{fmt.upper()} holds at most {SIDES[fmt]} pixels a side; choose PNG or TIFF")
    if fmt is Format.PNG:
        data = _save(_to_pillow(picture), "PNG", compress_type=_RUNS)
        return png_chunks.insert(data, (*marks, *picture.metadata.to_chunks(compact=False)))
    try:
        with formats.pillow_reads():  # the encoders parse EXIF, which may come from a stranger's small file
            return _SAVERS[fmt](picture, quality)
    except DamagedError as error:
        raise OutputError(f"{fmt.upper()} cannot hold this picture or its EXIF; choose PNG") from error


def _save_webp(picture: Picture, quality: int | None) -> bytes:
    # `exact` keeps the colours of transparent pixels, which WebP would otherwise change.
    how = {"lossless": True} if quality is None else {"quality": quality}
    return _save(_to_pillow(picture), "WEBP", exact=True, **how, **_payloads(picture.metadata))


def _save_jpeg(picture: Picture, quality: int | None) -> bytes:
    if picture.alpha is not None and picture.alpha.min() < 255:
        raise OutputError("JPEG cannot hold transparency; choose PNG, WebP or AVIF")
    picture = replace(picture, alpha=None)
    metadata = jpeg_metadata.shorten(picture.metadata)
    payloads = _payloads(metadata)
    if metadata.exif is not None:
        payloads["exif"] = EXIF + metadata.exif
    if metadata.dpi is not None and max(metadata.dpi) < 1 << 16:
        payloads |= {"dpi": metadata.dpi}
    extra = jpeg_metadata.build_segments(metadata)
    return _save(
        _to_pillow(picture), "JPEG", quality=quality or QUALITIES[Format.JPEG], subsampling=0, extra=extra, **payloads
    )


def _save_avif(picture: Picture, quality: int | None) -> bytes:
    tiff.check_tag_sizes(picture.metadata.exif or b"")
    image, how = _to_pillow(picture), _payloads(picture.metadata)
    how |= {} if image.mode == "L" else {"subsampling": "4:4:4"}
    return _save(image, "AVIF", quality=quality or QUALITIES[Format.AVIF], **how)


def _save_heic(picture: Picture, quality: int | None) -> bytes:
    upright = turn_upright(picture)
    payloads = {key: value or None for key, value in _payloads(upright.metadata).items()}
    return _save(_to_pillow(upright), "HEIF", quality=quality or QUALITIES[Format.HEIC], **payloads)


def _save_jxl(picture: Picture, quality: int | None) -> bytes:
    upright = turn_upright(picture)
    how = {"lossless": True} if quality is None else {"quality": quality}
    # The box begins with the place of the TIFF structure behind it; the plugin leaves that to the caller.
    exif = upright.metadata.exif and bytes(4) + upright.metadata.exif
    return _save(_to_pillow(upright), "JXL", num_threads=0, exif=exif or b"", xmp=upright.metadata.xmp, **how)


def _save_tiff(picture: Picture, quality: int | None) -> bytes:
    image, metadata = _to_pillow(picture), picture.metadata
    tags = metadata.to_tiff()
    # Pillow compresses TIFF with libtiff, and that writer cannot store nested tags such as EXIF.
    is_flat = ExifTags.IFD.Exif not in tags and ExifTags.IFD.GPSInfo not in tags
    is_flat &= tags.get(ExifTags.Base.Orientation, 1) in _ORIENTATIONS  # it refuses all others
    payloads = {"icc_profile": metadata.icc, "dpi": metadata.dpi, "exif": tags}
    return _save(image, "TIFF", compression="tiff_deflate" if is_flat else "raw", **payloads)


_SAVERS = {
    Format.TIFF: _save_tiff,
    Format.WEBP: _save_webp,
    Format.JPEG: _save_jpeg,
    Format.AVIF: _save_avif,
    Format.HEIC: _save_heic,
    Format.JXL: _save_jxl,
}


def _payloads(metadata: Metadata) -> dict[str, object]:
    return {"icc_profile": metadata.icc or b"", "exif": metadata.exif or b"", "xmp": metadata.xmp or b""}


def _to_pillow(picture: Picture) -> Image.Image:
    if picture.mode is Mode.GREY and picture.metadata.has_rgb_profile:
        picture = replace(picture, pixels=expand(picture.pixels))
    return Image.fromarray(picture.levels)


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
