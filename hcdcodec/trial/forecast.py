"""Forecast a sum over many files from a cheap measure of each and the truth about a few of them.

The truth of a file is its measure times a ratio that varies around a mean, with a deviation that is the same share of
all files. This is the ratio model of survey sampling. A sample that is drawn with chances by the measure gives its mean
and its deviation.

Source: Särndal, Swensson, Wretman, "Model Assisted Survey Sampling", 1992, chapters 3 and 7.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

_CERTAINTY = 0.9
_USUAL, _WORTH = 0.1, 3
"""A deviation that is usual between pictures, and the number of pictures that this knowledge is worth.

It matters for a sample of a few pictures, which can agree by chance.
"""
_LEAST = 0.01
"""Half the width of the narrowest range, as a share: batches of other pictures can change bytes a little."""


@dataclass(frozen=True)
class Range:
    """What is expected, and between which bounds the truth lies in 90 of 100 cases."""

    low: float
    expected: float
    high: float

    @property
    def half_width(self) -> float:
        """Return half of the width, as a share of what is expected."""
        return (self.high - self.low) / (2 * self.expected) if self.expected else 0.0


@dataclass(frozen=True)
class Rest:
    """The measures of the files whose truth is not known.

    Attributes:
        total: their sum.
        squares: the sum of their squares.
        variance: of the total, where not all files were measured.
    """

    total: float
    squares: float
    variance: float


def rest_of(measures: Sequence[float], done: Sequence[float], count: float) -> Rest:
    """Sum up measures.

    Args:
        measures: of the measured files, in an order in which neighbours are alike.
        done: those of them whose truth is known.
        count: number of all files; the measured ones were chosen evenly.
    """
    values = np.asarray(measures, float)
    grow = count / len(values)
    # The usual estimate for a sample at equal distances. Differences of neighbours leave out what the order explains.
    spread = float(np.square(np.diff(values)).sum()) / (2 * max(1, len(values) - 1)) * len(values)
    variance = grow**2 * (1 - 1 / grow) * spread
    total = grow * values.sum() - sum(done)
    squares = grow * np.square(values).sum() - sum(value * value for value in done)
    return Rest(max(0.0, float(total)), max(0.0, float(squares)), variance)


def forecast(known: float, ratios: Sequence[float], rest: Rest, more: Rest) -> Range:
    """Return the range of the sum over all files.

    Args:
        known: the truths that are known, summed up.
        ratios: truth / measure of each file of the sample; at least one.
        rest: the other files.
        more: what is added to all files, and follows no ratio.
    """
    mean, freedom = float(np.mean(ratios)), len(ratios) - 1 + _WORTH
    own = float(np.square(np.asarray(ratios) - mean).sum())
    between = (own + _WORTH * (_USUAL * mean) ** 2) / freedom
    variance = between * (rest.total**2 / len(ratios) + rest.squares)
    variance += mean**2 * rest.variance + more.variance
    expected = known + mean * rest.total + more.total
    half = max(_LEAST * expected, _quantile(freedom) * math.sqrt(variance))
    return Range(max(known, expected - half), expected, expected + half)


def _quantile(freedom: int) -> float:
    """Return the two-sided quantile of Student's t, by the expansion of Abramowitz and Stegun, 26.7.5."""
    z = NormalDist().inv_cdf((1 + _CERTAINTY) / 2)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
