"""SSIMULACRA2, a measure of what people see: 100 is no visible difference, 70 high quality, 50 medium, 10 low.

The package of that name computes it. It is an extra, since it needs SciPy and takes about 2 s a megapixel.
"""

import io

from PIL import Image

from hcdcodec.errors import UsageError
from hcdcodec.pictures.picture import Levels, expand

_SIDE_MIN = 8
"""The package calls every smaller picture perfect."""


def check_installed() -> None:
    """Make sure that the package is there.

    Raises:
        UsageError: it is missing.
    """
    try:
        import ssimulacra2  # noqa: F401
    except ImportError as error:
        raise UsageError("SSIMULACRA2 needs the package ssimulacra2; pip install 'hcdcodec[ssimulacra2]'") from error


def score(original: Levels, decoded: Levels) -> float | None:
    """Return SSIMULACRA2 of a reconstruction, at most 100; None where the picture is too small for it.

    Args:
        original: (H, W) or (H, W, 3) uint8.
        decoded: the reconstruction, of the same size.
    """
    from ssimulacra2 import compute_ssimulacra2

    if min(original.shape[:2]) < _SIDE_MIN:
        return None
    return float(compute_ssimulacra2(_as_file(original), _as_file(decoded)))


def _as_file(pixels: Levels) -> io.BytesIO:
    """Return a picture as the package takes it: as a file, here without compression."""
    buffer = io.BytesIO()
    Image.fromarray(expand(pixels)).save(buffer, "BMP")
    buffer.seek(0)
    return buffer
