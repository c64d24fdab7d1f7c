"""Make the details z of a decoder: zeros, or noise that is the same on all machines.

This is the complete definition of the normal rule, which all decoders must follow. Plane p has C channels and consists
of rows. Row r is a stream of 16-bit numbers k. Sample (channel, row, column) uses number column * C + channel of its
row. Number i of the row is part i mod 4, lowest 16 bits first, of raw word i div 4 of numpy's
`Philox(key=[seed, 0], counter=[0, r, p, 0])`. The sample is

    float32(scale) * float32(NormalDist().inv_cdf((k + 0.5) / 65536))

Rows and columns count from the corner of the whole picture at the plane's own resolution, so tiles and batches do not
change z. Only raw words of Philox are used, because numpy guarantees only these for all versions and machines.
"""

import enum
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
import torch

from hcdcodec.networks.base import DetailPlane
from hcdcodec.tiles import Rect

PARTS_PER_BLOCK = 16  # one step of Philox's counter gives four 64-bit words


class DetailsRule(enum.IntEnum):
    """The source of z; the number stands in the file header."""

    ZEROS = 0
    NORMAL = 1


def draw_details(
    planes: Sequence[DetailPlane], window: Rect, *, seed: int = 0, scale: float = 1.0
) -> tuple[torch.Tensor, ...]:
    """Return normal z for a window of the LR.

    Args:
        planes: the planes of the backbone.
        window: the window in LR samples, counted from the top left corner of the whole picture.
        seed: 0 to 2**64 - 1.
        scale: standard deviation.

    Returns:
        (1, channels, factor * height, factor * width) float32 for each plane.
    """
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
    """Return the 16-bit numbers of one row of `area`, column by column."""
    # A window starts anywhere in the row. The counter jumps to its block, so the numbers before it are not computed.
    begin, count = area.left * channels, area.width * channels
    block, skipped = divmod(begin, PARTS_PER_BLOCK)
    stream = np.random.Philox(
        key=np.array([seed, 0], dtype=np.uint64), counter=np.array([block, row, index, 0], dtype=np.uint64)
    )
    words = stream.random_raw(-(-(skipped + count) // 4))  # four numbers of 16 bits in each word of 64 bits
    return words.astype("<u8").view("<u2")[skipped : skipped + count]


@cache
def _quantiles() -> np.ndarray:
    """Return the sample for each 16-bit number."""
    # Python computes this table once, so z does not depend on the math library of a device.
    normal = NormalDist()
    return np.array([normal.inv_cdf((k + 0.5) / 65536) for k in range(65536)], dtype=np.float32)
