"""CRN: this project's plain convolutional rescaling pair, small enough to search through on a CPU.

All convolutions are 3x3 at LR resolution (or coarser, see `fold`); residual steps are `v + act(conv(v))`. The encoder
adds a learned correction to the area mean, the decoder one to bilinear interpolation. At x4, 64 wide and 14 deep, the
decoder costs 34k multiply-adds for each HR pixel; IRN x4 costs 584k.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from hcdcodec.backbones.base import Backbone


class Trunk(nn.Module):
    """Convolution, `depth` residual convolutions, convolution."""

    def __init__(self, channels_in: int, channels_out: int, width: int, depth: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(channels_in, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.tail = nn.Conv2d(width, channels_out, 3, padding=1)
        # The pair starts as area mean and bilinear interpolation: training only ever has to improve on those.
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, h, w) -> (B, channels_out, h, w)."""
        v = F.leaky_relu(self.head(x), 0.2)
        for convolution in self.body:
            v = v + F.leaky_relu(convolution(v), 0.2)
        return self.tail(v)  # type: ignore[no-any-return]


class Crn(Backbone):
    """The pair of trunks.

    Args:
        scale: HR size / LR size.
        width: channels inside both trunks.
        encoder_depth: residual convolutions in the encoder.
        decoder_depth: residual convolutions in the decoder.
        fold: the trunks work at 1/fold of the LR's size each way, so that x2 costs as little per HR pixel as x4.
    """

    def __init__(self, scale: int, width: int, encoder_depth: int, decoder_depth: int, fold: int = 1) -> None:
        super().__init__()
        self.name = "crn"
        self.scale = scale
        self.fold = fold
        self.multiple = scale * fold
        self.halo_px = (decoder_depth + 2) * fold
        hr_channels, lr_channels = 3 * self.multiple**2, 3 * fold**2
        self.encoder = Trunk(hr_channels, lr_channels, width, encoder_depth)
        self.decoder = Trunk(lr_channels, hr_channels, width, decoder_depth)

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """See `Backbone.downscale`."""
        correction = self.encoder(F.pixel_unshuffle(hr - 0.5, self.multiple)).float()
        return F.avg_pool2d(hr, self.scale) + F.pixel_shuffle(correction, self.fold)

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """See `Backbone.upscale`."""
        correction = self.decoder(F.pixel_unshuffle(lr - 0.5, self.fold)).float()
        smooth = F.interpolate(lr, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return smooth + F.pixel_shuffle(correction, self.multiple)
