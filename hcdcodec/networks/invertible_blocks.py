"""Parts that IRN and HCFlow share: the Haar wavelet, the dense block, and recomputation to save memory."""

from collections.abc import Callable
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

RECOMPUTE_FROM_PX = 2**18
"""Number of HR pixels in a batch from which gradients recompute each block instead of keeping its activations."""


def haar(x: torch.Tensor) -> torch.Tensor:
    """Do one level of the Haar analysis.

    Args:
        x: (B, C, h, w), h and w even.

    Returns:
        (B, 4 * C, h / 2, w / 2): the means of all 2 x 2 blocks, then their left-right, top-bottom and diagonal
        differences, each divided by 4.
    """
    corners = (x[..., row::2, column::2] for row in (0, 1) for column in (0, 1))
    return torch.cat(_butterfly(*corners), dim=1) / 4


def unhaar(bands: torch.Tensor) -> torch.Tensor:
    """Undo `haar`: (B, 4 * C, h, w) -> (B, C, 2 * h, 2 * w)."""
    corners = torch.stack(_butterfly(*bands.chunk(4, dim=1)), dim=2)
    return F.pixel_shuffle(corners.flatten(1, 2), 2)


def _butterfly(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Transform 2 x 2 values. Applied twice, it multiplies by 4, so `haar` divides by 4 and `unhaar` does not."""
    return a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which reads the input and all outputs before it.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        growth: channels of the four convolutions inside.
    """

    def __init__(self, channels_in: int, channels_out: int, growth: int = 32) -> None:
        super().__init__()
        widths = [channels_in + growth * k for k in range(5)]
        inside = [nn.Conv2d(read, after - read, 3, padding=1) for read, after in pairwise(widths)]
        self.conv1, self.conv2, self.conv3, self.conv4 = inside
        self.conv5 = nn.Conv2d(widths[-1], channels_out, 3, padding=1)
        for convolution in inside:
            # Small, as in both references: Adam moves all weights of `conv5` at once by the learning rate, and what
            # they read must not make the first steps overshoot.
            initialise_conv(convolution, gain=0.2)
        # With a zero last layer each coupling starts as the identity, so an untrained network is a wavelet transform.
        nn.init.zeros_(self.conv5.weight)
        nn.init.zeros_(cast(torch.Tensor, self.conv5.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, h, w) -> (B, channels_out, h, w)."""
        # Under autocast the convolutions read half precision. Converted once here, `cat` need not widen it again.
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = torch.cat((x, F.leaky_relu(convolution(x), 0.2)), dim=1)
        return cast(torch.Tensor, self.conv5(x))


def initialise_conv(convolution: nn.Conv2d, gain: float = 1.4) -> None:
    """Set random weights, and zero biases.

    Args:
        convolution: the layer.
        gain: of Xavier's weights. The default, sqrt(2 / 1.04) for a leaky ReLU with slope 0.2, keeps the variance.
    """
    nn.init.xavier_normal_(convolution.weight, gain=gain)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def recompute(block: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, *, saving: bool) -> torch.Tensor:
    """Apply a block. If `saving`, keep only its input, and run the block again in the backward pass.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174.
    """
    if not (saving and torch.is_grad_enabled()):
        return block(x)
    # No block draws random numbers, so the state of the generator need not be kept.
    return cast(torch.Tensor, checkpoint(block, x, use_reentrant=False, preserve_rng_state=False))
