"""Estimate the bits of an LR by a code that is fitted to the LR's own residuals.

PNG gives frequent residuals short codes, so the bits of all follow from how often each size occurs (their entropy).
benchmarks/choices/bit_estimates.py compares the estimate with real files. Those of WebP and JPEG XL are smaller by a
share that is nearly the same for all pictures, so the estimate serves for them, too. Codes that depend on what is near,
as these two containers have, were tried. They told the bytes better, and the search gained nothing by them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hcdcodec.codec.search.residuals import FILTERS, Prediction, filtered, predict

_SIZES = 256
_PRIOR = 64
"""Residuals of a guess that is added to those that were counted: small LRs have few, and some sizes never occur."""
_BAND_PX = 1 << 18


@dataclass(frozen=True)
class ResidualCode:
    """Bits of residuals.

    Attributes:
        steps: of the grid, (C, 1, 1).
        filters: PNG's filter of each row, (h,).
        lengths: bits of a residual of 0, 1, ... steps, sign included.
    """

    steps: torch.Tensor
    filters: torch.Tensor
    lengths: torch.Tensor

    def bits(self, lr: torch.Tensor) -> torch.Tensor:
        """Return the bits of an LR, (C, h, w) in [0, 1]: float64 scalar on the device."""
        total = torch.zeros((), dtype=torch.float64, device=lr.device)
        for band in _bands(lr):
            total += self.lengths.take(self._residuals(lr, band).sizes).sum()
        return total

    def bits_and_slope(self, lr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `bits`, and their gradient by the levels of the LR, (C, h, w): between one step less and one more."""
        total, slope = torch.zeros((), dtype=torch.float64, device=lr.device), torch.zeros_like(lr)
        slopes = _slopes(self.lengths).to(lr)
        for band in _bands(lr):
            found = self._residuals(lr, band)
            total += self.lengths.take(found.sizes).sum()
            by_residual = torch.zeros_like(found.signs)
            by_residual[:, band.context :] = slopes.take(found.sizes)
            slope[:, band.read] += found.prediction.pull_back(by_residual.mul_(found.signs))
        return total, slope.mul_(255 / self.steps)

    def _residuals(self, lr: torch.Tensor, band: "_Band") -> "_Residuals":
        return _residuals(lr, self.steps, self.filters, band)


def fit_code(lr: torch.Tensor, steps: torch.Tensor) -> ResidualCode:
    """Return the code that suits an LR.

    Args:
        lr: (C, h, w) float32 on its grid.
        steps: of the grid, (C, 1, 1).
    """
    return _fit(lr, steps, _choose_filters(lr, steps))


def refit(code: ResidualCode, lr: torch.Tensor) -> ResidualCode:
    """Return the code that suits an LR that has changed a little since; filters stay."""
    return _fit(lr, code.steps, code.filters)


def _fit(lr: torch.Tensor, steps: torch.Tensor, filters: torch.Tensor) -> ResidualCode:
    counts = torch.zeros(_SIZES, dtype=torch.int64, device=lr.device)
    for band in _bands(lr):
        counts += torch.bincount(_residuals(lr, steps, filters, band).sizes.flatten(), minlength=_SIZES)
    return ResidualCode(steps, filters, _lengths(counts.double()))


@dataclass(frozen=True)
class _Residuals:
    """The residuals of a band of rows.

    Attributes:
        prediction: of all rows that were read.
        signs: of the residuals of all rows that were read, (C, rows, w).
        sizes: in steps, of the rows that count alone.
    """

    prediction: Prediction
    signs: torch.Tensor
    sizes: torch.Tensor


@dataclass(frozen=True)
class _Band:
    """Rows that are worked on together: large LRs take hardly any memory.

    Attributes:
        read: rows that are read.
        context: how many of them stand above those that count.
    """

    read: slice
    context: int

    @property
    def counted(self) -> slice:
        """Return the rows that count."""
        return slice(self.read.start + self.context, self.read.stop)


def _bands(lr: torch.Tensor) -> Iterator[_Band]:
    height, width = lr.shape[1:]
    rows = max(1, _BAND_PX // width)
    for top in range(0, height, rows):
        first = max(top - 1, 0)
        yield _Band(slice(first, min(top + rows, height)), top - first)


def _residuals(lr: torch.Tensor, steps: torch.Tensor, filters: torch.Tensor, band: _Band) -> _Residuals:
    samples = lr[:, band.read] * (255 / steps)
    prediction = predict(samples, filters[band.read])
    apart = samples - prediction.levels
    sizes = apart[:, band.context :].abs().round_().clamp_(max=_SIZES - 1).long()
    return _Residuals(prediction, apart.sign_(), sizes)


def _choose_filters(lr: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Return the filter of each row that leaves the smallest residuals."""
    costs = lr.new_empty((len(FILTERS), lr.shape[1]))
    for band in _bands(lr):
        samples = lr[:, band.read] * (255 / steps)
        for number, levels in enumerate(filtered(samples)):
            apart = samples[:, band.context :] - levels[:, band.context :]
            costs[number, band.counted] = apart.abs_().log1p_().sum((0, 2))
    return costs.argmin(0)


def _lengths(counts: torch.Tensor) -> torch.Tensor:
    """Return bits by the logarithm of frequency. Counts are smoothed, and a geometric distribution is added to them."""
    sizes = torch.arange(_SIZES, dtype=torch.float64, device=counts.device)
    mean = ((counts * sizes).sum() + 0.5) / (counts.sum() + 1)
    guess = (mean / (1 + mean)) ** sizes / (1 + mean) + 1e-9
    share = counts + _PRIOR * guess
    share[2:-1] += (counts[1:-2] - 2 * counts[2:-1] + counts[3:]) / 4
    lengths = -(share / share.sum()).log2()
    lengths[1:] += 1  # the sign
    return lengths


def _slopes(lengths: torch.Tensor) -> torch.Tensor:
    """Return how bits grow with the size of a residual; at zero they grow both ways alike."""
    slopes = torch.zeros_like(lengths)
    slopes[1:-1] = (lengths[2:] - lengths[:-2]) / 2
    slopes[-1] = slopes[-2]
    return slopes
