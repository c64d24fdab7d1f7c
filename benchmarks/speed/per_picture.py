"""Seconds a megapixel of encoding and decoding, beside the paper's scheme, in one run.

    python -m benchmarks.speed.per_picture --crop 256 --limit 1 --repeat 1
    HCDCODEC_IMAGES=images python -m benchmarks.speed.per_picture --set test/Kodak
    python -m benchmarks.speed.per_picture --device cuda

The measurements take turns, so that a machine that slows down slows all of them; of several rounds the fastest counts.
Encoding includes PNG coding, decoding starts from the file; loading the network is left out. Pictures go one by one.
"""

import argparse
import resource
from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.common import pictures, record, round_trip
from benchmarks.common.pictures import PictureSet
from hcdcodec.codec.search.options import DEFAULT_EFFORT, Paper, Search, search_of
from hcdcodec.engine.engine import Engine
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.pictures.picture import Picture

PAPER = "paper's scheme"
METHODS: Mapping[str, tuple[Search, int]] = {
    PAPER: (Paper(), round_trip.FULL_GRID),
    "effort 0": (search_of(0), DEFAULT_QUALITY),
    f"effort {DEFAULT_EFFORT} (default)": (search_of(DEFAULT_EFFORT), DEFAULT_QUALITY),
    "effort 9": (search_of(9), DEFAULT_QUALITY),
}


def main() -> None:
    """Measure every set and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; default: 3")
    given = record.parse(parser, pictures, round_trip)
    engine = round_trip.engine_of(given, scale=given.scale)
    for pictured in pictures.chosen(given, given.scale):
        rows = _measured(engine, pictured, given.repeat)
        stem = given.out / f"per_picture_{given.backbone}_x{given.scale}_{engine.device.type}_{pictured.name}"
        record.say(rows)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        record.write_csv(stem.with_suffix(".csv"), rows, [f"peak memory of the process: {peak:.0f} MiB"])
        record.write_plot(stem.with_suffix(".svg"), partial(_draw, rows), f"{given.backbone} x{given.scale}")


def _measured(engine: Engine, pictured: PictureSet, rounds: int) -> list[record.Row]:
    found = [picture for _, picture in pictured]
    for search, quality in METHODS.values():  # the first call of each kind pays for the libraries' preparations
        round_trip.travel(engine, _corner(found[0], engine.backbone.multiple), search, quality)
    best: dict[str, record.Row] = {}
    for _ in range(rounds):
        for name, (search, quality) in METHODS.items():
            row = _timed(engine, found, search, quality)
            if name not in best or float(row["encode_s_per_mp"] or 0) < float(best[name]["encode_s_per_mp"] or 0):
                best[name] = row
    paper = float(best[PAPER]["encode_s_per_mp"] or 0)
    return [
        {"method": name, **row, "share of paper's time": float(row["encode_s_per_mp"] or 0) / paper}
        for name, row in best.items()
    ]


def _timed(engine: Engine, found: list[Picture], search: Search, quality: int) -> record.Row:
    made = [round_trip.travel(engine, picture, search, quality) for picture in found]
    megapixels = sum(picture.pixel_count for picture in found) / 1e6
    scores = [trip.scores(picture, engine.backbone.scale) for picture, trip in zip(found, made, strict=True)]
    return {
        "encode_s_per_mp": sum(trip.encode_s for trip in made) / megapixels,
        "decode_s_per_mp": sum(trip.decode_s for trip in made) / megapixels,
        "passes": pictures.mean([trip.passes for trip in made]),
        "quality": quality,
        "psnr_y": pictures.mean([score.psnr_y for score in scores]),
        "bpp": pictures.mean([trip.bpp for trip in made]),
    }


def _corner(picture: Picture, multiple: int) -> Picture:
    side = -(-64 // multiple) * multiple
    return Picture(picture.pixels[:side, :side].copy())


def _draw(rows: list[record.Row], axes: Any) -> None:
    names = [str(row["method"]) for row in rows]
    axes.barh(names, [row["encode_s_per_mp"] for row in rows], label="encode")
    axes.barh("decode", min(float(row["decode_s_per_mp"] or 0) for row in rows), label="decode")
    axes.set_xlabel("seconds a megapixel")
    axes.set_xscale("log")


if __name__ == "__main__":
    main()
