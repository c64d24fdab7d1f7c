"""Pictures: read from files, written to files, and every change of unit, range or axis order.

A picture is 8-bit grey or RGB, with or without alpha, and goes out as it came in. What would lose something on the way
(16 bits, CMYK, frames) is refused with a word on what helps. Colours are never converted and orientation stays a tag.
"""

import enum
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from hcdcodec.errors import DamagedError, OutputError, PictureError, UsageError
from hcdcodec.pictures import formats, png_chunks
from hcdcodec.pictures.formats import SNIFF_BYTES as SNIFF_BYTES
from hcdcodec.pictures.formats import sniff as sniff
from hcdcodec.pictures.metadata import Metadata as Metadata
from hcdcodec.pictures.metadata import is_header_twin
from hcdcodec.tiles import plan

Levels = npt.NDArray[np.uint8]
Planes = npt.NDArray[np.float32]
Sample = TypeVar("Sample", bound=np.generic)

DEFAULT_MAX_PIXELS = 1 << 28
_WEBP_SIDE_MAX = 16383
_PART = 2048

_RUNS = 3
"""zlib's Z_RLE, for reconstructions: filtered photographs hold hardly anything but runs for zlib to find.

0.07 instead of 0.29 CPU seconds a megapixel with Pillow's own choice, for 2.0 % more bytes on val and 1.8 % on Set14
(benchmarks/restored_png.py); a drawn page of text took a fourth more (by hand).
"""


class Mode(enum.IntEnum):
    """What the colour samples of a picture are; the numbers stand in files."""

    GREY = 0
    RGB = 1


class Format(enum.StrEnum):
    """How a decoded picture is stored, always without loss; the value is the file name's suffix."""

    PNG = "png"
    WEBP = "webp"
    TIFF = "tiff"


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture in memory.

    Attributes:
        pixels: (H, W) grey or (H, W, 3) RGB, uint8.
        alpha: (H, W) uint8, 255 is opaque; None when the picture has none.
        metadata: what travels with the pixels.
    """

    pixels: Levels
    alpha: Levels | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        """Check what callers hand over.

        Raises:
            UsageError: an array of another type or shape.
        """
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or shape[2:] not in ((), (3,)) or len(shape) < 2 or not self.pixels.size:
            raise UsageError("pixels are no uint8 array (H, W) or (H, W, 3); convert them first")
        if self.alpha is not None and (self.alpha.dtype != np.uint8 or self.alpha.shape != shape[:2]):
            raise UsageError("alpha is no uint8 array of the picture's height and width; convert it first")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def pixel_count(self) -> int:
        """Rows times columns."""
        return self.height * self.width

    @property
    def mode(self) -> Mode:
        """Grey or RGB, by the array's shape."""
        return Mode.GREY if self.pixels.ndim == 2 else Mode.RGB


