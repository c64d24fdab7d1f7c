"""Measure how close a reconstruction is to its original: PSNR and SSIM, exactly as papers on rescaling compute them.

Luma is Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 of R, G, B in 0..255, not rounded. For grey pictures, the grey
values are taken. PSNR and SSIM on luma leave out a border as wide as the scale. PSNR on RGB, which is used to compare
codecs, takes the whole picture. Arrays hold uint8 levels, and the peak is 255.

Source: the evaluation code of IRN and HCFlow (BasicSR), which follows MATLAB's rgb2ycbcr; Wang et al., "Image quality
assessment: from error visibility to structural similarity", 2004.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hcdcodec.errors import ModelError, PictureError
from hcdcodec.pictures.picture import Levels, expand, single_channel

Values = npt.NDArray[np.float64]

PEAK = 255.0
DEFAULT_BORDER = 4

EXACT_DB = 100.0
"""The PSNR that an exact picture counts as, where a mean or an interpolation needs a finite one."""

LUMA = (65.481, 128.553, 24.966)
"""Weights of R, G and B in BT.601 luma, for values in [0, 1]."""

_TAPS, _SIGMA = 11, 1.5
# K1 and K2 of Wang et al., section III.B. They keep SSIM stable where mean or variance is near zero.
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


@dataclass(frozen=True)
class Scores:
    """How close two pictures are.

    Attributes:
        psnr_y: PSNR in dB on luma, without the border; infinite where all samples agree.
        psnr_rgb: PSNR in dB over all samples of the whole picture.
        ssim: SSIM on luma, without the border, at most 1; None where the picture is smaller than the 11x11 window.
    """

    psnr_y: float
    psnr_rgb: float
    ssim: float | None


def score(original: Levels, decoded: Levels, *, border: int = DEFAULT_BORDER) -> Scores:
    """Compare a reconstruction with its original.

    Args:
        original: (H, W) grey or (H, W, 3) RGB.
        decoded: the reconstruction, of the same size. It may be RGB where the original is grey: WebP has no grey.
        border: pixels on each side that the luma measures leave out, usually the scale; fewer in a small picture.

    Raises:
        PictureError: the sizes differ.
    """
    if original.shape[:2] != decoded.shape[:2]:
        sizes = " and ".join(f"{pixels.shape[1]}x{pixels.shape[0]}" for pixels in (original, decoded))
        raise PictureError(f"sizes differ ({sizes}); compare a picture with its own reconstruction")
    first, second = _match_channels(original, decoded)
    inner = inside(original.shape[0], original.shape[1], border)
    first_y, second_y = luma(first)[inner], luma(second)[inner]
    return Scores(psnr(first_y, second_y), psnr(first, second), ssim(first_y, second_y))


def luma(pixels: Levels) -> Values:
    """Return Y of (H, W, 3) RGB, not rounded, in 16..235, or the grey values of (H, W)."""
    return 16 + pixels @ (np.array(LUMA) / 255) if pixels.ndim == 3 else pixels.astype(np.float64)


def psnr(first: Levels | Values, second: Levels | Values) -> float:
    """Return the peak signal-to-noise ratio in dB of two arrays of one shape; infinite where all samples agree."""
    # In float64, since a difference of two uint8 arrays would wrap around.
    return decibels(float(np.mean(np.square(np.subtract(first, second, dtype=np.float64)))))


def decibels(error: float, most: float = math.inf) -> float:
    """Return a PSNR in dB.

    Args:
        error: mean squared error in levels squared.
        most: largest number to return. A finite one is needed for means, since an exact picture has an infinite PSNR.

    Raises:
        ModelError: the error is infinite or not a number.
    """
    if not 0 <= error < math.inf:
        raise ModelError("the network makes no finite picture; restore its weights, or choose another network")
    return min(most, 10 * math.log10(PEAK**2 / error)) if error else most


def ssim(first: Levels | Values, second: Levels | Values) -> float | None:
    """Return the mean structural similarity of two (H, W) planes.

    The window is an 11x11 Gaussian with a standard deviation of 1.5, and it never leaves the picture. Variances divide
    by n and not by n - 1. The result is None where the planes are smaller than the window.
    """
    if min(first.shape) < _TAPS:
        return None
    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    # Weighted variances as E[x^2] - E[x]^2, so that each takes one filter pass.
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return float(np.mean(likeness / ((mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2))))


def inside(height: int, width: int, border: int) -> tuple[slice, slice]:
    """Return (rows, columns) of a picture without its border; at least one pixel is always left."""
    rows, columns = (min(border, (size - 1) // 2) for size in (height, width))
    return slice(rows, height - rows), slice(columns, width - columns)


def _match_channels(first: Levels, second: Levels) -> tuple[Levels, Levels]:
    """Return both as grey, or both as RGB."""
    if first.ndim == second.ndim:
        return first, second
    greys = single_channel(first), single_channel(second)
    if greys[0] is not None and greys[1] is not None:
        return greys[0], greys[1]
    return expand(first), expand(second)


def _blur(plane: Values) -> Values:
    """Filter with the window where it fits: (H, W) -> (H - 10, W - 10)."""
    offsets = np.arange(_TAPS) - _TAPS // 2
    taps = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    # The Gaussian is separable: two passes of 11 taps in place of one with 121.
    taps /= taps.sum()
    height, width = (size - _TAPS + 1 for size in plane.shape)
    columns = sum((tap * plane[k : k + height] for k, tap in enumerate(taps)), np.zeros((height, plane.shape[1])))
    return sum((tap * columns[:, k : k + width] for k, tap in enumerate(taps)), np.zeros((height, width)))
