"""Training: what it draws, what it minimises, that it learns, that it goes on after it was cut."""

import copy
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import Draw, Run, Tiny
from PIL import Image

from hcdcodec.cli.train import _verdict
from hcdcodec.codec.search import straight_through
from hcdcodec.codec.search.bit_cost import Price, estimate_bits
from hcdcodec.codec.search.options import Ste
from hcdcodec.codec.search.picture_search import PictureSearch
from hcdcodec.codec.search.straight_through import search_ste
from hcdcodec.codec.search.subject import Subject, quantise
from hcdcodec.engine.devices import Precision
from hcdcodec.engine.engine import Engine, engine_for
from hcdcodec.engine.gradient import loss_gradient
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.errors import ModelError, OutputError, UsageError
from hcdcodec.format.grid import Grid
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.irn import Irn
from hcdcodec.networks.manifest import find, read_manifest
from hcdcodec.networks.registry import build, fill, load_backbone
from hcdcodec.pictures.picture import Picture
from hcdcodec.tiles import plan
from hcdcodec.training import run
from hcdcodec.training.gallery import Gallery, drawn_ahead, read_gallery
from hcdcodec.training.log import Clock
from hcdcodec.training.loss import Batch, Losses, Objective, Searched, rounded
from hcdcodec.training.recipe import Recipe
from hcdcodec.training.rotation import Rotation
from hcdcodec.training.run import Trained, read_start, state_path, train
from hcdcodec.training.state import _fits
from hcdcodec.training.trainer import Machine, Start, Trainer
from hcdcodec.training.validate import score

SMALL = ("patch=32", "batch=4", "learning_rate=0.003", "warm_iterations=5", "average=0.9")
FLOAT32 = Machine("cpu", precision=Precision.FLOAT32)


