"""Bicubic interpolation both ways, antialiased downwards: the floor that a network has to beat, without weights."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from hcdcodec.networks.base import Backbone


class Bicubic(Backbone):
    """Keys' cubic (a = -0.5 downwards, where antialiasing stretches it by `scale`; a = -0.75 upwards), any scale."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.name = "bicubic"
        self.scale = scale
        self.multiple = scale
        self.halo_px = 3

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """See `Backbone.downscale`."""
        if hr.shape[-1] == self.scale < hr.shape[-2]:
            # Where the result is one column, PyTorch's kernel for the CPU (2.13) repeats its first sample.
            return self.downscale(hr.mT).mT
        return F.interpolate(hr, scale_factor=1 / self.scale, mode="bicubic", antialias=True, align_corners=False)

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """See `Backbone.upscale`."""
        return F.interpolate(lr, scale_factor=float(self.scale), mode="bicubic", align_corners=False)
