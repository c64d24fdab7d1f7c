"""Super-resolution networks as decoders: bicubic downwards, upwards whatever network spandrel makes of the tensors.

spandrel tells architecture and sizes from the names and shapes of a checkpoint's tensors, so these are all that is
stored, under the names that they came with. The networks were trained for bicubic LRs: searching the LR tests the
paper's claim that the search helps any decoder.

Source: github.com/chaiNNer-org/spandrel.
"""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from hcdcodec.errors import ModelError
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.networks.checkpoints import Checkpoint, read_tensors
from hcdcodec.networks.invertible_blocks import RECOMPUTE_FROM_PX, recomputed

SCALES = range(2, 17)


class Sr(Backbone):
    """A single-image super-resolution network behind bicubic downscaling.

    Pictures pass one by one, as spandrel asks for. What is too small for the network, or no multiple of what it works
    in, is continued as spandrel does: reflected as far as that goes, then replicated.

    Args:
        found: what spandrel recognised, a `spandrel.ImageModelDescriptor`.

    Attributes:
        title: architecture and variant, in spandrel's words.
    """

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.name = "sr"
        self.scale = found.scale
        self.multiple = found.scale
        self.halo_px = None
        self.recompute_from_px = RECOMPUTE_FROM_PX
        # Many of these networks reshape what convolutions return, which takes the ordinary layout.
        self.memory_format = torch.contiguous_format
        self.title = ", ".join((found.architecture.name, *found.tags))
        self.bicubic = Bicubic(found.scale)
        self.network = found.model
        # The public call runs in inference mode, through which no gradient comes.
        self._call = found._call_fn
        self._sizes = found.size_requirements
        self._takes_bfloat16 = found.supports_bfloat16

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """See `Backbone.downscale`."""
        return self.bicubic.downscale(hr)

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """See `Backbone.upscale`."""
        pixels = lr.shape[0] * lr.shape[2] * lr.shape[3] * self.scale**2
        # One picture needs its inside for the gradient anyway; of several, only one at a time.
        saving = lr.shape[0] > 1 and pixels >= self.recompute_from_px
        return torch.cat([recomputed(self._upscale_one, single[None], saving=saving) for single in lr])

    def _upscale_one(self, lr: torch.Tensor) -> torch.Tensor:
        """(1, 3, h, w) -> (1, 3, h * scale, w * scale)."""
        height, width = lr.shape[2:]
        with contextlib.nullcontext() if self._takes_bfloat16 else torch.autocast(lr.device.type, enabled=False):
            hr: torch.Tensor = self._call(self.network, self._padded(lr.contiguous()))
        return hr[..., : height * self.scale, : width * self.scale].float()

    def _padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Continue an LR to the right and the bottom up to a size that the network takes."""
        height, width = lr.shape[2:]
        right, bottom = self._sizes.get_padding(width, height)
        reflected = min(right, width - 1), min(bottom, height - 1)
        lr = F.pad(lr, (0, reflected[0], 0, reflected[1]), mode="reflect")
        return F.pad(lr, (0, right - reflected[0], 0, bottom - reflected[1]), mode="replicate")


def rebuild(tensors: Mapping[str, torch.Tensor]) -> Sr:
    """Return the network that these tensors are the state of.

    Raises:
        ModelError: spandrel is missing or does not know the network, or it is none for super-resolution of colours.
    """
    spandrel = _spandrel()
    try:
        with warnings.catch_warnings():  # that torch will change some day is nothing to tell those who encode pictures
            warnings.simplefilter("ignore", UserWarning)
            found = spandrel.ModelLoader().load_from_state_dict(dict(tensors))
    except Exception as error:  # a guess from shapes gone wrong raises nearly anything
        raise ModelError(
            f"is no network that spandrel {spandrel.__version__} can load; import one of its SR checkpoints, or "
            "upgrade with pip install -U spandrel"
        ) from error
    channels = found.input_channels, found.output_channels
    if found.purpose != "SR" or found.scale not in SCALES or channels != (3, 3):
        what = f"{found.architecture.name} for {found.purpose} x{found.scale}, {channels[0]} to {channels[1]} channels"
        raise ModelError(f"is a network of another kind ({what}); import one for SR of RGB pictures, x2 to x16")
    return Sr(found)


def read_sr_checkpoint(path: Path) -> Checkpoint:
    """Read a `.pth` or `.safetensors` file of a super-resolution network.

    Raises:
        ModelError: it cannot be read, holds anything but tensors, or `rebuild` refuses it.
    """
    tensors = {
        name: (values.float() if values.is_floating_point() else values).contiguous().clone()
        for name, values in read_tensors(path).items()
    }
    network = rebuild(tensors)
    return Checkpoint("sr", network.scale, path.name, tensors, network.title)


def _spandrel() -> Any:
    """Return the package, which is large and seldom needed.

    Raises:
        ModelError: it, or something that it needs, is not installed.
    """
    try:
        _import_torchvision()
        return import_module("spandrel")
    except ImportError as error:
        raise ModelError(f"sr needs the package spandrel ({error}); pip install 'hcdcodec[sr]'") from error


def _import_torchvision() -> None:
    """Import what spandrel imports.

    PyPI's torchvision is built for CUDA. Beside torch for CPUs it stumbles over two operators that do not exist then,
    of which spandrel uses none: to name them is enough.
    """
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_module("torchvision")
