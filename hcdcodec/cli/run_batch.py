"""Carry out a plan, or look at what is left of it; tell about it; leave with the exit status."""

import itertools
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.cli import exits, output
from hcdcodec.cli.arguments import Arguments
from hcdcodec.cli.report import Report, Verbosity, Work, json_line, standing
from hcdcodec.errors import UsageError
from hcdcodec.files.plan import shard

if TYPE_CHECKING:
    from hcdcodec.batch.freshness import Freshness
    from hcdcodec.batch.ray_cluster import Crew, Make
    from hcdcodec.cli.progress_bar import Meter
    from hcdcodec.files.job import Job
    from hcdcodec.files.plan import Plan


def carry_out(
    plan: "Plan", judge: "Callable[[Job], Freshness]", prepare: "Callable[[], Make]", work: Work, asked: Arguments
) -> NoReturn:
    """Run a plan; leave with the exit status.

    Args:
        plan: what to do.
        judge: says what stands where a result goes.
        prepare: loads what the work needs; asked only where there is something to do.
        work: what to call it.
        asked: what the user asked for.
    """
    from hcdcodec.batch.survey import skip_all, sweep
    from hcdcodec.cli.progress_bar import Meter

    jobs, report, crew = _jobs(plan, asked), _report(work, asked), _join_cluster(asked)
    rows = sys.stdout if asked.as_json else None
    terminal = output.is_terminal(sys.stderr)
    with (
        _locked(plan.root, wanted=asked.lock),
        Meter(len(jobs), work.name.lower(), visible=terminal and not asked.quiet) as meter,
        # Ray tells of dead workers on standard output, between the rows for programs.
        redirect_stdout(sys.stderr) if asked.engine == "ray" else nullcontext(),
    ):
        sweep(jobs)
        for outcome in _met(plan):
            _tell(report, meter, outcome, rows)
        skipped = skip_all(jobs, judge, threads=asked.jobs)
        for outcome in _run(prepare(), jobs, asked, crew) if skipped is None else skipped:
            meter.advance(outcome)
            _tell(report, meter, outcome, rows)
    # Cron mails whatever is printed: without a terminal only failures are worth a mail.
    if (terminal or asked.verbose) and (summary := report.summary()):
        output.say(summary)
    sys.exit(report.exit_status)


def tell_plan(plan: "Plan", judge: "Callable[[Job], Freshness]", work: Work, asked: Arguments) -> NoReturn:
    """Say what a run would do, and do nothing; leave with the exit status."""
    report = _report(work, asked)
    _look(plan, judge, report, asked, listed=True)
    sys.exit(report.exit_status)


def tell_status(plan: "Plan", judge: "Callable[[Job], Freshness]", asked: Arguments) -> NoReturn:
    """Count what of a plan is missing, stale or up to date; leave with 0 if all of it is up to date."""
    report = _report(Work.ENCODE, asked)
    _look(plan, judge, report, asked, listed=asked.verbose)
    if not asked.as_json and (summary := report.summary()):
        output.write(summary)
    sys.exit(0 if report.is_complete else exits.FAILED)


def _look(plan: "Plan", judge: "Callable[[Job], Freshness]", report: Report, asked: Arguments, *, listed: bool) -> None:
    """Report what stands where results go, on a line each if that is wanted."""
    from hcdcodec.batch.survey import survey

    standings = survey(_jobs(plan, asked), judge, threads=asked.jobs)
    for outcome in itertools.chain(_met(plan), standings):
        report.add(outcome)
        stands = outcome.status in (Status.MISSING, Status.STALE, Status.SKIPPED)
        if asked.as_json:
            output.write(json_line(outcome))
        elif listed and stands:
            output.write(standing(outcome))
        if not stands and (line := report.line(outcome)) is not None:
            output.say(line)


def _jobs(plan: "Plan", asked: Arguments) -> "Sequence[Job]":
    return shard(plan.jobs, *asked.shard) if asked.shard else plan.jobs


def _report(work: Work, asked: Arguments) -> Report:
    verbosity = Verbosity.QUIET if asked.quiet else Verbosity.VERBOSE if asked.verbose else Verbosity.NORMAL
    return Report(work, verbosity)


def _met(plan: "Plan") -> Iterator[Outcome]:
    """Yield what planning has settled already."""
    for name, why in plan.problems:
        yield Outcome(name=name, status=Status.FAILED, message=why)
    for name, why in plan.ignored:
        yield Outcome(name=name, status=Status.IGNORED, message=why)


def _join_cluster(asked: Arguments) -> "Crew | None":
    """Return the workers of a cluster, if the user wants one; it is joined before anything is written."""
    if asked.engine != "ray":
        return None
    from hcdcodec.batch import ray_cluster

    return ray_cluster.join(asked.device, asked.cores)


def _run(make: "Make", jobs: "Sequence[Job]", asked: Arguments, crew: "Crew | None") -> Iterator[Outcome]:
    """Yield one outcome a job, from wherever the user wants the work done."""
    if crew is not None:
        from hcdcodec.batch import ray_cluster

        return ray_cluster.run(make, crew, jobs)
    from hcdcodec.engine.devices import take_devices

    batch = make(take_devices(asked.device))
    if asked.verbose:
        output.say(f"hcdcodec: computing on {batch.manner}")
    return batch.run(jobs)


def _tell(report: Report, meter: "Meter", outcome: Outcome, rows: TextIO | None) -> None:
    report.add(outcome)
    if (line := report.line(outcome)) is not None:
        meter.say(line)
    if rows is not None:
        output.write(json_line(outcome), rows)


@contextmanager
def _locked(root: Path | None, *, wanted: bool) -> Iterator[None]:
    """Hold the lock of a destination directory while the body runs."""
    if not wanted or root is None:
        yield
        return
    from filelock import FileLock, Timeout

    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{root} cannot be made ({error.strerror}); name another destination") from error
    warnings.filterwarnings("ignore", module="filelock")  # that it makes do with less where there is no flock
    lock = FileLock(root / ".hcdcodec.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        output.say(f"hcdcodec: {root}: another run holds this destination; wait for it to end")
        sys.exit(exits.LOCKED)
    except (OSError, NotImplementedError) as error:  # the latter where file systems have no locks
        raise UsageError(f"{root} cannot be locked ({error}); leave out --lock or name another destination") from error
    try:
        yield
    finally:
        lock.release()
