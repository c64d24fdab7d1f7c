"""Does the estimate of `hcdcodec try` hold? Its range beside the bytes that encode then writes, and its time.

    python -m benchmarks.checks.estimate --mixed 20 --effort 0
    HCDCODEC_IMAGES=images python -m benchmarks.checks.estimate --set val test/Kodak --mixed 300 --effort 1

It tries the folders of --set, and a folder of mixed files: crops of their pictures as PNG and JPEG, with alpha, grey or
with EXIF, and files that cannot be read. Last, it draws smaller folders out of all files that were encoded, and counts
in how many of them the true bytes lie in the range.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import picture_folders, pictures, record, round_trip
from hcdcodec.codec.search.options import DEFAULT_EFFORT
from hcdcodec.trial.forecast import forecast, rest_of
from hcdcodec.trial.measure import Measured, Setting
from hcdcodec.trial.sample import by_weight
from hcdcodec.trial.survey import Reading, survey

QUALITIES = (100, 75, 38)
UNREADABLE = 4
DRAWN, DRAWN_FILES, SAMPLE = 1000, 100, 12

Row = dict[str, Any]


@dataclass(frozen=True)
class Truth:
    """One file that was measured, and the bytes that encode made of it."""

    measured: Measured
    bytes: int


def main() -> None:
    """Try and encode every folder, and write one table."""
    given = _arguments()
    rows, truths = list[record.Row](), dict[int, list[Truth]]()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [(one.name, one.files[0].parent) for one in pictures.chosen(given)]
        folders.append((f"{given.mixed} mixed files", _fill(Path(scratch) / "mixed", given)))
        for name, folder in folders:
            for row, found in _check(name, folder, Path(scratch) / name.replace(" ", "_"), given):
                rows.append(row)
                truths.setdefault(int(str(row["quality"])), []).extend(found)
    drawn = [_draw(quality, found) for quality, found in truths.items()]
    record.say(rows)
    record.say(drawn)
    record.write_csv(given.out / "estimate.csv", rows)
    record.write_csv(given.out / "estimate_drawn.csv", drawn)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mixed", type=int, default=300, metavar="N", help="files in the mixed folder; default: 300")
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT, help=f"default: {DEFAULT_EFFORT}")
    parser.add_argument("--qualities", type=int, nargs="+", default=list(QUALITIES))
    return record.parse(parser, pictures, round_trip)


def _fill(folder: Path, given: argparse.Namespace) -> Path:
    """Write the mixed files, of which the last ones cannot be read."""
    sources = pictures.photographs(given)
    picture_folders.fill(folder, sources, max(1, given.mixed - UNREADABLE))
    for number, path in enumerate(sorted(folder.iterdir())):
        if number % 7 == 0:
            _make_odd(path, number)
    whole = (folder / "00000.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "page.png").write_text("<html>")
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(folder / "deep.png")
    return folder


def _make_odd(path: Path, number: int) -> None:
    """Turn a picture into a grey one, one with alpha, or one with EXIF."""
    image = Image.open(path)
    if number % 3 == 0:
        image.convert("L").save(path)
    elif number % 3 == 1 and path.suffix == ".png":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(path)
    else:
        exif = Image.Exif()
        exif[0x010E] = "a description " * 50
        image.save(path, exif=exif)


def _check(
    name: str, folder: Path, target: Path, given: argparse.Namespace
) -> Iterator[tuple[record.Row, list[Truth]]]:
    """Yield a row for each quality, and what became of each file."""
    tried, try_s = _run(given, "try", folder, *(f"--quality={quality}" for quality in given.qualities))
    estimates = {row["quality"]: row for row in tried if row["kind"] == "all"}
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    settings = tuple(Setting(given.scale, quality) for quality in given.qualities)
    surveyed = survey(paths, settings, Reading(), lambda *_: None)
    for at, quality in enumerate(given.qualities):
        encoded, encode_s = _run(given, "encode", folder, f"{target}_{quality}/", f"--quality={quality}")
        sizes = {row["name"]: row["target_bytes"] for row in encoded if row["status"] == "done"}
        one, found = estimates[quality], sum(sizes.values())
        row = {
            "folder": name,
            "pictures": len(sizes),
            "unreadable": sum(row["status"] == "failed" for row in encoded),
            "effort": given.effort,
            "quality": quality,
            "source_mb": one["source_bytes"] / 1e6,
            "try_s": try_s,
            "low_mb": one["bytes_low"] / 1e6,
            "expected_mb": one["bytes"] / 1e6,
            "high_mb": one["bytes_high"] / 1e6,
            "half_width_percent": 50 * (one["bytes_high"] - one["bytes_low"]) / one["bytes"],
            "found_mb": found / 1e6,
            "found_in_range": "yes" if one["bytes_low"] <= found <= one["bytes_high"] else "no",
            "expected_s": one["seconds"],
            "encode_s": encode_s,
        }
        yield (
            row,
            [
                Truth(Measured(m.pixels, m.source_bytes, m.fixed_bytes, (m.lr_bytes[at],)), sizes[str(path)])
                for path, m in zip(surveyed.paths, surveyed.measured, strict=True)
            ],
        )


def _run(given: argparse.Namespace, command: str, *arguments: str | Path) -> tuple[list[Row], float]:
    """Return the JSON rows of a command, and its seconds; files that fail are rows of their own."""
    options = [f"--scale={given.scale}", f"--effort={given.effort}", f"--backbone={given.backbone}"]
    options += [f"--weights-dir={given.weights_dir}"] if given.weights_dir else []
    start = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", "hcdcodec", command, "--json", *options, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(record.ROOT)},
        text=True,
        check=False,
    )
    if ran.returncode not in (0, 1):
        raise SystemExit(f"hcdcodec {command} ended with {ran.returncode}")
    return [json.loads(line) for line in ran.stdout.splitlines()], time.perf_counter() - start


def _draw(quality: int, truths: Sequence[Truth]) -> record.Row:
    """Draw folders out of all files, and count how many ranges hold the truth. The network is not asked again."""
    dice, hits, widths = np.random.default_rng(0), 0, list[float]()
    count = min(DRAWN_FILES, len(truths))
    for _ in range(DRAWN):
        files = [truths[place] for place in dice.choice(len(truths), count, replace=False)]
        files.sort(key=lambda one: one.measured.lr_bytes[0] / one.measured.pixels)
        measures = [one.measured.lr_bytes[0] for one in files]
        chosen = by_weight(measures, SAMPLE)
        found = [files[place].bytes - files[place].measured.fixed_bytes for place in chosen]
        done = [measures[place] for place in chosen]
        fixed = rest_of([one.measured.fixed_bytes for one in files], [], count)
        ratios = [size / measured for size, measured in zip(found, done, strict=True)]
        ranged = forecast(sum(found), ratios, rest_of(measures, done, count), fixed)
        hits += ranged.low <= sum(one.bytes for one in files) <= ranged.high
        widths.append(ranged.half_width)
    return {
        "quality": quality,
        "folders": DRAWN,
        "pictures": count,
        "found_in_range_percent": 100 * hits / DRAWN,
        "half_width_percent": 100 * float(np.mean(widths)),
    }


if __name__ == "__main__":
    main()
