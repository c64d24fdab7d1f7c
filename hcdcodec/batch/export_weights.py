"""Copy into an archive what decoding it needs: weights, and a decoder that needs no hcdcodec."""

import errno
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hcdcodec.errors import ContainerError, ModelError, OutputError, UsageError
from hcdcodec.files import disk
from hcdcodec.files.find import ARCHIVE_FOLDER, Remark, is_directory, search
from hcdcodec.files.small_files import refuse_other
from hcdcodec.format import container
from hcdcodec.networks import archive
from hcdcodec.networks.families import FAMILIES
from hcdcodec.networks.manifest import check_prefix, find
from hcdcodec.networks.weights import model_hash


@dataclass(frozen=True)
class Need:
    """A network that small files name.

    Attributes:
        name: name of the backbone.
        scale: HR size / LR size.
        prefix: the first 32 digits of its model hash, which headers hold.
    """

    name: str
    scale: int
    prefix: str

    def __str__(self) -> str:
        return f"{self.name} x{self.scale} {self.prefix[:12]}"


@dataclass(frozen=True)
class Needs:
    """What an archive needs.

    Attributes:
        counts: number of files by the network that they name; networks without weights are left out.
        folders: folders of these files, and those above them in the archive; they may have the weights already.
        problems: files and folders that cannot be read.
    """

    counts: Counter[Need]
    folders: Mapping[Need, Iterable[Path]]
    problems: tuple[Remark, ...]


def survey_archive(directory: Path) -> Needs:
    """Find out which weights the small files of an archive need, from their headers.

    Raises:
        UsageError: there is no such directory, or no small file in it.
    """
    if not is_directory(directory):
        raise UsageError(f"{directory} is no folder; name the folder of the small files")
    findings = search([str(directory)], refuse_other)
    counts, folders, problems = Counter[Need](), defaultdict[Need, dict[Path, None]](dict), list(findings.problems)
    for found in findings.found:
        try:
            with disk.SlicedFile(found.path) as file:
                header = container.peek(file)
        except ContainerError as error:
            problems.append(Remark(str(found.path), str(error)))
            continue
        except OSError as error:
            reason = f"cannot be read ({os.strerror(error.errno or errno.EIO).lower()}); check who may read it"
            problems.append(Remark(str(found.path), reason))
            continue
        # A network that this release does not know has weights, too.
        if header.backbone not in FAMILIES or FAMILIES[header.backbone].has_weights:
            need = Need(header.backbone, header.scale, header.model_hash.hex())
            counts[need] += 1
            folders[need].update(dict.fromkeys(archive.folders_above(found.path, len(Path(found.key).parts))))
    if not findings.found and not problems:
        raise UsageError(f"there is no small file in {directory}; name the folder of the small files")
    return Needs(counts, folders, tuple(problems))


def exported_path(directory: Path, need: Need) -> Path:
    """Return where the weights of a network stand in an archive."""
    return directory / ARCHIVE_FOLDER / f"{need.prefix}.safetensors"


def export_weights(need: Need, directory: Path, weights_dir: Path | None, folders: Iterable[Path] = ()) -> Path:
    """Copy weights into an archive, if it does not have them there yet.

    Args:
        need: the network.
        directory: folder of the archive.
        weights_dir: directory to search for weights before all others.
        folders: folders of the archive that may have them in their own `.hcdcodec`; searched after all others.

    Returns:
        Path of the copy.

    Raises:
        ModelError: the weights are nowhere, or are such as decoding does not take from an archive.
        OutputError: they cannot be written.
    """
    target = exported_path(directory, need)
    if not _is_there(target, need):
        data = _read_found(need, weights_dir, tuple(folders))
        state = archive.read_state(data)
        if state is None:
            limit = f"{archive.BYTES_MAX // 1_000_000} MB of 16 or 32-bit floats"
            raise ModelError(f"the weights are damaged, or more than {limit}; keep them and their manifest yourself")
        archive.check_portable(need.name, need.scale, state)
        check_prefix(need.name, need.scale, model_hash(state), need.prefix)
        _store(target, data)
    return target


def export_decoder(directory: Path) -> Path:
    """Write the reference decoder into an archive, and return its path.

    Raises:
        OutputError: it cannot be written.
    """
    target = directory / ARCHIVE_FOLDER / "decode.py"
    _store(target, (files("hcdcodec") / "docs" / "decode.py").read_bytes())
    return target


def _read_found(need: Need, weights_dir: Path | None, folders: Sequence[Path]) -> bytes:
    """Return the file of installed weights; where there is none, one that came with a part of the archive."""
    try:
        return _read_installed(find(need.name, need.scale, need.prefix, weights_dir)[0])
    except ModelError:
        path = archive.ArchiveWeights().path_of(need.name, need.prefix, folders)
        if path is None:
            raise
        return archive.read_plain(path)


def _read_installed(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the weights {path} ({error.strerror}); install them again") from error


def _store(target: Path, data: bytes) -> None:
    """Write a file of an archive, never through a link: whoever made the archive made the link, too."""
    for path in (target.parent, target):
        if os.path.islink(path):  # noqa: PTH114  (`is_symlink` raises where the folder cannot be looked into)
            raise OutputError(f"{path} is a link; remove it")
    disk.sweep(target.parent)
    disk.write_atomic(target, data)


def _is_there(target: Path, need: Need) -> bool:
    state = archive.read_state(archive.read_plain(target))
    return state is not None and model_hash(state).startswith(need.prefix)
