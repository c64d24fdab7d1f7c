"""Whether a header, its LR and the network fit together, and cost no more than the picture is worth.

One check for decoding and for verifying. A stranger may have written the header, so what it asks for is bounded by the
picture, in HR pixels. Every bound leaves room for all that any release has written, for every network, scale and size.
"""

from hcdcodec.errors import ContainerError, DamagedError, EditedError
from hcdcodec.format.header import RESTORE, Header
from hcdcodec.tiles import count_windows, usual_tile

_LR_SLACK = 16
_SMALL_LR = 1 << 16

_WINDOW_PX = 1 << 20
"""HR pixels of a window that are always allowed: a full batch takes as many. Beyond, only the encoder's own windows."""

_OVERLAP = 16
"""Samples that all windows take for each one of the LR; the encoder's own take less than 4."""

_FEW_WINDOWS, _WINDOW_MEAN = 64, 64
"""Windows that are always allowed, and samples of the LR for each further one: each has a cost of its own."""


def fits(header: Header, lr_height: int, lr_width: int) -> bool:
    """Tell whether an LR can be of the header's picture, whatever the network."""
    slack = (lr_height - -(-header.height // header.scale), lr_width - -(-header.width // header.scale))
    return all(0 <= extra < _LR_SLACK for extra in slack)


def check_sizes(header: Header, lr_height: int, lr_width: int, max_pixels: int) -> None:
    """Check sizes before anything is allocated.

    Args:
        header: of the file.
        lr_height: rows of the stored picture.
        lr_width: its columns.
        max_pixels: of the HR picture.

    Raises:
        EditedError: the LR cannot be of the header's picture.
        ContainerError: more than `max_pixels`.
    """
    if not fits(header, lr_height, lr_width):
        raise EditedError(f"the picture was resized or cropped after encoding; {RESTORE}")
    # The HR limit bounds the LR too; what padding to a multiple adds to a small one is little.
    if header.pixel_count > max_pixels or lr_height * lr_width > max_pixels + _SMALL_LR:
        raise ContainerError(
            f"decoding would give {header.pixel_count} pixels, the limit is {max_pixels}; raise the limit"
        )


def check_geometry(header: Header, lr_height: int, lr_width: int, *, multiple: int, halo_px: int | None) -> None:
    """Check what only the network can tell: the exact size of the LR, and whether its tiles are worth computing.

    Args:
        header: of the file.
        lr_height: rows of the LR.
        lr_width: its columns.
        multiple: the network's.
        halo_px: the network's.

    Raises:
        DamagedError: the LR has another size, or no encoder plans such tiles.
    """
    expected = tuple(-(-size // multiple) * multiple // header.scale for size in (header.height, header.width))
    if (lr_height, lr_width) != expected:
        raise DamagedError(f"the LR's size does not fit the header; {RESTORE}")
    if not _is_reasonable(header, lr_height, lr_width, halo_px):
        raise DamagedError(f"the header's tiles are none that hcdcodec makes; {RESTORE}")


def _is_reasonable(header: Header, lr_height: int, lr_width: int, halo_px: int | None) -> bool:
    count, window = count_windows(lr_height, lr_width, header.tile, header.halo)
    tile, halo = usual_tile(halo_px)
    samples = lr_height * lr_width
    window_max = max(_WINDOW_PX // header.scale**2, (tile + 2 * halo) ** 2)
    return (
        window <= window_max
        and count <= _FEW_WINDOWS + samples // _WINDOW_MEAN
        and count * window <= _OVERLAP * samples
    )
