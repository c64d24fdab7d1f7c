"""Find the files behind the names that a user gives: files, directories, links and lists.

A walk is sorted. It leaves out the destination, temporary files and `.hcdcodec` folders. It does not follow links to
directories, so it always ends. A file or directory that cannot be used becomes a `Remark`, never an exception: one
unreadable directory must not stop ten thousand pictures.

Names are `str` as the operating system gives them, with undecodable bytes as surrogate escapes. They go back to the
system unchanged.
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from hcdcodec.errors import HcdError, UsageError

_TEMPORARY = re.compile(r"\.hcd-[0-9a-f]{16}\.tmp")

ARCHIVE_FOLDER = ".hcdcodec"
"""Folder of an archive that holds weights and a decoder, and no pictures. A walk passes over it."""

DEAD_LINK = "a link that leads nowhere; mend or remove it"
"""What is wrong with a link of a wanted name, see `is_dead_link`."""


class Remark(NamedTuple):
    """A message about a name that did not become a job."""

    name: str
    message: str


@dataclass(frozen=True)
class FoundFile:
    """A regular file to work on."""

    path: Path
    key: str
    """Its name relative to the SRC in which it was found."""
    named: bool
    """Whether the user named this file; False: a walk found it."""


@dataclass
class Findings:
    """The result of a search, in order."""

    found: list[FoundFile] = field(default_factory=list)
    ignored: list[Remark] = field(default_factory=list)
    """Files that a walk found and that are not wanted. They are counted and are not failures."""
    problems: list[Remark] = field(default_factory=list)
    """Names without a file, and files and directories that cannot be read. Each fails alone."""


def search(
    sources: Sequence[str],
    refuse: Callable[[Path], str | None],
    *,
    destination: Path | None = None,
    listed: bool = False,
    exclude: Sequence[str] = (),
) -> Findings:
    """Find the files behind `sources`.

    Args:
        sources: names of files and directories.
        refuse: returns the reason why a walk leaves out a regular file, or a link that leads nowhere; None for a file
            to take. It raises OSError or HcdError for one that the user must know about; that is a problem then.
        destination: directory that every walk leaves out; it need not exist. None: there is none.
        listed: whether `sources` is a list of files. Then directories are ignored, and names keep their relative path.
        exclude: shell patterns of files and directories that are left out. A pattern without a slash is compared with
            the last part of a name. One with a slash is compared with the whole name: relative to SRC in a walk, and
            as the user gave it for a file. A slash at the end counts for nothing, and so does ./ at the beginning.

    Raises:
        UsageError: the only source cannot be used, a directory is its own destination, or a listed name leads out of
            the destination.
    """
    finder = _Finder(refuse, identity(destination) if destination else None, tuple(exclude))
    for name in sources:
        finder.add(name, listed=listed)
    findings = finder.findings
    # With one wrong name there is nothing else to do, so it is a wrong call and not a failed picture.
    if len(sources) == 1 and not listed and findings.problems and not is_directory(sources[0]):
        raise UsageError("{}: {}".format(*findings.problems[0]))
    return findings


def temporary_name() -> str:
    """Return a new name for a file that is being written. A walk passes over it."""
    # With a random part and not the process's number, since threads and other machines write there, too.
    return f".hcd-{secrets.token_hex(8)}.tmp"


def is_temporary(name: str) -> bool:
    """Tell whether a name is one of `temporary_name`. Names that are merely similar belong to the user."""
    return _TEMPORARY.fullmatch(name) is not None


def identity(path: Path | str) -> tuple[int, int] | None:
    """Return (device, inode) of a file, which all of its names share; None where there is no file.

    Comparing paths would not see links, names that differ in case, and folders that are mounted twice.
    """
    status = status_of(path)
    return (status.st_dev, status.st_ino) if status else None


def status_of(path: Path | str | None) -> os.stat_result | None:
    """Return the status of a file, or None if there is no path, no file, or it cannot be reached."""
    try:
        return None if path is None else _status(path)
    except (OSError, ValueError):
        return None


def _status(path: Path | str) -> os.stat_result:
    return os.stat(path)  # noqa: PTH116  (Path("") would be the working directory instead of an error)


def is_directory(path: Path | str) -> bool:
    """Tell whether `path` is a directory that can be reached."""
    status = status_of(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def means_directory(name: str) -> bool:
    """Tell whether a name can only be that of a directory: there is one, or the name ends in /, /. or /.."""
    return name.rpartition("/")[2] in ("", ".", "..") or is_directory(name)


def is_file(path: Path | str) -> bool:
    """Whether `path` leads to a regular file that can be reached."""
    status = status_of(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def is_dead_link(path: Path) -> bool:
    """Tell whether `path` is a link that leads nowhere, as to a disk that is not mounted."""
    return status_of(path) is None and path.is_symlink()


def _is_regular(path: Path) -> bool:
    """Tell whether a name in a folder leads to a regular file; a link that leads nowhere does not.

    Raises:
        OSError: nobody can tell. `Path.is_file` of Python 3.14 returns False then, and the file would be left out.
    """
    try:
        return stat.S_ISREG(_status(path).st_mode)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise


@dataclass
class _Finder:
    refuse: Callable[[Path], str | None]
    own: tuple[int, int] | None
    """Identity of the destination."""
    exclude: tuple[str, ...]
    findings: Findings = field(default_factory=Findings)

    def add(self, name: str, *, listed: bool) -> None:
        """Add the files behind one name that the user gave."""
        try:
            mode = _status(name).st_mode
        except (OSError, ValueError) as error:
            self._add_problem(name, f"{_explain(error)}; check the name")
            return
        path = Path(name)
        if stat.S_ISDIR(mode):
            self._add_directory(path, listed=listed)
        elif stat.S_ISREG(mode) and self.exclude and any(map(self._is_excluded, _with_parents(name))):
            self.findings.ignored.append(Remark(name, "excluded"))
        elif stat.S_ISREG(mode):
            self.findings.found.append(FoundFile(path, _make_key(path) if listed else path.name, named=True))
        else:
            self._add_problem(name, "a pipe, socket or device; feed it through standard input, as -")

    def _add_directory(self, top: Path, *, listed: bool) -> None:
        if listed:  # `find` prints directories and the files in them, so a walk would find each file twice
            self.findings.ignored.append(Remark(str(top), "a folder in a list of files"))
        elif identity(top) == self.own:
            raise UsageError(f"{top} is source and destination at once; name another destination")
        else:
            self._walk(top)

    def _walk(self, top: Path) -> None:
        pending = self._list_entries(top)
        while pending:  # a list as the stack, since a tree can be deeper than Python's limit on recursion
            entry = pending.pop()
            if self.exclude and self._is_excluded(os.path.relpath(entry.path, top)):
                self.findings.ignored.append(Remark(entry.path, "excluded"))
            # A link to a directory goes to `_add_entry`, which ignores it: links can lead back into the same tree.
            elif not entry.is_dir(follow_symlinks=False):
                self._add_entry(entry, top)
            elif entry.name == ARCHIVE_FOLDER:
                continue
            elif self.own is None or identity(entry.path) != self.own:
                pending += self._list_entries(entry.path)

    def _is_excluded(self, name: str) -> bool:
        """Tell whether a pattern fits a name, which has no needless parts such as ./ in it."""
        last = os.path.basename(name)  # noqa: PTH119  (a `Path` for each name of a large folder takes time)
        patterns = [pattern.rstrip("/") for pattern in self.exclude]
        return any(fnmatchcase(name if "/" in glob else last, os.path.normpath(glob)) for glob in patterns)

    def _list_entries(self, folder: Path | str) -> list["os.DirEntry[str]"]:
        try:
            with os.scandir(folder) as entries:
                # In reverse, because the walk takes entries from the end of its stack.
                return sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            self._add_problem(str(folder), f"{_explain(error)}; check who may read this folder")
            return []

    def _add_entry(self, entry: "os.DirEntry[str]", top: Path) -> None:
        if is_temporary(entry.name):
            return
        path = Path(entry.path)
        try:
            why = self.refuse(path) if _is_regular(path) or is_dead_link(path) else _explain_irregular(path)
        except HcdError as error:
            self._add_problem(str(path), str(error))
            return
        except OSError as error:
            self._add_problem(str(path), f"{_explain(error)}; check who may read this file")
            return
        if why:
            self.findings.ignored.append(Remark(str(path), why))
        else:
            self.findings.found.append(FoundFile(path, str(path.relative_to(top)), named=False))

    def _add_problem(self, name: str, message: str) -> None:
        self.findings.problems.append(Remark(name, message))


def _explain_irregular(path: Path) -> str:
    return "a link to a folder; name that folder to have it searched" if is_directory(path) else "no regular file"


def _explain(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return "no possible file name"


def _with_parents(name: str) -> list[str]:
    """Return the name of a file without needless parts, and the names of the folders in it."""
    path = Path(os.path.normpath(name))
    # Not of the folder "." or "..", as the pattern .* means hidden files.
    return [str(part) for part in (path, *path.parents) if part.name not in ("", "..")]


def _make_key(path: Path) -> str:
    """Return the name under the destination for a listed name; an absolute name only loses its root."""
    plain = Path(os.path.normpath(path))
    key = plain.relative_to(plain.anchor)
    if ".." in key.parts:
        raise UsageError(
            f"the result of {path} would lie outside the destination; list absolute names, or names without .."
        )
    return str(key)
