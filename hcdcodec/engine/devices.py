"""Find devices, the batch size that fits into their memory, and the float type that is fast on them."""

import contextlib
import warnings
from collections.abc import Iterator
from enum import StrEnum, auto

import torch

from hcdcodec.errors import UsageError
from hcdcodec.networks.base import Backbone


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn torch's errors about missing memory into `MemoryError`."""
    try:
        yield
    except RuntimeError as error:
        if is_shortage(error):
            raise MemoryError from error
        raise


def precise(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Return the context that makes convolutions on a device use `dtype`, whatever a caller in Python has chosen."""
    if dtype == torch.float32:
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype)


def forbid_short_products(device: torch.device) -> None:
    """Make products of float32 exact on a device from now on: shorter ones would move decoded pixels.

    These are settings of the whole process. A caller in Python may have changed them since the last picture.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        # In PyTorch 2.9 and later this alone would leave to convolutions what a caller has set for all operators.
        if (convolutions := getattr(torch.backends.cudnn, "conv", None)) is not None:
            # Both at once: PyTorch cannot tell `allow_tf32` any more where they differ.
            convolutions.fp32_precision = "ieee"
            torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
        return
    torch.set_float32_matmul_precision("highest")
    # PyTorch 2.9 and later have a setting of its own for convolutions.
    if (convolutions := getattr(torch.backends.mkldnn, "conv", None)) is not None:
        convolutions.fp32_precision = "ieee"


@contextlib.contextmanager
def own_modes() -> Iterator[None]:
    """Compute as in a new process: in some modes of torch, no gradients come, or tensors stand on other devices."""
    place = contextlib.nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    with torch.inference_mode(False), place:
        yield


class Precision(StrEnum):
    """The float type of products in convolutions while gradients are computed. All other work is float32."""

    AUTO = auto()
    FLOAT32 = auto()
    BFLOAT16 = auto()


def fast_type(precision: Precision, device: torch.device, backbone: Backbone) -> torch.dtype:
    """Return the float type for gradients: the one that was asked for, or the one that suits device and network.

    Only the abilities of the processor decide, never a measured time. So a CPU always gives the same bytes. A GPU adds
    gradients of the interpolation in any order, and may give others.
    """
    if precision is not Precision.AUTO:
        return torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16
    if device.type == "cuda":
        # Older GPUs emulate bfloat16, which is slower than float32.
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _BFLOAT16_FROM else torch.float32
    if torch.cpu._is_amx_tile_supported():
        return torch.bfloat16
    # Without AVX512-BF16, bfloat16 is emulated, and slower than float32.
    own = backbone.kernel.halves if backbone.kernel else torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if own else torch.float32


_BFLOAT16_FROM = (8, 0)
"""Compute capability of the first GPUs that multiply in bfloat16 (Ampere)."""


def usual_batch_px(device: str, workers: int = 1) -> int:
    """Return a number of HR pixels in flight that suits a device, on a GPU by its free memory, which workers share.

    The divisor assumes about 1 KiB for each pixel. Networks that need more have their batches halved by `TileBatches`.
    """
    place = find_device(device)
    if place.type != "cuda":
        return 1 << 20
    free = torch.cuda.mem_get_info(place)[0]
    # torch keeps freed memory for itself, and the driver counts it as used.
    free += torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
    return max(1 << 18, min(1 << 24, free // (1024 * workers)))


def take_devices(names: str) -> tuple[str, ...]:
    """Return the devices of a list, one for each worker. Several workers on the CPU share its threads from now on.

    Args:
        names: such as "auto", "cuda:0,cuda:1" or "cpu,cpu".

    Raises:
        UsageError: this machine has no such device.
    """
    devices = [find_device(name) for name in names.split(",")]
    if (workers := sum(device.type == "cpu" for device in devices)) > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    return tuple(map(str, devices))


def find_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is the first GPU if it can compute, or else the CPU.

    Raises:
        UsageError: it does not exist here, or cannot compute.
    """
    if name == "auto":
        return _find_gpu() or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no device is called {name!r}; there are auto, cpu, cuda and cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; there are auto, cpu, cuda and cuda:N")
    if device.type == "cpu":  # it has no number
        return torch.device("cpu")
    # PyTorch takes 8 bits of the number, and would take the first GPU for cuda:256.
    if str(device) != name or (device.index or 0) >= torch.cuda.device_count():
        built = "" if torch.backends.cuda.is_built() else "; this PyTorch is built without CUDA"
        raise UsageError(
            f"device {name!r} is not there ({torch.cuda.device_count()} GPUs found{built}); use --device cpu"
        )
    # "cuda" without a number means the current GPU, and that can change later.
    device = torch.device("cuda", device.index or 0)
    _check_gpu(device)
    return device


def _find_gpu() -> torch.device | None:
    """Return the first GPU; None where there is none, or where it cannot compute, which is said in a warning."""
    if not torch.cuda.is_available():
        return None
    try:
        return find_device("cuda")
    except UsageError as error:
        warnings.warn(f"{str(error).rpartition('; ')[0]}; computing on the CPU", stacklevel=2)
        return None


def _check_gpu(device: torch.device) -> None:
    """Compute a little on a GPU. PyTorch also counts those that it has no code for, or whose driver is too old.

    Raises:
        UsageError: it cannot compute.
    """
    try:
        torch.zeros(1, device=device).add_(1)
    except RuntimeError as error:
        if is_shortage(error):
            raise
        reason = str(error).partition("\n")[0]
        raise UsageError(f"device {str(device)!r} cannot compute ({reason}); use --device cpu") from error


def is_shortage(error: RuntimeError) -> bool:
    """Tell whether memory was too small. Only torch's allocator for GPUs has an error class of its own for this."""
    said = (
        "DefaultCPUAllocator: can't allocate memory",
        "could not create a primitive",  # of oneDNN
        "could not create a memory object",
        "std::bad_alloc",
        "CUDA error: out of memory",  # of pinned memory
        "CUDNN_STATUS_ALLOC_FAILED",
        "DEVICE_ALLOCATION_FAILED",  # of cuDNN 9
        "unable to find an engine to execute this computation",  # of cuDNN, where none found memory to work in
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUBLAS_STATUS_NOT_INITIALIZED",  # it could not get its own memory
    )
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in said)
