"""Read and write whole files.

A result is written under a hidden name in the folder of its target, forced to the disk, and renamed to the target. So
the target is always the complete old file or the complete new one, even if the process is killed, the power fails or
the disk is full.
"""

import contextlib
import errno
import hashlib
import io
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Self

from hcdcodec.errors import OutputError, PictureError, UsageError
from hcdcodec.files.find import is_directory, is_file, is_temporary, status_of, temporary_name
from hcdcodec.files.names import printable
from hcdcodec.files.permissions import create_like, keep_permissions, make_folders

MAX_FILE_BYTES = 9 << 28
"""Larger files are not read. No picture within the default limit on pixels needs so many bytes."""

DIGEST_BYTES = 8
_PART_BYTES = 1 << 20
_CHANGED = "changed while it was being worked on; run again once it is complete"
_BLOCKED = "a file stands where a folder is needed; move it away, or name another destination"
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""Errors of file systems without `fsync`. Errors of the disk, such as a full one, are not among them."""

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
    """Return the number of bytes above which no file is read."""
    # 8 bytes a pixel hold any format without compression (four samples of 16 bits); the constant is for metadata.
    return 8 * max_pixels + (1 << 28)


def read(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Read a whole source file; see `read_steady`."""
    return read_steady(path, limit=limit)[0]


def read_steady(path: Path, *, limit: int = MAX_FILE_BYTES) -> tuple[bytes, os.stat_result]:
    """Read a whole source file, and return its content and the file status that belongs to it.

    Args:
        path: a regular file.
        limit: number of bytes above which nothing is read.

    Raises:
        PictureError: the file cannot be read, is not a regular file, is too large, or was changed meanwhile.
    """
    try:
        with io.BufferedReader(io.FileIO(path, opener=_open_at_once)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PictureError("a folder, pipe or device instead of a file; name a regular file")
            if status.st_size > limit:
                raise PictureError(f"file has {status.st_size} bytes, the limit is {limit}; raise --max-pixels")
            # One byte more than the size shows whether the file has grown.
            data = file.read(status.st_size + 1)
            if len(data) != status.st_size or _content_marks(os.fstat(file.fileno())) != _content_marks(status):
                raise PictureError(_CHANGED)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO).lower()
        raise PictureError(f"cannot be read ({reason}); check the file and who may read it") from error
    except ValueError as error:  # a name with a zero byte
        raise PictureError("no possible file name; check the name") from error
    return data, status


def read_head(path: Path, count: int) -> bytes:
    """Read at most `count` bytes of a file's beginning.

    Raises:
        OSError: it cannot be read.
    """
    with io.FileIO(path, opener=_open_at_once) as file:
        return file.read(count) or b""


