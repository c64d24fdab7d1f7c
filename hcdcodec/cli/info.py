"""The commands info and verify, which only read files."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from hcdcodec.cli import output
from hcdcodec.cli.each_file import do_each
from hcdcodec.cli.groups import Examples, option
from hcdcodec.cli.options import FILE, MAX_PIXELS, WEIGHTS_DIR
from hcdcodec.files.names import printable


@click.command(cls=Examples, epilog="hcdcodec info small/photo.jpg.hcd.png\nhcdcodec info --json small/*.hcd.png")
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", type=FILE)
@option("--json", "as_json", is_flag=True, help="Write one JSON object a file.")
def info(paths: tuple[str, ...], as_json: bool) -> None:
    """Show what files say about themselves, without decoding them."""
    from hcdcodec.files import disk
    from hcdcodec.format import container

    def show(path: str) -> None:
        data = disk.read(Path(path))
        fields = {
            "file": path,
            "bytes": len(data),
            "container": container.container_of(data),
            **_make_readable(asdict(container.peek(data))),
        }
        if as_json:
            output.write(json.dumps(fields))
        else:
            output.write("\n".join(f"{name:16} {printable(str(value))}" for name, value in fields.items()) + "\n")

    sys.exit(do_each(paths, show))


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec verify small/*.hcd.png
    hcdcodec status photos/ small/ && hcdcodec verify -q small/*.hcd.png
    """,
)
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", type=FILE)
@option("-q", "--quiet", is_flag=True, help="Say failures only.")
@MAX_PIXELS
@WEIGHTS_DIR
def verify(paths: tuple[str, ...], weights_dir: Path | None, quiet: bool, max_pixels: int) -> None:
    """Check that files are intact and can be decoded.

    A file can be decoded if nobody has edited its pixels, and if the weights that it needs are installed.
    """
    from hcdcodec.codec.engines import Engines
    from hcdcodec.files import disk
    from hcdcodec.format import container
    from hcdcodec.format.geometry import check_geometry

    engines = Engines("cpu", weights_dir)

    def check(path: str) -> None:
        packed = container.unpack(disk.read(Path(path), limit=disk.most_bytes(max_pixels)), max_pixels=max_pixels)
        backbone = engines.get(packed.header).backbone
        height, width = packed.lr.shape[:2]
        check_geometry(packed.header, height, width, multiple=backbone.multiple, halo_px=backbone.halo_px)
        if not quiet:
            header = packed.header
            output.write(
                f"{printable(path)}: intact, {header.width}x{header.height}, {header.backbone} x{header.scale}"
            )

    sys.exit(do_each(paths, check))


def _make_readable(fields: dict[str, Any]) -> dict[str, Any]:
    """Return header fields in a form that people and JSON can read."""
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