@pytest.fixture
def photos(tmp_path: Path, draw: Draw) -> Path:
    """A directory with two colour pictures, a grey one, one that is too small, a damaged one, and a text."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for seed, (height, width, channels) in enumerate(((48, 64, 3), (40, 40, 3), (64, 33, 0), (31, 80, 3))):
        Image.fromarray(draw(height, width, channels, seed=seed)).save(folder / "deep" / f"{seed}.png")
    (folder / "damaged.png").write_bytes((folder / "deep" / "0.png").read_bytes()[:-30])
    (folder / "words.txt").write_text("no picture")
    return folder


@pytest.fixture
def gallery(photos: Path) -> Gallery:
    return read_gallery([str(photos)], 32)


def recipe(tiny: Tiny, seconds: float, *settings: str) -> Recipe:
    return Recipe(tiny.name, tiny.scale, seconds / 60).with_settings((*SMALL, *settings))


def options(seconds: float) -> list[str]:
    return ["--minutes", str(seconds / 60), *(word for setting in SMALL for word in ("--set", setting))]


def begun(tiny: Tiny, gallery: Gallery, out: Path, *, lines: int, seconds: float = 60) -> list[str]:
    """Train until `lines` lines were said, then interrupt as Ctrl-C does; return them."""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == lines:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "_REPORT_S", 0.1)
        train(recipe(tiny, seconds), gallery, out, say, start=Start({}))
    return said


def test_gallery_keeps_what_can_be_cropped(gallery: Gallery) -> None:
    assert [picture.shape for picture in gallery.pictures] == [(48, 64, 3), (40, 40, 3), (64, 33, 3)]
    assert (gallery.small, gallery.unreadable) == (1, 1)
    grey = gallery.pictures[2]
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()


def test_gallery_counts_what_only_has_the_name_of_a_picture(photos: Path) -> None:
    for name in ("empty.jpg", "layers.psd", "raw.nef", "words.md"):
        (photos / name).write_text("no picture" * (name != "empty.jpg"))
    (photos / "dead.png").symlink_to("nowhere")
    gallery = read_gallery([str(photos)], 32)
    assert (gallery.small, gallery.unreadable) == (1, 5)


def test_gallery_without_pictures_is_a_usage_error(photos: Path) -> None:
    with pytest.raises(UsageError, match=f"no pictures of 500x500 pixels or more in {photos}; "):
        read_gallery([str(photos)], 500)
    with pytest.raises(UsageError, match="missing"):
        read_gallery([str(photos), str(photos / "missing")], 32)


def test_crops_are_turned_and_mirrored_parts() -> None:
    picture = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    gallery = Gallery((picture,), 0, 0)
    crops = gallery.draw(np.random.default_rng(0), gallery.chances(0.5), 100, 4)
    turned = [np.rot90(picture, k) for k in range(4)]
    allowed = {view.tobytes() for part in turned for view in (part, part[::-1])}
    assert {crop.tobytes() for crop in crops} == allowed


def test_sharp_pictures_are_drawn_more_often() -> None:
    flat, sharp = np.zeros((8, 8, 3), np.uint8), np.tile(np.array([0, 255], np.uint8), (8, 4))[..., None].repeat(3, 2)
    half, by_pixels = Gallery((flat, sharp), 0, 0).chances(0.5), Gallery((flat, sharp), 0, 0).chances(1)
    np.testing.assert_allclose(half, [0.25, 0.75], atol=1e-6)
    np.testing.assert_allclose(by_pixels, [0.5, 0.5])


def test_workers_do_not_change_the_order() -> None:
    for workers in (1, 3):
        numbers = drawn_ahead(lambda number: number, 5, workers)
        assert [next(numbers) for _ in range(10)] == list(range(5, 15))
        numbers.close()


def test_rounding_is_to_the_grid_and_passes_gradients() -> None:
    lr = torch.full((2, 3, 1, 1), 0.502, requires_grad=True)
    levels = rounded(lr, torch.tensor([1.0, 10.0]).view(2, 1, 1, 1))
    levels.sum().backward()
    torch.testing.assert_close(levels.detach()[:, 0, 0, 0] * 255, torch.tensor([128.0, 130.0]))
    torch.testing.assert_close(lr.grad, torch.ones_like(lr), rtol=0, atol=0)


@pytest.mark.parametrize("step", [1, 7, 24])
def test_training_rounds_as_the_codec_does(step: int) -> None:
    levels = torch.arange(256.0).view(1, 1, 16, 16).expand(1, 3, -1, -1) / 255
    ours = rounded(levels, torch.full((1, 1, 1, 1), float(step)))
    assert torch.equal((255 * ours).round(), (255 * quantise(levels[0], Grid(step, step, step))[None]).round())


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("grid", [1, 4, 24])
def test_training_searches_as_the_codec_does(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, steps: int, grid: int
) -> None:
    monkeypatch.setattr(straight_through, "SCALE_MOST", 0)  # training leaves tints alone
    network = load_backbone("crn", 2)
    engine = Engine(network, torch.device("cpu"), torch.float32, 1 << 20)
    planes = torch.from_numpy(draw(48, 64, 3)).permute(2, 0, 1)
    hr = planes[None].float() / 255
    start = network.downscale(hr).clamp(0, 1)

    subject = Subject(planes, TileTask(48, 64, plan(24, 32, 0, 0)), Grid(grid, grid, grid))
    on_grid = quantise(start[0], subject.grid)
    error = float(loss_gradient(engine, [on_grid], [subject.task], [planes]).errors)
    # Bits are free: the codec counts them by a code that is fitted to each picture, and training does not.
    picture = PictureSearch(subject, start[0], on_grid, Price(subject.grid, 0.0, error, planes.numel()))
    search_ste(engine, [picture], Ste(steps, 5.0))
    assert picture.last is not None and (picture.last != on_grid).float().mean() > 0.01

    recipe = Recipe("crn", 2, 1, search_steps=steps, search_pace=5.0, bit_weight=0.0)
    objective = Objective(network, recipe, torch.float32, network.downscale, network.upscale)
    batch = Batch(hr, torch.full((1, 1, 1, 1), float(grid)))
    begun = objective.begin_search(batch)
    torch.testing.assert_close(begun.state.lr, start)
    searched = quantise(objective.search(begun, steps).state.lr[0], subject.grid)
    # Sums in another order, and float32 of sizes: some samples lie on the edge between two levels.
    assert (searched == picture.last).float().mean() > 0.995


def test_bits_count_in_training(draw: Draw) -> None:
    """On a coarse grid the encoder learns to write what takes fewer bits; with all levels, bits are free."""
    hr = torch.from_numpy(draw(48, 64, 3)).permute(2, 0, 1)[None].float() / 255
    network = Crn(2, 8, 1, 1)
    for step, matters in ((1.0, False), (16.0, True)):
        batch, totals = Batch(hr, torch.full((1, 1, 1, 1), step)), []
        for weight in (0.0, 0.4):
            objective = Objective(
                network, Recipe("crn", 2, 1, bit_weight=weight), torch.float32, network.downscale, network.upscale
            )
            totals.append(objective.losses(batch, None, 31.0).total)
        slopes = [torch.autograd.grad(total, network.encoder.head.weight)[0] for total in totals]
        assert torch.equal(*totals) is not matters and torch.equal(*slopes) is not matters
        if matters:
            lr = quantise(network.downscale(hr)[0].detach(), Grid(16, 16, 16))
            bits = float(estimate_bits(lr, torch.tensor(16.0)))
            expected = 0.01 * 0.4 * 15 * bits / hr.numel()
            assert float((totals[1] - totals[0]).detach()) == pytest.approx(expected, rel=1e-3)


def test_searches_go_on_from_update_to_update(draw: Draw) -> None:
    """Each slot's search is the whole one, in turns; a round has all ages once the slots are full."""
    network = load_backbone("crn", 2)
    recipe = Recipe("crn", 2, 1, search_steps=6, search_stride=2)
    objective = Objective(network, recipe, torch.float32, network.downscale, network.upscale)
    rotation, ages, grid = Rotation(objective), [], torch.full((1, 1, 1, 1), 4.0)
    crops = [torch.from_numpy(draw(32, 48, 3)).permute(2, 0, 1)[None].float() / 255 for _ in range(9)]
    for number, hr in enumerate(crops):
        ages.append((searched := rotation.turn(number, Batch(hr, grid))).state.count)
    assert ages == [2, 2, 2, 4, 2, 4, 6, 4, 2]
    # The first slot has been served by updates 0, 3 and 6.
    whole = objective.search(objective.begin_search(Batch(crops[0], grid)), 6)
    fresh, turns = Rotation(objective), []
    for number in (0, 3, 6):
        turns.append(searched := fresh.turn(number, Batch(crops[number], grid)))
    assert torch.equal(searched.batch.hr, crops[0])
    torch.testing.assert_close(searched.state.lr, whole.state.lr)


