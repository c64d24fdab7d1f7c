"""Reading, computing and writing overlap, in order, in bounded memory, and every job fails alone."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.stages import Stages, failure_of, run_stages
from hcdcodec.errors import PictureError
from hcdcodec.files.job import Job


def job_of(number: int) -> Job:
    return Job(Path(f"{number}"), Path(f"{number}.out"), str(number), str(number), named=True)


def jobs_of(count: int) -> list[Job]:
    return [job_of(number) for number in range(count)]


def number_of(job: Job) -> int:
    return int(job.name)


def noted(count: int, taken: list[int]) -> Iterator[Job]:
    """Yield jobs, and note the numbers of those that were taken."""
    for job in jobs_of(count):
        taken.append(number_of(job))
        yield job


def done(job: Job, made: object) -> Outcome:
    return Outcome(name=job.name, status=Status.DONE, target=job.target, message=str(made))


def negate(group: list[int]) -> list[int]:
    return [-number for number in group]


def stages(
    read: Callable[[Job], int | Outcome] = number_of,
    work: Callable[[list[int]], list[int]] = negate,
    write: Callable[[Job, int, int], Outcome] = lambda job, _, made: done(job, made),
    weigh: Callable[[int], int] = lambda _: 1,
) -> Stages[int, int]:
    return Stages(read, weigh, [work], write)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let next to nothing wait to be written: how much else is begun would depend on the speed of the writers."""
    monkeypatch.setattr("hcdcodec.batch.stages._UNWRITTEN_PX", 4)


def statuses(outcomes: list[Outcome]) -> dict[str, Status]:
    return {outcome.name: outcome.status for outcome in outcomes if outcome.status is not Status.DONE}


@pytest.mark.parametrize("group_px", [1, 3, 1000])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_outcomes_come_in_the_order_of_the_jobs(count: int, threads: int, group_px: int) -> None:
    outcomes = list(run_stages(iter(jobs_of(count)), stages(), threads=threads, group_px=group_px))
    assert [(outcome.name, outcome.message) for outcome in outcomes] == [(str(n), str(-n)) for n in range(count)]


def test_one_small_picture_does_not_wait_for_all_that_is_settled() -> None:
    """Ten thousand pictures that are up to date must not keep the one that is not from being computed."""
    seen = iter(
        run_stages(
            jobs_of(10_000),
            stages(read=lambda job: number_of(job) if job.name == "0" else done(job, "settled")),
            threads=2,
            group_px=1000,
        )
    )
    assert next(seen).message == "0"
    seen.close()  # type: ignore[attr-defined]


def test_order_holds_when_later_writes_end_first() -> None:
    second_written = threading.Event()

    def write(job: Job, _: int, made: int) -> Outcome:
        if job.name == "0":
            assert second_written.wait(10)
        if job.name == "1":
            second_written.set()
        return done(job, made)

    outcomes = list(run_stages(jobs_of(6), stages(write=write), threads=2, group_px=1))
    assert [outcome.name for outcome in outcomes] == list("012345")
    assert not statuses(outcomes)


def test_neighbours_are_computed_together_up_to_the_limit() -> None:
    groups: list[list[int]] = []

    def work(group: list[int]) -> list[int]:
        groups.append(group)
        return group

    weights = [1, 1, 1, 5, 1, 2, 1, 3, 1]
    list(run_stages(jobs_of(9), stages(work=work, weigh=weights.__getitem__), threads=1, group_px=3))
    assert groups == [[0, 1, 2], [3], [4, 5], [6], [7], [8]]


