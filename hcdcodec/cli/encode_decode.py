"""The commands encode, decode and status: they make the plan, and `run_batch` carries it out."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hcdcodec.cli import output, run_batch
from hcdcodec.cli.arguments import Arguments
from hcdcodec.cli.groups import Examples, Group, option
from hcdcodec.cli.options import ARCHIVE_WEIGHTS, CHOICE, ENGINE, MACHINE, PRECISION, RESULTS, SOURCES, TALK, UPRIGHT
from hcdcodec.errors import UsageError
from hcdcodec.files.encoded_names import Container
from hcdcodec.files.find import is_directory, search
from hcdcodec.files.picture_names import Format, is_picture_name
from hcdcodec.files.plan import plan_decode, plan_encode
from hcdcodec.files.small_files import OTHER_NAME, refuse_other

if TYPE_CHECKING:
    from pathlib import Path

    from hcdcodec.batch.decode_files import Decoding
    from hcdcodec.batch.encode_files import Encoding
    from hcdcodec.batch.freshness import Standing
    from hcdcodec.batch.options import DecodeOptions
    from hcdcodec.batch.ray_cluster import MakeRunner
    from hcdcodec.engine.devices import Precision
    from hcdcodec.files.job import Job
    from hcdcodec.files.plan import Plan
    from hcdcodec.networks.base import Backbone


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
@option(
    "--skip-if-larger", is_flag=True, group=Group.QUALITY, help="Store a file only if it is smaller than its source."
)
@option(
    "--upgrade",
    is_flag=True,
    group=Group.FILES,
    help="Redo results that an older release made with other weights or defaults.",
)
@option(
    "--compile",
    "compiled",
    is_flag=True,
    group=Group.MACHINE,
    help="Compile the search first; for a GPU and many pictures.",
)
@PRECISION
@RESULTS
@ENGINE
@MACHINE
@TALK
def encode(**given: Any) -> None:
    """Make small files of the pictures SRC, in DST. Lossy: keep your originals, or compare before you delete them.

    SRC are files, folders or - for standard input. A folder is searched for pictures, and DST gets its structure. DST
    is a folder if there is a folder of that name, if it ends in /, or if it has to hold several results. photo.jpg
    becomes photo.jpg.hcd.png, or with --container photo.jpg.hcd.webp or photo.jpg.hcd.jxl. Results that are up to
    date stay as they are. Source files are never changed.
    """
    from hcdcodec.cli.report import Verb

    arguments = Arguments(**given)
    plan, judge = _plan_encode(arguments), _judge_encoded(arguments)
    if arguments.dry_run:
        run_batch.print_plan(plan, judge, partial(_check_encoding, arguments), Verb.ENCODE, arguments)
    run_batch.run_plan(plan, judge, partial(_prepare_encoding, arguments, plan.root), Verb.ENCODE, arguments)


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec decode small/ restored/
    hcdcodec decode small/photo.jpg.hcd.png photo.png
    hcdcodec decode small/photo.jpg.hcd.png photo.jpg --decode-quality 95
    hcdcodec decode --format source small/ restored/
    """,
)
@SOURCES
@option(
    "--format",
    "target_format",
    type=click.Choice([*(str(fmt) for fmt in Format), "source"]),
    metavar="NAME",
    show_default="by the name of DST, else png",
    group=Group.QUALITY,
    help="png, tiff, webp and jxl keep every pixel; jpeg, avif and heic do not. source: the format and name of each "
    "source. heic and jxl need pip install 'hcdcodec[heic,jxl]'.",
)
@option(
    "--decode-quality",
    type=click.IntRange(1, 100),
    show_default="90 for jpeg and avif, 75 for heic",
    metavar="1-100",
    group=Group.QUALITY,
    help="Quality of jpeg, avif and heic. With it, webp and jxl lose something, too.",
)
@UPRIGHT
@RESULTS
@ENGINE
@MACHINE
@ARCHIVE_WEIGHTS
@TALK
def decode(**given: Any) -> None:
    """Make pictures of full size from the small files SRC, in DST.

    A folder is searched for *.hcd.png, *.hcd.webp and *.hcd.jxl, and DST gets its structure. photo.jpg.hcd.png becomes
    photo.jpg.png; photo.png.hcd.png becomes photo.png. With --format source, each picture gets its own name and format
    back; if hcdcodec cannot write the format, it writes PNG. An original is never replaced. Every small file names the
    network that it needs.
    """
    from hcdcodec.batch.freshness import judge_restored
    from hcdcodec.cli.report import Verb

    arguments = Arguments(**given)
    sources, destination, listed = arguments.split_paths()
    plan = plan_decode(sources, destination, choice=arguments.format_choice(), listed=listed)
    others = (name for name, why in plan.ignored if why == OTHER_NAME and is_picture_name(name))
    words = "{} is a picture, and {} a small file; name the folder of small files first"
    _check_order(plan, next(others, None), refuse_other, words)
    _check_streams(plan, arguments)
    options = arguments.decode_options()
    if options.quality is not None and arguments.target_format != "source":
        _check_lossy(plan, options)
    judge = partial(judge_restored, options=options, files=arguments.file_options())
    if arguments.dry_run:
        run_batch.print_plan(plan, judge, partial(_check_devices, arguments), Verb.DECODE, arguments)
    run_batch.run_plan(plan, judge, partial(_prepare_decoding, arguments), Verb.DECODE, arguments)


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
def status(**given: Any) -> None:
    """Show which pictures encode has left to do.

    Give the same SRC and DST as to encode, and the same of the options below. Missing: never encoded, or failed, or not
    stored by --skip-if-larger. Stale: the source has changed since, or was encoded with other options. The exit status
    is 0 if all is up to date and no target is missed, else 1.
    """
    arguments = Arguments(**given)
    run_batch.print_status(_plan_encode(arguments), _judge_encoded(arguments), arguments)


