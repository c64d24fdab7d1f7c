"""Results that meet under one name: each such pair is settled alone, and all others go on.

When photo.jpg.hcd.png and photo.jpg.png.hcd.png are decoded together, both want to be called photo.jpg.png. The second
one was made from a PNG and keeps the name that its source had. The first one becomes photo.jpg.png.png.

Whatever else meets fails, all parts of it: nobody can know which one the user wants.
"""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from hcdcodec.files.find import Remark, identity
from hcdcodec.files.job import Job


def settle_meetings(
    jobs: Sequence[Job], gives_way: Callable[[Job], bool], suffix: str
) -> tuple[tuple[Job, ...], tuple[Remark, ...]]:
    """Give each job a result of its own, or fail those that share one.

    Args:
        jobs: in order; a file that was named twice stays once.
        gives_way: whether a result's extension was only appended, so that it gets another one where it meets a result
            that has the name from its source.
        suffix: that extension.

    Returns:
        The jobs that go on, and a remark for each that fails.
    """
    jobs = _give_way(_drop_repetitions(jobs), gives_way, suffix)
    rivals = dict[Job, Job]()
    for group in (*_group(jobs, str), *_group(jobs, _fold)):
        for job in group:
            rival = next((other for other in group if other is not job and _is_one_file(job, other)), None)
            if rival is not None:
                rivals[job] = rival
    remarks = [Remark(job.name, _explain(rivals[job])) for job in jobs if job in rivals]
    return tuple(job for job in jobs if job not in rivals), tuple(remarks)


def _drop_repetitions(jobs: Iterable[Job]) -> list[Job]:
    kept = dict[object, Job]()
    for job in jobs:
        # What has no identity (it vanished since it was found) is told apart by its name.
        source = job.source and (identity(job.source) or str(job.source))
        kept.setdefault((source, str(job.target)), job)
    return list(kept.values())


def _give_way(jobs: Sequence[Job], gives_way: Callable[[Job], bool], suffix: str) -> list[Job]:
    """Append the extension once more where a result would take a name that another one has from its source."""
    taken = {str(job.target) for job in jobs if not gives_way(job)}

    def move(job: Job) -> Job:
        target = str(job.target)
        if not gives_way(job):
            return job
        while target in taken:
            target += suffix
        return replace(job, target=Path(target))

    return [move(job) for job in jobs]


def _group(jobs: Sequence[Job], key: Callable[[Path], str]) -> list[list[Job]]:
    """Return the jobs whose targets share a key, where several do."""
    groups = defaultdict[str, list[Job]](list)
    for job in jobs:
        if job.target is not None:
            groups[key(job.target)].append(job)
    return [group for group in groups.values() if len(group) > 1]


def _fold(path: Path) -> str:
    """Return the name as the least discerning file systems see it: no letter case, one Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _is_one_file(job: Job, other: Job) -> bool:
    """Tell whether the destination takes two names, equal or alike, for one."""
    if job.target is None or other.target is None or job.target == other.target:
        return True
    # The first parts that differ decide: their folder is common.
    ours, theirs = next((a, b) for a, b in _parents(job.target, other.target) if a.name != b.name)
    if identity(ours) or identity(theirs):
        return identity(ours) == identity(theirs)
    return _ignores_case(ours.parent)


def _parents(first: Path, second: Path) -> list[tuple[Path, Path]]:
    """Return pairs of paths from the top down to the two that are given."""
    return list(zip([*reversed(first.parents), first], [*reversed(second.parents), second], strict=True))


def _ignores_case(folder: Path) -> bool:
    """Tell whether names in a folder that may not exist yet lose their case, without writing anything.

    A name that is there is looked up in the other case; a new folder behaves like the one that it will be made in.
    """
    while not folder.exists():
        folder = folder.parent
    folder = folder.resolve()
    with os.scandir(folder) as entries:
        known = next((Path(entry.path) for entry in entries if entry.name.swapcase() != entry.name), folder)
    other = known.with_name(known.name.swapcase()) if known.name else known
    return other != known and identity(other) is not None and identity(other) == identity(known)


def _explain(rival: Job) -> str:
    return f"{rival.name} would become {rival.target} too; rename one of them or use two destinations"
