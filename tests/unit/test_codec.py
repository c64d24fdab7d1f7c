"""Pixels to bytes and back: every size, every mode, and the error that was promised."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Draw, Levels, Tiny, float32_engine
from PIL import Image

import hcdcodec
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.codec.settings import settings_digest
from hcdcodec.engine.engine import Engine
from hcdcodec.errors import ModelError
from hcdcodec.format import container
from hcdcodec.format.container import Packed
from hcdcodec.networks.manifest import read_manifest
from hcdcodec.networks.weights import install, read_weights
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture
from hcdcodec.tiles import plan

CHANNELS = [0, 2, 3, 4]
SMALL = [(height, width) for height in range(1, 10) for width in range(1, 10)]
ODD = [(1, 61), (61, 1), (2, 33), (17, 31), (37, 41), (64, 63)]


def round_trip(pixels: Levels, backbone: str | Tiny, *, effort: int = 1, quality: int = 75) -> Levels:
    if isinstance(backbone, str):
        return hcdcodec.decode(hcdcodec.encode(pixels, backbone=backbone, effort=effort, quality=quality))
    directory = backbone.weights_dir
    data = hcdcodec.encode(pixels, backbone=backbone.name, effort=effort, quality=quality, weights_dir=directory)
    return hcdcodec.decode(data, weights_dir=directory)


def slopes(height: int, width: int, channels: int) -> Levels:
    """Draw what bicubic interpolation keeps, different in every channel and direction; alpha is noise."""
    rows, columns = np.mgrid[:height, :width]
    planes = [40 + 2 * rows + columns, 30 + 2 * columns, 220 - rows - columns][: 3 if channels > 2 else 1]
    if channels in (2, 4):
        planes.append(np.random.default_rng(height * width).integers(0, 256, (height, width)))
    levels = np.stack(planes, axis=-1).astype(np.uint8)
    return levels if channels else levels[..., 0]


def colours(pixels: Levels) -> Levels:
    """Drop alpha."""
    return pixels[..., :-1] if pixels.ndim == 3 and pixels.shape[-1] in (2, 4) else pixels


def error(one: Levels, other: Levels) -> float:
    return float(np.square(one.astype(float) - other).mean())


# --- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(("backbone", "bound"), [("bicubic", 30), ("tiny", 1200)])
def test_every_size_comes_back(tiny: Tiny, draw: Draw, backbone: str, bound: float, channels: int) -> None:
    for height, width in [*SMALL, *ODD]:
        pixels = slopes(height, width, channels)
        back = round_trip(pixels, tiny if backbone == "tiny" else backbone)
        assert back.shape == pixels.shape
        assert back.dtype == np.uint8
        if channels in (2, 4):
            assert np.array_equal(back[..., -1], pixels[..., -1])
        assert error(colours(back), colours(pixels)) < bound


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (9, 4), (30, 21)])
@pytest.mark.parametrize("level", [0, 1, 77, 254, 255])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_flat_pictures_are_exact_at_quality_100(size: tuple[int, int], level: int, channels: tuple[int, ...]) -> None:
    pixels = np.full((*size, *channels), level, np.uint8)
    assert np.array_equal(round_trip(pixels, "bicubic", quality=100), pixels)


def test_nothing_is_shifted_or_swapped() -> None:
    """A slow slope, different in every channel and direction, comes back within a level or two."""
    pixels = slopes(61, 83, 3)
    back = round_trip(pixels, "bicubic", effort=5, quality=100)
    inner = (slice(4, -4), slice(4, -4))
    assert np.abs(back[inner].astype(int) - pixels[inner]).max() <= 2
    assert error(back, pixels) < 4


@pytest.mark.parametrize("scale", [2, 3, 5, 16])
def test_other_scales(draw: Draw, scale: int) -> None:
    pixels = draw(37, 50, 3)
    data = hcdcodec.encode(pixels, backbone="bicubic", scale=scale, effort=1)
    assert hcdcodec.decode(data).shape == pixels.shape
    with Image.open(io.BytesIO(data)) as small:
        assert small.size == (-(-50 // scale), -(-37 // scale))


def test_the_file_is_a_picture_that_looks_like_the_original(tiny: Tiny, draw: Draw) -> None:
    pixels = draw(80, 96, 3)
    for data in (
        hcdcodec.encode(pixels, backbone="bicubic"),
        hcdcodec.encode(pixels, backbone=tiny.name, effort=0, weights_dir=tiny.weights_dir),
    ):
        with Image.open(io.BytesIO(data)) as small:
            assert small.format == "PNG"
            assert small.mode == "RGB"
            large = np.asarray(small.resize((96, 80), Image.Resampling.BICUBIC))
        assert error(large, pixels) < 700


def test_grey_stays_grey(draw: Draw) -> None:
    with Image.open(io.BytesIO(hcdcodec.encode(draw(40, 40), backbone="bicubic"))) as small:
        assert small.mode == "L"
    grey_rgb = np.repeat(draw(24, 24)[..., None], 3, axis=-1)
    assert round_trip(grey_rgb, "bicubic").shape == (24, 24, 3)


@pytest.mark.parametrize("order", ["C", "F"])
def test_views_and_read_only_arrays_are_taken(draw: Draw, order: str) -> None:
    large = np.array(draw(60, 70, 4), order=order)  # type: ignore[call-overload]
    large.setflags(write=False)
    view = large[::-2, 3:40:3, :3]
    expected = hcdcodec.encode(view.copy(), backbone="bicubic", effort=1)
    assert hcdcodec.encode(view, backbone="bicubic", effort=1) == expected


def test_the_same_picture_gives_the_same_bytes(tiny: Tiny, draw: Draw) -> None:
    pixels = draw(40, 44, 4)
    one, two = (hcdcodec.encode(pixels, backbone=tiny.name, weights_dir=tiny.weights_dir) for _ in range(2))
    assert one == two


def test_the_paper_method(tiny: Tiny, draw: Draw) -> None:
    pixels = draw(40, 44, 3)
    plain, paper = (
        hcdcodec.decode(
            hcdcodec.encode(
                pixels, backbone=tiny.name, effort=0, method=method, quality=100, weights_dir=tiny.weights_dir
            ),
            weights_dir=tiny.weights_dir,
        )
        for method in ("ste", "paper")
    )
    assert error(paper, pixels) < error(plain, pixels)


def test_quality_and_effort_trade_bytes_for_error(draw: Draw) -> None:
    pixels = draw(90, 90, 3)
    files = [hcdcodec.encode(pixels, backbone="bicubic", effort=3, quality=quality) for quality in (100, 75, 20)]
    sizes = [len(data) for data in files]
    errors = [error(hcdcodec.decode(data), pixels) for data in files]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3
    assert errors == sorted(errors) and len(set(errors)) == 3
    assert error(round_trip(pixels, "bicubic", effort=6), pixels) < error(
        round_trip(pixels, "bicubic", effort=0), pixels
    )


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_pictures(wrong: Levels) -> None:
    with pytest.raises(hcdcodec.PictureError, match="is no picture; pass"):
        hcdcodec.encode(wrong, backbone="bicubic")


@pytest.mark.parametrize(
    "options",
    [
        {"backbone": "nothing"},
        {"scale": 1},
        {"scale": 17},
        {"effort": 10},
        {"effort": -1},
        {"quality": 0},
        {"quality": 101},
        {"method": "papre"},
        {"device": "toaster"},
        {"device": "meta"},
        {"device": "cuda:99"},
    ],
)
def test_options_out_of_range(options: dict[str, str | int], draw: Draw) -> None:
    with pytest.raises(hcdcodec.UsageError, match="; "):
        hcdcodec.encode(draw(8, 8, 3), **{"backbone": "bicubic", **options})  # type: ignore[arg-type]


def test_weights_that_are_not_there(
    tiny: Tiny, install_tiny: Callable[..., Tiny], draw: Draw, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = hcdcodec.encode(draw(16, 16, 3), backbone=tiny.name, effort=0, weights_dir=tiny.weights_dir)
    elsewhere = tmp_path_factory.mktemp("empty")
    with pytest.raises(hcdcodec.ModelError, match="no weights for tiny x4"):
        hcdcodec.decode(data, weights_dir=elsewhere)
    install_tiny(seed=5)  # other numbers under the same name
    again = tiny.weights_dir / ".." / tiny.weights_dir.name
    assert hcdcodec.decode(data, weights_dir=again).shape == (16, 16, 3)  # the old ones have moved aside
    newest = read_manifest(tiny.weights_dir)[0]
    install(read_weights(tiny.weights_dir / newest.file), newest, elsewhere / "new")
    with pytest.raises(hcdcodec.ModelError, match="needs the tiny x4 weights"):
        hcdcodec.decode(data, weights_dir=elsewhere / "new")


def test_a_network_of_the_future_is_unsupported(tiny: Tiny, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    from hcdcodec.networks.families import FAMILIES

    data = hcdcodec.encode(draw(16, 16, 3), backbone=tiny.name, effort=0, weights_dir=tiny.weights_dir)
    monkeypatch.delitem(FAMILIES, tiny.name)
    with pytest.raises(hcdcodec.UnsupportedError, match="newer release"):
        hcdcodec.decode(data)


def test_damaged_weights_are_refused(tiny: Tiny, draw: Draw) -> None:
    (file,) = tiny.weights_dir.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(hcdcodec.ModelError, match="cannot read the weights"):
        hcdcodec.encode(draw(8, 8), backbone=tiny.name, weights_dir=tiny.weights_dir)


def test_weights_so_large_that_nothing_is_a_number_are_errors(tiny: Tiny, draw: Draw) -> None:
    engine, picture = tiny.engine(), Picture(draw(24, 24, 3))
    (encoded,) = encode_pictures(engine, [picture], EncodeOptions(Ste(0)))
    with torch.no_grad():
        for values in engine.backbone.parameters():
            values.mul_(3e38)
    with pytest.raises(ModelError, match="no finite picture"):
        encode_pictures(engine, [picture], EncodeOptions(Ste(1)))
    with pytest.raises(ModelError, match="no finite picture"):
        decode_picture(engine, Packed(encoded.header, encoded.lr, None, Metadata()))


def test_an_lr_whose_size_does_not_fit_is_refused(tiny: Tiny, draw: Draw) -> None:
    """Within what the container allows, so that only the network's own geometry can tell."""
    engine = tiny.engine()
    (encoded,) = encode_pictures(engine, [Picture(draw(16, 16, 3))], EncodeOptions(Ste(0)))
    larger = np.pad(encoded.lr, ((0, 1), (0, 0), (0, 0)))
    data = container.pack(encoded.header, larger, alpha=None, metadata=Metadata(), level=0)
    with pytest.raises(hcdcodec.DamagedError, match="size does not fit"):
        decode_picture(engine, container.unpack(data))


