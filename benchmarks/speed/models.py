"""The columns of `hcdcodec models list`: seconds and PSNR of an encode with the defaults, for each shipped network.

    python -m benchmarks.speed.models
    python -m benchmarks.speed.models --manifest      # also stores them in weights/manifest.json

The middles of the photographs in tests/data are small enough that irn takes minutes, not hours.
"""

import argparse
from dataclasses import replace

from benchmarks.common import pictures, record, round_trip
from benchmarks.common.set_means import measure
from hcdcodec.cli.models_list import PSNR, SECONDS
from hcdcodec.codec.search.options import DEFAULT_EFFORT, search_of
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.manifest import read_manifest, write_manifest

SHIPPED = record.ROOT / "weights"


def main() -> None:
    """Measure each entry of the manifest and write a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--manifest", action="store_true", help="store the figures in weights/manifest.json, too")
    parser.add_argument("--crop", type=int, default=pictures.SIDE, metavar="PX", help="default: %(default)s")
    given = record.parse(parser)
    entries = read_manifest(SHIPPED)
    rows = [_measured(entry, given.crop) for entry in entries]
    record.say(rows)
    record.write_csv(given.out / "models.csv", rows)
    if given.manifest:
        write_manifest(SHIPPED, [_stored(entry, row) for entry, row in zip(entries, rows, strict=True)])


def _measured(entry: Entry, crop: int) -> record.Row:
    options = argparse.Namespace(weights_dir=SHIPPED, device="cpu", sets=[], limit=0, crop=crop, corner=False)
    engine = round_trip.engine_of(options, f"{entry.name}@{entry.hash}", entry.scale)
    (pictured,) = pictures.chosen(options, entry.scale)
    means = measure(engine, pictured, search_of(DEFAULT_EFFORT), DEFAULT_QUALITY)
    seconds = means["encode_s"]
    assert isinstance(seconds, float)
    network = f"{entry.name} x{entry.scale} {entry.hash[:12]}"
    return {"network": network, "s_per_mp": seconds / crop**2 * 1e6, "psnr_rgb": means["psnr_rgb"]}


def _stored(entry: Entry, row: record.Row) -> Entry:
    seconds, psnr = row["s_per_mp"], row["psnr_rgb"]
    assert isinstance(seconds, float) and isinstance(psnr, float)
    others = {name: value for name, value in entry.measured.items() if name not in (SECONDS, PSNR)}
    return replace(entry, measured={SECONDS: round(seconds, 2), PSNR: round(psnr, 2), **others})


if __name__ == "__main__":
    main()
