"""Grey pictures in networks for RGB: the network gets three copies, and the mean of its channels is the result."""

import torch


def as_rgb(planes: torch.Tensor) -> torch.Tensor:
    """(1 or 3, h, w) -> (3, h, w)."""
    return planes if planes.shape[0] == 3 else planes.expand(3, -1, -1)


def as_channels(planes: torch.Tensor, channels: int) -> torch.Tensor:
    """(3, h, w) -> (channels, h, w): the mean, for grey."""
    return planes if channels == 3 else planes.mean(0, keepdim=True)
