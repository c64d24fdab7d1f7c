"""The literal table of backbones, and the one function that makes a working one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from hcdcodec.errors import ModelError, UsageError
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.hcflow import HcFlow
from hcdcodec.networks.irn import Irn
from hcdcodec.networks.sr import rebuild
from hcdcodec.networks.weights import find, model_hash, read_weights


@dataclass(frozen=True)
class Family:
    """How the networks of one name are built.

    Attributes:
        about: one line for `models list`.
        build: scale -> untrained network, for trained families; any scale for those without weights; None where only
            the weights say what the network is.
        remedy: what to do where its weights are missing.
        rebuild: weights -> network with them, where they say more about it than the scale does.
    """

    about: str
    build: Mapping[int, Callable[[], Backbone]] | Callable[[int], Backbone] | None
    remedy: str = ""
    rebuild: Callable[[Mapping[str, torch.Tensor]], Backbone] | None = None

    @property
    def scales(self) -> tuple[int, ...]:
        """Return the scales for which weights are expected; none where they may have any."""
        return tuple(sorted(self.build)) if isinstance(self.build, Mapping) else ()

    @property
    def has_weights(self) -> bool:
        """Return whether its networks need weights."""
        return not callable(self.build)


def _pair(state: Mapping[str, torch.Tensor], name: str) -> Backbone:
    network = Crn.sized_as(state, name)
    fill(network, state)
    return network


_IMPORT = "import the official checkpoint with 'hcdcodec models import FILE.pth'"


FAMILIES: Mapping[str, Family] = {
    "crn": Family(
        "this project's plain convolutional pair, trained to be searched (default)",
        {
            4: lambda: Crn(4, width=64, encoder_depth=16, decoder_depth=22),
            2: lambda: Crn(2, width=48, encoder_depth=12, decoder_depth=14),
        },
        "install hcdcodec with its weights, or train with 'hcdcodec train'",
        partial(_pair, name="crn"),
    ),
    "crn-l": Family(
        "a larger pair of the same kind, for GPUs",
        {
            4: lambda: Crn(4, width=128, encoder_depth=8, decoder_depth=24, name="crn-l"),
            2: lambda: Crn(2, width=96, encoder_depth=6, decoder_depth=16, name="crn-l"),
        },
        "train it with 'hcdcodec train --backbone crn-l', on a GPU",
        partial(_pair, name="crn-l"),
    ),
    "irn": Family("the paper's first network: Xiao et al., ECCV 2020", {2: lambda: Irn(2), 4: lambda: Irn(4)}, _IMPORT),
    "hcflow": Family("the paper's second network: Liang et al., ICCV 2021", {4: HcFlow}, _IMPORT),
    "sr": Family(
        "bicubic downwards, upwards any super-resolution network that spandrel loads",
        None,
        "import a checkpoint with 'hcdcodec models import FILE --backbone sr'",
        rebuild,
    ),
    "bicubic": Family("antialiased bicubic both ways, no weights", Bicubic),
}


def family_of(name: str, scale: int) -> Family:
    """Return the family of a name, if it can have the scale.

    Raises:
        UsageError: the table has no such name or scale.
    """
    if name not in FAMILIES:
        raise UsageError(f"no backbone is called {name!r}; there are {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    if family.scales and scale not in family.scales:
        raise UsageError(f"{name} has no scale {scale}; it has {', '.join(map(str, family.scales))}")
    if not 2 <= scale <= 16:
        raise UsageError(f"scale {scale} is out of range; {name} takes 2 to 16")
    return family


def build(name: str, scale: int) -> Backbone:
    """Return an untrained network of the table.

    Raises:
        UsageError: the table has no such name or scale, or its networks exist with their weights only.
    """
    family = family_of(name, scale)
    if family.build is None:
        raise UsageError(f"{name} has no network without weights; {family.remedy}")
    return family.build[scale]() if isinstance(family.build, Mapping) else family.build(scale)


def assemble(name: str, scale: int, state: Mapping[str, torch.Tensor]) -> Backbone:
    """Return a network of the table with its weights.

    Raises:
        UsageError: the table has no such name or scale.
        ModelError: the weights do not fit.
    """
    family = family_of(name, scale)
    if family.rebuild is None:
        network = build(name, scale)
        fill(network, state)
        return network
    network = family.rebuild(state)
    if network.scale != scale:
        raise ModelError(f"the weights are for {name} x{network.scale}, not x{scale}; use its own file")
    return network


def load_backbone(
    name: str,
    scale: int,
    weights: Path | str | None = None,
    device: str | torch.device = "cpu",
    *,
    hash_prefix: str = "",
    weights_dir: Path | None = None,
) -> Backbone:
    """Return a network that is ready to use: trained, frozen, in evaluation mode, on its device.

    Args:
        name: backbone, see `FAMILIES`; with @ and the start of a model hash, that one of several installed.
        scale: HR size / LR size.
        weights: a safetensors file; default: the first installed one that fits.
        device: where it computes.
        hash_prefix: start of the model hash that must match, hexadecimal.
        weights_dir: directory to search before all others.

    Raises:
        UsageError: no such backbone or scale.
        ModelError: weights are missing, damaged, or not the ones asked for.
    """
    if not hash_prefix:
        name, _, hash_prefix = name.partition("@")
    family = family_of(name, scale)
    details_scale, state = 0.0, dict[str, torch.Tensor]()
    if family.has_weights:
        if weights is None:
            weights, entry = find(name, scale, hash_prefix, weights_dir, remedy=family.remedy)
            details_scale = entry.details_scale
        state = read_weights(Path(weights))
    network = assemble(name, scale, state)
    network.details_scale = details_scale
    network.model_hash = model_hash(state)
    if not network.model_hash.startswith(hash_prefix):
        got = network.model_hash[:12]
        raise ModelError(f"needs the {name} x{scale} weights {hash_prefix[:12]}, got {got}; restore that file")
    network.eval().requires_grad_(False)
    return network.to(device=device, memory_format=network.memory_format)  # type: ignore[call-overload,no-any-return]


def fill(network: Backbone, state: Mapping[str, torch.Tensor]) -> None:
    """Copy weights into a network; names and shapes must agree exactly.

    Raises:
        ModelError: they do not; the message names the first differences.
    """
    own = network.state_dict()
    complaints = {
        "missing": own.keys() - state.keys(),
        "unknown": state.keys() - own.keys(),
        "other shape": {key for key in own.keys() & state.keys() if own[key].shape != state[key].shape},
    }
    if any(complaints.values()):
        what = "; ".join(f"{kind} {', '.join(sorted(names)[:3])}" for kind, names in complaints.items() if names)
        raise ModelError(f"the weights do not fit {network.name} x{network.scale} ({what}); use its own file")
    network.load_state_dict(state)
