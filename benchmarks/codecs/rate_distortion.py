"""Rate-distortion curves of ours, the paper's scheme and other codecs, through real files.

    python -m benchmarks.codecs.rate_distortion --limit 1 --crop 256
    HCDCODEC_IMAGES=images python -m benchmarks.codecs.rate_distortion --set test/Kodak val --scales 2 4 8 --efforts 5

PSNR-RGB counts whole pictures; PSNR-Y leaves out `scale` pixels on each side, 4 for other codecs. SSIMULACRA2 takes two
seconds a file, so it is measured with --ssimulacra2 alone. Ours stands in three containers, which hold the same LR.
A rival that gives a small and a large picture, too, is a thumbnail of the LR's size and an AVIF, in the total of both.

For each set: a CSV of means at equal settings, one of single pictures, plots of the means, and a CSV of conclusions.
These are means over the pictures of what holds for each: BD-rate by our interpolation and by the field's usual one;
where ours is ahead at equal bytes; how many dB ours is ahead at the bytes of its default quality; bytes at the quality
of the paper's scheme with the same weights and PNG coding, which all LR levels are open to unless --paper-qualities
says otherwise.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.common import bd_rate, pictures, record, round_trip
from benchmarks.common.pictures import PictureSet
from hcdcodec.codec.search.options import DEFAULT_EFFORT, Paper, search_of
from hcdcodec.files.encoded_names import Container
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.pictures import metrics
from hcdcodec.pictures.metrics import Scores
from hcdcodec.pictures.picture import Levels, expand
from hcdcodec.trial.rivals import AVIF, CODECS, THUMBNAILS, Codec, Thumbnail

QUALITIES = (100, 90, 82, 75, 68, 61, 49, 38, 28, 18, 8)
PAPER, WINDOWED = "paper's scheme", "paper's scheme on 128-px windows"
TICKS = (0.125, 0.25, 0.5, 1, 2, 4)
MEASURES = ("psnr_rgb", "psnr_y")
MORE_MEASURES = ("ssim", "ssimulacra2")
"""These are only drawn."""


@dataclass(frozen=True)
class Point:
    """One picture at one setting of one codec."""

    codec: str
    setting: str
    picture: str
    bpp: float
    scores: Scores
    ssimulacra2: float | None = None


def main() -> None:
    """Measure every set and write what was found."""
    given = _arguments()
    ours = [partial(_ours, given, scale) for scale in given.scales if _is_installed(given, scale)]
    for pictured in pictures.chosen(given):
        points = [point for codec in CODECS for point in _theirs(codec, pictured, given.ssimulacra2)]
        points += [point for thumbnail in THUMBNAILS for point in _in_total(thumbnail, given.scales, pictured, points)]
        points += [point for measure in ours for point in measure(pictured)]
        rows = _means(points)
        stem = given.out / "_".join(["rate_distortion", *(f"x{scale}" for scale in given.scales), pictured.name])
        missing = [f"{codec.name}: not installed; {codec.remedy}" for codec in CODECS if not codec.available]
        record.say(rows)
        record.write_csv(stem.with_suffix(".csv"), rows, missing)
        record.write_csv(stem.with_name(f"{stem.name}_pictures.csv"), [_row(point) for point in points], missing)
        conclusions = list(_conclusions(points))
        record.say(conclusions)
        record.write_csv(stem.with_name(f"{stem.name}_conclusions.csv"), conclusions, missing)
        for measure in (*MEASURES, *(extra for extra in MORE_MEASURES if extra in rows[0])):
            path = stem.with_name(f"{stem.name}_{measure}.svg")
            record.write_plot(path, partial(_draw, rows, measure), f"{pictured.name}: {measure} against bytes")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scales", type=int, nargs="+", default=[4], help="default: 4")
    parser.add_argument("--efforts", type=int, nargs="+", default=[0, DEFAULT_EFFORT], help="default: 0 and 5")
    parser.add_argument("--paper-qualities", type=int, nargs="*", default=[round_trip.FULL_GRID], help="default: 100")
    parser.add_argument("--qualities", type=int, nargs="+", default=list(QUALITIES))
    parser.add_argument("--ssimulacra2", action="store_true", help="two seconds a file")
    parser.add_argument("--windows", action="store_true", help="the paper's scheme on LR windows of 128, too")
    return record.parse(parser, pictures, round_trip)


def _is_installed(given: argparse.Namespace, scale: int) -> bool:
    try:
        round_trip.engine_of(given, scale=scale)
    except SystemExit as error:
        print(f"{given.backbone} x{scale} is left out: {error}")
        return False
    return True


def _theirs(codec: Codec, pictured: PictureSet, is_slow: bool) -> Iterator[Point]:
    if not codec.available:
        print(f"{codec.name}: not installed; {codec.remedy}")
        return
    for name, picture in pictured:
        for setting in codec.settings:
            bpp, decoded = codec.travel(picture, setting)
            scores, slow = metrics.score(picture.pixels, decoded), _ssimulacra2(picture.pixels, decoded, is_slow)
            yield Point(codec.name, str(setting), name, bpp, scores, slow)


def _in_total(
    thumbnail: Thumbnail, scales: Sequence[int], pictured: PictureSet, points: Sequence[Point]
) -> Iterator[Point]:
    """Add the bits of a thumbnail to those of each AVIF."""
    if not thumbnail.available or not AVIF.available:
        return
    for name, picture in pictured:
        for scale in scales:
            more = 8 * thumbnail.bytes(picture.pixels, scale) / picture.pixel_count
            for point in points:
                if point.codec == AVIF.name and point.picture == name:
                    yield replace(point, codec=f"{thumbnail.name} x{scale}", bpp=point.bpp + more)


def _ours(given: argparse.Namespace, scale: int, pictured: PictureSet) -> Iterator[Point]:
    engine = round_trip.engine_of(given, scale=scale)
    label = f"{given.backbone} x{scale}"
    for name, picture in pictured:
        for effort in given.efforts:
            for quality in given.qualities:
                trips = round_trip.travel_in_all(engine, picture, search_of(effort), quality)
                trip = trips[Container.PNG]
                scores = trip.scores(picture, scale)
                slow = _ssimulacra2(picture.pixels, trip.decoded, given.ssimulacra2)
                for kind, each in trips.items():
                    own = f"{label} effort {effort}" + ("" if kind is Container.PNG else f" {kind}")
                    yield Point(own, str(quality), name, each.bpp, scores, slow)
        for quality in given.paper_qualities:
            trip = round_trip.travel(engine, picture, Paper(), quality)
            slow = _ssimulacra2(picture.pixels, trip.decoded, given.ssimulacra2)
            yield Point(f"{label} {PAPER}", str(quality), name, trip.bpp, trip.scores(picture, scale), slow)
        if given.windows:
            trip, _ = round_trip.travel_by_windows(engine, picture, Paper())
            yield Point(f"{label} {WINDOWED}", "", name, trip.bpp, trip.scores(picture, scale))


def _ssimulacra2(original: Levels, decoded: Levels, is_wanted: bool) -> float | None:
    """Return the score of the package ssimulacra2, which reads files: up to 100, which stands for no difference."""
    if not is_wanted:
        return None
    from ssimulacra2 import compute_ssimulacra2

    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("original.png", "decoded.png")]
        for path, pixels in zip(paths, (original, decoded), strict=True):
            Image.fromarray(expand(pixels)).save(path)
        return float(compute_ssimulacra2(*paths))


def _row(point: Point) -> record.Row:
    scores = point.scores
    return {
        "codec": point.codec,
        "setting": point.setting,
        "picture": point.picture,
        "bpp": point.bpp,
        "psnr_rgb": scores.psnr_rgb,
        "psnr_y": scores.psnr_y,
        "ssim": scores.ssim,
        **({} if point.ssimulacra2 is None else {"ssimulacra2": point.ssimulacra2}),
    }


def _means(points: Sequence[Point]) -> list[record.Row]:
    """Return one row for each setting of each codec."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.codec, point.setting), []).append(point)
    return [
        {
            "codec": codec,
            "setting": setting,
            "pictures": len(group),
            "bpp": pictures.mean([point.bpp for point in group]),
            "psnr_rgb": pictures.mean([point.scores.psnr_rgb for point in group]),
            "psnr_y": pictures.mean([point.scores.psnr_y for point in group]),
            "ssim": pictures.mean([point.scores.ssim or 0 for point in group]),
            **_mean_of_slow([point.ssimulacra2 for point in group if point.ssimulacra2 is not None]),
        }
        for (codec, setting), group in groups.items()
    ]


