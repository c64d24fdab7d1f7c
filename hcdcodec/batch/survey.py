"""What stands where results go, without any work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from hcdcodec.batch.freshness import Freshness, confirm
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.stages import settle
from hcdcodec.files import disk
from hcdcodec.files.job import Job

_STANDING = {
    Freshness.MISSING: Status.MISSING,
    Freshness.STALE: Status.STALE,
    Freshness.FRESH: Status.SKIPPED,
    Freshness.OLDER: Status.SKIPPED,
}


def survey(jobs: Iterable[Job], judge: Callable[[Job], Freshness], *, threads: int) -> Iterator[Outcome]:
    """Yield, for each job in order, what stands where its result goes; write nothing.

    Args:
        jobs: what a run would do.
        judge: looks at one result, see `hcdcodec.batch.freshness`.
        threads: that look at results.
    """

    def look(job: Job) -> Outcome:
        state = judge(job)
        older = state is Freshness.OLDER
        return Outcome(name=job.name, target=job.target, status=_STANDING[state], is_older=older)

    return settle(jobs, look, threads=threads)


def skip_all(jobs: Sequence[Job], judge: Callable[[Job], Freshness], *, threads: int) -> Sequence[Outcome] | None:
    """Return the outcomes of a run with nothing to do; None as soon as there is something to do.

    Such a run needs neither a network nor torch, which take longer to load than a thousand heads to read.
    """
    outcomes = []
    for outcome in survey(jobs, judge, threads=threads):
        if outcome.status in (Status.MISSING, Status.STALE):
            return None
        outcomes.append(replace(outcome, message=outcome.message or "up to date"))
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome.status is Status.SKIPPED:
            confirm(job)
    return outcomes


def sweep(jobs: Iterable[Job]) -> None:
    """Remove what killed runs left where results go."""
    for folder in {job.target.parent for job in jobs if job.target}:
        disk.sweep(folder)
