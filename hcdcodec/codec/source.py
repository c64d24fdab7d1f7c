"""Read the sources of an encoding: files, and what callers in Python have."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hcdcodec.codec.options import EncodeOptions
from hcdcodec.errors import PictureError
from hcdcodec.files import disk
from hcdcodec.format.container import refuse_encoded
from hcdcodec.pictures.picture import Picture, drop_neutral_colours, split
from hcdcodec.pictures.reading import read_image, read_picture

_CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Source:
    """A picture, with the size in bytes and the digest of the file that it comes from, if it comes from one."""

    picture: Picture
    size: int = 0
    digest: bytes = bytes(disk.DIGEST_BYTES)


def read_file(data: bytes, options: EncodeOptions, max_pixels: int) -> Picture:
    """Read a picture file as it is encoded.

    Raises:
        PictureError: the file is not a picture, cannot be stored, or is one of ours.
    """
    # A small file is a readable picture, so without this check it would be encoded a second time.
    refuse_encoded(data)
    picture = read_picture(
        data, max_pixels=max_pixels, strip=options.strip, convert=options.convert, upright=options.upright
    )
    return drop_neutral_colours(picture)


def read_anything(given: object, options: EncodeOptions, max_pixels: int) -> Source:
    """Read a path, the content of a file, an image of Pillow, or an array.

    Raises:
        PictureError: it is none of these, or cannot be read or stored.
    """
    if isinstance(given, Image.Image):
        return Source(drop_neutral_colours(read_image(given, strip=options.strip, upright=options.upright)))
    data = _file_content(given, max_pixels)
    if data is None:
        return Source(_from_array(given))
    return Source(read_file(data, options, max_pixels), len(data), disk.source_digest(data))


def _file_content(given: object, max_pixels: int) -> bytes | None:
    """Return the content of a file that was given by its path or as bytes; None for everything else."""
    if isinstance(given, str | os.PathLike):
        return disk.read(Path(os.fsdecode(given)), limit=disk.most_bytes(max_pixels))
    # A view of an array has more than one dimension.
    is_content = isinstance(given, bytes | bytearray) or (isinstance(given, memoryview) and given.ndim == 1)
    return bytes(given) if is_content else None  # type: ignore[call-overload]


def _from_array(pixels: object) -> Picture:
    """Take an array, or what numpy takes for one."""
    refusal = f"{type(pixels).__name__} is no picture; pass a path, bytes, an image or a uint8 array"
    try:
        array = np.asarray(pixels)
    except (TypeError, ValueError, RuntimeError) as error:  # rows of several lengths, a tensor on a GPU
        raise PictureError(refusal) from error
    if array.dtype == object:  # an open file, for example
        raise PictureError(refusal)
    channels = 1 if array.ndim == 2 else array.shape[-1] if array.ndim == 3 else 0
    if array.dtype != np.uint8 or channels not in _CHANNELS or not array.size:
        raise PictureError(f"{array.dtype} array of shape {array.shape} is no picture; pass (H, W[, 2|3|4]) uint8")
    return Picture(*split(array))
