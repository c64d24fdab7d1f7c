"""The command line: arguments in, sentences and exit status out. The only room that prints.

    0    all done, or up to date          3    nothing could start for want of weights
    1    some pictures failed             75   another run holds the destination
    2    the call makes no sense          130, 143   interrupted

torch is imported inside the commands that compute, so that --help, --version and info answer at once.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

import hcdcodec
from hcdcodec import files
from hcdcodec.errors import HcdError, ModelError, UsageError
from hcdcodec.grid import DEFAULT_QUALITY

if TYPE_CHECKING:
    from hcdcodec.files import Job, Plan
    from hcdcodec.outcome import Outcome
    from hcdcodec.pipeline import FileOptions

EXIT_FAILED, EXIT_USAGE, EXIT_WEIGHTS, EXIT_LOCKED, EXIT_INTERRUPTED = 1, 2, 3, 75, 130

Command = TypeVar("Command", bound=Callable[..., Any])


class _Share(click.ParamType[tuple[int, int]]):
    """I/N, one machine's share of the work."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        index, slash, count = str(value).partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            self.fail(f"{value!r} is no share; write 1/4 to 4/4 for four machines", param, ctx)
        return int(index), int(count)


class _Examples(click.Command):
    """A command whose help ends with examples, kept as they are written."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"  {line.strip()}\n")


def _stacked(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return the decorator that applies `decorators` so that they read from top to bottom."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


_option = partial(click.option, show_default=True)

_FILES = _stacked(
    click.argument("paths", nargs=-1, metavar="SRC... DST"),
    _option("--files-from", metavar="FILE", help="Read the names of sources from FILE, - for standard input."),
    _option("-0", "null", is_flag=True, help="Names in --files-from end in NUL, as find -print0 writes them."),
    _option("--shard", type=_Share(), help="Do only share I of N, chosen by a hash of each name."),
    _option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
    _option("--force", is_flag=True, help="Replace what stands at a target, even if up to date or not ours."),
    _option("--checksum", is_flag=True, help="Judge what is up to date by content, not by size and time."),
    _option("--preserve", is_flag=True, help="Give results the times of their sources."),
    _option("--lock", is_flag=True, help="Refuse to start (exit 75) while another run holds the destination."),
)
_MACHINE = _stacked(
    _option("--device", default="auto", help="auto, cpu, cuda or cuda:N."),
    _option("--jobs", type=click.IntRange(1, 64), default=2, help="Threads for reading, and for writing."),
    _option("--weights-dir", type=click.Path(path_type=Path), help="Search this directory for weights first."),
    _option("--max-pixels", type=click.IntRange(1), default=1 << 28, help="Refuse larger pictures."),
)
_TALK = _stacked(
    _option("--json", "as_json", is_flag=True, help="Write one JSON object a picture to standard output."),
    _option("-q", "--quiet", is_flag=True, help="Only failures."),
    _option("-v", "--verbose", is_flag=True, help="One line a picture."),
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(hcdcodec.__version__, prog_name="hcdcodec")
def cli() -> None:
    """Store pictures as small pictures.

    encode turns each picture into a PNG of 1/scale the size each way that any viewer opens; decode restores it.
    """


@cli.command(
    cls=_Examples,
    epilog="""
    hcdcodec encode photos/ small/
    hcdcodec encode photo.jpg small/ --effort 9 --quality 90
    find . -name '*.tif' -print0 | hcdcodec encode --files-from - -0 small/
    hcdcodec encode - - <photo.png >photo.hcd.png
    """,
)
@_FILES
@_option("-s", "--scale", type=click.IntRange(2, 16), default=4, help="HR size / LR size.")
@_option("-b", "--backbone", default="crn", help="Network, see 'hcdcodec models'.")
@_option("-e", "--effort", type=click.IntRange(0, 9), default=5, help="0: no search; 9: search to convergence.")
@_option("-Q", "--quality", type=click.IntRange(1, 100), default=DEFAULT_QUALITY, help="LR grid; 100: all levels.")
@_option("--method", type=click.Choice(["ste", "paper"]), default="ste", help="Search; paper: its Algorithm 1.")
@_option("--z", "details_scale", type=float, help="Deviation of the details z, 0: zeros.  [default: by weights]")
@_MACHINE
@_TALK
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
    options = EncodeOptions(search, given["quality"], given["details_scale"])
    encoding = Encoding(engine_for(network, given["device"]), options, _file_options(given))
    _carry_out(plan, encoding.run, encoding.is_fresh, Work.ENCODE, given)


@cli.command(
    cls=_Examples,
    epilog="""
    hcdcodec decode small/ restored/
    hcdcodec decode small/photo.jpg.hcd.png photo.png
    hcdcodec decode --format webp small/ restored/
    """,
)
@_FILES
@_option("--format", "target_format", type=click.Choice(["png", "webp", "tiff"]), default="png", help="All lossless.")
@_MACHINE
@_TALK
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


@cli.command(cls=_Examples, epilog="hcdcodec info small/photo.jpg.hcd.png\nhcdcodec info --json small/*.hcd.png")
@click.argument("paths", nargs=-1, required=True, metavar="FILE...")
@_option("--json", "as_json", is_flag=True, help="Write one JSON object a file.")
def info(paths: tuple[str, ...], as_json: bool) -> None:
    """Show what files say about themselves, without decoding them."""
    from hcdcodec import container, storage

    def show(path: str) -> None:
        data = storage.read(Path(path))
        fields = {"file": path, "bytes": len(data), **_described(asdict(container.peek(data)))}
        if as_json:
            click.echo(json.dumps(fields))
        else:
            click.echo("\n".join(f"{name:16} {value}" for name, value in fields.items()) + "\n")

    sys.exit(_each(paths, show))


@cli.command(cls=_Examples, epilog="hcdcodec verify small/*.hcd.png && rm -r photos/")
@click.argument("paths", nargs=-1, required=True, metavar="FILE...")
@_option("--weights-dir", type=click.Path(path_type=Path), help="Search this directory for weights first.")
@_option("-q", "--quiet", is_flag=True, help="Only failures.")
def verify(paths: tuple[str, ...], weights_dir: Path | None, quiet: bool) -> None:
    """Check that files are intact, unedited, and that the weights they need are installed."""
    from hcdcodec import container, storage
    from hcdcodec.pipeline import Engines

    engines = Engines("cpu", weights_dir)

    def check(path: str) -> None:
        packed = container.unpack(storage.read(Path(path)))
        engines.get(packed.header)
        if not quiet:
            header = packed.header
            click.echo(f"{path}: intact, {header.width}x{header.height}, {header.backbone} x{header.scale}")

    sys.exit(_each(paths, check))


@cli.group()
def models() -> None:
    """Show the networks and their weights."""


@models.command("list")
@_option("--weights-dir", type=click.Path(path_type=Path), help="Search this directory for weights first.")
@_option("--json", "as_json", is_flag=True, help="Write one JSON object an entry.")
def list_models(weights_dir: Path | None, as_json: bool) -> None:
    """List the networks, and the weights that are installed for them."""
    from hcdcodec.backbones import FAMILIES
    from hcdcodec.backbones.weights import installed

    entries = installed(weights_dir)
    if as_json:
        for path, entry in entries:
            click.echo(json.dumps({"path": str(path), **asdict(entry)}))
        return
    for name, family in FAMILIES.items():
        click.echo(f"{name:10} {family.about}")
        for path, entry in entries:
            if entry.name == name:
                click.echo(f"           x{entry.scale}  {entry.hash[:12]}  {entry.parameters:>9,} values  {path}")
                for figure, value in entry.measured.items():
                    click.echo(f"                 {figure}: {value}")


def main() -> NoReturn:
    """Run the command line and turn errors into one line and an exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        cli.main(prog_name="hcdcodec", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read us has gone; the interpreter must not complain about it while it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except HcdError as error:
        click.echo(f"hcdcodec: {error}", err=True)
        sys.exit(EXIT_WEIGHTS if isinstance(error, ModelError) else EXIT_USAGE)
    sys.exit(0)


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
    with Path(given["files_from"]).open("rb") as stream:
        return files.names_from(stream, separator), destination, True


def _check_streams(plan: "Plan", *, as_json: bool, **_: Any) -> None:
    """Keep binary data off terminals and apart from JSON."""
    if any(job.target is None for job in plan.jobs):
        if as_json:
            raise UsageError("--json and a picture cannot share standard output; write the picture to a file")
        if sys.stdout.isatty():
            raise UsageError("standard output is a terminal; redirect it or name a file")
    if any(job.source is None for job in plan.jobs) and sys.stdin.isatty():
        raise UsageError("standard input is a terminal; redirect it or name a file")


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
        _announce(jobs, is_fresh)
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


def _announce(jobs: "Iterable[Job]", is_fresh: "Callable[[Job], bool]") -> NoReturn:
    """Print what would be done."""
    from hcdcodec.report import printable

    for job in jobs:
        try:
            state = "up to date" if is_fresh(job) else "to do"
        except HcdError as error:
            state = f"refused: {error}"
        target = "standard output" if job.target is None else printable(str(job.target))
        click.echo(f"{printable(job.name)} -> {target} ({state})")
    sys.exit(0)


@contextmanager
def _locked(root: Path | None, *, wanted: bool) -> Iterator[None]:
    """Hold the lock of a destination directory while the body runs."""
    if not wanted or root is None:
        yield
        return
    from filelock import FileLock, Timeout

    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".hcdcodec.lock", timeout=0):
            yield
    except Timeout:
        click.echo(f"hcdcodec: {root}: another run holds this destination; wait for it to end", err=True)
        sys.exit(EXIT_LOCKED)


def _each(paths: Sequence[str], do: Callable[[str], None]) -> int:
    """Do something to each file; return the exit status."""
    from hcdcodec.report import message

    status = 0
    for path in paths:
        try:
            do(path)
        except HcdError as error:
            click.echo(message(path, str(error)), err=True)
            status = EXIT_FAILED
    return status


def _described(fields: dict[str, Any]) -> dict[str, Any]:
    """Return header fields in a form that people and JSON can read."""
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
