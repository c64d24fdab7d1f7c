"""The command train: train a network on the pictures of a folder."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hcdcodec.cli import output
from hcdcodec.cli.arguments import Arguments
from hcdcodec.cli.groups import Examples, Group, option
from hcdcodec.cli.options import BACKBONE, DEVICE, FILE, PATH, PRECISION, SCALE, WEIGHTS_DIR, complete_start
from hcdcodec.errors import UsageError

if TYPE_CHECKING:
    from hcdcodec.pictures.picture import Levels
    from hcdcodec.training.gallery import Gallery
    from hcdcodec.training.run import Trained


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
    metavar="FILE|installed",
    type=FILE,
    shell_complete=complete_start,
    show_default=False,
    help="Weights to begin with: a file, or those that encode would use.  [default: none]",
)
@option(
    "--out",
    type=PATH,
    default=Path("trained"),
    metavar="DIR",
    help="Folder for the trained weights.",
)
@option("--val", multiple=True, metavar="DIR", type=FILE, help="Pictures to measure on, in their middles; repeatable.")
@option("--resume/--no-resume", default=True, help="Go on with what an interrupted call left in --out.")
@option("--licence", default="", metavar="TEXT", show_default=False, help="Licence of the weights, for the manifest.")
@SCALE
@DEVICE
@option(
    "--threads",
    type=click.IntRange(0, 1024),
    default=0,
    metavar="N",
    group=Group.MACHINE,
    help="Threads that compute on the CPU; 0: one for each core.",
)
@option("--compile", "compiled", is_flag=True, group=Group.MACHINE, help="Compile the network first; for GPUs.")
@option(
    "--recompute-from",
    type=click.IntRange(1),
    metavar="N",
    group=Group.MACHINE,
    help="From N pixels in a batch on, irn and hcflow compute some values twice to save memory.",
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

    With --start, existing weights are fine-tuned to these pictures. The result is a folder of weights, which encode
    and decode take by --weights-dir. If a call was interrupted, repeat it: it goes on where it stopped. If a name in
    --set is wrong, the message lists all names.
    """
    from hcdcodec.training.recipe import Recipe

    if given["weights_dir"] and given["start"] != "installed":
        raise UsageError("--weights-dir needs --start installed; add that option, or leave out --weights-dir")
    if given["exact"] and given["precision"] == "bfloat16":
        raise UsageError("--exact and --precision bfloat16 exclude each other; leave out one of them")
    # A wrong setting is refused here, before torch is loaded.
    recipe = Recipe(backbone, scale, minutes).with_settings(given["settings"])

    import torch

    from hcdcodec.cli.count_bar import CountBar
    from hcdcodec.engine.devices import Precision, find_device
    from hcdcodec.training import run
    from hcdcodec.training.gallery import read_gallery
    from hcdcodec.training.trainer import Machine

    torch.set_num_threads(given["threads"] or torch.get_num_threads())
    # Before pictures are read, which can take minutes.
    find_device(given["device"])
    start = run.read_start(given["start"] or "", recipe, given["weights_dir"])
    gallery = read_gallery(folders, recipe.patch, _watch)
    _say_left_out(gallery, "left out")
    validation = read_gallery(given["val"], run.SMALLEST, _watch) if given["val"] else None
    if validation:
        _say_left_out(validation, "left out of --val")
        if both := len(gallery.files & validation.files):
            output.say(f"in --val and trained on: {both} pictures, which say nothing about new ones; name others")
    precision = Precision("float32" if given["exact"] else given["precision"])
    machine = Machine(given["device"], given["compiled"], given["recompute_from"], precision)
    state = run.state_path(recipe, given["out"])
    with CountBar("training", minutes) as bar:
        trained = run.train(
            recipe,
            gallery,
            given["out"],
            bar.say,
            start=start,
            resumes=given["resume"],
            validation=validation,
            machine=machine,
            licence=given["licence"],
            reach=bar.reach,
        )
    if trained is None:
        return
    output.say(f"{trained.path}: {trained.entry.name} x{scale} {trained.entry.hash[:12]}, {trained.iterations} updates")
    output.say(f"{state} is no longer needed")
    output.say(_verdict(trained, f"use it with {_options(given['out'], backbone, scale)}"))


def _say_left_out(gallery: "Gallery", words: str) -> None:
    if gallery.small or gallery.unreadable:
        output.say(f"{words}: {gallery.small} too small, {gallery.unreadable} not readable")


def _watch(pictures: "Iterable[Levels | None]", count: int) -> "Iterator[Levels | None]":
    """Draw a bar while pictures are read."""
    from hcdcodec.cli.count_bar import CountBar

    with CountBar("reading", count) as bar:
        for picture in pictures:
            yield picture
            bar.advance()


def _options(out: Path, backbone: str, scale: int) -> str:
    """Return the options by which encode takes the weights."""
    words = ["--weights-dir", shlex.quote(str(out))]
    words += ["--backbone", backbone] if backbone != Arguments.backbone else []
    words += ["--scale", str(scale)] if scale != Arguments.scale else []
    return " ".join(words)


def _verdict(trained: "Trained", usage: str) -> str:
    """Return the last line: what was gained, and how to use it."""
    if trained.end_db is None:
        return f"not measured, since there is no --val; {usage}"
    if trained.start_db is None:
        return f"val {trained.end_db:.2f} dB; {usage}"
    gained = f"val {trained.start_db:.2f} -> {trained.end_db:.2f} dB"
    if round(trained.end_db, 2) <= round(trained.start_db, 2):
        return f"{gained}, no better than the start; keep the start, or train longer"
    return f"{gained}; {usage}"
