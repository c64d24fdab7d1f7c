"""One picture in memory.

A picture is 8-bit grey or RGB, with or without alpha, and decoding returns it in the same form. A file that would lose
something (16 bits, CMYK, several frames) is refused with a hint. Colours are never converted, and orientation stays a
tag, unless the user asks for it (--convert, --upright).
"""

import enum
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from hcdcodec.errors import UsageError
from hcdcodec.pictures.metadata import Metadata

Levels = npt.NDArray[np.uint8]


class Mode(enum.IntEnum):
    """The colour channels of a picture; the numbers stand in files."""

    GREY = 0
    RGB = 1


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture in memory.

    Attributes:
        pixels: (H, W) grey or (H, W, 3) RGB, uint8.
        alpha: (H, W) uint8, 255 is opaque; None where the picture has no alpha.
        metadata: the metadata of the picture.
        warnings: one line for each part of the source that is not carried: `what is wrong; what to do`.
    """

    pixels: Levels
    alpha: Levels | None = None
    metadata: Metadata = field(default_factory=Metadata)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the arrays.

        Raises:
            UsageError: an array has another type or shape.
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
    def levels(self) -> Levels:
        """Colour and alpha in one array, (H, W) or (H, W, 2 to 4)."""
        return self.pixels if self.alpha is None else np.dstack((self.pixels, self.alpha))

    @property
    def mode(self) -> Mode:
        """Grey or RGB, by the array's shape."""
        return Mode.GREY if self.pixels.ndim == 2 else Mode.RGB


def split(levels: Levels) -> tuple[Levels, Levels | None]:
    """Split (H, W) or (H, W, 1 to 4) into colour and alpha."""
    planes = np.atleast_3d(levels)
    channels = planes.shape[2]
    colours = np.ascontiguousarray(planes[..., 0] if channels < 3 else planes[..., :3])
    return colours, planes[..., -1].copy() if channels in (2, 4) else None


def drop_neutral_colours(picture: Picture) -> Picture:
    """Make an RGB picture grey if all its pixels are grey. Otherwise the network could add slight colours to it.

    A picture with an RGB profile stays RGB, because the profile describes three channels.
    """
    grey = None if picture.metadata.has_rgb_profile else single_channel(picture.pixels)
    if picture.mode is Mode.GREY or grey is None:
        return picture
    words = "no pixel has a colour, so it comes back with one channel; nothing is lost"
    return replace(picture, pixels=grey, warnings=(*picture.warnings, words))


def single_channel(pixels: Levels) -> Levels | None:
    """Return (H, W) for a picture whose channels all agree, or that has only one; None where it has colours."""
    if pixels.ndim == 2:
        return pixels
    red, green, blue = np.moveaxis(pixels, -1, 0)
    return red.copy() if np.array_equal(red, green) and np.array_equal(green, blue) else None


def expand(pixels: Levels) -> Levels:
    """Repeat the channel of (H, W) to (H, W, 3), and return (H, W, 3) unchanged."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=-1)
