"""Weights that come with an archive: the files in a folder `.hcdcodec` beside small files or above them.

Whoever made the archive made these files, too. So no manifest is read, and names count for nothing: the hash of the
tensors must be the one that a header names. The limits below bound the cost of a search that finds nothing, and of the
network that it finds. `hcdcodec.batch.export_weights` writes the folder.
"""

import itertools
import logging
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from hcdcodec.errors import ModelError
from hcdcodec.files.find import ARCHIVE_FOLDER
from hcdcodec.files.job import Job
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.registry import ready
from hcdcodec.networks.weights import check_weights, model_hash

NAMES = frozenset(("crn", "crn-l", "irn", "hcflow"))
"""Networks whose code is in this package. An sr network could be of any kind that spandrel knows."""

BYTES_MAX = 64_000_000
"""Largest file."""

FILES_MAX = 16
"""Files that are read in one run, over all folders."""

COST_MAX, CHANNELS_MAX, DEPTH_MAX = 700_000, 256, 64
"""Limits for a crn decoder: multiplications for each HR pixel, channels, residual convolutions.

The others have one size for each scale; hcflow, the largest of them, does 664,000.
"""

_FLOATS = (torch.float16, torch.float32)
_ENTRIES_MAX = 1_000
_TABLE_MAX = 1 << 18

State = Mapping[str, torch.Tensor]

_log = logging.getLogger("hcdcodec.archive")


def folders_above(path: Path, count: int | None = None) -> tuple[Path, ...]:
    """Return the folder of a file and the folders above it, as far as the name of the file goes, at most `count`."""
    above = tuple(path.parents[:count])
    # The parent of `..` by name is the folder below it.
    up = next((place for place, folder in enumerate(above) if folder.name == ".."), len(above))
    return above[: up + 1]


def folders_of(job: Job) -> tuple[Path, ...]:
    """Return the folders of the archive that a source stands in, up to the SRC; none for standard input."""
    if job.source is None:
        return ()
    # A file that the user named may stand anywhere, so the folders of its name count.
    return folders_above(job.source, None if job.named else len(Path(job.key).parts))


@dataclass
class ArchiveWeights:
    """The weights in archives, as far as this run has read them."""

    _hashes: dict[Path, str] = field(default_factory=dict)
    """Model hash of each file that was read; empty where it is no file of weights."""
    _known: set[tuple[str, str]] = field(default_factory=set)
    """Networks that `has` has found, by name and first digits of the model hash."""

    def load(self, name: str, scale: int, prefix: str, folders: Sequence[Path]) -> Backbone | None:
        """Return the network that a header names, with weights from the first folder that has them.

        Args:
            name: name of the backbone.
            scale: HR size / LR size.
            prefix: first digits of its model hash, hexadecimal.
            folders: folders of an archive whose `.hcdcodec` is searched, in order.

        Returns:
            The network; None where no folder has its weights, or where such networks are not taken from archives.

        Raises:
            ModelError: the weights are there, but cost more than the limits, or do not fit the network.
        """
        for path, state in self._find(name, prefix, folders):
            check_portable(name, scale, state)
            network = ready(name, scale, state, prefix)
            say_once(f"{name} x{scale} is decoded with weights that came with the archive, {path}")
            return network
        return None

    def has(self, name: str, prefix: str, folders: Sequence[Path]) -> bool:
        """Tell whether a folder has the weights that `load` would take; their limits and sizes are not looked at.

        What this run has found in one folder counts for all, since decoding loads each network once.
        """
        if (name, prefix) not in self._known and self.path_of(name, prefix, folders) is not None:
            self._known.add((name, prefix))
        return (name, prefix) in self._known

    def path_of(self, name: str, prefix: str, folders: Sequence[Path]) -> Path | None:
        """Return the file that `load` would take; None where there is none."""
        return next((path for path, _ in self._find(name, prefix, folders)), None)

    def _find(self, name: str, prefix: str, folders: Sequence[Path]) -> Iterator[tuple[Path, State]]:
        """Yield files with the wanted hash, and their tensors."""
        if name not in NAMES:
            return
        for path in itertools.chain.from_iterable(_files(folder / ARCHIVE_FOLDER, prefix) for folder in folders):
            if (state := self._read(path, prefix)) is not None:
                yield path, state

    def _read(self, path: Path, prefix: str) -> State | None:
        """Return the tensors of a file; None where their hash is another one, or nothing may be read."""
        if not self._hashes.get(path, prefix).startswith(prefix):
            return None
        if path not in self._hashes and len(self._hashes) >= FILES_MAX:
            say_once(f"more than {FILES_MAX} files of weights in archives; the others are left out")
            return None
        self._hashes[path] = ""
        state = read_state(read_plain(path))
        if state is not None:
            self._hashes[path] = model_hash(state)
        return state if self._hashes[path].startswith(prefix) else None


def read_state(data: bytes) -> State | None:
    """Return the tensors of a safetensors file; None where it is none, or not one of floats within the limits."""
    if not 8 < len(data) <= BYTES_MAX or int.from_bytes(data[:8], "little") > _TABLE_MAX:
        return None
    try:
        state = load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError):  # RuntimeError: a tensor that torch cannot make
        return None
    return state if state and all(values.dtype in _FLOATS for values in state.values()) else None


def check_portable(name: str, scale: int, state: State) -> None:
    """Check that weights may come with an archive.

    Raises:
        ModelError: the network is of another kind, or costs more than the limits allow.
    """
    if name not in NAMES:
        raise ModelError(f"{name} networks are not taken from archives; keep the weights and their manifest yourself")
    check_weights(state, "that came with the archive")
    if not name.startswith("crn"):
        return
    decoder = [v for key, v in state.items() if key.startswith("decoder.") and v.dim() == 4]
    cost = sum(values.numel() for values in decoder) // scale**2
    channels = max((values.shape[1] for values in decoder), default=0)
    if cost > COST_MAX or channels > CHANNELS_MAX or len(decoder) > DEPTH_MAX + 2:
        raise ModelError(
            f"the weights that came with the archive cost {cost} multiplications a pixel, with {channels} channels and "
            f"{len(decoder)} convolutions; more than {COST_MAX}, {CHANNELS_MAX} and {DEPTH_MAX + 2} are refused; "
            "install them, if you trust them"
        )


def _files(folder: Path, prefix: str) -> Iterator[Path]:
    """Yield the regular files of a folder that is no link, those with the wanted name first."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return
        with os.scandir(folder) as entries:
            some = [entry.name for entry in itertools.islice(entries, _ENTRIES_MAX) if _is_candidate(entry)]
    except OSError:
        return
    for name in sorted(some, key=lambda name: (not name.startswith(prefix), name)):
        yield folder / name


def _is_candidate(entry: "os.DirEntry[str]") -> bool:
    return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size <= BYTES_MAX


def read_plain(path: Path) -> bytes:
    """Return the content of a regular file that is no link and not too large; empty for any other."""
    try:
        # Without waiting for the other end of a pipe, if one has taken the place of the file.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            status = os.fstat(file.fileno())
            is_fit = stat.S_ISREG(status.st_mode) and status.st_size <= BYTES_MAX
            return file.read(BYTES_MAX) if is_fit else b""
    except OSError:
        return b""


@cache
def say_once(what: str) -> None:
    """Log a line, but only once in a process."""
    _log.warning("hcdcodec: %s", what)
