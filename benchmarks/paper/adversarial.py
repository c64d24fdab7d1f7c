"""The paper's figure 2: the same small steps along the decoder's gradient, and against it.

    python -m benchmarks.paper.adversarial --limit 1 --crop 256
    HCDCODEC_IMAGES=images python -m benchmarks.paper.adversarial --set test/Set5 --epsilon 1

Ascending the reconstruction error makes an adversarial LR, descending it a collaborative one; both stay in the same l2
ball around the network's own LR. For each picture a PNG: original, plain, adversarial, collaborative, LRs below.
The paper prints -0.93 dB and +1.29 dB for one picture on HCFlow x4.
"""

import argparse

import numpy as np

from benchmarks.common import lr_steps, pictures, record, round_trip
from hcdcodec.codec.search.options import Paper
from hcdcodec.codec.search.subject import quantise
from hcdcodec.compare.sheet import Panel, enlarge, sheet
from hcdcodec.engine.engine import Engine
from hcdcodec.pictures.picture import Picture

DIRECTIONS = {"adversarial": 1, "collaborative": -1}


def main() -> None:
    """Draw every picture and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--steps", type=int, default=15, help="default: 15")
    parser.add_argument("--epsilon", type=float, default=0.3, help="radius of the ball; default: 0.3")
    given = record.parse(parser, pictures, round_trip)
    engine = round_trip.engine_of(given, scale=given.scale)
    search = Paper(0, given.steps, epsilon=given.epsilon)
    lr_steps.draw_each(given, engine, "adversarial", lambda picture: _measured(engine, picture, search), "PSNR-Y in dB")


def _measured(engine: Engine, picture: Picture, search: Paper) -> tuple[list[record.Row], bytes]:
    """Return the figures of one picture and its drawing."""
    subject = lr_steps.subject_of(engine, picture)
    lrs = {"plain": quantise(subject.lr, lr_steps.EVERY_LEVEL)}
    lrs |= {name: lr_steps.pushed(engine, subject, search, sign) for name, sign in DIRECTIONS.items()}
    upper, lower = [Panel("original", picture.pixels)], [Panel("", np.full_like(picture.pixels, 255))]
    row: dict[str, str | int | float | None] = {}
    for name, lr in lrs.items():
        decoded = lr_steps.restored(engine, subject, lr)
        row[name] = lr_steps.quality(engine, subject, decoded)
        upper.append(Panel(f"{name}, {row[name]:.2f} dB", decoded))
        shown = enlarge(lr_steps.levels_of(lr), engine.backbone.scale, picture.height, picture.width)
        lower.append(Panel(f"LR, {name}", shown))
    plain = float(row["plain"] or 0)
    gains = {f"{name} - plain": float(row[name] or 0) - plain for name in DIRECTIONS}
    return [{**row, **gains}], sheet([*upper, *lower], columns=len(upper))


if __name__ == "__main__":
    main()
