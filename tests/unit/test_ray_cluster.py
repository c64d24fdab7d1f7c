"""Work that comes back from dead workers: the picture to blame is found, and everything else is done, in order.

Ray itself is met in benchmarks/robustness/ray_workers.py, which starts a cluster and kills workers.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hcdcodec.batch.decode_files import Decoding
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.ray_cluster import JobGroup, JobQueue
from hcdcodec.cli.arguments import Arguments
from hcdcodec.cli.encode_decode import _prepare_decoding
from hcdcodec.files.job import Job


def jobs_of(count: int) -> list[Job]:
    return [Job(Path(f"{n}"), Path(f"{n}.out"), str(n), str(n), named=True) for n in range(count)]


def done(job: Job) -> Outcome:
    assert job.target
    return Outcome(name=job.name, status=Status.DONE, target=Path("/elsewhere") / job.target, message="by a worker")


@dataclass
class Rehearsal:
    """Plays workers that do one group at a time and die when `dies` says so, with nothing behind them.

    Attributes:
        queue: what is to be done.
        dies: whether the worker dies at a place.
        deaths: chunks that workers died over.
    """

    queue: JobQueue
    dies: Callable[[int], bool]
    deaths: list[JobGroup] = field(default_factory=list)

    def play(self, workers: int) -> list[Outcome]:
        told: list[Outcome] = []
        busy: deque[tuple[JobGroup, int]] = deque()
        while not self.queue.is_done:
            while len(busy) < workers and (group := self.queue.take()):
                busy.append((group, 0))
            self._step(busy)
            told += self.queue.pop_outcomes()
        assert self.queue.take() is None
        return told

    def _step(self, busy: deque[tuple[JobGroup, int]]) -> None:
        group, number = busy.popleft()
        place = group.places[number]
        if self.dies(place):
            self.deaths.append(group)
            self.queue.requeue(group)
            return
        self.queue.record(place, done(self.queue.jobs[place]))
        if number + 1 < len(group.places):
            busy.append((group, number + 1))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("count", "size"), [(0, 4), (1, 1), (1, 4), (9, 4), (40, 32)])
def test_outcomes_come_in_the_order_of_the_jobs(count: int, size: int, workers: int) -> None:
    outcomes = Rehearsal(JobQueue(jobs_of(count), size), lambda _: False).play(workers)
    assert [outcome.name for outcome in outcomes] == [str(number) for number in range(count)]
    assert [outcome.target for outcome in outcomes] == [Path(f"{number}.out") for number in range(count)]
    assert all(outcome.message == "by a worker" for outcome in outcomes)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 5, 32])
@pytest.mark.parametrize("bad", [{0}, {31}, {7, 8}, {3, 14, 15, 30}, set(range(32))])
def test_pictures_that_kill_fail_alone(bad: set[int], size: int, workers: int) -> None:
    rehearsal = Rehearsal(JobQueue(jobs_of(32), size), bad.__contains__)
    outcomes = rehearsal.play(workers)
    assert [outcome.name for outcome in outcomes] == [str(number) for number in range(32)]
    failed = {int(outcome.name) for outcome in outcomes if outcome.status is Status.FAILED}
    assert failed == bad
    assert all("died of it twice" in outcome.message for outcome in outcomes if outcome.status is Status.FAILED)
    assert len(rehearsal.deaths) <= len(bad) * (2 + math.ceil(math.log2(size)))


@pytest.mark.parametrize("size", [1, 2, 32])
def test_a_worker_that_dies_once_costs_no_picture(size: int) -> None:
    killed = iter([True])
    rehearsal = Rehearsal(JobQueue(jobs_of(32), size), lambda place: place == 20 and next(killed, False))
    assert all(outcome.status is Status.DONE for outcome in rehearsal.play(2))
    assert len(rehearsal.deaths) == 1


def test_what_a_dead_worker_has_told_is_not_done_again() -> None:
    queue = JobQueue(jobs_of(8), 8)
    group = queue.take()
    assert group is not None
    for place in (0, 1, 2):
        queue.record(place, done(queue.jobs[place]))
    assert len(list(queue.pop_outcomes())) == 3
    queue.record(4, done(queue.jobs[4]))
    queue.requeue(group)
    assert (queue.take(), queue.take(), queue.take()) == (JobGroup((3, 5)), JobGroup((6, 7)), None)


def test_a_worker_that_dies_when_all_is_told_leaves_nothing_to_do() -> None:
    queue = JobQueue(jobs_of(2), 2)
    group = queue.take()
    assert group is not None
    for place in group.places:
        queue.record(place, done(queue.jobs[place]))
    queue.requeue(group)
    assert queue.take() is None
    assert len(list(queue.pop_outcomes())) == 2 and queue.is_done


def test_the_last_picture_of_a_chunk_gets_its_chances_alone() -> None:
    queue = JobQueue(jobs_of(2), 2)
    group = queue.take()
    assert group is not None
    queue.record(0, done(queue.jobs[0]))
    queue.requeue(group)  # the other one may have been to blame
    for deaths in (0, 1):
        alone = queue.take()
        assert alone == JobGroup((1,), deaths)
        queue.requeue(alone)
    assert [outcome.status for outcome in queue.pop_outcomes()] == [Status.DONE, Status.FAILED]


def test_workers_in_another_directory_find_the_weights(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = _prepare_decoding(Arguments(paths=("small", "out"), weights_dir=Path("weights")))
    monkeypatch.chdir("/")
    files = make(("cpu",))
    assert isinstance(files, Decoding) and files.engines[0].weights_dir == here / "weights"
