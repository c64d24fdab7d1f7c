"""The details z that a decoder is given: zeros, or noise that is the same on every machine.

The normal rule, completely, since every decoder must follow it. Plane p of C channels is a set of rows. Row r is a
stream of 16-bit parts k, column by column and within a column channel by channel: sample (channel, row, column) reads
part number column * C + channel. Part i of the row is the (i mod 4)th 16 bits, lowest first, of raw word i div 4 of
numpy's `Philox(key=[seed, 0], counter=[0, r, p, 0])`, and the sample is

    float32(scale) * float32(NormalDist().inv_cdf((k + 0.5) / 65536))

Rows and columns are absolute, at the plane's own resolution, so that tiles and batches change nothing. Only Philox's
raw words are used, because numpy promises those alone to be the same in every version and on every machine.
"""

import enum
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
import torch

from hcdcodec.errors import UnsupportedError
from hcdcodec.networks.base import DetailPlane
from hcdcodec.tiles import Rect

PARTS_PER_BLOCK = 16  # one step of Philox's counter gives four 64-bit words


class DetailsRule(enum.IntEnum):
    """Where z comes from; the number stands in the file header."""

    ZEROS = 0
    NORMAL = 1


def draw_details(
    planes: Sequence[DetailPlane], window: Rect, *, rule: int, seed: int = 0, scale: float = 1.0
) -> tuple[torch.Tensor, ...]:
    """Return z for a window of the LR.

    Args:
        planes: what the backbone asks for.
        window: LR samples, counted from the whole picture's top left corner.
        rule: a `DetailsRule`.
        seed: 0 to 2**64 - 1; unused with zeros.
        scale: standard deviation; unused with zeros.

    Returns:
        For each plane (1, channels, factor * height, factor * width) float32; empty with zeros, which `upscale` reads
        as zeros.

    Raises:
        UnsupportedError: a rule that this release does not know.
    """
    if rule == DetailsRule.ZEROS:
        return ()
    if rule != DetailsRule.NORMAL:
        raise UnsupportedError(f"details rule {rule} is unknown; decode with a newer release")
    return tuple(
        torch.from_numpy(normal_plane(index, plane.channels, window.times(plane.factor), seed=seed, scale=scale))
        for index, plane in enumerate(planes)
    )


def normal_plane(index: int, channels: int, area: Rect, *, seed: int, scale: float) -> np.ndarray:
    """Return one plane of normal z.

    Args:
        index: number of the plane.
        channels: channels of the whole plane.
        area: samples of the plane, at its own resolution.
        seed: 0 to 2**64 - 1.
        scale: standard deviation.

    Returns:
        (1, channels, height, width) float32.
    """
    parts = np.stack([_row(index, channels, row, area, seed) for row in range(area.top, area.top + area.height)])
    samples = _quantiles()[parts.reshape(area.height, area.width, channels)] * np.float32(scale)
    return np.ascontiguousarray(samples.transpose(2, 0, 1)[np.newaxis])


def _row(index: int, channels: int, row: int, area: Rect, seed: int) -> np.ndarray:
    """Return the 16-bit parts of one row of `area`, column by column."""
    begin, count = area.left * channels, area.width * channels
    block, skipped = divmod(begin, PARTS_PER_BLOCK)
    stream = np.random.Philox(
        key=np.array([seed, 0], dtype=np.uint64), counter=np.array([block, row, index, 0], dtype=np.uint64)
    )
    words = stream.random_raw(-(-(skipped + count) // 4))
    return words.astype("<u8").view("<u2")[skipped : skipped + count]


@cache
def _quantiles() -> np.ndarray:
    """Return the sample for each 16-bit part."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((k + 0.5) / 65536) for k in range(65536)], dtype=np.float32)
