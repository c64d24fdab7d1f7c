"""Reading of sources and writing of results, which encoding and decoding of files share."""

import os
import sys
from collections.abc import Sequence

from hcdcodec.batch.options import FileOptions
from hcdcodec.errors import OutputError, PictureError, UsageError
from hcdcodec.files import disk
from hcdcodec.files.find import status_of
from hcdcodec.files.job import Job


def read_standard_input(jobs: Sequence[Job], files: FileOptions) -> bytes:
    """Read standard input if a job needs it.

    The main thread does this before the stages start: a signal cannot end the wait of another thread that reads.

    Raises:
        UsageError: it cannot be read.
    """
    if not any(job.source is None for job in jobs):
        return b""
    try:
        return disk.read_stream(sys.stdin.buffer, limit=files.max_bytes)
    except OSError as error:
        raise UsageError(f"standard input cannot be read ({error.strerror}); redirect it or name a file") from error


def read_source_head(job: Job, count: int) -> bytes:
    """Return at most `count` bytes of the beginning of a source; nothing where it cannot be read a second time."""
    try:
        return disk.read_head(job.source, count) if job.source else b""
    except OSError:
        return b""


def load_source(job: Job, given: bytes, files: FileOptions) -> tuple[bytes, os.stat_result | None]:
    """Return a source's bytes and its file status; standard input, `given`, has no status.

    Raises:
        PictureError: the source cannot be read.
        OutputError: its result cannot be stored, so that working on it would be in vain.
    """
    if job.target is not None:
        disk.check_writable(job.target)
    if job.source is not None:
        return disk.read_steady(job.source, limit=files.max_bytes)
    if len(given) > files.max_bytes:
        raise PictureError(f"more than {files.max_bytes} bytes; raise --max-pixels")
    return given, None


def store_result(job: Job, data: bytes, status: os.stat_result | None, files: FileOptions) -> str:
    """Write a result, unless its source has changed meanwhile.

    Args:
        job: source and target.
        data: the result.
        status: file status of the source when it was read; None for standard input.
        files: says whether the result gets the times of its source.

    Returns:
        A warning about what could not be kept; empty if there is none.
    """
    if job.source is not None and status is not None:
        disk.check_unchanged(job.source, status)
    if job.target is None:
        _write_standard_output(data)
        return ""
    disk.write_atomic(job.target, data, sources=[job.source] if job.source else [])
    # Set the times after the rename: another run removes temporary files that look old.
    if files.preserve and status and not disk.touch(job.target, (status.st_atime_ns, status.st_mtime_ns)):
        return "stored with the current time, since the file system allows no other"
    # A clock that was wrong dates sources in the future. Without their time, results of them would look out of date.
    stored = status_of(job.target)
    if stored and status and stored.st_mtime_ns < status.st_mtime_ns:
        disk.touch(job.target, (status.st_atime_ns, status.st_mtime_ns))
    return ""


def _write_standard_output(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"standard output cannot be written ({reason}); check where it goes") from error
