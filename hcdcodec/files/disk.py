"""Bytes to and from the disk: whole files or none.

A result is written under a hidden name beside its target, forced to the disk and renamed onto the target: at every
moment the target is the complete old file or the complete new one, whatever is killed, unplugged or full.
"""

import contextlib
import errno
import hashlib
import io
import os
import secrets
import stat
import time
from pathlib import Path
from typing import BinaryIO

from hcdcodec.errors import OutputError, PictureError
from hcdcodec.files.find import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, status_of
from hcdcodec.files.permissions import create_like, keep_permissions, make_folders

MAX_BYTES = 9 << 28
"""Larger files are not read: no picture within the default limit on pixels needs as much."""

_PART_BYTES = 1 << 20
_CHANGED = "changed while it was being worked on; run again once it is complete"
_BLOCKED = "a file stands where a directory is needed; move it away, or name another destination"
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems say that know no `fsync`; an error of the disk, or a full one, is something else."""

_EXPLANATIONS = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EFBIG: "larger than files may be here; raise the limit (ulimit -f) and run again",
    errno.EROFS: "the file system is read-only; name another destination",
    errno.EACCES: "permission denied; check who may write to the destination",
    errno.EPERM: "not permitted; check who may write to the destination",
    errno.EINVAL: "the file system does not allow this name; rename the source, or name another destination",
    errno.EILSEQ: "the file system does not allow this name; rename the source, or name another destination",
    errno.ENAMETOOLONG: "the result's name is too long for the file system; shorten the source's name",
    errno.EEXIST: _BLOCKED,
    errno.ENOTDIR: _BLOCKED,
}


def most_bytes(max_pixels: int) -> int:
    """Return the bytes above which no file is read: 8 a pixel hold every kind without compression."""
    return 8 * max_pixels + (1 << 28)


def read(path: Path, *, limit: int = MAX_BYTES) -> bytes:
    """Read a whole source file; see `read_steady`."""
    return read_steady(path, limit=limit)[0]


def read_steady(path: Path, *, limit: int = MAX_BYTES) -> tuple[bytes, os.stat_result]:
    """Read a whole source file and the status that belongs to what was read.

    Args:
        path: a regular file.
        limit: bytes above which nothing is read.

    Raises:
        PictureError: it cannot be read, is no regular file, is too large, or was changed meanwhile.
    """
    try:
        with io.BufferedReader(io.FileIO(path, opener=_open_at_once)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PictureError("a directory, pipe or device instead of a file; name a regular file")
            _check_bytes(status.st_size, limit)
            data = file.read(status.st_size + 1)
            if len(data) != status.st_size or _content_marks(os.fstat(file.fileno())) != _content_marks(status):
                raise PictureError(_CHANGED)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO).lower()
        raise PictureError(f"cannot be read ({reason}); check the file and who may read it") from error
    return data, status


def read_head(path: Path, count: int) -> bytes:
    """Read at most `count` bytes of a file's beginning.

    Raises:
        OSError: it cannot be read.
    """
    with io.FileIO(path, opener=_open_at_once) as file:
        return file.read(count) or b""


def touch(path: Path, times: tuple[int, int]) -> bool:
    """Set the times of last access and modification, in ns since 1970; tell whether that was permitted."""
    try:
        os.utime(path, ns=times)
    except OSError:
        return False
    return True


def read_stream(stream: BinaryIO, *, limit: int = MAX_BYTES) -> bytes:
    """Read a stream to its end, or until it has given a little more than `limit` bytes."""
    data = bytearray()
    while len(data) <= limit and (part := stream.read(_PART_BYTES)):
        data += part
    return bytes(data)


def check_unchanged(path: Path, status: os.stat_result) -> None:
    """Make sure that a source is still the file that was read: else its result would look newer than it is.

    Args:
        path: where it was read; a source that is gone meanwhile was whole when it was read.
        status: that `read_steady` returned with it.

    Raises:
        PictureError: it was changed or replaced.
    """
    now = status_of(path)
    if now is not None and _content_marks(now) != _content_marks(status):
        raise PictureError(_CHANGED)


def write_atomic(path: Path, data: bytes, *, source: Path | None = None) -> None:
    """Put `data` at `path`, completely or not at all; missing directories are made, a link's destination is replaced.

    Args:
        path: where to; if something stands there, it must be a regular file.
        data: the whole content.
        source: the file that it was made from: see `hcdcodec.files.permissions` for who may read the result.

    Raises:
        OutputError: it cannot be stored; whatever stood at `path` is untouched.
    """
    try:
        final = Path(os.path.realpath(path))
        _check_replaceable(final)
        make_folders(final.parent, source and source.absolute().parent)
        _replace(final, data, source)
    except OSError as error:
        raise OutputError(_explain(error)) from error
    _sync_directory(final.parent)


def sweep(directory: Path, *, age_s: float = 86400.0) -> int:
    """Remove what killed runs left in `directory`; younger files may belong to a run that still goes on.

    Args:
        directory: where results are written; need not exist.
        age_s: age in seconds from which a file that is being written counts as left behind.

    Returns:
        How many files were removed.
    """
    removed = 0
    with contextlib.suppress(OSError):  # there is no such folder, or its name is too long to be one
        for leftover in directory.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
            with contextlib.suppress(OSError):  # another run may sweep at the same time
                if leftover.lstat().st_mtime < time.time() - age_s:
                    leftover.unlink()
                    removed += 1
    return removed


def source_digest(data: bytes) -> bytes:
    """Return the 8 bytes by which a header recognises its source: the start of SHA-256."""
    return hashlib.sha256(data).digest()[:8]


def _check_bytes(size: int, limit: int) -> None:
    if size > limit:
        raise PictureError(f"file has {size} bytes, the limit is {limit}; raise the limit on pixels")


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    try:
        return os.open(path, flags | os.O_NONBLOCK)
    except BlockingIOError:
        # Another program holds a lease on the file, as Samba does: it gives that up only to those who wait.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            raise
        return os.open(path, flags)


def _content_marks(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check_replaceable(path: Path) -> None:
    """Refuse to rename over /dev/null and its like, which would replace the device by a file."""
    status = status_of(path)
    if status and not stat.S_ISREG(status.st_mode):
        raise OutputError("a directory or device stands in the way; name another destination")


def _replace(path: Path, data: bytes, source: Path | None) -> None:
    temporary, replaced = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"), status_of(path)
    try:
        with os.fdopen(create_like(temporary, source), "wb") as file:
            file.write(data)
            file.flush()
            if replaced:
                keep_permissions(file.fileno(), path, replaced)
            _sync(file.fileno())
        temporary.replace(path)
    except BaseException:  # an interrupt, too, must leave nothing behind
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sync(descriptor: int) -> None:
    """Force a file to the disk, where its file system can do that at all."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _sync_directory(path: Path) -> None:
    """Make the new name survive a power cut as well.

    Failure is no error: the result is complete, and some file systems cannot do this at all.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _explain(error: OSError) -> str:
    code = error.errno or errno.EIO
    return _EXPLANATIONS.get(code, f"cannot be written ({os.strerror(code).lower()}); check the destination")
