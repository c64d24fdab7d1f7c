"""What one codec makes of one picture: PSNR at a number of bytes, and bytes at a PSNR."""

import contextlib
import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hcdcodec.errors import DamagedError
from hcdcodec.pictures.formats import pillow_reads
from hcdcodec.pictures.metrics import EXACT_DB, psnr
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.trial.rivals import Codec


@dataclass(frozen=True)
class Point:
    """One file: its setting, its bytes and its PSNR-RGB in dB."""

    setting: int
    bytes: float
    psnr: float


class Curve:
    """The files of one codec for one picture, by rising bytes. Only the files that a question needs are made.

    Between two files the logarithm of the bytes is linear in dB, as in the benchmarks.

    Args:
        codec: one that is available. If it does not hold a picture so large, it makes no file.
        picture: without alpha and metadata.
    """

    def __init__(self, codec: Codec, picture: Picture) -> None:
        self.codec, self._picture = codec, picture
        self._settings = sorted(codec.settings) if codec.holds(picture.pixels) else []
        self._made: dict[int, Point] = {}

    def psnr_at(self, size: float) -> float | None:
        """Return the PSNR of a file of so many bytes; None where the codec makes no file of that size."""
        # The logarithm of no bytes at all has no value, and no file is so small.
        return self._interpolate(lambda point: math.log(point.bytes), math.log(max(size, 1)), lambda point: point.psnr)

    def size_at(self, psnr: float) -> float | None:
        """Return the bytes of a file of this PSNR; None where the codec does not reach it, or has no file so poor."""
        found = self._interpolate(lambda point: point.psnr, min(psnr, EXACT_DB), lambda point: math.log(point.bytes))
        return None if found is None else math.exp(found)

    def largest(self, size: float) -> Point | None:
        """Return the best file that was made with at most so many bytes; None where even the smallest has more."""
        with contextlib.suppress(DamagedError):
            place = bisect_left(range(len(self._settings)), True, key=lambda at: self._point(at).bytes > size)
            return self._point(place - 1) if place else None
        return None

    def decode(self, point: Point) -> Levels:
        """Return the pixels of a file; they are made again, since those of all files would fill the memory."""
        return self.codec.travel(self._picture, point.setting)[1]

    def _interpolate(
        self, given: Callable[[Point], float], value: float, wanted: Callable[[Point], float]
    ) -> float | None:
        places = range(len(self._settings))
        try:
            place = bisect_left(places, value, key=lambda at: given(self._point(at)))
        except DamagedError:
            return None
        if place == len(places):
            return None
        upper = self._point(place)
        if place == 0:
            return wanted(upper) if given(upper) == value else None
        lower = self._point(place - 1)
        return float(np.interp(value, [given(lower), given(upper)], [wanted(lower), wanted(upper)]))

    def _point(self, place: int) -> Point:
        if place not in self._made:
            setting = self._settings[place]
            # Some encoders fail: Pillow gives a progressive JPEG of noise, a few rows high, too small a buffer.
            with pillow_reads():
                bpp, pixels = self.codec.travel(self._picture, setting)
            error = min(EXACT_DB, psnr(self._picture.pixels, pixels))
            self._made[place] = Point(setting, bpp * self._picture.pixel_count / 8, error)
        return self._made[place]