def _plan_encode(arguments: Arguments) -> "Plan":
    from hcdcodec.format.source_files import ENCODED, refuse_source

    sources, destination, listed = arguments.split_paths()
    plan = plan_encode(
        sources,
        destination,
        refuse=refuse_source,
        container=Container(arguments.container),
        listed=listed,
        exclude=arguments.exclude,
    )
    others = (name for name, why in plan.ignored if why == ENCODED)
    words = "{} is a small file, and {} a picture; name the folder of pictures first"
    _check_order(plan, next(others, None), refuse_source, words)
    _check_streams(plan, arguments)
    return plan


def _check_order(plan: "Plan", other: str | None, refuse: "Callable[[Path], str | None]", words: str) -> None:
    """Refuse SRC and DST in the wrong order: SRC has no work, and each holds what belongs into the other.

    SRC alone tells nothing: its pictures may come later, or were deleted while small files beside them stay.

    Args:
        plan: what was found in SRC.
        other: a file in SRC that belongs into DST; None: there is none.
        refuse: the rule by which SRC was searched.
        words: the message, with places for a file in SRC and one in DST.
    """
    if other is None or plan.jobs or plan.problems or plan.root is None or not is_directory(plan.root):
        return
    if found := search([str(plan.root)], refuse).found:
        raise UsageError(words.format(other, found[0].path))


def _judge_encoded(arguments: Arguments) -> "Callable[[Job], Standing]":
    """Return the function that judges small files. It needs no torch, since the manifest holds the network's hash."""
    from hcdcodec.batch.freshness import judge_lr, wanted_of
    from hcdcodec.networks.manifest import identify

    options, target = arguments.encode_options(), arguments.target()
    network = identify(arguments.backbone, arguments.scale, arguments.weights_dir)
    earlier = arguments.earlier_options()
    wanted = wanted_of(options, network, target, upgrade=arguments.upgrade, earlier=earlier)
    return partial(judge_lr, wanted=wanted, files=arguments.file_options())


def _check_encoding(arguments: Arguments) -> None:
    """Raise what encoding would raise before its first picture, but load no torch for it."""
    from hcdcodec.format.container import check_installed
    from hcdcodec.networks.manifest import check_file

    check_installed(Container(arguments.container))
    check_file(arguments.backbone, arguments.scale, arguments.weights_dir)
    _check_devices(arguments)


def _check_devices(arguments: Arguments) -> None:
    """Refuse a device that is not there. Only a name other than these two needs torch."""
    if arguments.engine == "ray":
        from hcdcodec.batch import ray_cluster

        ray_cluster.check_call(arguments.device)
    elif arguments.device not in ("auto", "cpu"):
        from hcdcodec.engine.devices import take_devices

        take_devices(arguments.device)


