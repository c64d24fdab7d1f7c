"""compare: measure reconstructions against their originals."""

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hcdcodec.cli import exits, output
from hcdcodec.cli.each_file import reason, succeeds
from hcdcodec.cli.groups import Examples, option
from hcdcodec.cli.options import ARCHIVE_WEIGHTS, EXCLUDE, FILE, MAX_PIXELS, PATH, WEIGHTS_DIR
from hcdcodec.cli.report import failure_members, message, name_members, round_finite
from hcdcodec.errors import HcdError, OutputError, UsageError
from hcdcodec.files import find

if TYPE_CHECKING:
    from hcdcodec.compare.exhibit import Exhibit
    from hcdcodec.compare.page import Page
    from hcdcodec.compare.pairs import Comparison, Figures, Pair, Restore
    from hcdcodec.format.container import Packed
    from hcdcodec.pictures.picture import Picture


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec compare photo.jpg small/photo.jpg.hcd.png
    hcdcodec compare photo.png photo.webp --picture sheet.png
    hcdcodec compare photos/ small/ --html page.html
    hcdcodec compare photos/ small/ --html page/
    """,
)
@click.argument("original", type=PATH)
@click.argument("other", type=PATH, metavar="OTHER")
@option("--json", "as_json", is_flag=True, help="Write one JSON object for each picture.")
@option(
    "--picture",
    type=PATH,
    metavar="PNG",
    help="Write one PNG that shows original, decoded picture, LR and error.",
)
@option(
    "--html",
    "html_page",
    type=FILE,
    metavar="HTML|DIR/",
    help="Write a page that shows all pictures. DIR/ makes a folder, where pictures are files of their own.",
)
@option(
    "--border",
    type=click.IntRange(0),
    metavar="N",
    help="Pixels at each side that PSNR-Y and SSIM leave out.  [default: the scale, or 4]",
)
@option(
    "--ssimulacra2",
    is_flag=True,
    help="Measure SSIMULACRA2, too: visible differences. Needs pip install 'hcdcodec[ssimulacra2]'.",
)
@option("--fail-below", type=float, metavar="DB", help="End with status 1 if the PSNR-RGB of a picture is below DB.")
@MAX_PIXELS
@EXCLUDE
@WEIGHTS_DIR
@ARCHIVE_WEIGHTS
def compare(
    original: Path, other: Path, as_json: bool, picture: Path | None, html_page: str | None, **given: Any
) -> None:
    """Measure how close pictures are to their originals.

    ORIGINAL and OTHER are two files or two folders. OTHER holds small files, which are decoded in memory, or any other
    pictures. compare tells PSNR, SSIM, and the bits per pixel (bpp) of each file in OTHER. Two folders are compared
    file by file, by their names, and the worst picture stands first. LR is the small picture in a small file.
    """
    from hcdcodec.cli.count_bar import CountBar
    from hcdcodec.compare import pairs, ssimulacra2
    from hcdcodec.compare.exhibit import Heading, exhibit_of
    from hcdcodec.compare.page import page_at
    from hcdcodec.compare.sheet import check_place, table

    found = list(pairs.pair_up(original, other, given["exclude"]))
    if picture is not None and original.is_dir():
        raise UsageError("--picture shows one picture; use --html for folders")
    if given["exclude"] and not original.is_dir():
        raise UsageError("--exclude leaves out pictures of a folder; leave it out, or name folders")
    if math.isnan(given["fail_below"] or 0):
        raise UsageError("--fail-below nan would let everything pass; give a number of dB")
    if given["ssimulacra2"]:
        ssimulacra2.check_installed()
    shown = [path for pair in found if pair.other is not None for path in (pair.original, pair.other)]
    page = page_at(html_page, shown) if html_page is not None else None
    if picture is not None:
        check_place(picture)
    _check_reports([path for path in (picture, page.file if page else None) if path is not None], found)
    restore = _make_restore(other, given["weights_dir"], archive_weights=given["archive_weights"])
    compared: list[Figures] = []
    failed = 0
    with CountBar("comparing", len(found), wanted=len(found) > 1) as bar:
        for pair in found:
            result = None
            try:
                result = _compare(pair, restore, given)
                # Before a report of it is stored: a full disk must not cost the figures.
                compared.append(result.figures)
                if as_json:
                    output.write(json.dumps(_members(result.figures)))
                if page is not None:
                    _add(page, exhibit_of(result))
            # A pair that cannot be compared is reported, and the others go on.
            except (HcdError, MemoryError) as error:
                bar.say(message(pair.name, reason(error)))
                if as_json and result is None:  # else it has a row already
                    output.write(json.dumps(failure_members("name", pair.name, reason(error))))
                failed += 1
                continue
            finally:
                bar.advance()
            if picture is not None:
                failed += not succeeds(picture, partial(_write_sheet, picture, result, shown))
    if compared and not as_json:
        output.write(table(compared))
    if page is not None:
        failed += not succeeds(page.file, partial(page.write, Heading("hcdcodec compare")))
    poor = _name_poor(compared, given["fail_below"])
    sys.exit(exits.FAILED if poor or failed else 0)


def _compare(pair: "Pair", restore: "Restore", given: Mapping[str, Any]) -> "Comparison":
    from hcdcodec.compare import pairs, ssimulacra2

    result = pairs.compare_pair(pair, restore, border=given["border"], max_pixels=given["max_pixels"])
    if not given["ssimulacra2"]:
        return result
    seen = ssimulacra2.score(result.original, result.decoded)
    return replace(result, figures=replace(result.figures, ssimulacra2=seen))


def _members(figures: "Figures") -> dict[str, Any]:
    """Return the numbers about one pair for JSON."""
    scores = {name: round_finite(value) for name, value in asdict(figures.scores).items()}
    seen = {} if figures.ssimulacra2 is None else {"ssimulacra2": round_finite(figures.ssimulacra2)}
    size = {"exact": figures.exact, "bytes": figures.bytes, "bpp": round_finite(figures.bpp)}
    return {**name_members("name", figures.name), **scores, **seen, **size}


def _add(page: "Page", exhibit: "Exhibit") -> None:
    try:
        page.add(exhibit)
    except OutputError as error:  # else it would seem to be about a picture
        raise OutputError(f"{page.file}: {error}") from error


def _write_sheet(path: Path, result: "Comparison", sources: Sequence[Path]) -> None:
    from hcdcodec.compare.sheet import panels_of, sheet
    from hcdcodec.files import disk

    disk.sweep(path.parent)
    disk.write_atomic(path, sheet(panels_of(result)), sources=sources)


def _name_poor(compared: "Sequence[Figures]", least: float | None) -> int:
    """Name the pictures whose PSNR-RGB is below what the user asked for, and count them."""
    poor = [figures for figures in compared if least is not None and figures.scores.psnr_rgb < least]
    for figures in poor:
        sentence = f"{figures.scores.psnr_rgb:.2f} dB, less than {least:g}; encode it at a higher quality or effort"
        output.say(message(figures.name, sentence))
    return len(poor)


def _check_reports(reports: Sequence[Path], found: "Sequence[Pair]") -> None:
    """Refuse a report that would replace one of the compared pictures, or the other report.

    Raises:
        UsageError: there is such a report.
    """
    if len(set(map(os.path.realpath, reports))) < len(reports):
        raise UsageError(f"{reports[0]} would be the sheet and the page at once; give them two names")
    # By identity, because a link or another spelling of the path can lead to the same file.
    compared = {find.identity(path) for pair in found for path in (pair.original, pair.other) if path is not None}
    for report in reports:
        if (identity := find.identity(report)) is not None and identity in compared:
            raise UsageError(f"{report} is one of the files compared; write the report elsewhere")


def _make_restore(
    other: Path, weights_dir: Path | None, *, archive_weights: bool
) -> "Callable[[Packed, Path], Picture]":
    """Return the function that decodes an LR. It loads torch and a network only when the first LR comes."""

    def restore(packed: "Packed", path: Path) -> "Picture":
        from hcdcodec.codec.decode import decode_picture
        from hcdcodec.engine.devices import memory_errors
        from hcdcodec.networks.archive import folders_above

        folders = folders_above(path, len(path.relative_to(other).parts) or None)
        with memory_errors():
            return decode_picture(engines().get(packed.header, folders), packed)

    @cache
    def engines() -> Any:
        from hcdcodec.codec.engines import Engines

        return Engines("cpu", weights_dir, takes_archives=archive_weights)

    return restore
