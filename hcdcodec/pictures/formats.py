"""The kinds of picture files that are read, how they are told apart, and which of them would lose something.

Pillow reads them. Left alone it also runs other programs for some kinds (EPS), guesses at others (TGA has no magic) and
cuts 16 bits to 8 without a word; so the kinds are listed here, and depth is asked of the file, not of Pillow.
"""

import io
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from PIL import Image, TiffImagePlugin

from hcdcodec.errors import DamagedError, HcdError, PictureError

READABLE = "PNG, JPEG, WebP, TIFF, GIF, BMP, AVIF, JPEG 2000, PNM or QOI"
SNIFF_BYTES = 64

_PILLOW_NAMES = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "QOI")
_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n"
    rb"|\xff\xd8\xff"  # JPEG
    rb"|RIFF.{4}WEBP"
    rb"|II[*+]\0|MM\0[*+]"  # TIFF, BigTIFF
    rb"|GIF8[79]a"
    rb"|BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0"  # the size of the second header: 'BM' alone is a word
    rb"|.{4}ftyp(?:.{4}){0,12}?avi[fs]"
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"  # JPEG 2000 file, code stream
    rb"|P[1-6]\s+[#\d]"
    rb"|qoif",
    re.DOTALL,
)
_LOSSY_MODES = {
    "CMYK": "CMYK picture",
    "LAB": "Lab picture",
    "F": "floating-point picture",
    "I": "picture of more than 8 bits",
}
_TIFF_BITS_PER_SAMPLE = 258
_TIFF_SAMPLES_PER_PIXEL = 277
_LIMIT = threading.Lock()
_LARGE_PX = 1 << 24
_LARGE = threading.Lock()


def sniff(head: bytes) -> bool:
    """Tell from the first `SNIFF_BYTES` of a file whether it looks like a picture of a kind that is read."""
    return _MAGIC.match(head) is not None


def turn(pixels: int) -> AbstractContextManager[object]:
    """Return the context in which to decode a picture: large ones go one by one, as each takes three times its size."""
    return _LARGE if pixels > _LARGE_PX else nullcontext()


@contextmanager
def pillow_reads() -> Iterator[None]:
    """Guard everything that Pillow does with a file's bytes: hostile ones make it raise errors of every class.

    Raises:
        DamagedError: in place of whatever Pillow raised.
    """
    try:
        yield
    except (HcdError, MemoryError):
        raise
    except Exception as error:
        raise DamagedError("picture is truncated, damaged or of a rare kind; fetch or convert it again") from error


def open_lazily(data: bytes) -> Image.Image:
    """Open a picture without decoding its pixels, whatever its size."""
    Image.init()
    known = [name for name in _PILLOW_NAMES if name in Image.OPEN]  # AVIF came with Pillow 11.3
    with _no_limit():
        return Image.open(io.BytesIO(data), formats=known)


def load(image: Image.Image) -> Image.Image:
    """Decode the pixels, however many."""
    with _no_limit() if image.format == "TIFF" else nullcontext():  # the one reader that asks for the limit again
        image.load()
    return image


def check_lossless(image: Image.Image, data: bytes) -> None:
    """Refuse what 8-bit grey or RGB with alpha cannot hold.

    Args:
        image: opened, not a PNG.
        data: its file.

    Raises:
        PictureError: several frames, more than 8 bits, or colours other than grey and RGB.
    """
    # Not `n_frames`: to count a TIFF's directories takes time by the square of their number. What stands behind the
    # photograph in an MPO is looked at in `hcdcodec.pictures.extras`.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise PictureError("picture has several frames or pages; save each as a single picture")
    kind = _LOSSY_MODES.get(image.mode.partition(";")[0])
    if kind is None and _bits(image, data) > 8:
        kind = _LOSSY_MODES["I"]
    if kind is None and _channels(image) > len(image.getbands()):
        kind = "picture with a channel of unknown meaning"
    if kind is not None:
        raise PictureError(f"{kind} cannot be kept without loss; convert it to 8-bit RGB or grey first")


@contextmanager
def _no_limit() -> Iterator[None]:
    """Lift Pillow's limit on pixels, which is one for the whole process and prints; callers have their own."""
    with _LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _bits(image: Image.Image, data: bytes) -> int:
    """Count the bits per sample of the kinds that Pillow would cut to 8."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))))
    if image.format == "AVIF":
        return 10 if data[data.find(b"av1C") + 6] & 0x40 else 8
    if image.format == "JPEG2000":
        return _jpeg2000_bits(data[data.find(b"\xff\x4f\xff\x51") + 2 :])
    if image.format == "PPM" and data[1:2] in b"2356":
        return _pnm_bits(data[:4096])
    return 8


def _channels(image: Image.Image) -> int:
    """Count the channels of the one kind of which Pillow leaves some out."""
    return int(image.tag_v2.get(_TIFF_SAMPLES_PER_PIXEL, 1)) if isinstance(image, TiffImagePlugin.TiffImageFile) else 0


def _jpeg2000_bits(size_marker: bytes) -> int:
    components = int.from_bytes(size_marker[38:40], "big")
    return max(((depth & 0x7F) + 1 for depth in size_marker[40 : 40 + 3 * components : 3]), default=8)


def _pnm_bits(head: bytes) -> int:
    _, _, _, largest, *_ = re.sub(rb"#[^\r\n]*", b"", head).split(None, 4)
    return int(largest).bit_length()
