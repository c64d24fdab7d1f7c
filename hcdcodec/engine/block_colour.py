"""The mean colour of each block counts more than single errors: a flat or dark part must not change its colour.

On a coarse grid all samples of a flat part round the same way, and a whole area is off by a level or more. As a sum of
squares that is little, but eyes see it as a tint. The search therefore minds the mean error of each block once more.
Blocks begin at the corner of a tile.
"""

import torch
import torch.nn.functional as F

BLOCK_PX = 32
WEIGHT = 4.0
"""How much more the mean of a block counts. Each doubling brings more blocks within half a level, and costs a little.
With 8, crn x8 lost 0.01 to 0.02 dB on val. benchmarks/checks/block_means.py counts the blocks."""


def block_means(residual: torch.Tensor) -> torch.Tensor:
    """Return for each sample the mean of its block.

    Args:
        residual: (C, H, W) or (B, C, H, W); blocks begin at its first row and column.
    """
    height, width = residual.shape[-2:]
    batch = residual if residual.dim() == 4 else residual[None]
    means = F.avg_pool2d(batch, BLOCK_PX, ceil_mode=True, count_include_pad=False)
    return F.interpolate(means, scale_factor=BLOCK_PX)[..., :height, :width].reshape(residual.shape)
