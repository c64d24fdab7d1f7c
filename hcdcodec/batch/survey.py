"""Find out the state of results without making any."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from hcdcodec.batch.freshness import Freshness, confirm
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.stages import read_only
from hcdcodec.files import disk
from hcdcodec.files.job import Job

_STATUS = {
    Freshness.MISSING: Status.MISSING,
    Freshness.STALE: Status.STALE,
    Freshness.FRESH: Status.SKIPPED,
    Freshness.OLDER: Status.SKIPPED,
}


def survey(jobs: Iterable[Job], judge: Callable[[Job], Freshness], *, threads: int) -> Iterator[Outcome]:
    """Yield the state of each job's result, in order; write nothing.

    Args:
        jobs: the jobs of a run.
        judge: judges one result, see `hcdcodec.batch.freshness`.
        threads: number of threads that judge.
    """

    def look(job: Job) -> Outcome:
        state = judge(job)
        older = state is Freshness.OLDER
        return Outcome(name=job.name, target=job.target, status=_STATUS[state], is_older=older)

    return read_only(jobs, look, threads=threads)


def skip_all(jobs: Sequence[Job], judge: Callable[[Job], Freshness], *, threads: int) -> Sequence[Outcome] | None:
    """Return the outcomes of a run with nothing to do; None as soon as one job has to be done.

    Such a run needs neither a network nor torch, and loading these takes far longer than judging.
    """
    outcomes = []
    for outcome in survey(jobs, judge, threads=threads):
        if outcome.status in (Status.MISSING, Status.STALE):
            return None
        outcomes.append(replace(outcome, message=outcome.message or "up to date"))
    # Only now, since a run that returns None judges all results again.
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome.status is Status.SKIPPED:
            confirm(job)
    return outcomes


def sweep_targets(jobs: Iterable[Job]) -> None:
    """Remove the temporary files that killed runs left in the folders of all targets."""
    for folder in {job.target.parent for job in jobs if job.target}:
        disk.sweep(folder)
