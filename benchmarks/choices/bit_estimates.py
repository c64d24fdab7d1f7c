"""How well the search's estimate of bits tells the bytes of real files, by container.

    python -m benchmarks.choices.bit_estimates --limit 1 --crop 256
    HCDCODEC_IMAGES=images python -m benchmarks.choices.bit_estimates --set val --limit 12 --crop 384

The LRs are those of the default search at several qualities. Of each file, the bytes that it has beside pixels are left
out. One row is for all files of a container, or for those of one quality. "rank" is Spearman's
correlation of estimate and bytes, "spread" the standard deviation of their ratio.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.common import record, round_trip, surveys
from benchmarks.common.pictures import PictureSet
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.residual_code import fit_code
from hcdcodec.codec.search.step import grid_steps
from hcdcodec.engine.engine import Engine
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import container
from hcdcodec.format.container import PNG_LEVEL
from hcdcodec.format.grid import grid_of
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Picture

QUALITIES = (90, 75, 55, 38, 18)


@dataclass(frozen=True)
class Estimate:
    """What was estimated of a file, and its bytes."""

    quality: int
    bytes: int
    estimated: float


def main() -> None:
    """Measure every set and write a table of each."""
    surveys.conduct(__doc__, "bit_estimates", _rows)


def _rows(given: argparse.Namespace, pictured: PictureSet) -> Iterator[record.Row]:
    """Yield one row for each container and quality."""
    engine = round_trip.engine_of(given)
    pictures = [picture for _, picture in pictured]
    found = [_estimates(engine, picture, quality) for quality in QUALITIES for picture in pictures]
    for kind in Container:
        own = [each[kind] for each in found]
        yield _row(kind, "all", own)
        for quality in QUALITIES:
            yield _row(kind, quality, [each for each in own if each.quality == quality])


def _estimates(engine: Engine, picture: Picture, quality: int) -> Mapping[Container, Estimate]:
    (encoded,) = encode_pictures(engine, [picture], EncodeOptions(quality=quality))
    planes = torch.from_numpy(np.atleast_3d(encoded.lr)).permute(2, 0, 1).float() / 255
    code = fit_code(planes, grid_steps(grid_of(quality), planes.shape[0], planes.device))
    estimated = float(code.bits(planes)) / 8

    def size(lr: Levels, kind: Container) -> int:
        return len(container.pack(encoded.header, lr, alpha=None, metadata=Metadata(), level=PNG_LEVEL, kind=kind))

    nothing = np.zeros_like(encoded.lr)
    return {kind: Estimate(quality, size(encoded.lr, kind) - size(nothing, kind), estimated) for kind in Container}


def _row(kind: Container, quality: int | str, found: Sequence[Estimate]) -> record.Row:
    sizes, estimates = (np.array([getattr(each, name) for each in found]) for name in ("bytes", "estimated"))
    ratios = sizes / estimates
    return {
        "container": str(kind),
        "quality": quality,
        "files": len(found),
        "rank": _rank_correlation(sizes, estimates),
        "bytes over estimate": float(ratios.mean()),
        "spread": float(ratios.std()),
    }


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's correlation; no two values are equal."""
    if len(one) < 2:
        return 1.0
    return float(np.corrcoef(one.argsort().argsort(), other.argsort().argsort())[0, 1])


if __name__ == "__main__":
    main()
