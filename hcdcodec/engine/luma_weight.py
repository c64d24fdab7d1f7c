"""Weight errors by their colour: errors along luma count more, since eyes see detail mostly in luma.

A residual e, (R, G, B), costs e . We with W = (I + weight * y y') / (1 + weight / 2), y being the direction of BT.601
luma, in which PSNR-Y is measured. About half of a reconstruction's squared error lies along y. With this divisor the
weighted error is therefore about as large as the plain error, and the price of bits keeps its meaning.
"""

import torch

from hcdcodec.pictures.metrics import LUMA

# This module may be imported while torch has another default, or makes tensors that no gradient may use.
with torch.inference_mode(False):
    _Y = torch.nn.functional.normalize(torch.tensor(LUMA, dtype=torch.float32, device="cpu"), dim=0)


def weighed(residual: torch.Tensor, weight: torch.Tensor | float) -> torch.Tensor:
    """Return We.

    Args:
        residual: (..., C, H, W); with C = 1 all is luma, and nothing changes.
        weight: how much more an error along luma counts than the same across it, (..., 1, 1, 1) or a number; 0 =
            nothing more.
    """
    if residual.shape[-3] == 1 or (isinstance(weight, float) and weight == 0):
        return residual
    y = _along(residual)
    return (residual + weight * y * (y * residual).sum(-3, keepdim=True)) / (1 + weight / 2)


def square_along_luma(residual: torch.Tensor) -> torch.Tensor:
    """Return the sum of squares along luma of a residual, (C, H, W) or (B, C, H, W): scalar or (B,).

    With C = 1 it is half of the sum of all squares, so that the weight of luma changes nothing in `weighed_square`.
    """
    if residual.shape[-3] == 1:
        return residual.square().sum((-3, -2, -1)) / 2
    return (_along(residual) * residual).sum(-3).square().sum((-2, -1))


def _along(residual: torch.Tensor) -> torch.Tensor:
    """Return the direction of luma, (3, 1, 1), where a residual is. The CPU does not wait until a GPU has it."""
    return _Y.to(residual, non_blocking=True).view(3, 1, 1)


def weighed_square(square: torch.Tensor, along_luma: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the weighed sum of squares e . We, from the plain sum e . e and the sum along luma."""
    return (square + weight * along_luma) / (1 + weight / 2)
