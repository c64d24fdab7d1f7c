"""What an engine gets done: by the size of its batches, and beside the paper's scheme as it was released."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from unittest.mock import patch

import numpy as np
import record
import torch
from pictures import mean
from stages import grouped
from trips import FULL_GRID

from hcdcodec.codec.encode import Encoded, encode_pictures, preview
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Paper, Search, search_of
from hcdcodec.engine.engine import Engine
from hcdcodec.engine.tile_batches import MemoryLimit
from hcdcodec.networks.native import winograd
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.picture import Picture

SIDE = 256
"""Usual height and width of the pictures: of one size, so that batches are full."""

BATCHES = {"cpu": range(16, 21), "cuda": range(18, 27)}
"""Powers of two of HR pixels in flight, by device."""

ROUNDS = 3

LENGTHS = (4, 8, 15)
"""Steps of the paper's scheme: 15 are its choice, but most of its gain comes earlier."""


def by_batch(engine: Engine, crops: Iterator[Picture], effort: int, limit: int) -> list[record.Row]:
    """Return a row for each size of batches, with megapixels a second; of several rounds the fastest counts.

    Args:
        engine: network and device.
        crops: pictures of one size, without end.
        effort: of the search.
        limit: pictures; 0 = as many as fill the largest batch, or 16 on a CPU.
    """
    exponents = BATCHES[engine.device.type]
    first = next(crops)
    usual = 16 if engine.device.type == "cpu" else 2 ** exponents[-1] // first.pixel_count
    taken = [first, *islice(crops, (limit or usual) - 1)]
    options = EncodeOptions(search_of(effort))
    rows: list[record.Row] = []
    for exponent in exponents:
        sized = replace(engine, batch_px=2**exponent, memory_limit=MemoryLimit())
        if sized.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(sized.device)
        rates = {
            "search_mp_per_s": _rate(lambda: encode_pictures(sized, taken, options), taken),  # noqa: B023
            "decode_mp_per_s": _rate(_decoding(sized, taken, options), taken),
        }
        rows.append({"batch_px": 2**exponent, "pictures": len(taken), **rates, "halved": sized.room.pixels})
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


def beside_paper(engine: Engine, crops: Iterator[Picture], limit: int) -> list[record.Row]:
    """Return the rows of the paper's scheme, and those of ours up to the first effort that gains as much.

    The paper's goes picture by picture in float32, without tiles, in PyTorch's convolutions, which is what was
    released, at several lengths, and at its own length once more in the convolutions that ours has. All LR levels are
    allowed. The gain is that over the network's own LR, in PSNR-RGB. Ours is compared with what was released, and with
    the shortest length that gains as much as ours, or else the longest.
    """
    taken = list(islice(crops, limit or 16))
    megapixels = sum(crop.pixel_count for crop in taken) / 1e6
    plain = replace(engine, fast=torch.float32, memory_limit=MemoryLimit())
    one_by_one, together = [[crop] for crop in taken], grouped(taken, engine)
    with patch.object(winograd, "applies", return_value=False):
        _searched(plain, one_by_one[:1], Paper(1, 1))  # the first call pays for the libraries' preparations
        lengths = {length: _searched(plain, one_by_one, Paper(length, length)) for length in LENGTHS}
    _searched(plain, one_by_one[:1], Paper(1, 1))
    paper, released = _searched(plain, one_by_one, Paper()), lengths[LENGTHS[-1]]
    rows = [
        {**run.row(f"paper's, N={length}", megapixels), "speed-up": released.seconds / run.seconds}
        for length, run in lengths.items()
    ]
    rows.append({**paper.row("paper's, our convolutions", megapixels), "speed-up": released.seconds / paper.seconds})
    for effort in range(10):
        _searched(engine, together[:1], search_of(min(effort, 1)))
        ours = _searched(engine, together, search_of(effort))
        as_good = ours.gain_db >= paper.gain_db
        equal = next((run for run in lengths.values() if run.gain_db >= ours.gain_db), released)
        speed_up = {
            "speed-up": released.seconds / ours.seconds,
            "speed-up at equal gain": equal.seconds / ours.seconds if ours.gain_db > 0 else None,
        }
        rows.append({**ours.row(f"ours, effort {effort}", megapixels), **speed_up})
        if as_good:
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


def squares(sources: Sequence[Picture], side: int) -> Iterator[Picture]:
    """Yield squares of photographs, without end.

    Raises:
        SystemExit: no photograph is large enough.
    """
    dice = np.random.default_rng(0)
    large = [picture.pixels for picture in sources if min(picture.height, picture.width) >= side]
    if not large:
        raise SystemExit(f"no picture has {side} rows and columns; choose other ones with --set")
    while True:
        for pixels in large:
            top, left = (int(dice.integers(size - side + 1)) for size in pixels.shape[:2])
            yield Picture(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
