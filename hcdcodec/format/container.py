"""The file format: an ordinary PNG of the LR picture, with a header that says how to restore the HR one.

    file      = PNG signature, IHDR, hcDC, tEXt, metadata chunks, hcDA, PLTE, IDAT ..., IEND; nothing behind
    hcDC      = header, the table in `hcdcodec.format.header`; must stand before IDAT
    tEXt      = "hcdcodec" 00, then the same header in base64: some tools drop hcDC, other tools drop tEXt. It may come
                back as zTXt or iTXt, and anywhere: ImageMagick and libvips rewrite long texts so
    hcDA      = the alpha plane, HR size, lossless: a complete PNG without colours
    metadata  = iCCP, eXIf, iTXt XML:com.adobe.xmp and others (see `hcdcodec.pictures.metadata`), of the HR picture

The LR has at least ceil(HR / scale) rows and columns, and fewer than 16 more. How its PNG stores the pixels is open:
grey, RGB or palette, any depth, interlaced or not. So lossless optimisers may run over the file, and `lr_digest` tells
whether what they left is the same picture. It is no signature: who changes a picture can change the digest with it.

One of hcDC and its twin is enough. Both there and different, a second one of either, an hcDC chunk behind IDAT, a wrong
CRC anywhere, a byte behind IEND: an error, never a guess. A reader allocates nothing before sizes are checked.

Metadata names colours and orientation of the stored pixels, LR and HR alike, so viewers show the LR as the HR would be.
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
from hcdcodec.format.oxipng_worker import Raw, optimise
from hcdcodec.pictures import png_chunks, png_text
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Mode, expand, single_channel
from hcdcodec.pictures.reading import png_pixels

LEVELS = range(7)
"""How long the PNG encoder searches for fewer bytes: 0 hardly, 6 longest."""

HEADER_CHUNK = b"hcDC"  # ancillary, private, unsafe to copy: true for exactly the pixels it stands with
ALPHA_CHUNK = b"hcDA"

_NO_HEADER = "PNG carries no hcdcodec header; encode it first, or restore it from a copy if a tool has stripped it"


@dataclass(frozen=True, eq=False)
class Packed:
    """What `unpack` finds in a file.

    Attributes:
        header: checked in itself; whether the weights exist and the LR's size fits their `multiple` is for the decoder.
        lr: (h, w) grey or (h, w, 3) RGB uint8, as `header.mode` says.
        alpha: (H, W) uint8 or None.
        metadata: of the HR picture.
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
        header: `alpha_rule` and `lr_digest` may hold anything.
        lr: (h, w) for grey, (h, w, 3) for RGB, uint8.
        alpha: (H, W) uint8 or None.
        metadata: of the HR picture.
        level: one of `LEVELS`; the pixels are the same.
        optimise: makes the smallest PNG file of pixels, here or elsewhere.

    Raises:
        UsageError: arrays and header do not fit together, or a field is out of range.
    """
    _check_pack(header, lr, alpha, level)
    rule = AlphaRule.NONE if alpha is None else AlphaRule.PLANE
    payload = replace(header, alpha_rule=rule, lr_digest=pixel_digest(lr)).to_bytes()
    # Pixels are compressed alone, so that the optimiser can neither drop nor move what follows. Grey samples under an
    # RGB profile would make the PNG invalid, and so would a palette under a grey one.
    stored = expand(lr) if metadata.has_rgb_profile else lr
    raw = _raw(stored, level, to_grey=not metadata.has_rgb_profile, to_palette=not metadata.has_grey_profile)
    pixels = optimise(raw)
    chunks = [
        png_chunks.Chunk(HEADER_CHUNK, payload),
        header_text(payload),
        *metadata.to_chunks(compact=True),
    ]
    if alpha is not None:
        chunks.append(png_chunks.Chunk(ALPHA_CHUNK, optimise(_raw(alpha, level))))
    return png_chunks.insert(pixels, chunks)


def unpack(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Packed:
    """Take a file apart and check all of it.

    Args:
        data: the whole file.
        max_pixels: of the HR picture; beyond it nothing is decoded.

    Raises:
        NotOursError: no PNG, or one without a header.
        DamagedError: truncated, a wrong CRC, impossible or contradicting fields.
        EditedError: the pixels are not the ones that were encoded.
        UnsupportedError: a newer format.
        ContainerError: more than `max_pixels`.
    """
    _check_png(data)
    chunks = tuple(png_chunks.walk(data))
    if png_chunks.size(chunks) != len(data):
        raise DamagedError(f"there are bytes behind the end of the PNG; {RESTORE}")
    header = Header.from_bytes(_payload(chunks))
    stored = png_chunks.ihdr(chunks[0])
    check_sizes(header, stored.height, stored.width, max_pixels)
    metadata = Metadata.from_chunks(chunk for chunk in chunks if not is_header_text(chunk))
    return Packed(header, _read_lr(header, chunks), _read_alpha(header, chunks), metadata)


def peek(data: bytes) -> Header:
    """Read the header alone, without decoding pixels.

    Args:
        data: a file, or its beginning: the first kilobyte does, unless other tools have rewritten the file.

    Raises:
        NotOursError: no PNG, or one without a header.
        DamagedError: what had to be read is truncated or fails its CRC, or the header makes no sense.
        UnsupportedError: a newer format.
    """
    _check_png(data)
    twin: bytes | None = None
    for chunk in png_chunks.walk(data):
        if chunk.type == HEADER_CHUNK:
            return Header.from_bytes(chunk.payload)
        if chunk.type == b"IDAT" and twin is not None:
            break
        if is_header_text(chunk):
            twin = read_header_text(chunk)
    if twin is None:
        raise NotOursError(_NO_HEADER)
    return Header.from_bytes(twin)


def is_ours(head: bytes) -> bool:
    """Tell whether a file is one of ours, sound or not: the first kilobytes do, unless other tools rewrote the file."""
    marks = (
        HEADER_CHUNK + MAGIC,
        *(kind + KEYWORD + b"\0" for kind in png_text.TYPES),
    )
    return head.startswith(png_chunks.SIGNATURE) and any(mark in head for mark in marks)


def refuse_encoded(data: bytes) -> None:
    """Refuse a file of ours where a source is wanted.

    Raises:
        PictureError: it is one, sound or not.
    """
    if is_ours(data):
        raise PictureError("picture is already encoded by hcdcodec; decode it instead")


def pixel_digest(lr: Levels) -> bytes:
    """Digest an LR picture, grey or RGB, in 16 bytes that no lossless rewriting of its PNG changes."""
    height, width = lr.shape[:2]
    digest = hashlib.sha256(struct.pack(">II", height, width))
    digest.update(expand(lr).tobytes())
    return digest.digest()[:16]


def _raw(pixels: Levels, level: int, *, to_grey: bool = True, to_palette: bool = True) -> Raw:
    height, width = pixels.shape[:2]
    return Raw(pixels.tobytes(), height, width, 1 if pixels.ndim == 2 else 3, level, to_grey, to_palette)


def _check_pack(header: Header, lr: Levels, alpha: Levels | None, level: int) -> None:
    if level not in LEVELS:
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


def _payload(chunks: Sequence[png_chunks.Chunk]) -> bytes:
    """Find the header in the chunk or, where a tool has dropped it, in its twin."""
    found = _only([chunk.payload for chunk in chunks if chunk.type == HEADER_CHUNK], "header")
    twin = _only([read_header_text(chunk) for chunk in chunks if is_header_text(chunk)], "text header")
    types = [chunk.type for chunk in chunks]
    if found is not None and types.index(HEADER_CHUNK) > types.index(b"IDAT"):
        raise DamagedError(f"the header stands behind the pixels; {RESTORE}")
    if found is not None and twin is not None and found != twin:
        raise DamagedError(f"the header and its text form differ; {RESTORE}")
    payload = found if found is not None else twin
    if payload is None:
        raise NotOursError(_NO_HEADER)
    return payload


def _only(found: list[bytes], name: str) -> bytes | None:
    if len(found) > 1:
        raise DamagedError(f"there is more than one {name} chunk; {RESTORE}")
    return found[0] if found else None


def _read_lr(header: Header, chunks: Sequence[png_chunks.Chunk]) -> Levels:
    try:
        stored, alpha = png_pixels(chunks)
    except PictureError as error:
        raise EditedError(f"the picture was converted after encoding; {RESTORE}") from error
    if (alpha is not None and alpha.min() < 255) or pixel_digest(stored) != header.lr_digest:
        raise EditedError(f"the pixels were changed after encoding; {RESTORE}")
    return _grey(stored) if header.mode is Mode.GREY else expand(stored)


def _read_alpha(header: Header, chunks: Sequence[png_chunks.Chunk]) -> Levels | None:
    data = _only([chunk.payload for chunk in chunks if chunk.type == ALPHA_CHUNK], "alpha")
    if data is None:
        if header.alpha_rule is AlphaRule.PLANE:
            raise DamagedError(f"the alpha chunk is missing, some tool has dropped it; {RESTORE}")
        return None
    if header.alpha_rule is AlphaRule.NONE:
        raise DamagedError(f"there is an alpha chunk that the header knows nothing of; {RESTORE}")
    chunks = tuple(png_chunks.walk(data))
    head = png_chunks.ihdr(chunks[0])
    if (head.height, head.width) != (header.height, header.width) or png_chunks.size(chunks) != len(data):
        raise DamagedError(f"the alpha chunk has the wrong size; {RESTORE}")
    try:
        plane, transparency = png_pixels(chunks)
    except PictureError as error:
        raise DamagedError(f"the alpha chunk is no 8-bit picture; {RESTORE}") from error
    if transparency is not None:
        raise DamagedError(f"the alpha chunk has an alpha of its own; {RESTORE}")
    return _grey(plane)


def _grey(pixels: Levels) -> Levels:
    grey = single_channel(pixels)
    if grey is None:
        raise DamagedError(f"there are colours where the header says grey; {RESTORE}")
    return grey


PNG_LEVEL = 2
"""Preset of oxipng: at most two fifths of level 4's time for up to 0.5 % more bytes (choices/png_levels.py, val)."""
