"""Measure the progress of a batch: what is done, what is in work, and how long the rest takes."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from hcdcodec.batch.observer import Observer
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.files.job import Job

_MARK_SHARE = 0.01
"""Marks of the work that is done are farther apart than this share of the time so far, so that they are few."""


@dataclass(frozen=True)
class Progress:
    """Where a batch stands at one moment.

    Attributes:
        share: part of the work that is done, 0 to 1.
        seconds_left: None = not known yet.
        ended: number of jobs that have ended.
        names: names of the sources that are in work.
    """

    share: float
    seconds_left: float | None
    ended: int
    names: tuple[str, ...]


@dataclass
class _Group:
    """Jobs that are computed together.

    Attributes:
        works: work of each job.
        done: work that is done.
    """

    works: Mapping[Job, int]
    done: int = 0

    @property
    def share(self) -> float:
        """Part of the work that is done. A group that is computed a second time, in halves, stays at 1."""
        return min(1.0, self.done / max(1, sum(self.works.values())))


class WorkMeter(Observer):
    """Counts the work of a batch as its observer, and extrapolates the time that is left.

    The rate is that of the later half of the time so far, since the first pictures are often slower.

    The work of a job is known by a forecast, or once it begins. A job without either counts as the mean of the others.

    Args:
        count: number of jobs.
        clock: returns seconds.
    """

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.count, self.clock = count, clock
        self.statuses: Counter[Status] = Counter()
        self._works: dict[Job, int] = {}
        self._known = self._sized = 0  # the sum of these, and how many are not 0
        self._done: dict[Job, float] = {}  # work of jobs that are computed and not written
        self._settled = 0.0  # work of all jobs that are computed, or have ended
        self._groups: dict[int, _Group] = {}  # by the thread that computes
        self._started = self.clock()
        self._marks = deque([(self._started, 0.0)])  # times, and the work that was done then
        self._has_begun = False
        self._lock = threading.Lock()

    @contextmanager
    def forecasting(self, jobs: Iterable[Job], forecast: Callable[[Job], int | None]) -> Iterator[None]:
        """Forecast the work of all jobs in a thread while the body runs."""
        stop = threading.Event()

        def plan_all() -> None:
            for job in jobs:
                if stop.is_set():
                    return
                if (work := forecast(job)) is not None:
                    self.plan(job, work)

        thread = threading.Thread(target=plan_all, name="forecast", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def plan(self, job: Job, work: int) -> None:
        """Take a forecast of the work of a job."""
        with self._lock:
            if job not in self._works:
                self._set(job, work)

    def begin(self, works: Mapping[Job, int]) -> None:
        """Note that this thread begins a group."""
        with self._lock:
            # The time before the first group loads the network, and says nothing about the time for the rest.
            if not self._has_begun:
                self._started, self._has_begun = self.clock(), True
                self._marks = deque([(self._started, 0.0)])
            for job, work in works.items():
                self._set(job, work)
            self._groups[threading.get_ident()] = _Group(works)

    def work(self, amount: int) -> None:
        """Count work of this thread's group."""
        with self._lock:
            self._groups[threading.get_ident()].done += amount
            self._mark()

    def leave(self) -> None:
        """Note that this thread's group is computed; its jobs end one by one."""
        with self._lock:
            group = self._groups.pop(threading.get_ident())
            for job, work in group.works.items():
                self._done[job] = group.share * work
                self._settled += self._done[job]

    def end(self, job: Job, outcome: Outcome) -> None:
        """Count all the work of a job that has ended. It was no work if nothing came of it before it was begun."""
        with self._lock:
            self.statuses[outcome.status] += 1
            if job not in self._done:
                # Jobs on other machines end without a beginning here.
                self._set(job, outcome.pixels if outcome.status is Status.DONE else 0)
            self._settled += self._works[job] - self._done.pop(job, 0)
            self._mark()

    def now(self) -> Progress:
        """Return where the batch stands."""
        with self._lock:
            done = self._count_done()
            names = tuple(job.name for group in self._groups.values() for job in group.works)
            unknown = self.count - len(self._works)
            total = self._known + self._known / max(1, self._sized) * unknown
            share = min(1.0, done / total) if total else 0.0
            return Progress(share, self._seconds_left(total - done), self.statuses.total(), names)

    def _count_done(self) -> float:
        return self._settled + sum(group.share * sum(group.works.values()) for group in self._groups.values())

    def _mark(self) -> None:
        """Note the work that is done now. Marks stay for the later half of the run, whose rate counts."""
        now = self.clock()
        spent = now - self._started
        if len(self._marks) > 1 and now - self._marks[-2][0] < _MARK_SHARE * spent:
            self._marks.pop()
        self._marks.append((now, self._count_done()))
        while len(self._marks) > 2 and self._marks[1][0] <= now - spent / 2:
            self._marks.popleft()

    def _seconds_left(self, remaining: float) -> float | None:
        (begin, before), (end, done) = self._marks[0], self._marks[-1]
        if done <= before:
            return None
        # Between two reports, the rate is that at the last one, and the time runs down.
        return max(0.0, remaining * (end - begin) / (done - before) - (self.clock() - end))

    def _set(self, job: Job, work: int) -> None:
        before = self._works.get(job, 0)
        self._known += work - before
        self._sized += (work > 0) - (before > 0)
        self._works[job] = work
