"""Devices: which there are, what fits into their memory, which float type is fast on them."""

import contextlib
import time
from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F

from hcdcodec.errors import UsageError


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn the errors that torch has for too little memory into `MemoryError`."""
    try:
        yield
    except RuntimeError as error:
        if is_shortage(error):
            raise MemoryError from error
        raise


def precise(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Return the context that makes convolutions on a device use `dtype`."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


@cache
def gains_by_bfloat16() -> bool:
    """Tell whether convolutions are faster in bfloat16 on this processor, by a fifth at least.

    Where the processor lacks it, it is emulated and slower. Where it has it, only time tells: matrix units make it many
    times faster, but there are processors (AVX512-BF16 without them) that take 1.9 times as long as in float32.
    """
    if not torch.cpu._is_avx512_bf16_supported():
        return False
    v = torch.zeros(1, 64, 36, 36).contiguous(memory_format=torch.channels_last)
    weight = torch.zeros(64, 64, 3, 3)
    return _shortest_s(v, weight) > 1.2 * _shortest_s(v.bfloat16(), weight.bfloat16())


def _shortest_s(v: torch.Tensor, weight: torch.Tensor) -> float:
    """Return the shortest of ten times that a convolution takes, in seconds."""
    times = []
    with torch.inference_mode():
        for _ in range(10):
            begun = time.perf_counter()
            F.conv2d(v, weight, padding=1)
            times.append(time.perf_counter() - begun)
    return min(times)


def usual_batch_px(device: str) -> int:
    """Return the HR pixels in flight that suit a device: on a GPU, what its free memory seems to hold.

    A pixel in flight takes 480 bytes with crn x4, 800 with x2, 3400 with irn x2 (by hand, in float32 on a CPU). Where
    that is more than is there, batches are halved.
    """
    place = find_device(device)
    if place.type != "cuda":
        return 1 << 20
    free = torch.cuda.mem_get_info(place)[0]
    free += torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)  # kept by torch, and free
    return max(1 << 18, min(1 << 24, free // 1024))


def take_devices(names: str) -> tuple[str, ...]:
    """Return the devices of a list, one a worker; those that are the CPU share its threads from now on.

    Args:
        names: such as "auto", "cuda:0,cuda:1" or "cpu,cpu".

    Raises:
        UsageError: one of them does not exist here.
    """
    devices = [find_device(name) for name in names.split(",")]
    if (workers := sum(device.type == "cpu" for device in devices)) > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    return tuple(map(str, devices))


def find_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is the first GPU, or else the CPU.

    Raises:
        UsageError: it does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no device is called {name!r}; there are auto, cpu, cuda and cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; there are auto, cpu, cuda and cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name!r} is not there ({torch.cuda.device_count()} GPUs found); use --device cpu")
    # Without a number it would mean another GPU whenever a program chooses another.
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def is_shortage(error: RuntimeError) -> bool:
    """Tell whether memory did not suffice; only the allocator of GPUs has an error class of its own for that."""
    said = (
        "DefaultCPUAllocator: can't allocate memory",
        "CUDA error: out of memory",  # of pinned memory
        "CUDNN_STATUS_ALLOC_FAILED",
        "CUBLAS_STATUS_ALLOC_FAILED",
    )
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in said)
