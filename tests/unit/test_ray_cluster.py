"""Work that comes back from dead workers: the picture to blame is found, and everything else is done, in order.

Ray itself is met in benchmarks/robustness/ray_workers.py, which starts a cluster and kills workers.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.ray_cluster import Board, Chunk
from hcdcodec.files.job import Job


def jobs_of(count: int) -> list[Job]:
    return [Job(Path(f"{n}"), Path(f"{n}.out"), str(n), str(n), named=True) for n in range(count)]


def done(job: Job) -> Outcome:
    assert job.target
    return Outcome(name=job.name, status=Status.DONE, target=Path("/elsewhere") / job.target, message="by a worker")


@dataclass
class Rehearsal:
    """Plays workers that do one chunk at a time and die when `dies` says so, with nothing behind them.

    Attributes:
        board: what is to be done.
        dies: whether the worker dies at a place.
        deaths: chunks that workers died over.
    """

    board: Board
    dies: Callable[[int], bool]
    deaths: list[Chunk] = field(default_factory=list)

    def play(self, workers: int) -> list[Outcome]:
        told: list[Outcome] = []
        busy: deque[tuple[Chunk, int]] = deque()
        while not self.board.is_told:
            while len(busy) < workers and (chunk := self.board.take()):
                busy.append((chunk, 0))
            self._step(busy)
            told += self.board.tell()
        assert self.board.take() is None
        return told

    def _step(self, busy: deque[tuple[Chunk, int]]) -> None:
        chunk, number = busy.popleft()
        place = chunk.places[number]
        if self.dies(place):
            self.deaths.append(chunk)
            self.board.mourn(chunk)
            return
        self.board.settle(place, done(self.board.jobs[place]))
        if number + 1 < len(chunk.places):
            busy.append((chunk, number + 1))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("count", "size"), [(0, 4), (1, 1), (1, 4), (9, 4), (40, 32)])
def test_outcomes_come_in_the_order_of_the_jobs(count: int, size: int, workers: int) -> None:
    outcomes = Rehearsal(Board(jobs_of(count), size), lambda _: False).play(workers)
    assert [outcome.name for outcome in outcomes] == [str(number) for number in range(count)]
    assert [outcome.target for outcome in outcomes] == [Path(f"{number}.out") for number in range(count)]
    assert all(outcome.message == "by a worker" for outcome in outcomes)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 5, 32])
@pytest.mark.parametrize("bad", [{0}, {31}, {7, 8}, {3, 14, 15, 30}, set(range(32))])
def test_pictures_that_kill_fail_alone(bad: set[int], size: int, workers: int) -> None:
    rehearsal = Rehearsal(Board(jobs_of(32), size), bad.__contains__)
    outcomes = rehearsal.play(workers)
    assert [outcome.name for outcome in outcomes] == [str(number) for number in range(32)]
    failed = {int(outcome.name) for outcome in outcomes if outcome.status is Status.FAILED}
    assert failed == bad
    assert all("died of it twice" in outcome.message for outcome in outcomes if outcome.status is Status.FAILED)
    assert len(rehearsal.deaths) <= len(bad) * (2 + math.ceil(math.log2(size)))


@pytest.mark.parametrize("size", [1, 2, 32])
def test_a_worker_that_dies_once_costs_no_picture(size: int) -> None:
    killed = iter([True])
    rehearsal = Rehearsal(Board(jobs_of(32), size), lambda place: place == 20 and next(killed, False))
    assert all(outcome.status is Status.DONE for outcome in rehearsal.play(2))
    assert len(rehearsal.deaths) == 1


def test_what_a_dead_worker_has_told_is_not_done_again() -> None:
    board = Board(jobs_of(8), 8)
    chunk = board.take()
    assert chunk is not None
    for place in (0, 1, 2):
        board.settle(place, done(board.jobs[place]))
    assert len(list(board.tell())) == 3
    board.settle(4, done(board.jobs[4]))
    board.mourn(chunk)
    assert (board.take(), board.take(), board.take()) == (Chunk((3, 5)), Chunk((6, 7)), None)


def test_a_worker_that_dies_when_all_is_told_leaves_nothing_to_do() -> None:
    board = Board(jobs_of(2), 2)
    chunk = board.take()
    assert chunk is not None
    for place in chunk.places:
        board.settle(place, done(board.jobs[place]))
    board.mourn(chunk)
    assert board.take() is None
    assert len(list(board.tell())) == 2 and board.is_told


def test_the_last_picture_of_a_chunk_gets_its_chances_alone() -> None:
    board = Board(jobs_of(2), 2)
    chunk = board.take()
    assert chunk is not None
    board.settle(0, done(board.jobs[0]))
    board.mourn(chunk)  # the other one may have been to blame
    for deaths in (0, 1):
        alone = board.take()
        assert alone == Chunk((1,), deaths)
        board.mourn(alone)
    assert [outcome.status for outcome in board.tell()] == [Status.DONE, Status.FAILED]
