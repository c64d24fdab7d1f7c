"""CRN: this project's plain convolutional rescaling pair, small enough to search through on a CPU.

All convolutions are 3x3 at LR resolution; residual steps are `v + act(conv(v))`. The encoder
adds a learned correction to the area mean, the decoder one to bilinear interpolation. At x4, 64 wide and 22 deep, the
decoder costs 53k multiply-adds for each HR pixel; IRN x4 costs 584k.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from hcdcodec.errors import ModelError
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.grow_crn import count_residuals, grow
from hcdcodec.networks.native import winograd
from hcdcodec.networks.native.library import Kernel


class Trunk(nn.Module):
    """Convolution, `depth` residual convolutions, convolution."""

    def __init__(self, channels_in: int, channels_out: int, width: int, depth: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(channels_in, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.tail = nn.Conv2d(width, channels_out, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        self.kept: dict[tuple[bool, bool], Sequence[torch.Tensor]] | None = None
        self.register_load_state_dict_post_hook(_thaw)  # type: ignore[no-untyped-call]

    def freeze(self) -> None:
        """Transform the weights once from now on, at first use: they change no more."""
        self.kept = {}

    def train(self, mode: bool = True) -> Self:
        """See `nn.Module`; weights that are trained are transformed at every pass."""
        if mode:
            self.kept = None
        return super().train(mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, h, w) -> (B, channels_out, h, w)."""
        if not winograd.applies(x, self.head.out_channels):
            return self._convolve(x)
        weights, biases = zip(*((each.weight, each.bias) for each in self.convolutions), strict=True)
        learns = torch.is_grad_enabled() and any(values.requires_grad for values in (x, *weights, *biases))
        half = winograd.halves()
        forward = self._transformed(weights, half=half, back=False)
        backward = self._transformed(weights, half=half, back=True) if learns else ()
        return winograd.trunk(x, weights, biases, forward, backward, half=half)

    @property
    def convolutions(self) -> tuple[nn.Conv2d, ...]:
        """Return all convolutions, in order."""
        return self.head, *self.body, self.tail

    def _transformed(self, weights: Sequence[torch.Tensor], *, half: bool, back: bool) -> Sequence[torch.Tensor]:
        if self.kept is None or any(weight.requires_grad for weight in weights):
            return winograd.transform(weights, half=half, back=back)
        if (half, back) not in self.kept:
            self.kept[half, back] = winograd.transform(weights, half=half, back=back)
        return self.kept[half, back]

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        """Do the same in PyTorch."""
        v = F.leaky_relu(self.head(x), 0.2)
        for convolution in self.body:
            v = v + F.leaky_relu(convolution(v), 0.2)
        return self.tail(v)  # type: ignore[no-any-return]


def _thaw(trunk: nn.Module, _: object) -> None:
    """Forget what was made of weights that others have replaced."""
    if isinstance(trunk, Trunk) and trunk.kept is not None:
        trunk.freeze()


class Crn(Backbone):
    """The pair of trunks.

    Args:
        scale: HR size / LR size.
        width: channels inside both trunks.
        encoder_depth: residual convolutions in the encoder.
        decoder_depth: residual convolutions in the decoder.
        name: what the table of backbones calls a pair of this size.
    """

    def __init__(self, scale: int, width: int, encoder_depth: int, decoder_depth: int, name: str = "crn") -> None:
        super().__init__()
        self.name = name
        self.scale = scale
        self.multiple = scale
        self.halo_px = decoder_depth + 2
        self.encoder = Trunk(3 * scale**2, 3, width, encoder_depth)
        self.decoder = Trunk(3, 3 * scale**2, width, decoder_depth)
        # The decoder starts as bilinear interpolation; the encoder starts with a message in the LR, since a decoder
        # that never sees one does not learn to read.
        if not self.encoder.tail.weight.is_meta:  # there are no numbers there, and PyTorch takes 1 s to find that out
            nn.init.normal_(self.encoder.tail.weight, std=0.3 / (9 * width) ** 0.5)

    @classmethod
    def sized_as(cls, state: Mapping[str, torch.Tensor], name: str) -> "Crn":
        """Return an untrained pair of the size that some weights have, whatever today's default is.

        Files that were encoded with a pair of another size must stay decodable.

        Raises:
            ModelError: they are no pair's.
        """
        depth, decoder_depth = count_residuals(state, "encoder"), count_residuals(state, "decoder")
        head = state.get("encoder.head.weight")
        if head is None or head.dim() != 4:
            raise ModelError(f"the weights do not fit {name}; use its own weights")
        return cls(math.isqrt(head.shape[1] // 3), head.shape[0], depth, decoder_depth, name)

    def grown(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Return the weights of a smaller pair as weights of this one that compute the same; see `grow_crn`."""
        return grow(state, self.state_dict())

    @property
    def kernel(self) -> Kernel | None:
        """See `Backbone.kernel`."""
        return winograd.kernel_for(self.decoder.head.out_channels)

    def freeze(self) -> None:
        """See `Backbone.freeze`."""
        super().freeze()
        self.encoder.freeze()
        self.decoder.freeze()

    def decoding(self) -> Iterator[nn.Parameter]:
        """See `Backbone.decoding`."""
        return self.decoder.parameters()

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """See `Backbone.downscale`."""
        correction: torch.Tensor = self.encoder(F.pixel_unshuffle(hr - 0.5, self.scale)).float()
        return F.avg_pool2d(hr, self.scale) + correction

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """See `Backbone.upscale`."""
        correction: torch.Tensor = self.decoder(lr - 0.5).float()
        # Three channels that lie apart are interpolated three times faster than interleaved ones.
        smooth = F.interpolate(lr.contiguous(), scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        (b, c, h, w), s = lr.shape, self.scale
        # A pixel_shuffle that adds at once: it spares a copy of the HR picture.
        shuffled = correction.reshape(b, c, s, s, h, w).permute(0, 1, 4, 2, 5, 3)
        return (smooth.view(b, c, h, s, w, s) + shuffled).view(b, c, h * s, w * s)
