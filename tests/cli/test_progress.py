"""Progress: work is counted as it is done, the time left is true, and a bar disturbs nobody."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from conftest import FAST, Draw, Tiny, float32_engine
from PIL import Image

from hcdcodec.batch.decode_files import Decoding
from hcdcodec.batch.encode_files import Encoding
from hcdcodec.batch.observer import Observer
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.cli.progress_bar import format_seconds
from hcdcodec.cli.work_meter import WorkMeter
from hcdcodec.codec.engines import Engines
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Paper, Search, Ste
from hcdcodec.files.job import Job

PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from hcdcodec.cli import main; main()"
)


class Clock:
    """Time that passes when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def job_of(number: int, folder: Path = Path()) -> Job:
    return Job(folder / f"{number}.png", folder / f"{number}.hcd.png", f"{number}.png", f"{number}", named=True)


def done(job: Job) -> Outcome:
    return Outcome(name=job.name, status=Status.DONE, height=1, width=1)


# --- the meter --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [0, 6, 12])
def test_the_time_left_is_true_from_a_third_of_the_run_on(large: int) -> None:
    """Twelve small pictures and one that is fifty times as large; small ones take a fifth longer for their size."""
    clock = Clock()
    jobs, works = [job_of(number) for number in range(13)], [1000] * 13
    works[large] = 50_000
    meter, shown = WorkMeter(len(jobs), clock), list[tuple[float, float]]()
    for job, work in zip(jobs, works, strict=True):
        meter.plan(job, work)
    for job, work in zip(jobs, works, strict=True):
        meter.begin({job: work})
        seconds = work / (1000 if work > 1000 else 800)
        for _ in range(19):
            clock.now += seconds / 20
            meter.work(work // 20)
            left = meter.now().seconds_left
            assert left is not None
            shown.append((clock.now, left))
        meter.leave()
        clock.now += seconds / 20  # to write
        meter.end(job, done(job))
    assert meter.now().share == 1
    assert meter.now().seconds_left == 0
    third = 100 + (clock.now - 100) / 3
    assert all(abs(left - (clock.now - now)) <= 0.25 * (clock.now - now) for now, left in shown if now > third)


def test_a_slow_beginning_is_forgotten() -> None:
    clock, jobs = Clock(), [job_of(number) for number in range(100)]
    meter = WorkMeter(len(jobs), clock)
    for number, job in enumerate(jobs):
        meter.begin({job: 10})
        clock.now += 3 if number < 5 else 1
        meter.leave()
        meter.end(job, done(job))
        if number >= 26:  # a third of the run
            left = meter.now().seconds_left
            assert left is not None
            assert left == pytest.approx(99 - number, rel=0.25)


def test_the_time_runs_down_between_two_reports() -> None:
    clock, job = Clock(), job_of(1)
    meter = WorkMeter(1, clock)
    clock.now += 50  # to load the network
    meter.begin({job: 100})
    assert meter.now().seconds_left is None
    clock.now += 10
    meter.work(25)
    assert meter.now().seconds_left == pytest.approx(30)
    clock.now += 12
    assert meter.now().seconds_left == pytest.approx(18)


def test_jobs_without_work_and_unknown_jobs() -> None:
    jobs = [job_of(number) for number in range(4)]
    meter = WorkMeter(4, Clock())
    meter.end(jobs[0], Outcome(name="0", status=Status.SKIPPED))
    meter.end(jobs[1], Outcome(name="1", status=Status.FAILED))
    assert (meter.now().share, meter.now().ended) == (0, 2)
    meter.begin({jobs[2]: 10})
    meter.work(99)  # a group that is computed a second time, in halves
    assert meter.now().names == ("2.png",)
    meter.leave()
    meter.end(jobs[2], done(jobs[2]))
    assert meter.now().share == 0.5  # the fourth is taken for another one like the third
    meter.end(jobs[3], done(jobs[3]))  # on another machine
    assert meter.now().share == 1


def test_several_devices_have_groups_of_their_own() -> None:
    jobs = [job_of(number) for number in range(2)]
    meter = WorkMeter(2, Clock())
    meter.begin({jobs[0]: 10})

    def other() -> None:
        meter.begin({jobs[1]: 10})
        meter.work(10)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    meter.work(5)
    assert meter.now().share == 0.75


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5999, "100 min"), (7000, "2 h"), (1e6, "12 days")]
)
def test_times_have_a_unit_that_suits_them(seconds: float, said: str) -> None:
    assert format_seconds(seconds) == said


