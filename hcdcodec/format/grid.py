"""The LR grid: the rate knob. Levels that an LR sample may take, and the quality scale that chooses them.

All colours have one step: with their own, such as (5, 4, 5) or (3, 4, 3), files at equal PSNR-RGB have 14 to 20 % more
bytes, as deflate codes the three together. Multiples of the step do as well as any: half a step further on costs 0.5 %
at quality 75 and 1.1 % at 49 (middles of six val pictures, 384 pixels wide, crn x4, 8 steps).
"""

from dataclasses import dataclass

from hcdcodec.errors import UsageError

QUALITIES = range(1, 101)
DEFAULT_QUALITY = 75


@dataclass(frozen=True)
class Grid:
    """Distance between neighbouring levels, by LR channel: multiples of it, and 255, are allowed.

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


# Step of all three channels from quality 100 downwards. Between two steps the bytes fall by about a tenth.
_LADDER = (
    (100, 1), (90, 2), (82, 3), (75, 4), (68, 5), (61, 6), (55, 7), (49, 8), (43, 9), (38, 10), (33, 11), (28, 12),
    (23, 14), (18, 16), (13, 18), (8, 20), (4, 22), (1, 24),
)  # fmt: skip

RUNGS = tuple(quality for quality, _ in _LADDER)
"""One quality for each grid that the scale has, from 100 downwards."""


def grid_of(quality: int) -> Grid:
    """Return the grid of a quality.

    Args:
        quality: 1 (smallest file) to 100 (every level allowed); the grid never gets finer as it falls.

    Raises:
        UsageError: out of range.
    """
    if quality not in QUALITIES:
        raise UsageError(f"quality {quality} is out of range; 1 to 100 are possible")
    step = next(step for floor, step in _LADDER if quality >= floor)
    return Grid(step, step, step)
