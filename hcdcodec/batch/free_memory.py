"""Decide when memory that was freed goes back to the operating system: not between steps, but after each group."""

import ctypes

# glibc has this function. Other C libraries lack it, and they keep little freed memory.
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
_mallopt = getattr(ctypes.CDLL(None), "mallopt", None)

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The names of glibc's settings, as in malloc.h."""

_KEPT_BYTES = 1 << 28


def hold() -> None:
    """Keep freed memory until `trim`, so that the next step of a search finds it.

    By default, large blocks go back at once. Taking new ones, page by page, took a tenth of the time of a search.
    """
    if _mallopt is not None:
        _mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        _mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)


def trim() -> None:
    """Return freed memory to the system, also from gaps between live blocks; otherwise a long run would keep it."""
    if _malloc_trim is not None:
        _malloc_trim(ctypes.c_size_t(0))