# --- what the batch tells ---------------------------------------------------------------------------------------------


class Ledger(Observer):
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.planned, self.worked, self.ended, self.steps = 0, 0, 0, 0

    def begin(self, works: Mapping[Job, int]) -> None:
        self.planned += sum(works.values())

    def work(self, amount: int) -> None:
        self.worked += amount
        self.steps += 1

    def end(self, job: Job, outcome: Outcome) -> None:
        assert outcome.status is Status.DONE, outcome.message
        self.ended += 1


@pytest.mark.parametrize("search", [Ste(0), Ste(6), Ste(8, patience=1, tolerance=99.0), Paper(2, 3), Paper(0, 2)])
def test_the_work_is_that_of_the_forecast(tiny: Tiny, draw: Draw, tmp_path: Path, search: Search) -> None:
    for number, side in enumerate((21, 60)):
        Image.fromarray(draw(side, side + 3, 3)).save(tmp_path / f"{number}.png")
    jobs = [job_of(number, tmp_path) for number in range(2)]
    engine, ledger = tiny.engine(batch_px=1000), Ledger()
    encoding = Encoding((engine,), EncodeOptions(search))
    outcomes = list(encoding.run(jobs, ledger))
    assert ledger.ended == 2
    assert ledger.planned == sum(encoding.forecast(job) or 0 for job in jobs)
    # At scale 4, half a pass more is for writing. A check of a second candidate may come to what is planned.
    worked = ledger.worked * (search.passes + 0.5) / ledger.planned
    assert search.passes <= round(worked, 6) <= search.passes + 1
    assert all(outcome.is_searched is (search != Ste(0)) for outcome in outcomes)
    back = [Job(job.target, tmp_path / f"{job.key}.out.png", job.name, job.key, named=True) for job in jobs]
    decoding, ledger = Decoding((Engines(weights_dir=tiny.weights_dir),)), Ledger()
    list(decoding.run(back, ledger))
    assert ledger.planned == sum(decoding.forecast(job) or 0 for job in back) == 2 * ledger.worked > 0


def test_forecasts_of_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"words")
    encoding = Encoding((float32_engine("bicubic", 4),), EncodeOptions(Ste(0)))
    decoding = Decoding((Engines(),))
    for job in (job_of(0, tmp_path), job_of(1, tmp_path), Job(None, None, "standard input", "", named=True)):
        assert encoding.forecast(job) is None
        assert decoding.forecast(job) is None


# --- on a terminal ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder in which the result of a.png is not ours, so that a run ends quickly: nothing is to be computed."""
    for name in ("in", "small"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((300, 400, 3), (10, 20, 30), np.uint8)).save(tmp_path / "in/a.png")
    (tmp_path / "small/a.png.hcd.png").write_text("mine")
    return tmp_path


