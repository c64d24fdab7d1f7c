"""Choosing the quality by what it is to reach: bytes, bits per pixel, or PSNR.

The qualities of `grid.RUNGS` stand in a row from the safest to the best, and the last one that meets the target is
wanted. The LR before the search tells cheaply what each would cost or give: bytes to a few per cent, PSNR without what
the search gains. The difference to what searches really found corrects that, and a bracket closes around the answer.

Only what was searched and measured is accepted, and it is what `--quality` would have written. So no search begins with
the result of another one: it would save steps, but the same quality would then mean different files.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
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
from hcdcodec.format.oxipng_worker import Raw, optimise
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.picture import Levels, Picture

SEARCHES = 4
"""Full searches of a picture at most; one or two is usual."""

_SURE_BYTES, _SURE_DB = math.log(1.03), 0.05
"""What predictions are good for: a neighbour predicted to miss by more is not searched."""


def reach(
    engine: Engine,
    picture: Picture,
    options: EncodeOptions,
    target: Target,
    *,
    level: int,
    optimise: Callable[[Raw], bytes] = optimise,
) -> Encoded:
    """Encode one picture at the quality that suits a target.

    Costs at most `SEARCHES` full searches and one downscaling; besides, predictions take up to ten PNGs of the LR where
    bytes are asked for, or as many forward passes where PSNR is.

    Args:
        engine: network, device and precision.
        picture: any size from 1x1 on.
        options: how; their quality does not matter.
        target: what to reach.
        level: of the PNG encoder that will write the file.
        optimise: makes the smallest PNG file of pixels, here or elsewhere.

    Returns:
        The picture at the wanted quality, or at the one that comes closest.
    """

    def size(header: Header, lr: Levels, alpha: Levels | None) -> int:
        made = container.pack(header, lr, alpha=alpha, metadata=picture.metadata, level=level, optimise=optimise)
        return len(made)

    search = _QualitySearch(engine, picture, options, target, size)
    while len(search.tried) < SEARCHES and (place := search.next()) is not None:
        search.encode(place)
    return search.result()


def remark(target: Target, found: Encoded, size: int) -> str:
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
    if target.max_bytes is not None:
        raise OutputError(
            f"{target.max_bytes} bytes cannot be met; "
            f"even quality {found.header.quality} takes {size}, allow more or choose another --scale"
        )
    if target.bpp is not None:
        bpp = 8 * size / found.header.pixel_count
        return f"{target.bpp:g} bpp cannot be reached; stored with {bpp:.3f}, the least at this scale"
    psnr = decibels(found.refined.error)
    return f"{target.psnr:g} dB cannot be reached; stored with {psnr:.2f}, the most at this scale and effort"


class _QualitySearch:
    """Bisection over the qualities of one picture, for the best one that meets the target.

    An example: tests/data/photos/chelsea.png is to have 6000 bytes with crn x4. From the LR before a search, quality 8
    is predicted to take 6000. Encoded, it takes 6330: a miss of log(6330 / 6000) = 0.054. With as much more, quality 4
    is predicted to take 5878, and takes 6086. Quality 1 takes 5561, which meets the target, and nothing lies between.

    Attributes:
        candidates: qualities from the safest, which meets the target if any does, to the best.
        tried: by place among the candidates, the miss of what was encoded there, and the result.
    """

    def __init__(
        self, engine: Engine, picture: Picture, options: EncodeOptions, target: Target, size: Callable[..., int]
    ) -> None:
        self.engine, self.picture, self.options, self.target, self.size = engine, picture, options, target, size
        self.candidates = RUNGS[::-1] if target.psnr is None else RUNGS
        self.tried: dict[int, tuple[float, Encoded]] = {}
        self.preview = preview(engine, picture, options)
        self.passes = 1
        self._previewed: dict[int, float] = {}

    def next(self) -> int | None:
        """Return the place among the candidates to encode next; None where the answer is known."""
        met = max((place for place, (miss, _) in self.tried.items() if miss <= 0), default=-1)
        failed = min((place for place, (miss, _) in self.tried.items() if miss > 0), default=len(self.candidates))
        downwards = range(failed - 1, met, -1)
        if not downwards:
            return None
        place = downwards.start - bisect_left(downwards, True, key=lambda place: self.predict(place) <= 0)
        if met < 0:
            # With the last search there must be a result if any is possible.
            return 0 if len(self.tried) == SEARCHES - 1 else max(place, 0)
        if place > met:
            return place
        sure = _SURE_BYTES if self.target.psnr is None else _SURE_DB
        return None if self.predict(met + 1) > sure else met + 1

    def encode(self, place: int) -> None:
        """Encode at one quality, and measure."""
        options = replace(self.options, quality=self.candidates[place])
        (encoded,) = encode_pictures(self.engine, [self.picture], options)
        self.passes += encoded.passes
        self.tried[place] = self._miss(encoded.header, encoded.lr, encoded.refined.error), encoded

    def predict(self, place: int) -> float:
        """Return the miss of a quality before the search, corrected by what the search changed at others."""
        if not self.tried:
            return self._preview_miss(place)
        places = sorted(self.tried)
        changes = [self.tried[other][0] - self._preview_miss(other) for other in places]
        return self._preview_miss(place) + float(np.interp(place, places, changes))

    def result(self) -> Encoded:
        """Return the best that meets the target, or what comes closest."""
        done = [place for place, (miss, _) in self.tried.items() if miss <= 0]
        best = max(done) if done else min(self.tried, key=lambda place: self.tried[place][0])
        encoded = self.tried[best][1]
        settings = settings_digest(self.options, self.engine.backbone.identity, self.target)
        header = replace(encoded.header, settings_digest=settings)
        return replace(encoded, header=header, passes=self.passes, searches=len(self.tried), met=bool(done))

    def _preview_miss(self, place: int) -> float:
        if place not in self._previewed:
            quality, error = self.candidates[place], 0.0
            if self.target.psnr is not None:
                error = self.preview.error(quality)
                self.passes += 1
            self._previewed[place] = self._miss(self.preview.header, self.preview.lr(quality), error)
        return self._previewed[place]

    def _miss(self, header: Header, lr: Levels, error: float) -> float:
        """Return by how much a result misses the target: dB, or log(bytes / allowed bytes); zero or less: it is met."""
        if self.target.psnr is not None:
            # Far beyond every target, and finite where nothing differs.
            return self.target.psnr - decibels(error, 2 * PSNR_MAX)
        limit = self.target.max_bytes or (self.target.bpp or 0) * header.pixel_count / 8
        return math.log((self.size(header, lr, None) + self._alpha_size) / limit)

    @cached_property
    def _alpha_size(self) -> int:
        """Bytes of the alpha plane, which is as large with every LR, and slow to compress."""
        if self.picture.alpha is None:
            return 0
        header, lr = self.preview.header, self.preview.lr(self.candidates[0])
        return self.size(header, lr, self.picture.alpha) - self.size(header, lr, None)
