"""The paper's tables 1 to 3 and its figures 6 and 7, measured here beside the values that it prints.

    python -m benchmarks.paper.tables table1 --limit 1 --crop 128
    HCDCODEC_IMAGES=images python -m benchmarks.paper.tables table1 --set test/Set5 test/Set14
    HCDCODEC_IMAGES=images python -m benchmarks.paper.tables table2 table3 figure6 figure7 --set test/Set5
    HCDCODEC_IMAGES=images python -m benchmarks.paper.tables all --set test/Set5 --backbone irn --scale 2

table1 takes every network that is installed at the scale, each super-resolution network as "Bicubic & X"
('hcdcodec models import FILE --backbone sr'), beside the rows that the paper prints for its test sets, CAR and TAD
among them; the others take --backbone. PSNR and SSIM are on Y without a border of `scale` pixels, sides are cut to
multiples of the scale, every LR level is allowed, and every number is of a reconstruction from a file.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.common import pictures, printed, record, round_trip
from benchmarks.common.pictures import PictureSet
from benchmarks.common.set_means import measure, summary
from hcdcodec.codec.search.options import DEFAULT_EFFORT, Paper, Search, search_of
from hcdcodec.engine.engine import Engine
from hcdcodec.pictures.picture import Picture

ALPHAS = (0.01, 0.02, 0.04, 0.06, 20 / 255, 0.1, 0.15, 0.2)
EPSILONS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
ITERATIONS = (1, 5, 10, 15, 20)
WIDE = 0.008
"""Radius of the ball of "paper's scheme, wide", for each LR sample: 1.0 for one of 72x72x3."""

SCHEMES = ((0, 0), (15, 0), (0, 15), (15, 15))


def main() -> None:
    """Make what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="+", choices=[*MAKERS, "all"])
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--efforts", type=int, nargs="+", default=[DEFAULT_EFFORT], help="of our search, for table1")
    parser.add_argument("--origin", default="", help="table1: where imported networks are from, for the file's head")
    parser.add_argument("--windows", action="store_true", help="table1: the paper's scheme on LR windows of 128, too")
    given = record.parse(parser, pictures, round_trip)
    for what in MAKERS if "all" in given.what else given.what:
        MAKERS[what](given)


def _table_1(given: argparse.Namespace) -> None:
    rows: list[record.Row] = []
    for pictured in pictures.chosen(given, given.scale):
        for label, backbone in round_trip.every_backbone(given).items():
            engine = round_trip.engine_of(given, backbone, given.scale)
            for method, row in _by_method(given, engine, pictured):
                rows.append({"source": "measured", "set": pictured.name, "method": f"{label}{method}", **row})
        rows += _printed_for(pictured.name) if given.scale == 4 else []
    record.say(rows)
    remarks = ["source 'printed': read off the paper's table 1, not measured; its sets are complete"]
    remarks += [f"imported networks: {given.origin}"] if given.origin else []
    record.write_csv(given.out / f"table1_x{given.scale}{_suffix(given)}.csv", rows, remarks)


def _wide(picture: Picture, scale: int) -> Paper:
    """Return the paper's scheme with as much room for each sample as gains most on Set5 (figure 7), whatever the size.

    Its own ball is one of 0.3 for any picture; steps grow with the ball.
    """
    epsilon = WIDE * (3 * picture.pixel_count) ** 0.5 / scale
    return Paper(alpha=Paper().alpha * epsilon / Paper().epsilon, epsilon=epsilon)


def _by_method(given: argparse.Namespace, engine: Engine, pictured: PictureSet) -> Iterator[tuple[str, record.Row]]:
    """Yield (method, means) without search, with the paper's and with ours."""
    yield "", measure(engine, pictured, round_trip.NONE)
    yield " + paper's scheme", measure(engine, pictured, Paper())
    scale = engine.backbone.scale
    found = [(picture, round_trip.travel(engine, picture, _wide(picture, scale))) for _, picture in pictured]
    yield " + paper's scheme, wide", summary(scale, found)
    if given.windows:
        pairs = [(picture, round_trip.travel_by_windows(engine, picture, Paper())) for _, picture in pictured]
        for index, label in enumerate(("", ", decoded apart")):
            found = [(picture, both[index]) for picture, both in pairs]
            yield f" + paper's scheme on 128-px windows{label}", summary(engine.backbone.scale, found)
    for effort in given.efforts:
        yield f" + ours, effort {effort}", measure(engine, pictured, search_of(effort))


