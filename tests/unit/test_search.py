"""The search: what it may change, what it must never do, and what it costs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw, Levels, Tiny, float32_engine
from small_sr import small_sr

from hcdcodec.codec.search.bit_cost import Price
from hcdcodec.codec.search.options import Paper, Search, Ste, search_of
from hcdcodec.codec.search.paper import _Ball
from hcdcodec.codec.search.picture_search import PictureSearch
from hcdcodec.codec.search.refine import refine
from hcdcodec.codec.search.step import Answer, begin_ste, fade, ste_step
from hcdcodec.codec.search.straight_through import _Descent
from hcdcodec.codec.search.subject import Refined, Subject, quantise
from hcdcodec.engine.engine import Engine
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.errors import UsageError
from hcdcodec.format.grid import QUALITIES, Grid, grid_of
from hcdcodec.networks.crn import Crn
from hcdcodec.pictures.reading import read_picture
from hcdcodec.tiles import TILE, plan

FINE = Grid(1, 1, 1)
SEARCHES = [Ste(6), Paper(hr_steps=2, lr_steps=3), Paper(hr_steps=0, lr_steps=4)]


def subject_of(pixels: Levels, engine: Engine, grid: Grid = FINE, tile: int = TILE) -> Subject:
    """Describe a picture whose size the network divides."""
    height, width = pixels.shape[:2]
    planes = torch.from_numpy(np.atleast_3d(pixels).transpose(2, 0, 1).copy())
    scale, halo = engine.backbone.scale, engine.backbone.halo_px
    assert halo is not None
    return Subject(planes, TileTask(height, width, plan(height // scale, width // scale, tile, halo)), grid)


def real_error(engine: Engine, subject: Subject, lr: torch.Tensor) -> float:
    """Decode an LR without the code under test: one window, clamped, rounded, compared."""
    with torch.inference_mode():
        planes = lr.float() / 255
        made = engine.backbone.upscale((planes if len(planes) == 3 else planes.expand(3, -1, -1))[None])[0]
    made = made if len(planes) == 3 else made.mean(0, keepdim=True)
    return float((made.clamp(0, 1).mul(255).round() - subject.target.float()).square().double().mean())


def plain_lr(engine: Engine, subject: Subject) -> torch.Tensor:
    """Return the backbone's own LR in [0, 1], whole, not rounded."""
    hr = subject.canvas.float() / 255
    with torch.inference_mode():
        lr = engine.backbone.downscale((hr if len(hr) == 3 else hr.expand(3, -1, -1))[None])[0]
    return (lr if len(hr) == 3 else lr.mean(0, keepdim=True)).clamp(0, 1)


def levels_of(lr: torch.Tensor, grid: Grid) -> torch.Tensor:
    return quantise(lr, grid).mul(255).round().to(torch.uint8)


