"""What folders take: memory, time and overlap of whole commands, throughput by batch size, and beside the paper's way.

    python benchmarks/pipeline.py memory --effort 1
    python benchmarks/pipeline.py growth --effort 1
    python benchmarks/pipeline.py overlap
    python benchmarks/pipeline.py overlap --set val --sides 256 384 512 768 --effort 0
    python benchmarks/pipeline.py overlap --set val --sides 256 384 512 768 --effort 0 --device cpu,cpu
    python benchmarks/pipeline.py count
    python benchmarks/pipeline.py batch --device cuda
    python benchmarks/pipeline.py reference
    python benchmarks/pipeline.py reference --set test/Kodak --side 512 --limit 8
    python benchmarks/pipeline.py overlap --limit 4

memory     peak of a command on one picture of 1 to 100 megapixels
growth     memory in use after 50 and after 1000 small pictures of one command
overlap    time of a command on 200 mixed pictures against what each stage takes alone, and all of them need in all
count      time of a command on 25 to 200 mixed pictures, and how far from a line
batch      throughput of the search and of decoding against the size of batches
reference  ours, all pictures together, beside the paper's scheme as released, one by one in float32, at equal gain

Pictures are cut from the shipped photographs or from --set. Memory depends neither on the effort nor on an idle
machine; all other figures do.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from hcdcodec.codec.search.options import DEFAULT_EFFORT
from hcdcodec.pictures.picture import Picture

import folders
import pictures
import record
import runs
import stages
import throughput
import trips

MEGAPIXELS = (1, 4, 16, 50, 100)
SMALL = tuple(range(24, 97))
EARLY = 50
"""Pictures after which a command's memory should have stopped to grow."""

_WINDOW = 20
"""Pictures over which memory in use is averaged: what is in flight differs from one to the next."""


