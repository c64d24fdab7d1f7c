"""The price of bits: what it estimates, its gradient, and that it makes files smaller."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import DATA

from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.bit_cost import Price
from hcdcodec.codec.search.options import Ste
from hcdcodec.codec.search.subject import quantise
from hcdcodec.engine.engine import engine_for
from hcdcodec.format import container
from hcdcodec.format.grid import Grid, grid_of
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.reading import read_picture

PHOTOS = DATA / "photos"
STEP = Grid(4, 4, 4)


def cost(price: Price, lr: torch.Tensor) -> float:
    return price.cost(0.0, float(price.bits(lr)))


def slope(price: Price, lr: torch.Tensor) -> torch.Tensor:
    bits, gradient = price.bits_and_slope(lr)
    assert bits == price.bits(lr)
    return gradient


def levels(height: int, width: int, channels: int = 3, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return quantise(torch.rand(channels, height, width, generator=random), STEP)


def test_samples_that_paeth_predicts_cost_nothing() -> None:
    price = Price(STEP, 1.0, 255**2, 100)
    flat = torch.full((3, 6, 7), 200 / 255)
    # All but the first sample of each channel equal a neighbour; that one is 50 steps from black.
    assert cost(price, flat) == pytest.approx(3 * 3 * np.log2(51) * 255**2 / 100, rel=1e-5)
    edge = flat.clone()
    edge[:, :, 3:] = 40 / 255  # below the first row, what is above predicts the edge
    assert cost(price, edge) == pytest.approx(3 * 3 * (np.log2(51) + np.log2(41)) * 255**2 / 100, rel=1e-5)
    assert cost(price, levels(6, 7)) > 10 * cost(price, flat)


def test_grids_with_all_levels_are_free() -> None:
    price, lr = Price(grid_of(100), 1.0, 255**2, 100), levels(5, 5)
    assert price.is_nothing and cost(price, lr) == 0 and not slope(price, lr).any()
    assert not Price(STEP, 1.0, 255**2, 100).is_nothing


@pytest.mark.parametrize("channels", [1, 3])
def test_the_slope_is_that_of_the_price(channels: int) -> None:
    random = torch.Generator().manual_seed(0)
    # Off the grid, where no two neighbours predict equally well.
    lr, towards = (draw((channels, 8, 8), generator=random, dtype=torch.float64) for draw in (torch.rand, torch.randn))
    price, tiny = Price(STEP, 0.01, 255**2, samples := 16 * channels * 64), 1e-9
    changed = (cost(price, lr + tiny * towards) - cost(price, lr - tiny * towards)) / (2 * tiny)
    assert float((slope(price, lr) * towards).sum()) * 255**2 / samples == pytest.approx(changed, rel=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_bands_change_nothing(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    price, lr = Price(STEP, 0.01, 255**2, 100), levels(9, 7, channels)
    bits, gradient = cost(price, lr), slope(price, lr)
    for pixels in (1, 14, 20):
        monkeypatch.setattr("hcdcodec.codec.search.bit_cost._BAND_PX", pixels)
        assert cost(price, lr) == pytest.approx(bits, rel=1e-6)
        torch.testing.assert_close(slope(price, lr), gradient)


@pytest.mark.parametrize("quality", [75, 49])
def test_files_get_smaller_for_hardly_any_error(quality: int) -> None:
    engine = engine_for(load_backbone("crn", 4))
    picture = Picture(read_picture((PHOTOS / "chelsea.png").read_bytes()).pixels[60:252, 100:292].copy())
    made = {}
    for per_bit in (0.0, Ste(8).per_bit, 2 * Ste(8).per_bit):
        options = EncodeOptions(replace(Ste(8), per_bit=per_bit), quality)
        (encoded,) = encode_pictures(engine, [picture], options)
        size = len(container.pack(encoded.header, encoded.lr, alpha=None, metadata=Metadata(), level=2))
        assert encoded.refined.error < encoded.refined.error_before
        made[per_bit] = size, encoded.refined.error
    (free, best), (priced, error), (dear, _) = made.values()
    assert dear < priced < free
    assert error < 1.04 * best
