"""What a GPU is asked and told; none is needed here, since what PyTorch says of one is put in its mouth."""

from typing import Any

import pytest
import torch

from hcdcodec.engine import devices
from hcdcodec.engine.devices import (
    find_device,
    memory_errors,
    take_devices,
)
from hcdcodec.errors import UsageError
from hcdcodec.networks.registry import load_backbone

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
