"""Formats that need a package which is not always installed."""

import importlib
import threading
from collections.abc import Mapping
from typing import Any

from hcdcodec.errors import PictureError
from hcdcodec.files.picture_names import Format

_LOADING = threading.Lock()

_PLUGINS: Mapping[Format, tuple[str, str, str]] = {
    Format.HEIC: ("HEIC", "pillow_heif", "pillow-heif"),
    Format.JXL: ("JPEG XL", "pillow_jxl", "pillow-jxl-plugin"),
}
"""By format: what people call it, and the package that adds it to Pillow, as Python imports it and as pip calls it."""


def require(fmt: Format) -> Any:
    """Make sure that Pillow knows a format, and return the package of the format, if it has one.

    The package is imported at the first use.

    Raises:
        PictureError: the package is missing.
    """
    if fmt not in _PLUGINS:
        return None
    name, module, package = _PLUGINS[fmt]
    try:
        with _LOADING:
            plugin = importlib.import_module(module)
            if fmt is Format.HEIC:  # the other one registers itself
                plugin.register_heif_opener()
            return plugin
    except ImportError as error:
        raise PictureError(f"{name} needs the package {package}; pip install 'hcdcodec[{fmt}]'") from error
