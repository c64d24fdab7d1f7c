"""Find out the state of results without making any."""

from collections.abc import Callable, Iterable, Iterator

from hcdcodec.batch.freshness import Freshness, Standing, confirm
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.stages import read_only
from hcdcodec.files import disk
from hcdcodec.files.find import status_of
from hcdcodec.files.job import Job

_STATUS = {Freshness.MISSING: Status.MISSING, Freshness.STALE: Status.STALE}


def survey(
    jobs: Iterable[Job], judge: Callable[[Job], Standing], *, threads: int, confirms: bool = False
) -> Iterator[Outcome]:
    """Yield the state of each job's result, in order; write nothing.

    Args:
        jobs: the jobs of a run.
        judge: judges one result, see `hcdcodec.batch.freshness`.
        threads: number of threads that judge.
        confirms: give new times to results, see `hcdcodec.batch.freshness.confirm`.
    """

    def look(job: Job) -> Outcome:
        standing = judge(job)
        if standing.state.is_settled:
            if confirms:
                confirm(job, standing)
            return skip(job, standing)
        return Outcome(name=job.name, target=job.target, status=_STATUS[standing.state], message=standing.reason)

    return read_only(jobs, look, threads=threads)


def skip(job: Job, standing: Standing) -> Outcome:
    """Return the outcome of a job whose result is up to date, with the sizes of what stands there."""
    stamp, (source, target) = standing.stamp, map(status_of, (job.source, job.target))
    return Outcome(
        name=job.name,
        target=job.target,
        status=Status.SKIPPED,
        message=standing.reason or "up to date",
        is_older=standing.state is Freshness.OLDER,
        misses_target=standing.misses_target,
        source_bytes=source.st_size if source else 0,
        target_bytes=target.st_size if target else 0,
        height=stamp.height if stamp else 0,
        width=stamp.width if stamp else 0,
        quality=stamp.quality if stamp else None,
    )


def sweep_targets(jobs: Iterable[Job]) -> None:
    """Remove the temporary files that killed runs left in the folders of all targets."""
    for folder in {job.target.parent for job in jobs if job.target}:
        disk.sweep(folder)
