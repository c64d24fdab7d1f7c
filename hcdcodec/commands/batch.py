"""encode and decode: plan, run, tell, leave with the exit status."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from hcdcodec import files
from hcdcodec.commands import exits
from hcdcodec.commands.options import FILES, MACHINE, TALK, Examples, option
from hcdcodec.errors import HcdError, UsageError
from hcdcodec.grid import DEFAULT_QUALITY

if TYPE_CHECKING:
    from hcdcodec.files import Job, Plan
    from hcdcodec.outcome import Outcome
    from hcdcodec.pipeline import FileOptions
    from hcdcodec.strip import Strip
    from hcdcodec.target import Target
    from hcdcodec.walk import Remark

STRIP = ("exif", "icc", "xmp", "text", "density", "colour")  # the values of `hcdcodec.strip.Strip`


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec encode photos/ small/
    hcdcodec encode photo.jpg small/ --effort 9 --quality 90
    find . -name '*.tif' -print0 | hcdcodec encode --files-from - -0 small/
    hcdcodec encode - - <photo.png >photo.hcd.png
    """,
)
@FILES
@option("-s", "--scale", type=click.IntRange(2, 16), default=4, help="HR size / LR size.")
@option("-b", "--backbone", default="crn", help="Network, see 'hcdcodec models'.")
@option("-e", "--effort", type=click.IntRange(0, 9), default=5, help="0: no search; 9: search to convergence.")
@option("-Q", "--quality", type=click.IntRange(1, 100), default=DEFAULT_QUALITY, help="LR grid; 100: all levels.")
@option("--max-bytes", type=click.IntRange(1), help="Instead of -Q: the best quality that fits into so many bytes.")
@option("--target-bpp", type=float, help="Instead of -Q: the best quality of at most so many bits per pixel.")
@option("--target-psnr", type=float, help="Instead of -Q: the smallest file of at least so many dB (RGB).")
@option("--skip-if-larger", is_flag=True, help="Store nothing where the result would not be smaller than its source.")
@option("--method", type=click.Choice(["ste", "paper"]), default="ste", help="Search; paper: its Algorithm 1.")
@option("--z", "details_scale", type=float, help="Deviation of the details z, 0: zeros.  [default: by weights]")
@click.option("--strip", type=click.Choice(["all", *STRIP]), multiple=True, help="Metadata not to store; repeatable.")
@MACHINE
@TALK
def encode(paths: tuple[str, ...], scale: int, backbone: str, **given: Any) -> None:
    """Encode pictures SRC... to DST.

    SRC are files, directories (searched for pictures, contents mirrored) or - for standard input; DST is a directory
    if it is one, ends in / or has to hold several results. photo.jpg becomes photo.jpg.hcd.png. Results that are up to
    date are left alone.
    """
    from hcdcodec import image
    from hcdcodec.report import Work

    sources, destination, listed = _sources(paths, given)
    plan = files.plan_encode(sources, destination, is_picture=image.sniff, listed=listed)
    _check_streams(plan, **given)

    from hcdcodec.backbones import load_backbone
    from hcdcodec.encoder import EncodeOptions
    from hcdcodec.hcd import Paper, search_of
    from hcdcodec.passes import engine_for
    from hcdcodec.pipeline import Encoding

    search = Paper() if given["method"] == "paper" else search_of(given["effort"])
    network = load_backbone(backbone, scale, weights_dir=given["weights_dir"])
    options = EncodeOptions(search, given["quality"], given["details_scale"], strip=_strip(given["strip"]))
    encoding = Encoding(
        engine_for(network, given["device"]), options, _file_options(given), _target(given), given["skip_if_larger"]
    )
    _carry_out(plan, encoding.run, encoding.is_fresh, Work.ENCODE, given)


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec decode small/ restored/
    hcdcodec decode small/photo.jpg.hcd.png photo.png
    hcdcodec decode --format webp small/ restored/
    """,
)
@FILES
@option("--format", "target_format", type=click.Choice(["png", "webp", "tiff"]), default="png", help="All lossless.")
@MACHINE
@TALK
def decode(paths: tuple[str, ...], target_format: str, **given: Any) -> None:
    """Restore pictures SRC... to DST.

    Directories are searched for *.hcd.png and mirrored. photo.jpg.hcd.png becomes photo.jpg.png, photo.png.hcd.png
    becomes photo.png. Every file names the network that it needs.
    """
    from hcdcodec.image import Format
    from hcdcodec.report import Work

    sources, destination, listed = _sources(paths, given)
    plan = files.plan_decode(sources, destination, suffix=f".{target_format}", listed=listed)
    _check_streams(plan, **given)

    from hcdcodec.passes import find_device
    from hcdcodec.pipeline import Decoding, Engines

    find_device(given["device"])
    engines = Engines(given["device"], given["weights_dir"])
    decoding = Decoding(engines, Format(target_format), _file_options(given))
    _carry_out(plan, decoding.run, decoding.is_fresh, Work.DECODE, given)


def _sources(paths: Sequence[str], given: dict[str, Any]) -> tuple[list[str], str, bool]:
    """Split arguments into (sources, destination, whether the sources are a list)."""
    if not paths:
        raise UsageError("no destination; the last argument says where the results go")
    *sources, destination = paths
    if given["files_from"] is None:
        if not sources:
            raise UsageError("there is nothing to read or nowhere to write; give SRC... and then DST")
        return sources, destination, False
    if sources:
        raise UsageError("sources come from arguments or from --files-from, not from both")
    separator = b"\0" if given["null"] else b"\n"
    if given["files_from"] == "-":
        return files.names_from(sys.stdin.buffer, separator), destination, True
    try:
        with Path(given["files_from"]).open("rb") as stream:
            return files.names_from(stream, separator), destination, True
    except OSError as error:
        reason = f"{given['files_from']} cannot be read ({error.strerror})"
        raise UsageError(f"{reason}; --files-from takes a file of names, or -") from error


def _check_streams(plan: "Plan", *, as_json: bool, **others: Any) -> None:
    """Keep binary data off terminals and apart from JSON."""
    if any(job.target is None for job in plan.jobs):
        if as_json:
            raise UsageError("--json and a picture cannot share standard output; write the picture to a file")
        if others.get("skip_if_larger"):
            raise UsageError("--skip-if-larger could leave standard output empty; write the picture to a file")
        if sys.stdout is None or sys.stdout.isatty():
            raise UsageError("standard output is closed or a terminal; redirect it or name a file")
    if any(job.source is None for job in plan.jobs) and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("standard input is closed or a terminal; redirect it or name a file")


def _strip(chosen: Sequence[str]) -> "tuple[Strip, ...]":
    """Return what `--strip` names, in the order that does not depend on how it was named."""
    from hcdcodec.strip import Strip

    return tuple(kind for kind in Strip if "all" in chosen or kind in chosen)


def _target(given: dict[str, Any]) -> "Target | None":
    """Return what is to choose the quality, if not the user."""
    from hcdcodec.target import Target

    asked = [name for name in ("max_bytes", "target_bpp", "target_psnr") if given[name] is not None]
    chosen = click.get_current_context().get_parameter_source("quality") is not ParameterSource.DEFAULT
    if len(asked) + chosen > 1:
        raise UsageError("--quality, --max-bytes, --target-bpp and --target-psnr exclude each other; choose one")
    return Target(**{name.removeprefix("target_"): given[name] for name in asked}) if asked else None


def _file_options(given: dict[str, Any]) -> "FileOptions":
    from hcdcodec.pipeline import FileOptions

    return FileOptions(
        force=given["force"],
        checksum=given["checksum"],
        preserve=given["preserve"],
        max_pixels=given["max_pixels"],
        threads=given["jobs"],
    )


def _carry_out(
    plan: "Plan",
    run: "Callable[[Iterable[Job]], Iterator[Outcome]]",
    is_fresh: "Callable[[Job], bool]",
    work: Any,
    given: dict[str, Any],
) -> NoReturn:
    """Run a plan, tell about it, and leave with the exit status."""
    from hcdcodec.outcome import Outcome, Status
    from hcdcodec.progress import Meter
    from hcdcodec.report import Report, Verbosity

    jobs = files.shard(plan.jobs, *given["shard"]) if given["shard"] else plan.jobs
    if given["dry_run"]:
        _announce(jobs, plan.problems, is_fresh)
    verbosity = Verbosity.QUIET if given["quiet"] else Verbosity.VERBOSE if given["verbose"] else Verbosity.NORMAL
    report = Report(work, verbosity)
    terminal = sys.stderr.isatty()
    with (
        _locked(plan.root, wanted=given["lock"]),
        Meter(len(jobs), work.name.lower(), visible=terminal and not given["quiet"]) as meter,
    ):
        met = (
            *(Outcome(name=name, status=Status.FAILED, message=why) for name, why in plan.problems),
            *(Outcome(name=name, status=Status.IGNORED, message=why) for name, why in plan.ignored),
        )
        for outcome in met:
            _tell(report, meter, outcome, as_json=given["as_json"])
        for outcome in run(jobs):
            meter.advance(outcome)
            _tell(report, meter, outcome, as_json=given["as_json"])
    # Cron mails whatever is printed: without a terminal only failures are worth a mail.
    if (terminal or given["verbose"]) and (summary := report.summary()):
        click.echo(summary, err=True)
    sys.exit(report.exit_status)


def _tell(report: Any, meter: Any, outcome: "Outcome", *, as_json: bool) -> None:
    from hcdcodec.report import json_line

    report.add(outcome)
    if (line := report.line(outcome)) is not None:
        meter.say(line)
    if as_json:
        click.echo(json_line(outcome))


def _announce(jobs: "Iterable[Job]", problems: "Iterable[Remark]", is_fresh: "Callable[[Job], bool]") -> NoReturn:
    """Print what would be done, and what would fail already for want of a readable file."""
    from hcdcodec.report import message, printable

    status = 0
    for name, why in problems:
        click.echo(message(name, why), err=True)
        status = exits.FAILED
    for job in jobs:
        try:
            state = "up to date" if is_fresh(job) else "to do"
        except HcdError as error:
            state = f"refused: {error}"
        target = "standard output" if job.target is None else printable(str(job.target))
        click.echo(f"{printable(job.name)} -> {target} ({state})")
    sys.exit(status)


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
    try:
        with FileLock(root / ".hcdcodec.lock", timeout=0):
            yield
    except Timeout:
        click.echo(f"hcdcodec: {root}: another run holds this destination; wait for it to end", err=True)
        sys.exit(exits.LOCKED)
