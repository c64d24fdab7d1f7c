"""The LR grid: the levels that an LR sample may take, and the quality that chooses them. It controls the rate.

All colours have the same step, because deflate codes them together: different steps make larger files at equal quality.
The levels are multiples of the step, since an offset gains nothing.
"""

from dataclasses import dataclass

from hcdcodec.errors import UsageError

QUALITIES = range(1, 101)
DEFAULT_QUALITY = 75


@dataclass(frozen=True)
class Grid:
    """Step between neighbouring levels for each LR channel. Allowed are the multiples of the step, and 255.

    A grey LR uses `green`. All 1: every 8-bit level is allowed.
    """

    red: int
    green: int
    blue: int

    def __post_init__(self) -> None:
        if not all(1 <= step <= 255 for step in self.steps):
            raise UsageError(f"grid steps {self.steps} are out of range; 1 to 255 are possible")

    @property
    def steps(self) -> tuple[int, int, int]:
        """Return (red, green, blue)."""
        return self.red, self.green, self.blue


# (lowest quality, step of all three channels), from quality 100 downwards. Steps grow faster at low quality, so that
# the size falls by a similar factor from each entry to the next.
_LADDER = (
    (100, 1), (90, 2), (82, 3), (75, 4), (68, 5), (61, 6), (55, 7), (49, 8), (43, 9), (38, 10), (33, 11), (28, 12),
    (23, 14), (18, 16), (13, 18), (8, 20), (4, 22), (1, 24),
)  # fmt: skip

RUNGS = tuple(quality for quality, _ in _LADDER)
"""One quality for each grid, from 100 downwards."""


def grid_of(quality: int) -> Grid:
    """Return the grid of a quality.

    Args:
        quality: 1 (smallest file) to 100 (all levels allowed). A lower quality never has a finer grid.

    Raises:
        UsageError: out of range.
    """
    if quality not in QUALITIES:
        raise UsageError(f"quality {quality} is out of range; 1 to 100 are possible")
    step = next(step for floor, step in _LADDER if quality >= floor)
    return Grid(step, step, step)