def test_too_large_pictures_are_refused_by_decode(draw: Draw) -> None:
    data = hcdcodec.encode(draw(20, 20, 3), backbone="bicubic", effort=0)
    assert hcdcodec.decode(data, max_pixels=400).shape == (20, 20, 3)
    with pytest.raises(hcdcodec.ContainerError, match="limit is 399"):
        hcdcodec.decode(data, max_pixels=399)


# --- what the encoder promises, the decoder keeps ---------------------------------------------------------------------


def through_file(engine: Engine, picture: Picture, options: EncodeOptions) -> tuple[float, Picture]:
    """Return the error that the encoder reports and what comes out of the written file."""
    (encoded,) = encode_pictures(engine, [picture], options)
    data = container.pack(encoded.header, encoded.lr, alpha=None, metadata=Metadata(), level=1)
    return encoded.refined.error, decode_picture(engine, container.unpack(data))


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (33, 47), (64, 96)])
@pytest.mark.parametrize("name", ["bicubic", "tiny"])
def test_the_reported_error_is_the_real_one(
    tiny: Tiny, draw: Draw, name: str, size: tuple[int, int], channels: int
) -> None:
    engine = tiny.engine() if name == "tiny" else float32_engine("bicubic", 4)
    pixels = draw(*size, channels)
    reported, back = through_file(engine, Picture(pixels), EncodeOptions(Ste(3)))
    assert reported == pytest.approx(error(back.pixels, pixels), rel=1e-12)


