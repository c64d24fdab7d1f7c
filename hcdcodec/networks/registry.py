"""Build the networks of each family, and load them with their weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from hcdcodec.errors import ModelError, UsageError
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.families import family_of
from hcdcodec.networks.hcflow import HcFlow
from hcdcodec.networks.irn import Irn
from hcdcodec.networks.manifest import check_prefix, find
from hcdcodec.networks.sr import rebuild
from hcdcodec.networks.weights import differences, model_hash, read_weights


@dataclass(frozen=True)
class Builder:
    """Functions that build the networks of one family.

    Attributes:
        build: scale -> untrained network; None where only the weights define the network.
        rebuild: weights -> network with these weights; None where the scale alone defines the sizes.
    """

    build: Callable[[int], Backbone] | None
    rebuild: Callable[[Mapping[str, torch.Tensor]], Backbone] | None = None


_PAIRS = {
    "crn": {8: (64, 24, 44), 4: (64, 16, 22), 2: (48, 12, 14)},
    "crn-l": {4: (128, 8, 24), 2: (96, 6, 16)},
}
"""Width, depth of the encoder and depth of the decoder, by name and scale.

All convolutions work at LR size, so a larger scale can be deeper for the same time per HR pixel.
"""


def _build_pair(scale: int, *, name: str) -> Backbone:
    return Crn(scale, *_PAIRS[name][scale], name=name)


def _rebuild_pair(state: Mapping[str, torch.Tensor], *, name: str) -> Backbone:
    if any(0 in values.shape for values in state.values()):
        raise ModelError(f"the weights do not fit {name} (a tensor without values); use its own weights")
    return _take_weights(partial(Crn.sized_as, state, name), state)


BUILDERS: Mapping[str, Builder] = {
    **{name: Builder(partial(_build_pair, name=name), partial(_rebuild_pair, name=name)) for name in _PAIRS},
    "irn": Builder(Irn),
    "hcflow": Builder(lambda _: HcFlow()),
    "sr": Builder(None, rebuild),
    "bicubic": Builder(Bicubic),
}
"""By the names of `families.FAMILIES`."""


def build(name: str, scale: int) -> Backbone:
    """Return an untrained network of the table.

    Raises:
        UsageError: the table has no such name or scale, or only weights can define the network.
    """
    family, builder = family_of(name, scale), BUILDERS[name]
    if builder.build is None:
        raise UsageError(f"{name} has no network without weights; {family.remedy}")
    return builder.build(scale)


def assemble(name: str, scale: int, state: Mapping[str, torch.Tensor]) -> Backbone:
    """Return a network of the table with its weights.

    Raises:
        UsageError: the table has no such name or scale.
        ModelError: the weights do not fit.
    """
    family_of(name, scale)
    builder = BUILDERS[name]
    if builder.rebuild is None:
        return _take_weights(partial(build, name, scale), state)
    network = builder.rebuild(state)
    if network.scale != scale:
        raise ModelError(f"the weights are for {name} x{network.scale}, not x{scale}; use its own weights")
    return network


def load_backbone(
    name: str,
    scale: int,
    weights: Path | str | None = None,
    device: str | torch.device = "cpu",
    *,
    hash_prefix: str = "",
    weights_dir: Path | str | None = None,
) -> Backbone:
    """Return a network that is ready to use: trained, frozen, in evaluation mode, on its device.

    Args:
        name: backbone, see `families.FAMILIES`, or name@HASH with the first digits of a model hash.
        scale: HR size / LR size.
        weights: a safetensors file, or a weights directory to search before all others; default: the first installed
            file that fits.
        device: device on which it computes.
        hash_prefix: first digits of the model hash that is needed, hexadecimal.
        weights_dir: directory to search before all others.

    Raises:
        UsageError: there is no such backbone, scale or device.
        ModelError: weights are missing or damaged, or have another hash.
    """
    pinned = ""
    if not isinstance(name, str):
        raise UsageError(f"{name!r} is no name of a backbone; give one, such as 'crn'")
    if not hash_prefix:
        name, _, pinned = name.partition("@")
    prefix = hash_prefix or pinned
    if weights is not None and Path(weights).is_dir():
        weights, weights_dir = None, weights
    entry, state = None, dict[str, torch.Tensor]()
    if family_of(name, scale).has_weights:
        if weights is None:
            weights, entry = find(name, scale, prefix, weights_dir)
        state = read_weights(Path(weights))
    network = ready(name, scale, state, entry.hash if entry else prefix)
    network.is_pinned = bool(pinned)
    if entry:
        network.details_scale, network.settings_hash = entry.details_scale, entry.settings_hash
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UsageError(f"no device is called {device!r}; there are cpu, cuda and cuda:N") from error
    # PyTorch takes 8 bits of the number, and would take the first GPU for cuda:256.
    if place.type == "cuda" and (str(place) != str(device) or (place.index or 0) >= torch.cuda.device_count()):
        raise UsageError(f"device {device!r} is not there ({torch.cuda.device_count()} GPUs found); use cpu")
    return network.to(place)


def ready(name: str, scale: int, state: Mapping[str, torch.Tensor], prefix: str) -> Backbone:
    """Return a network with its weights, frozen.

    Raises:
        UsageError: the table has no such name or scale.
        ModelError: the weights do not fit, or their hash does not begin with `prefix`.
    """
    network = assemble(name, scale, state)
    # The hash is computed from the tensors, so a damaged or replaced file is noticed although its manifest is right.
    network.model_hash = model_hash(state)
    check_prefix(name, scale, network.model_hash, prefix)
    network.freeze()
    return network.to(memory_format=network.memory_format)  # type: ignore[call-overload,no-any-return]


def _take_weights(build: Callable[[], Backbone], state: Mapping[str, torch.Tensor]) -> Backbone:
    """Return a network with these weights; see `fill` for the errors."""
    # On the meta device, nothing is allocated, and no random number is drawn. So impossible sizes take no memory, and
    # callers who count on the random numbers of torch get the same ones with us as without us.
    with torch.device("meta"):
        network = build()
    check_fit(network, state)
    own = {name: values.to("cpu", torch.float32, copy=True) for name, values in state.items()}
    network.load_state_dict(own, assign=True)
    return network


def fill(network: Backbone, state: Mapping[str, torch.Tensor]) -> None:
    """Copy weights into a network. Names and shapes must agree exactly.

    Raises:
        ModelError: they do not agree; the message names the first differences.
    """
    check_fit(network, state)
    # Before the values are copied: torch's default type, which the caller may have changed, could not hold them.
    network.float().load_state_dict(state)


def check_fit(network: Backbone, state: Mapping[str, torch.Tensor]) -> None:
    """Compare names and shapes of weights with those of a network, which may be on the meta device.

    Raises:
        ModelError: they do not agree; the message names the first differences.
    """
    if what := differences(state, {name: values.shape for name, values in network.state_dict().items()}):
        raise ModelError(f"the weights do not fit {network.name} x{network.scale} ({what}); use its own weights")
