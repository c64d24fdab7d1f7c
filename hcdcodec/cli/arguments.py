"""The arguments of encode, decode and status as one frozen object, which is made from the values that click passes.

No module that loads slowly is imported before a method needs it, so that `--help` answers at once. The defaults of the
command line stand only here.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hcdcodec.batch.options import IO_THREADS, DecodeOptions, FileOptions
from hcdcodec.codec.search.options import DEFAULT_EFFORT
from hcdcodec.errors import UsageError
from hcdcodec.files.encoded_names import Container
from hcdcodec.files.picture_names import Format, FormatChoice
from hcdcodec.files.plan import names_from
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS

if TYPE_CHECKING:
    from hcdcodec.codec.options import EncodeOptions, Target

EARLIER_DEFAULTS = ((75, 5),)
"""Quality and effort that each release took where the user chose none. Its results stay up to date for such calls."""

CORES = 4
"""Default of --cores."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The options of the three commands, under the names that click uses. Options of other commands keep their default.

    Attributes:
        paths: SRC... and DST.
        quality: None where the user has chosen no quality. So a quality next to a target can be refused.
        effort: None where the user has chosen no effort. So an effort next to `--method paper` can be refused.
        cores: None where the user has chosen no number. So a number without `--engine ray` can be refused.
    """

    paths: tuple[str, ...]
    # which files
    files_from: str | None = None
    null: bool = False
    shard: tuple[int, int] | None = None
    exclude: tuple[str, ...] = ()
    checksum: bool = False
    force: bool = False
    preserve: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    # how they are encoded, or decoded
    scale: int = 4
    backbone: str = "crn"
    effort: int | None = None
    quality: int | None = None
    max_bytes: int | None = None
    target_bpp: float | None = None
    target_psnr: float | None = None
    method: str = "ste"
    container: str = "png"
    details_scale: float | None = None
    strip: tuple[str, ...] = ()
    skip_if_larger: bool = False
    upgrade: bool = False
    upright: bool = False
    convert: bool = False
    target_format: str | None = None
    decode_quality: int | None = None
    # on which machine
    device: str = "auto"
    precision: str = "auto"
    compiled: bool = False
    engine: str = "local"
    cores: int | None = None
    jobs: int = IO_THREADS
    weights_dir: Path | None = None
    archive_weights: bool = True
    # and which lines are printed
    dry_run: bool = False
    lock: bool = False
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        """Refuse a number of cores that would have no effect.

        Raises:
            UsageError: it is for a cluster, and there is none.
        """
        if self.cores is not None and self.engine != "ray":
            raise UsageError("--cores needs --engine ray; add that option, or leave out --cores")

    def split_paths(self) -> tuple[list[str], str, bool]:
        """Return (sources, destination, whether the sources come from a list).

        Raises:
            UsageError: one of them is missing, or the list cannot be read.
        """
        if not self.paths:
            raise UsageError("no destination; the last argument says where the results go")
        *named, destination = self.paths
        if not named and self.files_from is None:
            raise UsageError(_missing_destination(destination))
        sources, listed = choose_names(named, self.files_from, null=self.null)
        return sources, destination, listed

    def file_options(self) -> FileOptions:
        """Return how files are treated."""
        return FileOptions(self.force, self.checksum, self.preserve, self.max_pixels, self.jobs)

    def encode_options(self) -> "EncodeOptions":
        """Return how pictures are encoded.

        Raises:
            UsageError: an option is out of range, or does not go with another one.
        """
        from hcdcodec.codec.options import EncodeOptions
        from hcdcodec.codec.search.options import Paper, search_of
        from hcdcodec.pictures.metadata import Strip

        if self.method == "paper" and self.effort is not None:
            raise UsageError("--method paper has its own number of steps; leave out --effort")
        effort = _or_default(self.effort, DEFAULT_EFFORT)
        search = Paper() if self.method == "paper" else search_of(effort)
        # In the order of `Strip` and not of the command line, since the settings digest depends on this tuple.
        strip = tuple(kind for kind in Strip if "all" in self.strip or kind in self.strip)
        quality, container = _or_default(self.quality, DEFAULT_QUALITY), Container(self.container)
        return EncodeOptions(
            search,
            quality,
            self.details_scale,
            strip=strip,
            container=container,
            upright=self.upright,
            convert=self.convert,
        )

    def format_choice(self) -> FormatChoice:
        """Return the format of restored pictures, as far as the user has chosen it."""
        if self.target_format == "source":
            return "source"
        return Format(self.target_format) if self.target_format else None

    def decode_options(self) -> DecodeOptions:
        """Return how restored pictures are stored."""
        return DecodeOptions(self.format_choice(), self.decode_quality, self.upright)

    def earlier_options(self) -> "tuple[EncodeOptions, ...]":
        """Return the options that this call had in earlier releases, where their defaults were others."""
        calls = (
            replace(
                self,
                quality=_or_default(self.quality, quality),
                effort=self.effort if self.method == "paper" else _or_default(self.effort, effort),
            )
            for quality, effort in EARLIER_DEFAULTS
        )
        now = self.encode_options()
        return tuple(options for call in calls if (options := call.encode_options()) != now)

    def target(self) -> "Target | None":
        """Return the target that chooses the quality; None where the user or the default chooses it.

        Raises:
            UsageError: several targets, a target and a quality, or a target that is out of range.
        """
        from hcdcodec.codec.options import Target

        asked = {"max_bytes": self.max_bytes, "bpp": self.target_bpp, "psnr": self.target_psnr}
        given = [value for value in (*asked.values(), self.quality) if value is not None]
        if len(given) > 1:
            raise UsageError("--quality, --max-bytes, --target-bpp and --target-psnr exclude each other; choose one")
        return Target(**asked) if given and self.quality is None else None  # type: ignore[arg-type]


def choose_names(named: Sequence[str], files_from: str | None, *, null: bool) -> tuple[list[str], bool]:
    """Return the names of files that a user gives, and whether they come from a list.

    Args:
        named: the names in the arguments.
        files_from: value of --files-from.
        null: whether the names in the list end in NUL.

    Raises:
        UsageError: there are names of both kinds, -0 is without a list, or the list cannot be read.
    """
    if files_from is None:
        if null:
            raise UsageError("-0 needs --files-from; add that option, or leave out -0")
        return list(named), False
    if named:
        raise UsageError("files come from arguments or from --files-from, not from both")
    return _read_list(files_from, null=null), True


def _read_list(name: str, *, null: bool) -> list[str]:
    """Return the names in the file `name`, or on standard input for -."""
    separator = b"\0" if null else b"\n"
    if name == "-" and sys.stdin is None:
        raise UsageError("standard input is closed; --files-from takes a file of names, or -")
    try:
        if name == "-":
            return names_from(sys.stdin.buffer, separator)
        with Path(name).open("rb") as stream:
            return names_from(stream, separator)
    except OSError as error:
        reason = f"{'standard input' if name == '-' else name} cannot be read ({error.strerror})"
        raise UsageError(f"{reason}; --files-from takes a file of names, or -") from error


def _missing_destination(source: str) -> str:
    """Return what to say where only one name was given, with the command that was meant."""
    context = click.get_current_context(silent=True)
    command = context.command_path if context else "hcdcodec encode"
    usual = "restored/" if command.endswith("decode") else "small/"
    return f"there is no destination; did you mean: {command} {shlex.quote(source)} {usual}"


def _or_default(value: int | None, default: int) -> int:
    return default if value is None else value
