"""The time of a command on 200 mixed pictures against what each stage takes alone, and all of them need in all.

    python -m benchmarks.speed.overlap
    python -m benchmarks.speed.overlap --set val --sides 256 384 512 768 --effort 0
    python -m benchmarks.speed.overlap --set val --sides 256 384 512 768 --effort 0 --device cpu,cpu
    python -m benchmarks.speed.overlap --limit 4

Pictures are cut from the shipped photographs or from --set.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import command_runs, picture_folders, pictures, record, round_trip, stages


def main() -> None:
    """Run both commands and their stages, and write one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="pictures; default: 200")
    parser.add_argument("--sides", type=int, nargs="+", default=picture_folders.MIXED, help="heights and widths")
    pictures.add_set_option(parser)
    given = record.parse(parser, command_runs)
    with tempfile.TemporaryDirectory() as folder:
        rows = list(_rows(given, Path(folder)))
    record.say(rows)
    other = "" if given.sides == picture_folders.MIXED else f"_sides{max(given.sides)}"
    other += "" if given.device == "cpu" else f"_{given.device.replace(':', '').replace(',', '_')}"
    record.write_csv(given.out / f"overlap{other}.csv", rows)


def _rows(given: argparse.Namespace, folder: Path) -> Iterator[record.Row]:
    """Yield the time of a whole command beside the least that its stages allow, each way."""
    photographs = pictures.photographs(given)
    picture_folders.fill(folder / "in", photographs, given.limit, given.sides)
    picture_folders.fill(folder / "one", photographs, 1, picture_folders.MIXED[:1])
    whole, begun = (command_runs.both_ways(given, folder / name) for name in ("in", "one"))
    engine = round_trip.engine_of(given, scale=given.scale)
    alone = {
        "encode": stages.encoding(engine, given.effort, folder / "in", folder / "in.stages"),
        "decode": stages.decoding(engine, folder / "in.small", folder / "in.stages"),
    }
    for way, run in whole.items():
        used = {"cpu_s": run.cpu_s, **({} if run.gpu_percent is None else {"gpu_percent": run.gpu_percent})}
        yield {"way": way, **stages.compared(alone[way], run.seconds, begun[way].seconds), **used}


if __name__ == "__main__":
    main()
