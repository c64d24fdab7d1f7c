"""What stands where results go, without any work."""

from collections.abc import Iterable, Iterator

from hcdcodec.batch.decode_files import Decoding
from hcdcodec.batch.encode_files import Encoding
from hcdcodec.batch.freshness import Freshness
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.stages import settle
from hcdcodec.files import disk
from hcdcodec.files.job import Job

_STANDING = {Freshness.MISSING: Status.MISSING, Freshness.STALE: Status.STALE, Freshness.FRESH: Status.SKIPPED}


Batch = Encoding | Decoding


def survey(jobs: Iterable[Job], batch: Batch) -> Iterator[Outcome]:
    """Yield, for each job in order, what stands where its result goes; write nothing."""

    def standing(job: Job) -> Outcome:
        return Outcome(name=job.name, target=job.target, status=_STANDING[batch.freshness(job)])

    return settle(jobs, standing, threads=batch.files.threads)


def sweep(jobs: Iterable[Job]) -> None:
    """Remove what killed runs left where results go."""
    for folder in {job.target.parent for job in jobs if job.target}:
        disk.sweep(folder)