@pytest.mark.parametrize("size", [(484, 600), (24, 12_000)])
def test_networks_that_see_far_decode_with_the_tiles_they_were_searched_with(
    install_tiny: Callable[..., Tiny], draw: Draw, size: tuple[int, int]
) -> None:
    engine = install_tiny("distant", distant=True).engine()
    picture = Picture(draw(*size, 3))
    (encoded,) = encode_pictures(engine, [picture], EncodeOptions(Ste(2)))
    height, width = encoded.lr.shape[:2]
    assert len(plan(height, width, encoded.header.tile, encoded.header.halo)) > 1
    back = decode_picture(engine, Packed(encoded.header, encoded.lr, None, Metadata()))
    assert encoded.refined.error == pytest.approx(error(back.pixels, picture.pixels), rel=1e-6)


@pytest.mark.parametrize(("tile", "halo"), [(1, 0), (1, 255), (0, 0), (40, 255)])
def test_tiles_that_no_encoder_plans_are_refused_before_they_are_planned(tiny: Tiny, tile: int, halo: int) -> None:
    engine, lr = tiny.engine(), np.broadcast_to(np.uint8(0), (1200, 1200, 3))
    (encoded,) = encode_pictures(engine, [Picture(np.zeros((4, 4, 3), np.uint8))], EncodeOptions(Ste(0)))
    header = replace(encoded.header, height=4800, width=4800, tile=tile, halo=halo)
    with pytest.raises(hcdcodec.DamagedError, match="tiles are none"):
        decode_picture(engine, Packed(header, lr, None, Metadata()))


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("tile", [4, 7, 16])
def test_tiles_decode_to_what_the_whole_picture_does(tiny: Tiny, draw: Draw, tile: int, channels: int) -> None:
    engine = tiny.engine()
    (encoded,) = encode_pictures(engine, [Picture(draw(97, 123, channels))], EncodeOptions(Ste(1)))
    decoded = [
        decode_picture(engine, Packed(replace(encoded.header, tile=size), encoded.lr, None, Metadata())).pixels
        for size in (0, tile)
    ]
    difference = np.abs(decoded[0].astype(int) - decoded[1])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-5 or (difference > 0).sum() <= 1
    halo = engine.backbone.halo_px
    assert halo is not None
    height, width = encoded.lr.shape[:2]
    assert len(plan(height, width, tile, halo)) > 1


