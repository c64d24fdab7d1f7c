"""Flat and dark parts keep their mean colour: the search minds the mean error of each block."""

import numpy as np
import pytest
import torch

from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.engine import gradient
from hcdcodec.engine.block_colour import BLOCK_PX, block_means
from hcdcodec.engine.engine import engine_for
from hcdcodec.format.container import Packed
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Picture

COLOURS = (
    (8, 6, 12),
    (14, 10, 8),
    (20, 24, 40),
    (60, 80, 120),
    (12, 30, 14),
    (90, 20, 60),
    (128, 128, 128),
    (200, 190, 180),
)


def patches() -> Picture:
    """Return flat colours, most of them dark, with the grain of a camera."""
    flat = np.array(COLOURS, np.float32).reshape(2, 4, 3).repeat(64, 0).repeat(64, 1)
    grainy = flat + np.random.default_rng(0).normal(0, 2, flat.shape)
    return Picture(grainy.round().clip(0, 255).astype(np.uint8))


def means(pixels: Levels) -> np.ndarray:
    height, width = (side // BLOCK_PX for side in pixels.shape[:2])
    found: np.ndarray = pixels.reshape(height, BLOCK_PX, width, BLOCK_PX, 3).astype(float).mean((1, 3))
    return found


def mean_error(scale: int, quality: int) -> float:
    """Return the mean absolute error of the colours of all blocks, in levels."""
    engine, picture = engine_for(load_backbone("crn", scale)), patches()
    (made,) = encode_pictures(engine, [picture], EncodeOptions(search_of(5), quality))
    decoded = decode_picture(engine, Packed(made.header, made.lr, None, Metadata())).pixels
    return float(np.abs(means(decoded) - means(picture.pixels)).mean())


@pytest.mark.parametrize("shape", [(3, 70, 33), (2, 1, 32, 64)])
def test_means_are_of_blocks(shape: tuple[int, ...]) -> None:
    residual = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = block_means(residual)
    assert found.shape == residual.shape
    for top, left in ((0, 0), (shape[-2] // BLOCK_PX * BLOCK_PX - BLOCK_PX * (shape[-2] == BLOCK_PX), 32)):
        own = (..., slice(top, top + BLOCK_PX), slice(left, left + BLOCK_PX))
        if residual[own].numel():
            torch.testing.assert_close(found[own], residual[own].mean((-2, -1), keepdim=True).expand_as(found[own]))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 4])
def test_patches_keep_their_mean_colour(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = mean_error(scale, 40)
    assert kept < 0.5
    monkeypatch.setattr(gradient, "WEIGHT", 0.0)
    assert kept < 0.85 * mean_error(scale, 40)
