"""models and train: networks and their weights."""

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hcdcodec.cli import exits
from hcdcodec.cli.options import Examples, option

if TYPE_CHECKING:
    from hcdcodec.networks.weights import Entry


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec train photos/ --start installed --minutes 30 --val held-out/
    hcdcodec train photos/ --minutes 600 --device cuda --compile --set batch=32 --set patch=192
    """,
)
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@option("-s", "--scale", type=click.IntRange(2, 16), default=4, help="HR size / LR size.")
@option("-b", "--backbone", default="crn", help="Network, see 'hcdcodec models list'.")
@option("--minutes", type=float, required=True, help="Time box; the schedule is fitted to it.")
@click.option("--start", default="", metavar="FILE|installed", help="Weights to begin with.  [default: none]")
@option("--out", type=click.Path(path_type=Path), default=Path("trained"), help="Weights directory for the result.")
@option("--val", multiple=True, metavar="DIR", help="Pictures to measure on; their middles are used.")
@option("--resume/--no-resume", default=True, help="Go on with what an interrupted call left in --out.")
@option("--set", "settings", multiple=True, metavar="NAME=NUMBER", help="Change a number of the recipe.")
@click.option("--licence", default="", metavar="TEXT", help="Licence of the weights, for the manifest.")
@option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@option("--threads", type=click.IntRange(0), default=0, help="Threads that compute on the CPU; 0: one a core.")
@option("--exact", is_flag=True, help="Train in float32 even where bfloat16 is faster.")
@option("--compile", "compiled", is_flag=True, help="Compile the network first; meant for GPUs.")
@option("--recompute-from", type=click.IntRange(1), help="HR pixels a batch from which irn and hcflow save memory.")
@option("--weights-dir", type=click.Path(path_type=Path), help="Search this directory for weights first.")
def train(folders: tuple[str, ...], backbone: str, scale: int, minutes: float, **given: Any) -> None:
    """Train a network on the pictures in DIR..., or fine-tune it to them.

    The result is a weights directory for --weights-dir. A call that was interrupted goes on where it stopped when it is
    repeated. The numbers for --set are listed when a name is wrong.
    """
    from hcdcodec.training.recipe import Recipe

    recipe = Recipe(backbone, scale, minutes).with_settings(given["settings"])

    import torch

    from hcdcodec.training import run as train_room
    from hcdcodec.training.gallery import read_gallery

    torch.set_num_threads(given["threads"] or torch.get_num_threads())
    start = train_room.read_start(given["start"], recipe, given["weights_dir"])
    gallery = read_gallery(folders, recipe.patch)
    if gallery.small or gallery.unreadable:
        click.echo(f"left out: {gallery.small} too small, {gallery.unreadable} not readable", err=True)
    if not given["resume"]:
        train_room.state_path(recipe, given["out"]).unlink(missing_ok=True)
    trained = train_room.train(
        recipe,
        gallery,
        given["out"],
        partial(click.echo, err=True),
        start=start,
        validation=read_gallery(given["val"], train_room.SMALLEST) if given["val"] else None,
        machine=train_room.Machine(given["device"], given["exact"], given["compiled"], given["recompute_from"]),
        licence=given["licence"],
    )
    click.echo(f"{trained.path}: {trained.entry.name} x{scale} {trained.entry.hash[:12]}", err=True)


@click.group()
def models() -> None:
    """Show the networks, and install weights for them."""


@models.command("list")
@option("--weights-dir", type=click.Path(path_type=Path), help="Search this directory for weights first.")
@option("--json", "as_json", is_flag=True, help="Write one JSON object an entry.")
def list_models(weights_dir: Path | None, as_json: bool) -> None:
    """List the networks, and the weights that are installed for them."""
    from hcdcodec.networks.registry import FAMILIES
    from hcdcodec.networks.weights import installed

    entries = installed(weights_dir)
    if as_json:
        for path, entry in entries:
            click.echo(json.dumps({"path": str(path), **asdict(entry)}))
        return
    for name, family in FAMILIES.items():
        click.echo(f"{name:10} {family.about}")
        own = [(path, entry) for path, entry in entries if entry.name == name]
        for path, entry in sorted(own, key=lambda found: found[1].scale):
            click.echo(_entry_lines(path, entry), nl=False)
        for scale in sorted(set(family.scales) - {entry.scale for _, entry in own}):
            click.echo(f"  x{scale}  not installed; {family.remedy}")
        if family.has_weights and not family.scales and not own:
            click.echo(f"  none installed; {family.remedy}")


def _entry_lines(path: Path, entry: "Entry") -> str:
    """Return what `models list` says about installed weights."""
    z = f"normal of deviation {entry.details_scale:g}" if entry.details_scale else "zeros"
    title = f"  x{entry.scale}  {entry.hash[:12]}  {entry.parameters:,} parameters, z {z}, licence: {entry.licence}"
    network = [entry.origin["network"]] if "network" in entry.origin else []
    figures = (f"{figure}: {value}{'' if 'SSIM' in figure else ' dB'}" for figure, value in entry.measured.items())
    return "".join(f"{line}\n" for line in (title, *(f"      {line}" for line in (path, *network, *figures))))


@models.command(
    "import",
    cls=Examples,
    epilog="""
    hcdcodec models import IRN_x4.pth
    hcdcodec models import IRN_x4.pth --backbone irn --scale 4 --weights-dir weights/
    hcdcodec models import RRDB_PSNR_x4.pth --backbone sr
    """,
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@option("-b", "--backbone", type=click.Choice(["irn", "hcflow", "sr"]), help="Refuse a file for another network.")
@option("-s", "--scale", type=int, help="Refuse a file for another scale.")
@option("--weights-dir", type=click.Path(path_type=Path), help="Install here.  [default: the user's data directory]")
def import_model(file: Path, backbone: str | None, scale: int | None, weights_dir: Path | None) -> None:
    """Install an official checkpoint of IRN or HCFlow, or with --backbone sr one of a super-resolution network.

    SR networks are those that the package spandrel loads (pip install 'hcdcodec[sr]'), from .pth or .safetensors. Of
    several, encode takes the one imported last; '--backbone sr@HASH' names another by the start of its hash.

    None of the code that such a file can hold is run. With --weights-dir, name the same directory to encode and decode,
    or set HCDCODEC_WEIGHTS to it.
    """
    from hcdcodec.networks.import_checkpoint import import_checkpoint
    from hcdcodec.networks.weights import user_directory

    def bring(path: str) -> None:
        made = import_checkpoint(Path(path), weights_dir or user_directory(), backbone=backbone, scale=scale)
        entry = made.entry
        network = f" ({entry.origin['network']})" if "network" in entry.origin else ""
        figures = ", ".join(f"{figure} {value:.2f} dB" for figure, value in entry.measured.items())
        z = f", so z {'normal' if entry.details_scale else 'zeros'}" if len(entry.measured) > 1 else ""
        click.echo(
            f"{entry.name} x{entry.scale} {entry.hash[:12]} from {made.official or 'a file unknown to this release'}"
            f"{network}: {figures}{z}; {made.path}"
        )

    sys.exit(exits.each((str(file),), bring))
