"""Ours, all pictures together, beside the paper's scheme as released, one by one in float32, at equal gain.

    python -m benchmarks.speed.beside_paper
    python -m benchmarks.speed.beside_paper --set test/Kodak --side 512 --limit 8
    python -m benchmarks.speed.beside_paper --limit 1 --side 64

Pictures are squares cut from the shipped photographs or from --set.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from unittest.mock import patch

import torch

from benchmarks.common import pictures, record, round_trip
from benchmarks.common.pictures import mean
from benchmarks.common.round_trip import FULL_GRID
from benchmarks.common.stages import grouped
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Paper, Search, search_of
from hcdcodec.engine.engine import Engine
from hcdcodec.engine.tile_batches import MemoryLimit
from hcdcodec.networks.native import winograd
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.picture import Picture

LENGTHS = (4, 8, 15)
"""Steps of the paper's scheme: 15 are its choice, but most of its gain comes earlier."""


def main() -> None:
    """Measure both searches and write one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--limit", type=int, default=16, metavar="N", help="pictures; default: 16")
    pictures.add_set_option(parser)
    pictures.add_side_option(parser)
    given = record.parse(parser, round_trip)
    crops = pictures.squares(pictures.photographs(given), given.side)
    rows = _beside_paper(round_trip.engine_of(given, scale=given.scale), list(islice(crops, given.limit)))
    record.say(rows)
    record.write_csv(given.out / f"beside_paper{pictures.side_suffix(given)}.csv", rows)


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


def _beside_paper(engine: Engine, taken: Sequence[Picture]) -> list[record.Row]:
    """Return the rows of the paper's scheme, and those of ours up to the first effort that gains as much.

    The paper's goes picture by picture in float32, without tiles, in PyTorch's convolutions, which is what was
    released, at several lengths, and at its own length once more in the convolutions that ours has. All LR levels are
    allowed. The gain is that over the network's own LR, in PSNR-RGB. Ours is compared with what was released, and with
    the shortest length that gains as much as ours, or else the longest.
    """
    megapixels = sum(crop.pixel_count for crop in taken) / 1e6
    plain = replace(engine, fast=torch.float32, memory_limit=MemoryLimit())
    one_by_one, together = [[crop] for crop in taken], grouped(taken, engine)
    with patch.object(winograd, "applies", return_value=False):
        _searched(plain, one_by_one[:1], Paper(1, 1))  # the first call pays for the libraries' preparations
        lengths = {length: _searched(plain, one_by_one, Paper(length, length)) for length in LENGTHS}
    _searched(plain, one_by_one[:1], Paper(1, 1))
    paper, released = _searched(plain, one_by_one, Paper()), lengths[LENGTHS[-1]]
    rows: list[record.Row] = [
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


if __name__ == "__main__":
    main()
