"""models list: the networks, one a line; with -v all that is known about them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from hcdcodec.cli import output
from hcdcodec.cli.arguments import Arguments
from hcdcodec.cli.groups import option
from hcdcodec.cli.options import WEIGHTS_DIR
from hcdcodec.files.find import is_file
from hcdcodec.files.names import printable
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.families import FAMILIES, Family

Found = tuple[Path, Entry]

PSNR, SECONDS = (f"photos middles of 256/{measure}/defaults" for measure in ("PSNR-RGB", "seconds a megapixel"))
"""The figures that columns compare, since all shipped weights have them; benchmarks/speed/models.py measures them."""

_HEADS = ("network", "weights", "s/MP", "dB", "")
_LOST = "but its file is missing"
_NOTE = """\
s/MP: seconds to encode a megapixel with the defaults, on two CPU cores with AVX2
dB: PSNR-RGB of the middles of the photographs in tests/data, where no other set is named
-v: all about each network, and how to install more"""


@click.command("list")
@option("-v", "--verbose", is_flag=True, help="Say all that is known about each network.")
@option("--json", "as_json", is_flag=True, help="Write one JSON object for each entry.")
@WEIGHTS_DIR
def list_models(weights_dir: Path | None, as_json: bool, verbose: bool) -> None:
    """List the networks and the weights that are installed."""
    from hcdcodec.networks.manifest import installed
    from hcdcodec.networks.native.library import manner

    entries = installed(weights_dir)
    if as_json:
        for path, entry in entries:
            output.write(json.dumps({"path": str(path), **asdict(entry)}))
        return
    for line in _chapters(entries) if verbose else _table(entries):
        output.write(line)
    output.write(f"on a CPU: {manner()}")


def _listed(entries: Sequence[Found]) -> Iterator[tuple[str, Family, list[Found]]]:
    """Yield the name, the family and the installed weights of each network that is listed, by scale."""
    for name, family in FAMILIES.items():
        own = sorted((found for found in entries if found[1].name == name), key=lambda found: found[1].scale)
        if family.is_listed or own:
            yield name, family, own


def _table(entries: Sequence[Found]) -> Iterator[str]:
    rows = [_HEADS, *(row for name, family, own in _listed(entries) for row in _rows(name, family, own))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS) - 1)]
    for name, weights, seconds, figure, state in rows:
        cells = (name.ljust(widths[0]), weights.ljust(widths[1]), seconds.rjust(widths[2]), figure.rjust(widths[3]))
        yield printable("  ".join([*cells, state]).rstrip())
    yield _NOTE


def _rows(name: str, family: Family, own: Sequence[Found]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each installed file, and one for each scale without any."""
    taken = set[int]()
    for path, entry in own:
        state = _state(entry, is_taken=entry.scale not in taken)
        yield (
            f"{name} x{entry.scale}",
            entry.hash[:12],
            f"{entry.measured[SECONDS]:.3g}" if SECONDS in entry.measured else "",
            _figure(entry),
            state if is_file(path) else f"{state}, {_LOST}",
        )
        taken.add(entry.scale)
    for scale in sorted(set(family.scales) - taken):
        yield f"{name} x{scale}", "", "", "", "not installed"
    if not (family.scales or own):
        yield name, "", "", "", "none installed" if family.has_weights else "needs no weights"


def _state(entry: Entry, *, is_taken: bool) -> str:
    """Return what is to be known about installed weights.

    Args:
        entry: of the weights.
        is_taken: whether encode takes them, unless their hash is named.
    """
    is_default = is_taken and (entry.name, entry.scale) == (Arguments.backbone, Arguments.scale)
    state = ("default" if is_default else "installed") if is_taken else f"-b {entry.name}@{entry.hash[:4]} takes it"
    return ", ".join([state, *_remarks(entry)])


def _remarks(entry: Entry) -> list[str]:
    network = [entry.origin["network"]] if "network" in entry.origin else []
    return [*network, *(["experimental"] if entry.experimental else [])]


def _figure(entry: Entry) -> str:
    """Return the PSNR in dB to compare weights by; with the name of its set where that is another one."""
    if PSNR in entry.measured:
        return f"{entry.measured[PSNR]:.2f}"
    figures = [
        (value, figure.partition("/")[0])
        for figure, value in entry.measured.items()
        if figure.lower().split("/")[1:2] in (["psnr"], ["psnr-y"], ["psnr-rgb"])
    ]
    return "{1} {0:.2f}".format(*max(figures)) if figures else ""


def _chapters(entries: Sequence[Found]) -> Iterator[str]:
    for name, family, own in _listed(entries):
        yield f"{name:10} {family.about}"
        for path, entry in own:
            yield _chapter(path, entry)
        for scale in sorted(set(family.scales) - {entry.scale for _, entry in own}):
            yield f"  x{scale}  not installed; {family.remedy}"
        if family.has_weights and not family.scales and not own:
            yield f"  none installed; {family.remedy}"


def _chapter(path: Path, entry: Entry) -> str:
    """Return all about installed weights."""
    z = f"normal of deviation {entry.details_scale:g}" if entry.details_scale else "zeros"
    title = f"  x{entry.scale}  {entry.hash[:12]}  {entry.parameters:,} parameters, z {z}, licence: {entry.licence}"
    figures = (f"{figure}: {value}{_unit(figure)}" for figure, value in entry.measured.items())
    place = str(path) if is_file(path) else f"{path}, {_LOST}"
    lines = (title, *(f"      {line}" for line in (place, *_remarks(entry), *figures)))
    return "".join(f"{printable(line)}\n" for line in lines)


def _unit(figure: str) -> str:
    """Return the unit of a measured value, with a space before it."""
    if "SSIM" in figure:
        return ""
    return " s" if "seconds" in figure else " dB"
