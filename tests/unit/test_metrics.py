"""Metrics against values worked out by hand, and SSIM against those of scikit-image with the same window."""

import math

import numpy as np
import pytest

from hcdcodec.errors import ModelError, PictureError
from hcdcodec.pictures import metrics
from hcdcodec.pictures.picture import Levels


def flat(*colour: int, height: int = 20, width: int = 30) -> Levels:
    return np.full((height, width, 3), colour, np.uint8)


def stripes() -> tuple[Levels, Levels]:
    """Return two grey pictures that differ in a regular way."""
    diagonal = np.indices((32, 40)).sum(0)
    return (diagonal * 37 % 256).astype(np.uint8), ((diagonal * 37 + diagonal % 7 * 5) % 256).astype(np.uint8)


def test_luma_of_the_corners_of_the_colour_cube() -> None:
    for colour, expected in (((0, 0, 0), 16.0), ((255, 255, 255), 235.0), ((255, 0, 0), 81.481), ((0, 0, 255), 40.966)):
        assert metrics.luma(flat(*colour))[0, 0] == pytest.approx(expected)


def test_luma_is_not_rounded() -> None:
    assert metrics.luma(flat(0, 1, 0))[0, 0] == pytest.approx(16 + 128.553 / 255)


def test_psnr_of_a_constant_difference() -> None:
    scores = metrics.score(flat(100, 100, 100), flat(105, 105, 105))
    assert scores.psnr_rgb == pytest.approx(20 * math.log10(255 / 5))
    assert scores.psnr_y == pytest.approx(20 * math.log10(255 / (5 * 219 / 255)))


@pytest.mark.parametrize("error", [math.nan, math.inf, -1.0])
def test_what_is_no_error_is_never_taken_for_exact(error: float) -> None:
    with pytest.raises(ModelError, match="no finite picture"):
        metrics.decibels(error)


def test_means_can_have_a_finite_figure_for_what_is_exact() -> None:
    assert metrics.decibels(0.0) == math.inf
    assert metrics.decibels(0.0, 100.0) == metrics.decibels(1e-9, 100.0) == 100.0
    assert metrics.decibels(255.0**2, 100.0) == 0.0


def test_identical_pictures_have_no_error() -> None:
    picture = stripes()[0]
    scores = metrics.score(picture, picture)
    assert (scores.psnr_rgb, scores.psnr_y) == (math.inf, math.inf)
    assert scores.ssim == pytest.approx(1)


def test_ssim_is_that_of_scikit_image() -> None:
    # structural_similarity(x, y, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert metrics.ssim(*stripes()) == pytest.approx(0.3935287968308853, abs=1e-12)


def test_border_counts_in_rgb_alone() -> None:
    original, decoded = flat(100, 100, 100), flat(100, 100, 100)
    decoded[:4], decoded[-4:], decoded[:, :4], decoded[:, -4:] = 90, 90, 90, 90
    scores = metrics.score(original, decoded, border=4)
    assert scores.psnr_y == math.inf
    assert scores.ssim == pytest.approx(1)
    assert scores.psnr_rgb == pytest.approx(10 * math.log10(255**2 / (100 * (1 - 12 * 22 / 600))))
    assert metrics.score(original, decoded, border=3).psnr_y < 60


def test_grey_counts_with_its_own_values_even_when_stored_as_rgb() -> None:
    first, second = stripes()
    scores = metrics.score(first, second, border=0)
    assert scores.psnr_y == scores.psnr_rgb
    assert metrics.score(first, np.dstack([second] * 3), border=0) == scores


def test_colour_in_the_reconstruction_of_a_grey_picture_counts() -> None:
    grey = np.full((20, 20), 100, np.uint8)
    tinted = np.dstack([grey, grey, grey + 10])
    assert metrics.score(grey, tinted).psnr_rgb == pytest.approx(10 * math.log10(255**2 / (100 / 3)))


@pytest.mark.parametrize("side", [1, 8])
def test_a_picture_too_small_for_border_and_window_has_luma_and_no_ssim(side: int) -> None:
    scores = metrics.score(flat(1, 2, 3, height=side, width=side), flat(2, 3, 4, height=side, width=side), border=4)
    assert scores.ssim is None
    assert scores.psnr_rgb == pytest.approx(20 * math.log10(255))
    assert scores.psnr_y == pytest.approx(20 * math.log10(255 / (219 / 255)))


def test_sizes_must_agree() -> None:
    with pytest.raises(PictureError, match="30x20 and 30x21"):
        metrics.score(flat(0, 0, 0), flat(0, 0, 0, height=21))
