"""Encoding and decoding here and in another checkout of hcdcodec, by turns, with the weights of the other one.

    HCDCODEC_IMAGES=images python -m benchmarks.speed.checkouts ../other
    HCDCODEC_IMAGES=images python -m benchmarks.speed.checkouts ../other --setting "without the kernel"

A megapixel of photographs goes through whole commands, start included. Of the rounds the least counts. Besides the time
that passes, that of the processors is told, which depends less on what else the machine does.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.common import record

NARROW = {"CC": "cc -mno-avx512f", "HCDCODEC_NATIVE": "avx2"}
"""What keeps a checkout that compiles its kernel itself, and one that does not, from AVX-512."""

SETTINGS: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "without AVX-512": NARROW,
    "without the kernel": {"HCDCODEC_NATIVE": "0"},
}


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, metavar="DIR", help="checkout to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--setting", action="append", choices=list(SETTINGS), help="default: all")
    given = record.parse(parser)
    rows = list(_commands(given))
    record.say(rows)
    record.write_csv(given.out / "checkouts.csv", rows)


def _commands(given: argparse.Namespace) -> Iterator[record.Row]:
    """Encode and decode a megapixel of photographs with the same weights."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source.png"
        Image.fromarray(_megapixel()).save(source)
        for setting in given.setting or SETTINGS:
            weights = str(given.other.resolve() / "weights")
            places = {"other": given.other.resolve(), "here": record.ROOT}
            spent: dict[str, list[dict[str, float]]] = {place: [] for place in places}
            for _ in range(given.rounds):
                for place, root in places.items():
                    spent[place].append(
                        _trip(root, source, folder / place, {"HCDCODEC_WEIGHTS": weights, **SETTINGS[setting]})
                    )
            for place, rows in spent.items():
                least = {name: min(row[name] for row in rows) for name in rows[0]}
                yield {"setting": setting, "checkout": place, **least}


def _trip(root: Path, source: Path, folder: Path, setting: Mapping[str, str]) -> dict[str, float]:
    """Return what encoding and decoding in a checkout take, and what comes out."""
    folder.mkdir(exist_ok=True)
    small, back = folder / "small.png", folder / "back.png"
    row: dict[str, float] = {}
    for command, files in {"encode": (source, small), "decode": (small, back)}.items():
        files[1].unlink(missing_ok=True)
        program = [sys.executable, "-c", "from hcdcodec.cli import main; main()", command, *map(str, files)]
        # Checkouts keep compiled modules, as installed packages do.
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "", **setting}
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(program, env=environment, cwd=folder, check=True)  # so that no other checkout is nearer
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        row[f"{command}_s"] = time.perf_counter() - begun
        row[f"{command}_cpu_s"] = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    error = np.square(np.asarray(Image.open(source), np.float64) - np.asarray(Image.open(back), np.float64)).mean()
    return {**row, "bytes": small.stat().st_size, "psnr_rgb": 10 * np.log10(255**2 / error)}


def _megapixel() -> npt.NDArray[np.uint8]:
    """Return four photographs of Kodak side by side, 1024x1024 of them."""
    folder = Path(os.environ.get("HCDCODEC_IMAGES", ".")) / "test" / "Kodak"
    found = (np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir()) if path.suffix == ".png")
    first = [pixels for pixels in found if pixels.shape == (512, 768, 3)][:4]
    whole = np.vstack([np.hstack(first[:2]), np.hstack(first[2:])])
    return np.ascontiguousarray(whole[:, 256:1280])


if __name__ == "__main__":
    main()