def test_searched_crops_train_the_decoder_alone(draw: Draw) -> None:
    """The encoder learns nothing from an LR that is not its own, not even what its bits cost."""
    network = load_backbone("crn", 2).requires_grad_(True)
    objective = Objective(network, Recipe("crn", 2, 1), torch.float32, network.downscale, network.upscale)
    hr, other = (torch.from_numpy(draw(32, 48, 3)).permute(2, 0, 1)[None].float() / 255 for _ in range(2))
    batch = Batch(hr, torch.full((1, 1, 1, 1), 8.0))
    searched = objective.search(objective.begin_search(Batch(other, batch.grid)), 2)
    slopes = []
    for crops in (None, searched):
        total = objective.losses(batch, crops, 31.0).total
        slopes.append(
            torch.autograd.grad(
                total, [network.get_parameter(f"{half}.tail.weight") for half in ("encoder", "decoder")]
            )
        )
    torch.testing.assert_close(2 * slopes[1][0], slopes[0][0])
    assert not torch.allclose(2 * slopes[1][1], slopes[0][1], rtol=0.01)


def test_a_search_lets_go_of_no_weights_that_hold_still(draw: Draw) -> None:
    network = load_backbone("crn", 2).requires_grad_(True)
    decoder = list(network.decoding())
    for values in decoder:
        values.requires_grad_(False)
    objective = Objective(network, Recipe("crn", 2, 1), torch.float32, network.downscale, network.upscale)
    hr = torch.from_numpy(draw(16, 16, 3)).permute(2, 0, 1)[None].float() / 255
    objective.search(objective.begin_search(Batch(hr, torch.ones(1, 1, 1, 1))), 1)
    assert not any(values.requires_grad for values in decoder)
    assert all(values.requires_grad for values in network.get_submodule("encoder").parameters())


