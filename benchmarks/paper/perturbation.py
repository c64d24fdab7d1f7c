"""The paper's figure 8: what the search changed in the LR, and where.

    python -m benchmarks.paper.perturbation --limit 1 --crop 256
    HCDCODEC_IMAGES=images python -m benchmarks.paper.perturbation --set test/Set5

For each picture a PNG with the LR, and the perturbations of the paper's scheme and of ours, amplified around grey. The
paper says that they lie on contours and corners. The CSV puts a number to it: the share of the squared perturbation on
the quarter of LR samples with the largest gradients; 0.25 would be an even spread.
"""

import argparse

import numpy as np

from benchmarks.common import lr_steps, pictures, record, round_trip
from hcdcodec.codec.search.options import DEFAULT_EFFORT, Paper, search_of
from hcdcodec.codec.search.subject import quantise
from hcdcodec.compare.sheet import Panel, enlarge, sheet
from hcdcodec.engine.engine import Engine
from hcdcodec.pictures.metrics import luma
from hcdcodec.pictures.picture import Levels, Picture


def main() -> None:
    """Draw every picture and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT, help="of our search")
    parser.add_argument("--amplify", type=int, default=16, help="factor of the drawn perturbations; default: 16")
    given = record.parse(parser, pictures, round_trip)
    engine = round_trip.engine_of(given, scale=given.scale)
    lr_steps.draw_each(given, engine, "perturbation", lambda picture: _measured(engine, picture, given))


def _measured(engine: Engine, picture: Picture, given: argparse.Namespace) -> tuple[list[record.Row], bytes]:
    """Return the figures of one picture and its drawing."""
    subject = lr_steps.subject_of(engine, picture)
    start = quantise(subject.lr, lr_steps.EVERY_LEVEL)
    plain = np.atleast_3d(lr_steps.levels_of(start))
    before = lr_steps.quality(engine, subject, lr_steps.restored(engine, subject, start))
    rows: list[record.Row] = []
    panels = [Panel("original", picture.pixels), _shown("LR without search", plain, picture, given.scale)]
    for method, search in (("paper", Paper()), ("ours", search_of(given.effort))):
        trip = round_trip.travel(engine, picture, search)
        delta = np.atleast_3d(trip.lr).astype(np.int16) - plain
        gain = trip.scores(picture, given.scale).psnr_y - before
        rows.append({"method": method, "gain": gain, **_where(delta, plain)})
        drawn = np.clip(128 + given.amplify * delta, 0, 255).astype(np.uint8)
        panels.append(_shown(f"LR, {method}, {gain:+.2f} dB", np.atleast_3d(trip.lr), picture, given.scale))
        panels.append(_shown(f"change x{given.amplify}, {method}", drawn, picture, given.scale))
    return rows, sheet(panels)


def _where(delta: np.ndarray, plain: Levels) -> record.Row:
    """Return how large a perturbation is and how much of it lies on contours."""
    grey = luma(plain) if plain.shape[2] == 3 else luma(plain[..., 0])
    slope = np.hypot(*np.gradient(grey))
    power = np.square(delta, dtype=np.float64).sum(-1)
    steep = slope >= np.quantile(slope, 0.75)
    return {
        "rms levels": float(np.sqrt(power.mean() / delta.shape[2])),
        "largest": int(np.abs(delta).max()),
        "samples changed": float((delta != 0).mean()),
        "share on contours": float(power[steep].sum() / max(power.sum(), 1)),
    }


def _shown(caption: str, lr: Levels, picture: Picture, scale: int) -> Panel:
    pixels = lr[..., 0] if lr.shape[2] == 1 else lr
    return Panel(caption, enlarge(pixels, scale, picture.height, picture.width))


if __name__ == "__main__":
    main()
