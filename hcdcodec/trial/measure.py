"""Measure what a picture will take, at little cost: the bytes of its bicubic LR on the grid of a quality.

Our LR is a bicubic LR with small changes, and both are stored as PNG. So the bytes of the one follow those of the
other. Over 48 crops of 192 to 384 pixels, the ratio of the two had a standard deviation of 7 % at quality 75.
"""

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from hcdcodec.format.container import PNG_LEVEL
from hcdcodec.format.grid import grid_of
from hcdcodec.format.layout import make_raw
from hcdcodec.format.oxipng_worker import optimise
from hcdcodec.format.png_container import ALPHA_CHUNK
from hcdcodec.format.srgb_profile import is_srgb
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.picture import Levels, Picture

HEADER_BYTES = 283
"""Bytes of the header and of its copy, with their frames, in a PNG."""

_EXACT_PX, _QUICK_LEVEL = 1 << 20, 0
"""Alpha is stored exactly and does not follow the LR, so it is packed as in a file; above so many pixels quicker."""


@dataclass(frozen=True, order=True)
class Setting:
    """A scale and a quality."""

    scale: int
    quality: int


@dataclass(frozen=True)
class Measured:
    """One picture file.

    Attributes:
        pixels: height times width.
        source_bytes: size of the file.
        fixed_bytes: what its small file takes for metadata, headers and alpha; no setting changes them.
        lr_bytes: what its bicubic LR takes, one number for each setting.
    """

    pixels: int
    source_bytes: int
    fixed_bytes: int
    lr_bytes: tuple[int, ...]


def measure(picture: Picture, source_bytes: int, settings: tuple[Setting, ...]) -> Measured:
    """Measure a picture at some settings."""
    alpha = 0 if picture.alpha is None else _alpha_bytes(picture.alpha)
    # The header names this profile, and the file does not store it.
    stored = replace(picture.metadata, icc=None) if is_srgb(picture.metadata.icc) else picture.metadata
    metadata = len(png_chunks.join(stored.to_chunks(compact=True)))
    sizes = tuple(lr_bytes(picture.pixels, setting) for setting in settings)
    return Measured(picture.pixel_count, source_bytes, HEADER_BYTES + metadata + alpha, sizes)


def _alpha_bytes(alpha: Levels) -> int:
    """Return the bytes of the chunk of an alpha plane; of a large one usually a few more than will be stored."""
    plane = optimise(make_raw(alpha, PNG_LEVEL if alpha.size <= _EXACT_PX else _QUICK_LEVEL))
    return len(png_chunks.join([png_chunks.Chunk(ALPHA_CHUNK, plane)]))


def lr_bytes(pixels: Levels, setting: Setting) -> int:
    """Return the bytes of the bicubic LR of (H, W) or (H, W, 3) on the grid of a quality, as PNG."""
    lr = downscale(pixels, setting.scale)
    steps = grid_of(setting.quality).steps if lr.mode == "RGB" else (grid_of(setting.quality).green,)
    tables = [np.minimum(255, step * np.rint(np.arange(256) / step)).astype(int).tolist() for step in steps]
    return len(_deflate(lr.point([level for table in tables for level in table])))


def downscale(pixels: Levels, scale: int) -> Image.Image:
    """Return the bicubic LR; `reducing_gap` makes it several times faster on large pictures."""
    height, width = (-(-size // scale) for size in pixels.shape[:2])
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2)


def _deflate(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # The fastest level predicts as well as the usual one.
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
