"""verify: check that small files are intact and can be decoded."""

import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.cli import output
from hcdcodec.cli.each_file import outcomes_of, plan_files
from hcdcodec.cli.groups import Examples
from hcdcodec.cli.options import ARCHIVE_WEIGHTS, MAX_PIXELS, SMALL_FILES, TALK, WEIGHTS_DIR
from hcdcodec.cli.report import Report, Verb, Verbosity, json_line
from hcdcodec.files.job import Job
from hcdcodec.files.names import printable

if TYPE_CHECKING:
    from hcdcodec.codec.engines import Engines


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec verify small/
    hcdcodec verify -v small/photo.jpg.hcd.png
    hcdcodec status photos/ small/ && hcdcodec verify -q small/
    """,
)
@SMALL_FILES
@MAX_PIXELS
@WEIGHTS_DIR
@ARCHIVE_WEIGHTS
@TALK
def verify(
    paths: tuple[str, ...],
    files_from: str | None,
    null: bool,
    weights_dir: Path | None,
    archive_weights: bool,
    max_pixels: int,
    verbose: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check that small files are intact and can be decoded.

    A file can be decoded if nobody has edited its pixels, and if the weights that it needs are installed, or come with
    the archive. A folder is searched for *.hcd.png, *.hcd.webp and *.hcd.jxl. A file that you name gets a line, and
    with -v every file gets one. The exit status is 0 if all files can be decoded, else 1.
    """
    plan = plan_files(paths, files_from, null=null)

    from hcdcodec.cli.count_bar import CountBar
    from hcdcodec.codec.engines import Engines

    output.hush_archives(quiet=quiet)
    engines = Engines("cpu", weights_dir, takes_archives=archive_weights)
    listed = frozenset(job.name for job in plan.jobs if (verbose or job.named) and not (quiet or as_json))
    check = partial(_check, engines, max_pixels, listed)
    report = Report(Verb.VERIFY, Verbosity.QUIET if quiet else Verbosity.NORMAL)
    with CountBar("verify", len(plan.jobs), wanted=not (quiet or as_json or listed)) as bar:
        for outcome in outcomes_of(plan, check):
            report.add(outcome)
            if (line := report.line(outcome)) is not None:
                bar.say(line, output.FAILURE if outcome.status is Status.FAILED else "")
            if as_json:
                output.write(json_line(outcome))
            bar.advance(outcome.status is not Status.IGNORED)
    if (verbose or output.wants_summary(sys.stderr)) and (summary := report.summary()):
        output.say(summary)
    sys.exit(report.exit_status)


def _check(engines: "Engines", max_pixels: int, listed: Collection[str], job: Job) -> Outcome:
    """Check one file, and print the line about it if its name is `listed`."""
    from hcdcodec.files import disk
    from hcdcodec.format import container
    from hcdcodec.format.geometry import check_geometry
    from hcdcodec.networks.archive import folders_of

    data = disk.read(Path(job.name), limit=disk.most_bytes(max_pixels))
    packed = container.unpack(data, max_pixels=max_pixels)
    header, backbone = packed.header, engines.get(packed.header, folders_of(job)).backbone
    check_geometry(header, *packed.lr.shape[:2], multiple=backbone.multiple, halo_px=backbone.halo_px)
    if job.name in listed:
        size, network = f"{header.width}x{header.height}", f"{header.backbone} x{header.scale}"
        output.write(f"{printable(job.name)}: intact, {size}, {network}")
    return Outcome(
        name=job.name,
        status=Status.DONE,
        source_bytes=len(data),
        height=header.height,
        width=header.width,
        quality=header.quality or None,
    )