@pytest.mark.parametrize("stage", ["read", "work", "write"])
@pytest.mark.parametrize("bad", [{0}, {4}, {0, 1, 2, 3, 4, 5, 6, 7}, {2, 3, 7}])
def test_failures_are_alone_whatever_the_stage(stage: str, bad: set[int]) -> None:
    def picky(number: int) -> int:
        if number in bad:
            raise PictureError(f"{number} is bad; leave it out")
        return number

    chosen = {
        "read": stages(read=lambda job: picky(number_of(job))),
        "work": stages(work=lambda group: [picky(number) for number in group]),
        "write": stages(write=lambda job, number, _: done(job, picky(number))),
    }[stage]
    outcomes = list(run_stages(jobs_of(8), chosen, threads=2, group_px=100))
    assert [outcome.name for outcome in outcomes] == [str(number) for number in range(8)]
    assert statuses(outcomes) == {str(number): Status.FAILED for number in bad}
    assert all(outcome.message == f"{outcome.name} is bad; leave it out" for outcome in outcomes if outcome.status
               is Status.FAILED)  # fmt: skip


def test_what_reading_settles_is_neither_computed_nor_written() -> None:
    seen: list[int] = []

    def read(job: Job) -> int | Outcome:
        if number_of(job) % 2:
            return Outcome(name=job.name, status=Status.SKIPPED)
        return number_of(job)

    def work(group: list[int]) -> list[int]:
        seen.extend(group)
        return group

    outcomes = list(run_stages(jobs_of(7), stages(read=read, work=work), threads=2, group_px=4))
    assert [outcome.name for outcome in outcomes] == list("0123456")
    assert statuses(outcomes) == dict.fromkeys("135", Status.SKIPPED)
    assert seen == [0, 2, 4, 6]


def test_groups_are_halved_until_they_fit() -> None:
    sizes: list[int] = []

    def work(group: list[int]) -> list[int]:
        sizes.append(len(group))
        if len(group) > 2:
            raise MemoryError
        return group

    outcomes = list(run_stages(jobs_of(8), stages(work=work), threads=2, group_px=8))
    assert not statuses(outcomes)
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


@pytest.mark.usefixtures("narrow")
def test_reading_runs_ahead_by_a_bounded_number_of_jobs() -> None:
    taken: list[int] = []
    outcomes = run_stages(noted(100, taken), stages(), threads=2, group_px=1)
    for finished in range(1, 60):
        next(outcomes)
        # Being read, waiting to be computed, in one group, and waiting to be written.
        assert len(taken) - finished <= 16
    assert len(list(outcomes)) == 41


def test_reading_pauses_while_large_pictures_wait() -> None:
    taken: list[int] = []
    ahead: list[int] = []
    read: list[int] = []

    def slow(group: list[int]) -> list[int]:
        while len(read) < len(taken):
            time.sleep(0.001)
        time.sleep(0.01)  # so that the thread has also handed over what it read
        ahead.append(len(taken) - 1 - group[0])
        return group

    def reading(job: Job) -> int:
        read.append(number_of(job))
        return number_of(job)

    list(run_stages(noted(12, taken), stages(reading, slow, weigh=lambda _: 1 << 30), threads=1, group_px=1))
    # Two may have begun before the first weight is known; none begins while a large one waits.
    assert ahead == [1, 0] * 6


def test_computing_pauses_while_large_pictures_wait_to_be_written() -> None:
    computed: list[int] = []
    unwritten: list[int] = []
    written: list[int] = []

    def work(group: list[int]) -> list[int]:
        computed.extend(group)
        return group

    def write(job: Job, number: int, made: int) -> Outcome:
        time.sleep(0.01)  # so that computing gets ahead if it may
        unwritten.append(len(computed) - len(written))
        written.append(number)
        return done(job, made)

    large = stages(work=work, write=write, weigh=lambda _: 1 << 30)
    assert not statuses(list(run_stages(jobs_of(12), large, threads=4, group_px=1)))
    # One waits, one is being computed.
    assert max(unwritten) <= 2


@pytest.mark.usefixtures("narrow")
def test_closing_early_stops_reading_and_finishes_what_is_being_written() -> None:
    taken: list[int] = []
    begun: list[str] = []
    ended: list[str] = []
    go_on = threading.Event()

    def write(job: Job, _: int, made: int) -> Outcome:
        begun.append(job.name)
        if job.name != "0":
            assert go_on.wait(10)
        ended.append(job.name)
        return done(job, made)

    outcomes = run_stages(noted(1000, taken), stages(write=write), threads=2, group_px=1)
    assert next(outcomes).name == "0"
    threading.Timer(0.1, go_on.set).start()
    outcomes.close()  # type: ignore[attr-defined]
    assert begun == ended
    assert len(taken) < 30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "write"))]


