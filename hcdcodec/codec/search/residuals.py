"""Predict each sample of an LR from its neighbours as PNG's filters do; what is left are the residuals.

PNG chooses one of five filters for each row. In LRs these three are chosen for nearly all rows: the left neighbour, the
upper one, and Paeth's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

FILTERS = LEFT, ABOVE, PAETH = range(3)
"""PNG's filters Sub, Up and Paeth."""


@dataclass(frozen=True)
class Prediction:
    """What neighbours tell of samples.

    Attributes:
        levels: the prediction, (..., h, w).
        left: whether it changes with the left neighbour, same shape.
        above: whether it changes with the upper one.
        corner: whether it changes with the one between them.
    """

    levels: torch.Tensor
    left: torch.Tensor
    above: torch.Tensor
    corner: torch.Tensor

    def pull_back(self, slope: torch.Tensor) -> torch.Tensor:
        """Return the gradient by the samples of something whose gradient by the residuals is given."""
        by_sample = slope.clone()
        by_sample[..., :, :-1] -= (slope * self.left)[..., :, 1:]
        by_sample[..., :-1, :] -= (slope * self.above)[..., 1:, :]
        by_sample[..., :-1, :-1] -= (slope * self.corner)[..., 1:, 1:]
        return by_sample


def filtered(samples: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield what each filter of `FILTERS` predicts for all rows, (..., h, w)."""
    left, above, corner = _neighbours(samples)
    yield left
    yield above
    is_left, is_above = _nearest(left, above, corner)
    yield torch.where(is_left, left, torch.where(is_above, above, corner))


def predict(samples: torch.Tensor, filters: torch.Tensor) -> Prediction:
    """Predict by the filter of each row (PNG, section 9).

    Args:
        samples: (..., h, w).
        filters: (h,), one of `FILTERS` for each row.
    """
    left, above, corner = _neighbours(samples)
    rows = filters.view(-1, 1)
    is_left, is_above = _nearest(left, above, corner)
    is_left = (is_left & (rows == PAETH)) | (rows == LEFT)
    is_above = (is_above & (rows == PAETH)) | (rows == ABOVE)
    is_corner = ~(is_left | is_above)
    levels = torch.where(is_left, left, torch.where(is_above, above, corner))
    return Prediction(levels, is_left, is_above, is_corner)


def _neighbours(samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what is to the left, above, and left above; beyond the edge all is black, as in PNG."""
    padded = torch.nn.functional.pad(samples, (1, 0, 1, 0))
    return padded[..., 1:, :-1], padded[..., :-1, 1:], padded[..., :-1, :-1]


def _nearest(left: torch.Tensor, above: torch.Tensor, corner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Tell where the left, and where the upper neighbour is nearest to the plane through all three (PNG, 9.4)."""
    to_left, to_above = (above - corner).abs_(), (left - corner).abs_()
    to_corner = (left + above).sub_(corner, alpha=2).abs_()
    is_left = (to_left <= to_above) & (to_left <= to_corner)
    return is_left, (to_above <= to_corner) & ~is_left
