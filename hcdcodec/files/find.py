"""From names to the files that stand behind them: lists, directories, links, and everything that is none of these.

A walk is sorted, leaves out the destination and files that are just being written, and does not follow links to
directories, so that it ends whatever the tree looks like. What cannot be taken becomes a `Remark`, never an exception:
one unreadable directory must not stop ten thousand pictures.

Names are `str` as the operating system gives them (undecodable bytes as surrogate escapes) and go back to it unchanged.
"""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from hcdcodec.errors import HcdError, UsageError

TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".hcd-", ".tmp"
"""Files that are just being written, or that a killed run left behind; a walk never sees them."""


class Remark(NamedTuple):
    """One sentence about one name that did not become a job."""

    name: str
    message: str


@dataclass(frozen=True)
class Found:
    """A regular file to work on."""

    path: Path
    key: str
    """Its name inside the SRC that led to it, with that SRC left off."""
    named: bool
    """Given by the user; False: met while walking."""


@dataclass
class Findings:
    """What a search found, in order."""

    found: list[Found] = field(default_factory=list)
    ignored: list[Remark] = field(default_factory=list)
    """Met while walking and not wanted: no failure, only counted."""
    problems: list[Remark] = field(default_factory=list)
    """Names that lead nowhere, files and directories that cannot be read: each fails alone."""


def search(
    sources: Sequence[str],
    refuse: Callable[[Path], str | None],
    *,
    destination: Path | None,
    listed: bool,
    exclude: Sequence[str] = (),
) -> Findings:
    """Find the files behind `sources`.

    Args:
        sources: names of files and directories.
        refuse: why a regular file met while walking is not wanted, or None. It raises OSError or HcdError where the
            user has to hear of the file: that is a problem then.
        destination: directory to leave out of every walk; it need not exist.
        listed: `sources` is a list of files: directories in it are ignored and the names keep their relative path.
        exclude: shell patterns of what a walk leaves out, files and directories. A pattern without a slash is matched
            with the last part of a name, one with a slash with the whole name inside its SRC.

    Raises:
        UsageError: the only source there is cannot be used, a directory is its own destination, or a listed name
            climbs out of the destination.
    """
    finder = _Finder(refuse, identity(destination) if destination else None, tuple(exclude))
    for name in sources:
        finder.add(name, listed=listed)
    findings = finder.findings
    if len(sources) == 1 and not listed and findings.problems and not is_directory(sources[0]):
        raise UsageError("{}: {}".format(*findings.problems[0]))
    return findings


def identity(path: Path | str) -> tuple[int, int] | None:
    """Return what all names of one existing file share, whatever the links, letter case and mounts; None: no file."""
    status = status_of(path)
    return (status.st_dev, status.st_ino) if status else None


def status_of(path: Path | str) -> os.stat_result | None:
    """Return the status of what `path` leads to, or None if it leads nowhere or out of reach."""
    try:
        return _status(path)
    except (OSError, ValueError):
        return None


def _status(path: Path | str) -> os.stat_result:
    return os.stat(path)  # noqa: PTH116  (Path("") would be the working directory instead of an error)


def is_directory(path: Path | str) -> bool:
    """Whether `path` leads to a directory that can be reached."""
    status = status_of(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


@dataclass
class _Finder:
    refuse: Callable[[Path], str | None]
    own: tuple[int, int] | None
    """Identity of the destination."""
    exclude: tuple[str, ...]
    findings: Findings = field(default_factory=Findings)

    def add(self, name: str, *, listed: bool) -> None:
        """Take one name that the user gave."""
        try:
            mode = _status(name).st_mode
        except (OSError, ValueError) as error:
            self._problem(name, f"{_reason(error)}; check the name")
            return
        if stat.S_ISDIR(mode):
            self._add_directory(Path(name), listed=listed)
        elif stat.S_ISREG(mode):
            path = Path(name)
            self.findings.found.append(Found(path, _listed_key(path) if listed else path.name, named=True))
        else:
            self._problem(name, "a pipe, socket or device; feed it through standard input, as -")

    def _add_directory(self, top: Path, *, listed: bool) -> None:
        if listed:  # `find` prints directories along with what they hold: walking them would take everything twice
            self.findings.ignored.append(Remark(str(top), "a directory in a list of files"))
        elif identity(top) == self.own:
            raise UsageError(f"{top} is source and destination at once; name another destination")
        else:
            self._walk(top)

    def _walk(self, top: Path) -> None:
        pending = self._entries(top)
        while pending:  # a stack of its own, since trees can be deeper than Python's
            entry = pending.pop()
            if self._is_excluded(entry, top):
                self.findings.ignored.append(Remark(entry.path, "excluded"))
            elif not entry.is_dir(follow_symlinks=False):
                self._meet(entry, top)
            elif self.own is None or identity(entry.path) != self.own:
                pending += self._entries(entry.path)

    def _is_excluded(self, entry: "os.DirEntry[str]", top: Path) -> bool:
        key = os.path.relpath(entry.path, top) if self.exclude else ""
        return any(fnmatchcase(key if "/" in glob else entry.name, glob.removesuffix("/")) for glob in self.exclude)

    def _entries(self, folder: Path | str) -> list["os.DirEntry[str]"]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            self._problem(str(folder), f"{_reason(error)}; check who may read this directory")
            return []

    def _meet(self, entry: "os.DirEntry[str]", top: Path) -> None:
        if entry.name.startswith(TEMPORARY_PREFIX) and entry.name.endswith(TEMPORARY_SUFFIX):
            return
        path = Path(entry.path)
        try:
            why = self.refuse(path) if path.is_file() else "no regular file"
        except HcdError as error:
            self._problem(str(path), str(error))
            return
        except OSError as error:
            self._problem(str(path), f"{_reason(error)}; check who may read this file")
            return
        if why:
            self.findings.ignored.append(Remark(str(path), why))
        else:
            self.findings.found.append(Found(path, str(path.relative_to(top)), named=False))

    def _problem(self, name: str, message: str) -> None:
        self.findings.problems.append(Remark(name, message))


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return "no possible file name"


def _listed_key(path: Path) -> str:
    """Return the part of a listed name that is repeated under the destination: absolute names only lose their root."""
    plain = Path(os.path.normpath(path))
    key = plain.relative_to(plain.anchor)
    if ".." in key.parts:
        raise UsageError(f"{path} leads out of the destination; list absolute names, or names from further up")
    return str(key)
