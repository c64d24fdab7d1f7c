"""Rate-distortion curves: interpolation, BD-rate, and where two of them cross.

A curve is a list of (bpp, dB). Between its points the logarithm of bpp is linear in dB: unlike Bjøntegaard's cubic this
cannot overshoot, and with ten points and more the difference is far below what is being compared.
"""

import math
from collections.abc import Sequence

import bjontegaard
import numpy as np

Curve = Sequence[tuple[float, float]]

_SAMPLES = 2000


def rate_at(curve: Curve, decibels: float) -> float | None:
    """Return the bpp at which a curve reaches a quality; None where it does not."""
    rates, qualities = _sorted(curve)
    if not qualities[0] <= decibels <= qualities[-1]:
        return None
    return float(np.exp(np.interp(decibels, qualities, rates)))


def bd_rate(ours: Curve, theirs: Curve) -> float | None:
    """Return how much larger our files are at equal quality, as a share; negative: smaller. None: nothing in common.

    Source: Bjøntegaard, VCEG-M33, 2001, with the interpolation above.
    """
    (our_rates, our_qualities), (their_rates, their_qualities) = _sorted(ours), _sorted(theirs)
    low, high = max(our_qualities[0], their_qualities[0]), min(our_qualities[-1], their_qualities[-1])
    if low >= high:
        return None
    at = np.linspace(low, high, _SAMPLES)
    distance = np.interp(at, our_qualities, our_rates) - np.interp(at, their_qualities, their_rates)
    return math.exp(float(distance.mean())) - 1


def bd_rate_by_pchip(ours: Curve, theirs: Curve) -> float | None:
    """Return what `bd_rate` does by the field's usual interpolation, of the package bjontegaard.

    Points that have fewer dB than a smaller file are left out. Fewer than two points in common: None.
    """
    curves = [_rising(curve) for curve in (theirs, ours)]
    if bd_rate(ours, theirs) is None or any(len(curve) < 2 for curve in curves):
        return None
    (their_rates, their_decibels), (our_rates, our_decibels) = (zip(*curve, strict=True) for curve in curves)
    percent = bjontegaard.bd_rate(
        their_rates,
        their_decibels,
        our_rates,
        our_decibels,
        method="pchip",
        require_matching_points=False,
        min_overlap=0,
    )
    return float(percent) / 100 if math.isfinite(percent) else None


def decibels_at(curve: Curve, rate: float) -> float | None:
    """Return the dB that a curve has at a bpp; None where it has no file of about that size."""
    rates, qualities = _by_rate(curve)
    if not rates[0] <= math.log(rate) <= rates[-1]:
        return None
    return float(np.interp(math.log(rate), rates, qualities))


def best_of(curves: Sequence[Curve]) -> list[tuple[float, float]]:
    """Return the best of some curves at many bpp, each curve straight over the logarithm of bpp between its points."""
    rates = [rate for curve in curves for rate, _ in curve]
    along = np.geomspace(min(rates), max(rates), 200)
    found = []
    for curve in map(sorted, curves):
        own, decibels = zip(*curve, strict=True)
        found.append(np.interp(np.log(along), np.log(own), decibels, left=-np.inf, right=-np.inf))
    best = np.max(found, axis=0)
    return [(float(rate), float(value)) for rate, value in zip(along, best, strict=True) if np.isfinite(value)]


def ahead(pairs: Sequence[tuple[Curve, Curve]]) -> list[tuple[float, float]]:
    """Return the intervals of bpp in which ours has the higher quality on average, each picture at that bpp.

    Args:
        pairs: (ours, theirs) for each picture; what all curves cover counts.
    """
    both = [(_by_rate(ours), _by_rate(theirs)) for ours, theirs in pairs]
    low = max(rates[0] for pair in both for rates, _ in pair)
    high = min(rates[-1] for pair in both for rates, _ in pair)
    if low >= high:
        return []
    at = np.linspace(low, high, _SAMPLES)
    better = sum(np.interp(at, *ours) - np.interp(at, *theirs) for ours, theirs in both) > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], better.astype(int), [0]])))
    return [(float(np.exp(at[i])), float(np.exp(at[j - 1]))) for i, j in zip(edges[::2], edges[1::2], strict=True)]


def _rising(curve: Curve) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for rate, decibels in sorted(curve):
        if not kept or decibels > kept[-1][1]:
            kept.append((rate, decibels))
    return kept


def _sorted(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Return (logarithms of bpp, dB) by rising dB."""
    points = np.array(sorted((decibels, math.log(rate)) for rate, decibels in curve))
    return points[:, 1], points[:, 0]


def _by_rate(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Return (logarithms of bpp, dB) by rising bpp."""
    points = np.array(sorted((math.log(rate), decibels) for rate, decibels in curve))
    return points[:, 0], points[:, 1]
