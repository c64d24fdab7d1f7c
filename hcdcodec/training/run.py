"""Training: a backbone, a recipe, a folder of pictures, a time box; out come weights and their manifest entry.

    draw crops --> downscale --> (search the LR) --> round --> upscale --> loss --> Adam, moving average

Every two minutes, and when it is interrupted, a run leaves its whole state in its output directory, and the same call
goes on from there. What is drawn depends on the number of the iteration alone, so a run that was cut sees the same
crops as one that was not.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from hcdcodec.codec.search.options import DEFAULT_EFFORT
from hcdcodec.errors import UsageError
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.families import family_of
from hcdcodec.networks.manifest import find, read_manifest
from hcdcodec.networks.weights import install, model_hash, read_weights
from hcdcodec.pictures.picture import Picture
from hcdcodec.training.gallery import Gallery, drawn_ahead
from hcdcodec.training.log import Clock, Meter, Timer
from hcdcodec.training.recipe import Recipe
from hcdcodec.training.trainer import Machine, Start, Trainer
from hcdcodec.training.validate import Score, score

VALIDATION_SIDE = 256  # pixels of a centre crop
SMALLEST = 32  # pixels each way of a picture to validate on

_REPORT_S, _SAVE_S, _VALIDATE_S = 30.0, 120.0, 300.0
"""Seconds between lines about the progress, between two saves of the state, and between two validations."""

Say = Callable[[str], None]

_EFFORTS = {0: "no search", DEFAULT_EFFORT: "default search"}
"""What is validated before and after; while a run goes on, the first alone."""


@dataclass(frozen=True)
class Trained:
    """What a run came to.

    Attributes:
        path: the written weights.
        entry: their manifest entry.
        iterations: updates, those of earlier calls included.
        start_db: PSNR in dB of the validation pictures with the default search before the first update; None if it was
            not measured.
        end_db: the same of the written weights.
    """

    path: Path
    entry: Entry
    iterations: int
    start_db: float | None = None
    end_db: float | None = None


def read_start(which: str, recipe: Recipe, weights_dir: Path | None = None) -> Start:
    """Read the weights to begin with.

    Args:
        which: a safetensors file, "installed" for the ones that encoding would take, or empty for none.
        recipe: names the network.
        weights_dir: directory to search before all others.

    Raises:
        UsageError: there is no such network or file, or the network has nothing to train.
        ModelError: the weights are missing or damaged.
    """
    if not family_of(recipe.backbone, recipe.scale).has_weights:
        raise UsageError(f"{recipe.backbone} has nothing to train; choose another backbone")
    if not which:
        return Start({})
    if which != "installed" and not Path(which).exists():
        raise UsageError(f"{which}: no such file; name a .safetensors file, or say --start installed")
    path = find(recipe.backbone, recipe.scale, first=weights_dir)[0] if which == "installed" else Path(which)
    tensors = read_weights(path)
    return Start(tensors, model_hash(tensors))


def state_path(recipe: Recipe, out: Path) -> Path:
    """Return where a run keeps its state."""
    return out / f"{recipe.backbone}_x{recipe.scale}.training.pt"


def train(
    recipe: Recipe,
    gallery: Gallery,
    out: Path,
    say: Say,
    *,
    start: Start,
    resumes: bool = True,
    validation: Gallery | None = None,
    machine: Machine | None = None,
    licence: str = "",
    reach: Callable[[float], None] = lambda minutes: None,
) -> Trained | None:
    """Train until the time box is full; go on where an earlier call in the same directory stopped.

    Args:
        recipe: what, for how long, and how.
        gallery: pictures to train on, none smaller than a crop.
        out: weights directory; the state is kept there too.
        say: takes one line about the progress.
        start: weights to begin with; those of an earlier call must be the same.
        resumes: whether to go on with such a state. If not, it is replaced once the new training can begin.
        validation: pictures to measure on; None: nothing is measured.
        machine: where to compute.
        licence: of the resulting weights.
        reach: takes the minutes that are over, after each update.

    Returns:
        What came out; None if an earlier call has completed this training.

    Raises:
        UsageError: the directory holds a run by another recipe, of another start or of other pictures, or the recipe
            does not fit the network.
        ModelError: the start does not fit the network, the state or the directory's manifest is damaged, or training
            diverged.
        OutputError: the state or the weights cannot be written.
    """
    trainer, path = Trainer(recipe, gallery, machine or Machine()), state_path(recipe, out)
    crops = validation.centres(VALIDATION_SIDE, trainer.network.multiple) if validation else []
    listed = read_manifest(out)  # what cannot be listed is better known now than after hours
    if resumes and path.exists():
        trainer.restore(path)
        trainer.check_origin(start)
        if _is_complete(trainer, out, listed):
            say("this training is complete; --no-resume starts a new one")
            return None
        _forget_start_of_others(trainer, validation, say)
        greeting = f"go on after update {trainer.iteration} and {trainer.clock.minutes:.1f} minutes"
    else:
        trainer.begin(start)
        greeting = f"begin with {len(gallery.pictures)} pictures, {gallery.pixels / 1e6:.1f} MP"
    trainer.save(path)  # the same holds for what cannot be written
    try:
        say(greeting)
        say(f"the state is kept in {path}; after an interrupt, the same call goes on from there")
        _validate_start(trainer, crops, say)
        trainer.validation_hash = validation.digest if validation else trainer.validation_hash
        _go_on(trainer, path, crops, say, reach)
    finally:  # interrupts are exceptions, and hours must not be lost
        trainer.save(path)
    return _finish(trainer, out, crops, say, licence)


def _is_complete(trainer: Trainer, out: Path, listed: Sequence[Entry]) -> bool:
    """Tell whether the time is up and the weights are installed."""
    if trainer.progress < 1:
        return False
    digest = model_hash(trainer.average.state_dict())
    return any(entry.hash == digest and (out / entry.file).is_file() for entry in listed)


def _forget_start_of_others(trainer: Trainer, validation: Gallery | None, say: Say) -> None:
    """Forget the PSNR at the start if it was measured on other pictures: the end cannot be compared with it."""
    measured = trainer.start_db is not None
    if validation and measured and trainer.validation_hash not in ("", validation.digest):
        trainer.start_db = None
        say("--val has other pictures than at the start, so no gain can be told")


def _validate_start(trainer: Trainer, crops: Sequence[Picture], say: Say) -> None:
    """Measure what training begins with, so that its end can be compared; this takes nothing of the time box."""
    if crops and not trainer.iteration and trainer.start_db is None:
        scores = _validate(trainer, crops, say, "start")
        trainer.start_db, trainer.clock = scores[DEFAULT_EFFORT].psnr, Clock(0.0)


def _go_on(
    trainer: Trainer,
    path: Path,
    crops: Sequence[Picture],
    say: Say,
    reach: Callable[[float], None],
) -> None:
    """Update until the time is up."""
    say(_HEADS)
    report, save, validate = map(Timer, (_REPORT_S, _SAVE_S, _VALIDATE_S))
    workers = 8 if trainer.engine.device.type == "cuda" else 1
    with contextlib.closing(drawn_ahead(trainer.draw, trainer.iteration, workers)) as batches:
        while trainer.progress < 1:
            trainer.update(next(batches))
            reach(trainer.clock.minutes)
            if report.due():
                _report(trainer, say)
            if save.due():
                trainer.save(path)
            if crops and validate.due():
                say(f"validation, {_EFFORTS[0]}: {_described(_score(trainer, crops, effort=0))}")
                say(_HEADS)
    _report(trainer, say)


_HEADS = f"{'update':>7}  {'minutes':>14}  {Meter.HEADS}"


def _report(trainer: Trainer, say: Say) -> None:
    """Say how far training is and how it goes since the last line."""
    if trainer.meter.count:
        minutes = f"{trainer.clock.minutes:.1f} of {trainer.recipe.minutes:g}"
        say(f"{trainer.iteration:7d}  {minutes:>14}  {trainer.meter.line()}")
    trainer.meter = Meter()


def _score(trainer: Trainer, crops: Sequence[Picture], *, effort: int) -> Score:
    return score(replace(trainer.engine, backbone=trainer.average), crops, effort)


def _finish(trainer: Trainer, out: Path, crops: Sequence[Picture], say: Say, licence: str) -> Trained:
    """Measure and write the weights."""
    state, scores = trainer.average.state_dict(), _validate(trainer, crops, say, "end")
    name, scale = trainer.network.name, trainer.recipe.scale
    entry = Entry(
        name=name,
        scale=scale,
        file=f"{name}_x{scale}.safetensors",
        hash=model_hash(state),
        parameters=sum(values.numel() for values in state.values()),
        licence=licence,
        origin=_origin(trainer),
        measured=_figures(scores),
    )
    end_db = scores[DEFAULT_EFFORT].psnr if scores else None
    return Trained(install(state, entry, out), entry, trainer.iteration, trainer.start_db, end_db)


def _validate(trainer: Trainer, crops: Sequence[Picture], say: Say, when: str) -> dict[int, Score]:
    """Return the scores by effort; empty without pictures to measure on."""
    scores = dict[int, Score]()
    for effort, search in _EFFORTS.items() if crops else ():
        scores[effort] = _score(trainer, crops, effort=effort)
        say(f"{when}, {search}: {_described(scores[effort])}")
    return scores


def _figures(scores: Mapping[int, Score]) -> dict[str, float]:
    """Return the manifest's figures."""
    figures: dict[str, float] = {}
    for effort, found in scores.items():
        for name, value in (("psnr", found.psnr), ("lr psnr", found.likeness), ("lr worst", found.likeness_worst)):
            figures[f"val{VALIDATION_SIDE}/{name}/effort {effort}"] = round(value, 3)
    return figures


def _origin(trainer: Trainer) -> dict[str, str]:
    """Return where the weights come from, in words that name nothing of this machine but its kind."""
    device = trainer.engine.device
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return {
        "command": trainer.recipe.command() + (" --start FILE" if trainer.start_hash else ""),
        "recipe": ", ".join(f"{name}={value}" for name, value in asdict(trainer.recipe).items()),
        "start": trainer.start_hash[:12] or "none",
        "sources": f"{len(trainer.gallery.pictures)} pictures, {trainer.gallery.pixels / 1e6:.1f} MP",
        "minutes": f"{min(trainer.clock.minutes, trainer.recipe.minutes):.1f}",
        "iterations": str(trainer.iteration),
        "hardware": f"{device.type}: {kind}{threads}, torch {torch.__version__}",
    }


def _described(found: Score) -> str:
    return f"PSNR {found.psnr:.2f} dB, LR {found.likeness:.2f} dB, worst LR {found.likeness_worst:.2f} dB"
