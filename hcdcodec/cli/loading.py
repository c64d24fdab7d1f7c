"""Load what computes: torch, and all modules that need it."""

import gc
from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")


def load(make: Callable[[], Made]) -> Made:
    """Call a function that imports torch, and keep the garbage collector away from what it imports.

    Modules stay until the end, so the collector finds nothing there. Its searches, while they are imported and when
    Python ends, would take a sixth of the time of decoding a picture.
    """
    gc.disable()
    try:
        return make()
    finally:
        gc.freeze()
        gc.enable()