def test_an_interrupt_while_computing_gets_out_and_leaves_no_threads() -> None:
    def work(group: list[int]) -> list[int]:
        if 3 in group:
            raise KeyboardInterrupt
        return group

    with pytest.raises(KeyboardInterrupt):
        list(run_stages(jobs_of(1000), stages(work=work), threads=2, group_px=1))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "write"))]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PictureError("no picture; give one"), "no picture; give one"),
        (
            MemoryError(),
            "not enough memory for this picture; lower --jobs, use --device cpu, or leave it out",
        ),
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory; check the file and its folder"),
    ],
)
def test_expected_failures_say_what_to_do(error: Exception, message: str) -> None:
    outcome = failure_of(job_of(7), error)
    assert (outcome.name, outcome.status, outcome.target) == ("7", Status.FAILED, Path("7.out"))
    assert outcome.message == message


def test_unexpected_failures_ask_for_a_report() -> None:
    def work(group: list[int]) -> list[int]:
        return [1 // number for number in group]

    (outcome,) = run_stages(jobs_of(1), stages(work=work), threads=1, group_px=1)
    assert outcome.message.startswith("INTERNAL ERROR: ZeroDivisionError: ")
    assert "please report it" in outcome.message
    assert "\n" not in outcome.message


# --- several devices --------------------------------------------------------------------------------------------------


def test_every_device_works_and_the_order_holds() -> None:
    together = threading.Barrier(3)

    def work(group: list[int]) -> list[int]:
        if group[0] < 3:
            together.wait(10)  # breaks unless three groups are computed at once
        return [-number for number in group]

    several = replace(stages(), computes=[work] * 3)
    outcomes = list(run_stages(jobs_of(30), several, threads=2, group_px=1))
    assert [(outcome.name, outcome.message) for outcome in outcomes] == [(str(n), str(-n)) for n in range(30)]


def test_a_device_does_one_group_at_a_time_and_a_slow_one_holds_up_no_other() -> None:
    fast_done, busy = threading.Event(), threading.Lock()
    seen: list[int] = []

    def slow(group: list[int]) -> list[int]:
        assert fast_done.wait(10)
        return group

    def fast(group: list[int]) -> list[int]:
        assert busy.acquire(blocking=False)
        seen.extend(group)
        if len(seen) == 4:
            fast_done.set()
        busy.release()
        return group

    outcomes = list(run_stages(jobs_of(8), replace(stages(), computes=[slow, fast]), threads=2, group_px=1))
    assert not statuses(outcomes)
    assert len(seen) >= 4


def test_failures_are_alone_on_several_devices() -> None:
    def work(group: list[int]) -> list[int]:
        return [1 // (number % 5) for number in group]

    outcomes = list(run_stages(jobs_of(20), replace(stages(), computes=[work] * 2), threads=2, group_px=4))
    assert [outcome.name for outcome in outcomes] == [str(number) for number in range(20)]
    assert statuses(outcomes) == dict.fromkeys(("0", "5", "10", "15"), Status.FAILED)


@pytest.mark.usefixtures("narrow")
def test_closing_early_lets_devices_finish_and_leaves_no_threads() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def work(group: list[int]) -> list[int]:
        begun.extend(group)
        time.sleep(0.01)
        ended.extend(group)
        return group

    outcomes = run_stages(jobs_of(1000), replace(stages(), computes=[work] * 2), threads=2, group_px=1)
    assert next(outcomes).name == "0"
    outcomes.close()  # type: ignore[attr-defined]
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "work", "write"))]


def test_what_is_settled_is_told_before_later_jobs_are_read() -> None:
    taken: list[int] = []

    def read(job: Job) -> int | Outcome:
        return Outcome(name=job.name, status=Status.SKIPPED)

    assert next(run_stages(noted(100, taken), stages(read=read), threads=2, group_px=1000)).name == "0"
    assert len(taken) < 10
