"""The interface of all rescaling networks: two methods and a description of their geometry."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hcdcodec.networks.manifest import NetworkId
from hcdcodec.networks.native.library import Kernel


@dataclass(frozen=True)
class DetailPlane:
    """Shape of one tensor of details z that `upscale` reads beside the LR: (B, channels, factor * h, factor * w)."""

    channels: int
    factor: int


class Backbone(nn.Module):
    """A pair of functions between HR and LR pictures.

    All differences between networks are attributes or methods of this class, so callers never test the name.

    Attributes:
        name: its name in the table of families and in file headers.
        scale: HR size / LR size.
        multiple: HR height and width must be multiples of this, at least `scale`.
        halo_px: number of LR samples on each side on which an HR pixel depends through `upscale`. Tiles with this halo
            give the same result as the whole picture, up to rounding. None: the distance is so large that a full halo
            costs too much, and tiles change pixels.
        details: shapes of the details z that `upscale` takes; empty for networks without z.
        details_scale: standard deviation of the z that these weights were trained for; 0 = zeros.
        model_hash: hash of the weights (`weights.model_hash`), hexadecimal.
        settings_hash: the model hash that stands for these weights in the text of settings; empty = their own.
        is_pinned: whether the user asked for these very weights.
        recompute_from_px: number of HR pixels in a batch from which gradients recompute activations instead of keeping
            them. Only networks with many activations use it.
        memory_format: layout of tensors in which the network is fastest.
    """

    name: str
    scale: int
    multiple: int
    halo_px: int | None
    details: tuple[DetailPlane, ...] = ()
    details_scale: float = 0.0
    model_hash: str = ""
    settings_hash: str = ""
    is_pinned: bool = False
    recompute_from_px: int = 0
    memory_format: torch.memory_format = torch.channels_last

    @property
    def identity(self) -> NetworkId:
        """Return the identity of the network for settings and headers."""
        settings_hash = self.settings_hash or self.model_hash
        return NetworkId(self.name, self.scale, self.model_hash, settings_hash, self.is_pinned)

    @property
    def kernel(self) -> Kernel | None:
        """Return the C kernel that computes its convolutions on a CPU; None = PyTorch computes them."""
        return None

    def freeze(self) -> None:
        """Make the network ready for use. From now on weights are constant, so it may keep transformed copies of them.

        Training the network, or loading weights into it, ends this. After a change of weights in place, call it again.
        """
        self.eval().requires_grad_(False)

    def grown(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Return weights to start a training with, made from the weights of a smaller network of the same family.

        Where that is not possible, the given weights come back. The caller checks whether they fit.
        """
        return state

    def decoding(self) -> Iterator[nn.Parameter]:
        """Yield the weights that `upscale` reads: all of them, if one network does both directions."""
        return self.parameters()

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """Make the LR picture.

        Args:
            hr: (B, 3, H, W) float32 in [0, 1]; H and W multiples of `multiple`.

        Returns:
            (B, 3, H / scale, W / scale) float32, about [0, 1], neither clamped nor rounded.
        """
        raise NotImplementedError

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Restore the HR picture.

        Args:
            lr: (B, 3, h, w) float32 in [0, 1].
            details: one tensor for each of `self.details`, in order; empty means zeros.

        Returns:
            (B, 3, h * scale, w * scale) float32, about [0, 1], not clamped.
        """
        raise NotImplementedError

    def _saves_memory(self, hr_pixels: int) -> bool:
        """Tell whether gradients of a batch of this size recompute each block to save memory."""
        return hr_pixels >= self.recompute_from_px
