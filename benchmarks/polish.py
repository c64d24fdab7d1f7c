"""What an integer polish adds to the search: single samples of the finished LR moved by one level of the grid.

    python benchmarks/polish.py --limit 1 --crop 128
    HCDCODEC_IMAGES=images python benchmarks/polish.py --set val --crop 384

A trial moves, on every second row and column, those samples whose gradient promises more than a move costs: the squared
change that a move makes to the reconstruction, measured with samples far apart. It is kept if the error of the picture
falls; else the next trial moves only samples that promise twice as much. Each takes two passes, as a step of the search
does, so rows of equal passes compare the two. Errors are means over the pictures' PSNR-RGB before PNG coding, sizes are
those of the files.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hcdcodec.batch.encode_files import PNG_LEVEL
from hcdcodec.codec.encode import EncodeOptions, Preview, preview
from hcdcodec.codec.search.refine import Ste, refine
from hcdcodec.format import container
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.picture import Metadata

import perturbations
import record
import surveys
import trips
from pictures import PictureSet, mean

QUALITIES = (100, 75)
STEPS = (12, 16, 20, 24)
POLISHED = 12
"""Steps of the search before the polish."""

APART = 8
"""LR samples between those that are moved to measure what a move changes."""


@dataclass(frozen=True)
class Found:
    """An LR and what is known of it: (C, h, w) float32 on the grid, mean squared error in levels, passes so far."""

    lr: torch.Tensor
    error: float
    passes: int


def _rows(given: argparse.Namespace, pictured: PictureSet) -> Iterator[record.Row]:
    engine = trips.engine_of(given)
    for quality in QUALITIES:
        seen = [preview(engine, picture, EncodeOptions(Ste(0), quality)) for _, picture in pictured]
        searched = {steps: [_search(one, steps) for one in seen] for steps in STEPS}
        for steps, found in searched.items():
            yield _row(f"search of {steps} steps", quality, seen, found)
        for trials in (steps - POLISHED for steps in STEPS if steps > POLISHED):
            polished = [_polish(one, start, trials) for one, start in zip(seen, searched[POLISHED], strict=True)]
            yield _row(f"search of {POLISHED} steps, {trials} trials of polish", quality, seen, polished)


def _search(one: Preview, steps: int) -> Found:
    """Search without an early stop, so that passes are what they should be, and for the error alone, as the polish."""
    (found,) = refine(one.engine, [one.subject], Ste(steps, patience=steps, per_bit=0.0, luma=0.0))
    return Found(found.lr.to(one.engine.device).float() / 255, found.error, found.passes)


def _polish(one: Preview, start: Found, trials: int) -> Found:
    step = one.subject.grid.green / 255
    cost, least = _cost_of_a_move(one, start.lr, step), 1.0
    best, passes = start, start.passes + 2  # two forward passes tell the cost
    slopes = _gradient(one, best.lr)[1]
    passes += 2
    for trial in range(trials):
        moved = _moved(best.lr, slopes, least * cost, step, offset=trial % 4)
        error, fresh = _gradient(one, moved)
        passes += 2
        if error < best.error:
            best, slopes = Found(moved, error, passes), fresh
        else:
            least *= 2
    return Found(best.lr, best.error, passes)


def _moved(lr: torch.Tensor, slopes: torch.Tensor, cost: float, step: float, *, offset: int) -> torch.Tensor:
    """Return the LR with one channel moved wherever, on a quarter of the samples, a move promises to pay."""
    gain, channel = (slopes.abs() * step - cost).max(0, keepdim=True)
    quarter = torch.zeros_like(gain, dtype=torch.bool)
    quarter[:, offset // 2 :: 2, offset % 2 :: 2] = True
    chosen = torch.zeros_like(lr, dtype=torch.bool).scatter_(0, channel, quarter & (gain > 0))
    target = lr - slopes.sign() * step
    inside = (target >= 0) & (target <= 1)
    return torch.where(chosen & inside, target, lr)


def _gradient(one: Preview, lr: torch.Tensor) -> tuple[float, torch.Tensor]:
    errors, gradients = one.engine.gradients([lr], [one.subject.task], [one.subject.target])
    return errors[0], gradients[0]


def _cost_of_a_move(one: Preview, lr: torch.Tensor, step: float) -> float:
    """Return by how much a moved sample changes the reconstruction: a sum of squares, mean over samples far apart."""
    moved = lr.clone()
    places = moved[:, APART // 2 :: APART, APART // 2 :: APART]
    places += torch.where(places > 0.5, -step, step)
    before, after = ([hr for _, _, hr in one.engine.upscale([which], [one.subject.task])] for which in (lr, moved))
    changed = sum(float((a - b).square().sum()) for a, b in zip(after, before, strict=True))
    return changed / max(places[0].numel(), 1) / math.sqrt(lr.shape[0])  # channels of a sample were moved together


def _row(label: str, quality: int, seen: list[Preview], found: list[Found]) -> record.Row:
    files = [
        container.pack(one.header, perturbations.levels_of(each.lr), alpha=None, metadata=Metadata(), level=PNG_LEVEL)
        for one, each in zip(seen, found, strict=True)
    ]
    pixels = [one.header.pixel_count for one in seen]
    return {
        "quality": quality,
        "method": label,
        "passes": mean([each.passes for each in found]),
        "psnr_rgb": mean([decibels(each.error) for each in found]),
        "bpp": mean([8 * len(data) / count for data, count in zip(files, pixels, strict=True)]),
    }


if __name__ == "__main__":
    surveys.conduct(__doc__, "polish", _rows)