def _mean_of_slow(found: Sequence[float]) -> record.Row:
    return {"ssimulacra2": pictures.mean(found)} if found else {}


def _curve(rows: Sequence[record.Row], codec: str, measure: str) -> list[tuple[float, float]]:
    return [
        (float(row["bpp"] or 0), float(row[measure] or 0))
        for row in rows
        if row["codec"] == codec and row.get(measure) is not None
    ]


def _curves(points: Sequence[Point], codec: str, measure: str) -> list[list[tuple[float, float]]]:
    """Return a curve for each picture, in the order of the pictures."""
    found: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        if point.codec == codec:
            found.setdefault(point.picture, []).append((point.bpp, getattr(point.scores, measure)))
    return list(found.values())


def _conclusions(points: Sequence[Point]) -> Iterator[record.Row]:
    """Compare each curve of ours with each of the others, and with the paper's scheme at the same scale."""
    names = list(dict.fromkeys(point.codec for point in points))
    rivals = [codec.name for codec in CODECS if codec.name in names]
    for name in filter(_is_ours, names):
        schemes = [other for other in names if PAPER in other and other.split()[:2] == name.split()[:2]]
        totals = [f"{thumbnail.name} {name.split()[1]}" for thumbnail in THUMBNAILS]
        for measure in MEASURES:
            ours = _curves(points, name, measure)
            for other in [*rivals, *(total for total in totals if total in names), *schemes]:
                pairs = list(zip(ours, _curves(points, other, measure), strict=True))
                if other in schemes:
                    yield {**_compared(name, other, measure), **_against_points(pairs)}
                if all(len(theirs) > 1 for _, theirs in pairs):
                    found = _against_curves(pairs), _at_default(points, name, other, measure)
                    yield {**_compared(name, other, measure), **found[0], **found[1]}


