"""The file format: an ordinary picture file of the LR, with a header that says how to restore the HR picture.

The LR stands in a PNG, a lossless WebP or a lossless JPEG XL: see `png_container`, `webp_container` and
`jxl_container`. The content of a file tells which. All three hold the same parts: the header
(`hcdcodec.format.header`), a copy of it in a place that other tools keep, the alpha plane as a complete PNG of HR size,
and the metadata of the HR picture.

The LR has at least ceil(HR / scale) rows and columns, and fewer than 16 more. Other programs may store its pixels in
any other lossless way, and `lr_digest` shows whether the picture is still the same. The digest is not a signature:
anyone can change the picture and the digest.

One of the header and its copy is enough. These are errors, and a reader never guesses: the two differ, one of them is
there twice, a length is impossible, or a byte follows the end. A reader checks all sizes before it allocates memory.

Metadata describes colours and orientation of the stored pixels. They are the same for LR and HR, so viewers show the LR
as they would show the HR picture. The usual profile of sRGB is only named, see `hcdcodec.format.srgb_profile`.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hcdcodec.errors import DamagedError, EditedError, NotOursError, OutputError, PictureError, UsageError
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import jxl_container, png_container, webp_container
from hcdcodec.format.geometry import check_sizes, fits
from hcdcodec.format.header import RESTORE, AlphaRule, Header
from hcdcodec.format.layout import Contents, Layout, Opened, Optimise, make_raw
from hcdcodec.format.oxipng_pool import optimise
from hcdcodec.format.srgb_profile import is_srgb, make_srgb
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.boxes import Slices
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Mode, expand, single_channel
from hcdcodec.pictures.reading import png_pixels

PNG_LEVELS = range(7)
"""Presets of oxipng, from the fastest (0) to the one that searches longest for fewer bytes (6)."""

PNG_LEVEL = 2
"""Default preset of oxipng. Higher ones take long and save little; benchmarks/choices/png_levels.py measures them."""

_MAGIC_BYTES = 16

_LAYOUTS: Mapping[Container, Layout] = {
    Container.PNG: png_container,
    Container.WEBP: webp_container,
    Container.JXL: jxl_container,
}


@dataclass(frozen=True, eq=False)
class Packed:
    """The content of a file.

    Attributes:
        header: a header whose fields agree with each other; the decoder checks the weights and the LR's exact size.
        lr: (h, w) grey or (h, w, 3) RGB uint8, as `header.mode` says.
        alpha: (H, W) uint8 or None.
        metadata: metadata of the HR picture.
    """

    header: Header
    lr: Levels
    alpha: Levels | None
    metadata: Metadata


@dataclass(frozen=True)
class Description:
    """What a file says about itself, without its pixels.

    Attributes:
        container: kind of file.
        header: its header.
        lr_height: rows of the stored picture.
        lr_width: columns of the stored picture.
        metadata: metadata of the HR picture.
    """

    container: Container
    header: Header
    lr_height: int
    lr_width: int
    metadata: Metadata


def check_installed(kind: Container) -> None:
    """Make sure that a container can be written here.

    Raises:
        UsageError: a package is missing.
    """
    _LAYOUTS[kind].check_installed()


def check_sides(kind: Container, lr_height: int, lr_width: int) -> None:
    """Make sure that a container holds so many rows and columns.

    Raises:
        OutputError: it does not.
    """
    layout = _LAYOUTS[kind]
    if max(lr_height, lr_width) > layout.SIDE_MAX:
        raise OutputError(
            f"{layout.NAME} holds at most {layout.SIDE_MAX} pixels a side, and the LR has {lr_width} x {lr_height}; "
            "choose --container png"
        )


def pack(
    header: Header,
    lr: Levels,
    *,
    alpha: Levels | None,
    metadata: Metadata,
    level: int = PNG_LEVEL,
    optimise: Optimise = optimise,
    kind: Container = Container.PNG,
) -> bytes:
    """Make a file.

    Args:
        header: the header; `pack` sets `alpha_rule`, `lr_digest` and `has_srgb_profile`.
        lr: (h, w) for grey, (h, w, 3) for RGB, uint8.
        alpha: (H, W) uint8 or None.
        metadata: metadata of the HR picture.
        level: one of `PNG_LEVELS`; it changes the bytes of PNGs and not the pixels.
        optimise: makes the smallest PNG file of pixels, in this process or in another one.
        kind: container of the file.

    Raises:
        UsageError: arrays and header do not fit together, a field is out of range, or a package is missing.
        OutputError: the container cannot hold so many pixels.
    """
    _check_pack(header, lr, alpha, level)
    check_sides(kind, *lr.shape[:2])
    rule = AlphaRule.NONE if alpha is None else AlphaRule.PLANE
    is_named = is_srgb(metadata.icc)
    payload = replace(header, alpha_rule=rule, lr_digest=pixel_digest(lr), has_srgb_profile=is_named).to_bytes()
    plane = None if alpha is None else optimise(make_raw(alpha, level))
    stored = replace(metadata, icc=None) if is_named else metadata
    return _LAYOUTS[kind].write(Contents(payload, lr, plane, stored, level), optimise)


def unpack(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Packed:
    """Read all parts of a file, and check them.

    Args:
        data: the whole file.
        max_pixels: largest number of HR pixels that is decoded.

    Raises:
        NotOursError: the file is not a PNG, WebP or JPEG XL, or has no header.
        DamagedError: the file is truncated, a CRC is wrong, or fields are impossible or contradict each other.
        EditedError: the pixels are not the ones that were encoded.
        UnsupportedError: the file has a newer format, or its container needs a package that is not installed.
        ContainerError: the picture has more than `max_pixels`.
    """
    opened = _layout_of(data).open(data)
    header = Header.from_bytes(opened.header)
    check_sizes(header, opened.height, opened.width, max_pixels)
    metadata = opened.read_metadata()
    if header.has_srgb_profile and metadata.icc is None:  # a tool may have added another one
        metadata = replace(metadata, icc=make_srgb())
    return Packed(header, _read_lr(header, opened), _read_alpha(header, opened.alpha), metadata)


def describe(data: bytes) -> Description:
    """Read all parts of a file but its pixels and its alpha plane.

    Raises:
        NotOursError: the file is not a PNG, WebP or JPEG XL, or has no header.
        DamagedError: the file is truncated, a CRC is wrong, or the header makes no sense.
        UnsupportedError: the file has a newer format.
    """
    opened = _layout_of(data).open(data)
    header, metadata = Header.from_bytes(opened.header), opened.read_metadata()
    return Description(container_of(data), header, opened.height, opened.width, metadata)


def peek(data: Slices) -> Header:
    """Read the header alone, without decoding pixels.

    Args:
        data: a file, in memory or on the disk. The beginning of a PNG is enough: the first kilobyte, unless another
            tool has rewritten the file.

    Raises:
        NotOursError: the file is not a PNG, WebP or JPEG XL, or has no header.
        DamagedError: a part up to the header is truncated or fails its CRC, or the header makes no sense.
        UnsupportedError: the file has a newer format.
    """
    return Header.from_bytes(_layout_of(data[:_MAGIC_BYTES]).peek(data))


def check_end(data: Slices) -> None:
    """Check that a file is not cut off, without reading it. Damage inside is not found.

    Args:
        data: a file, in memory or on the disk. It may also be a reconstruction.

    Raises:
        NotOursError: the file is not a PNG, WebP or JPEG XL.
        DamagedError: it does not end where it must.
    """
    _layout_of(data[:_MAGIC_BYTES]).check_end(data)


def container_of(data: Slices) -> Container:
    """Return the container of a file, whether it is one of ours or not.

    Raises:
        NotOursError: the file is not a PNG, WebP or JPEG XL.
    """
    layout = _layout_of(data[:_MAGIC_BYTES])
    return next(kind for kind, known in _LAYOUTS.items() if known is layout)


def is_ours(head: bytes) -> bool:
    """Tell whether a file is one of ours, sound or damaged. Its first kilobytes are usually enough for a PNG."""
    # A search for bytes and not a walk over parts: a damaged file is still ours, and must not be encoded again.
    return any(layout.recognise(head) and layout.is_marked(head) for layout in _LAYOUTS.values())


def refuse_encoded(data: bytes) -> None:
    """Refuse a small file in the place of a source.

    Raises:
        PictureError: the file is one of ours, sound or damaged.
    """
    if is_ours(data):
        raise PictureError("picture is already encoded by hcdcodec; decode it instead")


def pixel_digest(lr: Levels) -> bytes:
    """Return 16 bytes that identify the pixels of an LR, grey or RGB. Lossless rewriting does not change them."""
    # Grey counts as RGB, because an optimiser may store grey pixels as RGB, or the reverse.
    height, width = lr.shape[:2]
    digest = hashlib.sha256(struct.pack(">II", height, width))
    digest.update(expand(lr).tobytes())
    return digest.digest()[:16]


def _layout_of(data: bytes) -> Layout:
    for layout in _LAYOUTS.values():
        if layout.recognise(data):
            return layout
    raise NotOursError("not a PNG, WebP or JPEG XL, so not a picture encoded by hcdcodec; encode it first")


def _check_pack(header: Header, lr: Levels, alpha: Levels | None, level: int) -> None:
    if level not in PNG_LEVELS:
        raise UsageError(f"PNG level {level} is out of range; 0 to 6 are possible")
    if lr.dtype != np.uint8 or lr.shape[2:] != (() if header.mode is Mode.GREY else (3,)):
        raise UsageError("the LR is no uint8 array of the header's mode; convert it first")
    if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != (header.height, header.width)):
        raise UsageError("alpha is no uint8 array of the header's height and width; convert it first")
    if not fits(header, *lr.shape[:2]):
        raise UsageError("the LR's size does not fit the header's; downscale again")


def _read_lr(header: Header, opened: Opened) -> Levels:
    try:
        stored, alpha = opened.read_pixels()
    except PictureError as error:
        raise EditedError(f"the picture was converted after encoding; {RESTORE}") from error
    # Some tools add an alpha channel. If it is opaque, the picture is still the same.
    if (alpha is not None and alpha.min() < 255) or pixel_digest(stored) != header.lr_digest:
        raise EditedError(f"the pixels were changed after encoding; {RESTORE}")
    return _require_grey(stored) if header.mode is Mode.GREY else expand(stored)


def _read_alpha(header: Header, data: bytes | None) -> Levels | None:
    if data is None:
        if header.alpha_rule is AlphaRule.PLANE:
            raise DamagedError(f"the alpha chunk is missing, some tool has dropped it; {RESTORE}")
        return None
    if header.alpha_rule is AlphaRule.NONE:
        raise DamagedError(f"there is an alpha chunk that the header knows nothing of; {RESTORE}")
    # Sizes first: a tiny chunk could unpack to far more than the picture that the header describes.
    chunks = tuple(png_chunks.walk(data))
    head = png_chunks.ihdr(chunks[0])
    # `unpack` has checked the header's size against the limit on pixels, so an equal size is safe to decode.
    if (head.height, head.width) != (header.height, header.width) or png_chunks.size(chunks) != len(data):
        raise DamagedError(f"the alpha chunk has the wrong size; {RESTORE}")
    try:
        plane, transparency = png_pixels(chunks)
    except PictureError as error:
        raise DamagedError(f"the alpha chunk is no 8-bit picture; {RESTORE}") from error
    if transparency is not None:
        raise DamagedError(f"the alpha chunk has an alpha of its own; {RESTORE}")
    return _require_grey(plane)


def _require_grey(pixels: Levels) -> Levels:
    grey = single_channel(pixels)
    if grey is None:
        raise DamagedError(f"there are colours where the header says grey; {RESTORE}")
    return grey
