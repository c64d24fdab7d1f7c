"""A test chart that is drawn by code. Each imported network is measured on it.

Like a photograph it has smooth gradients, fine and coarse texture, hard edges at many angles, colour and noise.
"""

import numpy as np
import numpy.typing as npt

SIZE = 96


def chart() -> npt.NDArray[np.uint8]:
    """Return the chart: (SIZE, SIZE, 3) RGB, the same on every machine up to a level of rounding."""
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    planes = np.stack([0.2 + 0.6 * columns, 0.3 + 0.5 * rows, 0.8 - 0.5 * columns * rows])
    planes += 0.15 * _rings(rows, columns) + 0.1 * _noise() * (rows > 0.6)
    for level, inside in _shapes(rows, columns):
        planes = np.where(inside, np.array(level)[:, None, None], planes)
    levels: npt.NDArray[np.uint8] = np.rint(planes.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    return levels


def _rings(rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a zone plate: waves that become finer with the distance, down to a period of 4 samples."""
    return np.cos(20 * np.pi * (rows**2 + (columns - 0.2) ** 2))


def _noise() -> npt.NDArray[np.float64]:
    """Return smoothed uniform noise in about [-1, 1], without colour."""
    # Raw words, because numpy may change its distributions from one version to the next.
    words = np.random.PCG64(0).random_raw(SIZE * SIZE)
    noise = (words >> np.uint64(40)).astype(np.float64).reshape(SIZE, SIZE) / 2**23 - 1
    return (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 2


def _shapes(
    rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
) -> list[tuple[tuple[float, float, float], npt.NDArray[np.bool_]]]:
    """Return (colour, area) of a disc, a slanted bar, a wedge, and fine stripes."""
    stripes = (rows > 0.78) & (columns < 0.45) & ((columns * SIZE).astype(int) // 3 % 2 == 0)
    return [
        ((0.85, 0.15, 0.1), (rows - 0.3) ** 2 + (columns - 0.7) ** 2 < 0.03),
        ((0.1, 0.1, 0.15), np.abs(rows - 0.35 - 0.4 * columns) < 0.015),
        ((0.95, 0.9, 0.7), (columns > 0.6) & (np.abs(rows - 0.75) < 0.3 * (columns - 0.6))),
        ((0.05, 0.3, 0.2), stripes),
    ]
