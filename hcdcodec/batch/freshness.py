"""Whether a result is up to date: the one place of that rule."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hcdcodec.batch.common import FileOptions
from hcdcodec.errors import ContainerError, OutputError
from hcdcodec.files import disk
from hcdcodec.files.find import status_of
from hcdcodec.files.job import Job
from hcdcodec.format import container
from hcdcodec.pictures.reading import read_lr_digest


@dataclass(frozen=True)
class Stamp:
    """What a result records about where it came from."""

    source_size: int | None
    """Bytes; None: not recorded, so that only the digest can tell."""
    source_digest: bytes
    settings_digest: bytes


class Freshness(enum.Enum):
    """What stands at a target, and what to do about it."""

    MISSING = "nothing there: write it"
    FRESH = "up to date: skip"
    STALE = "made from another source or with other settings: redo"
    FOREIGN = "not made by hcdcodec: refuse"


def freshness(
    job: Job,
    recorded: Stamp | None,
    settings_digest: bytes,
    *,
    checksum: bool,
    digest_of: Callable[[Path], bytes],
) -> Freshness:
    """Judge the target of `job` without looking at a pixel.

    Args:
        job: source and target; a result on standard output is always missing, one of standard input never fresh.
        recorded: what the target says of itself; None: it does not exist, or is not ours.
        settings_digest: digest of the settings that a new result would be made with.
        checksum: always compare digests, since sizes and times can agree by chance or by `touch`.
        digest_of: digest of a source as the stamp records it; asked only where nothing cheaper decides.
    """
    target = status_of(job.target) if job.target else None
    if target is None:
        return Freshness.MISSING
    if recorded is None:
        return Freshness.FOREIGN
    source = status_of(job.source) if job.source else None
    if job.source is None or source is None or recorded.settings_digest != settings_digest:
        return Freshness.STALE
    if recorded.source_size not in (None, source.st_size):
        return Freshness.STALE
    dated = recorded.source_size is not None and target.st_mtime_ns >= source.st_mtime_ns
    if (dated and not checksum) or digest_of(job.source) == recorded.source_digest:
        return Freshness.FRESH
    return Freshness.STALE


def judge(job: Job, recorded: Stamp | None, settings: bytes, files: FileOptions) -> Freshness:
    """Judge what stands at a target; refuse to replace what is not ours."""
    if files.force:
        return _forced(job)
    state = freshness(job, recorded, settings, checksum=files.checksum, digest_of=_file_digest)
    if state is Freshness.FOREIGN:
        raise OutputError(f"{job.target} exists and was not made by hcdcodec; move it away or use --force")
    return state


def judge_by_time(job: Job, files: FileOptions) -> Freshness:
    """Judge a target of a kind that cannot say what it was made from by its times alone.

    Of both files, those of the contents and those of the last change of anything: the former may have been copied.
    """
    if files.force or job.target is None or not job.target.exists():
        return _forced(job)
    if job.source is None or files.checksum or _is_older(job.target, job.source):
        raise OutputError(f"{job.target} exists and cannot say whether it is ours; use --force to replace it")
    return Freshness.FRESH


def _is_older(target: Path, source: Path) -> bool:
    made, given = target.stat(), source.stat()
    return made.st_mtime_ns < given.st_mtime_ns or made.st_ctime_ns < given.st_ctime_ns


def _forced(job: Job) -> Freshness:
    return Freshness.STALE if job.target is not None and job.target.exists() else Freshness.MISSING


def read_encoded_stamp(job: Job) -> Stamp | None:
    """Return what an existing LR says of its source; None where there is none, or it is not ours."""
    if job.target is None or not job.target.is_file():
        return None
    try:
        header = container.peek(disk.read(job.target))
    except ContainerError:
        return None
    return Stamp(header.source_size, header.source_digest, header.settings_digest)


def read_decoded_stamp(job: Job) -> Stamp | None:
    """Return what an existing reconstruction says of its LR; None where there is none, or it is not ours."""
    if job.target is None or not job.target.is_file():
        return None
    digest = read_lr_digest(disk.read(job.target))
    return None if digest is None else Stamp(None, digest, b"")


def _file_digest(path: Path) -> bytes:
    return disk.source_digest(disk.read(path))
