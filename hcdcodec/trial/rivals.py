"""The codecs that ours is compared with: their real encoders, as Pillow and its plugins carry them."""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, features

from hcdcodec.files.picture_names import Format
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.pictures.writing import SIDES

try:
    import pillow_jxl  # noqa: F401  (registers the format)

    HAS_JXL = True
except ImportError:
    HAS_JXL = False


def _fits(kind: str, height: int, width: int) -> bool:
    return max(height, width) <= SIDES.get(Format(kind.lower()), math.inf)


@dataclass(frozen=True)
class Codec:
    """One encoder.

    Attributes:
        name: with the settings that do not vary.
        settings: qualities, from large files to small ones.
        options: quality -> arguments of Pillow's save.
        kind: Pillow's name of the format.
        available: whether this machine has it.
        remedy: what helps where it is missing.
    """

    name: str
    kind: str
    settings: tuple[int, ...]
    options: Callable[[int], Mapping[str, object]]
    available: bool
    remedy: str

    @property
    def short(self) -> str:
        """Return the name that people know the format by."""
        return {"WEBP": "WebP", "JXL": "JPEG XL"}.get(self.kind, self.kind)

    def holds(self, pixels: Levels) -> bool:
        """Tell whether the format holds a picture of this size."""
        return _fits(self.kind, *pixels.shape[:2])

    def travel(self, picture: Picture, setting: int) -> tuple[float, Levels]:
        """Return (bpp, decoded pixels) of a picture."""
        buffer = io.BytesIO()
        Image.fromarray(picture.pixels).save(buffer, self.kind, **self.options(setting))
        decoded = Image.open(buffer).convert("L" if picture.pixels.ndim == 2 else "RGB")
        return 8 * len(buffer.getvalue()) / picture.pixel_count, np.array(decoded)


TUNE = {"tune": "psnr"}
"""What all are judged by here; libavif's own choice is another."""


def _jpeg(subsampling: str) -> Codec:
    return Codec(
        f"JPEG {subsampling} progressive, optimised",
        "JPEG",
        (95, 90, 85, 80, 70, 60, 50, 40, 30, 25, 20, 15, 10, 7, 5),
        lambda quality: {"quality": quality, "progressive": True, "optimize": True, "subsampling": subsampling},
        bool(features.check("jpg")),
        "install Pillow with JPEG",
    )


CODECS = (
    _jpeg("4:2:0"),
    _jpeg("4:4:4"),
    Codec(
        "WebP -m 6",
        "WEBP",
        (95, 90, 80, 70, 60, 50, 40, 30, 20, 10, 5, 1),
        lambda quality: {"quality": quality, "method": 6},
        bool(features.check("webp")),
        "install Pillow with WebP",
    ),
    Codec(
        "AVIF 4:4:4 speed 6, tune psnr",
        "AVIF",
        (90, 80, 70, 60, 50, 40, 30, 25, 20, 15, 10, 5, 1),
        lambda quality: {"quality": quality, "speed": 6, "subsampling": "4:4:4", "advanced": TUNE},
        bool(features.check("avif")),
        "install Pillow 11.3 or later",
    ),
    Codec(
        "JPEG XL effort 7",
        "JXL",
        (95, 90, 80, 70, 60, 50, 40, 30, 20),  # below, libjxl halves the picture, which is another curve
        lambda quality: {"quality": quality, "effort": 7},
        HAS_JXL,
        "pip install pillow-jxl-plugin",
    ),
)

RIVALS = tuple({codec.kind: codec for codec in reversed(CODECS)}.values())[::-1]
"""One of each format; JPEG with 4:2:0, as most programs write it."""

AVIF = next(codec for codec in CODECS if codec.kind == "AVIF")
"""The codec of which a trial also says how many bytes it needs for the same PSNR."""


@dataclass(frozen=True)
class Thumbnail:
    """What else gives a small picture for looking at and a large one: two files.

    Attributes:
        name: of both together.
        kind: Pillow's name of the format of the small one.
        options: arguments of Pillow's save.
        available: whether this machine has it.
    """

    name: str
    kind: str
    options: Mapping[str, object]
    available: bool

    def bytes(self, pixels: Levels, scale: int) -> float:
        """Return the size of a bicubic thumbnail of the LR's size, of (H, W) or (H, W, 3).

        It is infinite where the format does not hold a thumbnail so large.
        """
        height, width = (-(-side // scale) for side in pixels.shape[:2])
        if not _fits(self.kind, height, width):
            return math.inf
        buffer = io.BytesIO()
        small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
        small.save(buffer, self.kind, **self.options)
        return len(buffer.getvalue())


# The usual qualities of both formats.
WEBP_THUMBNAIL = Thumbnail("WebP thumbnail + AVIF", "WEBP", {"quality": 75, "method": 6}, bool(features.check("webp")))
THUMBNAILS = (
    WEBP_THUMBNAIL,
    Thumbnail("JPEG XL thumbnail + AVIF", "JXL", {"quality": 75, "effort": 7}, HAS_JXL),
)
