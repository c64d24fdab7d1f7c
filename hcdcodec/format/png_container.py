"""The small file as PNG.

    file      = PNG signature, IHDR, hcDC, tEXt, metadata chunks, hcDA, PLTE, IDAT ..., IEND; no byte follows
    hcDC      = header, the table in `hcdcodec.format.header`; must stand before IDAT
    tEXt      = "hcdcodec" 00, then the same header in base64: some tools drop hcDC, other tools drop tEXt. ImageMagick
                and libvips rewrite long texts, so it may also be a zTXt or iTXt, at any place
    hcDA      = the alpha plane, HR size, lossless: a complete PNG without colours
    metadata  = iCCP, eXIf, iTXt XML:com.adobe.xmp and others (see `hcdcodec.pictures.metadata`), of the HR picture

The PNG may store the pixels in any way: grey, RGB or palette, any depth, interlaced or not. So lossless optimisers may
rewrite the file. These are errors: hcDC or its text form is there twice, hcDC stands behind IDAT, a CRC is wrong, or a
byte follows IEND.
"""

from collections.abc import Sequence
from contextlib import suppress

from hcdcodec.errors import DamagedError, NotOursError
from hcdcodec.format.header import MAGIC, RESTORE
from hcdcodec.format.header_text import KEYWORD, header_text, is_header_text, read_header_text
from hcdcodec.format.layout import Contents, Opened, Optimise, agree, make_raw, stripped, take_single
from hcdcodec.pictures import png_chunks, png_text
from hcdcodec.pictures.boxes import Slices
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import expand
from hcdcodec.pictures.reading import png_pixels

NAME = "PNG"
SIDE_MAX = 2**31 - 1

# The case of each letter has a meaning (PNG, section 5.4): ancillary, private, and not safe to copy to other pixels.
HEADER_CHUNK = b"hcDC"
ALPHA_CHUNK = b"hcDA"

_END = png_chunks.join([png_chunks.Chunk(b"IEND", b"")])
_HEADS = (1 << 12, 1 << 20)
"""Bytes that are read of a file before all of it."""


def check_installed() -> None:
    """Do nothing: PNG is always there."""


def recognise(head: bytes) -> bool:
    """Tell whether a file is a PNG."""
    return head.startswith(png_chunks.SIGNATURE)


def is_marked(head: bytes) -> bool:
    """Tell whether the header, or its twin, stands in a file or its beginning."""
    marks = (
        HEADER_CHUNK + MAGIC,
        *(kind + KEYWORD + b"\0" for kind in png_text.TYPES),
    )
    return any(mark in head for mark in marks)


def write(contents: Contents, optimise: Optimise) -> bytes:
    """Make a file."""
    # The optimiser gets only the pixels, so it can neither drop nor move our chunks. A PNG with grey samples and an RGB
    # profile is invalid, and so is a palette with a grey profile (PNG, section 11.3.2.3).
    metadata = contents.metadata
    stored = expand(contents.lr) if metadata.has_rgb_profile else contents.lr
    allowed = {"to_grey": not metadata.has_rgb_profile, "to_palette": not metadata.has_grey_profile}
    pixels = optimise(make_raw(stored, contents.level, **allowed))
    chunks = [
        png_chunks.Chunk(HEADER_CHUNK, contents.header),
        header_text(contents.header),
        *metadata.to_chunks(compact=True),
    ]
    if contents.alpha is not None:
        chunks.append(png_chunks.Chunk(ALPHA_CHUNK, contents.alpha))
    return png_chunks.insert(pixels, chunks)


def open(data: bytes) -> Opened:
    """Take a file apart.

    Raises:
        NotOursError: there is no header.
        DamagedError: truncated, a wrong CRC, headers that contradict each other.
    """
    chunks = tuple(png_chunks.walk(data))
    if png_chunks.size(chunks) != len(data):
        raise DamagedError(f"there are bytes behind the end of the PNG; {RESTORE}")
    header, stored = _find_header(chunks), png_chunks.ihdr(chunks[0])
    return Opened(
        header,
        stored.height,
        stored.width,
        take_single([chunk.payload for chunk in chunks if chunk.type == ALPHA_CHUNK], "alpha"),
        lambda: Metadata.from_chunks(chunk for chunk in chunks if not is_header_text(chunk)),
        lambda: png_pixels(chunks),
    )


def peek(data: Slices) -> bytes:
    """Find the header in as much of a file as it takes; most of them have it in the first kilobyte.

    Raises:
        NotOursError: there is no header.
        DamagedError: what had to be read is truncated or fails its CRC.
    """
    for count in _HEADS:
        if count < len(data):
            with suppress(DamagedError):
                return _peek(data[:count])
    return _peek(data[:])


def check_end(data: Slices) -> None:
    """Check that a file ends with its last chunk.

    Raises:
        DamagedError: it does not.
    """
    if data[-len(_END) :] != _END:
        raise DamagedError("PNG is truncated, or there are bytes behind its end; fetch the file again")


def _peek(data: bytes) -> bytes:
    twin: bytes | None = None
    for chunk in png_chunks.walk(data):
        if chunk.type == HEADER_CHUNK:
            return chunk.payload
        # hcDC must stand before IDAT, but a text form may stand anywhere. So without one, the walk goes on.
        if chunk.type == b"IDAT" and twin is not None:
            break
        if is_header_text(chunk):
            twin = read_header_text(chunk)
    if twin is None:
        raise NotOursError(stripped(NAME))
    return twin


def _find_header(chunks: Sequence[png_chunks.Chunk]) -> bytes:
    """Return the header from its chunk or, where a tool has dropped that, from its text form."""
    found = take_single([chunk.payload for chunk in chunks if chunk.type == HEADER_CHUNK], "header")
    twin = take_single([read_header_text(chunk) for chunk in chunks if is_header_text(chunk)], "text header")
    types = [chunk.type for chunk in chunks]
    if found is not None and types.index(HEADER_CHUNK) > types.index(b"IDAT"):
        raise DamagedError(f"the header stands behind the pixels; {RESTORE}")
    header = agree(found, twin)
    if header is None:
        raise NotOursError(stripped(NAME))
    return header
