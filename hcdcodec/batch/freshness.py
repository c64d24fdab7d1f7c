"""Decide whether a result is up to date. This module is the only place of that rule.

    the original of the small file that is decoded           ORIGINAL   skip; with --force, refuse
    nothing at the target                                    MISSING    write, unless in another container
    not one of our files                                     FOREIGN    refuse
    other settings, or another source size                   STALE      redo
    a reconstruction of another HR size                      -          the digest decides
    not older than its source, by content and by inode       FRESH      skip
    else: another source digest                              STALE      redo
    else: same source digest                                 FRESH      skip, and touch, so that nobody need ask again
    FRESH, but the end of the file is missing                           refuse

Only PNG holds a record of what it was made from. A reconstruction in another format is FRESH if it has the size that
the small file names, and is not older; else it is refused.

A result that is FRESH but was made by an older release with other weights is OLDER. It is skipped, too.

A file has two times: the last change of its content (mtime) and the last change of its inode (ctime). A program can set
back the mtime, as `--preserve` does, but not the ctime. So the rule also notices an older file that was moved to the
place of a source. Of a result only head and end are read, and a source only where its digest has to decide.
"""

import enum
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hcdcodec.batch.options import DecodeOptions, FileOptions
from hcdcodec.batch.other_containers import refuse_twin
from hcdcodec.batch.stamp import Stamp, read_decoded_stamp, read_encoded_stamp
from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.settings import missed_digest, name_change, settings_digest
from hcdcodec.errors import ContainerError, DamagedError, OutputError, UnsupportedError
from hcdcodec.files import disk
from hcdcodec.files.find import status_of
from hcdcodec.files.job import Job
from hcdcodec.files.picture_names import Format
from hcdcodec.format import container
from hcdcodec.format.header import Header
from hcdcodec.networks.manifest import NetworkId
from hcdcodec.pictures.sizes import read_file_size


@dataclass(frozen=True)
class Wanted:
    """The settings and weights that a result must have to be up to date.

    Attributes:
        settings_digest: digest of the settings for a new result.
        model_hash: hash of the weights for a new result, hexadecimal; empty where weights do not matter.
        is_pinned: the user has named these weights, so results of other weights are stale.
        upgrade: results that older releases made with other weights or other defaults are stale.
        earlier: digests of the settings that the same call had in earlier releases, by their defaults.
        target: what a result should reach; one that misses it is up to date all the same.
        explain: returns how the settings of a record differ from the wanted ones.
    """

    settings_digest: bytes = b""
    model_hash: str = ""
    is_pinned: bool = False
    upgrade: bool = False
    earlier: tuple[bytes, ...] = ()
    target: Target | None = None
    explain: Callable[[Stamp], str] = field(default=lambda _: "other settings", compare=False)

    def is_met_by(self, stamp: Stamp) -> bool:
        """Tell whether a result has the wanted settings."""
        # The settings digest does not change with better weights of a newer release, so they are compared on their own.
        bound = self.is_pinned or self.upgrade
        known = _has_settings(stamp, self.settings_digest, *self.earlier)
        return known and not (bound and self.is_newer_than(stamp))

    def is_newer_than(self, stamp: Stamp) -> bool:
        """Tell whether a new result would be made with other weights, or with other defaults."""
        return self._has_other_weights(stamp) or _has_settings(stamp, *self.earlier)

    def is_missed_by(self, stamp: Stamp, size: int) -> bool:
        """Tell whether a result of so many bytes is known to miss the target."""
        most = self.target.most_bytes(stamp.height * stamp.width) if self.target else None
        if most is not None:
            return size > most
        return stamp.settings_digest in map(missed_digest, (self.settings_digest, *self.earlier))

    def explain_stale(self, stamp: Stamp) -> str:
        """Say why a result does not meet this, or that its source has changed."""
        if self.is_met_by(stamp):
            return "source changed"
        if _has_settings(stamp, self.settings_digest):
            return f"weights {stamp.model_hash.hex()[:8]}, now {self.model_hash[:8]}"
        return self.explain(stamp)

    def _has_other_weights(self, stamp: Stamp) -> bool:
        return stamp.model_hash != bytes.fromhex(self.model_hash)[: len(stamp.model_hash)]


