"""Return memory to the operating system that the C library would keep."""

import ctypes

# glibc has this function. Other C libraries lack it, and they keep little freed memory.
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def trim() -> None:
    """Return freed memory to the system, also from gaps between live blocks; otherwise a long run would keep it."""
    if _malloc_trim is not None:
        _malloc_trim(ctypes.c_size_t(0))
