"""Read picture files of all formats. A file that cannot be read raises an error with one line."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from hcdcodec.errors import DamagedError, PictureError
from hcdcodec.pictures import formats, jxl, png_chunks
from hcdcodec.pictures.colour_boxes import read_colour_space
from hcdcodec.pictures.conversion import SRGB, Loss, Samples, convert_image, find_loss, png_samples, round_samples
from hcdcodec.pictures.extras import name_data_behind, name_heic_parts, name_lost_chunks, read_comments, read_extras
from hcdcodec.pictures.formats import SNIFF_BYTES, sniff
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS
from hcdcodec.pictures.metadata import Metadata, Strip, colour_chunks, strip_chunks, strip_metadata
from hcdcodec.pictures.orientation import UPRIGHT, read_orientation, turn_upright
from hcdcodec.pictures.picture import Levels, Picture, single_channel, split
from hcdcodec.tiles import plan

_PART = 2048  # side of a part that is copied at once: small beside a large picture, large beside the cost of a call
_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX")
_COMMENTED = ("GIF", "JPEG2000")  # formats for which Pillow returns the comment
_TURNED = "EXIF says how to turn it, and is left out; add --upright to turn the pixels"


def read_picture(
    data: bytes,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    strip: Collection[Strip] = (),
    convert: bool = False,
    upright: bool = False,
) -> Picture:
    """Read a picture file of any format.

    Args:
        data: the whole file; its content decides the format.
        max_pixels: largest number of pixels that is decoded.
        strip: kinds of metadata that are not even read, so that damage in them does not matter.
        convert: convert what 8-bit grey or RGB holds only with a loss; see `hcdcodec.pictures.conversion`.
        upright: turn the pixels as EXIF says.

    Raises:
        PictureError: the file is not a picture, is damaged, is too large, or cannot be stored.
    """
    if not sniff(data[:SNIFF_BYTES]):
        raise PictureError(f"not a picture that can be read; give {formats.READABLE}")
    try:
        with formats.pillow_reads():
            picture = _reader_of(data)(data, max_pixels, strip, convert)
    except DamagedError as error:
        raise PictureError(str(error)) from error
    return _turn_and_strip(picture, strip, upright=upright)


def read_image(image: Image.Image, *, strip: Collection[Strip] = (), upright: bool = False) -> Picture:
    """Take a picture out of Pillow, with the metadata that Pillow returns.

    Args:
        image: a picture of any mode that 8-bit grey or RGB with alpha can hold.
        strip: kinds of metadata to leave out.
        upright: turn the pixels as EXIF says.

    Raises:
        PictureError: the picture cannot be decoded or stored.
    """
    try:
        with formats.pillow_reads():
            formats.load(image)
            if image.mode not in _MODES:
                raise PictureError(f"a Pillow image of mode {image.mode} cannot be stored; convert it to RGB first")
            if 0 in image.size:
                raise PictureError("a Pillow image without pixels cannot be stored; give one with rows and columns")
            pixels, alpha = _arrays(image)
            metadata = Metadata.from_pillow(image)
    except DamagedError as error:
        raise PictureError(str(error)) from error
    picture = Picture(_from_palette(pixels, metadata) if image.mode in ("P", "PA") else pixels, alpha, metadata)
    return _turn_and_strip(picture, strip, upright=upright)


def _turn_and_strip(picture: Picture, strip: Collection[Strip], *, upright: bool) -> Picture:
    """Turn the pixels if that is wanted, and leave kinds of metadata out: EXIF last, since it says how to turn them."""
    if upright:
        picture = turn_upright(picture)
    elif Strip.EXIF in strip and read_orientation(picture.metadata.exif or b"") != UPRIGHT:
        picture = replace(picture, warnings=(*picture.warnings, _TURNED))
    return replace(picture, metadata=strip_metadata(picture.metadata, strip))


def _reader_of(data: bytes) -> Callable[[bytes, int, Collection[Strip], bool], Picture]:
    """Return the reader of a file. Of the kinds of metadata that are left out, it still returns EXIF."""
    if data.startswith(png_chunks.SIGNATURE):
        return _read_png
    return _read_jxl if jxl.recognise(data) else _read_other


def png_pixels(chunks: Sequence[png_chunks.Chunk], *, convert: bool = False) -> tuple[Levels, Levels | None]:
    """Decode the pixels of a PNG.

    Args:
        chunks: all checked chunks of the file; the caller has checked its size.
        convert: round 16 bits to 8.

    Returns:
        (H, W) grey or (H, W, 3) RGB, and (H, W) alpha or None. Palette indices are replaced by their colours.

    Raises:
        PictureError: 16 bits, or more than one frame.
        DamagedError: the pixels cannot be decoded.
    """
    head = png_chunks.ihdr(chunks[0])
    is_deep = head.depth == 16
    if is_deep and not convert:
        raise PictureError(Loss.DEPTH.refusal)
    _refuse_frames(chunks)
    with formats.pillow_reads(), formats.wait_turn(head.height * head.width):
        needed = png_chunks.essentials(chunks)
        samples: Levels | Samples
        if is_deep:
            samples = png_samples(needed, head.colour)
            pixels, alpha = split(round_samples(samples))
        else:
            image = formats.load(formats.open_lazily(needed))
            pixels, alpha = _arrays(image)
            samples = np.asarray(image) if head.colour == png_chunks.PALETTE else pixels
    # `essentials` has left out tRNS, so alpha comes from the chunk itself and not from a conversion in Pillow.
    transparency = next((chunk.payload for chunk in chunks if chunk.type == b"tRNS"), None)
    if transparency is not None and alpha is None:
        alpha = _png_alpha(transparency, head, samples)
    return pixels, alpha


def _refuse_frames(chunks: Iterable[png_chunks.Chunk]) -> None:
    # The first field of acTL is the number of frames. An "animation" of one frame is an ordinary picture.
    if any(chunk.type == b"acTL" and chunk.payload[:4] != b"\0\0\0\1" for chunk in chunks):
        raise PictureError("animated PNG cannot be stored; save its frames as single pictures")


def _read_png(data: bytes, max_pixels: int, strip: Collection[Strip], convert: bool) -> Picture:
    # Damage in metadata only costs the metadata; damage in pixels refuses the file.
    damaged = list[png_chunks.Chunk]()
    found = tuple(png_chunks.walk(data, damaged))
    tail = data[png_chunks.size((*found, *damaged)) :]
    chunks = strip_chunks(found, _but_exif(strip))
    kept = strip_chunks(chunks, strip)
    head = png_chunks.ihdr(chunks[0])
    check_size(head.height, head.width, max_pixels)
    metadata, faults = Metadata.salvage(chunks)
    pixels, alpha = png_pixels(chunks, convert=convert)
    if head.colour == png_chunks.PALETTE:
        pixels = _from_palette(pixels, metadata)
    left_out = [f"PNG chunk {chunk.type.decode()} fails its checksum" for chunk in strip_chunks(damaged, strip)]
    left_out += [f"{str(error).partition(';')[0]} ({name})" for name, error in faults]
    warnings = [f"{words}; it was left out" for words in left_out] + name_lost_chunks(kept) + name_data_behind(tail)
    warnings += [Loss.DEPTH.warning] if head.depth == 16 else []
    return Picture(pixels, alpha, metadata, tuple(dict.fromkeys(warnings)))


def _read_jxl(data: bytes, max_pixels: int, strip: Collection[Strip], convert: bool) -> Picture:
    height, width = jxl.read_size(data)
    check_size(height, width, max_pixels)
    with formats.wait_turn(height * width):
        found = jxl.read_jxl(data)
    if found.jpeg:
        return _read_other(found.jpeg, max_pixels, strip, convert)
    pixels, alpha = split(found.levels)
    words = tuple(f"JPEG XL box {name} cannot be carried; keep the source for it" for name in found.lost)
    return Picture(pixels, alpha, strip_metadata(found.metadata, _but_exif(strip)), words)


def _read_other(data: bytes, max_pixels: int, strip: Collection[Strip], convert: bool) -> Picture:
    # Before Pillow opens the file: this refuses files that would make Pillow take gigabytes.
    extras = read_extras(data)
    image = formats.open_lazily(data)
    check_size(image.height, image.width, max_pixels)
    formats.check_single(image, data)
    loss = find_loss(image, data)
    if loss is not None and not convert:
        raise PictureError(loss.refusal)
    with formats.wait_turn(image.height * image.width):
        formats.load(image)
        metadata = Metadata.from_pillow(image)
        pixels, alpha = _arrays(image) if loss is None else convert_image(image, data, loss)
    comment = image.info.get("comment") if image.format in _COMMENTED else None
    comments = read_comments([comment] if isinstance(comment, bytes) else ())
    space = read_colour_space(data) if image.format == "AVIF" else None
    chunks = metadata.chunks + extras.chunks + comments.chunks + (colour_chunks(*space) if space else ())
    metadata = replace(metadata, icc=extras.icc or metadata.icc, xmp=extras.xmp or metadata.xmp, chunks=chunks)
    if loss in (Loss.CMYK, Loss.LAB):  # its profile describes colours that the picture no longer has
        metadata = replace(metadata, icc=None, chunks=(*chunks, SRGB))
    metadata = strip_metadata(metadata, _but_exif(strip))
    warnings = [warning.words for warning in extras.warnings + comments.warnings if warning.kind not in strip]
    warnings += name_heic_parts(image.info) if image.format == "HEIF" else []
    warnings += [loss.warning] if loss else []
    return Picture(_from_palette(pixels, metadata) if image.mode == "P" else pixels, alpha, metadata, tuple(warnings))


def _but_exif(strip: Collection[Strip]) -> tuple[Strip, ...]:
    return tuple(kind for kind in strip if kind is not Strip.EXIF)


def _from_palette(pixels: Levels, metadata: Metadata) -> Levels:
    """Return grey pixels for a palette that has only greys, unless a profile says RGB."""
    grey = None if metadata.has_rgb_profile else single_channel(pixels)
    return pixels if grey is None else grey


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Refuse a picture of more pixels than the limit."""
    if height * width > max_pixels:
        raise PictureError(f"picture has {height} x {width} pixels, the limit is {max_pixels}; raise --max-pixels")


