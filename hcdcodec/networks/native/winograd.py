"""Residual 3x3 convolutions by Winograd's algorithm, in C, where the machine has a compiler.

PyTorch multiplies directly; `winograd.c` needs a quarter of the multiplications. It is compiled once, on first use,
into the user's cache. Without a compiler, or where the code fails its own test, everything works as before, slower.
Results do not depend on the number of threads, and differ from PyTorch's by about 3e-6 of their largest value: as with
other threads or devices there, some ten samples in a million come out one level higher or lower.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import subprocess
import tempfile
from collections.abc import Callable, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
import torch
import torch.nn.functional as F
from torch.utils.weak import WeakTensorKeyDictionary

SLOPE = 0.2
"""Of the activation below zero; the C code has it too."""

THREADS = 256
"""As many as the C code has places for."""

# Not -ffast-math: linked with it, a library makes the whole process take tiny numbers for zero.
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-std=gnu11", "-shared", "-fPIC", "-pthread")
COMPILING_S = 120.0

# The transform of weights, along one axis.
_G = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_GG = torch.kron(_G, _G)  # (36, 9)

_forward: MutableMapping[torch.Tensor, tuple[int, torch.Tensor]] = WeakTensorKeyDictionary()
_backward: MutableMapping[torch.Tensor, tuple[int, torch.Tensor]] = WeakTensorKeyDictionary()
"""Weights -> their version and what was made of them. Made at every pass, it took a third of the time of a 256-pixel
picture (by hand)."""


def applies(v: torch.Tensor) -> bool:
    """Tell whether `residual` may be used on (B, C, h, w) features now."""
    fits = v.dtype == torch.float32 and v.device.type == "cpu" and v.shape[1] % 16 == 0 and v.shape[1] <= 512
    plain = not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()
    return fits and plain and _library() is not None


def residual(v: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return `v + leaky_relu(conv2d(v, weight, bias, padding=1), 0.2)`.

    Args:
        v: (B, C, h, w) float32 on the CPU, C a multiple of 16.
        weight: (C, C, 3, 3).
        bias: (C,).
    """
    return _Residual.apply(v, weight, bias)  # type: ignore[no-any-return, no-untyped-call]


