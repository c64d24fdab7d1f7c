"""Whether a result is up to date: the one place of that rule.

    nothing at the target                                    MISSING    write
    not one of our files                                     FOREIGN    refuse
    other settings, or another source size                   STALE      redo
    not older than its source, by content and by inode       FRESH      skip
    else: another source digest                              STALE      redo
    else: same source digest                                 FRESH      skip, and touch, so that nobody need ask again

What is FRESH and was made with other weights by an older release is OLDER, and skipped as well.

A result's own times say when it was made. The time of the last change of its content can be set back, as `--preserve`
does; the time of the last change of its inode cannot. So an older file that was moved to the place of a source is
noticed. Only the heads of results are read, and sources only where their digest has to decide.
"""

import enum
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hcdcodec.batch.options import FileOptions
from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.settings import settings_digest
from hcdcodec.errors import ContainerError, OutputError
from hcdcodec.files import disk
from hcdcodec.files.find import status_of
from hcdcodec.files.job import Job
from hcdcodec.format import container
from hcdcodec.format.lr_digest import read_lr_digest
from hcdcodec.networks.manifest import NetworkId

Mark = TypeVar("Mark")

_HEADS = (1 << 12, 1 << 20)
"""Bytes that are read of a result: our marks stand at its beginning, unless another tool has rewritten it."""


@dataclass(frozen=True)
class Stamp:
    """What a result records about where it came from."""

    source_size: int | None
    """Bytes; None: not recorded."""
    source_digest: bytes
    settings_digest: bytes
    model_hash: bytes = b""
    """Start of the hash of the weights that a small file needs; empty for reconstructions."""


@dataclass(frozen=True)
class Wanted:
    """What a result has to be to count as up to date.

    Attributes:
        settings_digest: of the settings that a new result would be made with.
        model_hash: hexadecimal, of the weights that a new result would be made with; empty where weights don't matter.
        is_pinned: the user has named these weights, so that others do not count as the same settings.
        upgrade: results of older releases, which were made with other weights, are to be redone.
    """

    settings_digest: bytes = b""
    model_hash: str = ""
    is_pinned: bool = False
    upgrade: bool = False

    def is_met_by(self, stamp: Stamp) -> bool:
        """Tell whether a result has the wanted settings."""
        bound = self.is_pinned or self.upgrade
        return stamp.settings_digest == self.settings_digest and not (bound and self.is_newer_than(stamp))

    def is_newer_than(self, stamp: Stamp) -> bool:
        """Tell whether a new result would be made with other weights."""
        return stamp.model_hash != bytes.fromhex(self.model_hash)[: len(stamp.model_hash)]


def wanted_of(
    options: EncodeOptions, network: NetworkId, target: Target | None = None, *, upgrade: bool = False
) -> Wanted:
    """Return what an encode with these settings wants."""
    return Wanted(settings_digest(options, network, target), network.hash, network.is_pinned, upgrade)


class Freshness(enum.Enum):
    """What stands at a target, and what to do about it."""

    MISSING = "nothing there: write it"
    FRESH = "up to date: skip"
    OLDER = "up to date, made by an older release with other weights: skip"
    STALE = "made from another source or with other settings: redo"
    FOREIGN = "not made by hcdcodec: refuse"


def judge_lr(job: Job, wanted: Wanted, files: FileOptions) -> Freshness:
    """Judge what stands where a small file goes.

    Raises:
        OutputError: something that is not ours stands in the way, or it cannot be read.
    """
    return _judge(job, read_encoded_stamp, wanted, files)


def judge_restored_png(job: Job, files: FileOptions) -> Freshness:
    """Judge what stands where a reconstruction goes; only PNG says which LR it was made from.

    Raises:
        OutputError: something that is not ours stands in the way, or it cannot be read.
    """
    return _judge(job, read_decoded_stamp, Wanted(), files)


def judge_by_time(job: Job, files: FileOptions) -> Freshness:
    """Judge a result of a kind that cannot say what it was made from, by its times alone.

    Raises:
        OutputError: it is older than its source, so that nobody knows whose it is.
    """
    if files.force or job.target is None or not job.target.exists():
        return _judge_forced(job)
    source = status_of(job.source) if job.source else None
    if source is None or files.checksum or not _is_dated(job.target.stat(), source):
        raise OutputError(f"{job.target} exists and cannot say whether it is ours; use --force to replace it")
    return Freshness.FRESH


