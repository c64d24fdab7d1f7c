"""Flow steps of HCFlow and their inverses: a normalisation, in some steps a mix of channels, and a coupling.

Source: Liang et al., "Hierarchical Conditional Flow", ICCV 2021, arXiv 2108.05301; JingyunLiang/HCFlow.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from hcdcodec.networks.invertible_blocks import DenseBlock, initialise_conv

FEATURES = 64  # channels of the features that a conditional step is given


class ActNorm(nn.Module):
    """Shift and scale each channel; the identity at first.

    The reference fits both to data first, so that all channels have zero mean and unit variance. A network for
    rescaling would have to unlearn that: its LR has to be a picture.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.logs = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, h, w) -> same shape."""
        return (x + self.bias) * torch.exp(self.logs)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo `forward`."""
        return y * torch.exp(-self.logs) - self.bias


class Mix(nn.Module):
    """Invertible 1x1 convolution, the identity at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, h, w) -> same shape."""
        return F.conv2d(x, self.weight[:, :, None, None])

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo `forward`."""
        # In float64 on the CPU: GPUs invert with other rounding, and then would decode with another matrix.
        # Where there is no inverse, this raises no error. The result is then not finite, and callers refuse it.
        back = torch.linalg.inv_ex(self.weight.cpu().double()).inverse.to(self.weight)
        if torch.onnx.is_in_onnx_export():  # ONNX knows no inverse; as mere numbers it is written into the file
            back = torch.from_numpy(back.detach().numpy().copy())
        return F.conv2d(y, back[:, :, None, None])


class ScaledConv(nn.Conv2d):
    """3x3 convolution with a trained gain, zero at first."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)
        self.logs = nn.Parameter(torch.zeros(channels_out, 1, 1))
        nn.init.zeros_(self.weight)
        nn.init.zeros_(cast(torch.Tensor, self.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, h, w) -> (B, channels_out, h, w)."""
        # The factor 3 makes the gain learn faster, as in Glow; weights of the reference need it.
        return super().forward(x) * torch.exp(3 * self.logs)


def shift_and_gain(h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return even channels as shifts, and odd channels as gains between exp(-0.5) and exp(0.5)."""
    # atan is between -pi/2 and pi/2, and 0.318 is about 1/pi; weights of the reference need exactly this constant.
    return h[:, ::2], torch.exp(0.318 * torch.atan(2 * h[:, 1::2]))


class RestStep(nn.Module):
    """Flow step in which the first three channels shift and scale the others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.net = DenseBlock(3, 2 * (channels - 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, h, w) -> same shape."""
        x = self.norm(x)
        shift, gain = shift_and_gain(self.net(x[:, :3]))
        return torch.cat((x[:, :3], (x[:, 3:] + shift) * gain), dim=1)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo `forward`."""
        shift, gain = shift_and_gain(self.net(y[:, :3]))
        return self.norm.inverse(torch.cat((y[:, :3], y[:, 3:] / gain - shift), dim=1))


class FirstStep(nn.Module):
    """Flow step in which the other channels shift the first three."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.net = DenseBlock(channels - 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, h, w) -> same shape."""
        x = self.norm(x)
        return torch.cat((x[:, :3] + self.net(x[:, 3:]), x[:, 3:]), dim=1)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo `forward`."""
        return self.norm.inverse(torch.cat((y[:, :3] - self.net(y[:, 3:]), y[:, 3:]), dim=1))


class ConditionalNet(nn.Module):
    """Three convolutions with normalisations between them."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, FEATURES, 3, padding=1, bias=False)
        self.norm1 = ActNorm(FEATURES)
        self.conv2 = nn.Conv2d(FEATURES, FEATURES, 1, bias=False)
        self.norm2 = ActNorm(FEATURES)
        self.conv3 = ScaledConv(FEATURES, channels_out)
        initialise_conv(self.conv1)
        initialise_conv(self.conv2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, h, w) -> (B, channels_out, h, w)."""
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return cast(torch.Tensor, self.conv3(x))


class ConditionalStep(nn.Module):
    """Flow step in which the first half of the channels and features u shift and scale the second half."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.passed = channels // 2
        self.norm = ActNorm(channels)
        self.mix = Mix(channels)
        self.net = ConditionalNet(self.passed + FEATURES, 2 * (channels - self.passed))

    def forward(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """(B, channels, h, w) given u (B, FEATURES, h, w) -> same shape."""
        x = self.mix(self.norm(x))
        first, second = x[:, : self.passed], x[:, self.passed :]
        shift, gain = shift_and_gain(self.net(torch.cat((first, u), dim=1)))
        return torch.cat((first, (second + shift) * gain), dim=1)

    def inverse(self, y: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Undo `forward`."""
        first, second = y[:, : self.passed], y[:, self.passed :]
        shift, gain = shift_and_gain(self.net(torch.cat((first, u), dim=1)))
        return self.norm.inverse(self.mix.inverse(torch.cat((first, second / gain - shift), dim=1)))
