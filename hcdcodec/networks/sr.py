"""Super-resolution networks as decoders: bicubic downwards, and upwards a network that spandrel loads.

spandrel finds architecture and sizes from the names and shapes of a checkpoint's tensors. So only the tensors are
stored, under their original names. The networks were trained for bicubic LRs. With them, the search tests the paper's
claim that it helps any decoder.

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
from hcdcodec.networks.families import SCALES
from hcdcodec.networks.invertible_blocks import RECOMPUTE_FROM_PX, recompute


class Sr(Backbone):
    """A single-image super-resolution network behind bicubic downscaling.

    Pictures are computed one by one, since spandrel requires it. An LR of a size that the network does not accept is
    padded as spandrel does it: reflected as far as possible, then replicated.

    Args:
        found: the network that spandrel recognised, a `spandrel.ImageModelDescriptor`.

    Attributes:
        title: architecture and variant, as spandrel names them.
    """

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.name = "sr"
        self.scale = found.scale
        self.multiple = found.scale
        self.halo_px = None
        self.recompute_from_px = RECOMPUTE_FROM_PX
        # Many of these networks reshape the output of convolutions, which needs the contiguous layout.
        self.memory_format = torch.contiguous_format
        self.title = ", ".join((found.architecture.name, *found.tags))
        self.bicubic = Bicubic(found.scale)
        self.network = found.model
        # spandrel's public call runs in inference mode, which gives no gradient.
        self._call = found._call_fn
        self._sizes = found.size_requirements
        self._takes_bfloat16 = found.supports_bfloat16

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """See `Backbone.downscale`."""
        return self.bicubic.downscale(hr)

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """See `Backbone.upscale`."""
        pixels = lr.shape[0] * lr.shape[2] * lr.shape[3] * self.scale**2
        # Recomputing saves nothing with one picture. With several, only one of them has activations at a time.
        saving = lr.shape[0] > 1 and pixels >= self.recompute_from_px
        return torch.cat([recompute(self._upscale_one, single[None], saving=saving) for single in lr])

    def _upscale_one(self, lr: torch.Tensor) -> torch.Tensor:
        """(1, 3, h, w) -> (1, 3, h * scale, w * scale)."""
        height, width = lr.shape[2:]
        # spandrel lists the networks that work in bfloat16; others can overflow, or mix types that do not fit.
        with contextlib.nullcontext() if self._takes_bfloat16 else torch.autocast(lr.device.type, enabled=False):
            hr: torch.Tensor = self._call(self.network, self._pad(lr.contiguous()))
        return hr[..., : height * self.scale, : width * self.scale].float()

    def _pad(self, lr: torch.Tensor) -> torch.Tensor:
        """Pad an LR at the right and at the bottom to a size that the network accepts."""
        height, width = lr.shape[2:]
        right, bottom = self._sizes.get_padding(width, height)
        # PyTorch reflects by at most the size less one.
        reflected = min(right, width - 1), min(bottom, height - 1)
        lr = F.pad(lr, (0, reflected[0], 0, reflected[1]), mode="reflect")
        return F.pad(lr, (0, right - reflected[0], 0, bottom - reflected[1]), mode="replicate")


def rebuild(tensors: Mapping[str, torch.Tensor]) -> Sr:
    """Return the network to which these tensors belong.

    Raises:
        ModelError: spandrel is missing, does not know the network, or it is not for super-resolution of RGB pictures.
    """
    spandrel = _spandrel()
    try:
        # The network draws initial weights; callers who count on the random numbers of torch get the same ones.
        with torch.random.fork_rng(devices=()), warnings.catch_warnings():
            # torch's deprecation warnings are for authors of networks, not for our users
            warnings.simplefilter("ignore", UserWarning)
            found = spandrel.ModelLoader().load_from_state_dict(dict(tensors))
    except Exception as error:  # spandrel guesses sizes from shapes, and wrong guesses raise errors of all classes
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
    """Import spandrel, which is large and seldom needed.

    Raises:
        ModelError: spandrel, or a package that it needs, is not installed.
    """
    try:
        _import_torchvision()
        return import_module("spandrel")
    except ImportError as error:
        raise ModelError(f"sr needs the package spandrel ({error}); pip install 'hcdcodec[sr]'") from error


def _import_torchvision() -> None:
    """Import torchvision, which spandrel needs, in a way that works with any build of torch.

    PyPI's torchvision is built for CUDA. With a torch for CPUs its import fails, because two operators are missing.
    spandrel uses neither, so it is enough to declare them.
    """
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_module("torchvision")
