"""Three stages that overlap: threads read, one loop for each device computes, threads write. Memory stays bounded.

    jobs --> _read_ahead --items--> _group --groups--> compute, one device each --> writers --> outcomes, in order

This module knows neither pictures nor networks. Each job fails alone.
"""

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from hcdcodec.batch.observer import UNOBSERVED, Observer
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.errors import HcdError
from hcdcodec.files.job import Job

Loaded = TypeVar("Loaded")
Computed = TypeVar("Computed")
Compute = Callable[[list[Loaded]], list[Computed]]
"""Computes a group on one device and returns one result for each member, in order."""

# Both limits allow at least one picture of any size: otherwise a large one would wait for ever.
_READ_AHEAD_PX = 1 << 25
"""Reading pauses while more pixels than this wait to be computed."""

_UNWRITTEN_PX = 1 << 25
"""No new group starts while more pixels than this, for each device, are being computed or written."""

_GROUP_ITEMS = 256
"""Largest number of items in a group, even if they are tiny."""


@dataclass(frozen=True)
class Stages(Generic[Loaded, Computed]):
    """What is done to each job.

    Attributes:
        read: runs in threads; may settle a job by returning its outcome.
        weigh: pixels of a loaded picture.
        computes: one for each device; each of them gets one group at a time.
        write: runs in threads.
        work_of: work to compute and write a loaded picture, as `observer` counts it.
        observer: is told what happens.
    """

    read: Callable[[Job], Loaded | Outcome]
    weigh: Callable[[Loaded], int]
    computes: Sequence[Compute[Loaded, Computed]]
    write: Callable[[Job, Loaded, Computed], Outcome]
    work_of: Callable[[Loaded], int] = lambda _: 1
    observer: Observer = UNOBSERVED


@dataclass(frozen=True)
class _Item(Generic[Loaded]):
    """A job that was read. Its outcome stands in place of a picture where reading has settled it."""

    job: Job
    loaded: Loaded | Outcome
    pixels: int = 0


