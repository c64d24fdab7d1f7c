"""Flat and dark parts keep their mean colour: the search minds the mean error of each block."""

import numpy as np
import pytest
import torch
from conftest import DATA

from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search import straight_through
from hcdcodec.codec.search.options import search_of
from hcdcodec.codec.search.step import round_to_steps
from hcdcodec.codec.search.tints import UntintedRounding
from hcdcodec.engine import gradient
from hcdcodec.engine.block_colour import BLOCK_PX, block_means
from hcdcodec.engine.engine import engine_for
from hcdcodec.format.container import Packed
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.pictures.reading import read_picture

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


def photograph() -> Picture:
    """Return a photograph of whole blocks."""
    return Picture(np.ascontiguousarray(read_picture((DATA / "photos" / "coffee.png").read_bytes()).pixels[:256, :384]))


def errors(picture: Picture, scale: int, quality: int) -> np.ndarray:
    """Return the absolute errors of the mean colours of all blocks, in levels."""
    engine = engine_for(load_backbone("crn", scale))
    (made,) = encode_pictures(engine, [picture], EncodeOptions(search_of(5), quality))
    decoded = decode_picture(engine, Packed(made.header, made.lr, None, Metadata())).pixels
    found: np.ndarray = np.abs(means(decoded) - means(picture.pixels))
    return found


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
    kept = errors(patches(), scale, 40).mean()
    assert kept < 0.5
    monkeypatch.setattr(gradient, "WEIGHT", 0.0)
    assert kept < 0.85 * errors(patches(), scale, 40).mean()


@pytest.mark.slow
def test_a_photograph_gets_few_tints(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = errors(photograph(), 4, 40) > 0.5
    monkeypatch.setattr(straight_through, "SCALE_MOST", 0)
    assert kept.mean() < 0.03 and kept.mean() < 0.25 * (errors(photograph(), 4, 40) > 0.5).mean()


@pytest.mark.parametrize("step", [1, 4, 10, 24])
@pytest.mark.parametrize("shape", [(3, 16, 24), (1, 19, 11), (3, 1, 1)])
def test_rounding_removes_tints(shape: tuple[int, int, int], step: int) -> None:
    generator = torch.Generator().manual_seed(0)
    lr = (0.3 + 0.02 * torch.rand(shape, generator=generator)).float()
    steps = torch.full((shape[0], 1, 1), float(step))
    judged = round_to_steps(lr, steps)
    residual = judged - lr + 1.2 / 255  # of a decoder that only enlarges, with a tint of its own
    found = UntintedRounding(judged, residual, 4)(lr, steps)
    assert torch.equal(found, round_to_steps(found, steps))
    for top in range(0, shape[1], 8):
        for left in range(0, shape[2], 8):
            own = (slice(None), slice(top, top + 8), slice(left, left + 8))
            count = lr[own][0].numel()
            tints = (found[own] - lr[own]).mean((1, 2)) * 255 + 1.2
            # By whole samples only: a block of few samples cannot come closer.
            assert tints.abs().max() <= max(0.4, 0.04 * step, step / count) + 1e-3


def test_rounding_leaves_what_has_no_tint_and_what_cannot_move() -> None:
    lr = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    steps = torch.full((3, 1, 1), 1.0)
    judged = round_to_steps(lr, steps)
    assert torch.equal(UntintedRounding(judged, torch.zeros_like(lr), 4)(lr, steps), judged)
    white, black = torch.ones_like(lr), torch.zeros_like(lr)
    for plane, tint in ((white, 2), (white, -2), (black, 2)):
        assert torch.equal(UntintedRounding(plane, torch.full_like(lr, tint / 255), 4)(plane, 4 * steps), plane)
