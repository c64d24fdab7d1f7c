"""HCFlow for rescaling by 4: the second backbone of the HCD paper.

There are two levels. Each does a Haar analysis and eight flow steps, and then splits its channels. A conditional flow
turns the channels that are split off into standard normal details z, given the channels that are kept. The LR consists
of the channels that the second level keeps.

Source: Liang et al., "Hierarchical Conditional Flow", ICCV 2021, arXiv 2108.05301; JingyunLiang/HCFlow.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from hcdcodec.networks.base import Backbone, DetailPlane
from hcdcodec.networks.hcflow_steps import (
    FEATURES,
    ConditionalStep,
    FirstStep,
    RestStep,
    ScaledConv,
    shift_and_gain,
)
from hcdcodec.networks.invertible_blocks import RECOMPUTE_FROM_PX, DenseBlock, haar, initialise_conv, recompute, unhaar

MAIN_STEPS = 8  # flow steps after each Haar analysis
CONDITIONAL_STEPS = 6  # flow steps on the channels that are split off


class ResidualDense(DenseBlock):
    """A dense block with a skip connection; a fifth of its output is added to its input."""

    def __init__(self) -> None:
        super().__init__(FEATURES, FEATURES, growth=16)
        initialise_conv(self.conv5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, FEATURES, h, w) -> same shape."""
        return x + 0.2 * super().forward(x)


class ResidualTrio(nn.Module):
    """Three residual dense blocks with a skip connection; a fifth of their output is added to the input (RRDB)."""

    def __init__(self) -> None:
        super().__init__()
        self.dense1, self.dense2, self.dense3 = (ResidualDense() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, FEATURES, h, w) -> same shape."""
        return x + 0.2 * cast(torch.Tensor, self.dense3(self.dense2(self.dense1(x))))


class Features(nn.Module):
    """Features of the kept channels for the conditional flow."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, FEATURES, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualTrio() for _ in range(3)))
        self.last = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, h, w) -> (B, FEATURES, h, w)."""
        first = self.first(x)
        return cast(torch.Tensor, first + self.last(self.blocks(first)))


class ConditionalFlow(nn.Module):
    """A flow between the split-off channels of a level and standard normal details z, given features u.

    Args:
        channels_known: number of channels from which the features are made.
        channels: number of channels that are split off.
    """

    def __init__(self, channels_known: int, channels: int) -> None:
        super().__init__()
        self.features = Features(channels_known)
        self.steps = nn.ModuleList(ConditionalStep(channels) for _ in range(CONDITIONAL_STEPS))
        self.prior = ScaledConv(FEATURES, 2 * channels)

    def forward(self, rest: torch.Tensor, u: torch.Tensor, *, saving: bool) -> torch.Tensor:
        """Turn the split-off channels (B, channels, h, w) into details z of the same shape."""
        for step in self.steps:
            rest = recompute(partial(step, u=u), rest, saving=saving)
        mean, gain = shift_and_gain(self.prior(u))
        return (rest - mean) / gain

    def inverse(self, z: torch.Tensor | None, u: torch.Tensor, *, saving: bool) -> torch.Tensor:
        """Undo `forward`. Without z, take zeros, which is the mean of the distribution."""
        mean, gain = shift_and_gain(self.prior(u))
        rest = mean if z is None else mean + gain * z
        for step in reversed(self.steps):
            rest = recompute(partial(step.inverse, u=u), rest, saving=saving)  # type: ignore[misc,operator,arg-type]
        return rest


class Level(nn.Module):
    """One level: Haar analysis, flow steps and a split.

    Args:
        channels_in: number of channels before the analysis.
        kept: number of channels that are kept; these are the first ones.
        channels_known: number of channels from which the features for the others are made.
    """

    def __init__(self, channels_in: int, *, kept: int, channels_known: int) -> None:
        super().__init__()
        channels = 4 * channels_in
        self.kept = kept
        self.steps = nn.ModuleList((FirstStep if k % 2 else RestStep)(channels) for k in range(MAIN_STEPS))
        self.conditional = ConditionalFlow(channels_known, channels - kept)

    def forward(self, x: torch.Tensor, *, saving: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, channels_in, h, w) -> the kept and the split-off channels, both at half the size."""
        x = haar(x)
        for step in self.steps:
            x = recompute(step, x, saving=saving)
        return x[:, : self.kept], x[:, self.kept :]

    def inverse(self, kept: torch.Tensor, rest: torch.Tensor, *, saving: bool) -> torch.Tensor:
        """Undo `forward`."""
        x = torch.cat((kept, rest), dim=1)
        for step in reversed(self.steps):
            x = recompute(step.inverse, x, saving=saving)  # type: ignore[arg-type]
        return unhaar(x)


