"""Load the engines that headers name, each once, and put one network on several devices."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hcdcodec.engine.devices import Precision, usual_batch_px
from hcdcodec.engine.engine import Engine, engine_for
from hcdcodec.errors import ModelError, UnsupportedError, UsageError
from hcdcodec.format.header import Header
from hcdcodec.networks.archive import ArchiveWeights
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.native.library import manner
from hcdcodec.networks.registry import load_backbone


@dataclass(frozen=True)
class Engines:
    """The engines that headers name. Each is loaded once.

    Attributes:
        device: device of all engines.
        weights_dir: directory to search for weights before all others.
        takes_archives: whether weights that came with an archive are taken where no others fit.
    """

    device: str = "cpu"
    weights_dir: Path | str | None = None
    takes_archives: bool = False
    # Caches, which are not a part of the value.
    _archives: ArchiveWeights = field(default_factory=ArchiveWeights, compare=False)
    _loaded: dict[tuple[str, int, bytes], Engine] = field(default_factory=dict, compare=False)

    @property
    def manner(self) -> str:
        """Return a short text that says how they compute."""
        return f"{self.device}, {manner() if self.device == 'cpu' else 'CUDA'}"

    def get(self, header: Header, folders: Sequence[Path] = ()) -> Engine:
        """Return the engine whose weights a header names.

        Args:
            header: header of a small file.
            folders: folders of the archive that the file stands in, see `archive.folders_above`.

        Raises:
            UnsupportedError: no such network in this release.
            ModelError: its weights are not installed.
        """
        key = header.backbone, header.scale, header.model_hash
        if key not in self._loaded:
            try:
                backbone = self._load(header, folders)
            # For an option, an unknown network is a wrong call; in a file, it comes from a newer release.
            except UsageError as error:
                raise UnsupportedError(f"{error}; decode with a newer release") from error
            self._loaded[key] = engine_for(backbone, self.device)
        return self._loaded[key]

    def _load(self, header: Header, folders: Sequence[Path]) -> Backbone:
        name, scale, prefix = header.backbone, header.scale, header.model_hash.hex()
        try:
            return load_backbone(name, scale, hash_prefix=prefix, weights_dir=self.weights_dir)
        except ModelError:
            found = self._archives.load(name, scale, prefix, folders) if self.takes_archives else None
            if found is None:
                raise
            return found


def engines_on(
    network: Backbone, devices: Sequence[str], *, is_compiled: bool = False, precision: Precision = Precision.AUTO
) -> tuple[Engine, ...]:
    """Return an engine on each device; the first one takes the network itself, the others take copies."""
    copies = (network if number == 0 else copy.deepcopy(network) for number in range(len(devices)))
    # Copy before the original moves to its device. Otherwise its GPU would hold two networks for a moment.
    make = partial(engine_for, is_compiled=is_compiled, precision=precision)
    sizes = [usual_batch_px(device, devices.count(device)) for device in devices]
    return tuple(make(*each) for each in zip(list(copies), devices, sizes, strict=True))
