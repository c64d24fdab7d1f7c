"""Take pictures that 8-bit grey or RGB holds only with a loss: deeper samples are rounded, CMYK and Lab become sRGB.

Pillow cuts deeper RGB samples to their high bytes. So this module reads such files twice: the second time with the
other byte order, for which Pillow returns the low bytes.
"""

import enum
import io
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageFile, TiffImagePlugin

from hcdcodec.errors import PictureError
from hcdcodec.files.picture_names import Format
from hcdcodec.pictures import formats, plugins, png_chunks
from hcdcodec.pictures.picture import Levels, split

_MOST = 0xFFFF
_PHOTOMETRIC = 262
_GREY_ALPHA, _GREY, _RGB_ALPHA = 4, 0, 6  # colour types of PNG

SRGB = png_chunks.Chunk(b"sRGB", b"\1")
"""Says that a picture is sRGB; 1 is the relative colorimetric intent."""

Samples = npt.NDArray[np.uint16]


class Loss(enum.Enum):
    """What 8-bit grey or RGB cannot hold; the value is its name."""

    DEPTH = "picture of more than 8 bits a channel"
    CMYK = "CMYK picture"
    LAB = "Lab picture"

    @property
    def refusal(self) -> str:
        """Return the reason for which a picture is refused unless the user wants it converted."""
        remedy = "rounds it to 8 bits" if self is Loss.DEPTH else "makes sRGB of it"
        return f"{self.value} cannot be stored as it is; encode --convert {remedy}"

    @property
    def warning(self) -> str:
        """Return what has been done to a picture."""
        colours = self.value.partition(" ")[0]
        return "rounded to 8 bits a channel" if self is Loss.DEPTH else f"converted from {colours} to sRGB"


def find_loss(image: Image.Image, data: bytes) -> Loss | None:
    """Tell what conversion a picture needs.

    Args:
        image: an opened picture that is not a PNG.
        data: its file.

    Raises:
        PictureError: no conversion helps.
    """
    kind, depth = image.mode.partition(";")[0], formats.count_bits(image, data)
    is_deep = depth > 8
    if kind in ("CMYK", "LAB") and not is_deep:
        return Loss[kind]
    is_signed = formats.has_signed_samples(image) or (image.mode == "I" and image.format != "PPM")
    if kind in ("CMYK", "LAB", "F") or is_signed or depth > 16:
        name = "floating-point" if kind == "F" else "signed or 32-bit" if is_signed else f"{depth}-bit {kind}"
        raise PictureError(f"{name} picture cannot be stored; convert it to 8-bit RGB or grey first")
    if formats.count_channels(image) > len(image.getbands()):
        raise PictureError("picture with a channel of unknown meaning cannot be stored; convert it to 8-bit RGB first")
    return Loss.DEPTH if is_deep or kind == "I" else None


def convert_image(image: Image.Image, data: bytes, loss: Loss) -> tuple[Levels, Levels | None]:
    """Convert a loaded picture.

    Returns:
        (H, W) grey or (H, W, 3) RGB, and (H, W) alpha or None.

    Raises:
        PictureError: its samples cannot be read in full, or it has no profile that says what its colours are.
    """
    if loss is not Loss.DEPTH:
        return np.asarray(_to_srgb(image)).copy(), None
    return split(round_samples(*_read_samples(image, data)))


def round_samples(samples: Samples, most: int = _MOST) -> Levels:
    """Scale samples from 0..most to 0..255; the nearest level counts."""
    return ((samples.astype(np.uint32) * 255 + most // 2) // most).astype(np.uint8)


def png_samples(data: bytes, colour: int) -> Samples:
    """Return the samples of a 16-bit PNG without tRNS."""
    if colour == _GREY:
        return np.asarray(formats.load(formats.open_lazily(data))).astype(np.uint16)
    if colour == _GREY_ALPHA:  # as an 8-bit RGBA picture it has the same bytes
        head = next(iter(png_chunks.walk(data)))
        as_rgba = png_chunks.Chunk(head.type, head.payload[:8] + bytes((8, _RGB_ALPHA)) + head.payload[10:])
        data = png_chunks.build((as_rgba, *list(png_chunks.walk(data))[1:]))
        halves = np.asarray(formats.load(formats.open_lazily(data)))
        return _join(halves[..., 0::2], halves[..., 1::2])
    return _read_twice(data)


def _read_samples(image: Image.Image, data: bytes) -> tuple[Samples, int]:
    """Return (H, W[, C]) samples, and the largest value that they can have."""
    bits = formats.count_bits(image, data)
    if image.format == "HEIF":
        opened = plugins.require(Format.HEIC).open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        return np.right_shift(np.asarray(opened, np.uint16), np.uint16(16 - bits)), 2**bits - 1
    if image.format in ("AVIF", "PPM") and image.mode != "I":
        return np.asarray(image).astype(np.uint16), 255  # their decoders have rounded already
    if image.mode.startswith("I") and (image.format in ("PPM", "TIFF") or bits == 16):
        samples = np.asarray(image).astype(np.uint16)
        # Pillow spreads the samples of a PNM over 16 bits, and not those of a TIFF, which can have 12.
        most = 2**bits - 1 if image.format == "TIFF" else _MOST
        is_negative = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0
        return (most - samples if is_negative else samples), most
    if image.format == "TIFF":
        return _read_twice(data), _MOST
    raise PictureError(f"{image.format} of {bits} bits cannot be rounded; save it as a 16-bit PNG or TIFF first")


def _read_twice(data: bytes) -> Samples:
    """Return the samples of a PNG or TIFF of 16-bit RGB, with alpha or without it."""
    high, low = formats.open_lazily(data), formats.open_lazily(data)
    assert isinstance(low, ImageFile.ImageFile)  # as all opened files are
    low.tile = [tile._replace(args=_swap(tile.args)) for tile in low.tile]
    return _join(np.asarray(formats.load(high)), np.asarray(formats.load(low)))


def _swap(arguments: Any) -> Any:
    """Return the arguments of a decoder with the other byte order.

    Raises:
        PictureError: the samples are of a kind for which this gives no low bytes.
    """
    rawmode, *rest = (arguments,) if isinstance(arguments, str) else arguments
    kind, _, order = str(rawmode).partition(";16")
    native, other = ("L", "B") if sys.byteorder == "little" else ("B", "L")
    orders = {"L": "B", "B": "L", "N": other, native: other}
    if kind not in ("RGB", "RGBA") or order not in orders:
        raise PictureError(f"16-bit samples of the kind {rawmode} cannot be rounded; save it as a 16-bit PNG first")
    swapped = f"{kind};16{orders[order]}"
    return swapped if isinstance(arguments, str) else (swapped, *rest)


def _join(high: Levels, low: Levels) -> Samples:
    return high.astype(np.uint16) * np.uint16(256) + low


def _to_srgb(image: Image.Image) -> Image.Image:
    is_cmyk, profile = image.mode == "CMYK", image.info.get("icc_profile") or b""
    if is_cmyk and profile[16:20] != b"CMYK":
        raise PictureError("CMYK picture has no profile that says how its inks look; assign one in an editor first")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if is_cmyk else ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise PictureError("its colour profile is broken; convert it to RGB in an editor first") from error
    assert converted is not None  # only a conversion in place returns nothing
    return converted
