"""Folders of pictures for whole commands: many of all sizes, cut from photographs, or one as large as is asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hcdcodec.pictures.picture import Levels, Picture

MIXED = (96, 128, 192, 256, 384, 512, 640)
"""Sides of mixed pictures; heights and widths are drawn apart from each other."""

_ROWS = 256


def fill(folder: Path, sources: Sequence[Picture], count: int, sides: Sequence[int] = MIXED) -> int:
    """Write crops of photographs, two PNG files to one JPEG, the same ones each time.

    Args:
        folder: is made.
        sources: taken in turn; a crop is no larger than its source.
        count: how many files.
        sides: heights and widths to draw from.

    Returns:
        Pixels in all.
    """
    folder.mkdir(parents=True)
    dice = np.random.default_rng(0)
    pixels = 0
    for number in range(count):
        crop = _crop(sources[number % len(sources)].pixels, sides, dice)
        pixels += crop.shape[0] * crop.shape[1]
        drawn = Image.fromarray(crop)
        if number % 3 == 2:
            drawn.save(folder / f"{number:05}.jpg", quality=95)
        else:
            drawn.save(folder / f"{number:05}.png", compress_level=1)
    return pixels


def draw(path: Path, megapixels: float) -> None:
    """Write a square PNG of waves and grain."""
    side = round((megapixels * 1e6) ** 0.5)
    levels = np.empty((side, side, 3), np.uint8)
    grain = np.random.default_rng(0).integers(0, 8, (_ROWS, side, 3), dtype=np.uint8)
    columns, phases = np.arange(side, dtype=np.float32)[:, None], np.arange(3, dtype=np.float32)
    for top in range(0, side, _ROWS):
        rows = np.arange(top, min(top + _ROWS, side), dtype=np.float32)[:, None, None]
        waves = 60 * np.sin(0.013 * columns + 0.003 * rows + phases) + 40 * np.sin(0.021 * rows - phases)
        levels[top : top + _ROWS] = (110 + waves).astype(np.uint8) + grain[: len(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path, compress_level=1)


def _crop(pixels: Levels, sides: Sequence[int], dice: np.random.Generator) -> Levels:
    height, width = (min(int(dice.choice(sides)), size) for size in pixels.shape[:2])
    top, left = (int(dice.integers(size - side + 1)) for size, side in zip(pixels.shape, (height, width), strict=False))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])