# --- grid -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 7, 24, 128, 255])
def test_quantise_gives_the_nearest_level_of_the_grid(step: int) -> None:
    lr = torch.linspace(0, 1, 3000).view(3, 20, 50)
    levels = quantise(lr, Grid(step, step, step)).mul(255)
    allowed = torch.tensor(sorted({*range(0, 256, step), min(255, -(-255 // step) * step)}))
    assert set(levels.round().flatten().tolist()) <= set(allowed.tolist())
    nearest = (lr.mul(255).unsqueeze(-1) - allowed).abs().amin(-1)
    assert ((levels - lr.mul(255)).abs() - nearest).abs().max() < 1e-3
    assert (levels - levels.round()).abs().max() < 1e-4


def test_each_channel_has_its_own_step_and_grey_takes_green() -> None:
    lr = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    levels = quantise(lr, Grid(1, 16, 255)).mul(255).round()
    assert (levels[1] % 16)[levels[1] < 255].max() == 0
    assert set(levels[2].unique().tolist()) <= {0.0, 255.0}
    assert (levels[0] - lr[0] * 255).abs().max() <= 0.501
    assert torch.equal(quantise(lr[:1], Grid(255, 1, 255)), quantise(lr, FINE)[:1])


def test_grids_get_coarser_as_quality_falls() -> None:
    steps = [grid_of(quality).green for quality in QUALITIES]
    assert steps == sorted(steps, reverse=True)
    assert (steps[0] > steps[50] > steps[-1]) and grid_of(100) == FINE
    for quality in (0, 101):
        with pytest.raises(UsageError, match="out of range"):
            grid_of(quality)
    with pytest.raises(UsageError, match="out of range"):
        Grid(0, 1, 1)


# --- what holds for every search --------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("step", [1, 8])
def test_results_are_better_on_the_grid_and_truly_measured(
    tiny: Tiny, draw: Draw, search: Search, channels: int, step: int
) -> None:
    engine, grid = tiny.engine(), Grid(step, step, step)
    subject = subject_of(draw(36, 44, channels), engine, grid)
    (found,) = refine(engine, [subject], search)
    assert found.lr.dtype == torch.uint8
    assert found.lr.shape == (channels or 1, 9, 11)
    assert torch.equal(found.lr, levels_of(found.lr.float() / 255, grid))
    assert found.error == pytest.approx(real_error(engine, subject, found.lr), rel=1e-4)
    start = levels_of(plain_lr(engine, subject), grid)
    assert found.error_before == pytest.approx(real_error(engine, subject, start), rel=1e-3)
    assert found.error <= found.error_before
    if isinstance(search, Ste):
        assert found.error < 0.98 * found.error_before


@pytest.mark.parametrize(
    "search",
    [
        Ste(5, step_size=200.0, likeness_db=0.0),
        Paper(hr_steps=0, lr_steps=2, alpha=50.0, epsilon=50.0),
        Paper(hr_steps=1, lr_steps=0, alpha=50.0, epsilon=50.0),
    ],
)
def test_a_search_that_goes_astray_changes_nothing(tiny: Tiny, draw: Draw, search: Search) -> None:
    engine = tiny.engine()
    subject = subject_of(draw(24, 24, 3), engine, Grid(16, 16, 16))
    (found,) = refine(engine, [subject], search)
    assert found.error <= found.error_before
    if isinstance(search, Paper):
        assert torch.equal(found.lr, levels_of(plain_lr(engine, subject), subject.grid))


def test_effort_0_is_the_backbone_alone(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    subject = subject_of(draw(24, 32, 3), engine)
    (found,) = refine(engine, [subject], search_of(0))
    assert torch.equal(found.lr, levels_of(plain_lr(engine, subject), FINE))
    assert found.error == found.error_before


def test_more_effort_is_never_cheaper() -> None:
    steps = [search_of(effort).steps for effort in range(10)]
    assert steps == sorted(set(steps)) and steps[0] == 0
    for effort in (-1, 10):
        with pytest.raises(UsageError, match="out of range"):
            search_of(effort)


def test_pixels_that_the_padding_adds_do_not_count(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    pixels = draw(24, 24, 3)
    whole = subject_of(pixels, engine)
    part = replace(whole, task=replace(whole.task, height=21, width=22))
    (found,) = refine(engine, [part], Ste(3))
    with torch.inference_mode():
        made = engine.backbone.upscale(found.lr[None].float() / 255)[0, :, :21, :22]
    error = (made.clamp(0, 1).mul(255).round() - part.target.float()).square().double().mean()
    assert found.error == pytest.approx(float(error), rel=1e-6)


# --- the choice among what was found ----------------------------------------------------------------------------------


@pytest.fixture
def found(tiny: Tiny, draw: Draw) -> PictureSearch:
    """A search whose start has an error of 10; ten bits cost as much as an error of 0.7."""
    grid, start = Grid(8, 8, 8), torch.zeros(3, 2, 2)
    subject = subject_of(draw(8, 8, 3), tiny.engine(), grid)
    return PictureSearch(subject, start, start, Price(grid, per_bit=0.1, error=10.0, samples=100))


def test_the_cheapest_is_kept_of_what_has_a_smaller_error_than_the_start(found: PictureSearch) -> None:
    for level, (error, bits) in enumerate([(9.0, 100.0), (9.5, 10.0), (10.0, 0.0), (10.5, 0.0)], start=1):
        found.judge(torch.full((3, 2, 2), level / 255), error, bits)
    best = found.best(start_bits=100.0)
    assert (best.error, best.error_before, int(best.lr.max())) == (9.5, 10.0, 2)
    dearer = replace(found, _candidates=found._candidates[:1])
    assert dearer.best(start_bits=20.0).error == 10.0  # fewer bits than the only one with a smaller error


def test_the_champion_is_judged_where_it_may_cost_less_than_the_last_iterate(found: PictureSearch) -> None:
    found.judge(torch.zeros(3, 2, 2), 9.0, 0.0)
    assert found.rival() is None
    found.champion = torch.ones(3, 2, 2)
    for cost, expected in ((8.9, found.champion), (9.0, None)):
        found.champion_cost = cost
        assert found.rival() is expected


def test_the_champion_is_the_cheapest_lr_that_was_judged(found: PictureSearch) -> None:
    descent = _Descent(found, found.start, Ste(4))
    lrs = [torch.full((3, 2, 2), level / 255) for level in range(3)]
    for descent.judged, error in zip(lrs, (9.0, 7.0, 8.0), strict=True):
        descent.note(error, 0.0)
    descent.propose()
    assert (found.champion is lrs[1], found.champion_cost, found.passes) == (True, 7.0, 2 + 2 * 3)


# --- straight-through search ------------------------------------------------------------------------------------------


def test_steps_fade_along_a_cosine() -> None:
    shares = [fade(step, Ste(8, last_share=0.2)) for step in (0, 2, 4, 8)]
    assert shares == pytest.approx([1.0, 0.6 + 0.4 * 0.5**0.5, 0.6, 0.2])


def test_rounding_does_not_stop_the_search(tiny: Tiny, draw: Draw) -> None:
    """Half a grid step is wider than all Adam steps but the sum of many; gradients must pass the rounding."""
    engine = tiny.engine()
    subject = subject_of(draw(40, 40, 3), engine, Grid(32, 32, 32))
    (found,) = refine(engine, [subject], Ste(12))
    assert found.error < 0.97 * found.error_before


def test_the_search_ends_when_it_no_longer_pays(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    subject = subject_of(draw(24, 24, 3), engine)
    (patient,) = refine(engine, [subject], Ste(20, patience=3, tolerance=-1.0))
    (hasty,) = refine(engine, [subject], Ste(20, patience=3, tolerance=100.0))
    assert patient.passes >= 2 * 20
    assert 2 * 16 <= hasty.passes < 2 * 16 + 6  # the first three quarters always run


@pytest.mark.parametrize("gain", [1.0, 5.0, 30.0])
def test_steps_fit_how_steeply_the_network_answers(gain: float) -> None:
    """The best LR is less than a level away. Where that makes a large error, steps of many levels would pass it by."""
    search, random = Ste(8, likeness_db=0.0), torch.Generator().manual_seed(0)
    start = 0.3 + 0.4 * torch.rand(3, 12, 12, generator=random)
    aim = start + 0.7 / 255 * torch.randn(start.shape, generator=random)
    state = begin_ste(start, torch.full((3, 1, 1), 1e-3), start, search)  # a grid so fine that rounding does not matter
    distances = []
    for step in range(search.steps):
        residual = gain * (state.rounded - aim)
        loss = residual.square().sum((-3, -2, -1), keepdim=True)
        distances.append(float(loss) ** 0.5 / gain)
        answer = Answer(loss / start.numel() * 255**2, loss, loss / 2, loss, 2 * gain * residual)
        state = ste_step(state, answer, search, fade(step, search))
    assert float((state.rounded - aim).norm()) < 0.2 * distances[0]
    assert max(distances) < 1.3 * distances[0]


def test_luma_weighs_less_where_the_error_hardly_falls() -> None:
    """Else colour would pay for what luma gains, and little gain would be left."""
    search, start = Ste(8), torch.full((3, 4, 4), 0.5)
    for share, weight in ((0.0, 0.0), (0.08, 0.25), (0.16, 1.0), (0.5, 1.0)):
        state = begin_ste(start, torch.ones(3, 1, 1), start, search)
        weights = []
        for error in (100.0, 100.0, 100 * (1 - share), 100.0):
            value = torch.full((1, 1, 1), error)
            state = ste_step(state, Answer(value, value, value / 2, value, torch.ones_like(start)), search, 1.0)
            weights.append(float(state.luma))
        assert weights[:2] == [1.0, 1.0] and weights[2:] == pytest.approx([weight] * 2, abs=1e-5)


def test_steps_do_not_change_their_size_because_luma_is_weighed_anew() -> None:
    """Where all error is along luma, its weight is one factor on every loss, and tells nothing about a step."""
    start = torch.full((3, 12, 12), 0.5)
    slope = torch.randn(start.shape, generator=torch.Generator().manual_seed(0)) / 100
    sizes = []
    for luma in (1.0, 0.0):
        search = Ste(8, likeness_db=0.0, luma=luma)
        state = begin_ste(start, torch.full((3, 1, 1), 1e-3), start, search)
        for step, square in enumerate((1.0, 0.97, 0.95, 0.94, 0.92, 0.91, 0.85, 0.7)):
            factor = (1 + state.luma) / (1 + state.luma / 2)
            value = torch.full((1, 1, 1), square)
            answer = Answer(100 * value, value, value, factor * value, factor * slope)
            state = ste_step(state, answer, search, fade(step, search))
            sizes.append(float(state.size))
    assert sizes[:8] == pytest.approx(sizes[8:], rel=0.1)  # the mean slope remembers both weights


def test_a_trained_network_that_was_not_made_for_it_gains_more_than_by_the_papers_search() -> None:
    engine = Engine(small_sr(), torch.device("cpu"), torch.float32, 1 << 20)
    pixels = read_picture((Path(__file__).parents[1] / "data/photos/chelsea.png").read_bytes()).pixels
    subject = subject_of(pixels[60:156, 100:196], engine)
    errors = [refine(engine, [subject], search_of(effort))[0].error for effort in range(10)]
    assert errors == sorted(errors, reverse=True)
    (paper,) = refine(engine, [subject], Paper())
    gains = [10 * np.log10(errors[0] / error) for error in (errors[5], errors[9], paper.error)]
    assert gains[0] > 0.95 * gains[2] > 0.4 and gains[1] > gains[0]


def test_the_likeness_keeps_the_lr_a_picture(draw: Draw) -> None:
    engine = float32_engine("bicubic", 4)
    subject = subject_of(draw(40, 40, 3), engine)
    plain = plain_lr(engine, subject)

    def distance(likeness_db: float) -> float:
        (found,) = refine(engine, [subject], Ste(30, likeness_db=likeness_db))
        return float((found.lr / 255 - plain).square().mean())

    assert distance(50.0) < distance(40.0) < distance(0.0)


def test_a_backbone_that_is_farther_away_sets_the_limit_itself(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    subject = subject_of(draw(40, 40, 3), engine)
    free, held = (refine(engine, [subject], Ste(30, likeness_db=db))[0].error for db in (0.0, 200.0))
    assert held < refine(engine, [subject], Ste(0))[0].error
    assert held >= free * 0.9


# --- the paper's search -----------------------------------------------------------------------------------------------


def test_the_papers_perturbation_stays_in_its_ball(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    subject = subject_of(draw(40, 40, 3), engine)
    start = levels_of(plain_lr(engine, subject), FINE).float()
    rounding = 0.5 / 255 * start.numel() ** 0.5

    def farthest(epsilon: float) -> float:
        searches = [Paper(hr_steps=0, epsilon=epsilon, seed=seed) for seed in range(4)]
        return max(float((refine(engine, [subject], each)[0].lr - start).norm()) / 255 for each in searches)

    assert 0 < farthest(0.15) <= 0.15 + rounding < farthest(0.3) <= 0.3 + rounding < farthest(0.9)


def test_the_papers_perturbation_leaves_a_picture() -> None:
    black = torch.zeros(3, 4, 4)
    ball = _Ball(black, Paper(), torch.Generator().manual_seed(0))
    ball.descend(torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(1)))
    assert float(ball.moved().min()) == 0 < float(ball.moved().max())


def test_the_papers_random_start_has_a_seed(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    subject = subject_of(draw(40, 40, 3), engine)
    first, again, other = (refine(engine, [subject], Paper(2, 4, seed=seed))[0] for seed in (1, 1, 2))
    assert first.error < first.error_before
    assert torch.equal(first.lr, again.lr)
    assert not torch.equal(first.lr, other.lr)


# --- passes -----------------------------------------------------------------------------------------------------------


class Counting(Crn):
    """Counts its own forward and backward passes."""

    def __init__(self, scale: int) -> None:
        super().__init__(scale, width=8, encoder_depth=1, decoder_depth=1)
        self.passes = 0
        torch.nn.init.normal_(self.decoder.tail.weight, std=0.1, generator=torch.Generator().manual_seed(0))

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        return self._counted(super().downscale(hr))

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        return self._counted(super().upscale(lr, details))

    def _counted(self, made: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        if made.requires_grad:
            made.register_hook(self._count_backward)
        return made

    def _count_backward(self, _: torch.Tensor) -> None:
        self.passes += 1


@pytest.mark.parametrize(
    ("search", "in_the_search"),
    [
        (Ste(0), 0),
        (Ste(1), 2),
        (Ste(7, tolerance=-1.0), 14),
        (Ste(20, patience=2, tolerance=100.0), 32),
        (Paper(hr_steps=0, lr_steps=4), 8),
        (Paper(hr_steps=3, lr_steps=4), 21),
        (Paper(), 15 * 4 + 1 + 15 * 2),
    ],
)
def test_passes_are_what_the_network_really_ran(draw: Draw, search: Search, in_the_search: int) -> None:
    network = Counting(4).eval().requires_grad_(requires_grad=False)
    engine = Engine(network, torch.device("cpu"), torch.float32, 1 << 20)
    (found,) = refine(engine, [subject_of(draw(24, 32, 3), engine)], search)
    assert found.passes == network.passes
    # Before and after the search: one downscaling, and one to three acceptance checks.
    assert in_the_search + 2 <= found.passes <= in_the_search + 4


# --- batches ----------------------------------------------------------------------------------------------------------


def decibels(found: Refined) -> float:
    return 10 * float(np.log10(255**2 / found.error))


@pytest.mark.parametrize("search", SEARCHES)
def test_a_batch_gives_what_single_pictures_give(tiny: Tiny, draw: Draw, search: Search) -> None:
    engine = tiny.engine()
    shapes = [(24, 32, 3), (32, 24, 0), (24, 32, 3), (24, 32, 0), (48, 40, 3)]
    subjects = [subject_of(draw(*shape, seed=seed), engine) for seed, shape in enumerate(shapes)]
    together = refine(engine, subjects, search)
    alone = [refine(engine, [subject], search)[0] for subject in subjects]
    for one, two in zip(together, alone, strict=True):
        assert one.passes == two.passes
        assert decibels(one) == pytest.approx(decibels(two), abs=0.01)
        assert one.error_before == pytest.approx(two.error_before, rel=1e-3)


def test_each_picture_of_a_batch_stops_alone(tiny: Tiny) -> None:
    engine = tiny.engine()
    flat = np.full((24, 32, 3), 99, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (64, 72, 3), np.uint8)
    subjects = [subject_of(pixels, engine) for pixels in (flat, noise)]
    search = Ste(40, patience=8, tolerance=1e-5)
    together = refine(engine, subjects, search)
    assert together[0].passes != together[1].passes
    assert [found.passes for found in together] == [refine(engine, [each], search)[0].passes for each in subjects]


@pytest.mark.parametrize("batch_px", [1, 5000])
def test_the_size_of_batches_changes_nothing_but_memory(tiny: Tiny, draw: Draw, batch_px: int) -> None:
    subjects = [subject_of(draw(40, 56, 3, seed=seed), tiny.engine(), tile=4) for seed in range(2)]
    large = refine(tiny.engine(), subjects, Ste(4))
    small = refine(tiny.engine(batch_px=batch_px), subjects, Ste(4))
    for one, two in zip(large, small, strict=True):
        assert decibels(one) == pytest.approx(decibels(two), abs=0.01)


def test_the_search_sees_tiles_as_one_picture(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    found = [refine(engine, [subject_of(draw(60, 72, 3), engine, tile=tile)], Ste(5))[0] for tile in (0, 4)]
    # The blocks whose mean colour counts begin at the corners of tiles.
    assert decibels(found[0]) == pytest.approx(decibels(found[1]), abs=0.03)
    assert found[0].passes == found[1].passes
    assert found[0].error < found[0].error_before


def test_networks_that_share_a_name_do_not_share_results(install_tiny: Callable[..., Tiny], draw: Draw) -> None:
    first, second = (install_tiny(f"tiny{seed}", seed=seed).engine() for seed in (1, 2))
    pixels = draw(24, 24, 3)
    lrs = [refine(engine, [subject_of(pixels, engine)], Ste(2))[0].lr for engine in (first, second)]
    assert not torch.equal(*lrs)