def read_picture(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Read a picture file of any kind.

    Args:
        data: the whole file; its content decides of what kind it is.
        max_pixels: height * width above which nothing is decoded.

    Raises:
        PictureError: no picture, damaged, too large, or one that cannot be kept without loss.
    """
    if not sniff(data[:SNIFF_BYTES]):
        raise PictureError(f"not a picture that can be read; give {formats.READABLE}")
    try:
        with formats.pillow_reads():
            return (
                _read_png(data, max_pixels) if data.startswith(png_chunks.SIGNATURE) else _read_other(data, max_pixels)
            )
    except DamagedError as error:
        raise PictureError(str(error)) from error


def png_pixels(chunks: Sequence[png_chunks.Chunk]) -> tuple[Levels, Levels | None]:
    """Decode the pixels of a PNG.

    Args:
        chunks: the whole file, checked; its size is within the caller's limits.

    Returns:
        (H, W) grey or (H, W, 3) RGB and (H, W) alpha or None, as the file stores them; palettes are looked up.

    Raises:
        PictureError: 16 bits, or more than one frame.
        DamagedError: the pixels cannot be decoded.
    """
    head = png_chunks.ihdr(chunks[0])
    if head.depth == 16:
        raise PictureError("16-bit PNG cannot be kept without loss; convert it to 8 bits first")
    if any(chunk.type == b"acTL" and chunk.payload[:4] != b"\0\0\0\1" for chunk in chunks):
        raise PictureError("animated PNG cannot be kept without loss; save its frames as single pictures")
    with formats.pillow_reads(), formats.turn(head.height * head.width):
        image = formats.load(formats.open_lazily(png_chunks.essentials(chunks)))
        pixels, alpha = _arrays(image)
    transparency = next((chunk.payload for chunk in chunks if chunk.type == b"tRNS"), None)
    if transparency is not None and alpha is None:
        alpha = _png_alpha(transparency, head, np.asarray(image) if head.colour == png_chunks.PALETTE else pixels)
    return pixels, alpha


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


def read_lr_digest(data: bytes) -> bytes | None:
    """Read which LR file a decoded PNG was made from.

    Args:
        data: the file, or its beginning up to the pixels.

    Returns:
        What `write_picture` was given; None when the file says nothing or is no sound PNG.
    """
    try:
        for chunk in png_chunks.walk(data):
            if chunk.type == png_chunks.LR_DIGEST_CHUNK:
                return chunk.payload
            if chunk.type == b"IDAT":
                return None
    except DamagedError:
        return None
    return None


def single_channel(pixels: Levels) -> Levels | None:
    """Reduce (H, W, 3) whose channels all agree to (H, W), and leave (H, W) alone; None when there are colours."""
    if pixels.ndim == 2:
        return pixels
    red, green, blue = np.moveaxis(pixels, -1, 0)
    return red.copy() if np.array_equal(red, green) and np.array_equal(green, blue) else None


def to_planes(pixels: Levels) -> Planes:
    """Turn uint8 (H, W) or (H, W, 3) into what networks take: (3, H, W) float32 in [0, 1]; grey in three copies."""
    planes = np.empty((3, *pixels.shape[:2]), np.float32)
    np.divide(np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels, np.float32(255), out=planes)
    return planes


def to_levels(planes: Planes) -> Levels:
    """Turn float32 in [0, 1] into uint8 of the same shape: clamped, and rounded with halves to even like torch."""
    scaled = np.clip(planes, 0, 1)
    scaled *= np.float32(255)
    return np.rint(scaled, out=scaled).astype(np.uint8)


def to_interleaved(planes: npt.NDArray[Sample]) -> npt.NDArray[Sample]:
    """(3, H, W) to (H, W, 3), contiguous."""
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def from_interleaved(pixels: npt.NDArray[Sample]) -> npt.NDArray[Sample]:
    """(H, W, 3) to (3, H, W), contiguous."""
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def _read_png(data: bytes, max_pixels: int) -> Picture:
    chunks = tuple(png_chunks.walk(data))
    if any(chunk.type == png_chunks.HEADER_CHUNK or is_header_twin(chunk) for chunk in chunks):
        raise PictureError("picture is already encoded by hcdcodec; decode it instead")
    head = png_chunks.ihdr(chunks[0])
    _check_size(head.height, head.width, max_pixels)
    metadata = Metadata.from_chunks(chunks)
    pixels, alpha = png_pixels(chunks)
    return Picture(_from_palette(pixels, metadata) if head.colour == png_chunks.PALETTE else pixels, alpha, metadata)


def _read_other(data: bytes, max_pixels: int) -> Picture:
    image = formats.open_lazily(data)
    _check_size(image.height, image.width, max_pixels)
    formats.check_lossless(image, data)
    with formats.turn(image.height * image.width):
        formats.load(image)
        metadata = Metadata.from_pillow(image)
        pixels, alpha = _arrays(image)
    return Picture(_from_palette(pixels, metadata) if image.mode == "P" else pixels, alpha, metadata)


def _from_palette(pixels: Levels, metadata: Metadata) -> Levels:
    """Make a palette of greys a grey picture, unless a profile says RGB."""
    grey = None if metadata.has_rgb_profile else single_channel(pixels)
    return pixels if grey is None else grey


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise PictureError(f"picture has {height} x {width} pixels, the limit is {max_pixels} in all; raise the limit")


def _arrays(image: Image.Image) -> tuple[Levels, Levels | None]:
    """Copy the pixels out of Pillow in parts: at once, it would take three times their memory."""
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


def _png_alpha(transparency: bytes, head: png_chunks.Ihdr, samples: Levels) -> Levels:
    """Make alpha from a tRNS chunk.

    Args:
        transparency: alpha of the first palette entries, or the one colour that is transparent, 16 bits a sample.
        head: of the same file; its depth is the unit of the colour.
        samples: palette indices, or decoded pixels.
    """
    if head.colour == png_chunks.PALETTE:
        table = np.full(256, 255, np.uint8)
        entries = np.frombuffer(transparency[:256], np.uint8)
        table[: len(entries)] = entries
        return table[samples]
    if len(transparency) != (2 if samples.ndim == 2 else 6):
        raise DamagedError("PNG chunk tRNS has the wrong size; save the picture again")
    hit = samples == np.frombuffer(transparency, ">u2") * (255 // (2**head.depth - 1))
    return np.where(hit if hit.ndim == 2 else hit.all(-1), np.uint8(0), np.uint8(255))


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
