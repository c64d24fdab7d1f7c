"""Import official checkpoints: read a file, build its network, measure it, and install the weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hcdcodec.errors import ModelError
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.checkpoints import Checkpoint, read_checkpoint
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.noise import draw_details
from hcdcodec.networks.reference_chart import chart
from hcdcodec.networks.registry import assemble
from hcdcodec.networks.sr import read_sr_checkpoint
from hcdcodec.networks.weights import install, model_hash
from hcdcodec.pictures.metrics import EXACT_DB, decibels
from hcdcodec.tiles import Rect

PLAIN, ZEROS, NORMAL = "chart/PSNR", "chart/PSNR/z zeros", "chart/PSNR/z normal"
"""Names of the measured values in a manifest: the first one, or the other two for networks that take z."""


@dataclass(frozen=True)
class Imported:
    """The result of an import.

    Attributes:
        entry: the new entry in the manifest.
        path: path of the written weights.
        official: name of the official file; empty if the file is not known.
    """

    entry: Entry
    path: Path
    official: str


def import_checkpoint(
    file: Path, directory: Path, *, backbone: str | None = None, scale: int | None = None
) -> Imported:
    """Install an official checkpoint, or one of a super-resolution network.

    Args:
        file: official `.pth` file of IRN or HCFlow; for the backbone "sr", any file that spandrel can load.
        directory: weights directory; it is made if it is missing.
        backbone: backbone that the file must be for; None = IRN or HCFlow, whichever it is. "sr" must be named.
        scale: scale that the file must be for; None = any.

    Raises:
        ModelError: the file cannot be read, holds more than tensors, or is for another network.
        OutputError: the directory cannot be written.
    """
    found = read_sr_checkpoint(file) if backbone == "sr" else read_checkpoint(file)
    if backbone not in (None, found.backbone) or scale not in (None, found.scale):
        asked = f"{backbone or found.backbone} x{scale or found.scale}"
        raise ModelError(
            f"holds {found.backbone} x{found.scale}, not {asked}; correct --backbone and --scale, or leave them out"
        )
    network = assemble(found.backbone, found.scale, found.tensors)
    entry = _describe(found, file, _measure(network.eval().requires_grad_(False)))
    return Imported(entry, install(found.tensors, entry, directory), found.official)


def chart_psnr(network: Backbone, *choices: Sequence[torch.Tensor]) -> list[float]:
    """Return the PSNR-RGB in dB of the test chart after downscaling, rounding to 8 bits and upscaling.

    Args:
        network: a frozen network on the CPU.
        choices: details z for the chart's LR; each gives one PSNR. Empty means zeros.
    """
    # Not every scale divides the chart's sides.
    rows, columns = (size // network.scale * network.scale for size in chart().shape[:2])
    hr = torch.from_numpy(chart()[:rows, :columns]).permute(2, 0, 1)[None].float().div_(255)
    with torch.inference_mode():
        lr = network.downscale(hr).clamp(0, 1).mul(255).round().div(255)
        made = [network.upscale(lr, details).clamp(0, 1) for details in choices]
    differences = (picture.mul(255).round() - hr.mul(255).round() for picture in made)
    # An exact copy has an infinite PSNR, which JSON cannot hold.
    return [decibels(float(apart.square().mean(dtype=torch.float64)), EXACT_DB) for apart in differences]


def _measure(network: Backbone) -> dict[str, float]:
    """Return the PSNR on the chart, for a network with z once for each rule.

    Raises:
        ModelError: the output is not finite, differs from call to call, or gives no gradient.
    """
    height, width = (size // network.scale for size in chart().shape[:2])
    normal = draw_details(network.details, Rect(0, 0, height, width))
    figures = dict(zip((ZEROS, NORMAL), chart_psnr(network, (), normal), strict=True))
    # Without z, the two runs had the same input.
    if not network.details:
        plain, again = figures.values()
        if plain != again:
            raise ModelError("makes another picture each time, so no file could be decoded; import another network")
        figures = {PLAIN: plain}
    _check_gradient(network, torch.full((1, 3, height, width), 0.5))
    return {name: round(value, 3) for name, value in figures.items()}


def _check_gradient(network: Backbone, lr: torch.Tensor) -> None:
    """Raise `ModelError` unless `upscale` gives a gradient. Networks that write in place can fail here."""
    try:
        torch.autograd.grad(network.upscale(lr.requires_grad_()).sum(), lr)
    except RuntimeError as error:
        raise ModelError("lets no gradient through, so that no LR can be searched; import another network") from error


def _describe(found: Checkpoint, file: Path, measured: dict[str, float]) -> Entry:
    """Return the manifest entry. The decoder gets random z if that is better than zeros on the chart."""
    digest = model_hash(found.tensors)
    origin = {"imported from": found.official or f"{file.name}, which is no file known to this release"}
    return Entry(
        name=found.backbone,
        scale=found.scale,
        # With the hash in the name, other weights of this network stay installed, and their files stay decodable.
        file=f"{found.backbone}_x{found.scale}_{digest[:12]}.safetensors",
        hash=digest,
        parameters=sum(values.numel() for values in found.tensors.values()),
        details_scale=1.0 if NORMAL in measured and measured[NORMAL] > measured[ZEROS] else 0.0,
        licence="its publisher's",
        origin=origin | ({"network": found.network} if found.network else {}),
        measured=measured,
    )
