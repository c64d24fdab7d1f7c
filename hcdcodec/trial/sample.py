"""Choose some of many: evenly along a list, or by weight."""

from collections.abc import Sequence

import numpy as np


def evenly(count: int, wanted: int) -> list[int]:
    """Return `wanted` of the places 0 to `count` - 1, each one as far from the next; all of them if there are fewer."""
    wanted = min(count, wanted)
    return [int((place + 0.5) * count / wanted) for place in range(wanted)]


def by_weight(weights: Sequence[float], wanted: int) -> list[int]:
    """Return places such that a weight's chance to be chosen is its share of all weights.

    The weights stand in a row, and points at equal distances choose. So neighbours share their chances, and a list
    that is sorted by some quantity gives a sample that covers this quantity. What is heavier than the distance is
    always chosen, once.

    Args:
        weights: none is negative.
        wanted: number of places; all are returned if there are fewer weights.

    Returns:
        Places by rising number.
    """
    chosen: set[int] = set()
    while len(chosen) < min(wanted, len(weights)):
        rest = [place for place in range(len(weights)) if place not in chosen]
        ends = np.cumsum([weights[place] for place in rest])
        missing = min(wanted, len(weights)) - len(chosen)
        points = (np.arange(missing) + 0.5) / missing * ends[-1]
        chosen.update(rest[place] for place in np.searchsorted(ends, points))
    return sorted(chosen)
