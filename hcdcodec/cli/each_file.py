"""What commands share that read one file after the other: their files, the loop, their failures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.cli import output
from hcdcodec.cli.arguments import choose_names
from hcdcodec.cli.report import message
from hcdcodec.errors import HcdError, UsageError
from hcdcodec.files.find import Remark
from hcdcodec.files.job import Job
from hcdcodec.files.plan import Plan, plan_read


def reason(error: HcdError | MemoryError) -> str:
    """Say why a file failed."""
    if isinstance(error, MemoryError):
        return "not enough memory for this picture; leave it out, or end other programs"
    return str(error)


def plan_files(paths: Sequence[str], files_from: str | None, *, null: bool) -> Plan:
    """Return the small files behind the arguments of a command, or in its list. A list without a file is a problem.

    Raises:
        UsageError: neither is given, or both are.
    """
    if files_from is None and not paths:
        raise UsageError("no file is named; name small files or folders, or give a list of files by --files-from")
    names, listed = choose_names(paths, files_from, null=null)
    plan = plan_read(names, listed=listed)
    if plan.jobs or plan.problems or not listed:
        return plan
    # Not silence, which would say that all files are intact.
    name = "standard input" if files_from == "-" else str(files_from)
    why = "there is no file in this list; check what makes it"
    return replace(plan, problems=(Remark(name, why),))


def planned_outcomes(plan: Plan) -> Iterator[Outcome]:
    """Yield the outcomes of the names that are no job."""
    for name, why in plan.problems:
        yield Outcome(name=name, status=Status.FAILED, message=why)
    for name, why in plan.ignored:
        yield Outcome(name=name, status=Status.IGNORED, message=why)


def outcomes_of(plan: Plan, read: Callable[[Job], Outcome]) -> Iterator[Outcome]:
    """Yield the outcome of each name: of those that are no job, then of the jobs, which are read one by one."""
    yield from planned_outcomes(plan)
    for job in plan.jobs:
        try:
            yield read(job)
        except (HcdError, MemoryError) as error:
            yield Outcome(name=job.name, status=Status.FAILED, message=reason(error))


def succeeds(path: Path, do: Callable[[], None]) -> bool:
    """Tell whether the work on a file succeeds; print the failure if not."""
    try:
        do()
    except (HcdError, MemoryError) as error:
        output.fail(message(str(path), reason(error)))
        return False
    return True
