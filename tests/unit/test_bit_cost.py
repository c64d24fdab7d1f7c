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
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import container
from hcdcodec.format.grid import Grid, grid_of
from hcdcodec.format.header import Header
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Mode, Picture
from hcdcodec.pictures.reading import read_picture

PHOTOS = DATA / "photos"
STEP = Grid(4, 4, 4)
PRICE = Price(STEP, 1.0, 255**2, 100)


def levels(height: int, width: int, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Return waves with grain, on the grid: what a neighbour tells is neither nothing nor all."""
    random = torch.Generator().manual_seed(seed)
    rows, columns = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    waves = 0.5 + 0.3 * torch.sin(rows / 5 + torch.arange(channels).view(-1, 1, 1)) * torch.cos(columns / 7)
    return quantise(waves + 0.05 * torch.randn(channels, height, width, generator=random), STEP)


def test_grids_with_all_levels_are_free() -> None:
    lr = levels(5, 5)
    free = Price(grid_of(100), 1.0, 255**2, 100).fitted(lr)
    bits, slope = free.bits_and_slope(lr)
    assert free.is_nothing and bits == free.bits(lr) == 0 and not slope.any()
    assert not PRICE.is_nothing and PRICE.fitted(lr).bits(lr) > 0


def test_bits_are_the_entropy_of_residuals() -> None:
    """Bits of rare and of frequent residuals; what was counted is not far from what a code takes."""
    lr = levels(96, 96)
    noisy = quantise(torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(1)), STEP)
    bits, flat, most = (float(PRICE.fitted(each).bits(each)) for each in (lr, torch.full_like(lr, 0.5), noisy))
    assert flat < 0.02 * bits < 0.02 * most
    assert most / noisy.numel() == pytest.approx(np.log2(256 / 4), rel=0.15)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_slope_tells_which_changes_save_bits(channels: int) -> None:
    lr = levels(24, 24, channels)
    price = PRICE.fitted(lr)
    slope = price.bits_and_slope(lr)[1].sign()
    less, more = (quantise((lr - sign * slope * STEP.green / 255).clamp(0, 1), STEP) for sign in (1, -1))
    assert price.bits(less) < price.bits(lr) < price.bits(more)


def test_the_slope_of_a_row_is_that_of_its_bits() -> None:
    """In a single row only the left neighbour predicts, so that the estimate is exactly what the slope says."""
    lr = levels(1, 40)
    price = PRICE.fitted(lr)
    slope, value = price.bits_and_slope(lr)[1], price.loss(torch.tensor(1.0))
    for column in range(40):
        step = torch.zeros_like(lr)
        step[1, 0, column] = STEP.green / 255
        # At residuals of zero the slope is that of both sides, and there bits bend: they are left out.
        near = lr.diff(dim=2, prepend=torch.zeros_like(lr[..., :1]))[1, 0, column : column + 2] * 255 / STEP.green
        if (near.abs() > 0.5).all() and 0.1 < lr[1, 0, column] < 0.9:
            changed = float(price.bits(lr + step) - price.bits(lr - step)) / (2 * STEP.green / 255)
            assert float(slope[1, 0, column] / value) == pytest.approx(changed, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_bands_change_nothing(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lr = levels(11, 7, channels)
    whole = PRICE.fitted(lr)
    bits, slope = whole.bits_and_slope(lr)
    for pixels in (1, 14, 20):
        monkeypatch.setattr("hcdcodec.codec.search.residual_code._BAND_PX", pixels)
        banded = PRICE.fitted(lr)
        assert banded.code and whole.code and torch.equal(banded.code.lengths, whole.code.lengths)
        assert float(banded.bits(lr)) == pytest.approx(float(bits), rel=1e-6)
        torch.testing.assert_close(banded.bits_and_slope(lr)[1], slope)


@pytest.mark.parametrize("kind", Container)
def test_estimates_rank_files_as_their_bytes_do(kind: Container) -> None:
    if kind is Container.JXL:
        pytest.importorskip("pillow_jxl")
    found = []
    for grain in range(6):
        lr = quantise(levels(64, 64) + 0.02 * grain * torch.randn(3, 64, 64, generator=torch.Generator()), STEP)
        found.append((float(PRICE.fitted(lr).bits(lr)) / 8, size_of(lr, kind)))
    assert sorted(found) == sorted(found, key=lambda pair: pair[1])
    assert all(0.7 < size / estimated < 1.3 for estimated, size in found)


def size_of(lr: torch.Tensor, kind: Container) -> int:
    header = Header(4, "crn", bytes(16), 4 * lr.shape[1], 4 * lr.shape[2], Mode.RGB)

    def packed(levels: torch.Tensor) -> int:
        pixels = levels.mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return len(container.pack(header, pixels, alpha=None, metadata=Metadata(), level=2, kind=kind))

    return packed(lr) - packed(torch.zeros_like(lr))


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
