"""What stands where results go, without any work."""

from collections.abc import Callable, Iterable, Iterator

from hcdcodec.batch.freshness import Freshness
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


def sweep(jobs: Iterable[Job]) -> None:
    """Remove what killed runs left where results go."""
    for folder in {job.target.parent for job in jobs if job.target}:
        disk.sweep(folder)