def _has_settings(stamp: Stamp, *digests: bytes) -> bool:
    return stamp.settings_digest in (*digests, *map(missed_digest, digests))


def wanted_of(
    options: EncodeOptions,
    network: NetworkId,
    target: Target | None = None,
    *,
    upgrade: bool = False,
    earlier: tuple[EncodeOptions, ...] = (),
) -> Wanted:
    """Return the settings and weights that a result of these options must have.

    Args:
        options: the options of this call.
        network: the network of this call.
        target: the target of this call.
        upgrade: whether results of earlier releases are stale.
        earlier: the options that the same call had in earlier releases, whose defaults were others.
    """

    def explain(stamp: Stamp) -> str:
        made = NetworkId(stamp.backbone, stamp.scale, "", "")
        return name_change(stamp.settings_digest, stamp.quality or 0, made, options, network, target)

    return Wanted(
        settings_digest(options, network, target),
        network.hash,
        network.is_pinned,
        upgrade,
        tuple(settings_digest(other, network, target) for other in earlier),
        target,
        explain,
    )


class Freshness(enum.Enum):
    """The state of the file at a target; the value says what to do about it."""

    MISSING = "nothing there: write it"
    FRESH = "up to date: skip"
    OLDER = "up to date, made by an older release with other weights: skip"
    STALE = "made from another source or with other settings: redo"
    FOREIGN = "not made by hcdcodec: refuse"
    ORIGINAL = "its original, which stays: skip"

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to do."""
        return self in (Freshness.FRESH, Freshness.OLDER, Freshness.ORIGINAL)


@dataclass(frozen=True)
class Standing:
    """What stands at a target.

    Attributes:
        state: what to do about it.
        reason: why it is stale, or stays; else empty.
        stamp: the record of it, or of its source; None where nobody has read one.
        misses_target: it is up to date, and no quality has met the target.
    """

    state: Freshness
    reason: str = ""
    stamp: Stamp | None = None
    misses_target: bool = False


def judge_lr(job: Job, wanted: Wanted, files: FileOptions) -> Standing:
    """Judge the file at the target of an encoding.

    Raises:
        OutputError: the file is not ours, or cannot be read, or the picture has a result in another container.
    """
    standing = _judge(job, read_encoded_stamp, wanted, files)
    if standing.state is Freshness.MISSING:
        refuse_twin(job, files, lambda: _digest(job.source, files) if job.source else b"")
    target = status_of(job.target)
    if standing.state.is_settled and standing.stamp and target and wanted.is_missed_by(standing.stamp, target.st_size):
        reason = "up to date, and misses its target; choose another target or --scale"
        return replace(standing, reason=reason, misses_target=True)
    return standing


def judge_restored(job: Job, options: DecodeOptions, files: FileOptions) -> Standing:
    """Judge the file at the target of a decoding.

    Raises:
        OutputError: the file is not ours, or cannot be read, or cannot say that it is ours; or it is the original and
            the user has chosen `--force`.
    """
    if job.source is not None and _is_original(job, _peek(job.source)):
        if files.force:
            raise _original(job)
        return Standing(Freshness.ORIGINAL, "its original stands there, and stays")
    # Only PNG has room for our mark, so other formats are judged by their times.
    if options.format_for(job.target) is Format.PNG:
        standing = _judge_marked(job, Wanted(options.settings), files)
    else:
        standing = _judge_by_time(job, files)
    if standing.state is Freshness.FRESH and job.named and job.source and read_encoded_stamp(job.source) is None:
        # The result is newer than this file, but it was made from another one, since this one is no small file.
        # Decoding it will say so.
        return Standing(Freshness.MISSING)
    return standing


def _judge_marked(job: Job, wanted: Wanted, files: FileOptions) -> Standing:
    standing = _judge(job, read_decoded_stamp, wanted, files)
    made_from = read_encoded_stamp(job.source) if job.source and standing.state is Freshness.FRESH else None
    if made_from and standing.stamp and not _fits((standing.stamp.height, standing.stamp.width), made_from):
        # The result is newer, but it is of another picture, or somebody has cropped it: the digest tells.
        return _judge(job, read_decoded_stamp, wanted, replace(files, checksum=True))
    return standing


def _judge_by_time(job: Job, files: FileOptions) -> Standing:
    target = _status_of_target(job)
    if files.force or target is None:
        return _judge_forced(job)
    source = status_of(job.source)
    size = read_file_size(job.target) if job.target else None
    if source is None or files.checksum or size is None or not _is_dated(target, source):
        # No mark says whether it is ours, so it may be a picture of the user.
        is_older = source is not None and not _is_dated(target, source)
        state = "is older than its small file" if is_older else "exists"
        raise OutputError(f"{job.target} {state} and cannot say whether it is ours; use --force to replace it")
    made_from = job.source and read_encoded_stamp(job.source)
    if made_from and not _fits(size, made_from):
        raise OutputError(f"{job.target} is not the picture of this small file; move it away or use --force")
    return Standing(Freshness.FRESH, stamp=replace(made_from, quality=None) if made_from else None)


def _fits(size: tuple[int, int], made_from: Stamp) -> bool:
    """Tell whether a picture has the size that a small file gives it. Turned upright, it may lie on its side."""
    return sorted(size) == sorted((made_from.height, made_from.width))


def judge_stamp(
    job: Job, stamp: Stamp | None, wanted: Wanted, *, checksum: bool, digest_of: Callable[[Path], bytes]
) -> Freshness:
    """Judge the target of a job by its record, without decoding pixels.

    Args:
        job: source and target. A result on standard output is always missing; a result from standard input is never
            fresh.
        stamp: the record in the target; None: the target does not exist, or is not ours.
        wanted: the settings and weights that it must have.
        checksum: always compare digests, since sizes and times can agree by chance or by `touch`.
        digest_of: returns the digest of a source as the stamp records it; called only where no cheaper test decides.
    """
    # From the cheapest test to the most expensive one: the digest reads the whole source.
    target = status_of(job.target)
    if target is None:
        return Freshness.MISSING
    if stamp is None:
        return Freshness.FOREIGN
    source = status_of(job.source)
    if job.source is None or source is None or not wanted.is_met_by(stamp):
        return Freshness.STALE
    # Reconstructions record no source size, since the digest in their mark is enough.
    if stamp.source_size not in (None, source.st_size):
        return Freshness.STALE
    if (checksum or not _is_dated(target, source)) and digest_of(job.source) != stamp.source_digest:
        return Freshness.STALE
    return Freshness.OLDER if wanted.is_newer_than(stamp) else Freshness.FRESH


def refuse_foreign(job: Job, read: Callable[[Path], Stamp | None], files: FileOptions) -> None:
    """Check the target again before a result is stored: the user may have put a file there meanwhile.

    Raises:
        OutputError: the file at the target is not ours.
    """
    if not files.force and job.target is not None and _is_file(job) and read(job.target) is None:
        raise _foreign(job)


def refuse_original(job: Job, header: Header) -> None:
    """Make sure that a reconstruction never replaces the picture that it was made from.

    Raises:
        OutputError: the file at the target has the content that the header records of its source.
    """
    if _is_original(job, header):
        raise _original(job)


def confirm(job: Job, standing: Standing) -> None:
    """Give a new time to a result that only its digest has shown to be up to date: the next run need not read it.

    An original keeps its time.
    """
    if standing.state not in (Freshness.FRESH, Freshness.OLDER):
        return
    source, target = status_of(job.source), status_of(job.target)
    if job.target and source and target and not _is_dated(target, source):
        # Not the time of now: `--preserve` has given the result the time of its source, and that must stay.
        disk.touch(job.target, (target.st_atime_ns, max(source.st_mtime_ns, target.st_mtime_ns)))


def _judge(job: Job, read: Callable[[Path], Stamp | None], wanted: Wanted, files: FileOptions) -> Standing:
    if files.force:
        return _judge_forced(job)
    stamp = read(job.target) if job.target is not None and _is_file(job) else None
    state = judge_stamp(job, stamp, wanted, checksum=files.checksum, digest_of=lambda path: _digest(path, files))
    if state is Freshness.FOREIGN:
        raise _explain_foreign(job) if read is read_encoded_stamp else _foreign(job)
    if state.is_settled:
        _check_end(job)
    reason = wanted.explain_stale(stamp) if stamp and state is Freshness.STALE else ""
    if job.source is None and stamp and wanted.is_met_by(stamp):
        reason = "standard input always counts as changed"
    return Standing(state, reason, stamp)


def _peek(path: Path) -> Header | None:
    try:
        with disk.SlicedFile(path) as file:
            return container.peek(file)
    except (ContainerError, OSError):
        return None  # whoever decodes it will say so


def _is_original(job: Job, header: Header | None) -> bool:
    """Tell whether the file at a target is the source that a header describes. It is read only if the size agrees."""
    if header is None or job.target is None or not header.source_size or not _is_file(job):
        return False
    if job.target.stat().st_size != header.source_size:
        return False
    return disk.source_digest(disk.read(job.target)) == header.source_digest


def _original(job: Job) -> OutputError:
    return OutputError(f"{job.target} is the original that it was made from, and stays; name another destination")


def _check_end(job: Job) -> None:
    """Refuse a result that was cut off, as by a full disk while somebody copied it: nobody could use it."""
    try:
        with disk.SlicedFile(job.target or Path()) as file:
            container.check_end(file)
    except DamagedError as error:
        raise _unreadable(job, str(error)) from error
    except OSError as error:
        raise _unreadable(job, os.strerror(error.errno or errno.EIO).lower()) from error


def _explain_foreign(job: Job) -> OutputError:
    """Return the error about a file without a record at the target of an encoding: it may be damaged, or newer."""
    try:
        with disk.SlicedFile(job.target or Path()) as file:
            container.peek(file)
    except (DamagedError, UnsupportedError) as error:
        return _unreadable(job, str(error))
    except (ContainerError, OSError):
        pass
    return _foreign(job)


def _unreadable(job: Job, reason: str) -> OutputError:
    return OutputError(
        f"{job.target} exists and cannot be read ({reason.partition(';')[0]}); move it away or use --force"
    )


def _foreign(job: Job) -> OutputError:
    return OutputError(f"{job.target} exists and was not made by hcdcodec; move it away or use --force")


def _judge_forced(job: Job) -> Standing:
    missing = _status_of_target(job) is None
    return Standing(Freshness.MISSING) if missing else Standing(Freshness.STALE, "--force")


def _is_file(job: Job) -> bool:
    status = _status_of_target(job)
    return status is not None and stat.S_ISREG(status.st_mode)


def _status_of_target(job: Job) -> os.stat_result | None:
    """Return the status of what stands where a job's result goes; None: nothing does.

    Raises:
        OutputError: nobody can tell, as with names that are too long; then nothing can be stored there either.
    """
    try:
        return None if job.target is None else job.target.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OutputError(disk.explain(error)) from error


def _is_dated(target: os.stat_result, source: os.stat_result) -> bool:
    """Tell whether a result is not older than its source, by the last changes of both content and inode."""
    return target.st_mtime_ns >= source.st_mtime_ns and target.st_ctime_ns >= source.st_ctime_ns


def _digest(path: Path, files: FileOptions) -> bytes:
    return disk.source_digest(disk.read(path, limit=files.max_bytes))
