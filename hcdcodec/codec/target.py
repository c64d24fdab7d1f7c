"""Choosing the quality by what it is to reach: bytes, bits per pixel, or PSNR.

The qualities of `grid.RUNGS` stand in a row from "asks most" to "safest", and the first one that reaches the target is
wanted. The LR before the search tells cheaply what each would cost or give: bytes to a few per cent, PSNR without what
the search gains. The difference to what searches really found corrects that, and a bracket closes around the answer.

Only what was searched and measured is accepted, and it is what `--quality` would have written. So no search begins with
the result of another one: it would save steps, but the same quality would then mean different files.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hcdcodec.codec.encode import Encoded, encode_pictures, preview
from hcdcodec.codec.options import PSNR_MAX, EncodeOptions, Target
from hcdcodec.codec.settings import settings_digest
from hcdcodec.engine.engine import Engine
from hcdcodec.errors import OutputError
from hcdcodec.format import container
from hcdcodec.format.grid import RUNGS
from hcdcodec.format.header import Header
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.picture import Levels, Picture

SEARCHES = 4
"""Full searches of a picture at most; one or two is usual."""

_SURE_BYTES, _SURE_DB = math.log(1.03), 0.05
"""What predictions are good for: a neighbour predicted to miss by more is not searched."""


@dataclass(frozen=True)
class Found:
    """What was chosen for one picture.

    Attributes:
        encoded: the picture at the quality that its header names.
        passes: over all searches, predictions included.
        searches: full searches.
        met: whether it reaches the target.
    """

    encoded: Encoded
    passes: int
    searches: int = 1
    met: bool = True


def reach(engine: Engine, picture: Picture, options: EncodeOptions, target: Target, *, level: int) -> Found:
    """Encode one picture at the quality that suits a target.

    Costs at most `SEARCHES` full searches and one downscaling; besides, predictions take up to ten PNGs of the LR where
    bytes are asked for, or as many forward passes where PSNR is.

    Args:
        engine: network, device and precision.
        picture: any size from 1x1 on.
        options: how; their quality does not matter.
        target: what to reach.
        level: of the PNG encoder that will write the file.

    Returns:
        The wanted quality, or the one that comes closest.
    """
    hunt = _Hunt(engine, picture, options, target, level)
    while len(hunt.tried) < SEARCHES and (place := hunt.next()) is not None:
        hunt.search(place)
    return hunt.result()


def remark(target: Target, found: Found, size: int) -> str:
    """Say where a result falls short of its target; empty if it does not.

    Args:
        target: what was to be reached.
        found: the result.
        size: bytes of its file.

    Raises:
        OutputError: there must be no such result.
    """
    if found.met:
        return ""
    header = found.encoded.header
    if target.max_bytes is not None:
        raise OutputError(
            f"{target.max_bytes} bytes cannot be met; "
            f"even quality {header.quality} takes {size}, allow more or choose another --scale"
        )
    if target.bpp is not None:
        bpp = 8 * size / header.pixel_count
        return f"{target.bpp:g} bpp cannot be reached; stored with {bpp:.3f}, the least at this scale"
    psnr = decibels(found.encoded.refined.error)
    return f"{target.psnr:g} dB cannot be reached; stored with {psnr:.2f}, the most at this scale and effort"


class _Hunt:
    """The bracket around the answer for one picture. An excess is how far a quality misses the target, <= 0: not."""

    def __init__(self, engine: Engine, picture: Picture, options: EncodeOptions, target: Target, level: int) -> None:
        self.engine, self.picture, self.options, self.target, self.level = engine, picture, options, target, level
        self.row = RUNGS if target.psnr is None else RUNGS[::-1]
        self.tried: dict[int, tuple[float, Encoded]] = {}
        self.preview = preview(engine, picture, options)
        self.passes = 1
        self._plain: dict[int, float] = {}

    def next(self) -> int | None:
        """Return the place in the row to search next; None where the answer is known."""
        failed = max((place for place, (excess, _) in self.tried.items() if excess > 0), default=-1)
        met = min((place for place, (excess, _) in self.tried.items() if excess <= 0), default=len(self.row))
        between = range(failed + 1, met)
        if not between:
            return None
        place = between.start + bisect_left(between, True, key=lambda place: self.predicted(place) <= 0)
        if met == len(self.row):
            # With the last search there must be a result if any is possible.
            return self._safest if len(self.tried) == SEARCHES - 1 else min(place, self._safest)
        if place < met:
            return place
        return None if self.predicted(met - 1) > self._sure else met - 1

    def search(self, place: int) -> None:
        """Encode at one quality, and measure."""
        options = replace(self.options, quality=self.row[place])
        (encoded,) = encode_pictures(self.engine, [self.picture], options)
        self.passes += encoded.refined.passes
        self.tried[place] = self._excess(encoded.header, encoded.lr, encoded.refined.error), encoded

    def predicted(self, place: int) -> float:
        """Return the excess of a quality before the search, corrected by what the search changed elsewhere."""
        if not self.tried:
            return self._before(place)
        places = sorted(self.tried)
        changes = [self.tried[other][0] - self._before(other) for other in places]
        return self._before(place) + float(np.interp(place, places, changes))

    def result(self) -> Found:
        """Return the first in the row that does, or what comes closest."""
        done = [place for place, (excess, _) in self.tried.items() if excess <= 0]
        best = min(done) if done else min(self.tried, key=lambda place: self.tried[place][0])
        encoded = self.tried[best][1]
        settings = settings_digest(self.options, self.engine.backbone.identity, self.target)
        encoded = replace(encoded, header=replace(encoded.header, settings_digest=settings))
        return Found(encoded, self.passes, len(self.tried), bool(done))

    @property
    def _safest(self) -> int:
        return len(self.row) - 1

    @property
    def _sure(self) -> float:
        return _SURE_BYTES if self.target.psnr is None else _SURE_DB

    def _before(self, place: int) -> float:
        if place not in self._plain:
            quality, error = self.row[place], 0.0
            if self.target.psnr is not None:
                error = self.preview.error(quality)
                self.passes += 1
            self._plain[place] = self._excess(self.preview.header, self.preview.lr(quality), error)
        return self._plain[place]

    def _excess(self, header: Header, lr: Levels, error: float) -> float:
        if self.target.psnr is not None:
            # Far beyond every target, and finite where nothing differs.
            return self.target.psnr - decibels(error, 2 * PSNR_MAX)
        size = self._size(header, lr, alpha=None) + self._alpha_size
        limit = self.target.max_bytes or (self.target.bpp or 0) * header.pixel_count / 8
        return math.log(size / limit)

    @cached_property
    def _alpha_size(self) -> int:
        """Bytes of the alpha plane, which is as large with every LR, and slow to compress."""
        if self.picture.alpha is None:
            return 0
        header, lr = self.preview.header, self.preview.lr(self.row[-1])
        return self._size(header, lr, alpha=self.picture.alpha) - self._size(header, lr, alpha=None)

    def _size(self, header: Header, lr: Levels, *, alpha: Levels | None) -> int:
        return len(container.pack(header, lr, alpha=alpha, metadata=self.picture.metadata, level=self.level))
