"""Official checkpoints become installed weights: read, filled in strictly, measured, written down."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hcdcodec.errors import ModelError
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.checkpoints import Checkpoint, read_checkpoint
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.noise import DetailsRule, draw_details
from hcdcodec.networks.reference_chart import chart
from hcdcodec.networks.registry import assemble
from hcdcodec.networks.sr import read_sr_checkpoint
from hcdcodec.networks.weights import install, model_hash
from hcdcodec.pictures.metrics import decibels
from hcdcodec.tiles import Rect

PLAIN, ZEROS, NORMAL = "chart/PSNR", "chart/PSNR/z zeros", "chart/PSNR/z normal"
"""Names of the figures that are measured, in a manifest: the first, or the others for networks that take z."""

_EXACT_DB = 100.0


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        entry: as it stands in the manifest now.
        path: the written weights.
        official: which file the checkpoint is; empty if that is not known.
    """

    entry: Entry
    path: Path
    official: str


def import_checkpoint(
    file: Path, directory: Path, *, backbone: str | None = None, scale: int | None = None
) -> Imported:
    """Install an official checkpoint, or one of a super-resolution network.

    Args:
        file: official `.pth` file of IRN or HCFlow; for the backbone "sr", any file that spandrel makes sense of.
        directory: weights directory; it is made where it is missing.
        backbone: what the file must be for; None = whatever it is for, but "sr", which has to be named.
        scale: HR size / LR size that it must be for; likewise.

    Raises:
        ModelError: the file cannot be read, holds more than tensors, or is for another network.
        OutputError: the directory cannot be written.
    """
    found = read_sr_checkpoint(file) if backbone == "sr" else read_checkpoint(file)
    if backbone not in (None, found.backbone) or scale not in (None, found.scale):
        asked = f"{backbone or found.backbone} x{scale or found.scale}"
        raise ModelError(f"holds {found.backbone} x{found.scale}, not {asked}; name what it holds, or nothing")
    network = assemble(found.backbone, found.scale, found.tensors)
    entry = _describe(found, file, _measure(network.eval().requires_grad_(False)))
    return Imported(entry, install(found.tensors, entry, directory), found.official)


def chart_psnr(network: Backbone, *choices: Sequence[torch.Tensor]) -> list[float]:
    """Return PSNRs in dB of the chart after downscaling, rounding to 8 bits and upscaling: RGB, in 8 bits.

    Args:
        network: ready to use, on the CPU.
        choices: details z for the chart's LR, one PSNR each; empty means zeros.
    """
    hr = torch.from_numpy(chart()).permute(2, 0, 1)[None].float().div_(255)
    with torch.inference_mode():
        lr = network.downscale(hr).clamp(0, 1).mul(255).round().div(255)
        made = [network.upscale(lr, details).clamp(0, 1) for details in choices]
    return [_psnr(picture.mul(255).round() - hr.mul(255).round()) for picture in made]


def _psnr(difference: torch.Tensor) -> float:
    """Return the PSNR in dB of a difference in levels; nan where it is not finite."""
    error = float(difference.square().mean(dtype=torch.float64))
    # An exact copy has no finite figure, and manifests are JSON.
    return decibels(error, _EXACT_DB) if math.isfinite(error) else math.nan


def _measure(network: Backbone) -> dict[str, float]:
    """Return the PSNR on the chart with each rule for z, where the network takes any.

    Raises:
        ModelError: the network makes no picture at all, or another one each time, or cannot be searched through.
    """
    height, width = (size // network.scale for size in chart().shape[:2])
    normal = draw_details(network.details, Rect(0, 0, height, width), rule=DetailsRule.NORMAL)
    figures = dict(zip((ZEROS, NORMAL), chart_psnr(network, (), normal), strict=True))
    if not all(map(math.isfinite, figures.values())):
        raise ModelError("makes no finite picture of the test chart; import an official .pth file")
    if not network.details:
        plain, again = figures.values()
        if plain != again:
            raise ModelError("makes another picture each time, so no file could be decoded; import another network")
        figures = {PLAIN: plain}
    _check_gradient(network, torch.full((1, 3, height, width), 0.5))
    return {name: round(value, 3) for name, value in figures.items()}


def _check_gradient(network: Backbone, lr: torch.Tensor) -> None:
    """Raise `ModelError` unless a gradient comes back through `upscale`: some networks work in place."""
    try:
        torch.autograd.grad(network.upscale(lr.requires_grad_()).sum(), lr)
    except RuntimeError as error:
        raise ModelError("lets no gradient through, so that no LR can be searched; import another network") from error


def _describe(found: Checkpoint, file: Path, measured: dict[str, float]) -> Entry:
    """Return the manifest entry; z is drawn where that is better than zeros."""
    digest = model_hash(found.tensors)
    origin = {"imported from": found.official or f"{file.name}, which is no file known to this release"}
    return Entry(
        name=found.backbone,
        scale=found.scale,
        # Files that were encoded with other weights of this network must stay decodable.
        file=f"{found.backbone}_x{found.scale}_{digest[:12]}.safetensors",
        hash=digest,
        parameters=sum(values.numel() for values in found.tensors.values()),
        details_scale=1.0 if NORMAL in measured and measured[NORMAL] > measured[ZEROS] else 0.0,
        licence="its publisher's",
        origin=origin | ({"network": found.network} if found.network else {}),
        measured=measured,
    )
