"""Figures of a network on pictures that it was not trained on, through the very encoder that users run."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch

from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.engine.engine import Engine
from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.networks.weights import model_hash
from hcdcodec.pictures.picture import Picture


@dataclass(frozen=True)
class Score:
    """Means over pictures, RGB, in dB.

    Attributes:
        psnr: of the reconstruction.
        likeness: PSNR of the LR against the antialiased bicubic LR.
        likeness_worst: the same for the picture where it is smallest.
    """

    psnr: float
    likeness: float
    likeness_worst: float


def score(engine: Engine, pictures: Sequence[Picture], effort: int) -> Score:
    """Encode pictures at the default quality and measure what their decoder makes of them.

    Args:
        engine: network, device and precision.
        pictures: RGB, sizes multiples of the network's.
        effort: of the search, 0 = none.
    """
    engine.backbone.model_hash = model_hash(engine.backbone.state_dict())
    encoded = encode_pictures(engine, pictures, EncodeOptions(search_of(effort)))
    likeness = [
        _likeness(picture, item, engine.backbone.scale) for picture, item in zip(pictures, encoded, strict=True)
    ]
    return Score(fmean(_psnr(item.refined.error) for item in encoded), fmean(likeness), min(likeness))


def _likeness(picture: Picture, encoded: Encoded, scale: int) -> float:
    hr = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].float() / 255
    plain = Bicubic(scale).downscale(hr)[0].clamp(0, 1).mul(255).round().permute(1, 2, 0).numpy()
    return _psnr(float(np.square(plain - encoded.lr).mean()))


def _psnr(error: float) -> float:
    """Return dB of a mean squared error in levels; what is exact counts as 100 dB, so that means stay finite."""
    return float(min(100.0, 10 * np.log10(255**2 / max(error, 1e-12))))
