"""Weights on disk: safetensors files, the manifest beside them, and the hash that a file header names.

A weights directory holds `manifest.json` and the files it lists. Directories are searched in this order: the one the
user names, $HCDCODEC_WEIGHTS, the user's data directory, the package's own.
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from hcdcodec.errors import ModelError, OutputError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """One line of a manifest: what a file is, where it comes from, what was measured with it.

    Attributes:
        name: backbone.
        scale: HR size / LR size.
        file: name of the safetensors file in the manifest's directory.
        hash: model hash, 64 hexadecimal digits (see `model_hash`).
        parameters: number of trained values.
        details_scale: standard deviation of the details z that the decoder wants; 0 = zeros.
        licence: licence of the weights.
        origin: training data, recipe, command, hours; or the official file they were imported from.
        measured: figures by name, "set/measure/setting" -> dB.
    """

    name: str
    scale: int
    file: str
    hash: str
    parameters: int
    details_scale: float = 0.0
    licence: str = ""
    origin: Mapping[str, str] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)


def model_hash(state: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 over the sorted (name, dtype, shape, little-endian bytes) of the tensors, in hexadecimal.

    It names the numbers, not the file: saving them again in another order or format changes nothing.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{str(values.dtype).removeprefix('torch.')}\0{tuple(values.shape)}\0".encode())
        array = values.numpy()
        digest.update((array.byteswap() if sys.byteorder == "big" else array).tobytes())
    return digest.hexdigest()


def directories(first: Path | None = None) -> tuple[Path, ...]:
    """Return the weights directories in the order in which they are searched; not all need exist."""
    package = Path(__file__).resolve().parent.parent
    named = [first] if first else []
    environment = [Path(value)] if (value := os.environ.get("HCDCODEC_WEIGHTS")) else []
    # A wheel carries the shipped weights inside the package; a checkout has them beside it.
    return (*named, *environment, user_directory(), package / "weights", package.parent / "weights")


def user_directory() -> Path:
    """Return the weights directory of the user, where imports go by default; it need not exist."""
    return Path(platformdirs.user_data_dir("hcdcodec")) / "weights"


def read_manifest(directory: Path) -> tuple[Entry, ...]:
    """Return the entries of a weights directory; none where it has no manifest.

    Raises:
        ModelError: the manifest is not one of ours.
    """
    path = directory / MANIFEST
    if not path.is_file():
        return ()
    try:
        return tuple(Entry(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["models"])
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path} is not a manifest of weights ({error}); restore it") from error


def installed(first: Path | None = None) -> tuple[tuple[Path, Entry], ...]:
    """Return (file, entry) of everything installed, in search order, each hash once."""
    found: dict[tuple[str, str, int], tuple[Path, Entry]] = {}
    for directory in directories(first):
        for entry in read_manifest(directory):
            found.setdefault((entry.hash, entry.name, entry.scale), (directory / entry.file, entry))
    return tuple(found.values())


def find(
    name: str,
    scale: int,
    prefix: str = "",
    first: Path | None = None,
    *,
    remedy: str = "see 'hcdcodec models list'",
) -> tuple[Path, Entry]:
    """Return the first installed file for a backbone.

    Args:
        name: backbone.
        scale: HR size / LR size.
        prefix: start of the model hash that is asked for, hexadecimal; empty = any.
        first: directory to search before all others.
        remedy: what to do where no weights for this backbone are installed.

    Raises:
        ModelError: there is none.
    """
    candidates = [(path, entry) for path, entry in installed(first) if (entry.name, entry.scale) == (name, scale)]
    for path, entry in candidates:
        if entry.hash.startswith(prefix):
            return path, entry
    if not candidates:
        raise ModelError(f"no weights for {name} x{scale} are installed; {remedy}")
    have = ", ".join(entry.hash[:12] for _, entry in candidates)
    raise ModelError(
        f"needs the {name} x{scale} weights {prefix[:12]}, but only {have} is installed; "
        "put that file in a directory and name it with --weights-dir"
    )


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        ModelError: it cannot be read, or holds values that are not finite.
    """
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights {path} ({error}); install them again") from error
    for name, values in state.items():
        if not torch.isfinite(values).all():
            raise ModelError(f"the weights {path} hold values that are not finite ({name}); install them again")
    return state


def install(state: Mapping[str, torch.Tensor], entry: Entry, directory: Path) -> Path:
    """Write weights and their manifest entry.

    Other weights that stood there under the same name move to a name with their hash, since files may have been encoded
    with them. Of several entries of one backbone and scale the newest stands first, and is the one that encoding takes.

    Returns:
        The written file.

    Raises:
        OutputError: the directory cannot be written.
    """
    path = directory / entry.file
    tensors = {name: values.detach().cpu().contiguous() for name, values in state.items()}
    kept = [old for old in read_manifest(directory) if (old.file, old.hash) != (entry.file, entry.hash)]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(old.file == entry.file for old in kept):
            kept = [_moved(old, directory) if old.file == entry.file else old for old in kept]
            _write_manifest(directory, kept)  # no moment without an entry for what is there
        _replace(path, save(tensors, metadata={"backbone": entry.name, "scale": str(entry.scale), "hash": entry.hash}))
        _write_manifest(directory, [entry, *kept])
    except OSError as error:
        raise OutputError(
            f"cannot write weights to {directory} ({error.strerror}); choose another directory"
        ) from error
    return path


def _moved(entry: Entry, directory: Path) -> Entry:
    """Copy an entry's weights to a name of their own."""
    path = directory / entry.file
    moved = path.with_stem(f"{path.stem}_{entry.hash[:12]}")
    _replace(moved, path.read_bytes())
    return replace(entry, file=moved.name)


def _write_manifest(directory: Path, entries: Sequence[Entry]) -> None:
    models = sorted((asdict(item) for item in entries), key=lambda item: (item["name"], item["scale"]))
    _replace(directory / MANIFEST, (json.dumps({"models": models}, indent=2) + "\n").encode())


def _replace(path: Path, data: bytes) -> None:
    """Write a file under a temporary name first, so that readers never see half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
