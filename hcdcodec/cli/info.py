"""info: what small files say about themselves."""

import json
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.cli import exits, output
from hcdcodec.cli.each_file import outcomes_of, plan_files
from hcdcodec.cli.groups import Examples, option
from hcdcodec.cli.options import SMALL_FILES, WEIGHTS_DIR
from hcdcodec.cli.report import failure_members, message, name_members
from hcdcodec.errors import ModelError, UsageError
from hcdcodec.files.find import is_file
from hcdcodec.files.job import Job
from hcdcodec.files.names import printable
from hcdcodec.files.sizes import format_bytes

if TYPE_CHECKING:
    from hcdcodec.format.container import Description
    from hcdcodec.format.header import Header
    from hcdcodec.networks.archive import ArchiveWeights

_CAPITALS = ("exif", "icc", "xmp")


class _Weights(StrEnum):
    """Where the weights are that a file needs."""

    INSTALLED = "installed"
    ARCHIVED = "in the archive"
    MISSING = "not installed"


@dataclass
class _Sums:
    """Sums over the files that could be read, and the numbers of the others."""

    files: int = 0
    failed: int = 0
    ignored: int = 0
    bytes: int = 0
    pixels: int = 0
    source_bytes: int = 0
    sourceless: int = 0
    """Files that were made from pixels in memory."""

    def add(self, size: int, header: "Header") -> None:
        self.files += 1
        self.bytes += size
        self.pixels += header.pixel_count
        self.source_bytes += header.source_size
        self.sourceless += not header.source_size

    def line(self) -> str:
        size = _size(self.bytes, self.pixels, 0 if self.sourceless else self.source_bytes, "their sources")
        others = {"failed": self.failed, "ignored": self.ignored}
        counts = [f"{count} {what}" for what, count in others.items() if count]
        return ", ".join([f"{self.files} small file{'s' * (self.files != 1)}", size, *counts])


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec info small/photo.jpg.hcd.png
    hcdcodec info small/
    hcdcodec info --json small/ | jq .quality
    """,
)
@SMALL_FILES
@option("-v", "--verbose", is_flag=True, help="Show all fields of the header, each on a line.")
@option("--json", "as_json", is_flag=True, help="Write one JSON object for each file, with all fields.")
@WEIGHTS_DIR
def info(
    paths: tuple[str, ...], files_from: str | None, null: bool, verbose: bool, as_json: bool, weights_dir: Path | None
) -> None:
    """Show what small files say about themselves.

    No file is decoded. A folder is searched for *.hcd.png, *.hcd.webp and *.hcd.jxl. The line of a file has the size of
    the picture in pixels, the size of the LR (the small picture that is stored), the bytes, the quality, the network,
    and what metadata there is.
    """
    plan = plan_files(paths, files_from, null=null)

    from hcdcodec.files import disk
    from hcdcodec.format import container

    sums = _Sums()
    is_installed, archives = cache(partial(_is_installed, weights_dir)), cache(_archives)

    def show(job: Job) -> Outcome:
        data = disk.read(Path(job.name))
        found = container.describe(data)
        needs = found.header.backbone, found.header.scale, found.header.model_hash.hex()
        weights = _Weights.INSTALLED if is_installed(*needs) else _weights_beside(job, found.header, archives())
        if as_json or verbose:
            places = {"installed": weights is _Weights.INSTALLED, "in_archive": weights is _Weights.ARCHIVED}
            fields = {"bytes": len(data), **_fields(found), **places}
            name = name_members("file", job.name) if as_json else {"file": job.name}
            output.write((json.dumps if as_json else _listing)({**name, **fields}))
        else:
            output.write(f"{printable(job.name)}: {_line(len(data), found, weights)}")
        sums.add(len(data), found.header)
        return Outcome(name=job.name, status=Status.DONE)

    for outcome in outcomes_of(plan, show):
        if outcome.status is Status.FAILED:
            sums.failed += 1
            output.fail(message(outcome.name, outcome.message))
            if as_json:
                output.write(json.dumps(failure_members("file", outcome.name, outcome.message)))
        sums.ignored += outcome.status is Status.IGNORED
    if sums.files + sums.failed > 1 and not as_json and (verbose or output.wants_summary(sys.stderr)):
        output.say(sums.line())
    sys.exit(exits.FAILED if sums.failed else 0)


def _is_installed(weights_dir: Path | None, backbone: str, scale: int, model_hash: str) -> bool:
    """Tell whether the network that a file needs is here. This needs no torch: the manifest has the hash."""
    from hcdcodec.networks.manifest import NO_WEIGHTS, find, identify

    try:
        network = identify(f"{backbone}@{model_hash}", scale, weights_dir)
        # A manifest may name a file that a user has removed.
        return network.hash == NO_WEIGHTS or is_file(find(backbone, scale, model_hash, weights_dir)[0])
    except (ModelError, UsageError):  # UsageError: this release does not know the network
        return False


def _archives() -> "ArchiveWeights":
    """Return what reads the weights of archives. It imports torch, so it is made only where weights are missing."""
    from hcdcodec.networks.archive import ArchiveWeights

    return ArchiveWeights()


def _weights_beside(job: Job, header: "Header", archives: "ArchiveWeights") -> _Weights:
    """Tell whether weights that are not installed come with the archive."""
    from hcdcodec.networks.archive import folders_of

    found = archives.has(header.backbone, header.model_hash.hex(), folders_of(job))
    return _Weights.ARCHIVED if found else _Weights.MISSING


def _fields(found: "Description") -> dict[str, Any]:
    """Return all fields in a form that people and JSON can read."""
    header = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(found.header).items()}
    lr = {"lr_height": found.lr_height, "lr_width": found.lr_width}
    return {"container": found.container, **header, **lr, "metadata": found.metadata.kinds}


def _listing(fields: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    return "\n".join(f"{name:16} {printable(text(value))}" for name, value in fields.items()) + "\n"


def _line(size: int, found: "Description", weights: _Weights) -> str:
    """Return the line about one file, without its name."""
    header = found.header
    alpha = " with alpha" if header.alpha_rule else ""
    parts = [
        f"{header.width}x{header.height} {'RGB' if header.mode else 'grey'}{alpha}",
        f"LR {found.lr_width}x{found.lr_height}",
        _size(size, header.pixel_count, header.source_size, "its source"),
        *([f"quality {header.quality}"] if header.quality else []),
        _network(header, weights),
        *(kind.upper() if kind in _CAPITALS else str(kind) for kind in found.metadata.kinds),
    ]
    return ", ".join(parts)


def _network(header: "Header", weights: _Weights) -> str:
    from hcdcodec.networks.manifest import NO_WEIGHTS

    name, digest = f"{header.backbone} x{header.scale}", header.model_hash.hex()
    if NO_WEIGHTS.startswith(digest):
        return f"{name} (needs no weights)"
    return f"{name} {digest[:12]} ({weights})"


def _size(size: int, pixels: int, source_bytes: int, of: str) -> str:
    """Return bytes, bits per pixel and the share of the source, which is left out where its size is not known."""
    notes = [f"{8 * size / pixels:.3f} bpp"] if pixels else []
    notes += [f"{100 * size / source_bytes:.0f} % of {of}"] if source_bytes else []
    return format_bytes(size) + (f" ({', '.join(notes)})" if notes else "")