def _against_curves(pairs: Sequence[tuple[bd_rate.Curve, bd_rate.Curve]]) -> record.Row:
    rates = [rate for ours, theirs in pairs if (rate := bd_rate.bd_rate(ours, theirs)) is not None]
    spans = ", ".join(f"{low:.3f} to {high:.3f} bpp" for low, high in bd_rate.ahead(pairs))
    verdict = f"ahead at {spans}" if spans else "nowhere ahead"
    fewer = f"fewer bytes on {sum(rate < 0 for rate in rates)} of {len(rates)} pictures"
    usual = [rate for ours, theirs in pairs if (rate := bd_rate.bd_rate_by_pchip(ours, theirs)) is not None]
    means = {"bytes": rates, "bytes, pchip": usual}
    return {
        **{name: f"{pictures.mean(found):+.1%}" if found else None for name, found in means.items()},
        "verdict": f"{verdict}; {fewer}",
    }


def _at_default(points: Sequence[Point], name: str, other: str, measure: str) -> record.Row:
    """Tell by how many dB ours is ahead at the bytes of its default quality."""
    default = [point for point in points if point.codec == name and point.setting == str(DEFAULT_QUALITY)]
    found = [
        getattr(point.scores, measure) - decibels
        for point, theirs in zip(default, _curves(points, other, measure), strict=False)
        if (decibels := bd_rate.decibels_at(theirs, point.bpp)) is not None
    ]
    if not found:
        return {}
    count = sum(value > 0 for value in found)
    return {"dB at default": pictures.mean(found), "ahead at default": f"{count} of {len(found)}"}


def _against_points(pairs: Sequence[tuple[bd_rate.Curve, bd_rate.Curve]]) -> record.Row:
    """Compare with the best quality of the other curve, at each picture's own."""
    at = [(ours, max(theirs, key=lambda point: point[1])) for ours, theirs in pairs]
    found = [(rate, point) for ours, point in at if (rate := bd_rate.rate_at(ours, point[1])) is not None]
    if not found:
        return {"bytes": None, "verdict": "off our curve on all pictures"}
    rate, bpp, decibels = (
        pictures.mean(values)
        for values in ([rate for rate, _ in found], [point[0] for _, point in found], [point[1] for _, point in found])
    )
    verdict = f"{rate:.3f} instead of {bpp:.3f} bpp at {decibels:.2f} dB, {len(found)} of {len(pairs)} pictures"
    return {"bytes": f"{pictures.mean([rate / point[0] - 1 for rate, point in found]):+.1%}", "verdict": verdict}


def _compared(name: str, other: str, measure: str) -> dict[str, str]:
    return {"codec": name, "against": other, "at equal": measure}


def _is_ours(codec: str) -> bool:
    return " effort " in codec and codec not in [rival.name for rival in CODECS]


def _draw(rows: Sequence[record.Row], measure: str, axes: Any) -> None:
    names = list(dict.fromkeys(str(row["codec"]) for row in rows))
    for codec in names:
        points = sorted(_curve(rows, codec, measure))
        is_ours = _is_ours(codec)
        marker = "*" if len(points) == 1 else "o" if is_ours else "."
        if points:
            axes.plot(*zip(*points, strict=True), marker=marker, lw=2 if is_ours else 1, label=codec)
    for kind in ("", *Container):
        alike = [codec for codec in names if _is_ours(codec) and codec.partition(" effort ")[2][2:] == kind]
        if len({codec.split()[1] for codec in alike}) > 1:
            best = bd_rate.best_of([_curve(rows, codec, measure) for codec in alike])
            axes.plot(*zip(*best, strict=True), lw=6, alpha=0.2, label=f"best of all scales {kind}".rstrip())
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel(f"{measure}, dB" if measure in MEASURES else measure)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.minorticks_off()


if __name__ == "__main__":
    main()
