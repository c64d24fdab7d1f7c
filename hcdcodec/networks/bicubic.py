"""Bicubic interpolation in both directions, antialiased downwards. It has no weights, and networks have to beat it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from hcdcodec.networks.base import Backbone


class Bicubic(Backbone):
    """Keys' cubic kernel at any scale.

    Downwards a is -0.5, and antialiasing stretches the kernel by `scale`. Upwards a is -0.75. PyTorch chooses both.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.name = "bicubic"
        self.scale = scale
        self.multiple = scale
        self.halo_px = 3  # the four taps reach two samples to each side; one more is to spare

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """See `Backbone.downscale`."""
        if hr.shape[-1] == self.scale < hr.shape[-2]:
            # PyTorch 2.13 on the CPU gives wrong values for a result of one column: it repeats the first sample.
            return self.downscale(hr.mT).mT
        return F.interpolate(hr, scale_factor=1 / self.scale, mode="bicubic", antialias=True, align_corners=False)

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """See `Backbone.upscale`."""
        return F.interpolate(lr, scale_factor=float(self.scale), mode="bicubic", align_corners=False)
