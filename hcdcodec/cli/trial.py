"""try: a few pictures of a folder, beside other codecs, and what the whole folder would take."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hcdcodec.cli import exits, output
from hcdcodec.cli.arguments import Arguments
from hcdcodec.cli.each_file import reason, succeeds
from hcdcodec.cli.groups import Examples, Group, option
from hcdcodec.cli.options import BACKBONE, DEVICE, EXCLUDE, FILE, MAX_PIXELS, WEIGHTS_DIR
from hcdcodec.cli.report import failure_members, message
from hcdcodec.codec.search.options import DEFAULT_EFFORT, search_of
from hcdcodec.errors import UsageError
from hcdcodec.files import find

if TYPE_CHECKING:
    from hcdcodec.cli.count_bar import CountBar
    from hcdcodec.compare.page import Page
    from hcdcodec.engine.engine import Engine
    from hcdcodec.trial.attempt import Attempt
    from hcdcodec.trial.estimate import Estimate
    from hcdcodec.trial.survey import Survey, Unread

QUALITIES, SCALES, NUMBER = (100, 75, 38), (Arguments.scale,), 12


@dataclass
class _Failures:
    """Names what could not be read or tried, above a bar and in the rows, and counts it."""

    as_json: bool
    count: int = 0

    def add(self, bar: "CountBar", name: str, why: str) -> None:
        """Name one file."""
        bar.say(message(name, why))
        if self.as_json:
            output.write(json.dumps({"kind": "picture", **failure_members("name", name, why)}))
        self.count += 1


@click.command(
    "try",
    cls=Examples,
    epilog="""
    hcdcodec try photos/
    hcdcodec try photos/ --html page.html
    hcdcodec try photo.jpg other.jpg --scale 2 --scale 4 --quality 75
    """,
)
@click.argument("sources", nargs=-1, required=True, metavar="SRC...", type=FILE)
@option(
    "--number",
    type=click.IntRange(1),
    default=NUMBER,
    metavar="N",
    help="Number of pictures to try; bytes and time of all others are estimated.",
)
@option(
    "--html",
    "html_page",
    type=FILE,
    metavar="HTML|DIR/",
    help="Write a page to look at. DIR/ makes a folder, where pictures are files of their own.",
)
@option(
    "--json",
    "as_json",
    is_flag=True,
    help="Write one JSON object for each picture and setting, then one for each setting.",
)
@option(
    "-Q",
    "--quality",
    "qualities",
    type=click.IntRange(1, 100),
    multiple=True,
    default=QUALITIES,
    metavar="1-100",
    group=Group.QUALITY,
    help="Quality to try; repeatable.",
)
@option(
    "-s",
    "--scale",
    "scales",
    type=click.IntRange(2, 16),
    multiple=True,
    default=SCALES,
    metavar="N",
    group=Group.QUALITY,
    help="Scale to try; repeatable.",
)
@option(
    "-e",
    "--effort",
    type=click.IntRange(0, 9),
    default=DEFAULT_EFFORT,
    metavar="0-9",
    group=Group.QUALITY,
    help="How long to search, as for encode.",
)
@EXCLUDE
@MAX_PIXELS
@DEVICE
@WEIGHTS_DIR
@BACKBONE
def try_settings(sources: tuple[str, ...], as_json: bool, html_page: str | None, **given: Any) -> None:
    """Try encode on a few pictures, beside other codecs.

    It takes a dozen of the pictures SRC, and of a large picture the middle, so it ends after minutes even with a large
    folder. JPEG, WebP, AVIF and JPEG XL may use as many bytes as our small file, and so may a thumbnail together with
    an AVIF. For all pictures it estimates bytes and time. In 9 of 10 cases the true bytes lie in the range that it
    names. Nothing is stored.
    """
    from hcdcodec.cli import trial_report
    from hcdcodec.trial.estimate import estimate_all

    engines, failures = _load_engines(given), _Failures(as_json)
    surveyed = _survey(sources, given, failures)
    page = None if html_page is None else _begin_page(html_page, surveyed.paths)
    tried = list(_try(surveyed, engines, given, failures, as_json=as_json)) if surveyed.measured else []
    if not tried:
        sys.exit(exits.FAILED)
    estimates = estimate_all(surveyed, tried)
    if as_json:
        for row in trial_report.folder_rows(tried, estimates):
            output.write(json.dumps(row))
    else:
        output.write(trial_report.text(tried, estimates))
    # After the figures: a full disk must not cost them.
    if page is not None:
        failures.count += not succeeds(page.file, partial(_write_page, page, tried, estimates, engines))
    sys.exit(exits.FAILED if failures.count else 0)


def _load_engines(given: Mapping[str, Any]) -> "dict[int, Engine]":
    from hcdcodec.engine.engine import engine_for
    from hcdcodec.networks.registry import load_backbone

    return {
        scale: engine_for(load_backbone(given["backbone"], scale, weights_dir=given["weights_dir"]), given["device"])
        for scale in dict.fromkeys(given["scales"])
    }


def _survey(sources: Sequence[str], given: Mapping[str, Any], failures: _Failures) -> "Survey":
    """Find and measure the files, and name those that cannot be read."""
    from hcdcodec.cli.count_bar import CountBar
    from hcdcodec.format.source_files import refuse_source
    from hcdcodec.trial.measure import Setting
    from hcdcodec.trial.survey import MEASURED_MOST, Reading, survey

    findings = find.search(sources, refuse_source, exclude=given["exclude"])
    if not findings.found and not findings.problems:
        raise UsageError("there is no picture here; name pictures, or a folder that holds some")
    # By name and not by file: of two links to one picture, encode makes two results.
    paths = list({os.path.abspath(found.path): found.path for found in findings.found}.values())  # noqa: PTH100
    settings = tuple(Setting(scale, quality) for scale in given["scales"] for quality in given["qualities"])
    with CountBar("reading", min(len(paths), MEASURED_MOST)) as bar:
        for name, why in findings.problems:
            failures.add(bar, name, why)

        def tell(path: Path, error: "Unread | None") -> None:
            bar.advance()
            if error is not None:
                failures.add(bar, str(path), reason(error))

        return survey(paths, tuple(dict.fromkeys(settings)), Reading(given["max_pixels"]), tell)


def _try(
    surveyed: "Survey", engines: "dict[int, Engine]", given: Mapping[str, Any], failures: _Failures, *, as_json: bool
) -> "Iterator[Attempt]":
    """Yield the attempts, and write each as JSON if that is wanted."""
    from hcdcodec.cli.count_bar import CountBar
    from hcdcodec.cli.trial_report import attempt_row
    from hcdcodec.trial.attempt import attempts
    from hcdcodec.trial.survey import Reading

    pictures = min(given["number"], len(surveyed.paths))
    with CountBar(f"trying {pictures} of {surveyed.count:.0f}", pictures * len(surveyed.settings)) as bar:

        def tell(path: Path, error: "Unread") -> None:
            failures.add(bar, str(path), reason(error))

        reading, how = Reading(given["max_pixels"]), search_of(given["effort"])
        for attempt in attempts(surveyed, pictures, engines, how, reading, tell):
            bar.advance()
            if as_json:
                output.write(json.dumps(attempt_row(attempt)))
            yield attempt


def _begin_page(name: str, pictures: Sequence[Path]) -> "Page":
    """Return the page that the user has asked for.

    Raises:
        UsageError: it would replace a picture, or a page that is not ours.
    """
    from hcdcodec.compare.page import page_at

    page = page_at(name, pictures)
    if find.identity(page.file) in {find.identity(path) for path in pictures} - {None}:
        raise UsageError(f"{page.file} is one of the pictures; write the page elsewhere")
    return page


def _write_page(
    page: "Page", tried: "Sequence[Attempt]", estimates: "Sequence[Estimate]", engines: "Mapping[int, Engine]"
) -> None:
    """Write a page of the pictures at the setting that the closing sentence speaks of."""
    from hcdcodec.cli import trial_report
    from hcdcodec.compare.exhibit import Heading
    from hcdcodec.trial.exhibit import exhibit_of

    setting = trial_report.advised(estimates).setting
    for attempt in tried:
        if attempt.setting == setting:
            page.add(exhibit_of(attempt, engines[setting.scale]))
    sentences, tables = (trial_report.sentence(tried, estimates),), trial_report.tables(tried, estimates)
    page.write(Heading("hcdcodec try", sentences, tables))
