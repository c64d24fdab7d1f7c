"""Image codec whose small file is a small picture, which the encoder optimises for its decoder.

    data = hcdcodec.encode(pixels, scale=4)    # PNG file as bytes; encode_report returns measured values, too
    pixels = hcdcodec.decode(data)

This module imports torch only when a function that needs it is called. A program that imports torch before hcdcodec
should first set OMP_WAIT_POLICY to passive in the environment, as this module does.
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

# torch's OpenMP reads this variable when it is loaded. By default its threads spin while they wait, and take the cores
# from the threads that compute, read and write. That slows down encoding, most of all on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    __version__: str
    from hcdcodec.api import Result, decode, encode, encode_report
    from hcdcodec.codec.options import EncodeOptions, Target
    from hcdcodec.codec.search.options import Paper, Ste
    from hcdcodec.networks.registry import load_backbone

_MODULES = {
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
    """Import a public name when it is first used. Importing torch takes seconds, and `--help` must not wait for it."""
    if name == "__version__":
        return _version()
    if name not in _MODULES:
        raise AttributeError(f"module 'hcdcodec' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """List the public names, those that were not used yet, too."""
    return __all__


def _version() -> str:
    """Return the installed version. It is looked up on demand, since that takes as long as the rest of `--help`."""
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("hcdcodec"))
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"
