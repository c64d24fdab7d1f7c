"""What an engine gets done: by the size of its batches, and beside the paper's scheme as it was released."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import record
import torch
from pictures import mean
from stages import grouped
from trips import FULL_GRID

from hcdcodec.encoder import Encoded, EncodeOptions, encode_pictures, preview
from hcdcodec.hcd import Paper, Search, search_of
from hcdcodec.image import Picture
from hcdcodec.metrics import decibels
from hcdcodec.passes import Engine, Room

SIDE = 256
"""Pictures of one size, so that batches are full."""

BATCHES = {"cpu": range(16, 23), "cuda": range(18, 27)}
"""Powers of two of HR pixels in flight, by device."""

ROUNDS = 3


def by_batch(engine: Engine, sources: Sequence[Picture], effort: int, limit: int) -> list[record.Row]:
    """Return a row for each size of batches, with megapixels a second; of several rounds the fastest counts.

    Args:
        engine: network and device.
        sources: what pictures are cut from.
        effort: of the search.
        limit: pictures; 0 = as many as fill the largest batch, or 16 on a CPU.
    """
    exponents = BATCHES[engine.device.type]
    usual = 16 if engine.device.type == "cpu" else 2 ** exponents[-1] // SIDE**2
    crops = [crop for crop, _ in zip(_crops(sources), range(limit or usual), strict=False)]
    options = EncodeOptions(search_of(effort))
    rows: list[record.Row] = []
    for exponent in exponents:
        sized = replace(engine, batch_px=2**exponent, room=Room())
        if sized.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(sized.device)
        rates = {
            "search_mp_per_s": _rate(lambda: encode_pictures(sized, crops, options), crops),  # noqa: B023
            "decode_mp_per_s": _rate(_decoding(sized, crops, options), crops),
        }
        rows.append({"batch_px": 2**exponent, "pictures": len(crops), **rates, "halved": sized.room.pixels})
        if sized.device.type == "cuda":
            rows[-1] = {**rows[-1], "peak_mib": torch.cuda.max_memory_allocated(sized.device) / 2**20}
    return rows


@dataclass(frozen=True)
class Searched:
    """What a search did to all pictures."""

    seconds: float
    gain_db: float
    passes: float

    def row(self, way: str, megapixels: float) -> record.Row:
        """Return what tables say."""
        rate = {"seconds": self.seconds, "s_per_mp": self.seconds / megapixels}
        return {"way": way, "gain_db": self.gain_db, "passes": self.passes, **rate}


def beside_paper(engine: Engine, sources: Sequence[Picture], limit: int) -> list[record.Row]:
    """Return the row of the paper's scheme, and those of ours up to the first effort that gains as much.

    The paper's goes picture by picture in float32, without tiles: no picture is larger than one. All LR levels are
    allowed in both, and the gain is that over the network's own LR.
    """
    crops = [crop for crop, _ in zip(_crops(sources), range(limit or 16), strict=False)]
    megapixels = sum(crop.pixel_count for crop in crops) / 1e6
    plain = replace(engine, fast=torch.float32, room=Room())
    one_by_one, together = [[crop] for crop in crops], grouped(crops, engine)
    _searched(plain, one_by_one[:1], Paper(1, 1))  # the first call pays for the libraries' preparations
    paper = _searched(plain, one_by_one, Paper())
    rows = [{**paper.row("paper's", megapixels), "speed-up": 1.0}]
    for effort in range(10):
        _searched(engine, together[:1], search_of(min(effort, 1)))
        ours = _searched(engine, together, search_of(effort))
        speed_up = paper.seconds / ours.seconds if ours.gain_db >= paper.gain_db else None
        rows.append({**ours.row(f"ours, effort {effort}", megapixels), "speed-up": speed_up})
        if speed_up is not None:
            break
    return rows


def _searched(engine: Engine, groups: Sequence[Sequence[Picture]], search: Search) -> Searched:
    start = time.perf_counter()
    made = [one for group in groups for one in encode_pictures(engine, group, EncodeOptions(search, FULL_GRID))]
    return Searched(
        time.perf_counter() - start, mean([_gain(one) for one in made]), mean([one.refined.passes for one in made])
    )


def _gain(made: Encoded) -> float:
    return decibels(made.refined.error) - decibels(made.refined.error_before)


def _decoding(engine: Engine, crops: Sequence[Picture], options: EncodeOptions) -> Callable[[], None]:
    previews = [preview(engine, crop, options) for crop in crops]
    lrs, tasks = [each.start for each in previews], [each.subject.task for each in previews]

    def decode() -> None:
        for _, _, hr in engine.upscale(lrs, tasks):
            hr.clamp(0, 1).mul(255).round().to(torch.uint8).cpu()

    return decode


def _rate(do: Callable[[], object], crops: Sequence[Picture]) -> float:
    """Return megapixels a second."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        do()
        best = min(best, time.perf_counter() - start)
    return sum(crop.pixel_count for crop in crops) / 1e6 / best


def _crops(sources: Sequence[Picture]) -> Iterator[Picture]:
    """Yield squares, without end."""
    dice = np.random.default_rng(0)
    large = [picture.pixels for picture in sources if min(picture.height, picture.width) >= SIDE]
    if not large:
        raise SystemExit(f"no picture has {SIDE} rows and columns; choose other ones with --set")
    while True:
        for pixels in large:
            top, left = (int(dice.integers(size - SIDE + 1)) for size in pixels.shape[:2])
            yield Picture(np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE]))
