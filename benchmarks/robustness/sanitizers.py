"""The kernel under sanitizers: random calls, in builds that notice bad addresses, undefined behaviour and races.

    python -m benchmarks.robustness.sanitizers                       all kinds
    python -m benchmarks.robustness.sanitizers --calls 1000 --seed 5 longer, other shapes

Needs a C compiler with its sanitizers (gcc or clang). Each level that the processor has is called with shapes,
channels, threads and options by chance, and what several threads compute must be what one computes.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.common import record
from hcdcodec.networks.native.build import FLAGS, HERE, LEVELS

DRIVER = Path(__file__).with_suffix(".c")

KINDS = {
    "addresses and undefined behaviour": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "races": ("-fsanitize=thread",),
}


def main() -> None:
    """Build and run all kinds; leave with 1 if any of them found something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200, help="of each level and float type")
    parser.add_argument("--seed", type=int, default=0)
    given = record.parse(parser)
    rows = [_row(kind, flags, given.calls, given.seed) for kind, flags in KINDS.items()]
    record.say(rows)
    record.write_csv(given.out / "sanitizers.csv", rows)
    if any(row["found"] for row in rows):
        raise SystemExit(1)


def _row(kind: str, flags: tuple[str, ...], calls: int, seed: int) -> record.Row:
    with tempfile.TemporaryDirectory() as folder:
        program = _build(Path(folder), (*FLAGS, "-O1", "-g", *flags))
        begun = time.perf_counter()
        ended = subprocess.run([str(program), str(calls), str(seed)], capture_output=True, text=True, check=False)
    levels = " ".join(ended.stdout.split())
    if ended.returncode:
        print(ended.stdout, ended.stderr)
    seconds = time.perf_counter() - begun
    return {"kind": kind, "levels": levels, "calls": calls, "found": int(ended.returncode != 0), "seconds": seconds}


def _build(folder: Path, flags: tuple[str, ...]) -> Path:
    """Compile the kernel's sources and the driver; return the program."""
    sources: dict[str, tuple[Path, tuple[str, ...]]] = {
        "capability": (HERE / "capability.c", ()),
        "driver": (DRIVER, ()),
    }
    sources |= {level: (HERE / "winograd.c", (f"-DLEVEL={level}", *own)) for level, own in LEVELS.items()}
    for name, (source, own) in sources.items():
        command = ["cc", *flags, *own, f"-I{HERE}", "-c", str(source), "-o", str(folder / f"{name}.o")]
        subprocess.run(command, check=True)
    program = folder / "driver"
    subprocess.run(["cc", *flags, *(str(folder / f"{name}.o") for name in sources), "-o", str(program)], check=True)
    return program


if __name__ == "__main__":
    main()
