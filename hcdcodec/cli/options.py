"""Options that several commands share."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from hcdcodec.cli.arguments import CORES, Arguments
from hcdcodec.cli.groups import Group, option
from hcdcodec.codec.search.options import DEFAULT_EFFORT
from hcdcodec.files.encoded_names import Container
from hcdcodec.files.find import is_file
from hcdcodec.format.grid import DEFAULT_QUALITY

# The values of `hcdcodec.pictures.metadata.Strip`. They are repeated here, because that module loads Pillow.
STRIP = ("exif", "icc", "xmp", "text", "density", "colour")

Command = TypeVar("Command", bound=Callable[..., Any])
NameOrPath = TypeVar("NameOrPath")


class Share(click.ParamType[tuple[int, int]]):
    """I/N, one machine's share of the work."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        # `int` alone would accept spaces, signs and underscores, and fail with too many digits.
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(value))
        index, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= count:
            self.fail(f"{value!r} is no share; write 1/4 to 4/4 for four machines", param, ctx)
        return index, count


class Name(click.ParamType[NameOrPath]):
    """A name that a shell completes; whether there is such a file is found out by what reads it."""

    name = "path"

    def __init__(self, make: Callable[[str], NameOrPath]) -> None:
        self._make = make

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> NameOrPath:
        # As a path it would be the current folder, and a variable of a script can be empty by mistake.
        if value == "":
            self.fail("the name is empty; name a file or a folder, such as . (the current folder)", param, ctx)
        return self._make(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete the names of files."""
        return [CompletionItem(incomplete, type="file")]


FILE, PATH = Name(str), Name(Path)


def stack(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return the decorator that applies `decorators` so that they read from top to bottom."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def complete_backbones(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the networks whose names begin so."""
    from hcdcodec.networks.families import FAMILIES

    return [
        CompletionItem(name, help=family.about)
        for name, family in FAMILIES.items()
        if family.is_listed and name.startswith(incomplete)
    ]


def complete_devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what --device takes; how many GPUs there are is not asked, since that would load torch."""
    return [CompletionItem(name) for name in ("auto", "cpu", "cuda", "cuda:0", "cuda:1") if name.startswith(incomplete)]


def complete_start(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what --start takes: the word, or files. A shell cannot show both at once."""
    is_word = bool(incomplete) and "installed".startswith(incomplete)
    return [CompletionItem("installed") if is_word else CompletionItem(incomplete, type="file")]


LIST = stack(
    option(
        "--files-from",
        metavar="FILE",
        type=FILE,
        group=Group.FILES,
        help="Read the names of files from FILE; -: from standard input.",
    ),
    option(
        "-0",
        "null",
        is_flag=True,
        group=Group.FILES,
        help="The names in --files-from end in NUL, as find -print0 writes them.",
    ),
)
SMALL_FILES = stack(click.argument("paths", nargs=-1, metavar="FILE|DIR...", type=FILE), LIST)
SOURCES = stack(
    click.argument("paths", nargs=-1, metavar="SRC... DST", type=FILE),
    LIST,
    option(
        "--shard",
        type=Share(),
        group=Group.FILES,
        help="Take only share I of N, one for each machine; a hash of each name decides.",
    ),
    option(
        "--checksum",
        is_flag=True,
        group=Group.FILES,
        help="Compare content, not size and time, to find what is up to date.",
    ),
)


def check_exclude(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse an empty pattern, as a script makes it by mistake: what should be left out would be taken in silence."""
    if "" in value:
        raise click.BadParameter("the pattern is empty; name files such as *.heic, or leave it out")
    return value


EXCLUDE = option(
    "--exclude",
    multiple=True,
    callback=check_exclude,
    metavar="GLOB",
    group=Group.FILES,
    help="Leave out files with names like *.heic; repeatable.",
)
UPRIGHT = option(
    "--upright",
    is_flag=True,
    group=Group.QUALITY,
    help="Turn the pixels as EXIF says, for viewers that ignore EXIF.",
)


def check_weights_dir(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a folder without weights: other weights would be taken in silence."""
    from hcdcodec.networks.manifest import MANIFEST

    if value is not None and not is_file(value / MANIFEST):
        raise click.BadParameter(f"{value} holds no {MANIFEST}; name a folder that train or models import has made")
    return value


WEIGHTS_DIR = option(
    "--weights-dir",
    type=PATH,
    callback=check_weights_dir,
    metavar="DIR",
    group=Group.MACHINE,
    help="Look for weights here first.",
)
ARCHIVE_WEIGHTS = option(
    "--archive-weights/--no-archive-weights",
    default=True,
    group=Group.SAFETY,
    help="Take weights from .hcdcodec/ beside the small files, if no installed weights fit.",
)
SCALE = option(
    "-s",
    "--scale",
    type=click.IntRange(2, 16),
    default=Arguments.scale,
    metavar="N",
    group=Group.QUALITY,
    help="4: the small picture has a quarter of the width. 2: half of it, about four times the bytes, 6 to 8 dB more. "
    "8: an eighth, for photographs of many megapixels.",
)
BACKBONE = option(
    "-b",
    "--backbone",
    default=Arguments.backbone,
    metavar="NAME",
    shell_complete=complete_backbones,
    group=Group.RESEARCH,
    help="Network; 'hcdcodec models list' shows them. The default is the one to use.",
)
_device = partial(
    option,
    "--device",
    default=Arguments.device,
    metavar="NAME",
    shell_complete=complete_devices,
    group=Group.MACHINE,
)
DEVICE = _device(help="auto (a GPU if there is one), cpu, cuda, cuda:N.")
CHOICE = stack(
    # No default for these two, because None tells `Arguments` that the user has not chosen; the help shows the default.
    option(
        "-Q",
        "--quality",
        type=click.IntRange(1, 100),
        show_default=str(DEFAULT_QUALITY),
        metavar="1-100",
        group=Group.QUALITY,
        help="Higher is closer to the original. 75 is a good start; 100 takes half as many bytes again, for 0.2 to "
        "0.5 dB.",
    ),
    option(
        "-e",
        "--effort",
        type=click.IntRange(0, 9),
        show_default=str(DEFAULT_EFFORT),
        metavar="0-9",
        group=Group.QUALITY,
        help="How long to search for the best small picture. 0: no search, about 0.3 s for each megapixel on two cores "
        "with AVX-512; 5: about 2 s; 9: about 13 s.",
    ),
    SCALE,
    option(
        "--max-bytes",
        type=click.IntRange(1),
        metavar="N",
        group=Group.QUALITY,
        help="Instead of -Q: the best quality that fits into N bytes.",
    ),
    option(
        "--target-bpp",
        type=float,
        metavar="X",
        group=Group.QUALITY,
        help="Instead of -Q: the best quality of at most X bits per pixel.",
    ),
    option(
        "--target-psnr",
        type=float,
        metavar="X",
        group=Group.QUALITY,
        help="Instead of -Q: the smallest file of at least X dB (RGB). Each of the three takes up to four searches.",
    ),
    BACKBONE,
    option(
        "--method",
        type=click.Choice(["ste", "paper"]),
        default=Arguments.method,
        group=Group.RESEARCH,
        help="Search. ste is ours; paper is that of the paper, slower and with less gain.",
    ),
    option(
        "--z",
        "details_scale",
        type=float,
        metavar="X",
        group=Group.RESEARCH,
        help="Standard deviation of the random details of irn and hcflow; 0: none.  [default: by weights]",
    ),
    option(
        "--container",
        type=click.Choice([str(container) for container in Container]),
        default=Arguments.container,
        group=Group.QUALITY,
        help="Kind of the small file; jxl needs pip install 'hcdcodec[jxl]'.",
    ),
    EXCLUDE,
    UPRIGHT,
    option(
        "--convert",
        is_flag=True,
        group=Group.QUALITY,
        help="Take pictures of more than 8 bits a channel, rounded to 8, and of CMYK and Lab, made sRGB. Each such "
        "picture is named.",
    ),
    option(
        "--strip",
        type=click.Choice(["all", *STRIP]),
        multiple=True,
        metavar="KIND",
        group=Group.SAFETY,
        help=f"Metadata not to store: {', '.join(STRIP)} or all; repeatable. EXIF, XMP and text can tell where a "
        "picture was taken. Without EXIF, viewers do not turn it, so add --upright.",
    ),
)
RESULTS = stack(
    option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
    option(
        "--force",
        is_flag=True,
        group=Group.SAFETY,
        help="Make all results again, and replace files there, even if hcdcodec did not make them.",
    ),
    option("--preserve", is_flag=True, group=Group.FILES, help="Give results the times of their sources."),
    option(
        "--lock", is_flag=True, group=Group.SAFETY, help="End with status 75 if another run works on the destination."
    ),
)
MAX_PIXELS = option(
    "--max-pixels",
    type=click.IntRange(1),
    default=Arguments.max_pixels,
    metavar="N",
    group=Group.SAFETY,
    help="Refuse pictures of more than N pixels.",
)
PRECISION = option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default=Arguments.precision,
    metavar="TYPE",
    group=Group.RESEARCH,
    help="Type of number for gradients: float32, bfloat16, or auto (the one that this processor is fast at). Pixels "
    "are always computed in float32.",
)
ENGINE = stack(
    _device(help="auto (a GPU if there is one), cpu, cuda, cuda:N; with commas: one worker on each."),
    option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default=Arguments.engine,
        group=Group.MACHINE,
        help="local: on this machine; ray: on all machines of a Ray cluster.",
    ),
    option(
        "--cores",
        type=click.IntRange(1),
        show_default=str(CORES),
        metavar="N",
        group=Group.MACHINE,
        help="Cores of each worker of --engine ray.",
    ),
    MAX_PIXELS,
)
MACHINE = stack(
    option(
        "--jobs",
        type=click.IntRange(1, 64),
        default=Arguments.jobs,
        metavar="N",
        group=Group.MACHINE,
        help="Number of threads that read files; as many more write files.",
    ),
    WEIGHTS_DIR,
)


def check_talk(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    """Refuse -q beside -v. The one that click reads first is in `ctx.params` when it reads the other."""
    if value and (ctx.params.get("verbose") or ctx.params.get("quiet")):
        raise click.UsageError("-q and -v exclude each other; leave out one of them", ctx)
    return value


TALK = stack(
    option("-v", "--verbose", is_flag=True, callback=check_talk, help="Say one line for each picture."),
    option("-q", "--quiet", is_flag=True, callback=check_talk, help="Say failures only."),
    option("--json", "as_json", is_flag=True, help="Write one JSON object for each picture to standard output."),
)
