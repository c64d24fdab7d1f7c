"""Means over a set of pictures: what a search reaches, and what it takes."""

from collections.abc import Sequence

from benchmarks.common import pictures, record, round_trip
from benchmarks.common.pictures import PictureSet
from benchmarks.common.round_trip import Trip
from hcdcodec.codec.search.options import Search
from hcdcodec.engine.engine import Engine
from hcdcodec.pictures.metrics import Scores
from hcdcodec.pictures.picture import Picture


def measure(engine: Engine, pictured: PictureSet, search: Search, quality: int = round_trip.FULL_GRID) -> record.Row:
    """Return the means over a set."""
    found = [(picture, round_trip.travel(engine, picture, search, quality)) for _, picture in pictured]
    return summary(engine.backbone.scale, found)


def summary(scale: int, found: Sequence[tuple[Picture, Trip]]) -> record.Row:
    """Return the means over pictures and what became of them."""
    scores: list[Scores] = [trip.scores(picture, scale) for picture, trip in found]
    likeness = [trip.likeness(picture, scale) for picture, trip in found]
    return {
        "psnr_y": pictures.mean([score.psnr_y for score in scores]),
        "ssim": pictures.mean([score.ssim or 0 for score in scores]),
        "psnr_rgb": pictures.mean([score.psnr_rgb for score in scores]),
        "bpp": pictures.mean([trip.bpp for _, trip in found]),
        "lr_psnr": pictures.mean(likeness),
        "lr_worst": min(likeness),
        "passes": pictures.mean([trip.passes for _, trip in found]),
        "encode_s": pictures.mean([trip.encode_s for _, trip in found]),
        "decode_s": pictures.mean([trip.decode_s for _, trip in found]),
    }
