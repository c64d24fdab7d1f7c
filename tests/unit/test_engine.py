"""Batches become smaller where memory does not suffice, and nothing is lost by it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import Draw, float32_engine
from torch.utils._python_dispatch import TorchDispatchMode

from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.engine import Engine
from hcdcodec.engine.gradient import loss_gradient
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.format.container import Packed
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.networks.crn import Crn
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture
from hcdcodec.tiles import plan

Shortage = Callable[[], RuntimeError]

SHORTAGES = (
    lambda: torch.OutOfMemoryError("CUDA out of memory."),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    lambda: RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    lambda: RuntimeError("GET was unable to find an engine to execute this computation"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
)


class Cramped(Crn):
    """A network on a device that has room for so many tiles, no matter what the engine was promised."""

    def __init__(self, room: int, shortage: Shortage) -> None:
        super().__init__(4, width=8, encoder_depth=1, decoder_depth=1)
        self.room, self.shortage = room, shortage
        self.tried: list[int] = []
        torch.nn.init.normal_(self.decoder.tail.weight, std=0.1, generator=torch.Generator().manual_seed(0))

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        self.tried.append(len(lr))
        if len(lr) > self.room:
            raise self.shortage()
        return super().upscale(lr, details)


def engine_with(room: int, shortage: Shortage = SHORTAGES[0]) -> Engine:
    torch.manual_seed(0)
    network = Cramped(room, shortage).eval().requires_grad_(requires_grad=False)
    return Engine(network, torch.device("cpu"), torch.float32, 1 << 20)


def tried(engine: Engine) -> list[int]:
    assert isinstance(engine.backbone, Cramped)
    return engine.backbone.tried


@pytest.fixture
def pictures(draw: Draw) -> list[Picture]:
    return [Picture(draw(24, 32, 3, seed=seed)) for seed in range(9)]


@pytest.mark.parametrize("shortage", SHORTAGES)
@pytest.mark.parametrize("room", [1, 2, 5, 8])
def test_batches_are_halved_until_they_fit(pictures: list[Picture], room: int, shortage: Shortage) -> None:
    ample, cramped = engine_with(99), engine_with(room, shortage)
    options = EncodeOptions(Ste(3))
    expected, found = (encode_pictures(engine, pictures, options) for engine in (ample, cramped))
    for one, two in zip(expected, found, strict=True):
        assert np.abs(one.lr.astype(int) - two.lr).max() <= 1
        assert one.refined.error == pytest.approx(two.refined.error, rel=1e-3)
    assert max(tried(ample)) == 9
    failures = [count for count in tried(cramped) if count > room]
    # What was learnt holds for the whole search, whatever it computes.
    assert failures == [9, 4, 2][: len(failures)]
    assert tried(cramped)[: len(failures)] == failures


def test_later_pictures_profit(pictures: list[Picture]) -> None:
    engine = engine_with(4)
    for _ in range(2):
        encode_pictures(engine, pictures, EncodeOptions(Ste(1)))
    assert [count for count in tried(engine) if count > 4] == [9]


@pytest.mark.parametrize("shortage", SHORTAGES)
def test_a_tile_that_does_not_fit_says_so(pictures: list[Picture], shortage: Shortage) -> None:
    with pytest.raises(MemoryError):
        encode_pictures(engine_with(0, shortage), pictures, EncodeOptions(Ste(1)))


def test_other_errors_are_not_taken_for_a_shortage(pictures: list[Picture]) -> None:
    engine = engine_with(4, lambda: RuntimeError("sizes do not agree"))
    with pytest.raises(RuntimeError, match="sizes do not agree"):
        encode_pictures(engine, pictures, EncodeOptions(Ste(1)))
    assert tried(engine) == [9]


def test_one_large_picture_is_decoded_in_smaller_batches(draw: Draw) -> None:
    ample, cramped = engine_with(99), engine_with(3)
    (encoded,) = encode_pictures(ample, [Picture(draw(96, 80, 3))], EncodeOptions(Ste(0)))
    packed = Packed(replace(encoded.header, tile=4), encoded.lr, None, Metadata())
    expected, found = (decode_picture(engine, packed).pixels.astype(int) for engine in (ample, cramped))
    assert np.abs(expected - found).max() <= 1
    assert tried(cramped)[:5] == [20, 10, 5, 2, 2]
    assert sum(count for count in tried(cramped) if count <= 3) == 20


class Looks(TorchDispatchMode):
    """Counts how often a single number is fetched from the device, which a GPU would have to stop for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("quality", [100, DEFAULT_QUALITY])
def test_a_step_looks_once_at_the_numbers_of_all_pictures(
    pictures: list[Picture], quality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists, to_list = list[torch.Size](), torch.Tensor.tolist

    def listen(self: torch.Tensor) -> object:
        lists.append(self.shape)
        return to_list(self)

    monkeypatch.setattr(torch.Tensor, "tolist", listen)
    counts = []
    for steps in (1, 4):
        lists.clear()
        with Looks() as mode:
            encode_pictures(engine_with(99), pictures, EncodeOptions(Ste(steps), quality=quality))
        assert mode.count == 0
        counts.append(len(lists))
    in_acceptance = {5, 6}  # errors and bits of the start, of the last iterates, and of rivals where there are any
    assert counts[0] - 1 in in_acceptance and counts[1] - 4 in in_acceptance


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch uses what it deprecates
def test_a_compiled_search_finds_as_much(pictures: list[Picture]) -> None:
    plain = engine_with(99)
    compiled = replace(plain, is_compiled=True)
    expected, found = (encode_pictures(engine, pictures, EncodeOptions(Ste(2))) for engine in (plain, compiled))
    for one, two in zip(expected, found, strict=True):
        assert one.refined.error < one.refined.error_before
        assert one.refined.error == pytest.approx(two.refined.error, rel=1e-2)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_crn_adds_its_correction_to_bilinear_interpolation(scale: int) -> None:
    torch.manual_seed(0)
    network = Crn(scale, width=8, encoder_depth=1, decoder_depth=1).eval().requires_grad_(requires_grad=False)
    torch.nn.init.normal_(network.decoder.tail.weight, std=0.1)
    lr = torch.rand(2, 3, 5, 7).contiguous(memory_format=torch.channels_last)
    smooth = F.interpolate(lr, scale_factor=float(scale), mode="bilinear", align_corners=False)
    assert torch.equal(network.upscale(lr), smooth + F.pixel_shuffle(network.decoder(lr - 0.5), scale))


def test_the_gradient_of_a_grey_picture_is_that_of_each_of_three_equal_channels(draw: Draw) -> None:
    engine, task = float32_engine("bicubic", 4), TileTask(24, 32, plan(6, 8, 4, 2))
    lr, target = torch.rand(1, 6, 8), torch.from_numpy(draw(24, 32))[None]
    grey, colour = (
        loss_gradient(engine, [lr.expand(count, -1, -1)], [task], [target.expand(count, -1, -1)]).slopes[0]
        for count in (1, 3)
    )
    torch.testing.assert_close(colour, grey.expand(3, -1, -1))
