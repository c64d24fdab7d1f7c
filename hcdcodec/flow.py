"""Three stages that overlap: threads read, the calling thread computes, threads write; memory stays bounded.

Knows neither pictures nor networks. Results come in the order of the jobs, and each job fails alone.
"""

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from hcdcodec.errors import HcdError
from hcdcodec.files import Job
from hcdcodec.outcome import Outcome, Status

Loaded = TypeVar("Loaded")
Made = TypeVar("Made")

_AHEAD_PX = 1 << 25
"""Pixels that wait between reading and computing before reading pauses; one picture always may."""

_BEHIND_PX = 1 << 25
"""Pixels that wait to be written before computing pauses; one picture always may."""


@dataclass(frozen=True)
class Stages(Generic[Loaded, Made]):
    """What is done to each job.

    Attributes:
        read: runs in threads; may settle a job by returning its outcome.
        weigh: pixels of what was read.
        work: runs in the calling thread on a group; one result for each, in order.
        write: runs in threads.
    """

    read: Callable[[Job], Loaded | Outcome]
    weigh: Callable[[Loaded], int]
    work: Callable[[list[Loaded]], list[Made]]
    write: Callable[[Job, Loaded, Made], Outcome]


def run(jobs: Iterable[Job], stages: Stages[Loaded, Made], *, threads: int, group_px: int) -> Iterator[Outcome]:
    """Yield one outcome a job, in order.

    Args:
        jobs: what to do.
        stages: how.
        threads: for reading, and as many for writing.
        group_px: pictures are computed together up to this many pixels.
    """
    with (
        ThreadPoolExecutor(threads, "read") as readers,
        ThreadPoolExecutor(threads, "write") as writers,
    ):
        waiting: deque[_Waiting] = deque()
        try:
            items = _ahead(readers, jobs, stages, threads)
            for group in _groups(items, stages, group_px):
                waiting.extend(_computed(group, stages, writers))
                while waiting and (waiting[0].settled or len(waiting) > 2 * threads or _is_behind(waiting)):
                    yield waiting.popleft().outcome()
            while waiting:
                yield waiting.popleft().outcome()
        finally:
            # What is being written is finished, what has not begun is not begun any more.
            readers.shutdown(wait=False, cancel_futures=True)
            writers.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Waiting:
    """An outcome that is known, or will be once so many pixels are written."""

    item: Outcome | Future[Outcome]
    pixels: int = 0

    @property
    def settled(self) -> bool:
        return isinstance(self.item, Outcome) or self.item.done()

    def outcome(self) -> Outcome:
        return self.item if isinstance(self.item, Outcome) else self.item.result()


def failure(job: Job, error: BaseException) -> Outcome:
    """Return the outcome of a job that raised."""
    if isinstance(error, HcdError):
        message = str(error)
    elif isinstance(error, MemoryError):
        message = "not enough memory for this picture; lower --jobs or leave it out"
    elif isinstance(error, OSError):
        message = f"{error.strerror or error}; check the file and its folder"
    else:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"INTERNAL ERROR: {type(error).__name__}: {error} ({where.name}:{where.lineno}); please report it"
    return Outcome(name=job.name, target=job.target, status=Status.FAILED, message=message)


def _ahead(
    pool: ThreadPoolExecutor, jobs: Iterable[Job], stages: Stages[Loaded, Made], threads: int
) -> Iterator[tuple[Job, Loaded | Outcome]]:
    """Yield (job, what was read) in order while the next ones are being read."""
    todo, inflight = iter(jobs), deque[tuple[Job, Future[Loaded | Outcome]]]()
    while True:
        loaded = sum(_weight(future.result(), stages) for _, future in inflight if future.done())
        while len(inflight) <= threads and (loaded < _AHEAD_PX or not inflight):
            if (job := next(todo, None)) is None:
                break
            inflight.append((job, pool.submit(_guarded, stages.read, job)))
        if not inflight:
            return
        job, future = inflight.popleft()
        yield job, future.result()


def _guarded(read: Callable[[Job], Loaded | Outcome], job: Job) -> Loaded | Outcome:
    try:
        return read(job)
    except Exception as error:
        return failure(job, error)


def _weight(item: Loaded | Outcome, stages: Stages[Loaded, Made]) -> int:
    return 0 if isinstance(item, Outcome) else stages.weigh(item)


def _groups(
    items: Iterator[tuple[Job, Loaded | Outcome]], stages: Stages[Loaded, Made], group_px: int
) -> Iterator[list[tuple[Job, Loaded | Outcome]]]:
    """Yield runs of neighbouring items whose pixels fit together; a larger item stands alone."""
    group: list[tuple[Job, Loaded | Outcome]] = []
    pixels = 0
    for job, item in items:
        weight = _weight(item, stages)
        if group and pixels + weight > group_px:
            yield group
            group, pixels = [], 0
        group.append((job, item))
        pixels += weight
        if pixels >= group_px:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def _computed(
    group: list[tuple[Job, Loaded | Outcome]], stages: Stages[Loaded, Made], writers: ThreadPoolExecutor
) -> Iterator[_Waiting]:
    """Compute a group and hand its results to the writers; yield in the order of the group."""
    loaded = [(job, item) for job, item in group if not isinstance(item, Outcome)]
    results: list[Made | Outcome] = _bisected(loaded, stages)
    made = iter(results)
    for job, item in group:
        if isinstance(item, Outcome):
            yield _Waiting(item)
            continue
        result = next(made)
        if isinstance(result, Outcome):
            yield _Waiting(result)
        else:
            yield _Waiting(writers.submit(_written, stages, job, item, result), stages.weigh(item))


def _bisected(loaded: list[tuple[Job, Loaded]], stages: Stages[Loaded, Made]) -> list[Made | Outcome]:
    """Compute a group; where that fails, its halves, so that one bad picture fails alone and memory can suffice."""
    if not loaded:
        return []
    try:
        return list(stages.work([item for _, item in loaded]))
    except Exception as error:
        if len(loaded) == 1:
            return [failure(loaded[0][0], error)]
    half = len(loaded) // 2
    return _bisected(loaded[:half], stages) + _bisected(loaded[half:], stages)


def _written(stages: Stages[Loaded, Made], job: Job, item: Loaded, made: Made) -> Outcome:
    try:
        return stages.write(job, item, made)
    except Exception as error:
        return failure(job, error)


def _is_behind(waiting: Iterable[_Waiting]) -> bool:
    unwritten = [each.pixels for each in waiting if not each.settled]
    return len(unwritten) > 1 and sum(unwritten) > _BEHIND_PX
