"""Manifests list the installed weights with their paths and hashes. They are JSON, so this module needs no torch.

A weights directory holds `manifest.json` and the files that it lists. Directories are searched in this order: the one
that the user names, $HCDCODEC_WEIGHTS, the user's data directory, the package's own directory.

A broken manifest in a directory that the user named is an error. In another directory it is an error only if the
weights are found nowhere else; otherwise a warning says that the directory was left out. The same warning names a
directory of the user that has no manifest. Another one says that a new small file gets weights of another directory.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import platformdirs

from hcdcodec.errors import ModelError
from hcdcodec.files.disk import write_atomic
from hcdcodec.networks.entry import LATER_FIELDS, Entry, read_entry
from hcdcodec.networks.families import FAMILIES, family_of

MANIFEST = "manifest.json"
NO_WEIGHTS = hashlib.sha256().hexdigest()
"""Model hash of networks without weights."""

# In a checkout, pyproject.toml stands beside the package. Only ours counts: the folder may belong to any project.
_CHECKOUT = re.compile(r'^name = "hcdcodec"$', re.MULTILINE)


@dataclass(frozen=True)
class NetworkId:
    """The identity of a network, as settings and headers need it.

    Attributes:
        name: name of the backbone.
        scale: HR size / LR size.
        hash: model hash of its weights, hexadecimal.
        settings_hash: the model hash that stands for these weights in the text of settings.
        is_pinned: whether the user asked for exactly these weights (`crn@HASH`), so that no others will do.
    """

    name: str
    scale: int
    hash: str
    settings_hash: str
    is_pinned: bool = False


def directories(first: Path | str | None = None) -> tuple[Path, ...]:
    """Return the weights directories in the order of the search. They need not exist."""
    user = user_directory()
    return (*_user_choices(first), *([user] if user else []), _own_directory())


def _user_choices(first: Path | str | None) -> list[Path]:
    """Return the directories that the user named."""
    return [Path(value) for value in (first, os.environ.get("HCDCODEC_WEIGHTS")) if value]


def user_directory() -> Path | None:
    """Return the weights directory of the user, where imports are installed by default. It need not exist.

    The result is None where the user has no home directory: then the path would be relative to the current directory.
    """
    try:
        data = Path(platformdirs.user_data_dir("hcdcodec"))
    except RuntimeError:
        return None
    return data / "weights" if data.is_absolute() else None


def _own_directory() -> Path:
    """Return the directory of the shipped weights. In a wheel it is in the package, in a checkout beside it."""
    package = Path(__file__).resolve().parent.parent
    try:
        is_checkout = _CHECKOUT.search((package.parent / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        is_checkout = None
    # Beside an installed package, in site-packages, a folder `weights` would belong to another package.
    return (package.parent if is_checkout else package) / "weights"


def read_manifest(directory: Path) -> tuple[Entry, ...]:
    """Return the entries of a weights directory; empty where it has no manifest.

    Raises:
        ModelError: the manifest is not one of ours.
    """
    path = directory / MANIFEST
    try:
        if not path.is_file():
            return ()
        content = json.loads(path.read_text(encoding="utf-8"))
        models = content.get("models") if isinstance(content, dict) else None
        if not isinstance(models, list):
            raise ValueError('it has no list of "models"')
        return tuple(map(read_entry, models))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); check who may read it") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not a manifest of weights ({error}); restore it, or remove it") from error


def write_manifest(directory: Path, entries: Sequence[Entry]) -> None:
    """Write a manifest, sorted by name and scale. Entries with the same name and scale keep their order.

    A caller that reads, changes and writes a manifest must hold a lock, see `weights.install`.

    Raises:
        OutputError: it cannot be written.
    """
    models = [
        {name: value for name, value in asdict(entry).items() if value or name not in LATER_FIELDS}
        for entry in sorted(entries, key=lambda entry: (entry.name, entry.scale))
    ]
    write_atomic(directory / MANIFEST, (json.dumps({"models": models}, indent=2) + "\n").encode())


def installed(first: Path | str | None = None) -> tuple[tuple[Path, Entry], ...]:
    """Return (file, entry) of all installed weights in search order, each hash once.

    Raises:
        ModelError: a directory that the user named has a broken manifest.
    """
    found, broken = dict[tuple[str, str, int], tuple[Path, Entry]](), list[ModelError]()
    for path, entry in _search(first, broken):
        found.setdefault((entry.hash, entry.name, entry.scale), (path, entry))
    _warn(broken)
    return tuple(found.values())


def find(name: str, scale: int, prefix: str = "", first: Path | str | None = None) -> tuple[Path, Entry]:
    """Return the first installed file for a backbone.

    Args:
        name: name of the backbone.
        scale: HR size / LR size.
        prefix: first digits of the wanted model hash, hexadecimal; empty = any hash.
        first: directory to search before all others.

    Raises:
        ModelError: there is none, or a directory that the user named has a broken manifest.
    """
    others, broken = list[str](), list[ModelError]()
    for path, entry in _search(first, broken):
        if (entry.name, entry.scale) == (name, scale):
            if entry.hash.startswith(prefix):
                _warn(broken)
                # A file that is decoded names its weights. A new one would get others than the user means, in silence.
                if first and not prefix and path.parent != Path(first):
                    _warn_once(f"{first} holds no weights for {name} x{scale}; those in {path.parent} are taken")
                return path, entry
            others.append(entry.hash[:12])
    raise broken[0] if broken else _missing(name, scale, prefix, others)


def _missing(name: str, scale: int, prefix: str, others: Sequence[str]) -> ModelError:
    """Return the error that names the missing weights, and the installed weights of the same network."""
    if not others:
        remedy = FAMILIES[name].remedy if name in FAMILIES else "see 'hcdcodec models list'"
        return ModelError(f"no weights for {name} x{scale} are installed; {remedy}")
    return ModelError(
        f"needs the {name} x{scale} weights {prefix[:12]}, but only {', '.join(others)} can be found; "
        "name the folder of the missing weights and their manifest.json with --weights-dir"
    )


def identify(backbone: str, scale: int, first: Path | str | None = None) -> NetworkId:
    """Return the identity of the network that `load_backbone` would load.

    Args:
        backbone: a name, or name@HASH with the first digits of a model hash to choose among several.
        scale: HR size / LR size.
        first: directory to search before all others.

    Raises:
        UsageError: no such backbone or scale.
        ModelError: its weights are not installed.
    """
    name, _, prefix = backbone.partition("@")
    if family_of(name, scale).has_weights:
        entry = find(name, scale, prefix, first)[1]
        return NetworkId(name, scale, entry.hash, entry.settings_hash or entry.hash, bool(prefix))
    check_prefix(name, scale, NO_WEIGHTS, prefix)
    return NetworkId(name, scale, NO_WEIGHTS, NO_WEIGHTS, bool(prefix))


def check_file(backbone: str, scale: int, first: Path | str | None = None) -> None:
    """Check that the file of the weights that `load_backbone` would load is there.

    Raises:
        ModelError: it is not, or its entry is not.
    """
    name, _, prefix = backbone.partition("@")
    if family_of(name, scale).has_weights and not (path := find(name, scale, prefix, first)[0]).is_file():
        raise ModelError(f"the weights {path} are missing; install them again")


def is_shipped(model_hash: str) -> bool:
    """Tell whether the package has these weights, so that they are there wherever this release is installed."""
    return model_hash in {NO_WEIGHTS, *(entry.hash for entry in read_manifest(_own_directory()))}


def check_prefix(name: str, scale: int, got: str, prefix: str) -> None:
    """Raise `ModelError` unless a model hash begins with `prefix`."""
    if not got.startswith(prefix):
        raise ModelError(f"needs the {name} x{scale} weights {prefix[:12]}, got {got[:12]}; restore that file")


def _search(first: Path | str | None, broken: list[ModelError]) -> Iterator[tuple[Path, Entry]]:
    """Yield (file, entry) in search order.

    Args:
        first: directory to search before all others.
        broken: a list that gets the errors of directories that the user did not name.
    """
    named = len(_user_choices(first))
    for place, directory in enumerate(directories(first)):
        try:
            entries = read_manifest(directory)
        except ModelError as error:
            if place < named:
                raise
            broken.append(error)
            continue
        # Otherwise a wrong name would mean other weights, in silence.
        if place < named and not (directory / MANIFEST).is_file():
            _warn_once(f"{directory} holds no {MANIFEST}; its weights are left out")
        for entry in entries:
            yield directory / entry.file, entry


def _warn(broken: Sequence[ModelError]) -> None:
    for error in broken:
        _warn_once(f"{error}; its weights are left out")


@cache
def _warn_once(what: str) -> None:
    """Log what is wrong with a directory, but only once in a process."""
    logging.getLogger("hcdcodec").warning("hcdcodec: %s", what)
