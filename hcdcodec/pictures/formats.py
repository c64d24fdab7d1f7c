"""The formats of picture files that are read, how they are recognised, and which files would lose something.

Pillow decodes them. Pillow alone would also start other programs for some formats (EPS), guess others (TGA has no magic
number), and cut 16 bits to 8 without a warning. So this module lists the formats, and reads the bit depth itself.
"""

import io
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import BinaryIO

from PIL import ExifTags, Image, PpmImagePlugin, TiffImagePlugin

from hcdcodec.errors import DamagedError, HcdError, PictureError
from hcdcodec.files.picture_names import Format
from hcdcodec.pictures import plugins

READABLE = "PNG, JPEG, WebP, TIFF, GIF, BMP, AVIF, HEIC, JPEG XL, JPEG 2000, PNM or QOI"
SNIFF_BYTES = 64

_PILLOW_NAMES = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM", "QOI")
_HEIC = re.compile(rb".{4}ftyp(?:.{4}){0,12}?(?:hei[cmsx]|hev[cmsx])", re.DOTALL)
_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n"
    rb"|\xff\xd8\xff"  # JPEG
    rb"|RIFF.{4}WEBP"
    rb"|II[*+]\0|MM\0[*+]"  # TIFF, BigTIFF
    rb"|GIF8[79]a"
    rb"|BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0"  # the size of the second header: 'BM' alone is a word
    rb"|.{4}ftyp(?:.{4}){0,12}?avi[fs]"  # AVIF can be the main brand or one of the compatible brands
    rb"|.{4}ftyp(?:.{4}){0,12}?(?:hei[cmsx]|hev[cmsx])"  # HEIC, pictures and sequences
    rb"|\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"  # JPEG XL code stream, file
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"  # JPEG 2000 file, code stream
    rb"|P[1-6]\s+[#\d]"
    rb"|qoif",
    re.DOTALL,
)
_NEXT_PNM = re.compile(rb"\s*P[1-7]\s")
_TIFF_BITS_PER_SAMPLE = 258
_TIFF_SAMPLES_PER_PIXEL = 277
_TIFF_SAMPLE_FORMAT, _SIGNED = 339, 2
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations by which rows become columns
_LIMIT = threading.Lock()  # guards Pillow's limit, which is one variable for the whole process
_LARGE_PX = 1 << 24
_LARGE = threading.Lock()


def sniff(head: bytes) -> bool:
    """Tell from the first `SNIFF_BYTES` of a file whether it looks like a picture in one of these formats."""
    return _MAGIC.match(head) is not None


def wait_turn(pixels: int) -> AbstractContextManager[object]:
    """Return the context in which to decode a picture: only one large picture is decoded at a time.

    Decoding takes three times the memory of the pixels.
    """
    return _LARGE if pixels > _LARGE_PX else nullcontext()


@contextmanager
def pillow_reads() -> Iterator[None]:
    """Turn all errors of Pillow into one. Hostile bytes make it raise errors of nearly any class.

    Raises:
        DamagedError: Pillow has raised an error.
    """
    try:
        yield
    except (HcdError, MemoryError):
        raise
    except Exception as error:
        raise DamagedError("picture is truncated, damaged or of a rare kind; fetch or convert it again") from error


def open_lazily(data: bytes | BinaryIO) -> Image.Image:
    """Open a picture of any size without decoding its pixels.

    Args:
        data: its file, in memory or opened.

    Raises:
        PictureError: its format needs a package that is not installed.
    """
    Image.init()
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    if _HEIC.match(file.read(SNIFF_BYTES)):
        plugins.require(Format.HEIC)
    file.seek(0)
    known = [name for name in _PILLOW_NAMES if name in Image.OPEN]  # a name that this Pillow lacks is a KeyError
    with _no_limit():
        return Image.open(file, formats=known)


def load(image: Image.Image) -> Image.Image:
    """Decode the pixels, without a limit on their number."""
    is_on_its_side = (
        isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
    )
    # Only Pillow's TIFF reader asks for the limit again. The others need no lock, so they can decode side by side.
    with _no_limit() if image.format == "TIFF" else nullcontext():
        image.load()
    # Pillow has turned the pixels of a TIFF, and not its density.
    if is_on_its_side and "dpi" in image.info:
        image.info["dpi"] = image.info["dpi"][::-1]
    return image


def check_single(image: Image.Image, data: bytes) -> None:
    """Refuse a picture of several frames.

    Args:
        image: an opened picture whose pixels are not loaded yet.
        data: its file.

    Raises:
        PictureError: it has several.
    """
    # Not `n_frames`: Pillow counts the directories of a TIFF in quadratic time. `hcdcodec.pictures.extras` checks the
    # pictures that follow the first one in a multi-picture JPEG (MPO).
    is_animated = getattr(image, "is_animated", False) and image.format != "MPO"
    if is_animated or _NEXT_PNM.match(data, _end_of_pnm(image, data)):
        raise PictureError("picture has several frames or pages; save each as a single picture")


def _end_of_pnm(image: Image.Image, data: bytes) -> int:
    """Return where the first picture of a binary PNM ends, as another one may follow; else the end of the file."""
    if not isinstance(image, PpmImagePlugin.PpmImageFile) or data[1:2] not in b"456":
        return len(data)
    bits = 1 if data[1:2] == b"4" else 16 if _pnm_bits(data[:4096]) > 8 else 8
    channels = 3 if data[1:2] == b"6" else 1
    return int(image.tile[0].offset) + image.height * -(-image.width * channels * bits // 8)


@contextmanager
def _no_limit() -> Iterator[None]:
    """Switch off Pillow's limit on pixels. It holds for the whole process, and callers have limits of their own."""
    with _LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def count_bits(image: Image.Image, data: bytes) -> int:
    """Return the bits per sample of formats that Pillow would cut to 8 bits."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))))
    if image.format == "AVIF":
        # AV1-ISOBMFF, section 2.3.3: bit 6 of the third byte of the av1C box is high_bitdepth.
        return 10 if data[data.find(b"av1C") + 6] & 0x40 else 8
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    if image.format == "JPEG2000":
        return _jpeg2000_bits(data[data.find(b"\xff\x4f\xff\x51") + 2 :])
    if image.format == "PPM" and data[1:2] in b"2356":
        return _pnm_bits(data[:4096])
    return 8


def count_channels(image: Image.Image) -> int:
    """Return the number of channels in a TIFF, of which Pillow can leave some out; 0 for other formats."""
    return int(image.tag_v2.get(_TIFF_SAMPLES_PER_PIXEL, 1)) if isinstance(image, TiffImagePlugin.TiffImageFile) else 0


def has_signed_samples(image: Image.Image) -> bool:
    """Tell whether a TIFF has samples below zero, which Pillow takes for high levels where they have 8 bits."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and _SIGNED in image.tag_v2.get(_TIFF_SAMPLE_FORMAT, ())


def _jpeg2000_bits(size_marker: bytes) -> int:
    # ITU-T T.800, table A.9: Csiz stands 38 bytes behind the start of the SIZ marker. Three bytes for each component
    # follow; the first is Ssiz, whose highest bit is the sign and whose other bits are the depth less one.
    components = int.from_bytes(size_marker[38:40], "big")
    return max(((depth & 0x7F) + 1 for depth in size_marker[40 : 40 + 3 * components : 3]), default=8)


def _pnm_bits(head: bytes) -> int:
    # Magic number, width, height and largest value; a comment may stand between any two of them.
    _, _, _, largest, *_ = re.sub(rb"#[^\r\n]*", b"", head).split(None, 4)
    return int(largest).bit_length()
