"""Choose the quality that meets a target: bytes, bits per pixel, or PSNR.

The candidates are the qualities of `grid.RUNGS`, sorted from the safest to the best. The answer is the last candidate
that meets the target. A prediction from the LR before the search is cheap: it is a little wrong in bytes, and too low
in PSNR by the gain of the search. Each full search measures the error of its prediction, and this error corrects the
predictions of the other candidates. A binary search over the candidates then needs few full searches.

Only a measured result is accepted, and it is the file that `--quality` would write. So no search starts from the result
of another search: this would save steps, but then one quality could mean different files.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from hcdcodec.codec.encode import Encoded, encode_pictures, preview
from hcdcodec.codec.options import PSNR_MAX, EncodeOptions, Target
from hcdcodec.codec.settings import missed_digest, settings_digest
from hcdcodec.codec.source import Source
from hcdcodec.engine.engine import Engine
from hcdcodec.errors import OutputError
from hcdcodec.format import container
from hcdcodec.format.grid import RUNGS
from hcdcodec.format.header import Header
from hcdcodec.format.oxipng_pool import optimise
from hcdcodec.format.oxipng_worker import Raw
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.picture import Levels, Picture

SEARCHES = 4
"""Largest number of full searches of one picture; usually it takes one or two."""

USUAL_SEARCHES = 2
"""Number of full searches that a forecast of the work counts with."""

_SURE_BYTES, _SURE_DB = math.log(1.06), 0.05
"""Accuracy of corrected predictions. A candidate that is predicted to miss the target by more is not searched."""


def reach(
    engine: Engine,
    source: Source,
    options: EncodeOptions,
    target: Target,
    *,
    optimise: Callable[[Raw], bytes] = optimise,
) -> Encoded:
    """Encode one picture at the quality that meets a target.

    This takes at most `SEARCHES` full searches and one downscaling. Each prediction takes a PNG of the LR for a target
    in bytes or bits, and a forward pass for a target in dB.

    Args:
        engine: network, device and precision.
        source: a picture of any size from 1x1. The header of the file will hold the size and digest of its file.
        options: how it is encoded; their quality does not count.
        target: the target.
        optimise: makes the smallest PNG file of pixels, in this process or in another one.

    Returns:
        The picture at the wanted quality, or at the quality that comes closest.
    """
    settings, picture = settings_digest(options, engine.backbone.identity, target), source.picture
    # Two places: one for the alpha plane, which is the same in all files and slow to pack, and one for the LR.
    pack_png = lru_cache(maxsize=2)(optimise)

    def size(header: Header, lr: Levels, metadata: Metadata = picture.metadata) -> int:
        # All fields count, since WebP and JPEG XL hold a copy of the header that is compressed.
        whole = replace(header, source_size=source.size, source_digest=source.digest, settings_digest=settings)
        kind = options.container
        return len(container.pack(whole, lr, alpha=picture.alpha, metadata=metadata, optimise=pack_png, kind=kind))

    search = _QualitySearch(engine, picture, options, target, size)
    while len(search.tried) < SEARCHES and (place := search.next()) is not None:
        search.encode(place)
    found = search.result()
    if found.met or target.psnr is not None:
        return found
    bare = size(found.header, found.lr, Metadata())
    return replace(found, metadata_bytes=size(found.header, found.lr) - bare)


def remark(target: Target, found: Encoded, size: int) -> str:
    """Return a warning about a result that does not meet its target; empty if it does.

    Args:
        target: the target.
        found: the result.
        size: bytes of its file.

    Raises:
        OutputError: a result that misses this target must not be stored.
    """
    if found.met:
        return ""
    is_mostly_metadata = 2 * found.metadata_bytes > size
    if target.max_bytes is not None:
        metadata = f", of which {found.metadata_bytes} are metadata" if is_mostly_metadata else ""
        remedy = "leave out metadata with --strip" if is_mostly_metadata else "choose another --scale"
        raise OutputError(
            f"{target.max_bytes} bytes cannot be reached; "
            f"even quality {found.header.quality} takes {size}{metadata}, so allow more or {remedy}"
        )
    if target.bpp is not None:
        bpp = 8 * size / found.header.pixel_count
        metadata = f"; {found.metadata_bytes} of {size} bytes are metadata, see --strip" if is_mostly_metadata else ""
        return f"{target.bpp:g} bpp cannot be reached; stored with {bpp:.3f}, the least that was found{metadata}"
    psnr = decibels(found.refined.error)
    return f"{target.psnr:g} dB cannot be reached; stored with {psnr:.2f}, the most that was found"


class _QualitySearch:
    """Binary search for the best quality of one picture that meets the target.

    The miss of a result says how far it is from the target; at zero or less, the target is met.

    An example with invented numbers: the target is 6000 bytes. From the LR before a search, quality 8 is predicted to
    take 6000 bytes. Encoded, it takes 6600: a miss of log(1.1). With this correction, quality 4 is predicted to take
    5900 bytes, but it takes 6050. Quality 1 takes 5500, which meets the target. No candidate lies between 1 and 4.

    Attributes:
        candidates: qualities from the safest to the best. The safest meets the target if any of them does.
        tried: by place among the candidates, the miss and the result.
    """

    def __init__(
        self,
        engine: Engine,
        picture: Picture,
        options: EncodeOptions,
        target: Target,
        size: Callable[[Header, Levels], int],
    ) -> None:
        self.engine, self.picture, self.options, self.target, self.size = engine, picture, options, target, size
        self.candidates = RUNGS[::-1] if target.psnr is None else RUNGS
        self.tried: dict[int, tuple[float, Encoded]] = {}
        self.preview = preview(engine, picture, options)
        self.passes = 1
        self._previewed: dict[int, float] = {}

    def next(self) -> int | None:
        """Return the place of the candidate to encode next; None where the answer is known."""
        # Candidates up to `met` meet the target, and candidates from `failed` on do not. The answer lies between.
        met = max((place for place, (miss, _) in self.tried.items() if miss <= 0), default=-1)
        failed = min((place for place, (miss, _) in self.tried.items() if miss > 0), default=len(self.candidates))
        downwards = range(failed - 1, met, -1)
        if not downwards:
            return None
        place = downwards.start - bisect_left(downwards, True, key=lambda place: self.predict(place) <= 0)
        if met < 0:
            # The last search takes the safest candidate, so that there is a result if one is possible.
            return 0 if len(self.tried) == SEARCHES - 1 else max(place, 0)
        if place > met:
            return place
        # All candidates above `met` are predicted to fail. The next one is tried only if that prediction is uncertain.
        sure = _SURE_BYTES if self.target.psnr is None else _SURE_DB
        return None if self.predict(met + 1) > sure else met + 1

    def encode(self, place: int) -> None:
        """Encode one candidate and measure its miss."""
        options = replace(self.options, quality=self.candidates[place])
        (encoded,) = encode_pictures(self.engine, [self.picture], options)
        self.passes += encoded.passes
        self.tried[place] = self._miss(encoded.header, encoded.lr, encoded.refined.error), encoded

    def predict(self, place: int) -> float:
        """Return the miss before the search, corrected by the errors of the predictions of tried candidates."""
        if not self.tried:
            return self._preview_miss(place)
        places = sorted(self.tried)
        changes = [self.tried[other][0] - self._preview_miss(other) for other in places]
        # The gain of the search changes slowly from one quality to the next, so it is interpolated between them.
        return self._preview_miss(place) + float(np.interp(place, places, changes))

    def result(self) -> Encoded:
        """Return the best result that meets the target, or the one that comes closest."""
        done = [place for place, (miss, _) in self.tried.items() if miss <= 0]
        best = max(done) if done else min(self.tried, key=lambda place: self.tried[place][0])
        encoded = self.tried[best][1]
        settings = settings_digest(self.options, self.engine.backbone.identity, self.target)
        if self.target.psnr is not None and not done:
            settings = missed_digest(settings)
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
        """Return by how much a result misses the target: in dB, or as log(bytes / allowed bytes)."""
        limit = self.target.most_bytes(header.pixel_count)
        if limit is None:
            # An exact result has an infinite PSNR. Interpolation needs a finite one that is beyond every target.
            return (self.target.psnr or 0) - decibels(error, 2 * PSNR_MAX)
        # The logarithm, because the search changes the size by a factor rather than by a number of bytes.
        return math.log(self.size(header, lr) / limit)
