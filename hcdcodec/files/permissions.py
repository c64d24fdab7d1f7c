"""Permissions of results: a person who may not read the sources may not read the result, unless the user allows it.

As with `cp`, a new file or folder gets no permission that one of its sources does not have. A file that is replaced
keeps its mode and group and, if the system permits it, its owner and access list, even if they allow more than that.
"""

import contextlib
import operator
import os
import stat
from collections.abc import Iterable, Sequence
from functools import reduce
from pathlib import Path

_FILE, _FOLDER = 0o666, 0o777
_OWNER_FILE, _OWNER_FOLDER = 0o600, 0o700
"""Permissions that the owner always gets, so that the next run can replace the result."""

_ACCESS_LIST = "system.posix_acl_access"


def create_like(path: Path, sources: Iterable[Path]) -> int:
    """Create a file with those permissions that a copy of each source would get, and open it for writing.

    Args:
        path: path of the new file; it must not exist.
        sources: the files that it is made from; without any, it gets the permissions of any new file.

    Returns:
        The file descriptor.

    Raises:
        OSError: the file cannot be created.
    """
    # The system itself removes the bits of the user's umask, or of the folder's default access list.
    mode = _FILE & _common_mode(sources) | _OWNER_FILE
    # O_EXCL also refuses a link that someone else has put there.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode)


def keep_permissions(descriptor: int, replaced: Path, status: os.stat_result) -> None:
    """Give an open file the owner, group, mode and access list of the file that it will replace.

    Args:
        descriptor: descriptor of the new file.
        replaced: the file that it will replace.
        status: status of that file.
    """
    # Owner and group before the mode: chown clears the set-user-id bits.
    mode = stat.S_IMODE(status.st_mode)
    with contextlib.suppress(OSError):
        os.fchown(descriptor, status.st_uid, -1)
    try:
        os.fchown(descriptor, -1, status.st_gid)
    except OSError:
        mode &= ~0o070  # the file has another group now, which must not get the permissions of the old group
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, mode)
    if hasattr(os, "setxattr"):
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, _ACCESS_LIST, os.getxattr(replaced, _ACCESS_LIST))


def make_folders(folder: Path, sources: Sequence[Path]) -> None:
    """Make a folder and its missing parents. Each gets the common permissions of the source folders that it mirrors.

    Args:
        folder: a folder for results.
        sources: the source folders that it mirrors; the parents mirror their parents. Without any, it gets the
            permissions of any new folder.

    Raises:
        OSError: a folder cannot be made.
    """
    missing = []
    while not folder.is_dir():
        missing.append((folder, sources))
        if folder.parent == folder:
            break
        folder, sources = folder.parent, [source.parent for source in sources]
    for place, like in reversed(missing):
        try:
            place.mkdir(_FOLDER & _common_mode(like) | _OWNER_FOLDER)
        except FileExistsError:
            if not place.is_dir():  # otherwise another thread, or another run, has just made it
                raise


def representatives(files: Iterable[Path]) -> tuple[Path, ...]:
    """Return some of many files, one of each permissions of file and folder. As sources they stand for all."""
    return tuple({(_mode_of(file), _mode_of(file.parent)): file for file in files}.values())


def _common_mode(sources: Iterable[Path]) -> int:
    return reduce(operator.and_, map(_mode_of, sources), _FOLDER)


def _mode_of(source: Path) -> int:
    try:
        return stat.S_IMODE(source.stat().st_mode)
    except OSError:  # the source is gone, and so are its permissions: only the owner gets any
        return 0
