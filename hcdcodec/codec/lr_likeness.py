"""Measure how much an LR looks like the picture: its PSNR against the antialiased bicubic LR."""

import numpy as np
import torch

from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.pictures.metrics import EXACT_DB, decibels
from hcdcodec.pictures.picture import Levels, Picture


def lr_likeness(picture: Picture, lr: Levels, scale: int) -> float:
    """Return the PSNR-RGB of an LR against the rounded bicubic LR in dB, at most `EXACT_DB`.

    Args:
        picture: height and width multiples of `scale`.
        lr: (h, w) or (h, w, 3).
        scale: HR size / LR size.
    """
    hr = torch.from_numpy(np.atleast_3d(picture.pixels)).permute(2, 0, 1)[None].float() / 255
    bicubic_lr = Bicubic(scale).downscale(hr)[0].clamp(0, 1).mul(255).round().permute(1, 2, 0).numpy()
    return decibels(float(np.square(bicubic_lr - np.atleast_3d(lr)).mean()), EXACT_DB)
