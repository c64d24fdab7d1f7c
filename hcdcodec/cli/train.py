"""The command train: train a network on the pictures of a folder."""

from pathlib import Path
from typing import Any

import click

from hcdcodec.cli import output
from hcdcodec.cli.groups import Examples, Group, option
from hcdcodec.cli.options import BACKBONE, DEVICE, FILE, PRECISION, SCALE, WEIGHTS_DIR, complete_start


@click.command(
    cls=Examples,
    epilog="""
    hcdcodec train photos/ --start installed --minutes 30 --val held-out/
    hcdcodec train photos/ --minutes 600 --device cuda --compile --set batch=32 --set patch=192
    """,
)
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=FILE)
@option("--minutes", type=float, required=True, metavar="X", help="Time to train; the schedule is fitted to it.")
@option(
    "--start",
    default="",
    metavar="FILE|installed",
    shell_complete=complete_start,
    show_default=False,
    help="Weights to begin with.  [default: none]",
)
@option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("trained"),
    metavar="DIR",
    help="Weights directory for the result.",
)
@option("--val", multiple=True, metavar="DIR", type=FILE, help="Pictures to measure on; their middles are used.")
@option("--resume/--no-resume", default=True, help="Go on with what an interrupted call left in --out.")
@option("--licence", default="", metavar="TEXT", show_default=False, help="Licence of the weights, for the manifest.")
@SCALE
@DEVICE
@option(
    "--threads",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    group=Group.MACHINE,
    help="Threads that compute on the CPU; 0: one a core.",
)
@option("--compile", "compiled", is_flag=True, group=Group.MACHINE, help="Compile the network first; for GPUs.")
@option(
    "--recompute-from",
    type=click.IntRange(1),
    metavar="N",
    group=Group.MACHINE,
    help="Pixels a batch from which irn and hcflow compute twice to save memory.",
)
@WEIGHTS_DIR
@BACKBONE
@option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=NUMBER",
    group=Group.RESEARCH,
    help="Change a number of the recipe; repeatable.",
)
@PRECISION
@option("--exact", is_flag=True, group=Group.RESEARCH, help="The same as --precision float32.")
def train(folders: tuple[str, ...], backbone: str, scale: int, minutes: float, **given: Any) -> None:
    """Train a network on the pictures in DIR.

    With --start, it is fine-tuned to them.
    The result is a weights directory for --weights-dir. A call that was interrupted goes on where it stopped when it is
    repeated. The numbers for --set are listed when a name is wrong.
    """
    from hcdcodec.training.recipe import Recipe

    # A wrong setting is refused here, before torch is loaded.
    recipe = Recipe(backbone, scale, minutes).with_settings(given["settings"])

    import torch

    from hcdcodec.engine.devices import Precision
    from hcdcodec.training import run
    from hcdcodec.training.gallery import read_gallery
    from hcdcodec.training.trainer import Machine

    torch.set_num_threads(given["threads"] or torch.get_num_threads())
    start = run.read_start(given["start"], recipe, given["weights_dir"])
    gallery = read_gallery(folders, recipe.patch)
    if gallery.small or gallery.unreadable:
        output.say(f"left out: {gallery.small} too small, {gallery.unreadable} not readable")
    if not given["resume"]:
        run.state_path(recipe, given["out"]).unlink(missing_ok=True)
    trained = run.train(
        recipe,
        gallery,
        given["out"],
        output.say,
        start=start,
        validation=read_gallery(given["val"], run.SMALLEST) if given["val"] else None,
        machine=Machine(
            given["device"],
            given["exact"],
            given["compiled"],
            given["recompute_from"],
            Precision(given["precision"]),
        ),
        licence=given["licence"],
    )
    output.say(f"{trained.path}: {trained.entry.name} x{scale} {trained.entry.hash[:12]}")