class _Residual(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        v = v.contiguous(memory_format=torch.channels_last)
        out = _convolution(v, _kept(_forward, weight, _transformed), bias.detach().contiguous(), v)
        ctx.save_for_backward(v, out, weight)
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        v, out, weight = ctx.saved_tensors
        slope = slopes[0].contiguous(memory_format=torch.channels_last)
        inner = _activation_gradient(v, out, slope)
        by_input = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            by_input = _convolution(inner, _kept(_backward, weight, _transformed_back), None, slope)
        if ctx.needs_input_grad[1]:
            by_weight, by_bias = _weight_gradient(v, inner), inner.sum((0, 2, 3))
        return by_input, by_weight, by_bias


def _kept(
    made: MutableMapping[torch.Tensor, tuple[int, torch.Tensor]],
    weight: torch.Tensor,
    make: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return what `make` makes of weights, from an earlier call if they have not changed since."""
    if weight.is_inference():  # those have no version
        return make(weight)
    held = made.get(weight)
    if held is None or held[0] != weight._version:
        held = made[weight] = weight._version, make(weight)
    return held[1]


def _transformed(weight: torch.Tensor) -> torch.Tensor:
    """(out, in, 3, 3) -> [36][out / 16][in][16]."""
    outs, ins = weight.shape[:2]
    points = _GG @ weight.detach().permute(2, 3, 1, 0).reshape(9, ins * outs)
    return points.reshape(36, ins, outs // 16, 16).transpose(1, 2).contiguous()


def _transformed_back(weight: torch.Tensor) -> torch.Tensor:
    """Transform the weights of the convolution that takes gradients back."""
    return _transformed(weight.flip(2, 3).transpose(0, 1))


def _convolution(x: torch.Tensor, u: torch.Tensor, bias: torch.Tensor | None, add: torch.Tensor) -> torch.Tensor:
    (count, ins, height, width), outs = x.shape, u.shape[1] * 16
    out = torch.empty_like(add, memory_format=torch.channels_last)
    addresses = (x.data_ptr(), u.data_ptr(), None if bias is None else bias.data_ptr(), add.data_ptr(), out.data_ptr())
    _check(_code().convolution(*addresses, count, height, width, ins, outs, _threads()))
    return out


def _weight_gradient(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    (count, ins, height, width), outs, threads = x.shape, slope.shape[1], _threads()
    parts = torch.zeros(threads, 36, ins * outs)
    addresses = x.data_ptr(), slope.data_ptr(), parts.data_ptr()
    _check(_code().weight_gradient(*addresses, count, height, width, ins, outs, threads))
    by_weight = _GG.T @ parts.sum(0)
    return by_weight.reshape(3, 3, ins, outs).permute(3, 2, 0, 1).contiguous()


def _activation_gradient(before: torch.Tensor, after: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """What a step adds has the sign of what it activated, so that `before` and `after` tell which side that was on."""
    inner = torch.empty_like(slope)
    addresses = before.data_ptr(), after.data_ptr(), slope.data_ptr(), inner.data_ptr()
    _check(_code().activation_gradient(*addresses, slope.numel(), _threads()))
    return inner


def _threads() -> int:
    return min(torch.get_num_threads(), THREADS)


def _check(failed: int) -> None:
    if failed:
        raise MemoryError


def _code() -> ctypes.CDLL:
    library = _library()
    assert library is not None, "callers ask `applies` first"
    return library


@cache
def _library() -> ctypes.CDLL | None:
    """Return the compiled code; None where there is none, or it computes nonsense."""
    if os.environ.get("HCDCODEC_NATIVE") == "0":
        return None
    try:
        library = _load(_compiled())
    except (OSError, subprocess.SubprocessError):
        return None
    return library if _sane(library) else None


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    pointer, number = ctypes.c_void_p, ctypes.c_long
    library.convolution.argtypes = [pointer] * 5 + [number] * 5 + [ctypes.c_int]
    library.activation_gradient.argtypes = [pointer] * 4 + [number, ctypes.c_int]
    library.weight_gradient.argtypes = [pointer] * 3 + [number] * 5 + [ctypes.c_int]
    return library


def _compiled() -> Path:
    """Return the shared library, compiled for this processor unless an earlier call did.

    Raises:
        OSError: no compiler, or nowhere to write.
        subprocess.SubprocessError: it does not compile.
    """
    source = Path(__file__).with_suffix(".c")
    command = [*shlex.split(os.environ.get("CC", "cc")), *FLAGS]
    key = hashlib.sha256(source.read_bytes() + repr((command, _processor())).encode()).hexdigest()[:16]
    path = Path(platformdirs.user_cache_dir("hcdcodec")) / f"winograd-{key}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            subprocess.run(
                [*command, str(source), "-o", str(made)], check=True, capture_output=True, timeout=COMPILING_S
            )
            made.replace(path)
    return path


def _processor() -> str:
    """Return what the code is compiled for: a cache may be shared by machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    told = (line for line in lines if line.startswith(("flags", "Features")))
    return f"{platform.machine()} {platform.processor()} {next(told, '')}"


def _sane(library: ctypes.CDLL) -> bool:
    """Compare one small convolution with PyTorch's."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 5, 7, generator=random).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(16, 16, 3, 3, generator=random), torch.randn(16, generator=random)
    u, out = _transformed(weight), torch.empty_like(x)
    addresses = (values.data_ptr() for values in (x, u, bias, x, out))
    failed = library.convolution(*addresses, 1, 5, 7, 16, 16, 1)
    exact = x + F.leaky_relu(F.conv2d(x, weight, bias, padding=1), SLOPE)
    return not failed and bool((out - exact).abs().max() < 1e-4 * exact.abs().max())