@pytest.mark.parametrize(("name", "scale"), [("crn", 2), ("irn", 2), ("irn", 4), ("hcflow", 4)])
def test_every_family_takes_a_searched_step(name: str, scale: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    settings = ("patch=16", "batch=2", "search_from=0", "search_share=0.5", "search_steps=2")
    trainer = Trainer(Recipe(name, scale, 1).with_settings(settings), Gallery((picture,), 0, 0), FLOAT32)
    trainer.begin(Start({}))
    before = {key: values.clone() for key, values in trainer.network.state_dict().items()}
    trainer.update(trainer.draw(0))
    after = trainer.network.state_dict()
    assert all(bool(torch.isfinite(values).all()) for values in after.values())
    halves = {"crn": ("encoder", "decoder"), "irn": ("levels.0",), "hcflow": ("fine", "coarse")}[name]
    for half in halves:
        assert any(not torch.equal(after[key], before[key]) for key in after if key.startswith(half))
    assert all(values.requires_grad for values in trainer.network.parameters())
    cells = trainer.meter.line().split()
    assert len(cells) == len(re.split("  +", trainer.meter.HEADS.strip())) == len([*map(float, cells)])
    assert len(trainer.meter.line()) == len(trainer.meter.HEADS)


def trainer_of(name: str, *settings: str, scale: int = 4) -> Trainer:
    picture = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    given = Recipe(name, scale, 1).with_settings(("patch=32", "batch=4", "learning_rate=0.003", *settings))
    trainer = Trainer(given, Gallery((picture,), 0, 0), FLOAT32)
    trainer.begin(Start({}))
    return trainer


def test_the_encoder_is_trained_alone_in_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trainer = trainer_of("crn", "encoder_from=0.5", "search_from=0")
    moments = iter((0.0, 0.3, 0.6, 0.9))
    states, searched = [], []
    losses = Objective.losses

    def watched(self: Objective, batch: Batch, crops: Searched | None, likeness_db: float) -> Losses:
        searched.append(len(crops.batch.hr) if crops else 0)
        return losses(self, batch, crops, likeness_db)

    monkeypatch.setattr(Objective, "losses", watched)
    for number, progress in enumerate(moments):
        monkeypatch.setattr(Trainer, "progress", progress)
        trainer.update(trainer.draw(number))
        states.append({key: values.clone() for key, values in trainer.network.state_dict().items()})
    assert searched == [2, 2, 0, 0]
    moved = [{key for key in new if not torch.equal(new[key], old[key])} for old, new in pairwise(states)]
    assert all(any(key.startswith("encoder") for key in keys) for keys in moved)
    assert any(key.startswith("decoder") for key in moved[0])
    assert not any(key.startswith("decoder") for key in moved[2])
    average = trainer.average.state_dict()
    for key in (key for key in average if key.startswith("decoder")):
        torch.testing.assert_close(average[key], states[-1][key])
    trainer.save(tmp_path / "state.pt")
    other = trainer_of("crn", "encoder_from=0.5", "search_from=0")
    other.restore(tmp_path / "state.pt")
    assert other.is_decoder_held and not next(other.network.decoding()).requires_grad


def test_time_that_runs_out_during_an_update_holds_nothing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of("irn")
    monkeypatch.setattr(Trainer, "progress", 1.0)
    trainer.update(trainer.draw(0))
    assert trainer.iteration == 1 and not trainer.is_decoder_held


def test_a_network_that_computes_nothing_twice_refuses_to_save_memory_so(tiny: Tiny, gallery: Gallery) -> None:
    with pytest.raises(UsageError, match="tiny computes no value twice; leave out --recompute-from"):
        Trainer(recipe(tiny, 1), gallery, Machine("cpu", recompute_from_px=1))


@pytest.mark.parametrize("name", ["irn", "hcflow"])
def test_networks_of_one_piece_have_no_encoder_to_train_alone(name: str) -> None:
    with pytest.raises(UsageError, match="encoder_from"):
        trainer_of(name, "encoder_from=0.9")


def test_command_trains_measures_and_installs(tiny: Tiny, photos: Path, tmp_path: Path, hcdcodec: Run) -> None:
    out = tmp_path / "out"
    names = ("--backbone", tiny.name, "--scale", tiny.scale, "--val", photos, "--out", out, "--licence", "CC0-1.0")
    ran = hcdcodec("train", photos, *map(str, names), *options(2))
    assert ran.status == 0, ran.err
    assert "left out: 1 too small, 1 not readable\nleft out of --val: 1 too small, 1 not readable\n" in ran.err
    assert "in --val and trained on: 3 pictures, which say nothing about new ones; name others\n" in ran.err
    (entry,) = read_manifest(out)
    middles = read_gallery([str(photos)], 32).centres(256, tiny.scale)
    untrained = score(engine_for(build(tiny.name, tiny.scale).eval().requires_grad_(False)), middles, 0)
    assert entry.measured["val256/psnr/effort 0"] > untrained.psnr + 0.5
    assert entry.measured["val256/psnr/effort 5"] >= entry.measured["val256/psnr/effort 0"]
    assert (
        entry.licence == "CC0-1.0" and entry.origin["start"] == "none" and "--set patch=32" in entry.origin["command"]
    )
    assert load_backbone(tiny.name, tiny.scale, weights_dir=out).model_hash == entry.hash
    start, end = (
        re.search(rf"^{when}, default search: PSNR (.+?) dB", ran.err, re.MULTILINE) for when in ("start", "end")
    )
    assert start and end and ran.err.index(start[0]) < ran.err.index(f"\n{run._HEADS}\n") < ran.err.index(end[0])
    gained, usage = f"val {start[1]} -> {end[1]} dB", f"--weights-dir {out} --backbone {tiny.name}"
    assert ran.err.splitlines()[-1] == f"{gained}; use it with {usage}"
    again = hcdcodec("train", photos, *map(str, names), *options(2), "--licence", "none")
    assert again.status == 0
    assert again.err.splitlines()[-1] == "this training is complete; --no-resume starts a new one"
    assert read_manifest(out) == (entry,)
    other = hcdcodec("train", photos, *map(str, names), *options(3))
    assert other.status == 2 and "holds a training with minutes" in other.err


def test_measuring_changes_nothing_of_the_network(tiny: Tiny, draw: Draw) -> None:
    engine = engine_for(build(tiny.name, tiny.scale).eval().requires_grad_(False))
    found = score(engine, [Picture(draw(24, 24, 3))], 0)
    assert 0 < found.psnr < 100 and found.likeness == found.likeness_worst
    assert engine.backbone.model_hash == ""


def test_interrupted_training_goes_on(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    begun(tiny, gallery, tmp_path, lines=4, seconds=2)
    state = torch.load(state_path(recipe(tiny, 2), tmp_path), weights_only=True)
    assert state["iteration"] > 0 and 0 < state["minutes"] < 2 / 60
    said: list[str] = []
    trained = train(recipe(tiny, 2), gallery, tmp_path, said.append, start=Start({}))
    assert said[0].startswith(f"go on after update {state['iteration']} and ")
    assert trained and trained.iterations > state["iteration"] and trained.entry.measured == {}
    assert (trained.start_db, trained.end_db) == (None, None)


def test_a_training_goes_on_with_its_own_pictures_and_start_only(
    tiny: Tiny, gallery: Gallery, photos: Path, tmp_path: Path
) -> None:
    begun(tiny, gallery, tmp_path, lines=4, seconds=2)
    path = state_path(recipe(tiny, 2), tmp_path)
    state = path.read_bytes()
    start = read_start("installed", recipe(tiny, 2), tiny.weights_dir)
    with pytest.raises(UsageError, match=rf"with start none, not {start.hash[:12]}; .*--no-resume"):
        train(recipe(tiny, 2), gallery, tmp_path, lambda line: None, start=start)
    (photos / "deep" / "0.png").rename(photos / "other.png")
    others = read_gallery([str(photos)], 32)
    with pytest.raises(UsageError, match=r"holds a training with other pictures; .*--no-resume"):
        train(recipe(tiny, 2), others, tmp_path, lambda line: None, start=Start({}))
    assert path.read_bytes() == state


def test_a_gain_is_told_for_the_same_validation_pictures_only(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    said, one = list[str](), replace(gallery, pictures=gallery.pictures[1:2])
    for validation, line in (one, 0), (replace(one, digest="cd" * 32), 1):
        trained = train(recipe(tiny, 0.01), gallery, tmp_path, said.append, start=Start({}), validation=validation)
        assert trained and trained.end_db and (trained.start_db is None) == line
        assert said.count("--val has other pictures than at the start, so no gain can be told") == line
        trained.path.unlink()  # else the training is complete


def test_states_of_earlier_releases_go_on_with_any_pictures_and_start(
    tiny: Tiny, gallery: Gallery, tmp_path: Path
) -> None:
    begun(tiny, gallery, tmp_path, lines=4)
    path, start = state_path(recipe(tiny, 60), tmp_path), Start({}, "ab" * 32)
    state = torch.load(path, weights_only=True)
    del state["pictures"]
    torch.save(state, path)
    others = replace(gallery, pictures=gallery.pictures[:1], digest="cd" * 32)
    for _ in range(2):  # what the first call writes goes on, too
        trainer = Trainer(recipe(tiny, 60), others, Machine("cpu"))
        trainer.restore(path)
        trainer.check_origin(start)
        assert trainer.iteration == state["iteration"]
        trainer.save(path)


def test_a_complete_training_is_installed_if_its_weights_are_missing(
    tiny: Tiny, gallery: Gallery, tmp_path: Path
) -> None:
    short = recipe(tiny, 0.1)

    def call() -> Trained | None:
        return train(short, gallery, tmp_path, lambda line: None, start=Start({}), validation=gallery)

    first = call()
    assert first and not call()
    first.path.unlink()
    again = call()
    assert again and again.path.exists() and again.entry.hash == first.entry.hash
    assert first.start_db and again.start_db == first.start_db  # the state remembers it


def test_galleries_know_their_files_wherever_they_lie(photos: Path, gallery: Gallery) -> None:
    moved = photos.with_name("moved")
    photos.rename(moved)
    assert read_gallery([str(moved / "deep"), str(moved)], 32).digest != gallery.digest  # each file twice
    assert read_gallery([str(moved / "deep")], 32).digest == gallery.digest
    Image.new("RGB", (64, 48)).save(moved / "deep" / "0.png")
    assert read_gallery([str(moved)], 32).digest != gallery.digest


def test_restored_state_continues_exactly(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    # Within 1 update in 10**9 minutes the schedule does not move: only the state decides.
    slow = Recipe(tiny.name, tiny.scale, 1e9).with_settings(SMALL)
    whole, first, second = (Trainer(slow, gallery, FLOAT32) for _ in range(3))
    whole.begin(Start({}))
    first.begin(Start({}))
    for number in range(6):
        whole.update(whole.draw(number))
        if number < 3:
            first.update(first.draw(number))
    first.save(tmp_path / "state")
    second.restore(tmp_path / "state")
    assert second.iteration == 3
    for number in range(3, 6):
        second.update(second.draw(number))
    for kept in ("network", "average"):
        ours, theirs = (getattr(trainer, kept).state_dict() for trainer in (second, whole))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_damaged_state_is_refused(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    begun(tiny, gallery, tmp_path, lines=2)
    path = state_path(recipe(tiny, 60), tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="--no-resume"):
        train(recipe(tiny, 60), gallery, tmp_path, lambda line: None, start=Start({}))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda state: state.pop("optimiser"), "no optimiser"),
        (lambda state: state.pop("minutes"), "no minutes"),
        (lambda state: state.update(start_db=float("nan")), "no number"),
        (lambda state: state.update(start_db="high"), "no number"),
        (lambda state: state.update(pictures=3), "no text"),
        (lambda state: state.update(validation=3), "no text"),
        (lambda state: state.update(minutes=-1e9), "in -1e\\+09 minutes"),
        (lambda state: state.update(minutes=float("nan")), "in nan minutes"),
        (lambda state: state.update(iteration=-1), "-1 iterations"),
        (lambda state: state.update(iteration="3"), "no iteration"),
        (lambda state: state["network"].update(more=1), "more than tensors"),
        (lambda state: state["network"].update({0: torch.zeros(1)}), "more than tensors"),
        (
            lambda state: state["average"].update({"encoder.head.bias": torch.zeros(8, device="meta")}),
            "more than tensors",
        ),
        (lambda state: state["recipe"].update(batch=torch.zeros(2)), "more than numbers"),
        (lambda state: state["network"].popitem(), "missing"),
        (lambda state: state["average"].update({"encoder.head.bias": torch.zeros(3)}), "other shape"),
        (lambda state: state["optimiser"]["state"][0].update(exp_avg=torch.zeros(1)), "moments"),
        (lambda state: state["optimiser"]["state"][0].update(exp_avg_sq=torch.zeros(1 << 20)), "moments"),
        (lambda state: state["optimiser"]["state"][0].pop("step"), "moments"),
        (lambda state: state["optimiser"]["state"].update({99: {}}), "moments"),
        (lambda state: state["optimiser"].pop("state"), "moments"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(
    tiny: Tiny, gallery: Gallery, tmp_path: Path, change: Callable[[dict[str, Any]], object], fault: str
) -> None:
    trainer = Trainer(recipe(tiny, 60), gallery, Machine("cpu"))
    trainer.begin(Start({}))
    trainer.update(trainer.draw(0))
    trainer.save(tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    change(state)
    torch.save(state, tmp_path / "state")
    with pytest.raises(ModelError, match=fault):
        trainer.restore(tmp_path / "state")


def test_moments_of_a_state_are_copied(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    """Where a file's moments share one number, native code wrote far behind it."""
    trainer = Trainer(recipe(tiny, 60), gallery, Machine("cpu"))
    trainer.begin(Start({}))
    trainer.update(trainer.draw(0))
    trainer.save(tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    moments = state["optimiser"]["state"][0]
    moments["exp_avg"] = torch.zeros(1).expand(moments["exp_avg"].shape)
    torch.save(state, tmp_path / "state")
    trainer.restore(tmp_path / "state")
    (restored, *_) = trainer.optimiser.state_dict()["state"].values()
    assert restored["exp_avg"].untyped_storage().nbytes() == 4 * restored["exp_avg"].numel()
    trainer.update(trainer.draw(1))


@pytest.mark.parametrize("moment", [torch.zeros(3, device="meta"), torch.zeros(3).to_sparse()])
def test_moments_without_memory_are_refused(moment: torch.Tensor) -> None:
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": moment, "exp_avg_sq": torch.zeros(3)}}
    assert not _fits(moments, [torch.zeros(3)])


def test_a_state_waits_for_no_pipe(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state")
    with pytest.raises(ModelError, match="--no-resume"):
        Trainer(recipe(tiny, 60), gallery, Machine("cpu")).restore(tmp_path / "state")


def test_a_state_that_explodes_is_refused(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    torch.save({"recipe": torch.zeros(1 << 20)}, tmp_path / "whole")
    with zipfile.ZipFile(tmp_path / "whole") as whole, zipfile.ZipFile(tmp_path / "state", "w", 8) as squeezed:
        for name in whole.namelist():
            squeezed.writestr(name, whole.read(name))
    assert (tmp_path / "state").stat().st_size < 1 << 16
    with pytest.raises(ModelError, match="is damaged"):
        Trainer(recipe(tiny, 60), gallery, Machine("cpu")).restore(tmp_path / "state")


def test_a_state_that_is_something_else_is_refused(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "state")
    with pytest.raises(ModelError, match="is no training"):
        Trainer(recipe(tiny, 60), gallery, Machine("cpu")).restore(tmp_path / "state")


def test_diverged_state_is_not_kept(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    trainer = Trainer(recipe(tiny, 60), gallery, Machine("cpu"))
    trainer.begin(Start({}))
    next(trainer.average.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="diverged"):
        trainer.save(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_networks_compute_with_the_weights_that_an_update_left(gallery: Gallery) -> None:
    """What is made of weights for the kernel must not outlive an update."""
    trainer = Trainer(
        Recipe("crn", 2, 1).with_settings(("patch=32", "batch=1", "warm_iterations=0")), gallery, Machine()
    )
    trainer.begin(Start({}))
    for number in range(2):
        trainer.update(trainer.draw(number))
    lr = torch.rand(1, 3, 16, 16)
    for network in (trainer.network, trainer.average):
        assert torch.equal(network.upscale(lr), copy.deepcopy(network).upscale(lr))


def test_a_shallower_start_grows() -> None:
    torch.manual_seed(0)
    shallow, deep = (Crn(4, 16, depth, 2 * depth).eval() for depth in (2, 5))
    with torch.no_grad():
        for values in shallow.parameters():
            values.copy_(0.1 * torch.randn(values.shape))
    fill(deep, deep.grown(shallow.state_dict()))
    hr = torch.rand(1, 3, 48, 64)
    lr = shallow.downscale(hr)
    assert (deep.downscale(hr) - lr).abs().max() < 1e-5
    assert (deep.upscale(lr) - shallow.upscale(lr)).abs().max() < 1e-5
    assert any(not weight.any() for name, weight in deep.decoder.body.named_parameters() if name.endswith("weight"))
    with pytest.raises(ModelError):
        fill(shallow, shallow.grown(deep.state_dict()))


def filled(network: Crn) -> Crn:
    with torch.no_grad():
        for values in network.parameters():
            values.copy_(0.1 * torch.randn(values.shape))
    return network.eval()


def test_a_narrower_start_grows() -> None:
    torch.manual_seed(0)
    narrow, wide = filled(Crn(4, 8, 2, 3)), Crn(4, 20, 3, 5).eval()
    fill(wide, wide.grown(narrow.state_dict()))
    hr = torch.rand(1, 3, 48, 64)
    lr = narrow.downscale(hr)
    assert (wide.downscale(hr) - lr).abs().max() < 1e-5
    assert (wide.upscale(lr) - narrow.upscale(lr)).abs().max() < 1e-5
    # What is new can learn: it computes something, by weights of which no two are alike.
    new = wide.decoder.head.weight[8:]
    assert new.abs().min() > 0 and new.unique().numel() == new.numel()
    with pytest.raises(ModelError):
        fill(narrow, narrow.grown(wide.state_dict()))


@pytest.mark.parametrize("ratio", [2, 3])
def test_a_start_grows_to_a_larger_scale(ratio: int) -> None:
    torch.manual_seed(0)
    small, large = filled(Crn(4, 8, 2, 3)), Crn(4 * ratio, 12, 3, 3).eval()
    fill(large, large.grown(small.state_dict()))
    hr = torch.rand(1, 3, 24 * ratio, 32 * ratio)
    lr = small.downscale(F.avg_pool2d(hr, ratio))
    assert (large.downscale(hr) - lr).abs().max() < 1e-5

    def correction(network: Crn) -> torch.Tensor:
        smooth = F.interpolate(lr, scale_factor=float(network.scale), mode="bilinear", align_corners=False)
        return network.upscale(lr) - smooth

    expected = F.interpolate(correction(small), scale_factor=float(ratio), mode="nearest")
    assert expected.abs().max() > 0.01
    assert (correction(large) - expected).abs().max() < 1e-5


def test_irn_grows_by_a_level_that_is_the_first_again() -> None:
    torch.manual_seed(0)
    small, large = Irn(2).eval(), Irn(4).eval()
    with torch.no_grad():
        for values in small.parameters():
            values.copy_(0.03 * torch.randn(values.shape))
    fill(large, large.grown(small.state_dict()))
    hr = torch.rand(1, 3, 48, 64)
    lr = small.downscale(small.downscale(hr))
    assert (large.downscale(hr) - lr).abs().max() < 1e-5
    assert (large.upscale(lr) - small.upscale(small.upscale(lr))).abs().max() < 1e-5
    crn = Crn(4, 8, 2, 3).state_dict()
    assert large.grown(crn) is crn


def test_irn_grows_on_a_gpu() -> None:
    """PyTorch writes no values of a CPU to chosen places of a GPU's; a training moves its network there first."""
    small, place = Irn(2).state_dict(), torch.device("meta")  # stands for a GPU
    grown = Irn(4).to(place).grown(small)
    assert {values.device.type for values in grown.values()} == {"cpu"}


def test_time_in_which_a_training_is_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0, 0.0]
    fake = SimpleNamespace(monotonic=lambda: now[0], process_time=lambda: now[1])
    monkeypatch.setattr("hcdcodec.training.log.time", fake)
    clock = Clock(1.0)
    for seconds, work in ((60.0, 90.0), (600.0, 1.0), (5.0, 0.1), (55.0, 20.0)):
        now[0] += seconds
        now[1] += work
        reached = clock.minutes
    assert reached == clock.minutes == pytest.approx(3.0)


@pytest.mark.parametrize("state", [{}, {"encoder.head.weight": torch.zeros(3)}, Irn(2).state_dict()])
def test_what_is_no_pair_does_not_grow(state: dict[str, torch.Tensor]) -> None:
    assert Crn(4, 8, 2, 3).grown(state) is state


def test_start_is_installed_or_a_file(tiny: Tiny, gallery: Gallery) -> None:
    path, entry = find(tiny.name, tiny.scale, first=tiny.weights_dir)
    for which in ("installed", str(path)):
        start = read_start(which, recipe(tiny, 60), tiny.weights_dir)
        assert start.hash == entry.hash
    trainer = Trainer(recipe(tiny, 60), gallery, Machine("cpu"))
    trainer.begin(start)
    assert trainer.start_hash == entry.hash
    assert all(torch.equal(values, start.tensors[key]) for key, values in trainer.average.state_dict().items())


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--backbone", "bicubic"), "bicubic has nothing to train; choose another backbone"),
        (("--backbone", "crm"), "no backbone is called 'crm'; there are crn, irn, hcflow, sr, bicubic"),
        (("--scale", "3"), "crn has no scale 3; it has 2, 4, 8"),
        (("--start", "nothere"), "nothere: no such file; name a .safetensors file, or say --start installed"),
        (("--device", "cuda:99"), "device 'cuda:99' is not there (0 GPUs found); use --device cpu"),
        (("--threads", "99999999999"), "--threads takes 0 to 1024, not 99999999999; see 'hcdcodec train --help'"),
    ],
)
@pytest.mark.parametrize("start", [("--start", "installed"), ()])
def test_wrong_calls_are_refused_before_pictures_are_read(
    words: tuple[str, ...],
    what: str,
    start: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    here: Path,
    hcdcodec: Run,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    ran = hcdcodec("train", "no-folder/", "--minutes", "1", *start, *words)
    assert (ran.status, ran.err) == (2, f"hcdcodec: {what}\n")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--weights-dir", "weights"), "--weights-dir needs --start installed; add that option, or leave out --w"),
        (("--weights-dir", "weights", "--start", "own.safetensors"), "--weights-dir needs --start installed; add"),
        (("--exact", "--precision", "bfloat16"), "--exact and --precision bfloat16 exclude each other; leave out one"),
    ],
)
def test_options_without_effect_are_refused(words: tuple[str, ...], what: str, here: Path, hcdcodec: Run) -> None:
    (here / "weights").mkdir()
    (here / "weights" / "manifest.json").write_text('{"models": []}')
    ran = hcdcodec("train", "no-folder/", "--minutes", "1", *words)
    assert ran.status == 2 and ran.err.startswith(f"hcdcodec: {what}") and ran.err.count("\n") == 1


def test_a_state_stays_until_another_training_begins(photos: Path, here: Path, hcdcodec: Run) -> None:
    state = here / "trained" / "crn_x4.training.pt"
    state.parent.mkdir()
    state.write_bytes(b"hours of work")
    call = ("train", photos, "--no-resume", "--minutes", "0.0001", "--set", "batch=1")
    ran = hcdcodec(*call, "--set", "patch=30")
    assert ran.status == 2 and "patch 30 does not fit" in ran.err
    assert state.read_bytes() == b"hours of work"
    ran = hcdcodec(*call, "--set", "patch=32")
    assert ran.status == 0 and "begin with" in ran.err
    assert state.stat().st_size > 1000


def test_a_directory_in_the_place_of_the_state_is_named(photos: Path, here: Path, hcdcodec: Run) -> None:
    (here / "trained" / "crn_x4.training.pt").mkdir(parents=True)
    ran = hcdcodec("train", photos, "--no-resume", "--minutes", "0.0001", "--set", "patch=32")
    said = "hcdcodec: trained/crn_x4.training.pt: a folder or device stands in the way; name another destination\n"
    assert ran.status == 1 and ran.err.endswith(said)


@pytest.mark.parametrize(("end_db", "word"), [(30.671, "no better"), (30.669, "no better"), (30.68, "use it")])
def test_a_gain_that_its_digits_do_not_show_is_none(end_db: float, word: str) -> None:
    entry = Entry(name="crn", scale=4, file="a.safetensors", hash="00", parameters=1)
    assert word in _verdict(Trained(Path("a.safetensors"), entry, 1, 30.67, end_db), "use it")


@pytest.mark.slow
def test_killed_command_leaves_its_state(photos: Path, tmp_path: Path) -> None:
    words = ["-s", "2", "--out", str(tmp_path / "out"), "--minutes", "60", "--set", "patch=16", "--set", "batch=1"]
    command = [sys.executable, "-c", "from hcdcodec.cli import main; main()", "train", str(photos), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "begin with" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        told = process.stderr.read()
        assert process.wait(timeout=60) == 143, told
    settings = Recipe("crn", 2, 60).with_settings(["patch=16", "batch=1"])
    trainer = Trainer(settings, read_gallery([str(photos)], 16), Machine("cpu"))
    trainer.restore(state_path(settings, tmp_path / "out"))
    assert trainer.clock.minutes < 60


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (["step=1"], "no 'step'"),
        (["batch=many"], "no number"),
        (["batch=0"], "batch = 0"),
        (["search_share=1.5"], "search_share"),
        (["coarsest=300"], "coarsest"),
        (["momentum=1"], "momentum"),
        (["free_until=-0.5"], "free_until"),
        (["likeness_db=nan"], "likeness_db"),
        (["free_db=inf"], "free_db"),
        ([f"seed={2**64}"], "seed"),
        ([f"search_steps={'9' * 400}"], "search_steps"),
        ([f"batch={'9' * 400}"], "batch"),
        ([f"batch={'9' * 5000}"], "gives no number"),
    ],
)
def test_wrong_settings_are_usage_errors(settings: list[str], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Recipe("crn", 4, 1).with_settings(settings)


def test_a_training_has_an_end() -> None:
    with pytest.raises(UsageError, match="minutes = inf"):
        Recipe("crn", 4, float("inf"))


def test_recipe_is_told_by_its_command() -> None:
    changed = Recipe("irn", 2, 30).with_settings(["batch=16", "likeness_db=30"])
    assert changed.command() == (
        "hcdcodec train DIR... --backbone irn --scale 2 --minutes 30 --set batch=16 --set likeness_db=30.0"
    )
    assert Recipe("irn", 2, 30).with_settings(changed.settings) == changed


def test_networks_that_cannot_be_trained_are_refused(gallery: Gallery) -> None:
    with pytest.raises(UsageError, match="nothing to train"):
        Trainer(Recipe("bicubic", 4, 1), gallery, Machine("cpu"))
    with pytest.raises(UsageError, match="multiple of 4"):
        Trainer(Recipe("crn", 4, 1).with_settings(["patch=30"]), gallery, Machine("cpu"))


def test_output_that_cannot_be_written_fails_at_once(tiny: Tiny, gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        train(recipe(tiny, 1e9), gallery, tmp_path / "file", lambda line: None, start=Start({}))


def test_a_manifest_of_others_is_refused_before_the_first_update(
    tiny: Tiny, gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "update", lambda *_: pytest.fail("an update"))
    (tmp_path / "manifest.json").write_text('{"name": "some app"}')
    with pytest.raises(ModelError, match="is not a manifest of weights"):
        train(recipe(tiny, 1), gallery, tmp_path, lambda line: None, start=Start({}))
    assert not state_path(recipe(tiny, 1), tmp_path).exists()
