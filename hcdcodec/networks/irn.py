"""IRN: the invertible rescaling network, the first backbone of the HCD paper.

A Haar analysis and eight couplings; x4 does both a second time on all bands. The first three channels of the result are
the LR. The others are the details z, which `upscale` replaces by zeros or noise.

Source: Xiao et al., "Invertible Image Rescaling", ECCV 2020, arXiv 2005.05650; pkuxmq/Invertible-Image-Rescaling.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from hcdcodec.networks.base import Backbone, DetailPlane
from hcdcodec.networks.invertible_blocks import RECOMPUTE_FROM_PX, DenseBlock, haar, recompute, unhaar

BLOCKS = 8  # couplings after each Haar analysis


class Coupling(nn.Module):
    """One invertible step: the other channels shift the LR channels, which then scale and shift the other channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.low_shift = DenseBlock(channels - 3, 3)
        self.high_shift = DenseBlock(3, channels - 3)
        self.high_scale = DenseBlock(3, channels - 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, h, w) -> same shape, LR channels first."""
        low, high = x[:, :3], x[:, 3:]
        low = low + self.low_shift(high)
        return torch.cat((low, high * self._gain(low) + self.high_shift(low)), dim=1)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo `forward`."""
        low, high = y[:, :3], y[:, 3:]
        # In the reverse order of `forward`: `low` here is the value after the shift, with which `high` was scaled.
        high = (high - self.high_shift(low)) / self._gain(low)
        return torch.cat((low - self.low_shift(high), high), dim=1)

    def _gain(self, low: torch.Tensor) -> torch.Tensor:
        """Return the factor on the other channels, between 1/e and e."""
        return torch.exp(2 * torch.sigmoid(self.high_scale(low)) - 1)


def _second_level(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of the first level under the names of the second."""
    first, second = "levels.0.", "levels.1."
    return {name.replace(first, second): values for name, values in state.items() if name.startswith(first)}


def _on_more_bands(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return one tensor of a first level for the second, shaped as there: zero for the bands of the other channels."""
    wider = values.new_zeros(like.shape)  # where the values are: the network may be on a GPU already
    details = [9, 10, 11, 21, 22, 23, 33, 34, 35]  # of the LR: the first three of 12 in each but the first Haar band
    if values.shape[0] != like.shape[0]:  # the last convolution of a block that shifts or scales the other channels
        wider[details] = values
    elif values.ndim > 1 and values.shape[1] != like.shape[1]:  # a convolution that reads the other channels
        wider[:, details] = values[:, :9]
        wider[:, 45:] = values[:, 9:]  # what the block itself has computed
    else:
        wider.copy_(values)
    return wider


class Irn(Backbone):
    """The network at x2 or x4.

    Args:
        scale: HR size / LR size.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.name = "irn"
        self.scale = scale
        self.multiple = scale
        self.halo_px = None
        # A block of HR pixels has 3 * scale**2 values, and the LR keeps three of them.
        self.details = (DetailPlane(channels=3 * scale**2 - 3, factor=1),)
        self.recompute_from_px = RECOMPUTE_FROM_PX
        widths = (12,) if scale == 2 else (12, 48)
        self.levels = nn.ModuleList(nn.ModuleList(Coupling(width) for _ in range(BLOCKS)) for width in widths)

    def grown(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Add the second level to the weights of a network with one; see `Backbone.grown`.

        It does to the LR of the first level what that level does to the picture, and leaves the bands of the first
        level's details as the Haar analysis makes them.
        """
        own = self.state_dict()
        known = {name: values.shape for name, values in state.items()}
        if not known or any(name not in own or own[name].shape != shape for name, shape in known.items()):
            return state
        second = {name: _on_more_bands(values, own[name]) for name, values in _second_level(state).items()}
        return {**own, **second, **state}

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """See `Backbone.downscale`."""
        return self.forward_details(hr)[0]

    def forward_details(self, hr: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the LR and the details z that it lacks; `upscale` of both restores the HR picture.

        Args:
            hr: (B, 3, H, W) float32 in [0, 1]; H and W multiples of `multiple`.

        Returns:
            The LR as `downscale` makes it, and one tensor for each of `self.details`.
        """
        saving = self._saves_memory(hr.shape[0] * hr.shape[2] * hr.shape[3])
        x = hr
        for level in self.levels:
            x = haar(x)
            for block in level:  # type: ignore[attr-defined]
                x = recompute(block, x, saving=saving)
        return x[:, :3], (x[:, 3:],)

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """See `Backbone.upscale`."""
        batch, _, height, width = lr.shape
        saving = self._saves_memory(batch * height * width * self.scale**2)
        z = details[0] if details else lr.new_zeros((batch, self.details[0].channels, height, width))
        x = torch.cat((lr, z), dim=1)
        for level in reversed(self.levels):
            for block in reversed(level):  # type: ignore[call-overload]
                x = recompute(block.inverse, x, saving=saving)
            x = unhaar(x)
        return x
