"""Check that a header, its LR and the network fit together, and that decoding does not cost too much.

Decoding and verifying share this check. The header may come from a stranger, so its tile plan is limited by the size of
the picture. The limits allow all files that any release has written, for all networks, scales and sizes.
"""

from hcdcodec.errors import ContainerError, DamagedError, EditedError
from hcdcodec.format.header import RESTORE, Header
from hcdcodec.tiles import count_windows, largest_tile

_LR_SLACK = 16  # a network whose `multiple` is larger than its scale pads the LR, by fewer rows and columns than this
_SMALL_LR = 1 << 16

# Limits for tile plans that are read from a file.

_WINDOW_PX = 1 << 20
"""Largest number of HR pixels in one window; a full batch of a CPU has as many. The encoder may use larger ones."""

_OVERLAP = 16
"""Largest number of windows that cover each LR sample, on average. In the encoder's plans it is less than 4."""

_FEW_WINDOWS, _WINDOW_MEAN = 64, 64
"""Number of windows that is always allowed, and LR samples for each further window, since each has a fixed cost."""


def fits(header: Header, lr_height: int, lr_width: int) -> bool:
    """Tell whether an LR of this size can belong to the header's picture, for any network."""
    slack = (lr_height - -(-header.height // header.scale), lr_width - -(-header.width // header.scale))
    return all(0 <= extra < _LR_SLACK for extra in slack)


def check_sizes(header: Header, lr_height: int, lr_width: int, max_pixels: int) -> None:
    """Check sizes before anything is allocated.

    Args:
        header: header of the file.
        lr_height: rows of the stored picture.
        lr_width: columns of the stored picture.
        max_pixels: largest number of HR pixels.

    Raises:
        EditedError: the LR cannot belong to the header's picture.
        ContainerError: the picture has more than `max_pixels`.
    """
    if not fits(header, lr_height, lr_width):
        raise EditedError(f"the picture was resized or cropped after encoding; {RESTORE}")
    # The limit on HR pixels holds for the LR, too. A small LR may be a little larger, because of padding to a multiple.
    if header.pixel_count > max_pixels or lr_height * lr_width > max_pixels + _SMALL_LR:
        raise ContainerError(
            f"decoding would give {header.pixel_count} pixels, the limit is {max_pixels}; raise --max-pixels"
        )


def check_geometry(header: Header, lr_height: int, lr_width: int, *, multiple: int, halo_px: int | None) -> None:
    """Check against the network: the exact size of the LR, and the limits of the tile plan.

    Args:
        header: header of the file.
        lr_height: rows of the LR.
        lr_width: columns of the LR.
        multiple: `multiple` of the network.
        halo_px: `halo_px` of the network.

    Raises:
        DamagedError: the LR has another size, or encoding never plans such tiles.
    """
    expected = tuple(-(-size // multiple) * multiple // header.scale for size in (header.height, header.width))
    if (lr_height, lr_width) != expected:
        raise DamagedError(f"the LR's size does not fit the header; {RESTORE}")
    if not _is_reasonable(header, lr_height, lr_width, halo_px):
        raise DamagedError(f"the header's tiles are none that hcdcodec makes; {RESTORE}")


def _is_reasonable(header: Header, lr_height: int, lr_width: int, halo_px: int | None) -> bool:
    count, window = count_windows(lr_height, lr_width, header.tile, header.halo)
    tile, halo = largest_tile(halo_px)
    samples = lr_height * lr_width
    window_max = max(_WINDOW_PX // header.scale**2, (tile + 2 * halo) ** 2)
    return (
        window <= window_max
        and count <= _FEW_WINDOWS + samples // _WINDOW_MEAN
        and count * window <= _OVERLAP * samples
    )
