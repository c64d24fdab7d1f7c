"""The engines that file headers ask for, each loaded once."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hcdcodec.engine.devices import Precision
from hcdcodec.engine.engine import Engine, engine_for
from hcdcodec.errors import UnsupportedError, UsageError
from hcdcodec.format.header import Header
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.native.library import manner
from hcdcodec.networks.registry import load_backbone


@dataclass(frozen=True)
class Engines:
    """The engines that headers ask for, each loaded once.

    Attributes:
        device: where they compute.
        weights_dir: directory to search for weights before all others.
    """

    device: str = "cpu"
    weights_dir: Path | str | None = None
    _loaded: dict[tuple[str, int, bytes], Engine] = field(default_factory=dict, compare=False)

    @property
    def manner(self) -> str:
        """Return how they compute, for a line of text."""
        return f"{self.device}, {manner() if self.device == 'cpu' else 'CUDA'}"

    def get(self, header: Header) -> Engine:
        """Return the engine whose weights a header names.

        Raises:
            UnsupportedError: no such network in this release.
            ModelError: its weights are not installed.
        """
        key = header.backbone, header.scale, header.model_hash
        if key not in self._loaded:
            prefix = header.model_hash.hex()
            try:
                backbone = load_backbone(
                    header.backbone, header.scale, hash_prefix=prefix, weights_dir=self.weights_dir
                )
            except UsageError as error:
                raise UnsupportedError(f"{error}; decode with a newer release") from error
            self._loaded[key] = engine_for(backbone, self.device)
        return self._loaded[key]


def engines_on(
    network: Backbone, devices: Sequence[str], *, is_compiled: bool = False, precision: Precision = Precision.AUTO
) -> tuple[Engine, ...]:
    """Return an engine on each device; the first one takes the network itself, the others take copies."""
    copies = (network if number == 0 else copy.deepcopy(network) for number in range(len(devices)))
    # A copy must be made before the original has moved to its device, else GPUs would hold two for a moment.
    make = partial(engine_for, is_compiled=is_compiled, precision=precision)
    return tuple(make(own, device) for own, device in zip(list(copies), devices, strict=True))
