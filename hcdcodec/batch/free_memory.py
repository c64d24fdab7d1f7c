"""What the C library keeps of freed memory."""

import ctypes

_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; other libraries keep little


def trim() -> None:
    """Give freed memory back to the system, also from between blocks that live on: a long run would hoard it."""
    if _malloc_trim is not None:
        _malloc_trim(ctypes.c_size_t(0))
