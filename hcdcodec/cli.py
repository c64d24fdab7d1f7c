"""The command line: arguments in, sentences and exit status out. The only room that prints.

    0    all done, or up to date          3    nothing could start for want of weights
    1    some pictures failed             75   another run holds the destination
    2    the call makes no sense          130, 143   interrupted

torch is imported inside the commands that compute, so that --help, --version and info answer at once.
"""

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

import hcdcodec
from hcdcodec import files
from hcdcodec.errors import HcdError, ModelError, UsageError
from hcdcodec.grid import DEFAULT_QUALITY

if TYPE_CHECKING:
    from hcdcodec.backbones.weights import Entry
    from hcdcodec.container import Packed
    from hcdcodec.files import Job, Plan
    from hcdcodec.image import Picture
    from hcdcodec.outcome import Outcome
    from hcdcodec.pipeline import FileOptions
    from hcdcodec.strip import Strip
    from hcdcodec.target import Target
    from hcdcodec.walk import Remark

STRIP = ("exif", "icc", "xmp", "text", "density", "colour")  # the values of `hcdcodec.strip.Strip`
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
@_option("--max-bytes", type=click.IntRange(1), help="Instead of -Q: the best quality that fits into so many bytes.")
@_option("--target-bpp", type=float, help="Instead of -Q: the best quality of at most so many bits per pixel.")
@_option("--target-psnr", type=float, help="Instead of -Q: the smallest file of at least so many dB (RGB).")
@_option("--skip-if-larger", is_flag=True, help="Store nothing where the result would not be smaller than its source.")
@_option("--method", type=click.Choice(["ste", "paper"]), default="ste", help="Search; paper: its Algorithm 1.")
@_option("--z", "details_scale", type=float, help="Deviation of the details z, 0: zeros.  [default: by weights]")
@click.option("--strip", type=click.Choice(["all", *STRIP]), multiple=True, help="Metadata not to store; repeatable.")
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
    options = EncodeOptions(search, given["quality"], given["details_scale"], strip=_strip(given["strip"]))
    encoding = Encoding(
        engine_for(network, given["device"]), options, _file_options(given), _target(given), given["skip_if_larger"]
    )
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


@cli.command(
    cls=_Examples,
    epilog="""
    hcdcodec train photos/ --start installed --minutes 30 --val held-out/
    hcdcodec train photos/ --minutes 600 --device cuda --compile --set batch=32 --set patch=192
    """,
)
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@_option("-s", "--scale", type=click.IntRange(2, 16), default=4, help="HR size / LR size.")
@_option("-b", "--backbone", default="crn", help="Network, see 'hcdcodec models list'.")
@_option("--minutes", type=float, required=True, help="Time box; the schedule is fitted to it.")
@click.option("--start", default="", metavar="FILE|installed", help="Weights to begin with.  [default: none]")
@_option("--out", type=click.Path(path_type=Path), default=Path("trained"), help="Weights directory for the result.")
@_option("--val", multiple=True, metavar="DIR", help="Pictures to measure on; their middles are used.")
@_option("--resume/--no-resume", default=True, help="Go on with what an interrupted call left in --out.")
@_option("--set", "settings", multiple=True, metavar="NAME=NUMBER", help="Change a number of the recipe.")
@click.option("--licence", default="", metavar="TEXT", help="Licence of the weights, for the manifest.")
@_option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@_option("--threads", type=click.IntRange(0), default=0, help="Threads that compute on the CPU; 0: one a core.")
@_option("--exact", is_flag=True, help="Train in float32 even where bfloat16 is faster.")
@_option("--compile", "compiled", is_flag=True, help="Compile the network first; pays on GPUs.")
@_option("--recompute-from", type=click.IntRange(1), help="HR pixels a batch from which irn and hcflow save memory.")
@_option("--weights-dir", type=click.Path(path_type=Path), help="Search this directory for weights first.")
def train(folders: tuple[str, ...], backbone: str, scale: int, minutes: float, **given: Any) -> None:
    """Train a network on the pictures in DIR..., or fine-tune it to them.

    The result is a weights directory for --weights-dir. A call that was interrupted goes on where it stopped when it is
    repeated. The numbers for --set are listed when a name is wrong.
    """
    from hcdcodec.recipe import Recipe

    recipe = Recipe(backbone, scale, minutes).with_settings(given["settings"])

    import torch

    from hcdcodec import train as train_room
    from hcdcodec.crops import read_gallery

    torch.set_num_threads(given["threads"] or torch.get_num_threads())
    start = train_room.read_start(given["start"], recipe, given["weights_dir"])
    gallery = read_gallery(folders, recipe.patch)
    if gallery.small or gallery.unreadable:
        click.echo(f"left out: {gallery.small} too small, {gallery.unreadable} not readable", err=True)
    if not given["resume"]:
        train_room.state_path(recipe, given["out"]).unlink(missing_ok=True)
    trained = train_room.train(
        recipe,
        gallery,
        given["out"],
        partial(click.echo, err=True),
        start=start,
        validation=read_gallery(given["val"], train_room.SMALLEST) if given["val"] else None,
        machine=train_room.Machine(given["device"], given["exact"], given["compiled"], given["recompute_from"]),
        licence=given["licence"],
    )
    click.echo(f"{trained.path}: {trained.entry.name} x{scale} {trained.entry.hash[:12]}", err=True)


