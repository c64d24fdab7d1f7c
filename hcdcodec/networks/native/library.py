"""The C library of convolutions: where it is, what it takes, and which of its levels this processor can run.

It is built when hcdcodec is installed (build.py) and lies beside this file. Nothing is compiled or looked for anywhere
else later on. Where it is missing, or the processor has less than AVX2, PyTorch's convolutions serve.
"""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hcdcodec.errors import UsageError

PATH = Path(__file__).resolve().with_name("libwinograd.so")

LEVELS = ("avx512bf16", "avx512", "avx2")
"""What the library is compiled for, best first."""

PANEL, CHANNELS, THREADS, CONVOLUTIONS = 16, 512, 256, 64
"""Channels are multiples of PANEL, up to CHANNELS; the most threads and convolutions in a call. As in winograd.h."""

_POINTER, _LONG, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int


class Convolution(ctypes.Structure):
    """See winograd.h."""

    _fields_ = (
        *((name, _POINTER) for name in ("x", "leaks", "u", "bias", "add", "out", "signs", "scratch")),
        *((name, _LONG) for name in ("b", "h", "w", "ins", "outs")),
        *((name, _INT) for name in ("activates", "half")),
    )


class Correlation(ctypes.Structure):
    """See winograd.h."""

    _fields_ = (
        *((name, _POINTER) for name in ("x", "slopes", "leaks", "by_weight", "by_bias", "scratch")),
        *((name, _LONG) for name in ("b", "h", "w", "ins", "outs")),
        ("half", _INT),
    )


@dataclass(frozen=True)
class Kernel:
    """The library at one level.

    Attributes:
        level: one of `LEVELS`.
        convolve: (array of `Convolution`, how many, threads).
        correlate: (a `Correlation`, threads).
        convolve_scratch: (ins, outs) -> bytes that a thread needs.
        correlate_scratch: (b, h, w, ins, outs) -> bytes that all threads together need.
    """

    level: str
    convolve: Callable[..., None]
    correlate: Callable[..., None]
    convolve_scratch: Callable[..., int]
    correlate_scratch: Callable[..., int]

    @property
    def halves(self) -> bool:
        """Return whether it can multiply in bfloat16."""
        return self.level == "avx512bf16"


def allowed_levels() -> tuple[str, ...]:
    """Return the levels that the user allows: $HCDCODEC_NATIVE is 0 for none, or the highest one to use.

    Raises:
        UsageError: it is something else.
    """
    highest = os.environ.get("HCDCODEC_NATIVE") or LEVELS[0]
    if highest == "0":
        return ()
    if highest not in LEVELS:
        raise UsageError(f"HCDCODEC_NATIVE is {highest!r}, which is no kernel; set it to 0, avx2, avx512 or avx512bf16")
    return LEVELS[LEVELS.index(highest) :]


@cache
def kernel() -> Kernel | None:
    """Return the best allowed level that this processor has; None where there is none.

    Raises:
        UsageError: $HCDCODEC_NATIVE is wrong.
    """
    allowed = allowed_levels()
    if not allowed or not PATH.is_file():
        return None
    try:
        library = ctypes.CDLL(str(PATH))
    except OSError:  # for another C library or processor
        return None
    return next((_at(level, library) for level in allowed if library[f"supports_{level}"]()), None)


def manner() -> str:
    """Return which kernel runs here, for a line of text."""
    found = kernel()
    if found is not None:
        return f"kernel {found.level}"
    if not allowed_levels():
        return "no kernel (HCDCODEC_NATIVE is 0), which is slower"
    if not PATH.is_file():
        return "no kernel (installed without a C compiler for this processor), which is slower"
    return "no kernel (this processor lacks AVX2), which is slower"


def _at(level: str, library: ctypes.CDLL) -> Kernel:
    convolve, correlate = library[f"convolve_{level}"], library[f"correlate_{level}"]
    convolve.argtypes = [ctypes.POINTER(Convolution), _INT, _INT]
    correlate.argtypes = [ctypes.POINTER(Correlation), _INT]
    convolve.restype = correlate.restype = None
    sizes = library.convolve_scratch, library.correlate_scratch
    for size, count in zip(sizes, (2, 5), strict=True):
        size.argtypes, size.restype = [_LONG] * count, _LONG
    return Kernel(level, convolve, correlate, *sizes)
