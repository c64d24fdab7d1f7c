"""A training in memory: network, moving average, optimiser, how far it is; one update; its state on the disk."""

import copy
import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hcdcodec.engine.devices import Precision
from hcdcodec.engine.engine import Engine, engine_for
from hcdcodec.errors import ModelError, OutputError, UsageError
from hcdcodec.files.disk import write_atomic
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.registry import build, fill
from hcdcodec.training.gallery import Gallery
from hcdcodec.training.log import Clock, Meter
from hcdcodec.training.loss import Batch, Objective
from hcdcodec.training.recipe import Recipe
from hcdcodec.training.rotation import Rotation
from hcdcodec.training.state import read_state


@dataclass(frozen=True)
class Machine:
    """Where and how training computes; nothing here changes what is trained for.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:N".
        compiled: the network's two functions go through torch.compile first.
        recompute_from_px: HR pixels in a batch from which invertible networks save memory; None: their own choice.
        precision: float type of the convolutions.
    """

    device: str = "auto"
    compiled: bool = False
    recompute_from_px: int | None = None
    precision: Precision = Precision.AUTO


@dataclass(frozen=True)
class Start:
    """Weights to begin with.

    Attributes:
        tensors: state dict; empty = none, the network's own beginning.
        hash: their model hash; empty = none.
    """

    tensors: Mapping[str, torch.Tensor]
    hash: str = ""


