"""A small super-resolution network with trained weights, as a decoder that was not made for this codec.

    python tests/small_sr.py

trains it anew on tests/data/photos/coffee.png and writes tests/data/small_sr.safetensors.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.networks.crn import Crn
from hcdcodec.pictures.reading import read_picture

DATA = Path(__file__).parent / "data"
WEIGHTS = DATA / "small_sr.safetensors"
PATCH, BATCH, UPDATES, RATE = 48, 8, 250, 3e-3


class SmallSr(Crn):
    """Bicubic downwards, the decoder of a small pair upwards, x2."""

    def __init__(self) -> None:
        super().__init__(2, width=16, encoder_depth=1, decoder_depth=4)
        self.model_hash = "00" * 32

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """See `Backbone.downscale`."""
        return Bicubic(self.scale).downscale(hr)


def small_sr() -> SmallSr:
    """Return the network, ready to use."""
    network = SmallSr()
    network.decoder.load_state_dict(load_file(WEIGHTS))
    return network.eval().requires_grad_(requires_grad=False)


def train() -> Mapping[str, torch.Tensor]:
    """Return the weights of the decoder after some updates on crops of one photo."""
    torch.manual_seed(0)
    network, random = SmallSr(), torch.Generator().manual_seed(0)
    pixels = torch.from_numpy(read_picture((DATA / "photos" / "coffee.png").read_bytes()).pixels.copy())
    planes = pixels.permute(2, 0, 1).float() / 255
    optimiser = torch.optim.Adam(network.decoder.parameters(), RATE)
    for _ in range(UPDATES):
        hr = torch.stack([_crop(planes, random) for _ in range(BATCH)])
        loss = (network.upscale(network.downscale(hr)) - hr).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.decoder.state_dict()


def _crop(planes: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    top, left = (int(torch.randint(size - PATCH, (1,), generator=random)) for size in planes.shape[1:])
    return planes[:, top : top + PATCH, left : left + PATCH]


if __name__ == "__main__":
    save_file(dict(train()), WEIGHTS)