def test_a_smaller_halo_would_not_do(tiny: Tiny, draw: Draw) -> None:
    """The halo of the network is not just large enough: it is needed."""
    engine = tiny.engine()
    (encoded,) = encode_pictures(engine, [Picture(draw(97, 123, 3))], EncodeOptions(Ste(1)))
    whole, cut = (
        decode_picture(engine, Packed(replace(encoded.header, tile=tile, halo=1), encoded.lr, None, Metadata())).pixels
        for tile in (0, 4)
    )
    assert (whole != cut).mean() > 1e-3


@pytest.mark.parametrize("tile", [6, 13])
def test_tiles_downscale_to_what_the_whole_picture_does(tiny: Tiny, draw: Draw, tile: int) -> None:
    for engine in (tiny.engine(), float32_engine("bicubic", 4)):
        canvas = torch.from_numpy(draw(100, 132, 3).transpose(2, 0, 1).copy())
        halo = engine.backbone.halo_px
        assert halo is not None
        whole, tiled = (engine.downscale(canvas, plan(25, 33, size, halo)) for size in (0, tile))
        assert (whole - tiled).abs().max() < 1e-4


def test_pictures_encoded_together_decode_like_single_ones(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    pictures = [Picture(draw(*shape)) for shape in ((17, 30, 3), (17, 30), (30, 17, 3), (17, 30, 3))]
    together = encode_pictures(engine, pictures, EncodeOptions(Ste(3)))
    for encoded, picture in zip(together, pictures, strict=True):
        (alone,) = encode_pictures(engine, [picture], EncodeOptions(Ste(3)))
        assert encoded.header == alone.header
        back = decode_picture(engine, Packed(encoded.header, encoded.lr, None, Metadata()))
        assert 10 * abs(np.log10(alone.refined.error / error(back.pixels, picture.pixels))) < 0.01


# --- settings digest --------------------------------------------------------------------------------------------------


def test_other_settings_have_another_digest(tiny: Tiny, install_tiny: Callable[..., Tiny]) -> None:
    backbone = tiny.engine().backbone
    options = EncodeOptions(Ste(3))
    others = [
        replace(options, search=Ste(4)),
        replace(options, search=hcdcodec.Paper()),
        replace(options, quality=76),
        replace(options, details_scale=0.5),
        replace(options, details_seed=1),
    ]
    digests = [settings_digest(each, backbone.identity) for each in (options, *others)]
    networks = (made.engine().backbone.identity for made in (install_tiny(seed=9), install_tiny("tiny2")))
    digests += [settings_digest(options, network) for network in networks]
    assert len(set(digests)) == len(digests)
    assert settings_digest(options, backbone.identity) == settings_digest(EncodeOptions(Ste(3)), backbone.identity)
