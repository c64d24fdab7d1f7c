"""Training here and in another checkout of hcdcodec, for as many minutes: its speed, and how far it gets.

HCDCODEC_IMAGES=images python -m benchmarks.speed.training ../other --set val
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import record

# Release 0.1.0 wrote words between the numbers: "37  0.5 of 38 min  0.02 MP/s  loss -0.05  PSNR 22.54 dB  LR 34.47 dB".
_REPORT = re.compile(
    r"^ *(\d+) +[\d.]+ of [\d.]+(?: min)? +([\d.]+)(?: MP/s  loss)? +-?[\d.]+ +(?:PSNR )?([\d.]+)", re.MULTILINE
)


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, metavar="DIR", help="checkout to compare with")
    parser.add_argument("--minutes", type=float, default=0.6, help="of each training; default: 0.6")
    parser.add_argument("--set", default="val", metavar="DIR", help="pictures, under $HCDCODEC_IMAGES; default: val")
    given = record.parse(parser)
    rows = list(_trainings(given))
    record.say(rows)
    record.write_csv(given.out / "training.csv", rows)


def _trainings(given: argparse.Namespace) -> Iterator[record.Row]:
    """Train with the same recipe and pictures; the fastest report counts for speed, the last one for PSNR."""
    pictures = str((Path(os.environ.get("HCDCODEC_IMAGES", ".")) / given.set).resolve())
    for place, root in {"other": given.other.resolve(), "here": record.ROOT}.items():
        with tempfile.TemporaryDirectory() as out:
            words = ["train", pictures, "--licence", "MIT", "--out", out, "--minutes", str(given.minutes)]
            program = [sys.executable, "-c", "from hcdcodec.cli import main; main()", *words]
            environment = {**os.environ, "PYTHONPATH": str(root)}
            ran = subprocess.run(program, env=environment, cwd=out, check=True, capture_output=True, text=True)
        reports = _REPORT.findall(ran.stdout + ran.stderr)
        speed = max(float(megapixels) for _, megapixels, _ in reports)
        updates, _, psnr = reports[-1]
        yield {
            "checkout": place,
            "minutes": given.minutes,
            "mp_per_s": speed,
            "updates": int(updates),
            "psnr": float(psnr),
        }


if __name__ == "__main__":
    main()
