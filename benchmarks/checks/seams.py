"""Measure whether the borders of tiles show: the reconstruction's error beside them against that elsewhere.

    HCDCODEC_IMAGES=images python -m benchmarks.checks.seams --set test/Set5 --backbone irn --scale 4
    python -m benchmarks.checks.seams --tile 24 --halo 2

Every picture is downscaled and rounded whole, so that both reconstructions read the same LR, and is then upscaled once
in one window and once over the tile plan. A picture whose LR fits into one window has no borders and is left out.

Columns: mean squared error in levels squared within `--band` HR pixels of a border and elsewhere, their ratio, the same
ratio for the reconstruction in one window (what the picture itself puts there), the first ratio over the second, and
the share of values that differ. A seam is invisible where "seam" is at most 1.1.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common import pictures, record, round_trip
from hcdcodec.engine.engine import Engine, details_source
from hcdcodec.engine.tile_batches import Details, TileTask
from hcdcodec.tiles import DISTANT_HALO, DISTANT_TILE, Tile, plan


@dataclass(frozen=True)
class Sums:
    """Sums over pixels, which add up over pictures.

    Attributes:
        near: squared error of the tiled reconstruction beside borders; `far`: elsewhere.
        near_whole: the same of the reconstruction in one window; `far_whole`: likewise.
        near_px: values beside borders; `far_px`: elsewhere.
        changed: values that differ between both reconstructions.
    """

    near: float = 0.0
    far: float = 0.0
    near_whole: float = 0.0
    far_whole: float = 0.0
    near_px: int = 0
    far_px: int = 0
    changed: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        mine, theirs = vars(self), vars(other)
        return Sums(**{name: mine[name] + theirs[name] for name in mine})

    def row(self, name: str) -> record.Row:
        """Return what tables say."""
        near, far = self.near / self.near_px, self.far / self.far_px
        ratio = near / far
        whole = (self.near_whole / self.near_px) / (self.far_whole / self.far_px)
        changed = self.changed / (self.near_px + self.far_px)
        means = {"beside": near, "elsewhere": far, "ratio": ratio, "whole": whole, "seam": ratio / whole}
        return {"picture": name, **means, "changed": changed}


def border_band(tiles: Iterable[Tile], scale: int, height: int, width: int, band: int) -> npt.NDArray[np.bool_]:
    """Return which HR pixels lie within `band` of a border between two cores.

    Args:
        tiles: tile plan over the LR.
        scale: HR size / LR size.
        height: HR rows.
        width: HR columns.
        band: HR pixels on each side of a border.
    """
    rows, columns = np.zeros(height, bool), np.zeros(width, bool)
    for tile in tiles:
        for start, lines in ((tile.core.top, rows), (tile.core.left, columns)):
            if start:
                lines[max(start * scale - band, 0) : start * scale + band] = True
    return rows[:, None] | columns


def reconstruct(engine: Engine, lr: torch.Tensor, tiles: tuple[Tile, ...], details: Details | None) -> torch.Tensor:
    """(3, h, w) float32 in [0, 1] -> (3, H, W) levels, float32."""
    scale = engine.backbone.scale
    made = torch.empty(3, lr.shape[1] * scale, lr.shape[2] * scale)
    for _, area, hr in engine.upscale([lr], [TileTask(made.shape[1], made.shape[2], tiles, details)]):
        made[:, *area.slices()] = hr.clamp(0, 1).mul(255).round().cpu()
    return made


def measure(engine: Engine, pixels: npt.NDArray[np.uint8], tile: int, halo: int, band: int) -> Sums | None:
    """Measure one picture, cropped to what the network divides; None if one window covers it.

    Args:
        engine: network, device, precision.
        pixels: (H, W, 3).
        tile: largest core in LR samples.
        halo: context around it.
        band: HR pixels on each side of a border that count as beside it.
    """
    network, multiple = engine.backbone, engine.backbone.multiple
    height, width = (size // multiple * multiple for size in pixels.shape[:2])
    h, w = height // network.scale, width // network.scale
    tiles = plan(h, w, tile, halo)
    if len(tiles) < 2:
        return None
    canvas = torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1)
    lr = engine.downscale(canvas, plan(h, w, 0, 0)).mul(255).round().div(255)
    details = details_source(network, int(network.details_scale > 0), 0, network.details_scale)
    tiled, whole = (reconstruct(engine, lr, windows, details) for windows in (tiles, plan(h, w, 0, 0)))
    near = torch.from_numpy(border_band(tiles, network.scale, height, width, band)).expand(3, -1, -1)
    error, error_whole = ((made - canvas).square().double() for made in (tiled, whole))
    return Sums(
        near=float(error[near].sum()),
        far=float(error[~near].sum()),
        near_whole=float(error_whole[near].sum()),
        far_whole=float(error_whole[~near].sum()),
        near_px=int(near.sum()),
        far_px=int((~near).sum()),
        changed=int((tiled != whole).sum()),
    )


def main() -> None:
    """Measure every set and write one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--tile", type=int, default=DISTANT_TILE, help="core in LR samples")
    parser.add_argument("--halo", type=int, default=DISTANT_HALO, help="context in LR samples")
    parser.add_argument("--band", type=int, default=4, help="HR pixels on each side of a border")
    given = record.parse(parser, pictures, round_trip)
    for pictured in pictures.chosen(given, given.scale):
        rows = list(_rows(given, pictured))
        if not rows:
            raise SystemExit("no picture is larger than one window; choose larger ones or a smaller --tile")
        record.say(rows)
        record.write_csv(given.out / f"seams_{given.backbone}_x{given.scale}_{pictured.name}.csv", rows)


def _rows(given: argparse.Namespace, pictured: pictures.PictureSet) -> Iterator[record.Row]:
    """Yield a row for each picture with borders, and one for all."""
    engine, total = round_trip.engine_of(given, scale=given.scale), Sums()
    for name, picture in pictured:
        pixels = picture.pixels if picture.pixels.ndim == 3 else np.dstack([picture.pixels] * 3)
        sums = measure(engine, pixels, given.tile, given.halo, given.band)
        if sums is not None:
            total += sums
            yield sums.row(name)
    if total.near_px:
        yield total.row("all")


if __name__ == "__main__":
    main()
