"""Headers, LRs and networks fit together, and a header may ask for all that encoders plan, and for little more."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from conftest import Draw, Tiny, float32_engine

import hcdcodec
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import _make_header, encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.errors import ContainerError, DamagedError, EditedError
from hcdcodec.format.container import Packed
from hcdcodec.format.geometry import check_geometry, check_sizes
from hcdcodec.format.header import Header
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.families import FAMILIES, SCALES
from hcdcodec.networks.registry import build
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Mode, Picture
from hcdcodec.tiles import largest_tile, plan


def networks() -> Iterator[Backbone]:
    """Yield a network of every name and scale, without memory for its weights."""
    with torch.device("meta"):
        for name, family in FAMILIES.items():
            yield from (build(name, scale) for scale in family.scales or SCALES if name != "sr")
    for scale in SCALES:
        network = Backbone()  # of another's weights, as `networks.sr` describes it
        network.name, network.scale, network.multiple, network.halo_px = "sr", scale, scale, None
        yield network


NETWORKS = {f"{network.name} x{network.scale}": network for network in networks()}


def sizes(network: Backbone) -> Iterator[tuple[int, int]]:
    """Yield HR sizes up to the limit: single pixels, thin ones, and all at which a plan gets one more window."""
    tile, halo = largest_tile(network.halo_px)
    edges = {tile + 2 * halo, 2 * tile + 2 * halo, 9 * tile + 2 * halo}
    sides = {1, 2, network.scale, network.scale + 1, 1 << 14, DEFAULT_MAX_PIXELS}
    sides |= {network.scale * edge + more for edge in edges for more in (-1, 0, 1)}
    yield from ((height, width) for height, width in product(sides, sides) if height * width <= DEFAULT_MAX_PIXELS)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_limit_refuses_what_the_encoder_writes(name: str) -> None:
    network, count = NETWORKS[name], 0
    for size in sizes(network):
        header = _make_header(network, Picture(np.broadcast_to(np.uint8(0), size)), EncodeOptions())
        lr_h, lr_w = (-(-side // network.multiple) * network.multiple // network.scale for side in size)
        check_sizes(header, lr_h, lr_w, size[0] * size[1])
        check_geometry(header, lr_h, lr_w, multiple=network.multiple, halo_px=network.halo_px)
        count += 1
    assert count > 100


@pytest.mark.parametrize("name", ["crn x4", "irn x2", "bicubic x2", "bicubic x16"])
def test_what_is_allowed_costs_no_more_than_the_picture_is_worth(name: str) -> None:
    """Every accepted plan, made: its windows hold bounded HR pixels, and together not many times the picture's."""
    network, random, accepted = NETWORKS[name], np.random.default_rng(0), 0
    tile, halo = largest_tile(network.halo_px)
    own_px = ((tile + 2 * halo) * network.scale) ** 2
    for _ in range(2000):
        lr_h, lr_w, core, context = (int(2**power) for power in random.uniform((0, 0, 0, 0), (8, 8, 9, 6)))
        size = {"height": lr_h * network.scale, "width": lr_w * network.scale}
        header = about(network, **size, tile=core * bool(random.integers(9)), halo=context - 1)
        try:
            check_geometry(header, lr_h, lr_w, multiple=network.multiple, halo_px=network.halo_px)
        except DamagedError:
            continue
        tiles = plan(lr_h, lr_w, header.tile, header.halo)
        window_px = tiles[0].window.area * network.scale**2
        assert window_px <= max(1 << 20, own_px)
        assert len(tiles) * window_px <= 16 * header.pixel_count
        assert len(tiles) <= 64 + lr_h * lr_w / 64
        accepted += 1
    assert 100 < accepted < 2000


def about(network: Backbone, **fields: int) -> Header:
    hashed = bytes(16)
    return Header(network.scale, network.name, hashed, mode=Mode.RGB, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "lr", "tile", "halo"),
    [
        ("irn x2", (40, 40), 1, 15),
        ("irn x2", (1024, 1024), 0, 0),
        ("bicubic x16", (1024, 1024), 0, 0),
        ("bicubic x2", (64, 64), 1, 0),
        ("bicubic x2", (1, 4096), 1, 1000),
        ("crn x4", (400, 400), 0, 0),
    ],
)
def test_plans_that_cost_more_are_refused(name: str, lr: tuple[int, int], tile: int, halo: int) -> None:
    network = NETWORKS[name]
    size = {"height": lr[0] * network.scale, "width": lr[1] * network.scale}
    with pytest.raises(DamagedError, match="tiles are none that hcdcodec makes; "):
        check_geometry(
            about(network, **size, tile=tile, halo=halo), *lr, multiple=network.multiple, halo_px=network.halo_px
        )


def test_a_window_may_have_as_many_pixels_as_a_batch() -> None:
    network = NETWORKS["irn x2"]
    check_geometry(about(network, height=1024, width=1024), 512, 512, multiple=2, halo_px=network.halo_px)
    with pytest.raises(DamagedError):
        check_geometry(about(network, height=1024, width=1026), 512, 513, multiple=2, halo_px=network.halo_px)


def test_sizes() -> None:
    header = about(NETWORKS["crn x4"], height=19, width=23)
    check_sizes(header, 5, 6, 19 * 23)
    check_sizes(header, 20, 21, 19 * 23)
    with pytest.raises(ContainerError, match=f"{19 * 23} pixels, the limit is {19 * 23 - 1}"):
        check_sizes(header, 5, 6, 19 * 23 - 1)
    for lr in ((4, 6), (5, 22), (21, 6)):
        with pytest.raises(EditedError):
            check_sizes(header, *lr, 19 * 23)
    thin = replace(header, scale=1, height=1, width=10_000)
    check_sizes(thin, 7, 10_000, 10_000)
    with pytest.raises(ContainerError, match="the limit is 10000"):  # the LR has far more pixels than the picture
        check_sizes(thin, 8, 10_000, 10_000)
    for lr in ((6, 6), (5, 5)):
        with pytest.raises(DamagedError, match="size does not fit"):
            check_geometry(header, *lr, multiple=4, halo_px=3)


@pytest.mark.parametrize("scale", [8, 16])
@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1)])
def test_thin_pictures_come_back_within_the_limit_they_were_encoded_with(
    draw: Draw, scale: int, shape: tuple[int, int]
) -> None:
    pixels = draw(*shape, 3)
    data = hcdcodec.encode(pixels, backbone="bicubic", scale=scale, effort=0)
    assert hcdcodec.decode(data, max_pixels=20_000).shape == pixels.shape


def test_what_is_no_number_is_no_picture(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    (encoded,) = encode_pictures(engine, [Picture(draw(16, 16, 3))], EncodeOptions(Ste(0)))
    with torch.no_grad():
        for weights in engine.backbone.decoding():
            weights.mul_(3e38)
    with pytest.raises(hcdcodec.ModelError, match="no finite picture"):
        decode_picture(engine, Packed(encoded.header, encoded.lr, None, Metadata()))


def test_tiles_of_any_release_decode(draw: Draw) -> None:
    """Small pictures may be cut as finely as the golden files are."""
    engine = float32_engine("bicubic", 2)
    (encoded,) = encode_pictures(engine, [Picture(draw(50, 70, 3))], EncodeOptions(Ste(0)))
    header = replace(encoded.header, tile=8, halo=3)
    assert decode_picture(engine, Packed(header, encoded.lr, None, Metadata())).pixels.shape == (50, 70, 3)
