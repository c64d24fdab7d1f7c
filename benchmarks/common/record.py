"""What benchmarks leave behind: tables, counts and plots that say which command and which versions made them."""

import argparse
import csv
import importlib.metadata
import io
import json
import math
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("hcdcodec", "torch", "numpy", "pillow", "pyoxipng", "pillow-jxl-plugin")

Row = Mapping[str, str | int | float | None]

NETWORKS: list[str] = []
"""Name, scale and hash of each network that was loaded so far; whoever loads one adds it."""

mpl.use("Agg")
# Without these the same figures would give another file every time.
mpl.rcParams["svg.hashsalt"] = "hcdcodec"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where results go."""
    usual = RESULTS / _script().parent.name
    parser.add_argument("--out", type=Path, default=usual, metavar="DIR", help=f"default: {usual.relative_to(ROOT)}")


def parse(parser: argparse.ArgumentParser, *modules: ModuleType) -> argparse.Namespace:
    """Parse the command line of a script, which has the options of these modules and of this one, too."""
    for module in modules:
        module.add_options(parser)
    add_options(parser)
    return parser.parse_args()


def provenance() -> list[str]:
    """Return lines that let somebody else repeat the run; where results were put does not matter to them."""
    where = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_options(where)
    arguments = where.parse_known_args()[1]
    module = ".".join(_script().relative_to(ROOT).with_suffix("").parts)
    command = f"python -m {module} {shlex.join(arguments)}".rstrip()
    networks = [f"networks: {', '.join(NETWORKS)}"] if NETWORKS else []
    return [f"command: {command}", f"versions: {_versions()}", f"machine: {_machine()}", *networks]


def write_csv(path: Path, rows: Sequence[Row], remarks: Sequence[str] = ()) -> None:
    """Write rows with the union of their columns, below comments with the provenance and `remarks`."""
    buffer = io.StringIO()
    for line in (*provenance(), *remarks):
        buffer.write(f"# {line}\n")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _written(value) for name, value in row.items()} for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(buffer.getvalue(), encoding="utf-8")
    print(f"-> {path.name}")


def write_json(path: Path, result: Mapping[str, object], remarks: Sequence[str] = ()) -> None:
    """Write and print a result, below its provenance and `remarks`."""
    text = json.dumps({"provenance": [*provenance(), *remarks], **result}, indent=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    print(text)


def write_plot(path: Path, draw: Callable[[Any], None], title: str) -> None:
    """Write one diagram as SVG, its provenance below it.

    Args:
        path: ends in .svg.
        draw: fills matplotlib axes.
        title: above the diagram.
    """
    figure, axes = plt.subplots(figsize=(8, 6))
    draw(axes)
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    figure.text(0.01, 0.01, "\n".join(provenance()[:2]), fontsize=5, color="grey")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    print(f"-> {path.name}")


def say(rows: Sequence[Row]) -> None:
    """Print rows as a table."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([str(_written(row.get(name))) for name in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _written(value: str | float | None) -> str | int | float:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return round(value, 4) if isinstance(value, float) else value


def _script() -> Path:
    """Return the path of the script that runs; `python -m` puts it first among the arguments."""
    return Path(sys.argv[0]).resolve()


def _versions() -> str:
    found = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def _machine() -> str:
    cpu = f"{torch.get_num_threads()} CPU threads, {torch.backends.cpu.get_cpu_capability()}"
    bf16 = ", bf16" if torch.cpu._is_avx512_bf16_supported() else ""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return cpu + bf16 + gpu