def judge_stamp(
    job: Job, stamp: Stamp | None, wanted: Wanted, *, checksum: bool, digest_of: Callable[[Path], bytes]
) -> Freshness:
    """Judge the target of a job by what it records, without looking at a pixel.

    Args:
        job: source and target; a result on standard output is always missing, one of standard input never fresh.
        stamp: what the target says of itself; None: it does not exist, or is not ours.
        wanted: what it has to be.
        checksum: always compare digests, since sizes and times can agree by chance or by `touch`.
        digest_of: digest of a source as the stamp records it; asked only where nothing cheaper decides.
    """
    target = status_of(job.target) if job.target else None
    if target is None:
        return Freshness.MISSING
    if stamp is None:
        return Freshness.FOREIGN
    source = status_of(job.source) if job.source else None
    if job.source is None or source is None or not wanted.is_met_by(stamp):
        return Freshness.STALE
    if stamp.source_size not in (None, source.st_size):
        return Freshness.STALE
    if (checksum or not _is_dated(target, source)) and digest_of(job.source) != stamp.source_digest:
        return Freshness.STALE
    return Freshness.OLDER if wanted.is_newer_than(stamp) else Freshness.FRESH


def refuse_foreign(job: Job, read: Callable[[Path], Stamp | None], files: FileOptions) -> None:
    """Look again before a result is stored: a file of the user's may have come to its place meanwhile.

    Raises:
        OutputError: something that is not ours stands there.
    """
    if not files.force and job.target is not None and job.target.is_file() and read(job.target) is None:
        raise _foreign(job)


def confirm(job: Job) -> None:
    """Give a result that is up to date by content alone a new time, so that the next run need not read its source."""
    source, target = job.source and status_of(job.source), job.target and status_of(job.target)
    if job.target and source and target and not _is_dated(target, source):
        disk.touch(job.target, (target.st_atime_ns, max(source.st_mtime_ns, target.st_mtime_ns)))


def read_encoded_stamp(target: Path) -> Stamp | None:
    """Return what an existing small file says of its source; None where it is not ours."""

    def read(head: bytes) -> Stamp | None:
        try:
            header = container.peek(head)
        except ContainerError:
            return None
        return Stamp(header.source_size, header.source_digest, header.settings_digest, header.model_hash)

    return _read_mark(target, read)


def read_decoded_stamp(target: Path) -> Stamp | None:
    """Return what an existing reconstruction says of its LR; None where it is not ours."""

    def read(head: bytes) -> Stamp | None:
        digest = read_lr_digest(head)
        return None if digest is None else Stamp(None, digest, b"")

    return _read_mark(target, read)


def _judge(job: Job, read: Callable[[Path], Stamp | None], wanted: Wanted, files: FileOptions) -> Freshness:
    if files.force:
        return _judge_forced(job)
    stamp = read(job.target) if job.target is not None and job.target.is_file() else None
    state = judge_stamp(job, stamp, wanted, checksum=files.checksum, digest_of=lambda path: _digest(path, files))
    if state is Freshness.FOREIGN:
        raise _foreign(job)
    return state


def _foreign(job: Job) -> OutputError:
    return OutputError(f"{job.target} exists and was not made by hcdcodec; move it away or use --force")


def _judge_forced(job: Job) -> Freshness:
    return Freshness.STALE if job.target is not None and job.target.exists() else Freshness.MISSING


def _is_dated(target: os.stat_result, source: os.stat_result) -> bool:
    """Tell whether a result is not older than its source, by the last changes of both content and inode."""
    return target.st_mtime_ns >= source.st_mtime_ns and target.st_ctime_ns >= source.st_ctime_ns


def _read_mark(target: Path, read: Callable[[bytes], Mark | None]) -> Mark | None:
    """Return what `read` finds in as much of a result as it takes; most of them say it in the first kilobytes."""
    try:
        size = target.stat().st_size
        for count in (*_HEADS, size):
            mark = read(disk.read_head(target, count))
            if mark is not None or count >= size:
                return mark
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO).lower()
        raise OutputError(f"{target} cannot be read ({reason}); check who may read it") from error
    return None


def _digest(path: Path, files: FileOptions) -> bytes:
    return disk.source_digest(disk.read(path, limit=files.max_bytes))