def _printed_for(name: str) -> list[record.Row]:
    """Return the paper's rows for a set; none for sets that it does not have."""
    if name not in printed.TABLE_1_SETS:
        return []
    column = printed.TABLE_1_SETS.index(name)
    return [
        {"source": "printed", "set": name, "method": method, "psnr_y": value[0], "ssim": value[1]}
        for method, values in printed.TABLE_1.items()
        if (value := values[column]) is not None
    ]


def _table_2(given: argparse.Namespace) -> None:
    def paper_says(scheme: tuple[int, int]) -> record.Row:
        psnr, ssim = printed.TABLE_2.get(scheme, (None, None))
        return {"lr_steps": scheme[0], "hr_steps": scheme[1], "paper_psnr_y": psnr, "paper_ssim": ssim}

    searches = {scheme: Paper(lr_steps=scheme[0], hr_steps=scheme[1]) for scheme in SCHEMES}
    _sweep(given, "table2", searches, paper_says)


def _table_3(given: argparse.Namespace) -> None:
    def paper_says(count: int) -> record.Row:
        psnr, ssim, seconds = printed.TABLE_3[count]
        return {"steps": count, "paper_psnr_y": psnr, "paper_ssim": ssim, "paper_encode_s": seconds}

    _sweep(given, "table3", {count: Paper(count, count) for count in ITERATIONS}, paper_says)


def _figure(name: str, parameter: str, values: Sequence[float], given: argparse.Namespace) -> None:
    """Sweep one parameter of the paper's scheme and draw it."""
    searches = {value: Paper(**{parameter: value}) for value in values}  # type: ignore[arg-type]
    rows = _sweep(given, name, searches, lambda value: {parameter: value}, printed.CURVES_SAY[parameter])
    path = given.out / f"{name}_{given.backbone}_x{given.scale}{_suffix(given)}.svg"
    title = f"PSNR-Y by {parameter}, {given.backbone} x{given.scale}"
    record.write_plot(path, partial(_draw, rows, parameter), title)


def _sweep(
    given: argparse.Namespace,
    name: str,
    searches: Mapping[Any, Search],
    describe: Callable[[Any], record.Row],
    *says: str,
) -> list[record.Row]:
    """Measure searches on every set and write them; `describe` turns a key into columns."""
    engine = round_trip.engine_of(given, scale=given.scale)
    rows: list[record.Row] = [
        {"set": pictured.name, **describe(key), **measure(engine, pictured, search)}
        for pictured in pictures.chosen(given, given.scale)
        for key, search in searches.items()
    ]
    record.say(rows)
    remarks = says or ("columns 'paper_...': printed there for IRN x2 on Set5, not measured",)
    record.write_csv(given.out / f"{name}_{given.backbone}_x{given.scale}{_suffix(given)}.csv", rows, remarks)
    return rows


def _draw(rows: Sequence[record.Row], parameter: str, axes: Any) -> None:
    for name in dict.fromkeys(row["set"] for row in rows):
        points = [(row[parameter], row["psnr_y"]) for row in rows if row["set"] == name]
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set_xlabel(parameter)
    axes.set_ylabel("PSNR-Y, dB")


def _suffix(given: argparse.Namespace) -> str:
    """Keep runs on other sets, or on a part of them, from replacing each other's files."""
    return "".join(f"_{pictured.name}" for pictured in pictures.chosen(given))


MAKERS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "table1": _table_1,
    "table2": _table_2,
    "table3": _table_3,
    "figure6": partial(_figure, "figure6", "alpha", ALPHAS),
    "figure7": partial(_figure, "figure7", "epsilon", EPSILONS),
}

if __name__ == "__main__":
    main()
