"""Three stages that overlap: threads read, one worker a device computes, threads write; memory stays bounded.

Knows neither pictures nor networks. Results come in the order of the jobs, and each job fails alone.
"""

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.errors import HcdError
from hcdcodec.files.job import Job

Loaded = TypeVar("Loaded")
Made = TypeVar("Made")
Work = Callable[[list[Loaded]], list[Made]]
"""Computes on one device: one result for each of a group, in order."""

_AHEAD_PX = 1 << 25
"""Pixels that wait between reading and computing before reading pauses; one picture always may."""

_TOGETHER = 256
"""Items at which a group is closed, however small they are."""

_BEHIND_PX = 1 << 25
"""Pixels a device, in groups that are computed or written, before no more are begun; a group a device always is."""


@dataclass(frozen=True)
class Stages(Generic[Loaded, Made]):
    """What is done to each job.

    Attributes:
        read: runs in threads; may settle a job by returning its outcome.
        weigh: pixels of what was read.
        works: one a device, each doing one group at a time.
        write: runs in threads.
    """

    read: Callable[[Job], Loaded | Outcome]
    weigh: Callable[[Loaded], int]
    works: Sequence[Work[Loaded, Made]]
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
        _workers(len(stages.works)) as workers,
    ):
        waiting: deque[_Underway] = deque()
        free: SimpleQueue[Work[Loaded, Made]] = SimpleQueue()
        for work in stages.works:
            free.put(work)
        try:
            items = _ahead(readers, jobs, stages.read, stages.weigh, threads)
            for group in _groups(items, stages.weigh, group_px):
                pixels = sum(_weight(item, stages.weigh) for _, item in group)
                waiting.append(_Underway(pixels, workers.submit(_computed, group, free, stages, writers)))
                while waiting and (waiting[0].is_settled() or _is_full(waiting, stages)):
                    yield from waiting.popleft().outcomes()
            while waiting:
                yield from waiting.popleft().outcomes()
        finally:
            # What is being computed or written is finished, what has not begun is not begun any more.
            readers.shutdown(wait=False, cancel_futures=True)
            workers.shutdown(wait=True, cancel_futures=True)
            writers.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Underway:
    """A group of so many pixels that is being computed, or written."""

    pixels: int
    computed: Future[list[Outcome | Future[Outcome]]]

    def is_settled(self) -> bool:
        return self.computed.done() and all(isinstance(item, Outcome) or item.done() for item in self.computed.result())

    def outcomes(self) -> Iterator[Outcome]:
        for item in self.computed.result():
            yield item if isinstance(item, Outcome) else item.result()


def _is_full(waiting: Iterable[_Underway], stages: Stages[Loaded, Made]) -> bool:
    unsettled = [group.pixels for group in waiting if not group.is_settled()]
    return len(unsettled) > len(stages.works) and sum(unsettled) > len(stages.works) * _BEHIND_PX


def settle(jobs: Iterable[Job], read: Callable[[Job], Outcome], *, threads: int) -> Iterator[Outcome]:
    """Yield one outcome a job, in order, where reading is all there is to do."""
    with ThreadPoolExecutor(threads, "read") as readers:
        try:
            for _, outcome in _ahead(readers, jobs, read, lambda _: 0, threads):
                yield outcome
        finally:
            readers.shutdown(wait=False, cancel_futures=True)


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
    pool: ThreadPoolExecutor,
    jobs: Iterable[Job],
    read: Callable[[Job], Loaded | Outcome],
    weigh: Callable[[Loaded], int],
    threads: int,
) -> Iterator[tuple[Job, Loaded | Outcome]]:
    """Yield (job, what was read) in order while the next ones are being read."""
    todo, inflight = iter(jobs), deque[tuple[Job, Future[Loaded | Outcome]]]()
    while True:
        loaded = sum(_weight(future.result(), weigh) for _, future in inflight if future.done())
        while len(inflight) <= threads and (loaded < _AHEAD_PX or not inflight):
            if (job := next(todo, None)) is None:
                break
            inflight.append((job, pool.submit(_guarded, read, job)))
        if not inflight:
            return
        job, future = inflight.popleft()
        yield job, future.result()


def _guarded(read: Callable[[Job], Loaded | Outcome], job: Job) -> Loaded | Outcome:
    try:
        return read(job)
    except Exception as error:
        return failure(job, error)


def _weight(item: Loaded | Outcome, weigh: Callable[[Loaded], int]) -> int:
    return 0 if isinstance(item, Outcome) else weigh(item)


def _groups(
    items: Iterator[tuple[Job, Loaded | Outcome]], weigh: Callable[[Loaded], int], group_px: int
) -> Iterator[list[tuple[Job, Loaded | Outcome]]]:
    """Yield runs of neighbouring items whose pixels fit together; a larger item stands alone."""
    group: list[tuple[Job, Loaded | Outcome]] = []
    pixels = 0
    for job, item in items:
        weight = _weight(item, weigh)
        if group and pixels + weight > group_px:
            yield group
            group, pixels = [], 0
        group.append((job, item))
        pixels += weight
        # What reading has settled already waits for nothing, and not too much of it waits for a small picture.
        if pixels >= group_px or not pixels or len(group) >= _TOGETHER:
            yield group
            group, pixels = [], 0
    if group:
        yield group


class _Here(Executor):
    """The one worker of one device: the calling thread, so that an interrupt gets out of a long computation."""

    def submit(self, do: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(do(*args, **named))
        return done


def _workers(count: int) -> Executor:
    return _Here() if count == 1 else ThreadPoolExecutor(count, "work")


def _computed(
    group: list[tuple[Job, Loaded | Outcome]],
    free: SimpleQueue[Work[Loaded, Made]],
    stages: Stages[Loaded, Made],
    writers: ThreadPoolExecutor,
) -> list[Outcome | Future[Outcome]]:
    """Compute a group on a free device and hand its results to the writers; return them in the order of the group."""
    loaded = [(job, item) for job, item in group if not isinstance(item, Outcome)]
    work = free.get()
    try:
        results: list[Made | Outcome] = _bisected(loaded, work)
    finally:
        free.put(work)
    made = iter(results)

    def written(job: Job, item: Loaded) -> Outcome | Future[Outcome]:
        result = next(made)
        return result if isinstance(result, Outcome) else writers.submit(_written, stages, job, item, result)

    return [item if isinstance(item, Outcome) else written(job, item) for job, item in group]


def _bisected(loaded: list[tuple[Job, Loaded]], work: Work[Loaded, Made]) -> list[Made | Outcome]:
    """Compute a group; where that fails, its halves, so that one bad picture fails alone and memory can suffice."""
    if not loaded:
        return []
    try:
        return list(work([item for _, item in loaded]))
    except Exception as error:
        if len(loaded) == 1:
            return [failure(loaded[0][0], error)]
    half = len(loaded) // 2
    return _bisected(loaded[:half], work) + _bisected(loaded[half:], work)


def _written(stages: Stages[Loaded, Made], job: Job, item: Loaded, made: Made) -> Outcome:
    try:
        return stages.write(job, item, made)
    except Exception as error:
        return failure(job, error)
