"""How true is the time that the progress bar promises? A folder of small pictures, and one of 7 megapixels.

A run is encoded here with the meter of the command line, which is asked ten times a second. Each row stands for a tenth
of the run: the time that was really left at its end, and what the meter had said. The first row says when the bar began
to move after the first batch had begun.

`--clock cpu` counts the processor time of this process instead of seconds. So it can be measured on a machine that
others use: their work does not count. oxipng does not count either then, since it runs in processes of its own.
"""

import argparse
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from benchmarks.common import record
from hcdcodec.batch.encode_files import Encoding
from hcdcodec.cli.work_meter import WorkMeter
from hcdcodec.codec.engines import engines_on
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.files.plan import plan_encode
from hcdcodec.format.source_files import refuse_source
from hcdcodec.networks.registry import load_backbone

_CLOCKS = {"wall": time.monotonic, "cpu": time.process_time}
_PAUSE_S = 0.1
_PARTS = 10

Sample = tuple[float, float, float | None]
"""Time, share of the work that is done, seconds left."""


def main() -> None:
    """Encode the pictures, and compare what was said with what came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="irn", help="default: irn")
    parser.add_argument("--scale", type=int, default=2, help="default: 2")
    parser.add_argument("--effort", type=int, default=1, help="default: 1")
    parser.add_argument("--small", type=int, default=12, help="number of small pictures; default: 12")
    parser.add_argument("--megapixels", type=float, default=7.0, help="of the large picture; default: 7")
    parser.add_argument("--place", choices=["first", "last"], default="last", help="of the large one; default: last")
    parser.add_argument("--clock", choices=list(_CLOCKS), default="wall", help="default: wall")
    given = record.parse(parser)
    with TemporaryDirectory() as folder:
        _draw(Path(folder) / "in", given.small, given.megapixels, given.place)
        rows = _rows(_run(given, Path(folder)))
    record.say(rows)
    record.write_csv(given.out / f"progress_{given.backbone}_x{given.scale}_{given.place}.csv", rows)


def _draw(folder: Path, count: int, megapixels: float, place: str) -> None:
    """Save photographs of the tests in two thirds of their size, and a large one, whose name sorts first or last."""
    folder.mkdir()
    photos = sorted((record.ROOT / "tests" / "data" / "photos").glob("*.[pj][np]g"))
    for number in range(count):
        with Image.open(photos[number % len(photos)]) as photo:
            small = photo.convert("RGB").resize((2 * photo.width // 3, 2 * photo.height // 3))
        small.save(folder / f"m{number:03}.png")
    with Image.open(photos[-1]) as photo:
        times = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
        large = photo.convert("RGB").resize((round(times * photo.width), round(times * photo.height)))
    large.save(folder / ("a.png" if place == "first" else "z.png"))


def _run(given: argparse.Namespace, folder: Path) -> Sequence[Sample]:
    """Encode a folder; return what the meter said, from the beginning of the first group to the end."""
    jobs = plan_encode([str(folder / "in")], str(folder / "out"), refuse=refuse_source).jobs
    network = load_backbone(given.backbone, given.scale)
    encoding = Encoding(engines_on(network, ["cpu"]), EncodeOptions(search_of(given.effort)))
    clock = _CLOCKS[given.clock]
    meter, over, samples = WorkMeter(len(jobs), clock), threading.Event(), list[Sample]()

    def ask() -> None:
        while not over.wait(_PAUSE_S):
            progress = meter.now()
            if progress.names or samples:
                samples.append((clock(), progress.share, progress.seconds_left))

    watch = threading.Thread(target=ask)
    watch.start()
    try:
        with meter.forecasting(jobs, encoding.forecast):
            for outcome in encoding.run(jobs, meter):
                if outcome.message:
                    raise SystemExit(f"{outcome.name}: {outcome.message}")
    finally:
        over.set()
        watch.join()
    return [*samples, (clock(), 1.0, 0.0)]


def _rows(samples: Sequence[Sample]) -> list[dict[str, float | str | None]]:
    begin, end = samples[0][0], samples[-1][0]
    moved = next(moment for moment, share, _ in samples if share > 0)
    rows: list[dict[str, float | str | None]] = [{"part": "moves after", "seconds": moved - begin}]
    for part in range(1, _PARTS):
        moment, share, left = max(one for one in samples if one[0] <= begin + part / _PARTS * (end - begin))
        true = end - moment
        off = None if left is None or not true else 100 * (left - true) / true
        rows.append(
            {
                "part": part / _PARTS,
                "seconds": moment - begin,
                "done": share,
                "left": true,
                "said": left,
                "off_percent": off,
            }
        )
    late = [one for one in samples if begin + (end - begin) / 3 <= one[0] < end - 1 and one[2] is not None]
    worst = max((abs((left or 0) - (end - moment)) / (end - moment) for moment, _, left in late), default=0.0)
    rows.append({"part": "worst from a third to the last second", "off_percent": 100 * worst})
    return rows


if __name__ == "__main__":
    main()