def _prepare_encoding(arguments: Arguments, root: "Path | None") -> "MakeRunner":
    from hcdcodec.batch.encode_files import Encoding
    from hcdcodec.cli.export_models import advise_export
    from hcdcodec.engine.devices import Precision
    from hcdcodec.format.container import check_installed
    from hcdcodec.networks.registry import load_backbone

    check_installed(Container(arguments.container))
    network = load_backbone(arguments.backbone, arguments.scale, weights_dir=arguments.weights_dir)
    if not arguments.quiet:
        advise_export(network, root)
        # No refusal: the settings hold this number, and without it all results of such calls would be made again.
        if arguments.details_scale and not network.details:
            output.say(f"hcdcodec: warning: {network.name} has no random details, so --z does nothing", output.WARNING)
    # Without engines: each worker makes its own, on the devices that it has.
    encoding = Encoding(
        (),
        arguments.encode_options(),
        arguments.file_options(),
        arguments.target(),
        arguments.skip_if_larger,
        arguments.upgrade,
        arguments.earlier_options(),
    )
    return partial(_place_encoding, encoding, network, arguments.compiled, Precision(arguments.precision))


def _prepare_decoding(arguments: Arguments) -> "MakeRunner":
    from hcdcodec.batch.decode_files import Decoding

    decoding = Decoding((), arguments.decode_options(), arguments.file_options())
    output.hush_archives(quiet=arguments.quiet)
    # Workers on other machines have other working directories.
    weights_dir = arguments.weights_dir and arguments.weights_dir.absolute()
    return partial(_place_decoding, decoding, weights_dir, arguments.archive_weights)


# Workers on other machines call these two functions, too. Only functions of a module can be pickled.


def _place_encoding(
    encoding: "Encoding", network: "Backbone", compiled: bool, precision: "Precision", devices: Sequence[str]
) -> "Encoding":
    from hcdcodec.codec.engines import engines_on

    return replace(encoding, engines=engines_on(network, devices, is_compiled=compiled, precision=precision))


def _place_decoding(
    decoding: "Decoding", weights_dir: "Path | None", archive_weights: bool, devices: Sequence[str]
) -> "Decoding":
    from hcdcodec.codec.engines import Engines

    engines = (Engines(device, weights_dir, takes_archives=archive_weights) for device in devices)
    return replace(decoding, engines=tuple(engines))


def _check_lossy(plan: "Plan", options: "DecodeOptions") -> None:
    """Refuse a quality for formats that have none."""
    formats = {options.format_for(job.target) for job in plan.jobs}
    if formats and all(fmt.is_always_lossless for fmt in formats):
        names = " and ".join(sorted(fmt.upper() for fmt in formats))
        raise UsageError(f"{names} keeps every pixel; leave out --decode-quality, or choose another --format")


def _check_streams(plan: "Plan", arguments: Arguments) -> None:
    """Refuse binary data on a terminal or from another machine, and options that a standard stream cannot serve."""
    if arguments.engine == "ray" and any(None in (job.source, job.target) for job in plan.jobs):
        raise UsageError("--engine ray takes files to files; leave it out for standard input and output")
    if plan.root is None:
        if arguments.shard or not plan.jobs:
            raise UsageError("--shard and --exclude could leave standard output empty; write the picture to a file")
        if arguments.as_json:
            raise UsageError("--json and a picture cannot share standard output; write the picture to a file")
        if arguments.skip_if_larger:
            raise UsageError("--skip-if-larger could leave standard output empty; write the picture to a file")
        if arguments.lock:
            raise UsageError("--lock locks a folder, and standard output is none; leave it out, or name a folder")
        if arguments.preserve:
            raise UsageError("--preserve dates a file, and standard output is none; leave it out, or name a file")
        if sys.stdout is None or sys.stdout.isatty():
            raise UsageError("standard output is closed or a terminal; redirect it or name a file")
    if not any(job.source is None for job in plan.jobs):
        return
    if arguments.shard or arguments.exclude or arguments.preserve:
        options = "--shard, --exclude and --preserve"
        raise UsageError(f"standard input has no name and no time for {options}; leave them out, or name a file")
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("standard input is closed or a terminal; redirect it or name a file")