def on_terminal(folder: Path, line: str, **environment: str) -> tuple[int, str]:
    """Run a line of a shell, in which $HCDCODEC is the command, on a terminal; return status and what was drawn."""
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    plain = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    with subprocess.Popen(
        ["sh", "-c", line.replace("$HCDCODEC", '"$0" -c "$1"'), sys.executable, PROGRAM],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=folder,
        env=plain | {"TERM": "xterm-256color"} | environment,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        drawn = b"".join(read(screen))
    os.close(screen)
    return process.returncode, drawn.decode()


def read(screen: int) -> Iterator[bytes]:
    while select.select([screen], [], [], 60)[0]:
        try:
            yield os.read(screen, 1 << 16)
        except OSError:  # the other end is closed
            return


HAS_BAR = "━"


def test_a_terminal_shows_a_bar_and_a_summary(pictures: Path) -> None:
    (pictures / "small/a.png.hcd.png").unlink()
    status, drawn = on_terminal(pictures, f"$HCDCODEC encode in small {' '.join(FAST)}")
    assert status == 0
    assert re.search(f"encode 0/1 .*{HAS_BAR}.* 0 % starting", drawn)
    assert "1 encoded" in drawn and "PSNR-RGB" in drawn and "by the search" not in drawn


def test_failures_are_red_on_a_terminal(pictures: Path) -> None:
    status, drawn = on_terminal(pictures, "$HCDCODEC encode in small")
    assert (status, HAS_BAR in drawn) == (1, True)
    assert "\x1b[31mhcdcodec: in/a.png: small/a.png.hcd.png exists and was not made by hcdcodec; " in drawn
    assert drawn.endswith("1 failed\r\n")
    assert "\x1b[31mhcdcodec: gone: no such file" in on_terminal(pictures, "$HCDCODEC encode gone small")[1]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_colours_and_bars_can_be_switched_off(pictures: Path, environment: dict[str, str]) -> None:
    _, drawn = on_terminal(pictures, "$HCDCODEC encode in small", **environment)
    assert "hcdcodec: in/a.png: small/a.png.hcd.png exists" in drawn
    assert "\x1b[31m" not in drawn
    if "TERM" in environment:
        assert HAS_BAR not in drawn and "\x1b" not in drawn


@pytest.mark.parametrize(
    "line",
    ["--json in small | cat", "--json in small", "in small | cat", "- small/a.png.hcd.png <in/a.png | cat", "- x <&-"],
)
def test_no_bar_where_another_program_may_draw(pictures: Path, line: str) -> None:
    _, drawn = on_terminal(pictures, f"$HCDCODEC encode {line}")
    assert HAS_BAR not in drawn
    assert "hcdcodec: " in drawn


def test_no_bar_at_the_end_of_a_pipe(pictures: Path) -> None:
    _, drawn = on_terminal(pictures, "cat in/a.png | $HCDCODEC encode - small/a.png.hcd.png")
    assert HAS_BAR not in drawn
    # A list of names has been read when the work begins.
    (pictures / "in/a.png.hcd.png").write_text("mine")
    assert HAS_BAR in on_terminal(pictures, "echo in/a.png | $HCDCODEC encode --files-from - .")[1]


@pytest.mark.parametrize(("end", "said"), [(">log 2>&1", True), ("2>&1 >/dev/null | cat >log", False)])
def test_a_summary_goes_to_a_file_and_not_to_a_pipe(pictures: Path, end: str, said: bool) -> None:
    (pictures / "in/a.png").write_text("words")
    (pictures / "in/a.png").rename(pictures / "in/a.txt")
    status, drawn = on_terminal(pictures, f"$HCDCODEC encode in small {end}")
    assert (status, drawn) == (0, "")
    assert (pictures / "log").read_text() == ("no pictures found, 1 ignored\n" if said else "")


def test_an_interrupt_says_how_far_it_came(pictures: Path, wait_for: Callable[[Callable[[], object]], None]) -> None:
    for number in range(60):
        (pictures / f"in/d{number}.png").write_bytes((pictures / "in/a.png").read_bytes())
    (pictures / "small/a.png.hcd.png").unlink()
    command = [sys.executable, "-c", PROGRAM, "encode", "in", "small", "-b", "bicubic", "-e", "5"]
    with subprocess.Popen(command, cwd=pictures, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list(pictures.glob("small/*.hcd.png")))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    stored = len(list(pictures.glob("small/*.hcd.png")))
    assert said == f"hcdcodec: interrupted; {stored} of 61 done, run it again to go on\n"
    assert 0 < stored < 61


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object]], None]:
    def wait(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)

    return wait