class Trainer:
    """A training.

    Args:
        recipe: what, for how long, and how.
        gallery: pictures, none smaller than a crop.
        machine: where to compute.

    Attributes:
        engine: where and how precisely the network computes.
        network: what is trained.
        average: moving average of its weights; what is validated and shipped.
        iteration: updates so far.
        is_decoder_held: only the encoder is trained any more.
        clock: minutes so far.
        rotation: crops whose search is under way; not saved, since new ones serve as well.
        meter: means since they were last reported.
        start_hash: model hash of the weights that it began with; empty = none.
        pictures_hash: digest of the pictures that it began with; empty = not known, as in states of earlier releases.
        start_db: PSNR in dB of the validation pictures before the first update; None = not measured.
        validation_hash: digest of the validation pictures; empty = none yet, or not known.

    Raises:
        UsageError: the recipe or the machine does not fit the network.
    """

    def __init__(self, recipe: Recipe, gallery: Gallery, machine: Machine) -> None:
        torch.manual_seed(recipe.seed)
        network = build(recipe.backbone, recipe.scale)
        if not any(values.requires_grad for values in network.parameters()):
            raise UsageError(f"{recipe.backbone} has nothing to train; choose another backbone")
        if recipe.patch % network.multiple:
            raise UsageError(f"patch {recipe.patch} does not fit {network.name}; take a multiple of {network.multiple}")
        if recipe.encoder_from < 1 and len(list(network.decoding())) == len(list(network.parameters())):
            raise UsageError(f"{network.name} has no weights that only encoding uses; leave encoder_from at 1")
        self.recipe, self.gallery = recipe, gallery
        self.engine = _engine(network, machine)
        self.network = self.engine.backbone
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.objective = _objective(self.network, recipe, self.engine.fast, compiled=machine.compiled)
        self.rotation = Rotation(self.objective)
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=recipe.learning_rate, betas=(recipe.momentum, recipe.memory), fused=True
        )
        self.chances = gallery.chances(recipe.uniform_share)
        self.iteration, self.start_hash, self.meter, self.is_decoder_held = 0, "", Meter(), False
        self.clock = Clock(0.0)
        self.start_db: float | None = None
        self.pictures_hash, self.validation_hash = gallery.digest, ""

    @property
    def progress(self) -> float:
        """Return the part of the time box that is over."""
        return self.clock.minutes / self.recipe.minutes

    @property
    def likeness_db(self) -> float:
        """Return the PSNR that the LR is held to now."""
        free = self.recipe.free_until
        reached = min(1.0, self.progress / free) if free else 1.0
        return self.recipe.free_db + reached * (self.recipe.likeness_db - self.recipe.free_db)

    def begin(self, start: Start) -> None:
        """Take the weights to begin with, or the network's own beginning."""
        if start.tensors:
            fill(self.network, self.network.grown(start.tensors))
            self.start_hash = start.hash
        self.average.load_state_dict(self.network.state_dict())

    def draw(self, number: int) -> Batch:
        """Return the batch of an iteration, still uint8 and on the CPU."""
        random = np.random.default_rng((self.recipe.seed, number))
        crops = torch.from_numpy(self.gallery.draw(random, self.chances, self.recipe.batch, self.recipe.patch))
        crops = crops.permute(0, 3, 1, 2)  # rows of (R, G, B) are what channels_last means
        steps = np.rint(np.exp(random.random(self.recipe.batch) * math.log(self.recipe.coarsest)))
        steps[random.random(self.recipe.batch) < self.recipe.finest_share] = 1
        grid = torch.from_numpy(steps.astype(np.float32)).view(-1, 1, 1, 1)
        return Batch(crops.pin_memory() if self.engine.device.type == "cuda" else crops, grid)

    def update(self, drawn: Batch) -> None:
        """Take one step on what `draw` returned."""
        recipe, progress, batch = self.recipe, self.progress, self._placed(drawn)
        # At 1 there is no such part, though the time may run out between two looks at it.
        if recipe.encoder_from < 1 and progress >= recipe.encoder_from and not self.is_decoder_held:
            self.network.load_state_dict(self.average.state_dict())
            self._hold_decoder()
        if progress < recipe.coarse_from:
            batch = Batch(batch.hr, torch.ones_like(batch.grid))
        searching = recipe.search_steps and recipe.search_from <= progress < recipe.encoder_from
        count = min(int(recipe.batch * recipe.search_share), recipe.batch - 1) if searching else 0
        searched = self.rotation.turn(self.iteration, batch[:count]) if count else None
        losses = self.objective.losses(batch[count:], searched, self.likeness_db)
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = _rate(recipe, self.iteration, progress)
        self.optimiser.step()
        kept = min(recipe.average, (self.iteration + 1) / (self.iteration + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - kept)
        self.iteration += 1
        self.meter.add(losses, drawn.hr.numel() // 3)

    def _hold_decoder(self) -> None:
        """Train the encoder alone from now on."""
        for values in self.network.decoding():
            values.requires_grad_(False)
        self.is_decoder_held = True

    def _placed(self, drawn: Batch) -> Batch:
        """Return a drawn batch as the objective takes it, on the device."""
        device = self.engine.device
        hr = drawn.hr.to(device, non_blocking=True).float().div_(255)
        return Batch(hr, drawn.grid.to(device, non_blocking=True))

    def save(self, path: Path) -> None:
        """Write the state: tensors and plain numbers only.

        Raises:
            ModelError: training diverged; the last good state is left alone.
            OutputError: it cannot be written.
        """
        if not all(bool(torch.isfinite(values).all()) for values in self.average.parameters()):
            raise ModelError("training diverged; run again with a smaller learning_rate")
        content = {
            "recipe": asdict(self.recipe),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "iteration": self.iteration,
            "minutes": self.clock.minutes,
            "start": self.start_hash,
            "start_db": self.start_db,
            "pictures": self.pictures_hash,
            "validation": self.validation_hash,
            "is_decoder_held": self.is_decoder_held,
        }
        stream = io.BytesIO()
        torch.save(content, stream)
        try:
            write_atomic(path, stream.getvalue())
        except OutputError as error:
            raise OutputError(f"{path}: {error}") from error

    def restore(self, path: Path) -> None:
        """Take up what `save` wrote.

        Raises:
            ModelError: it is damaged, or no state of this network.
            UsageError: it is a training by another recipe.
        """
        content = read_state(path, list(self.network.parameters()))
        own, other = asdict(self.recipe), content["recipe"]
        differing = [name for name in own if other.get(name) != own[name]]
        if differing:
            name = differing[0]
            raise _refusal(f"{name} {other.get(name, 'unknown')}, not {own[name]}")
        fill(self.network, content["network"])
        fill(self.average, content["average"])
        # Its options are the recipe's, whatever a file says.
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": content["optimiser"]["state"], "param_groups": groups})
        self.iteration, self.start_hash = content["iteration"], content["start"]
        self.start_db, self.pictures_hash = content["start_db"], content["pictures"]
        self.validation_hash = content["validation"]
        self.clock = Clock(content["minutes"])
        if content["is_decoder_held"]:
            self._hold_decoder()

    def check_origin(self, start: Start) -> None:
        """Check that a restored training began with these weights and with the pictures of the gallery.

        Raises:
            UsageError: it began with others.
        """
        if not self.pictures_hash:
            return
        if self.start_hash != start.hash:
            raise _refusal(f"start {self.start_hash[:12] or 'none'}, not {start.hash[:12] or 'none'}")
        if self.pictures_hash != self.gallery.digest:
            raise _refusal("other pictures")


def _refusal(what: str) -> UsageError:
    """Return the error about a state that is not the one of this call."""
    return UsageError(
        f"the output folder holds a training with {what}; continue that one, start over with --no-resume, or name "
        "another folder"
    )


def _engine(network: Backbone, machine: Machine) -> Engine:
    """Put a network where it is trained; the engine's precision is also the training's."""
    if machine.recompute_from_px is not None:
        if not network.recompute_from_px:
            raise UsageError(f"{network.name} computes no value twice; leave out --recompute-from")
        network.recompute_from_px = machine.recompute_from_px
    engine = engine_for(network, machine.device, precision=machine.precision)
    moved = engine.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return replace(engine, backbone=moved)


def _objective(network: Backbone, recipe: Recipe, precision: torch.dtype, *, compiled: bool) -> Objective:
    """Return the loss, with the network's functions compiled if that is wanted."""
    prepared = partial(torch.compile, dynamic=False) if compiled else lambda function: function
    return Objective(network, recipe, precision, prepared(network.downscale), prepared(network.upscale))


def _rate(recipe: Recipe, iteration: int, progress: float) -> float:
    """Return the learning rate: up along a line, down along a cosine, once more so for the encoder alone."""
    begun, ended, highest = 0.0, recipe.encoder_from, recipe.learning_rate
    if progress >= recipe.encoder_from:
        begun, ended, highest = recipe.encoder_from, 1.0, recipe.encoder_rate
    share = (progress - begun) / max(ended - begun, 1e-9)
    return highest * min(1.0, (iteration + 1) / max(recipe.warm_iterations, 1)) * 0.5 * (1 + math.cos(math.pi * share))