@dataclass(frozen=True)
class _PendingGroup:
    """A group that is being computed or written."""

    pixels: int
    results: Future[list[Outcome | Future[Outcome]]]

    def is_settled(self) -> bool:
        """Tell whether all outcomes of the group are known."""
        return self.results.done() and all(isinstance(item, Outcome) or item.done() for item in self.results.result())

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes in order, and wait for those that are not known yet."""
        for item in self.results.result():
            yield item if isinstance(item, Outcome) else item.result()


def run_stages(
    jobs: Iterable[Job], stages: Stages[Loaded, Computed], *, threads: int, group_px: int
) -> Iterator[Outcome]:
    """Yield one outcome for each job, in order.

    Args:
        jobs: what to do.
        stages: how to do it.
        threads: number of threads that read, and of threads that write.
        group_px: pictures are computed together up to this many pixels.
    """
    with (
        ThreadPoolExecutor(threads, "read") as readers,
        ThreadPoolExecutor(threads, "write") as writers,
        _make_executor(len(stages.computes)) as computing,
    ):
        pending: deque[_PendingGroup] = deque()
        # A thread takes any free device, so that a slow device holds up none of the others.
        free: SimpleQueue[Compute[Loaded, Computed]] = SimpleQueue()
        for compute in stages.computes:
            free.put(compute)
        try:
            items = _read_ahead(readers, jobs, partial(_read_one, stages.read, stages.weigh), threads)
            for group in _group(items, group_px):
                results = computing.submit(_compute_and_write, group, free, stages, writers)
                pending.append(_PendingGroup(sum(item.pixels for item in group), results))
                # Outcomes leave in the order of the jobs, so only the first group can leave.
                while pending and (pending[0].is_settled() or _is_full(pending, len(stages.computes))):
                    yield from pending.popleft().outcomes()
            while pending:
                yield from pending.popleft().outcomes()
        finally:
            # This order matters: readers stop first, then what is being computed may still hand over to the writers.
            readers.shutdown(wait=False, cancel_futures=True)
            computing.shutdown(wait=True, cancel_futures=True)
            writers.shutdown(wait=True, cancel_futures=True)


def read_only(jobs: Iterable[Job], read: Callable[[Job], Outcome], *, threads: int) -> Iterator[Outcome]:
    """Yield one outcome for each job, in order, where jobs only need reading."""
    with ThreadPoolExecutor(threads, "read") as readers:
        try:
            for item in _read_ahead(readers, jobs, partial(_read_one, read, lambda _: 0), threads):
                yield item.loaded
        finally:
            readers.shutdown(wait=False, cancel_futures=True)


def failure_of(job: Job, error: BaseException) -> Outcome:
    """Return the outcome of a job that raised an error."""
    if isinstance(error, HcdError):
        message = str(error)
    elif isinstance(error, MemoryError):
        message = "not enough memory for this picture; lower --jobs, use --device cpu, or leave it out"
    elif isinstance(error, OSError):
        message = f"{error.strerror or error}; check the file and its folder"
    else:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"INTERNAL ERROR: {type(error).__name__}: {error} ({where.name}:{where.lineno}); please report it"
    return Outcome(name=job.name, target=job.target, status=Status.FAILED, message=message)


def _is_full(pending: Iterable[_PendingGroup], devices: int) -> bool:
    unsettled = [group.pixels for group in pending if not group.is_settled()]
    # Each device may always have one group: a single picture can be larger than the limit.
    return len(unsettled) > devices and sum(unsettled) > devices * _UNWRITTEN_PX


def _read_one(read: Callable[[Job], Loaded | Outcome], weigh: Callable[[Loaded], int], job: Job) -> _Item[Loaded]:
    try:
        loaded = read(job)
        return _Item(job, loaded, 0 if isinstance(loaded, Outcome) else weigh(loaded))
    except Exception as error:
        return _Item(job, failure_of(job, error))


def _read_ahead(
    readers: ThreadPoolExecutor, jobs: Iterable[Job], read: Callable[[Job], _Item[Loaded]], threads: int
) -> Iterator[_Item[Loaded]]:
    """Yield items in the order of the jobs while the next ones are being read."""
    todo, inflight = iter(jobs), deque[Future[_Item[Loaded]]]()
    while True:
        # The size of a picture is known once it is read, so those that are still being read count nothing.
        waiting_px = sum(future.result().pixels for future in inflight if future.done())
        # One job more than there are threads, so that no thread is idle while the first item is handed on.
        while len(inflight) <= threads and (waiting_px < _READ_AHEAD_PX or not inflight):
            if (job := next(todo, None)) is None:
                break
            inflight.append(readers.submit(read, job))
        if not inflight:
            return
        yield inflight.popleft().result()


def _group(items: Iterable[_Item[Loaded]], group_px: int) -> Iterator[list[_Item[Loaded]]]:
    """Yield runs of neighbouring items whose pixels fit together. A larger item is a group of its own."""
    group: list[_Item[Loaded]] = []
    pixels = 0
    for item in items:
        if group and pixels + item.pixels > group_px:
            yield group
            group, pixels = [], 0
        group.append(item)
        pixels += item.pixels
        # A group without pixels holds only settled jobs, whose outcomes need not wait for the next picture.
        if pixels >= group_px or not pixels or len(group) >= _GROUP_ITEMS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


class _CallerExecutor(Executor):
    """Runs everything in the calling thread.

    Signals reach the main thread only. With one device it computes there, so Ctrl-C ends a long computation at once.
    """

    def submit(self, do: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """Call a function and return its result as a future that is done."""
        # An error is not stored in the future but leaves from here: an interrupt must end `run_stages` at once.
        done: Future[Any] = Future()
        done.set_result(do(*args, **named))
        return done


def _make_executor(devices: int) -> Executor:
    return _CallerExecutor() if devices == 1 else ThreadPoolExecutor(devices, "work")


def _compute_and_write(
    group: list[_Item[Loaded]],
    free: SimpleQueue[Compute[Loaded, Computed]],
    stages: Stages[Loaded, Computed],
    writers: ThreadPoolExecutor,
) -> list[Outcome | Future[Outcome]]:
    """Compute a group on a free device and hand its results to the writers; return them in the order of the group."""
    loaded = [(item.job, item.loaded) for item in group if not isinstance(item.loaded, Outcome)]
    compute = free.get()
    stages.observer.begin({job: stages.work_of(picture) for job, picture in loaded})
    try:
        results: list[Computed | Outcome] = _compute_or_split(loaded, compute)
    finally:
        stages.observer.leave()
        free.put(compute)
    remaining = iter(results)

    def submit(job: Job, picture: Loaded | Outcome) -> Outcome | Future[Outcome]:
        if isinstance(picture, Outcome):
            return _settle(stages, job, picture)
        if isinstance(result := next(remaining), Outcome):
            return _settle(stages, job, result)
        return writers.submit(_write_one, stages, job, picture, result)

    return [submit(item.job, item.loaded) for item in group]


def _compute_or_split(loaded: list[tuple[Job, Loaded]], compute: Compute[Loaded, Computed]) -> list[Computed | Outcome]:
    """Compute a group, or its halves where that fails: a bad picture fails alone, and halves need less memory."""
    if not loaded:
        return []
    try:
        return list(compute([picture for _, picture in loaded]))
    except Exception as error:
        if len(loaded) == 1:
            return [failure_of(loaded[0][0], error)]
    # Outside of `except`, so that the traceback no longer holds the tensors of the failed attempt.
    half = len(loaded) // 2
    return _compute_or_split(loaded[:half], compute) + _compute_or_split(loaded[half:], compute)


def _write_one(stages: Stages[Loaded, Computed], job: Job, picture: Loaded, result: Computed) -> Outcome:
    try:
        outcome = stages.write(job, picture, result)
    except Exception as error:
        outcome = failure_of(job, error)
    return _settle(stages, job, outcome)


def _settle(stages: Stages[Any, Any], job: Job, outcome: Outcome) -> Outcome:
    stages.observer.end(job, outcome)
    return outcome