@cli.group()
def models() -> None:
    """Show the networks, and install weights for them."""


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
        for scale in family.scales:
            fitting = [(path, entry) for path, entry in entries if (entry.name, entry.scale) == (name, scale)]
            click.echo("".join(_entry_lines(path, entry) for path, entry in fitting), nl=False)
            if not fitting:
                click.echo(f"  x{scale}  not installed; {family.remedy}")


def _entry_lines(path: Path, entry: "Entry") -> str:
    """Return what `models list` says about installed weights."""
    z = f"normal of deviation {entry.details_scale:g}" if entry.details_scale else "zeros"
    title = f"  x{entry.scale}  {entry.hash[:12]}  {entry.parameters:,} parameters, z {z}, licence: {entry.licence}"
    figures = (f"{figure}: {value} dB" for figure, value in entry.measured.items())
    return "".join(f"{line}\n" for line in (title, f"      {path}", *(f"      {figure}" for figure in figures)))


@models.command(
    "import",
    cls=_Examples,
    epilog="""
    hcdcodec models import IRN_x4.pth
    hcdcodec models import IRN_x4.pth --backbone irn --scale 4 --weights-dir weights/
    """,
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.pth")
@_option("-b", "--backbone", type=click.Choice(["irn", "hcflow"]), help="Refuse a file for another network.")
@_option("-s", "--scale", type=int, help="Refuse a file for another scale.")
@_option("--weights-dir", type=click.Path(path_type=Path), help="Install here.  [default: the user's data directory]")
def import_model(file: Path, backbone: str | None, scale: int | None, weights_dir: Path | None) -> None:
    """Install an official checkpoint of IRN or HCFlow.

    None of the code that such a file can hold is run. With --weights-dir, name the same directory to encode and decode,
    or set HCDCODEC_WEIGHTS to it.
    """
    from hcdcodec.backbones.importing import NORMAL, ZEROS, import_checkpoint
    from hcdcodec.backbones.weights import user_directory

    def bring(path: str) -> None:
        made = import_checkpoint(Path(path), weights_dir or user_directory(), backbone=backbone, scale=scale)
        entry, psnr = made.entry, made.entry.measured
        click.echo(
            f"{entry.name} x{entry.scale} {entry.hash[:12]} from {made.official or 'a file unknown to this release'}: "
            f"PSNR of the test chart {psnr[ZEROS]:.2f} dB with z zeros, {psnr[NORMAL]:.2f} dB with z normal, "
            f"so z {'normal' if entry.details_scale else 'zeros'}; {made.path}"
        )

    sys.exit(_each((str(file),), bring))


@cli.command(
    cls=_Examples,
    epilog="""
    hcdcodec compare photo.jpg small/photo.jpg.hcd.png
    hcdcodec compare photo.png photo.webp --picture sheet.png
    hcdcodec compare photos/ small/ --html page.html
    """,
)
@click.argument("original", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path), metavar="DECODED|LR")
@_option("--json", "as_json", is_flag=True, help="Write one JSON object a picture.")
@_option("--picture", type=click.Path(path_type=Path), metavar="PNG", help="Two files: original, decoded, LR, error.")
@_option("--html", "html_page", type=click.Path(path_type=Path), metavar="HTML", help="The same as one page, for all.")
@_option("--border", type=click.IntRange(0), help="Pixels that PSNR-Y and SSIM leave out.  [default: the scale, or 4]")
@_option("--weights-dir", type=click.Path(path_type=Path), help="Search this directory for weights first.")
def compare(
    original: Path, other: Path, as_json: bool, picture: Path | None, html_page: Path | None, **given: Any
) -> None:
    """Say how close pictures are to their originals: PSNR, SSIM, and bits per pixel of the file compared.

    An LR is decoded in memory. Two folders are compared file by file, under mirrored names.
    """
    from hcdcodec import comparison, panel, storage
    from hcdcodec.report import message

    pairs = list(comparison.pair_up(original, other))
    if picture is not None and original.is_dir():
        raise UsageError("--picture shows one picture; use --html for folders")
    restore, compared, sections = _restorer(given["weights_dir"]), [], []
    for pair in pairs:
        try:
            result = comparison.compare(pair, restore, border=given["border"])
        except HcdError as error:
            click.echo(message(pair.name, str(error)), err=True)
            continue
        if picture is not None:
            storage.write_atomic(picture, panel.sheet(panel.panels_of(result)))
        if html_page is not None:
            sections.append(panel.section(result))
        if as_json:
            click.echo(json.dumps(result.figures.members()))
        compared.append(result.figures)
    if html_page is not None:
        storage.write_atomic(html_page, panel.page(compared, sections).encode())
    if compared and not as_json:
        click.echo(panel.table(compared))
    sys.exit(EXIT_FAILED if len(compared) < len(pairs) else 0)


def main() -> NoReturn:
    """Run the command line and turn errors into one line and an exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # What Pillow remarks on a file without refusing it helps nobody, least of all cron.
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
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
        from hcdcodec.report import printable

        click.echo(f"hcdcodec: {printable(str(error))}", err=True)
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
        status = EXIT_FAILED
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


def _restorer(weights_dir: Path | None) -> "Callable[[Packed], Picture]":
    """Return what decodes an LR; networks are loaded when the first one is met."""

    def restore(packed: "Packed") -> "Picture":
        from hcdcodec.decoder import decode_picture

        return decode_picture(engines().get(packed.header), packed)

    @cache
    def engines() -> Any:
        from hcdcodec.pipeline import Engines

        return Engines("cpu", weights_dir)

    return restore


def _described(fields: dict[str, Any]) -> dict[str, Any]:
    """Return header fields in a form that people and JSON can read."""
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
