"""The options of an encoding, and targets that choose the quality. This module needs no torch."""

from dataclasses import dataclass, field
from numbers import Real

from hcdcodec.codec.search.options import DEFAULT_EFFORT, Search, search_of
from hcdcodec.errors import UsageError
from hcdcodec.files.encoded_names import Container
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.format.header import DETAILS_SCALE_MAX
from hcdcodec.pictures.metadata import Strip

PSNR_MAX = 100.0
"""Largest PSNR that a target may ask for, in dB."""

_LEAST, _MOST = 1e-6, 1e18
"""Of any target. Far beyond, the logarithm of bytes over allowed bytes has no value."""


@dataclass(frozen=True)
class EncodeOptions:
    """How pictures are encoded.

    Attributes:
        search: how the LR is searched.
        quality: 1 to 100, chooses the LR grid.
        details_scale: standard deviation of the details z; None = the deviation that the weights were trained for.
        details_seed: seed of the details z, where they are not zeros.
        strip: kinds of metadata that are not stored, each at most once and in the order of `Strip`.
        container: container of the small file.
        upright: turn the pixels as EXIF says.
        convert: take pictures that 8-bit grey or RGB holds only with a loss; see `hcdcodec.pictures.conversion`.

    Raises:
        UsageError: the deviation is out of range.
    """

    search: Search = field(default_factory=lambda: search_of(DEFAULT_EFFORT))
    quality: int = DEFAULT_QUALITY
    details_scale: float | None = None
    details_seed: int = 0
    strip: tuple[Strip, ...] = ()
    container: Container = Container.PNG
    upright: bool = False
    convert: bool = False

    def __post_init__(self) -> None:
        if self.details_scale is not None and not 0 <= self.details_scale <= DETAILS_SCALE_MAX:
            raise UsageError(
                f"{self.details_scale} is no deviation of details z; 0 to {DETAILS_SCALE_MAX} are possible"
            )


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target for one file. Exactly one of these is given.

    Attributes:
        max_bytes: take the best quality whose file has at most so many bytes. If there is none, the picture fails.
        bpp: take the best quality with at most so many bits per HR pixel, metadata and alpha included. If there is
            none, take the smallest file.
        psnr: take the lowest quality with at least this PSNR-RGB in dB. If there is none, take the best quality.

    Raises:
        UsageError: no target, several targets, or one that is out of range.
    """

    max_bytes: int | None = None
    bpp: float | None = None
    psnr: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.max_bytes, self.bpp, self.psnr) if value is not None]
        if len(given) != 1:
            raise UsageError("a target is one of bytes, bits per pixel and PSNR; choose one")
        if not isinstance(given[0], Real) or not _LEAST <= given[0] <= _MOST or (self.psnr or 0) > PSNR_MAX:
            raise UsageError(f"target {given[0]!r} is out of range; it is above 0, and a PSNR is at most 100 dB")

    def most_bytes(self, pixels: int) -> float | None:
        """Return how many bytes the file of a picture of so many pixels may have; None where the target is a PSNR."""
        return self.max_bytes if self.bpp is None else self.bpp * pixels / 8