class SlicedFile:
    """A file on the disk that is read slice by slice.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._file = io.FileIO(path, opener=_open_at_once)
        self._size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(0, stop - start)) or b""


def touch(path: Path, times: tuple[int, int]) -> bool:
    """Set the times of last access and last change, in ns since 1970; tell whether the system has allowed it."""
    try:
        os.utime(path, ns=times)
    except OSError:
        return False
    return True


def remove(path: Path) -> bool:
    """Remove a file, and tell whether the system permitted it."""
    try:
        path.unlink()
    except OSError:
        return False
    _sync_directory(path.parent)
    return True


def read_stream(stream: BinaryIO, *, limit: int) -> bytes:
    """Read a stream to its end, but stop soon after `limit` bytes, so that the caller can refuse it."""
    data = bytearray()
    while len(data) <= limit and (part := stream.read(_PART_BYTES)):
        data += part
    return bytes(data)


def check_unchanged(path: Path, status: os.stat_result) -> None:
    """Check that a source is still the file that was read. Otherwise its result would look up to date and be wrong.

    Args:
        path: the source. One that is gone meanwhile passes, since it was whole when it was read.
        status: the file status that `read_steady` returned.

    Raises:
        PictureError: the source was changed or replaced.
    """
    now = status_of(path)
    if now is not None and _content_marks(now) != _content_marks(status):
        raise PictureError(_CHANGED)


def check_place(path: Path, mark: bytes, *, within: int | None = None, kind: str, content: str = "report") -> None:
    """Check that a file of ours replaces nothing but another one of its kind.

    Args:
        path: where it goes.
        mark: bytes by which files of this kind are known.
        within: how many first bytes of the file hold the mark; None: all.
        kind: what the message calls a file of this kind.
        content: what the message calls its content.

    Raises:
        UsageError: another file stands there, or one that cannot be read.
    """
    try:
        content_there = read(path) if is_file(path) else b""
    except PictureError as error:
        raise UsageError(f"{printable(str(path))}: {error}") from error
    # An empty file is a name that a script has reserved, as mktemp does.
    if mark not in (content_there[:within] or mark):
        words = f"{printable(str(path))} is something else than a {kind} of ours"
        raise UsageError(f"{words}; write the {content} elsewhere")


def check_writable(path: Path) -> None:
    """Check that a result may be stored, before the work on it is done. A disk can still be full afterwards.

    Args:
        path: the target; its folder need not exist yet.

    Raises:
        OutputError: a file stands where its folder must be, or nobody lets us write there.
    """
    folder = Path(os.path.realpath(path)).parent
    while status_of(folder) is None and folder != folder.parent:
        folder = folder.parent
    if not is_directory(folder):
        raise OutputError(_BLOCKED)
    # Not for the real user, whom `access` would ask about, but for the one who writes.
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        is_readonly = os.statvfs(folder).f_flag & os.ST_RDONLY
        raise OutputError(_EXPLANATIONS[errno.EROFS if is_readonly else errno.EACCES])


def write_atomic(path: Path, data: bytes, *, sources: Sequence[Path] = ()) -> None:
    """Write `data` to `path`, completely or not at all. Missing folders are made.

    Args:
        path: the target; an existing one must be a regular file. Of a link, the destination is replaced.
        data: the whole content.
        sources: the files that `data` was made from; they decide who may read it (`hcdcodec.files.permissions`).

    Raises:
        OutputError: the file cannot be stored; an existing file at `path` is unchanged.
    """
    try:
        # `replace` would put a file in the place of the link itself.
        final = Path(os.path.realpath(path))
        _check_replaceable(final)
        make_folders(final.parent, [source.absolute().parent for source in sources])
        _replace(final, data, sources)
    except OSError as error:
        raise OutputError(explain(error)) from error
    _sync_directory(final.parent)


def sweep(directory: Path, *, age_s: float = 86400.0) -> None:
    """Remove old temporary files from `directory`. Younger ones may belong to a run that is still active.

    Args:
        directory: a folder of results; it need not exist.
        age_s: age in seconds above which a temporary file counts as left behind by a killed run.
    """
    with contextlib.suppress(OSError):  # the folder does not exist, or its name is too long
        for leftover in directory.iterdir():
            with contextlib.suppress(OSError):  # another run may sweep at the same time
                if is_temporary(leftover.name) and leftover.lstat().st_mtime < time.time() - age_s:
                    leftover.unlink()


def explain(error: OSError) -> str:
    """Say why a result cannot be stored, and what to do."""
    code = error.errno or errno.EIO
    return _EXPLANATIONS.get(code, f"cannot be written ({os.strerror(code).lower()}); check the destination")


def source_digest(data: bytes) -> bytes:
    """Return the bytes by which a header recognises its source: the first ones of the SHA-256."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    try:
        return os.open(path, flags | os.O_NONBLOCK)
    except BlockingIOError:
        # Another program, such as Samba, holds a lease on the file. It gives up the lease only if we wait.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            raise
        return os.open(path, flags)


def _content_marks(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check_replaceable(path: Path) -> None:
    """Refuse a target such as /dev/null: renaming a file to it would replace the device."""
    status = status_of(path)
    if status and not stat.S_ISREG(status.st_mode):
        raise OutputError("a folder or device stands in the way; name another destination")


def _replace(path: Path, data: bytes, sources: Sequence[Path]) -> None:
    # In the same folder, since a rename works only inside a file system.
    temporary, replaced = path.with_name(temporary_name()), status_of(path)
    try:
        with os.fdopen(create_like(temporary, sources), "wb") as file:
            file.write(data)
            file.flush()
            if replaced:
                keep_permissions(file.fileno(), path, replaced)
            _sync(file.fileno())
        temporary.replace(path)
    except BaseException:  # not `Exception`: an interrupt must not leave a temporary file either
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sync(descriptor: int) -> None:
    """Force a file to the disk, if its file system can do that."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _sync_directory(path: Path) -> None:
    """Force the new name to the disk, too, so that it survives a power failure.

    A failure is ignored: the result is complete, and some file systems cannot sync a folder.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
