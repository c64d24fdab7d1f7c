"""The arithmetic behind the rate-distortion benchmarks, on curves whose answers are known."""

import pytest

from benchmarks.common import bd_rate

STRAIGHT = [(0.25, 30.0), (0.5, 33.0), (1.0, 36.0), (2.0, 39.0)]


def test_a_curve_with_a_fifth_fewer_bytes_everywhere() -> None:
    smaller = [(0.8 * rate, decibels) for rate, decibels in STRAIGHT]
    assert bd_rate.bd_rate(smaller, STRAIGHT) == pytest.approx(-0.2)
    assert bd_rate.bd_rate(STRAIGHT, smaller) == pytest.approx(0.25)


def test_bd_rate_counts_what_both_curves_cover_alone() -> None:
    part = [(0.45, 33.0), (0.9, 36.0), (99.0, 36.0001)]
    assert bd_rate.bd_rate(part[:2], STRAIGHT) == pytest.approx(-0.1)
    assert bd_rate.bd_rate([(1.0, 10.0), (2.0, 20.0)], STRAIGHT) is None


def test_the_order_of_points_does_not_matter() -> None:
    assert bd_rate.bd_rate(STRAIGHT[::-1], STRAIGHT) == pytest.approx(0)
    assert bd_rate.rate_at(STRAIGHT[::-1], 34.5) == pytest.approx(2**-0.5)


def test_rate_at_a_quality() -> None:
    assert bd_rate.rate_at(STRAIGHT, 36.0) == pytest.approx(1)
    assert bd_rate.rate_at(STRAIGHT, 29.9) is None
    assert bd_rate.rate_at(STRAIGHT, 39.1) is None


def test_where_two_curves_cross() -> None:
    flat = [(0.25, 31.5), (2.0, 37.5)]  # 3 dB a factor of 2 against 2 dB: they meet at 2 ** -0.5
    ((low, high),) = bd_rate.ahead([(STRAIGHT, flat)])
    assert [low, high] == pytest.approx([2**-0.5, 2.0], rel=2e-3)
    ((low, high),) = bd_rate.ahead([(flat, STRAIGHT)])
    assert [low, high] == pytest.approx([0.25, 2**-0.5], rel=2e-3)


def test_never_ahead() -> None:
    worse = [(rate, decibels - 1) for rate, decibels in STRAIGHT]
    assert bd_rate.ahead([(worse, STRAIGHT)]) == []
    assert bd_rate.ahead([([(8.0, 40.0), (9.0, 41.0)], STRAIGHT)]) == []


def test_pictures_count_at_equal_bytes() -> None:
    better, worse = ([(rate, decibels + by) for rate, decibels in STRAIGHT] for by in (1, -2))
    assert bd_rate.ahead([(better, STRAIGHT)])
    assert bd_rate.ahead([(better, STRAIGHT), (worse, STRAIGHT)]) == []


def test_the_usual_interpolation_agrees_on_straight_curves() -> None:
    smaller = [(0.8 * rate, decibels) for rate, decibels in STRAIGHT]
    assert bd_rate.bd_rate_by_pchip(smaller, STRAIGHT) == pytest.approx(-0.2)
    assert bd_rate.bd_rate_by_pchip([*smaller, (9.0, 1.0)], STRAIGHT) == pytest.approx(-0.2)
    assert bd_rate.bd_rate_by_pchip([(1.0, 10.0), (2.0, 20.0)], STRAIGHT) is None


def test_decibels_at_a_rate() -> None:
    rate, decibels = STRAIGHT[1]
    assert bd_rate.decibels_at(STRAIGHT, rate) == pytest.approx(decibels)
    assert bd_rate.decibels_at(STRAIGHT, 1000.0) is None


def test_the_best_of_curves_is_no_better_than_they_are() -> None:
    """Between two curves nothing is promised that no file has."""
    best = bd_rate.best_of([[(1.0, 30.0), (2.0, 31.0)], [(4.0, 36.0), (1.5, 29.0)]])
    assert best[0] == pytest.approx((1.0, 30.0)) and best[-1] == pytest.approx((4.0, 36.0))
    assert dict(best)[max(rate for rate, _ in best if rate <= 1.4)] < 30.5
    assert all(value <= 33 for rate, value in best if rate < 2.4)