class StraightClamp(torch.autograd.Function):
    """Clamp to [0, 1] with the gradient of the identity.

    With the true gradient, which is zero outside of [0, 1], a search could not change pixels that overshoot.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Clamp."""
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """Pass the gradient."""
        return gradient


class HcFlow(Backbone):
    """The network at x4. It clamps its LR and HR to [0, 1], with the gradient of the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "hcflow"
        self.scale = 4
        self.multiple = 4
        self.halo_px = None
        self.details = (DetailPlane(channels=6, factor=2), DetailPlane(channels=21, factor=1))
        self.recompute_from_px = RECOMPUTE_FROM_PX
        # The fine level has 12 channels after its analysis and the coarse one 24; z holds all that are not kept. The
        # fine level also knows the features of the coarse one.
        self.fine = Level(3, kept=6, channels_known=6 + FEATURES)
        self.coarse = Level(6, kept=3, channels_known=3)

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """See `Backbone.downscale`; clamped."""
        saving = self._saves_memory(hr.shape[0] * hr.shape[2] * hr.shape[3])
        middle, _ = self.fine(hr, saving=saving)
        lr, _ = self.coarse(middle, saving=saving)
        return _clamp(lr)

    def forward_details(self, hr: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the LR and the details z that it lacks.

        `upscale` of both restores the HR picture, if no LR sample had to be clamped.

        Args:
            hr: (B, 3, H, W) float32 in [0, 1]; H and W multiples of 4.

        Returns:
            The LR as `downscale` makes it, and one tensor for each of `self.details`.
        """
        saving = self._saves_memory(hr.shape[0] * hr.shape[2] * hr.shape[3])
        middle, rest_fine = self.fine(hr, saving=saving)
        lr, rest_coarse = self.coarse(middle, saving=saving)
        u_coarse = recompute(self.coarse.conditional.features, lr, saving=saving)
        u_fine = recompute(partial(self._fine_features, u=u_coarse), middle, saving=saving)
        z_coarse = self.coarse.conditional(rest_coarse, u_coarse, saving=saving)
        z_fine = self.fine.conditional(rest_fine, u_fine, saving=saving)
        return _clamp(lr), (z_fine, z_coarse)

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """See `Backbone.upscale`; clamped."""
        saving = self._saves_memory(lr.shape[0] * lr.shape[2] * lr.shape[3] * self.scale**2)
        z_fine, z_coarse = details or (None, None)
        u_coarse = recompute(self.coarse.conditional.features, lr, saving=saving)
        rest_coarse = self.coarse.conditional.inverse(z_coarse, u_coarse, saving=saving)
        middle = self.coarse.inverse(lr, rest_coarse, saving=saving)
        u_fine = recompute(partial(self._fine_features, u=u_coarse), middle, saving=saving)
        rest_fine = self.fine.conditional.inverse(z_fine, u_fine, saving=saving)
        return _clamp(self.fine.inverse(middle, rest_fine, saving=saving))

    def _fine_features(self, middle: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return the features for the fine level, from its kept channels and the features of the coarse level."""
        known = torch.cat((middle, F.interpolate(u, scale_factor=2.0, mode="nearest")), dim=1)
        return cast(torch.Tensor, self.fine.conditional.features(known))


def _clamp(x: torch.Tensor) -> torch.Tensor:
    """Apply `StraightClamp`."""
    return cast(torch.Tensor, StraightClamp.apply(x))  # type: ignore[no-untyped-call]
