"""encode, decode and status: what is to be done to which pictures."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hcdcodec.cli import run_batch
from hcdcodec.cli.options import CHOICE, ENGINE, MACHINE, RESULTS, SOURCES, TALK, Examples, option
from hcdcodec.errors import UsageError
from hcdcodec.files.plan import names_from, plan_decode, plan_encode

if TYPE_CHECKING:
    from hcdcodec.batch.common import FileOptions
    from hcdcodec.batch.encode_files import Encoding
    from hcdcodec.codec.options import Target
    from hcdcodec.files.plan import Plan
    from hcdcodec.pictures.metadata import Strip


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec encode photos/ small/
    hcdcodec encode photo.jpg small/ --effort 9 --quality 90
    find . -name '*.tif' -print0 | hcdcodec encode --files-from - -0 small/
    hcdcodec encode - - <photo.png >photo.hcd.png
    """,
)
@SOURCES
@CHOICE
@option("--skip-if-larger", is_flag=True, help="Store nothing where the result would not be smaller than its source.")
@option("--compile", "compiled", is_flag=True, help="Compile the search first; meant for GPUs and many pictures.")
@RESULTS
@ENGINE
@MACHINE
@TALK
def encode(paths: tuple[str, ...], **given: Any) -> None:
    """Encode pictures SRC... to DST.

    SRC are files, directories (searched for pictures, contents mirrored) or - for standard input; DST is a directory
    if it is one, ends in / or has to hold several results. photo.jpg becomes photo.jpg.hcd.png. Results that are up to
    date are left alone.
    """
    from hcdcodec.cli.report import Work

    plan = _plan_encode(paths, given)
    run_batch.carry_out(plan, _encoding(given), Work.ENCODE, given)


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec decode small/ restored/
    hcdcodec decode small/photo.jpg.hcd.png photo.png
    hcdcodec decode --format webp small/ restored/
    """,
)
@SOURCES
@option("--format", "target_format", type=click.Choice(["png", "webp", "tiff"]), default="png", help="All lossless.")
@RESULTS
@ENGINE
@MACHINE
@TALK
def decode(paths: tuple[str, ...], target_format: str, **given: Any) -> None:
    """Restore pictures SRC... to DST.

    Directories are searched for *.hcd.png and mirrored. photo.jpg.hcd.png becomes photo.jpg.png, photo.png.hcd.png
    becomes photo.png. Every file names the network that it needs.
    """
    from hcdcodec.cli.report import Work
    from hcdcodec.pictures.writing import Format

    sources, destination, listed = _sources(paths, given)
    plan = plan_decode(sources, destination, suffix=f".{target_format}", listed=listed)
    _check_streams(plan, given)

    from hcdcodec.batch.decode_files import Decoding
    from hcdcodec.codec.engines import Engines

    decoding = Decoding((Engines("cpu", given["weights_dir"]),), Format(target_format), _file_options(given))
    run_batch.carry_out(plan, decoding, Work.DECODE, given)


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec status photos/ small/
    hcdcodec status --shard 3/8 -v photos/ small/
    hcdcodec status --json photos/ small/ | jq -r 'select(.status == "missing").name'
    """,
)
@SOURCES
@CHOICE
@MACHINE
@TALK
def status(paths: tuple[str, ...], **given: Any) -> None:
    """Say what an encode of SRC... to DST has left to do.

    Give the options that encode was given. Missing: never encoded, or failed, or not stored by --skip-if-larger. Stale:
    the source has changed since, or was encoded with other options. Exit status 0 if everything is up to date, else 1.
    """
    run_batch.tell_status(_plan_encode(paths, given), _encoding(given), given)


def _plan_encode(paths: Sequence[str], given: dict[str, Any]) -> "Plan":
    from hcdcodec.format.source_files import refuse_source

    sources, destination, listed = _sources(paths, given)
    plan = plan_encode(sources, destination, refuse=refuse_source, listed=listed, exclude=given["exclude"])
    _check_streams(plan, given)
    return plan


def _encoding(given: dict[str, Any]) -> "Encoding":
    from hcdcodec.batch.encode_files import Encoding
    from hcdcodec.codec.options import EncodeOptions
    from hcdcodec.codec.search.options import Paper, search_of
    from hcdcodec.engine.engine import engine_for
    from hcdcodec.networks.registry import load_backbone

    search = Paper() if given["method"] == "paper" else search_of(given["effort"])
    network = load_backbone(given["backbone"], given["scale"], weights_dir=given["weights_dir"])
    options = EncodeOptions(search, given["quality"], given["details_scale"], strip=_strip(given["strip"]))
    larger = given.get("skip_if_larger", False)
    engine = engine_for(network, is_compiled=given.get("compiled", False))
    return Encoding((engine,), options, _file_options(given), _target(given), larger)


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
        return names_from(sys.stdin.buffer, separator), destination, True
    try:
        with Path(given["files_from"]).open("rb") as stream:
            return names_from(stream, separator), destination, True
    except OSError as error:
        reason = f"{given['files_from']} cannot be read ({error.strerror})"
        raise UsageError(f"{reason}; --files-from takes a file of names, or -") from error


def _check_streams(plan: "Plan", given: dict[str, Any]) -> None:
    """Keep binary data off terminals, apart from JSON, and on this machine."""
    if given.get("engine") == "ray" and any(None in (job.source, job.target) for job in plan.jobs):
        raise UsageError("--engine ray takes files to files; leave it out for standard input and output")
    if any(job.target is None for job in plan.jobs):
        if given["as_json"]:
            raise UsageError("--json and a picture cannot share standard output; write the picture to a file")
        if given.get("skip_if_larger"):
            raise UsageError("--skip-if-larger could leave standard output empty; write the picture to a file")
        if sys.stdout is None or sys.stdout.isatty():
            raise UsageError("standard output is closed or a terminal; redirect it or name a file")
    if any(job.source is None for job in plan.jobs) and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("standard input is closed or a terminal; redirect it or name a file")


def _strip(chosen: Sequence[str]) -> "tuple[Strip, ...]":
    """Return what `--strip` names, in the order that does not depend on how it was named."""
    from hcdcodec.pictures.metadata import Strip

    return tuple(kind for kind in Strip if "all" in chosen or kind in chosen)


def _target(given: dict[str, Any]) -> "Target | None":
    """Return what is to choose the quality, if not the user."""
    from hcdcodec.codec.options import Target

    asked = [name for name in ("max_bytes", "target_bpp", "target_psnr") if given[name] is not None]
    chosen = click.get_current_context().get_parameter_source("quality") is not ParameterSource.DEFAULT
    if len(asked) + chosen > 1:
        raise UsageError("--quality, --max-bytes, --target-bpp and --target-psnr exclude each other; choose one")
    return Target(**{name.removeprefix("target_"): given[name] for name in asked}) if asked else None


def _file_options(given: dict[str, Any]) -> "FileOptions":
    from hcdcodec.batch.common import FileOptions

    chosen = ("force", "checksum", "preserve", "max_pixels")
    return FileOptions(threads=given["jobs"], **{name: given[name] for name in chosen if name in given})
