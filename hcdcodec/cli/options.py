"""Options that several commands share."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from hcdcodec.cli.arguments import Arguments
from hcdcodec.codec.search.options import DEFAULT_EFFORT
from hcdcodec.format.grid import DEFAULT_QUALITY

# The values of `hcdcodec.pictures.metadata.Strip`. They are repeated here, because that module loads Pillow.
STRIP = ("exif", "icc", "xmp", "text", "density", "colour")

Command = TypeVar("Command", bound=Callable[..., Any])


class Share(click.ParamType[tuple[int, int]]):
    """I/N, one machine's share of the work."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        index, slash, count = str(value).partition("/")
        # `int` alone would accept spaces, signs and underscores.
        if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            self.fail(f"{value!r} is no share; write 1/4 to 4/4 for four machines", param, ctx)
        return int(index), int(count)


class Examples(click.Command):
    """A command whose help ends with examples, kept as they are written."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                # click would wrap the lines of an epilog into one paragraph.
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"  {line.strip()}\n")


def stack(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return the decorator that applies `decorators` so that they read from top to bottom."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


option = partial(click.option, show_default=True)

SOURCES = stack(
    click.argument("paths", nargs=-1, metavar="SRC... DST"),
    option("--files-from", metavar="FILE", help="Read the names of sources from FILE, - for standard input."),
    option("-0", "null", is_flag=True, help="Names in --files-from end in NUL, as find -print0 writes them."),
    option("--shard", type=Share(), help="Do only share I of N, chosen by a hash of each name."),
    option("--checksum", is_flag=True, help="Judge what is up to date by content, not by size and time."),
)
EXCLUDE = click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out names like *.heic; repeatable.")
CHOICE = stack(
    option("-s", "--scale", type=click.IntRange(2, 16), default=Arguments.scale, help="HR size / LR size."),
    option("-b", "--backbone", default=Arguments.backbone, help="Network, see 'hcdcodec models'."),
    # No default here, because None tells `Arguments` that the user has not chosen; the help shows the default.
    option(
        "-e",
        "--effort",
        type=click.IntRange(0, 9),
        show_default=str(DEFAULT_EFFORT),
        help="0: none; 9: to convergence.",
    ),
    option(
        "-Q",
        "--quality",
        type=click.IntRange(1, 100),
        show_default=str(DEFAULT_QUALITY),
        help="LR grid; 100: all levels.",
    ),
    option("--max-bytes", type=click.IntRange(1), help="Instead of -Q: the best quality that fits into so many bytes."),
    option("--target-bpp", type=float, help="Instead of -Q: the best quality of at most so many bits per pixel."),
    option("--target-psnr", type=float, help="Instead of -Q: the smallest file of at least so many dB (RGB)."),
    option(
        "--method",
        type=click.Choice(["ste", "paper"]),
        default=Arguments.method,
        help="Search of the LR.",
    ),
    option("--z", "details_scale", type=float, help="Deviation of the details z, 0: zeros.  [default: by weights]"),
    EXCLUDE,
    click.option(
        "--strip", type=click.Choice(["all", *STRIP]), multiple=True, help="Metadata not to store; repeatable."
    ),
)
RESULTS = stack(
    option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
    option("--force", is_flag=True, help="Replace what stands at a target, even if up to date or not ours."),
    option("--preserve", is_flag=True, help="Give results the times of their sources."),
    option("--lock", is_flag=True, help="Refuse to start (exit 75) while another run holds the destination."),
)
MAX_PIXELS = option("--max-pixels", type=click.IntRange(1), default=Arguments.max_pixels, help="Largest picture.")
PRECISION = option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default=Arguments.precision,
    help="Float type of products in gradients; auto: by what the processor can.",
)
ENGINE = stack(
    option("--device", default=Arguments.device, help="auto, cpu, cuda, cuda:N; with commas: several."),
    option("--engine", type=click.Choice(["local", "ray"]), default=Arguments.engine, help="ray: on a cluster."),
    option(
        "--cores",
        type=click.IntRange(1),
        default=Arguments.cores,
        help="Of each worker of --engine ray.",
    ),
    MAX_PIXELS,
)
MACHINE = stack(
    option("--jobs", type=click.IntRange(1, 64), default=Arguments.jobs, help="Threads for reading, and for writing."),
    option("--weights-dir", type=click.Path(path_type=Path), help="Search this directory for weights first."),
)
TALK = stack(
    option("--json", "as_json", is_flag=True, help="Write one JSON object a picture to standard output."),
    option("-q", "--quiet", is_flag=True, help="Only failures."),
    option("-v", "--verbose", is_flag=True, help="One line a picture."),
)