def main() -> None:
    """Run one measurement and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--set", dest="sets", nargs="+", default=[], metavar="DIR", help="folders to cut pictures from")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="fewer pictures, or sizes, than usual")
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT, help=f"default: {DEFAULT_EFFORT}")
    parser.add_argument("--side", type=int, default=throughput.SIDE, help="batch, reference: of the pictures")
    parser.add_argument("--sides", type=int, nargs="+", default=folders.MIXED, help="overlap: of the mixed pictures")
    parser.add_argument("--jobs", type=int, default=0, help="threads of the command; default: its own")
    for room in (trips, record):
        room.add_options(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = MODES[given.mode](given, Path(folder))
    record.say(rows)
    other = "" if given.side == throughput.SIDE else f"_side{given.side}"
    other += "" if given.sides == folders.MIXED else f"_sides{max(given.sides)}"
    other += "" if given.device == "cpu" else f"_{given.device.replace(':', '').replace(',', '_')}"
    record.write_csv(given.out / f"pipeline_{given.mode}{other}.csv", rows)


def sources(given: argparse.Namespace) -> list[Picture]:
    """Return the photographs that pictures are cut from."""
    everything = argparse.Namespace(sets=given.sets, limit=0, crop=0)
    return [picture for pictured in pictures.chosen(everything) for _, picture in pictured]


def memory(given: argparse.Namespace, folder: Path) -> list[record.Row]:
    """Return the peak of encoding and of decoding one picture, by its size."""
    rows: list[record.Row] = []
    for megapixels in MEGAPIXELS[: given.limit or None]:
        folders.draw(folder / f"{megapixels}/picture.png", megapixels)
        peaks = {way: run.peak_mib for way, run in _both_ways(given, folder / f"{megapixels}").items()}
        rows.append({"megapixels": megapixels, **{f"{way}_peak_mib": round(peak) for way, peak in peaks.items()}})
        record.say(rows[-1:])
    return rows


def growth(given: argparse.Namespace, folder: Path) -> list[record.Row]:
    """Return the memory in use after the first pictures and after the last, each way."""
    folders.fill(folder / "in", sources(given), given.limit or 1000, SMALL)
    rows: list[record.Row] = []
    for way, run in _both_ways(given, folder / "in").items():
        early, late = (float(np.mean(run.resident_mib[:end][-_WINDOW:])) for end in (EARLY, None))
        counts = {"pictures": len(run.resident_mib), f"mib_after_{EARLY}": early, "mib_after_all": late}
        rows.append({"way": way, **counts, "ratio": late / early, "peak_mib": run.peak_mib})
    return rows


def overlap(given: argparse.Namespace, folder: Path) -> list[record.Row]:
    """Return the time of a whole command beside the least that its stages allow, each way."""
    folders.fill(folder / "in", sources(given), given.limit or 200, given.sides)
    folders.fill(folder / "one", sources(given), 1, folders.MIXED[:1])
    whole, begun = _both_ways(given, folder / "in"), _both_ways(given, folder / "one")
    engine = trips.engine_of(given, scale=given.scale)
    alone = {
        "encode": stages.encoding(engine, given.effort, folder / "in", folder / "in.stages"),
        "decode": stages.decoding(engine, folder / "in.small", folder / "in.stages"),
    }
    rows: list[record.Row] = []
    for way, run in whole.items():
        used = {"cpu_s": run.cpu_s, **({} if run.gpu_percent is None else {"gpu_percent": run.gpu_percent})}
        rows.append({"way": way, **stages.compared(alone[way], run.seconds, begun[way].seconds), **used})
    return rows


def count(given: argparse.Namespace, folder: Path) -> list[record.Row]:
    """Return the time of a whole command by the number of its pictures, each way, beside the line that fits best."""
    rows: list[dict[str, str | int | float | None]] = []
    most = given.limit or 200
    counts = sorted({max(1, most // share) for share in (8, 4, 2, 1)})
    for number in counts:
        megapixels = folders.fill(folder / f"{number}", sources(given), number) / 1e6
        taken = _both_ways(given, folder / f"{number}")
        rows += [
            {"way": way, "pictures": number, "megapixels": megapixels, "seconds": run.seconds}
            for way, run in taken.items()
        ]
    for way in ("encode", "decode"):
        own = [row for row in rows if row["way"] == way]
        sizes, seconds = (np.array([row[name] for row in own], float) for name in ("megapixels", "seconds"))
        line = np.polyval(np.polyfit(sizes, seconds, 1), sizes)
        for row, expected in zip(own, line, strict=True):
            row["seconds_on_the_line"] = float(expected)
    return list(rows)


def batch(given: argparse.Namespace, _: Path) -> list[record.Row]:
    """Return the throughput of the search and of decoding by the size of batches."""
    crops = throughput.squares(sources(given), given.side)
    return throughput.by_batch(trips.engine_of(given, scale=given.scale), crops, given.effort, given.limit)


def reference(given: argparse.Namespace, _: Path) -> list[record.Row]:
    """Return what ours takes beside the paper's scheme at equal gain."""
    crops = throughput.squares(sources(given), given.side)
    return throughput.beside_paper(trips.engine_of(given, scale=given.scale), crops, given.limit)


MODES: Mapping[str, Callable[[argparse.Namespace, Path], list[record.Row]]] = {
    "memory": memory,
    "growth": growth,
    "overlap": overlap,
    "count": count,
    "batch": batch,
    "reference": reference,
}


def _both_ways(given: argparse.Namespace, source: Path) -> dict[str, runs.Run]:
    """Encode a folder and decode the result, each by a command of its own."""
    small, restored = source.with_name(f"{source.name}.small"), source.with_name(f"{source.name}.restored")
    machine = ["--device", given.device, *(["--jobs", str(given.jobs)] if given.jobs else [])]
    machine += ["--weights-dir", str(given.weights_dir)] if given.weights_dir else []
    network = ["--backbone", given.backbone, "--scale", str(given.scale), "--effort", str(given.effort)]
    return {
        "encode": runs.run(["encode", *network, *machine, source, f"{small}/"]),
        "decode": runs.run(["decode", *machine, small, f"{restored}/"]),
    }


if __name__ == "__main__":
    main()
