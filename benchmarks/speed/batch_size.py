"""Megapixels a second of the search and of decoding, by the size of batches.

    python -m benchmarks.speed.batch_size --device cuda
    python -m benchmarks.speed.batch_size --limit 2 --side 64 --effort 1

Pictures are squares cut from the shipped photographs or from --set.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch

from benchmarks.common import command_runs, pictures, record, round_trip
from hcdcodec.codec.encode import encode_pictures, preview
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.engine.engine import Engine
from hcdcodec.engine.tile_batches import MemoryLimit
from hcdcodec.pictures.picture import Picture

BATCHES = {"cpu": range(16, 21), "cuda": range(18, 27)}
"""Powers of two of HR pixels in flight, by device."""

ROUNDS = 3


def main() -> None:
    """Measure every size and write one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="pictures; default: what fills a batch")
    pictures.add_set_option(parser)
    pictures.add_side_option(parser)
    given = record.parse(parser, command_runs)
    crops = pictures.squares(pictures.photographs(given), given.side)
    rows = _by_batch(round_trip.engine_of(given, scale=given.scale), crops, given.effort, given.limit)
    record.say(rows)
    device = "" if given.device == "cpu" else f"_{given.device.replace(':', '')}"
    record.write_csv(given.out / f"batch_size{pictures.side_suffix(given)}{device}.csv", rows)


def _by_batch(engine: Engine, crops: Iterator[Picture], effort: int, limit: int) -> list[record.Row]:
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
        rows.append({"batch_px": 2**exponent, "pictures": len(taken), **rates, "halved": sized.memory_limit.pixels})
        if sized.device.type == "cuda":
            rows[-1] = {**rows[-1], "peak_mib": torch.cuda.max_memory_allocated(sized.device) / 2**20}
    return rows


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


if __name__ == "__main__":
    main()
