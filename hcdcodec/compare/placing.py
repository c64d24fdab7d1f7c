"""Give each picture of a page its place: inside the page, or in a file beside it."""

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from hcdcodec.files import disk
from hcdcodec.files.picture_names import Format
from hcdcodec.pictures.picture import Levels, expand
from hcdcodec.pictures.writing import SIDES


def embed(pixels: Levels, icc: bytes | None) -> str:
    """Return a URL that holds a picture itself."""
    kind, data = _store(pixels, icc)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def put_beside(
    page: Path, pictures: Path, stem: str, pixels: Levels, icc: bytes | None, sources: Sequence[Path]
) -> str:
    """Write a picture to a file, and return its URL as seen from the page.

    Args:
        page: the page's file, in a folder above `pictures`.
        pictures: the folder of the picture files.
        stem: name of the file without its suffix; signs that have a meaning in URLs are replaced.
        pixels: (H, W) or (H, W, 3) uint8.
        icc: an RGB profile, by which browsers show the colours.
        sources: files that decide who may read the new one.

    Raises:
        OutputError: the file cannot be stored.
    """
    kind, data = _store(pixels, icc)
    path = pictures / f"{re.sub(r'[^A-Za-z0-9]+', '-', stem)}.{kind}"
    disk.write_atomic(path, data, sources=sources)
    return path.relative_to(page.parent).as_posix()


def _store(pixels: Levels, icc: bytes | None) -> tuple[str, bytes]:
    """Return kind and bytes of a file that holds the samples without loss, and no metadata but the profile."""
    # All current browsers show lossless WebP, which is smaller than PNG.
    kind = "webp" if max(pixels.shape[:2]) <= SIDES[Format.WEBP] else "png"
    buffer = io.BytesIO()
    # The profile describes three channels, and a PNG would keep a grey picture grey.
    Image.fromarray(expand(pixels)).save(buffer, kind, lossless=True, icc_profile=icc)
    return kind, buffer.getvalue()
