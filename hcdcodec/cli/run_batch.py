"""Run a plan or survey it, print the outcomes, and leave with the exit status."""

import itertools
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

import click

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.cli import exits, output
from hcdcodec.cli.arguments import CORES, Arguments
from hcdcodec.cli.each_file import planned_outcomes
from hcdcodec.cli.loading import load
from hcdcodec.cli.report import Report, Verb, Verbosity, json_line, stale_lines, standing_line
from hcdcodec.errors import UsageError
from hcdcodec.files.permissions import make_folders
from hcdcodec.files.plan import shard

if TYPE_CHECKING:
    from hcdcodec.batch.freshness import Standing
    from hcdcodec.batch.ray_cluster import MakeRunner, WorkerPlan
    from hcdcodec.cli.progress_bar import ProgressBar
    from hcdcodec.cli.work_meter import WorkMeter
    from hcdcodec.files.job import Job
    from hcdcodec.files.plan import Plan

_TO_DO = (Status.MISSING, Status.STALE)


def run_plan(
    plan: "Plan",
    judge: "Callable[[Job], Standing]",
    prepare: "Callable[[], MakeRunner]",
    verb: Verb,
    arguments: Arguments,
) -> NoReturn:
    """Run a plan; leave with the exit status.

    Args:
        plan: the jobs, and the outcomes that planning has settled already.
        judge: judges the state of a job's result.
        prepare: loads what the work needs; called only if there is something to do.
        verb: the word for the work.
        arguments: the user's arguments.
    """
    from hcdcodec.batch.survey import sweep_targets
    from hcdcodec.cli.progress_bar import ProgressBar, may_draw
    from hcdcodec.cli.work_meter import WorkMeter

    jobs, report, workers = _select_jobs(plan, arguments), _make_report(verb, arguments), _join_cluster(arguments)
    # Taken before the redirection below, so that rows still reach the real standard output.
    rows, meter = sys.stdout if arguments.as_json else None, WorkMeter(len(jobs))
    streams = any(None in (job.source, job.target) for job in jobs)
    visible = not arguments.quiet and may_draw(rows=arguments.as_json, streams=streams)
    with (
        _lock_destination(plan, wanted=arguments.lock),
        _telling_of_interrupts(meter),
        ProgressBar(meter, verb.name.lower(), visible=visible) as bar,
        # Ray prints messages about dead workers to standard output, where they would stand between the rows.
        redirect_stdout(sys.stderr) if arguments.engine == "ray" else nullcontext(),
    ):
        sweep_targets(jobs)
        for outcome in planned_outcomes(plan):
            _report_outcome(report, bar, outcome, rows)
        found = _survey(jobs, judge, meter, arguments)
        for line in stale_lines(Counter(outcome.message for outcome in found if outcome.status is Status.STALE)):
            if _wants_summary(arguments):
                bar.say(f"replaces {line}")
        todo = [job for job, outcome in zip(jobs, found, strict=True) if outcome.status in _TO_DO]
        # Closed at once after an interrupt, so that the results that are being written count as done.
        with closing(_run(prepare, todo, arguments, workers, meter, forecasts=visible)) as made:
            for outcome in found:
                _report_outcome(report, bar, next(made) if outcome.status in _TO_DO else outcome, rows)
    if _wants_summary(arguments):
        output.say(report.summary())
    sys.exit(report.exit_status)


def print_plan(
    plan: "Plan",
    judge: "Callable[[Job], Standing]",
    check: Callable[[], None],
    verb: Verb,
    arguments: Arguments,
) -> NoReturn:
    """Print what a run would do, without doing it; leave with the exit status.

    Args:
        plan: as for `run_plan`.
        judge: as for `run_plan`.
        check: raises what a run would raise before its first picture; called only if there is something to do.
        verb: as for `run_plan`.
        arguments: as for `run_plan`.
    """
    from hcdcodec.cli.dry_run import forecast_line

    report = _make_report(verb, arguments)
    todo = _report_standings(plan, judge, report, arguments, listed=True)
    if todo:
        check()
    if _wants_summary(arguments):
        output.say(report.summary())
    # Scripts that ask what is left to do do not wait for a forecast that they cannot read.
    if verb is Verb.ENCODE and not arguments.quiet and (arguments.verbose or output.is_terminal(sys.stderr)):
        paths = [job.source for job in todo if job.source is not None]
        if line := forecast_line(paths, arguments):
            output.say(line)
    sys.exit(report.exit_status)


def print_status(plan: "Plan", judge: "Callable[[Job], Standing]", arguments: Arguments) -> NoReturn:
    """Print how many results are missing, stale or up to date; leave with 0 if all are up to date."""
    report = _make_report(Verb.ENCODE, arguments)
    _report_standings(plan, judge, report, arguments, listed=arguments.verbose)
    if not arguments.as_json and (summary := report.summary()):
        output.write(summary)
    sys.exit(0 if report.is_complete else exits.FAILED)


def _report_standings(
    plan: "Plan", judge: "Callable[[Job], Standing]", report: Report, arguments: Arguments, *, listed: bool
) -> "list[Job]":
    """Report the state of all results, print one line for each if `listed`, and return the jobs that are to do."""
    from hcdcodec.batch.survey import survey

    jobs, todo = _select_jobs(plan, arguments), []
    settled = ((None, outcome) for outcome in planned_outcomes(plan))
    standings = zip(jobs, survey(jobs, judge, threads=arguments.jobs), strict=True)
    for job, outcome in itertools.chain(settled, standings):
        if job is not None and outcome.status in _TO_DO:
            todo.append(job)
        report.add(outcome)
        stands = outcome.status in (Status.MISSING, Status.STALE, Status.SKIPPED)
        if arguments.as_json:
            output.write(json_line(outcome))
        elif listed and stands:
            output.write(standing_line(outcome))
        if not stands and (line := report.line(outcome)) is not None:
            output.say(line, _colour(outcome))
    return todo


