"""What `try` computes: samples, forecasts, and other codecs at equal bytes."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Draw, float32_engine
from PIL import Image

from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.search.options import search_of
from hcdcodec.format.container import PNG_LEVEL
from hcdcodec.format.layout import make_raw
from hcdcodec.format.oxipng_worker import optimise
from hcdcodec.format.srgb_profile import make_srgb
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.metrics import psnr
from hcdcodec.pictures.picture import Picture
from hcdcodec.trial.curve import Curve
from hcdcodec.trial.estimate import estimate_encoding
from hcdcodec.trial.forecast import Rest, forecast, rest_of
from hcdcodec.trial.measure import Setting, lr_bytes, measure
from hcdcodec.trial.piece import cut_middle, encode_piece
from hcdcodec.trial.rivals import CODECS, RIVALS
from hcdcodec.trial.sample import by_weight, evenly
from hcdcodec.trial.survey import Reading, choose_files, survey

NOTHING = Rest(0, 0, 0)


# --- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "wanted"), [(10, 3), (3, 10), (400, 400), (7, 7), (1, 12), (100_000, 400)])
def test_an_even_choice_covers_the_list(count: int, wanted: int) -> None:
    places = evenly(count, wanted)
    assert len(set(places)) == min(count, wanted)
    assert 0 <= places[0] <= count / len(places)
    assert max(np.diff([-1, *places, count])) <= math.ceil(count / len(places)) + 1


def test_chances_follow_the_weights() -> None:
    dice = np.random.default_rng(0)
    weights = dice.permutation(np.arange(1.0, 101))
    chosen = by_weight(weights.tolist(), 20)
    assert len(set(chosen)) == 20
    assert weights[chosen].mean() == pytest.approx(np.average(weights, weights=weights), rel=0.05)


@pytest.mark.parametrize("weights", [[1.0], [5, 1, 1], [0, 0, 0], [1000, 1, 1, 1, 1, 1, 1]])
def test_heavy_and_weightless_places_are_chosen_once(weights: Sequence[float]) -> None:
    assert by_weight(weights, 3) == sorted(set(by_weight(weights, 3)))
    assert len(by_weight(weights, 3)) == min(3, len(weights))
    assert weights.index(max(weights)) in by_weight(weights, 3)


# --- forecasts --------------------------------------------------------------------------------------------------------


def test_what_is_known_is_no_forecast() -> None:
    found = forecast(90, [0.9, 0.9], rest_of([50, 50], [50, 50], 2), rest_of([5, 5], [], 2))
    assert found.expected == pytest.approx(100)
    assert found.half_width == pytest.approx(0.01)


def test_ranges_hold_the_truth_in_nine_of_ten_cases() -> None:
    dice, hits = np.random.default_rng(1), 0
    for _ in range(500):
        measures = np.sort(dice.lognormal(3, 0.7, 200))
        truths = measures * dice.normal(1.1, 0.09, 200)
        chosen = by_weight(measures.tolist(), 12)
        ratios, done = (truths / measures)[chosen].tolist(), measures[chosen].tolist()
        found = forecast(truths[chosen].sum(), ratios, rest_of(measures.tolist(), done, 200), NOTHING)
        hits += found.low <= truths.sum() <= found.high
        assert found.half_width < 0.15
    assert 0.86 <= hits / 500 <= 0.97


def test_what_was_not_measured_widens_the_range() -> None:
    measures = np.random.default_rng(2).lognormal(3, 0.7, 100).tolist()
    all_measured = forecast(0, [1, 1.1, 0.9], rest_of(measures, [], 100), NOTHING)
    few_measured = forecast(0, [1, 1.1, 0.9], rest_of(measures, [], 1000), NOTHING)
    assert few_measured.expected == pytest.approx(10 * all_measured.expected)
    assert few_measured.half_width > all_measured.half_width


# --- measures ---------------------------------------------------------------------------------------------------------


def test_a_lower_quality_measures_fewer_bytes(draw: Draw) -> None:
    pixels = draw(96, 80, 3)
    sizes = [lr_bytes(pixels, Setting(4, quality)) for quality in (100, 75, 38)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1] > 0
    assert lr_bytes(pixels, Setting(2, 75)) > 2 * lr_bytes(pixels, Setting(4, 75))


def test_alpha_and_metadata_count(draw: Draw) -> None:
    pixels, settings = draw(32, 32), (Setting(4, 75),)
    plain = measure(Picture(pixels), 1, settings).fixed_bytes
    assert measure(Picture(pixels, draw(32, 32, seed=1)), 1, settings).fixed_bytes > plain + 100
    # PNG holds EXIF as it is, in a chunk with a frame of 12 bytes.
    assert (
        measure(Picture(pixels, metadata=Metadata(exif=b"II*\0" + bytes(500))), 1, settings).fixed_bytes == plain + 516
    )


@pytest.mark.parametrize("side", [200, 1100])
def test_a_mask_is_measured_as_it_is_stored(side: int) -> None:
    rows, columns = np.mgrid[:side, :side] - side / 2
    mask = np.clip(128 * (side / 3 - np.hypot(rows, columns)), 0, 255).astype(np.uint8)
    measured, plain = (measure(Picture(mask, alpha), 1, ()).fixed_bytes for alpha in (mask, None))
    stored = 12 + len(optimise(make_raw(mask, PNG_LEVEL)))
    assert measured - plain == (stored if side == 200 else pytest.approx(stored, rel=0.05))


def test_a_profile_that_is_only_named_takes_nothing(draw: Draw) -> None:
    pixels = draw(40, 40, 3)
    plain, named = (measure(Picture(pixels, None, Metadata(icc=icc)), 1, ()) for icc in (None, make_srgb()))
    assert named == plain


@pytest.mark.parametrize(("height", "width"), [(40, 40), (1000, 3), (3, 1000), (90, 120), (1, 1)])
def test_the_middle_is_no_larger_than_allowed(height: int, width: int) -> None:
    pixels = np.arange(height * width, dtype=np.uint32).reshape(height, width).astype(np.uint8)
    piece = cut_middle(Picture(pixels), 1600)
    assert piece.pixel_count <= 1600
    assert piece.share == pytest.approx(piece.pixel_count / (height * width))
    assert (piece.share == 1) is (height * width <= 1600)


# --- other codecs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [codec for codec in RIVALS if codec.available], ids=lambda codec: codec.short)
def test_a_curve_agrees_with_the_files(codec: object, draw: Draw) -> None:
    codec = next(one for one in CODECS if one is codec)
    picture = Picture(draw(64, 48, 3))
    bpp, decoded = codec.travel(picture, codec.settings[2])
    curve, size = Curve(codec, picture), bpp * 64 * 48 / 8
    assert curve.psnr_at(size) == pytest.approx(psnr(picture.pixels, decoded))
    assert curve.size_at(psnr(picture.pixels, decoded)) == pytest.approx(size)
    point = curve.largest(size)
    assert point is not None
    assert (point.bytes, point.setting) == (size, codec.settings[2])
    assert np.array_equal(curve.decode(point), decoded)
    assert (curve.psnr_at(1), curve.psnr_at(1e9), curve.size_at(1), curve.largest(1)) == (None, None, None, None)


def test_one_codec_of_each_format() -> None:
    assert [codec.short for codec in RIVALS] == ["JPEG", "WebP", "AVIF", "JPEG XL"]


# --- estimates --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    """A folder of 20 mixed files, and one that is damaged."""
    dice = np.random.default_rng(0)
    for number in range(20):
        height, width = dice.integers(40, 120, 2)
        image = Image.fromarray(draw(int(height), int(width), 3, seed=number))
        image.save(tmp_path / (f"{number:02}.jpg" if number % 3 else f"{number:02}.png"))
    whole = (tmp_path / "00.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path


@pytest.mark.parametrize("target", [None, Target(bpp=1.5)], ids=["quality", "target"])
def test_the_truth_lies_in_the_range(folder: Path, target: Target | None) -> None:
    engine, options, told = float32_engine("bicubic", 4), EncodeOptions(search_of(0)), list[tuple[str, bool]]()
    paths = sorted(folder.iterdir())
    found = estimate_encoding(
        paths, engine, options, target, reading=Reading(), tell=lambda path, why: told.append((path.name, why is None))
    )
    assert found is not None
    assert ("cut.png", False) in told
    assert (found.files, found.source_bytes) == (
        20,
        sum(path.stat().st_size for path in paths if path.name != "cut.png"),
    )
    pieces = [cut_middle(Reading().read(path)[0], 1 << 20) for path in paths if path.name != "cut.png"]
    truth = sum(len(encode_piece(engine, piece, options, target).data) for piece in pieces)
    assert found.bytes.low <= truth <= found.bytes.high
    assert found.bytes.half_width <= 0.15
    assert found.seconds > 0


def test_of_very_many_files_some_are_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted(path for path in folder.iterdir() if path.name != "cut.png")
    every = survey(paths, (Setting(4, 75),), Reading(), lambda *_: None)
    monkeypatch.setattr("hcdcodec.trial.survey.MEASURED_MOST", 10)
    some = survey(paths, (Setting(4, 75),), Reading(), lambda *_: None)
    assert (len(some.measured), some.count) == (10, every.count)
    assert some.source_bytes == pytest.approx(every.source_bytes)
    assert {path.suffix for path in choose_files(paths)} == {".jpg", ".png"}
    total = 2 * sum(one.lr_bytes[0] for one in some.measured)
    assert total == pytest.approx(sum(one.lr_bytes[0] for one in every.measured), rel=0.25)


def test_files_that_cannot_be_read_leave_whole_numbers(tmp_path: Path, draw: Draw) -> None:
    """3 / 47 * 47 is a little less than 3, and the variance of what was not measured became negative."""
    for number in range(47):
        (tmp_path / f"{number:02}.png").write_text("no picture")
    for number in range(3):
        Image.fromarray(draw(24, 24 + 8 * number, 3)).save(tmp_path / f"{number:02}.png")
    engine, options = float32_engine("bicubic", 4), EncodeOptions(search_of(0))
    found = estimate_encoding(sorted(tmp_path.iterdir()), engine, options, reading=Reading(), tell=lambda *_: None)
    assert found is not None
    assert (found.files, round(found.bytes.half_width, 6)) == (3, 0.01)


def test_nothing_readable_gives_no_estimate(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    engine = float32_engine("bicubic", 4)
    options = EncodeOptions(search_of(0))
    assert estimate_encoding([tmp_path / "a.png"], engine, options, reading=Reading(), tell=lambda *_: None) is None
