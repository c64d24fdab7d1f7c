"""The group models, and models import."""

import sys
from pathlib import Path

import click

from hcdcodec.cli import exits, output
from hcdcodec.cli.each_file import succeeds
from hcdcodec.cli.export_models import export_models
from hcdcodec.cli.groups import Examples, option
from hcdcodec.cli.models_list import list_models
from hcdcodec.cli.options import PATH
from hcdcodec.errors import UsageError


@click.group()
def models() -> None:
    """Show the networks, install weights, and copy them into archives.

    Weights that hcdcodec ships are never changed and never removed. Those that you train or import are yours to keep.
    """


models.add_command(list_models)
models.add_command(export_models)


@models.command(
    "import",
    cls=Examples,
    epilog="""
    hcdcodec models import IRN_x4.pth
    hcdcodec models import IRN_x4.pth --backbone irn --scale 4 --weights-dir weights/
    hcdcodec models import RRDB_PSNR_x4.pth --backbone sr
    """,
)
@click.argument("file", type=PATH, metavar="FILE")
@option("-b", "--backbone", type=click.Choice(["irn", "hcflow", "sr"]), help="Refuse a file for another network.")
@option("-s", "--scale", type=int, metavar="N", help="Refuse a file for another scale.")
@option(
    "--weights-dir",
    type=PATH,
    metavar="DIR",
    help="Install here.  [default: the user's data folder]",
)
def import_model(file: Path, backbone: str | None, scale: int | None, weights_dir: Path | None) -> None:
    """Install a checkpoint of IRN, HCFlow or an SR network.

    A checkpoint is a file of weights that others have published. FILE is an official checkpoint of IRN or HCFlow. With
    --backbone sr, it is one of a super-resolution (SR) network, .pth or .safetensors, that the package spandrel loads
    (pip install 'hcdcodec[sr]'). If you import several, encode takes the one that was imported last; '--backbone
    sr@HASH' names another one by the start of its hash.

    Such a file can hold code, which is never run. If you give --weights-dir, give the same folder to encode and
    decode, or set HCDCODEC_WEIGHTS to it.
    """
    from hcdcodec.networks.manifest import user_directory

    directory = weights_dir or user_directory()
    if directory is None:
        raise UsageError("there is no home directory to install into; name a folder with --weights-dir")

    from hcdcodec.cli.count_bar import CountBar
    from hcdcodec.networks.import_checkpoint import import_checkpoint

    def bring() -> None:
        with CountBar("reading, measuring and installing", None):
            made = import_checkpoint(file, directory, backbone=backbone, scale=scale)
        entry = made.entry
        network = f" ({entry.origin['network']})" if "network" in entry.origin else ""
        figures = ", ".join(f"{figure} {value:.2f} dB" for figure, value in entry.measured.items())
        z = f", so z {'normal' if entry.details_scale else 'zeros'}" if len(entry.measured) > 1 else ""
        output.write(
            f"{entry.name} x{entry.scale} {entry.hash[:12]} from {made.official or 'a file unknown to this release'}"
            f"{network}: {figures}{z}; {made.path}"
        )

    sys.exit(0 if succeeds(file, bring) else exits.FAILED)
