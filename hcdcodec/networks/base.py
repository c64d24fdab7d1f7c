"""The interface that every rescaling network fulfils: two methods and its own geometry."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hcdcodec.networks.manifest import NetworkId
from hcdcodec.networks.native.library import Kernel


@dataclass(frozen=True)
class DetailPlane:
    """One tensor of details z that `upscale` reads besides the LR: (B, channels, factor * h, factor * w)."""

    channels: int
    factor: int


class Backbone(nn.Module):
    """A pair of functions between HR and LR pictures.

    Callers hold no `if name == ...`: whatever differs between networks stands here.

    Attributes:
        name: what the table of backbones and the file header call it.
        scale: HR size / LR size.
        multiple: HR height and width must be multiples of this, at least `scale`.
        halo_px: LR samples on each side that an HR pixel depends on through `upscale`; tiles with this halo give
            what the whole picture gives, up to rounding. None: farther than is worth computing, tiles change pixels.
        details: the details z that `upscale` takes; empty for networks that need none.
        details_scale: standard deviation of the z that these weights were trained for; 0 = zeros.
        model_hash: hash of the weights (`weights.model_hash`), hexadecimal.
        settings_hash: the model hash that stands for these weights in the text of settings; empty = their own.
        is_pinned: whether the user asked for these very weights.
        recompute_from_px: HR pixels in a batch from which gradients recompute what they need instead of keeping it;
            only networks whose inside takes much memory heed it.
        memory_format: layout of tensors in which it computes fastest.
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
        """Return what settings and headers call it."""
        settings_hash = self.settings_hash or self.model_hash
        return NetworkId(self.name, self.scale, self.model_hash, settings_hash, self.is_pinned)

    @property
    def kernel(self) -> Kernel | None:
        """Return the C code that computes its convolutions on a CPU; None = PyTorch does."""
        return None

    def freeze(self) -> None:
        """Make it ready for use: weights change no more, so that networks may keep what they make of them.

        Training it, or loading weights into it, ends that. Who edits weights in place calls it again.
        """
        self.eval().requires_grad_(False)

    def initialise(self, hr: torch.Tensor) -> None:
        """Fit what an untrained network takes from data, before training; most take nothing.

        Args:
            hr: (B, 3, H, W) float32 in [0, 1], a typical training batch.
        """

    def grown(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Return weights to begin a training with, made from those of a smaller network of the kind where that is easy.

        What comes out need not fit, either.
        """
        return state

    def decoding(self) -> Iterator[nn.Parameter]:
        """Yield the weights that `upscale` reads; all of them, where one network serves both ways."""
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
