"""Read, hash and install weights, which are tensors in safetensors files."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from hcdcodec.errors import ModelError, OutputError
from hcdcodec.files.disk import sweep, write_atomic
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.manifest import read_manifest, write_manifest

_LOCK = ".manifest.lock"

# Types that numpy has, too: the hash is over numpy's bytes.
_FLOATS = (torch.float16, torch.float32, torch.float64)
_DTYPES = (*_FLOATS, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def model_hash(state: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 over the sorted (name, dtype, shape, little-endian bytes) of the tensors, in hexadecimal.

    The hash identifies the numbers and not the file. It stays the same if they are saved in another order or format.
    """
    digest = hashlib.sha256()
    # Sorted, and with zero bytes between the parts, so that no two sets of tensors give the same text.
    for name in sorted(state):
        values = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{str(values.dtype).removeprefix('torch.')}\0{tuple(values.shape)}\0".encode())
        array = values.numpy()
        digest.update((array.byteswap() if sys.byteorder == "big" else array).tobytes())
    return digest.hexdigest()


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        ModelError: the file cannot be read or is empty, or a value is not finite or has a type without a hash.
        MemoryError: there is too little memory for it.
    """
    try:
        if path.exists() and not path.is_file():
            raise ModelError(f"the weights {path} are no file; name a .safetensors file")
        state = load_file(path)
    except (OSError, SafetensorError, KeyError) as error:  # KeyError: a number type that torch does not have
        raise ModelError(f"cannot read the weights {path} ({error}); install them again") from error
    except RuntimeError as error:  # torch maps the file into memory
        if "Cannot allocate memory" in str(error):
            raise MemoryError from error
        raise ModelError(f"cannot read the weights {path} ({error}); copy them to another disk") from error
    check_weights(state, str(path))
    return state


def check_weights(state: Mapping[str, torch.Tensor], name: str) -> None:
    """Check the values of weights.

    Args:
        state: the tensors.
        name: what messages call them.

    Raises:
        ModelError: there are none, or a value is not finite or has a type without a hash, or a size is impossible.
    """
    if not state:
        raise ModelError(f"the weights {name} hold no tensors; install them again")
    for tensor, values in state.items():
        if values.dtype not in _DTYPES:
            dtype = str(values.dtype).removeprefix("torch.")
            raise ModelError(f"the weights {name} hold {dtype} values ({tensor}); save them as float32")
        try:
            is_finite = bool(torch.isfinite(values).all())
        except RuntimeError as error:  # no values, but sides whose product no number holds
            raise ModelError(f"the weights {name} are of an impossible size ({tensor}); install them again") from error
        if not is_finite:
            raise ModelError(f"the weights {name} hold values that are not finite ({tensor}); install them again")


def differences(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Size]) -> str:
    """Return how names and shapes of tensors differ from the expected ones, with three names of a kind; else empty."""
    shapes = {
        name: f"{name} {tuple(state[name].shape)} for {tuple(expected[name])}" for name in state.keys() & expected
    }
    complaints = {
        "missing": expected.keys() - state.keys(),
        "unknown": state.keys() - expected.keys(),
        "other shape": {words for name, words in shapes.items() if state[name].shape != expected[name]},
    }
    return "; ".join(
        f"{len(names)} {kind}: {', '.join(sorted(names)[:3])}{', ...' * (len(names) > 3)}"
        for kind, names in complaints.items()
        if names
    )


def install(state: Mapping[str, torch.Tensor], entry: Entry, directory: Path) -> Path:
    """Write weights and their manifest entry. Several processes may do this at the same time.

    If other weights have the same file name, they move to a name with their hash, since existing files may need them.
    This holds for weights without an entry, too, and they get one.
    Of several entries with one backbone and scale, the newest stands first, and encoding takes it.

    Returns:
        Path of the written file.

    Raises:
        OutputError: the directory cannot be written.
        ModelError: the manifest of the directory is broken.
    """
    tensors = {name: values.detach().cpu().contiguous() for name, values in state.items()}
    data = save(tensors, metadata={"backbone": entry.name, "scale": str(entry.scale), "hash": entry.hash})
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / _LOCK):
            _add(data, entry, directory)
    except (OSError, NotImplementedError) as error:  # NotImplementedError: this file system has no locks
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"cannot write weights to {directory} ({reason}); choose another folder") from error
    except OutputError as error:
        raise OutputError(f"cannot write weights to {directory}: {error}") from error
    return directory / entry.file


def _add(data: bytes, entry: Entry, directory: Path) -> None:
    """Write a file and its entry, in an order in which no entry ever names a file with other content."""
    sweep(directory)
    path = directory / entry.file
    listed = list(read_manifest(directory))
    if path.is_file() and all(old.file != entry.file for old in listed):
        listed += _read_unlisted(path, entry)
    kept = [old for old in listed if (old.file, old.hash) != (entry.file, entry.hash)]
    if any(old.file == entry.file for old in kept):
        if path.exists():
            kept = [_move_aside(old, directory) if old.file == entry.file else old for old in kept]
        else:  # a user has removed these weights
            kept = [old for old in kept if old.file != entry.file]
        write_manifest(directory, kept)
    write_atomic(path, data)
    write_manifest(directory, [entry, *kept])


def _read_unlisted(path: Path, entry: Entry) -> list[Entry]:
    """Return an entry for the file in the place of `entry`. A file that holds no weights moves aside and gets none."""
    try:
        state = read_weights(path)
    except ModelError:
        _move_aside(replace(entry, hash=hashlib.sha256(path.read_bytes()).hexdigest()), path.parent)
        return []
    digest, count = model_hash(state), sum(values.numel() for values in state.values())
    return [Entry(entry.name, entry.scale, entry.file, digest, count)]


def _move_aside(entry: Entry, directory: Path) -> Entry:
    """Copy the weights of an entry to a file name with their hash."""
    path = directory / entry.file
    moved = path.with_stem(f"{path.stem}_{entry.hash[:12]}")
    write_atomic(moved, path.read_bytes())
    return replace(entry, file=moved.name)