def _select_jobs(plan: "Plan", arguments: Arguments) -> "Sequence[Job]":
    return shard(plan.jobs, *arguments.shard) if arguments.shard else plan.jobs


def _make_report(verb: Verb, arguments: Arguments) -> Report:
    verbosity = Verbosity.QUIET if arguments.quiet else Verbosity.VERBOSE if arguments.verbose else Verbosity.NORMAL
    return Report(verb, verbosity)


def _join_cluster(arguments: Arguments) -> "WorkerPlan | None":
    """Return the workers of a cluster, if the user wants one. It connects before anything is written."""
    if arguments.engine != "ray":
        return None
    from hcdcodec.batch import ray_cluster

    return ray_cluster.connect(arguments.device, arguments.cores or CORES)


def _survey(
    jobs: "Sequence[Job]", judge: "Callable[[Job], Standing]", meter: "WorkMeter", arguments: Arguments
) -> list[Outcome]:
    """Return the state of each job's result. Those that need no work have ended."""
    from hcdcodec.batch.survey import survey

    found = []
    for job, outcome in zip(jobs, survey(jobs, judge, threads=arguments.jobs, confirms=True), strict=True):
        found.append(outcome)
        if outcome.status not in _TO_DO:
            meter.end(job, outcome)
    return found


def _run(
    prepare: "Callable[[], MakeRunner]",
    jobs: "Sequence[Job]",
    arguments: Arguments,
    workers: "WorkerPlan | None",
    meter: "WorkMeter",
    *,
    forecasts: bool,
) -> Generator[Outcome, None, None]:
    """Yield one outcome for each job, computed on this machine or on the cluster."""
    if not jobs:
        return  # torch and the network take seconds to load
    make = load(prepare)
    if workers is not None:
        from hcdcodec.batch import ray_cluster

        yield from ray_cluster.run_on_cluster(make, workers, jobs, meter)
        return
    from hcdcodec.engine.devices import take_devices

    batch = make(take_devices(arguments.device))
    if arguments.verbose:
        output.say(f"hcdcodec: computing on {batch.manner}")
    with meter.forecasting(jobs, batch.forecast) if forecasts else nullcontext():
        yield from batch.run(jobs, meter)


def _report_outcome(report: Report, bar: "ProgressBar", outcome: Outcome, rows: TextIO | None) -> None:
    report.add(outcome)
    if (line := report.line(outcome)) is not None:
        bar.say(line, _colour(outcome))
    if rows is not None:
        output.write(json_line(outcome), rows)


def _colour(outcome: Outcome) -> str:
    if outcome.status is Status.FAILED or outcome.misses_target:
        return output.FAILURE
    return output.WARNING if outcome.status is Status.DONE and outcome.message else ""


def _wants_summary(arguments: Arguments) -> bool:
    return not arguments.quiet and (arguments.verbose or output.wants_summary(sys.stderr))


@contextmanager
def _telling_of_interrupts(meter: "WorkMeter") -> Iterator[None]:
    """Say how far a run has come that is interrupted."""
    try:
        yield
    except KeyboardInterrupt as error:
        _tell_interrupted(meter)
        raise click.Abort from error  # of KeyboardInterrupt, click would make an empty line
    except SystemExit as error:
        if error.code in (exits.TERMINATED, exits.HUNG_UP):
            _tell_interrupted(meter)
        raise


def _tell_interrupted(meter: "WorkMeter") -> None:
    done = meter.statuses[Status.DONE] + meter.statuses[Status.SKIPPED]
    over = "\r" if output.is_terminal(sys.stderr) else ""  # over the ^C
    output.say(f"{over}hcdcodec: interrupted; {done} of {meter.count} done, run it again to go on", output.WARNING)


def _mirrored_folders(root: Path, job: "Job") -> list[Path]:
    """Return the source folder that a destination mirrors, as the first result in it shows; none: standard input."""
    if job.source is None or job.target is None:
        return []
    return [job.source.absolute().parents[len(job.target.relative_to(root).parts) - 1]]


@contextmanager
def _lock_destination(plan: "Plan", *, wanted: bool) -> Iterator[None]:
    """Hold the lock of a destination directory while the body runs. Without jobs there is nothing to lock."""
    root = plan.root
    if not wanted or root is None or not plan.jobs:
        yield
        return
    from filelock import FileLock, Timeout

    try:
        make_folders(root, _mirrored_folders(root, plan.jobs[0]))
    except OSError as error:
        raise UsageError(f"{root} cannot be made ({error.strerror}); name another destination") from error
    # filelock warns where a file system has no flock and it uses a weaker lock; users cannot change that.
    warnings.filterwarnings("ignore", module="filelock")
    # No waiting: runs that cron starts would otherwise pile up behind a slow one.
    lock = FileLock(root / ".hcdcodec.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        output.fail(f"hcdcodec: {root}: another run holds this destination; wait for it to end")
        sys.exit(exits.LOCKED)
    except (OSError, NotImplementedError) as error:  # NotImplementedError: this file system has no locks
        why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{root} cannot be locked ({why}); leave out --lock or name another destination") from error
    try:
        yield
    finally:
        lock.release()