def _arrays(image: Image.Image) -> tuple[Levels, Levels | None]:
    """Copy the pixels out of Pillow in parts. All at once, the copies would take three times their memory."""
    grey, clear = image.mode in ("1", "L", "LA", "La"), image.has_transparency_data
    size = (image.height, image.width)
    pixels = np.empty(size if grey else (*size, 3), np.uint8)
    alpha = np.empty(size, np.uint8) if clear else None
    for tile in plan(*size, _PART, 0):
        area, (rows, columns) = tile.window, tile.window.slices()
        part = image.crop((area.left, area.top, area.left + area.width, area.top + area.height))
        levels = np.asarray(part.convert(("L" if grey else "RGB") + ("A" if clear else "")))
        if alpha is not None:
            levels, alpha[rows, columns] = levels[..., 0] if grey else levels[..., :3], levels[..., -1]
        pixels[rows, columns] = levels
    return pixels, alpha


def _png_alpha(transparency: bytes, head: png_chunks.Ihdr, samples: Levels | Samples) -> Levels:
    """Make alpha from a tRNS chunk.

    Args:
        transparency: alpha of the first palette entries, or the one transparent colour with 16 bits for each sample.
        head: IHDR of the same file; its depth is the unit of the transparent colour.
        samples: palette indices, or decoded pixels.
    """
    if head.colour == png_chunks.PALETTE:
        table = np.full(256, 255, np.uint8)
        entries = np.frombuffer(transparency[:256], np.uint8)
        table[: len(entries)] = entries
        return table[samples]
    if len(transparency) != (2 if samples.ndim == 2 else 6):
        raise DamagedError("PNG chunk tRNS has the wrong size; save the picture again")
    # PNG, section 11.3.1.1: the colour has the file's own depth, and Pillow has spread up to 8 bits over 0 to 255.
    hit: npt.NDArray[np.bool_] = samples == np.frombuffer(transparency, ">u2") * (255 // (2**head.depth - 1) or 1)
    return np.where(hit if hit.ndim == 2 else hit.all(-1), np.uint8(0), np.uint8(255))
