"""The file format: an ordinary PNG of the LR, with a header that says how to restore the HR picture.

    file      = PNG signature, IHDR, hcDC, tEXt, metadata chunks, hcDA, PLTE, IDAT ..., IEND; no byte follows
    hcDC      = header, the table in `hcdcodec.format.header`; must stand before IDAT
    tEXt      = "hcdcodec" 00, then the same header in base64: some tools drop hcDC, other tools drop tEXt. ImageMagick
                and libvips rewrite long texts, so it may also be a zTXt or iTXt, at any place
    hcDA      = the alpha plane, HR size, lossless: a complete PNG without colours
    metadata  = iCCP, eXIf, iTXt XML:com.adobe.xmp and others (see `hcdcodec.pictures.metadata`), of the HR picture

The LR has at least ceil(HR / scale) rows and columns, and fewer than 16 more. Its PNG may store the pixels in any way:
grey, RGB or palette, any depth, interlaced or not. So lossless optimisers may rewrite the file, and `lr_digest` shows
whether the picture is still the same. The digest is not a signature: anyone can change the picture and the digest.

One of hcDC and its text form is enough. These are errors, and a reader never guesses: the two differ, one of them is
there twice, hcDC stands behind IDAT, a CRC is wrong, or a byte follows IEND. A reader checks all sizes before it
allocates memory.

Metadata describes colours and orientation of the stored pixels. They are the same for LR and HR, so viewers show the LR
as they would show the HR picture.
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hcdcodec.errors import (
    DamagedError,
    EditedError,
    NotOursError,
    PictureError,
    UsageError,
)
from hcdcodec.format.geometry import check_sizes, fits
from hcdcodec.format.header import MAGIC, RESTORE, AlphaRule, Header
from hcdcodec.format.header_text import KEYWORD, header_text, is_header_text, read_header_text
from hcdcodec.format.oxipng_pool import optimise
from hcdcodec.format.oxipng_worker import Raw
from hcdcodec.pictures import png_chunks, png_text
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Mode, expand, single_channel
from hcdcodec.pictures.reading import png_pixels

PNG_LEVELS = range(7)
"""Presets of oxipng, from the fastest (0) to the one that searches longest for fewer bytes (6)."""

# The case of each letter has a meaning (PNG, section 5.4): ancillary, private, and not safe to copy to other pixels.
HEADER_CHUNK = b"hcDC"
ALPHA_CHUNK = b"hcDA"

_NO_HEADER = "PNG carries no hcdcodec header; encode it first, or restore it from a copy if a tool has stripped it"


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


def pack(
    header: Header,
    lr: Levels,
    *,
    alpha: Levels | None,
    metadata: Metadata,
    level: int,
    optimise: Callable[[Raw], bytes] = optimise,
) -> bytes:
    """Make a file.

    Args:
        header: the header; `pack` sets `alpha_rule` and `lr_digest`.
        lr: (h, w) for grey, (h, w, 3) for RGB, uint8.
        alpha: (H, W) uint8 or None.
        metadata: metadata of the HR picture.
        level: one of `PNG_LEVELS`; it changes the bytes and not the pixels.
        optimise: makes the smallest PNG file of pixels, in this process or in another one.

    Raises:
        UsageError: arrays and header do not fit together, or a field is out of range.
    """
    _check_pack(header, lr, alpha, level)
    rule = AlphaRule.NONE if alpha is None else AlphaRule.PLANE
    payload = replace(header, alpha_rule=rule, lr_digest=pixel_digest(lr)).to_bytes()
    # The optimiser gets only the pixels, so it can neither drop nor move our chunks. A PNG with grey samples and an RGB
    # profile is invalid, and so is a palette with a grey profile (PNG, section 11.3.2.3).
    stored = expand(lr) if metadata.has_rgb_profile else lr
    raw = _make_raw(stored, level, to_grey=not metadata.has_rgb_profile, to_palette=not metadata.has_grey_profile)
    pixels = optimise(raw)
    chunks = [
        png_chunks.Chunk(HEADER_CHUNK, payload),
        header_text(payload),
        *metadata.to_chunks(compact=True),
    ]
    if alpha is not None:
        chunks.append(png_chunks.Chunk(ALPHA_CHUNK, optimise(_make_raw(alpha, level))))
    return png_chunks.insert(pixels, chunks)


def unpack(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Packed:
    """Read all parts of a file, and check them.

    Args:
        data: the whole file.
        max_pixels: largest number of HR pixels that is decoded.

    Raises:
        NotOursError: the file is not a PNG, or has no header.
        DamagedError: the file is truncated, a CRC is wrong, or fields are impossible or contradict each other.
        EditedError: the pixels are not the ones that were encoded.
        UnsupportedError: the file has a newer format.
        ContainerError: the picture has more than `max_pixels`.
    """
    _check_png(data)
    chunks = tuple(png_chunks.walk(data))
    if png_chunks.size(chunks) != len(data):
        raise DamagedError(f"there are bytes behind the end of the PNG; {RESTORE}")
    header = Header.from_bytes(_find_header(chunks))
    stored = png_chunks.ihdr(chunks[0])
    check_sizes(header, stored.height, stored.width, max_pixels)
    metadata = Metadata.from_chunks(chunk for chunk in chunks if not is_header_text(chunk))
    return Packed(header, _read_lr(header, chunks), _read_alpha(header, chunks), metadata)


def peek(data: bytes) -> Header:
    """Read the header alone, without decoding pixels.

    Args:
        data: a file or its beginning. The first kilobyte is enough, unless another tool has rewritten the file.

    Raises:
        NotOursError: the file is not a PNG, or has no header.
        DamagedError: a chunk up to the header is truncated or fails its CRC, or the header makes no sense.
        UnsupportedError: the file has a newer format.
    """
    _check_png(data)
    twin: bytes | None = None
    for chunk in png_chunks.walk(data):
        if chunk.type == HEADER_CHUNK:
            return Header.from_bytes(chunk.payload)
        # hcDC must stand before IDAT, but a text form may stand anywhere. So without one, the walk goes on.
        if chunk.type == b"IDAT" and twin is not None:
            break
        if is_header_text(chunk):
            twin = read_header_text(chunk)
    if twin is None:
        raise NotOursError(_NO_HEADER)
    return Header.from_bytes(twin)


def is_ours(head: bytes) -> bool:
    """Tell whether a file is one of ours, sound or damaged. Its first kilobytes are usually enough."""
    # A search for bytes and not a walk over chunks: a damaged file is still ours, and must not be encoded again.
    marks = (
        HEADER_CHUNK + MAGIC,
        *(kind + KEYWORD + b"\0" for kind in png_text.TYPES),
    )
    return head.startswith(png_chunks.SIGNATURE) and any(mark in head for mark in marks)


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


def _make_raw(pixels: Levels, level: int, *, to_grey: bool = True, to_palette: bool = True) -> Raw:
    height, width = pixels.shape[:2]
    return Raw(pixels.tobytes(), height, width, 1 if pixels.ndim == 2 else 3, level, to_grey, to_palette)


def _check_pack(header: Header, lr: Levels, alpha: Levels | None, level: int) -> None:
    if level not in PNG_LEVELS:
        raise UsageError(f"PNG level {level} is out of range; 0 to 6 are possible")
    if lr.dtype != np.uint8 or lr.shape[2:] != (() if header.mode is Mode.GREY else (3,)):
        raise UsageError("the LR is no uint8 array of the header's mode; convert it first")
    if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != (header.height, header.width)):
        raise UsageError("alpha is no uint8 array of the header's height and width; convert it first")
    if not fits(header, *lr.shape[:2]):
        raise UsageError("the LR's size does not fit the header's; downscale again")


def _check_png(data: bytes) -> None:
    if not data.startswith(png_chunks.SIGNATURE):
        raise NotOursError("not a PNG, so not a picture encoded by hcdcodec; encode it first")


def _find_header(chunks: Sequence[png_chunks.Chunk]) -> bytes:
    """Return the header from its chunk or, where a tool has dropped that, from its text form."""
    found = _take_single([chunk.payload for chunk in chunks if chunk.type == HEADER_CHUNK], "header")
    twin = _take_single([read_header_text(chunk) for chunk in chunks if is_header_text(chunk)], "text header")
    types = [chunk.type for chunk in chunks]
    if found is not None and types.index(HEADER_CHUNK) > types.index(b"IDAT"):
        raise DamagedError(f"the header stands behind the pixels; {RESTORE}")
    if found is not None and twin is not None and found != twin:
        raise DamagedError(f"the header and its text form differ; {RESTORE}")
    payload = found if found is not None else twin
    if payload is None:
        raise NotOursError(_NO_HEADER)
    return payload


def _take_single(found: list[bytes], name: str) -> bytes | None:
    if len(found) > 1:
        raise DamagedError(f"there is more than one {name} chunk; {RESTORE}")
    return found[0] if found else None


def _read_lr(header: Header, chunks: Sequence[png_chunks.Chunk]) -> Levels:
    try:
        stored, alpha = png_pixels(chunks)
    except PictureError as error:
        raise EditedError(f"the picture was converted after encoding; {RESTORE}") from error
    # Some tools add an alpha channel. If it is opaque, the picture is still the same.
    if (alpha is not None and alpha.min() < 255) or pixel_digest(stored) != header.lr_digest:
        raise EditedError(f"the pixels were changed after encoding; {RESTORE}")
    return _require_grey(stored) if header.mode is Mode.GREY else expand(stored)


def _read_alpha(header: Header, chunks: Sequence[png_chunks.Chunk]) -> Levels | None:
    data = _take_single([chunk.payload for chunk in chunks if chunk.type == ALPHA_CHUNK], "alpha")
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


PNG_LEVEL = 2
"""Default preset of oxipng. Higher ones take long and save little; benchmarks/choices/png_levels.py measures them."""
