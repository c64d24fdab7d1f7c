"""The paper's networks: their inverse, and under the codec both searches, details z, tiles, clamps."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import Draw
from parity import NETWORKS, error, official_tensors, parity_network, vectors

from hcdcodec.cli.command import cli
from hcdcodec.codec.decode import decode_picture, decode_pictures
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Paper, Search, Ste
from hcdcodec.engine.engine import Engine, details_source
from hcdcodec.engine.gradient import loss_gradient
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.errors import UsageError
from hcdcodec.format import container
from hcdcodec.format.container import Packed
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.hcflow import HcFlow
from hcdcodec.networks.irn import Irn
from hcdcodec.networks.noise import DetailsRule
from hcdcodec.networks.weights import model_hash
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.tiles import DISTANT_HALO, DISTANT_TILE, plan

SEARCHES = [Ste(2), Paper(hr_steps=1, lr_steps=1)]
Pair = tuple[Irn | HcFlow, dict[str, torch.Tensor]]


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request: pytest.FixtureRequest) -> Pair:
    """A network, and what the reference makes with the same weights."""
    return parity_network(NETWORKS[request.param]()), vectors(request.param)  # type: ignore[return-value]


@pytest.fixture(scope="module", params=NETWORKS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return engine_of(calmed(parity_network(NETWORKS[request.param]())))


def calmed(network: Backbone) -> Backbone:
    """Weaken the random weights: what is left is near enough to a trained network to make pictures."""
    with torch.no_grad():
        for name, values in network.named_parameters():
            if "conv5" in name or "logs" in name or "conv3" in name:
                values.mul_(0.2)
    network.model_hash = model_hash(network.state_dict())
    return network


def engine_of(network: Backbone, dtype: torch.dtype = torch.float32) -> Engine:
    return Engine(network.eval().requires_grad_(False), torch.device("cpu"), dtype, 1 << 20)


def error_of(picture: Picture, made: Picture) -> float:
    return float(((picture.pixels.astype(float) - made.pixels) ** 2).mean())


def decoded(engine: Engine, data: bytes) -> Picture:
    return decode_picture(engine, container.unpack(data, max_pixels=1 << 20))


def test_with_its_details_the_hr_comes_back(pair: Pair) -> None:
    network, reference = pair
    assert error(network.upscale(*network.forward_details(reference["hr"])), reference["hr"]) <= 1e-5


def test_details_are_as_announced(pair: Pair) -> None:
    network, _ = pair
    lr, details = network.forward_details(torch.rand(2, 3, 8, 12))
    rows, columns = lr.shape[2:]
    announced = [(2, plane.channels, rows * plane.factor, columns * plane.factor) for plane in network.details]
    assert [tuple(z.shape) for z in details] == announced


def test_recomputing_changes_no_gradient(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are computed again to save memory. The gradients stay the same, bit for bit."""
    network, reference = pair
    gradients = []
    for threshold in (1, 2**40):
        monkeypatch.setattr(network, "recompute_from_px", threshold)
        lr = reference["lr_quantised"].clone().requires_grad_()
        (network.upscale(lr) - reference["hr"]).square().sum().backward()
        hr = reference["hr"].clone().requires_grad_()
        network.downscale(hr).square().sum().backward()
        assert lr.grad is not None and lr.grad.any() and hr.grad is not None and hr.grad.any()
        gradients.append((lr.grad, hr.grad))
    assert all(torch.equal(*each) for each in zip(*gradients, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_both_searches_run_and_never_make_worse(engine: Engine, search: Search, dtype: torch.dtype, draw: Draw) -> None:
    pictures = [Picture(draw(30, 21, 3), None, Metadata()), Picture(draw(9, 16), None, Metadata())]
    made = encode_pictures(replace(engine, fast=dtype), pictures, EncodeOptions(search, quality=100))
    for encoded in made:
        refined = encoded.refined
        assert math.isfinite(refined.error_before)
        assert refined.error <= refined.error_before
    assert any(encoded.refined.error < encoded.refined.error_before for encoded in made)


@pytest.mark.parametrize("details_scale", [0.0, 0.3])
def test_decoding_gives_the_encoders_own_error(engine: Engine, details_scale: float, draw: Draw) -> None:
    picture = Picture(draw(27, 34, 3), None, Metadata())
    options = EncodeOptions(Ste(1), quality=100, details_scale=details_scale, details_seed=5)
    (encoded,) = encode_pictures(engine, [picture], options)
    data = container.pack(encoded.header, encoded.lr, alpha=None, metadata=Metadata(), level=0)
    header = container.peek(data)
    rule = DetailsRule.NORMAL if details_scale else DetailsRule.ZEROS
    expected = (rule, 5, np.float32(details_scale)) if details_scale else (rule, 0, 0)
    assert (header.details_rule, header.details_seed, header.details_scale) == expected
    assert (header.tile, header.halo) == (DISTANT_TILE, DISTANT_HALO)
    made = decoded(engine, data)
    assert error_of(picture, made) == pytest.approx(encoded.refined.error, rel=1e-9)
    assert np.array_equal(made.pixels, decoded(engine, data).pixels)


def test_pictures_with_details_and_without_share_no_batch(engine: Engine, draw: Draw) -> None:
    options = [EncodeOptions(Ste(0), details_scale=scale) for scale in (0.0, 0.3, 0.0)]
    made = [
        encode_pictures(engine, [Picture(draw(24, 32, 3, seed=seed))], chosen)[0] for seed, chosen in enumerate(options)
    ]
    packed = [Packed(each.header, each.lr, None, Metadata()) for each in made]
    together = decode_pictures(engine, packed)
    for one, alone in zip(together, packed, strict=True):
        assert np.abs(one.pixels.astype(int) - decode_picture(engine, alone).pixels).max() <= 1


def test_seed_and_scale_change_what_is_decoded(engine: Engine, draw: Draw) -> None:
    picture = Picture(draw(16, 16, 3), None, Metadata())
    (encoded,) = encode_pictures(engine, [picture], EncodeOptions(Ste(0), details_scale=0.5))
    made = set()
    for change in ({}, {"details_seed": 1}, {"details_scale": 0.25}, {"details_rule": 0}):
        header = replace(encoded.header, **change)
        data = container.pack(header, encoded.lr, alpha=None, metadata=Metadata(), level=0)
        made.add(decoded(engine, data).pixels.tobytes())
    assert len(made) == 4


@pytest.mark.parametrize("scale", [-0.1, math.nan, math.inf, 17])
def test_impossible_deviations_are_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="deviation of details z"):
        EncodeOptions(details_scale=scale)


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_tiles_get_the_same_details_as_the_whole(build: type[Backbone]) -> None:
    # Untrained, the networks work on blocks of pixels apart, so that tiles can only differ in their z.
    network = build()
    engine = engine_of(network)
    lr = torch.rand(3, 19, 14, generator=torch.Generator().manual_seed(0))
    details = details_source(network, DetailsRule.NORMAL, 3, 0.2)
    height, width = 19 * network.scale, 14 * network.scale

    def restored(tile: int, halo: int) -> torch.Tensor:
        hr = torch.full((3, height, width), torch.nan)
        tasks = [TileTask(height, width, plan(19, 14, tile, halo), details)]
        for _, area, made in engine.upscale([lr], tasks):
            hr[:, *area.slices()] = made
        return hr

    whole = restored(0, 0)
    torch.testing.assert_close(restored(5, 2), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(restored(4, 0), whole, atol=1e-5, rtol=0)
    plain = network.upscale(lr[None])[0]
    assert (whole - plain).abs().max() > 0.1


def overshooting() -> HcFlow:
    """Return the Haar transform as a network, whose reconstruction is 0.4 too bright before it is clamped."""
    network = HcFlow()
    with torch.no_grad():
        network.get_parameter("fine.steps.0.norm.bias")[:, :3] = -0.4
    return network


def test_search_is_not_stuck_outside_the_range() -> None:
    engine = engine_of(overshooting())
    task = TileTask(16, 16, plan(4, 4, DISTANT_TILE, DISTANT_HALO))
    target = torch.full((3, 16, 16), 200, dtype=torch.uint8)
    lr = torch.full((3, 4, 4), 0.8)  # decoded to 1.2, clamped to 1

    def descend() -> Iterator[float]:
        nonlocal lr
        for _ in range(10):
            found = loss_gradient(engine, [lr], [task], [target])
            error, gradient = float(found.errors), found.slopes[0]
            assert (gradient > 0).all()
            yield error
            lr = lr - 0.04 * gradient.sign()

    errors = list(descend())
    assert errors[0] == errors[3] == pytest.approx((255 - 200) ** 2)
    assert errors[-1] < 0.3 * errors[0]


@pytest.mark.parametrize("method", ["ste", "paper"])
def test_the_command_line_carries_z(method: str, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setenv("HCDCODEC_WEIGHTS", str(tmp_path / "weights"))
    torch.save(official_tensors("irn_x2"), tmp_path / "irn.pth")
    Image.fromarray(draw(12, 10, 3)).save(tmp_path / "a.png")

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(cli, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
        return result.stdout

    run("models", "import", tmp_path / "irn.pth", "--weights-dir", tmp_path / "weights")
    how = ("--effort", 1) if method == "ste" else ("--method", "paper")
    options = ("--backbone", "irn", "--scale", 2, *how, "--z", 0.25, "--quality", 100)
    encoded = json.loads(run("encode", "--json", *options, tmp_path / "a.png", f"{tmp_path}/small/"))
    (said,) = (json.loads(run("info", "--json", tmp_path / "small/a.png.hcd.png")),)
    assert (said["backbone"], said["scale"], said["details_rule"], said["details_scale"]) == ("irn", 2, 1, 0.25)
    run("decode", tmp_path / "small/a.png.hcd.png", tmp_path / "back.png")
    source, back = (read_picture((tmp_path / name).read_bytes()) for name in ("a.png", "back.png"))
    assert 10 * math.log10(255**2 / error_of(source, back)) == pytest.approx(encoded["psnr"], abs=0.01)
