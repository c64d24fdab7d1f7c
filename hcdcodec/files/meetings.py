"""Settle results that would get the same name. Each such pair is settled alone, and all other jobs go on.

When photo.jpg.hcd.png and photo.jpg.png.hcd.png are decoded together, both results would be called photo.jpg.png. The
second result was made from a PNG and keeps the name of its source. The first one becomes photo.jpg.png.png.

In all other cases the jobs that share a name fail, because nobody can know which result the user wants.
"""

import contextlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from hcdcodec.files.encoded_names import twins
from hcdcodec.files.find import Remark, identity, status_of
from hcdcodec.files.job import Job


def settle_meetings(jobs: Sequence[Job], appended: Callable[[Job], str]) -> tuple[tuple[Job, ...], tuple[Remark, ...]]:
    """Give each job a target of its own, and fail the jobs that share one.

    Args:
        jobs: the jobs, in order. Of a file that was named twice, one job stays.
        appended: returns the extension that decoding has appended to the name of a result, or nothing. Such a result
            gets the extension once more where its name is taken.

    Returns:
        The jobs that go on, and a remark for each job that fails.
    """
    jobs = _append_suffix(_drop_repetitions(jobs), appended)
    # First equal names, then names that only some file systems take for equal.
    rivals = dict[Job, Job]()
    for group in (*_group(jobs, str), *_group(jobs, _fold)):
        for job in group:
            rival = next((other for other in group if other is not job and _is_one_file(job, other)), None)
            if rival is not None:
                rivals[job] = rival
    remarks = [Remark(job.name, _explain(job, rivals[job])) for job in jobs if job in rivals]
    return tuple(job for job in jobs if job not in rivals), tuple(remarks)


def _drop_repetitions(jobs: Iterable[Job]) -> list[Job]:
    kept = dict[object, Job]()
    for job in jobs:
        # A file that has vanished since the walk has no identity, so its name stands for it.
        source = job.source and (identity(job.source) or str(job.source))
        kept.setdefault((source, str(job.target)), job)
    return list(kept.values())


def _append_suffix(jobs: Sequence[Job], appended: Callable[[Job], str]) -> list[Job]:
    """Append the extension once more to each result whose name another result has from its source."""
    taken = {str(job.target) for job in jobs if not appended(job)}

    def move(job: Job) -> Job:
        target, suffix = str(job.target), appended(job)
        while suffix and target in taken:
            target += suffix
        return replace(job, target=Path(target)) if suffix else job

    return [move(job) for job in jobs]


def _group(jobs: Sequence[Job], key: Callable[[Path], str]) -> list[list[Job]]:
    """Return groups of two or more jobs whose targets have the same key."""
    groups = defaultdict[str, list[Job]](list)
    for job in jobs:
        if job.target is not None:
            groups[key(job.target)].append(job)
    return [group for group in groups.values() if len(group) > 1]


def _fold(path: Path) -> str:
    """Return a key that is equal for names that some file system takes for one: no letter case, one Unicode form."""
    # Normalised twice: `casefold` depends on the form of its input, and does not always return a normalised text.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _is_one_file(job: Job, other: Job) -> bool:
    """Tell whether the destination takes the targets of two jobs for the same file."""
    if job.target is None or other.target is None or job.target == other.target:
        return True
    # Compare the first parts that differ, because the file system of their common folder decides.
    ours, theirs = next((a, b) for a, b in _parents(job.target, other.target) if a.name != b.name)
    if identity(ours) or identity(theirs):
        return identity(ours) == identity(theirs)
    return _ignores_case(ours.parent)


def _parents(first: Path, second: Path) -> list[tuple[Path, Path]]:
    """Return pairs of the paths' parents from the top down, and the two paths themselves last."""
    return list(zip([*reversed(first.parents), first], [*reversed(second.parents), second], strict=True))


def _ignores_case(folder: Path) -> bool:
    """Tell whether a folder ignores letter case in names, without writing to it.

    The test looks up an existing name in the other case. A folder that does not exist behaves like its parent.
    """
    while identity(folder) is None:
        folder = folder.parent
    folder = folder.resolve()
    known = folder
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # one may write to it and not list it
        known = next((Path(entry.path) for entry in entries if _swap(entry.name) != entry.name), folder)
    other = known.with_name(_swap(known.name)) if known.name else known
    return other != known and identity(other) is not None and identity(other) == identity(known)


def _swap(name: str) -> str:
    """Return a name in the other case; only ASCII, since FAT, as Linux mounts it for UTF-8, ignores only that case."""
    return "".join(sign.swapcase() if sign.isascii() else sign for sign in name)


def _explain(job: Job, rival: Job) -> str:
    return f"{rival.name} would become {rival.target} too; {_advise(job, rival)}"


def _advise(job: Job, rival: Job) -> str:
    """Say what to do. Of one picture in two containers, only one file is current."""
    if job.source is None or rival.source not in twins(job.source):
        return "rename one of them or use two destinations"
    older, newer = sorted((job, rival), key=_changed)
    which = f"move the older one away, {older.name}" if _changed(older) < _changed(newer) else "move one of them away"
    return f"they are of one picture, so {which}"


def _changed(job: Job) -> int:
    status = status_of(job.source)
    return status.st_mtime_ns if status else 0
