"""Errors along luma count more, those across it less, and the search trades the one for the other."""

import numpy as np
import pytest
import torch
from conftest import DATA, float32_engine
from PIL import Image

from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.luma_weight import weighed
from hcdcodec.pictures.metrics import score
from hcdcodec.pictures.picture import Levels, Picture

CHELSEA = DATA / "photos" / "chelsea.png"
Y = torch.tensor([65.481, 128.553, 24.966])


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
def test_what_it_counts(weight: float) -> None:
    along = (Y / Y.norm()).view(3, 1, 1).expand(2, 3, 4, 5)
    across = torch.tensor([Y[1], -Y[0], 0.0]).view(3, 1, 1).expand(2, 3, 4, 5)
    assert torch.allclose(weighed(along, weight), along * (1 + weight) / (1 + weight / 2), atol=1e-6)
    assert torch.allclose(weighed(across, weight), across / (1 + weight / 2), atol=1e-4)


def test_grey_is_all_luma() -> None:
    residual = torch.rand(1, 6, 7)
    assert weighed(residual, 2.0) is residual


def test_the_search_trades_colour_for_luma() -> None:
    engine = float32_engine("crn", 2)
    with Image.open(CHELSEA) as image:
        pixels = np.asarray(image.convert("RGB"))[60:156, 100:196].copy()

    def reconstruction(luma: float) -> Levels:
        (encoded,) = encode_pictures(engine, [Picture(pixels)], EncodeOptions(Ste(8, luma=luma), quality=100))
        lr = torch.from_numpy(encoded.lr).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            hr = engine.backbone.upscale(lr).clamp(0, 1).mul(255).round()[0]
        return np.asarray(hr.permute(1, 2, 0).to(torch.uint8).numpy())

    plain, weighted = (score(pixels, reconstruction(luma)) for luma in (0.0, 1.0))
    assert weighted.psnr_y > plain.psnr_y + 0.05
    assert plain.psnr_rgb - 0.2 < weighted.psnr_rgb < plain.psnr_rgb
