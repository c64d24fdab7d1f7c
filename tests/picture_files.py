"""Picture files and their parts, as several test modules need them."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from hcdcodec.pictures.picture import Levels

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(*shape: int) -> Levels:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels_of(file: bytes | str | Path) -> Levels:
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as opened:
        return np.asarray(opened)


def exif_tags(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block.update({ExifTags.Base.Orientation: orientation, ExifTags.Base.Make: "Maker"})
    return block


def exif(orientation: int = 1) -> bytes:
    return exif_tags(orientation).tobytes().removeprefix(b"Exif\0\0")


def segment(marker: int, payload: bytes) -> bytes:
    """Build a segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(payload)) + payload
