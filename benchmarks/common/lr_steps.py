"""What the two scripts with pictures share: an LR before the search, and steps along its decoder's gradient."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.common import pictures, record
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Paper
from hcdcodec.codec.search.subject import quantise
from hcdcodec.engine.engine import Engine, details_source
from hcdcodec.engine.gradient import loss_gradient
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.format.grid import Grid
from hcdcodec.pictures import metrics
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.tiles import plan

EVERY_LEVEL = Grid(1, 1, 1)


@dataclass(frozen=True, eq=False)
class Subject:
    """One picture whose LR is about to be changed.

    Attributes:
        original: sides are multiples of the network's.
        target: (C, H, W) uint8.
        task: its geometry.
        lr: (C, h, w) float32 on the device, the network's own, not rounded.
    """

    original: Picture
    target: torch.Tensor
    task: TileTask
    lr: torch.Tensor


def draw_each(
    given: argparse.Namespace,
    engine: Engine,
    name: str,
    measure: Callable[[Picture], tuple[Sequence[record.Row], bytes]],
    *remarks: str,
) -> None:
    """Write a table of each set, and a folder of PNGs: `measure` returns the rows and the drawing of a picture."""
    for pictured in pictures.chosen(given, engine.backbone.multiple):
        folder = given.out / f"{name}_{given.backbone}_x{given.scale}_{pictured.name}"
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[record.Row] = []
        for title, picture in pictured:
            found, drawing = measure(picture)
            rows += [{"picture": title, **row} for row in found]
            (folder / f"{title}.png").write_bytes(drawing)
        record.say(rows)
        record.write_csv(folder.with_suffix(".csv"), rows, remarks)


def subject_of(engine: Engine, picture: Picture) -> Subject:
    """Downscale a picture over the tiles that its file would name."""
    (encoded,) = encode_pictures(engine, [picture], EncodeOptions(quality=100))
    header = encoded.header
    details = details_source(engine.backbone, header.details_rule, header.details_seed, header.details_scale)
    tiles = plan(encoded.lr.shape[0], encoded.lr.shape[1], header.tile, header.halo)
    target = torch.from_numpy(np.atleast_3d(picture.pixels).copy()).permute(2, 0, 1)
    task = TileTask(picture.height, picture.width, tiles, details)
    return Subject(picture, target, task, engine.downscale(target, tiles))


def pushed(engine: Engine, subject: Subject, search: Paper, direction: int) -> torch.Tensor:
    """Take the paper's LR steps along the gradient (1: adversarial) or against it (-1: collaborative).

    Returns:
        (C, h, w) float32 on the grid of 8-bit levels.
    """
    generator = torch.Generator().manual_seed(search.seed)
    base = quantise(subject.lr, EVERY_LEVEL)
    delta = _inside(torch.randn(base.shape, generator=generator).to(base.device), 0.1 * search.epsilon)
    for _ in range(search.lr_steps):
        gradient = loss_gradient(engine, [(base + delta).clamp(0, 1)], [subject.task], [subject.target]).slopes[0]
        delta = _inside(delta + direction * search.alpha * gradient / (gradient.norm() + 1e-10), search.epsilon)
    return quantise((base + delta).clamp(0, 1), EVERY_LEVEL)


def restored(engine: Engine, subject: Subject, lr: torch.Tensor) -> Levels:
    """Decode an LR."""
    pixels = np.empty_like(subject.original.pixels)
    for _, area, hr in engine.upscale([lr], [subject.task]):
        pixels[area.slices()] = levels_of(hr)
    return pixels


def levels_of(planes: torch.Tensor) -> Levels:
    """(C, h, w) in [0, 1] -> (h, w, 3), or (h, w) for one channel, uint8."""
    levels: Levels = planes.clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return levels[..., 0] if levels.shape[2] == 1 else levels


def quality(engine: Engine, subject: Subject, decoded: Levels) -> float:
    """Return PSNR-Y in dB."""
    return metrics.score(subject.original.pixels, decoded, border=engine.backbone.scale).psnr_y


def _inside(delta: torch.Tensor, radius: float) -> torch.Tensor:
    """Shorten a perturbation to an l2 norm."""
    return delta * min(1.0, radius / (float(delta.norm()) + 1e-10))
