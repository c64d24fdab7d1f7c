"""Formats that need a package which is not always installed."""

import importlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from hcdcodec.errors import PictureError
from hcdcodec.files.picture_names import Format

_LOADING = threading.Lock()


@dataclass(frozen=True)
class Plugin:
    """A format of Pillow that a package adds.

    Attributes:
        name: what people call the format.
        module: the package, as Python imports it.
        package: the package, as pip calls it.
    """

    name: str
    module: str
    package: str


_PLUGINS: Mapping[Format, Plugin] = {
    Format.HEIC: Plugin("HEIC", "pillow_heif", "pillow-heif"),
    Format.JXL: Plugin("JPEG XL", "pillow_jxl", "pillow-jxl-plugin"),
}


def require(fmt: Format) -> None:
    """Make sure that Pillow knows a format. Its package is imported at the first use.

    Raises:
        PictureError: the package is missing.
    """
    plugin = _PLUGINS.get(fmt)
    if plugin is None:
        return
    try:
        with _LOADING:
            module = importlib.import_module(plugin.module)
            if fmt is Format.HEIC:  # the other one registers itself
                module.register_heif_opener()
    except ImportError as error:
        words = f"{plugin.name} needs the package {plugin.package}"
        raise PictureError(f"{words}; pip install 'hcdcodec[{fmt}]'") from error
