"""Who may read a result: nobody who may not read its source, unless the user has allowed it since.

A new file or folder gets no permission that its source does not have, as `cp` does it. A file that is replaced keeps
its mode, its group and, where that is permitted, its owner and its access list, even where they are wider.
"""

import contextlib
import os
import stat
from pathlib import Path

_FILE, _FOLDER = 0o666, 0o777
_OWNER_FILE, _OWNER_FOLDER = 0o600, 0o700
"""What the owner always may, so that the next run can replace the result."""

_ACCESS_LIST = "system.posix_acl_access"


def create_like(path: Path, source: Path | None) -> int:
    """Create a file with the permissions that a copy of `source` would get, and open it for writing.

    Args:
        path: where nothing stands.
        source: what the file is made from; None: as any new file.

    Returns:
        Its descriptor.

    Raises:
        OSError: it cannot be created.
    """
    # The system takes the user's umask, or the folder's default access list, from the mode.
    mode = _FILE & _mode_of(source) | _OWNER_FILE
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode)


def keep_permissions(descriptor: int, replaced: Path, status: os.stat_result) -> None:
    """Give an open file the owner, group, mode and access list of the file that it will replace.

    Args:
        descriptor: of the new file.
        replaced: the file whose place it takes.
        status: of that file.
    """
    mode = stat.S_IMODE(status.st_mode)
    with contextlib.suppress(OSError):
        os.fchown(descriptor, status.st_uid, -1)
    try:
        os.fchown(descriptor, -1, status.st_gid)
    except OSError:
        mode &= ~0o070  # what the old group was allowed must not go to another one
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, mode)
    if hasattr(os, "setxattr"):
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, _ACCESS_LIST, os.getxattr(replaced, _ACCESS_LIST))


def make_folders(folder: Path, source: Path | None) -> None:
    """Make a folder and those above it that are missing, each with the permissions of the source's folder there.

    Args:
        folder: where results go.
        source: the folder that it mirrors, so that the folders above mirror those above; None: as any new folder.

    Raises:
        OSError: one of them cannot be made.
    """
    missing = []
    while not folder.is_dir():
        missing.append((folder, source))
        if folder.parent == folder:
            break
        folder, source = folder.parent, source and source.parent
    for place, like in reversed(missing):
        try:
            place.mkdir(_FOLDER & _mode_of(like) | _OWNER_FOLDER)
        except FileExistsError:
            if not place.is_dir():  # else another thread, or run, was faster
                raise


def _mode_of(source: Path | None) -> int:
    if source is None:
        return _FOLDER
    try:
        return stat.S_IMODE(source.stat().st_mode)
    except OSError:  # gone meanwhile: nobody knows what it was allowed
        return 0
