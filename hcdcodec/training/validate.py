"""Figures of a network on pictures that it was not trained on, through the very encoder that users run."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.lr_likeness import lr_likeness
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.engine.engine import Engine
from hcdcodec.pictures.metrics import EXACT_DB, decibels
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
    encoded = encode_pictures(engine, pictures, EncodeOptions(search_of(effort)))
    scale = engine.backbone.scale
    likeness = [lr_likeness(picture, item.lr, scale) for picture, item in zip(pictures, encoded, strict=True)]
    return Score(fmean(decibels(item.refined.error, EXACT_DB) for item in encoded), fmean(likeness), min(likeness))
