"""What a GPU is asked and told; none is needed here, since what PyTorch says of one is put in its mouth."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hcdcodec.codec import engines
from hcdcodec.codec.engines import engines_on
from hcdcodec.engine import devices, gradient
from hcdcodec.engine.devices import (
    Precision,
    fast_type,
    find_device,
    forbid_short_products,
    memory_errors,
    take_devices,
    usual_batch_px,
)
from hcdcodec.engine.engine import Engine
from hcdcodec.engine.gradient import loss_gradient
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.errors import UsageError
from hcdcodec.networks.bicubic import Bicubic
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.registry import load_backbone
from hcdcodec.tiles import plan

GPU = torch.device("cuda", 0)
TOO_OLD = "CUDA error: no kernel image is available for execution on the device\nCompile with `TORCH_USE_CUDA_DSA`."


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One GPU, of which only the number is known."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(devices, "_check_gpu", lambda device: None)


def break_gpu(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Make a GPU of which PyTorch says so whenever it is to compute."""

    def zeros(*_: Any, **__: Any) -> torch.Tensor:
        raise RuntimeError(words)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "zeros", zeros)


def test_a_gpu_that_cannot_compute_is_named_before_the_first_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    break_gpu(monkeypatch, TOO_OLD)
    with pytest.raises(UsageError) as caught:
        take_devices("cuda")
    reason = "CUDA error: no kernel image is available for execution on the device"
    assert str(caught.value) == f"device 'cuda:0' cannot compute ({reason}); use --device cpu"


def test_auto_leaves_a_gpu_that_cannot_compute_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    break_gpu(monkeypatch, TOO_OLD)
    with pytest.warns(UserWarning, match=r"^device 'cuda:0' cannot compute \(.*\); computing on the CPU$"):
        assert take_devices("auto") == ("cpu",)


def test_a_full_gpu_is_a_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    break_gpu(monkeypatch, "CUDA error: out of memory")
    with pytest.raises(MemoryError), memory_errors():
        find_device("cuda:0")


@pytest.mark.usefixtures("gpu")
def test_auto_is_the_first_gpu() -> None:
    assert take_devices("auto,cuda,cuda:0,cpu") == ("cuda:0", "cuda:0", "cuda:0", "cpu")


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", ["cuda:1", "cuda:128", "cuda:256"])
def test_numbers_beyond_the_gpus_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch takes cuda:256 for cuda:0, and cuda:128 for a negative number."""
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    with pytest.raises(UsageError, match=rf"^device '{name}' is not there \(1 GPUs found\); use --device cpu$"):
        find_device(name)
    with pytest.raises(UsageError, match=rf"^device '{name}' is not there \(1 GPUs found\); use cpu$"):
        load_backbone("bicubic", 4, device=name)


def test_a_pytorch_for_cpus_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    with pytest.raises(UsageError, match=r"\(0 GPUs found; this PyTorch is built without CUDA\); use --device cpu$"):
        find_device("cuda")


@pytest.mark.parametrize(("capability", "fast"), [((9, 0), torch.bfloat16), ((7, 5), torch.float32)])
def test_only_gpus_that_multiply_in_bfloat16_do_so_unasked(
    capability: tuple[int, int], fast: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fast_type(Precision.AUTO, GPU, Bicubic(4)) is fast
    assert fast_type(Precision.BFLOAT16, GPU, Bicubic(4)) is torch.bfloat16


@pytest.mark.usefixtures("gpu")
def test_workers_share_the_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6 << 30, 8 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3 << 30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1 << 30)
    assert usual_batch_px("cuda") == 8 << 20
    assert usual_batch_px("cuda", 2) == 4 << 20
    assert usual_batch_px("cpu", 2) == usual_batch_px("cpu")


def test_an_engine_is_told_how_many_share_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "usual_batch_px", lambda device, workers: 100 // workers)
    assert [engine.batch_px for engine in engines_on(Bicubic(4), ("cpu", "cpu"))] == [50, 50]


@pytest.fixture
def cudnn() -> Iterator[Any]:
    yield torch.backends.cudnn
    if hasattr(torch.backends.cudnn, "conv"):
        torch.backends.cudnn.fp32_precision = "none"


def test_convolutions_on_a_gpu_are_exact_though_the_caller_allows_short_products(cudnn: Any) -> None:
    if hasattr(cudnn, "conv"):
        cudnn.fp32_precision = "tf32"
    else:
        cudnn.allow_tf32 = True
    forbid_short_products(GPU)
    assert not cudnn.allow_tf32  # PyTorch refuses to tell where its settings disagree
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not hasattr(cudnn, "conv") or cudnn.conv.fp32_precision == "ieee"


class Waits(TorchDispatchMode):
    """Counts the copies to another device for which a CPU would wait until a GPU has done all before."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.copies, self.count = 0, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and kwargs.get("device", args[0].device) != args[0].device:
            self.copies += 1
            self.count += not kwargs.get("non_blocking")
        return func(*args, **kwargs)


def test_a_gradient_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    place = torch.device("meta")  # stands for a GPU; it knows no autocast
    monkeypatch.setattr(gradient, "precise", lambda *_: contextlib.nullcontext())
    network = Crn(4, width=8, encoder_depth=1, decoder_depth=1).eval().requires_grad_(requires_grad=False).to(place)
    engine = Engine(network, place, torch.float32, 1 << 20)
    task = TileTask(64, 64, plan(16, 16, 8, network.halo_px or 0))
    lr, luma = torch.empty(3, 16, 16, device=place), torch.empty(1, 1, 1, device=place)
    target = torch.empty(3, 64, 64, dtype=torch.uint8, device=place)
    with Waits() as waits:
        loss_gradient(engine, [lr], [task], [target], [luma])
    assert waits.copies and not waits.count
