"""Image codec whose small file is a small picture, searched against the very decoder that will read it.

    data = hcdcodec.encode(pixels, scale=4)    # PNG file as bytes; encode_report tells more
    pixels = hcdcodec.decode(data)

Nothing here imports torch until a function that needs it is called. Who imports torch first should set OMP_WAIT_POLICY
to passive in the environment before that, as this module does.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from hcdcodec.errors import (
    ContainerError,
    DamagedError,
    EditedError,
    HcdError,
    ModelError,
    NotOursError,
    OutputError,
    PictureError,
    UnsupportedError,
    UsageError,
)

# torch reads this when it comes in. Threads of its that spin while they wait keep the cores from those that convolve,
# read and write: a picture of 512x768 then took 2.8 s instead of 1.7 by default, 13 s instead of 2.8 on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    __version__: str
    from hcdcodec.api import Result, decode, encode, encode_report
    from hcdcodec.codec.options import EncodeOptions, Target
    from hcdcodec.codec.search.options import Paper, Ste
    from hcdcodec.networks.registry import load_backbone

_ROOMS = {
    "encode": "hcdcodec.api",
    "encode_report": "hcdcodec.api",
    "decode": "hcdcodec.api",
    "Result": "hcdcodec.api",
    "Target": "hcdcodec.codec.options",
    "load_backbone": "hcdcodec.networks.registry",
    "EncodeOptions": "hcdcodec.codec.options",
    "Paper": "hcdcodec.codec.search.options",
    "Ste": "hcdcodec.codec.search.options",
}

__all__ = [
    "ContainerError",
    "DamagedError",
    "EditedError",
    "EncodeOptions",
    "HcdError",
    "ModelError",
    "NotOursError",
    "OutputError",
    "Paper",
    "PictureError",
    "Result",
    "Ste",
    "Target",
    "UnsupportedError",
    "UsageError",
    "__version__",
    "decode",
    "encode",
    "encode_report",
    "load_backbone",
]


def __getattr__(name: str) -> object:
    """Find a public name when it is first used: torch takes seconds that `--help` does not have."""
    if name == "__version__":
        return _version()
    if name not in _ROOMS:
        raise AttributeError(f"module 'hcdcodec' has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)


def _version() -> str:
    """Return the installed version; looking it up costs as much as all the rest of `--help`."""
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("hcdcodec"))
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"
