"""Turn the names on the command line into jobs. Results are named, and all collisions are found, before any work.

    photo.jpg --encode--> photo.jpg.hcd.png --decode--> photo.jpg.png
    photo.png --encode--> photo.png.hcd.png --decode--> photo.png
    photo.jpg --encode--> photo.jpg.hcd.webp --decode--> photo.jpg.png, with another container
    photo.jpg --encode--> photo.jpg.hcd.png --decode--> photo.jpg, in the format of the source

The source's extension stays in the name, so photo.jpg and photo.png never get the same result. This module knows names
and not pictures: the caller passes a function that tells whether a file is a picture.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hcdcodec.errors import UsageError
from hcdcodec.files.encoded_names import Container, source_name
from hcdcodec.files.find import Remark, identity, is_directory, means_directory, search, status_of
from hcdcodec.files.job import Job
from hcdcodec.files.meetings import settle_meetings
from hcdcodec.files.picture_names import Format, FormatChoice, ending_of, format_of, is_picture_name
from hcdcodec.files.small_files import refuse_other

_STANDARD_STREAM = "-"
_CONTAINER_SUFFIXES = frozenset(f".{container}" for container in Container)


@dataclass(frozen=True)
class Plan:
    """The jobs of a command, and the names that did not become jobs."""

    jobs: tuple[Job, ...]
    ignored: tuple[Remark, ...] = ()
    """Files that a walk found and that are not wanted. They are counted and are not failures."""
    problems: tuple[Remark, ...] = ()
    """Names without a file, and files and directories that cannot be read. Each fails alone."""
    root: Path | None = None
    """The directory of all targets, which may not exist yet; None: standard output."""


def plan_encode(
    sources: Sequence[str],
    destination: str,
    *,
    refuse: Callable[[Path], str | None],
    container: Container = Container.PNG,
    listed: bool = False,
    exclude: Sequence[str] = (),
) -> Plan:
    """Plan the encoding of files and directories into `destination`.

    Args:
        sources: SRC arguments: files, directories, or `-` alone.
        destination: a directory if it exists as one, ends in `/` or `/.`, or must hold several files; `-`: standard
            output.
        refuse: returns the reason why a walk leaves out a file, or None; it raises where this is a failure.
        container: container of the results.
        listed: whether `sources` is a list (see `names_from`): names keep their relative path, directories are ignored.
        exclude: patterns of names to leave out, see `find.search`.

    Raises:
        UsageError: the call makes no sense, or a result would replace a source.
    """
    rule = _Rule(lambda name: f".{container}", lambda name: name + container.suffix, refuse, container)
    return _plan(sources, destination, rule, listed=listed, exclude=exclude)


def plan_decode(sources: Sequence[str], destination: str, *, choice: FormatChoice = None, listed: bool = False) -> Plan:
    """Plan the decoding of files and directories into `destination`. A walk takes only names that encoding gives.

    Args:
        sources: SRC arguments: files, directories, or `-` alone.
        destination: as for `plan_encode`.
        choice: the format of the results. A source of a format that is not written comes back as a PNG.
        listed: as for `plan_encode`.

    Raises:
        UsageError: the call makes no sense, or a result would replace a source.
    """

    def suffix_of(name: str) -> str:
        fmt = format_of(source_name(name) or "") if choice == "source" else choice
        return (fmt or Format.PNG).suffix

    if choice == "source" and not listed and _STANDARD_STREAM in (*sources, destination):
        raise UsageError("the format of a source goes by its name, and - has none; name files, or choose a format")
    rule = _Rule(suffix_of, lambda name: _decode_name(name, suffix_of(name)), refuse_other, choice)
    return _plan(sources, destination, rule, listed=listed, exclude=())


def plan_read(names: Sequence[str], *, listed: bool = False) -> Plan:
    """Plan the reading of small files, without any results. A folder is walked as `plan_decode` walks it.

    Args:
        names: files and folders. Whether a file can be read is found out by what reads it.
        listed: whether `names` is a list. Then directories are ignored, and no file counts as named by the user.
    """
    jobs, ignored, problems = list[Job](), list[Remark](), list[Remark]()
    for name in names:
        if not is_directory(name):
            jobs.append(Job(Path(name), None, name, name, named=not listed))
            continue
        findings = search([name], refuse_other, listed=listed)
        jobs += [Job(f.path, None, str(f.path), f.key, named=False) for f in findings.found]
        ignored += findings.ignored
        problems += findings.problems
        if not (listed or findings.found or findings.problems):
            problems.append(Remark(name, "there is no small file in this folder; name a folder that encode wrote to"))
    return Plan(tuple(jobs), tuple(ignored), tuple(problems))


def names_from(stream: BinaryIO, separator: bytes) -> list[str]:
    r"""Read a list of names that end with `separator` (b"\n" or b"\0"); empty names are left out.

    Raises:
        UsageError: the names end with the other one.
    """
    data = stream.read()
    if separator != b"\0" and b"\0" in data:
        raise UsageError("the names in this list end in NUL, as find -print0 writes them; add -0")
    if separator == b"\0" and b"\0" not in data and data.endswith(b"\n"):
        raise UsageError("no name in this list ends in NUL; leave out -0, or let find write it with -print0")
    return [os.fsdecode(name) for name in data.split(separator) if name]


def shard(jobs: Iterable[Job], index: int, count: int) -> tuple[Job, ...]:
    """Return the share of one machine out of `count`.

    The share of a job depends only on its name. So a new file never moves another file to another machine.

    Args:
        jobs: the jobs of the whole plan.
        index: number of the share, 1 to `count`.
        count: number of shares.

    Raises:
        UsageError: there is no such share.
    """
    if not 1 <= index <= count:
        raise UsageError(f"there is no share {index} of {count}; count from 1 to the number of shares")
    return tuple(job for job in jobs if _share(job.key, count) == index)


def _share(key: str, count: int) -> int:
    # Not `hash`: Python gives other values in every process.
    return 1 + int.from_bytes(hashlib.sha256(os.fsencode(key)).digest()[:8]) % count


def _decode_name(name: str, suffix: str) -> str:
    # Where a user has renamed a small file, the extension is the format of the LR, not of the source.
    if (source := source_name(name)) is not None:
        name = source
    elif ending_of(name) in _CONTAINER_SUFFIXES:
        name = Path(name).stem
    return name if ending_of(name) == suffix else name + suffix


@dataclass(frozen=True)
class _Rule:
    """How results are named and which files are taken; encoding and decoding differ in this."""

    suffix_of: Callable[[str], str]
    """Returns the ending of the format in which the result of a file of this name is stored."""
    rename: Callable[[str], str]
    refuse: Callable[[Path], str | None]
    choice: FormatChoice | Container
    """None: the name of a target may choose another format."""

    def appended(self, job: Job) -> str:
        """Return the ending that decoding has appended, because the source had another format; empty if it has not."""
        if job.source is None or job.target is None:
            return ""
        source, suffix = source_name(job.source.name), self.suffix_of(job.source.name)
        return suffix if source is not None and job.target.name == source + suffix else ""


@dataclass(frozen=True)
class _Place:
    """The destination: a directory in which the rule names the results, one file, or (both None) standard output."""

    root: Path | None = None
    file: Path | None = None

    def make_target(self, key: str, rule: _Rule) -> Path | None:
        if self.root is None:
            return self.file
        name = Path(key)
        return self.root / name.with_name(rule.rename(name.name))

    @property
    def folder(self) -> Path | None:
        return self.file.parent if self.file else self.root


def _plan(sources: Sequence[str], destination: str, rule: _Rule, *, listed: bool, exclude: Sequence[str]) -> Plan:
    _check_arguments(sources, destination, listed=listed)
    place = _place(sources, destination, rule, listed=listed)
    if not listed and sources[0] == _STANDARD_STREAM:
        _check_input_survives(place.file)
        return Plan((Job(None, place.file, "standard input", "", named=True),), root=place.folder)
    findings = search(sources, rule.refuse, destination=place.root, listed=listed, exclude=exclude)
    jobs = [Job(f.path, place.make_target(f.key, rule), str(f.path), f.key, f.named) for f in findings.found]
    settled, problems = settle_meetings(jobs, rule.appended)
    _check_sources_survive(jobs, settled)
    return Plan(settled, tuple(findings.ignored), (*findings.problems, *problems), place.folder)


def _check_arguments(sources: Sequence[str], destination: str, *, listed: bool) -> None:
    if not destination:
        raise UsageError("the destination is empty; name a file or a folder, or - for standard output")
    if listed and destination == _STANDARD_STREAM:
        raise UsageError("a list of files does not fit into standard output; name a folder")
    if not listed and not sources:
        raise UsageError("there is no source; name at least one picture or folder")
    if not listed and len(sources) > 1 and _STANDARD_STREAM in (*sources, destination):
        raise UsageError("- stands for one picture; use it with a single source (./- is a file of that name)")


def _place(sources: Sequence[str], destination: str, rule: _Rule, *, listed: bool) -> _Place:
    several = listed or len(sources) > 1 or is_directory(sources[0])
    if destination == _STANDARD_STREAM:
        if several:
            raise UsageError("a folder does not fit into standard output; name a folder to write to")
        return _Place()
    if several or means_directory(destination):
        return _Place(root=_check_root(Path(destination), nameless=not listed and sources[0] == _STANDARD_STREAM))
    return _Place(file=_check_file(Path(destination), rule, sources[0]))


def _check_root(path: Path, *, nameless: bool) -> Path:
    if nameless:
        raise UsageError("standard input has no name to store its result under; name a file as destination")
    if status_of(path) and not is_directory(path):
        raise UsageError(f"{path} is a file where a folder is needed; name another destination")
    return path


def _check_file(path: Path, rule: _Rule, source: str) -> Path:
    status = status_of(path)
    if status and not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is no regular file; name another destination, or - for standard output")
    suffix = rule.suffix_of(Path(source).name)
    if rule.choice is None and format_of(path.name):
        return path
    # Names without a picture suffix pass, such as /tmp/result. But then nothing would say the format of a source.
    if ending_of(path.name) != suffix and (is_picture_name(path.name) or rule.choice == "source"):
        raise UsageError(
            f"{path} would hold {(format_of(suffix) or suffix[1:]).upper()} data; let its name end in {suffix}"
        )
    return path


def _check_input_survives(target: Path | None) -> None:
    """Refuse to replace the file that standard input is read from, which is a source like any other."""
    try:
        status = os.fstat(0)
    except OSError:  # it is closed
        return
    if target is not None and identity(target) == (status.st_dev, status.st_ino):
        raise UsageError(f"{target} is standard input, and its result would replace it; name another destination")


def _check_sources_survive(jobs: Sequence[Job], settled: Sequence[Job]) -> None:
    """Refuse the whole call where a result would replace a source, so that no picture is lost."""
    # The jobs before `settle_meetings`, too: it may have failed or renamed a job that would have replaced a source.
    sources = {identity(job.source): job.name for job in jobs if job.source}
    for job in {*jobs, *settled}:
        existing = identity(job.target) if job.target else None
        if existing is not None and existing in sources:
            raise UsageError(f"{job.target} is a source, and {job.name} would replace it; name another destination")
