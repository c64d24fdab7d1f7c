"""The small file as lossless JPEG XL; reading and writing pixels needs the package pillow-jxl-plugin.

    file   = boxes: JXL, ftyp, Exif, xml, hcDC, hcDM, hcDA, jxlc; no byte follows
    box    = size of the whole box u32 | type 4 letters | payload
             size 1: the size follows as u64; size 0: up to the end of the file
    Exif   = 0 u32 (where the TIFF structure begins) | EXIF
    jxlc   = the codestream, see `hcdcodec.pictures.jxl_codestream`; jxlp boxes hold parts of one, behind a number u32
    number = big-endian

`hcdcodec.format.side_parts` describes our boxes. A codestream has a place for a colour profile, but neither
pillow-jxl-plugin nor imagecodecs writes one there, so profiles stand in hcDM. Compressed boxes (brob) are not read.

Source: ISO/IEC 18181-2, section 9.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

from hcdcodec.errors import DamagedError, EditedError, NotOursError, PictureError, UnsupportedError, UsageError
from hcdcodec.files.picture_names import Format
from hcdcodec.format import side_parts
from hcdcodec.format.header import RESTORE
from hcdcodec.format.layout import Contents, Opened, Optimise, stripped
from hcdcodec.format.side_parts import Places
from hcdcodec.pictures import formats, jxl, plugins
from hcdcodec.pictures.boxes import Frame, Part, Slices, find_boxes
from hcdcodec.pictures.jxl_codestream import SIGNATURE, read_head
from hcdcodec.pictures.picture import Levels, split

NAME = "JPEG XL"
SIDE_MAX = 2**30

_PLACES = Places(NAME, exif=b"Exif", xmp=b"xml ", exif_prefix=bytes(4))
_FRAME = struct.Struct(">I4s")
_BEGIN = jxl.BEGIN + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
_LAST_PART = 1 << 31
_EFFORTS = (7, 9)
"""Of libjxl. All are tried, since more effort makes some LRs larger, mostly those of all levels."""

recognise = jxl.recognise
"""A bare codestream is recognised, too, though it has no place for a header."""

is_marked = side_parts.is_marked


def check_installed() -> None:
    """Make sure that JPEG XL can be written.

    Raises:
        UsageError: the package is missing.
    """
    try:
        plugins.require(Format.JXL)
    except PictureError as error:
        raise UsageError(str(error)) from error


def write(contents: Contents, optimise: Optimise) -> bytes:
    """Make a file.

    Raises:
        UsageError: the package is missing.
    """
    check_installed()
    return _build([*side_parts.make_parts(contents, _PLACES), Part(b"jxlc", _encode(contents.lr))])


def open(data: bytes) -> Opened:
    """Read the parts of a file.

    Raises:
        NotOursError: there is no header.
        EditedError: the picture is of another kind than ours.
        DamagedError: truncated, lengths or boxes that contradict each other.
    """
    parts = tuple(_walk(data))
    header = side_parts.find_header(parts, _PLACES)
    codestream = _codestream(parts)
    height, width = read_sides(codestream)
    return Opened(
        header,
        height,
        width,
        side_parts.find_alpha(parts),
        lambda: side_parts.find_metadata(parts, _PLACES),
        lambda: _decode(codestream, height, width),
    )


def read_sides(codestream: bytes) -> tuple[int, int]:
    """Return height and width of the picture.

    Raises:
        DamagedError: the bytes are no codestream.
        EditedError: the picture is not 8-bit, is turned, or has a preview, frames or unknown channels.
    """
    head = read_head(codestream)
    if head.orientation != 1 or head.bits != 8 or head.extra_channels > 1:
        raise EditedError(f"the picture was converted after encoding; {RESTORE}")
    return head.height, head.width


def peek(data: Slices) -> bytes:
    """Return the header. Of the other boxes only the lengths are read.

    Raises:
        NotOursError: there is no header.
        DamagedError: the file is truncated, or the header fails its checksum.
    """
    return side_parts.peek_header(data, _frames(data), _PLACES)


def check_end(data: Slices) -> None:
    """Check that a file ends with its last box. Of the boxes only the lengths are read.

    Raises:
        DamagedError: it does not.
    """
    for _ in _frames(data):
        pass


def _walk(data: bytes) -> Iterator[Part]:
    for frame in _frames(data):
        yield Part(frame.type, data[frame.start : frame.end])


def _frames(data: Slices) -> Iterator[Frame]:
    """Yield the places of the boxes behind the first two; check each length before its box is yielded."""
    if data[: len(SIGNATURE)] == SIGNATURE:
        raise NotOursError(stripped(NAME))
    if not _BEGIN.startswith(data[: len(_BEGIN)]):
        raise DamagedError("JPEG XL does not begin as it must; fetch the file again")
    yield from find_boxes(data, NAME, len(_BEGIN))


def _build(parts: Iterable[Part]) -> bytes:
    return _BEGIN + b"".join(map(_box, parts))


def _box(part: Part) -> bytes:
    size = _FRAME.size + len(part.payload)
    if size < 1 << 32:
        return _FRAME.pack(size, part.type) + part.payload
    return _FRAME.pack(1, part.type) + (size + 8).to_bytes(8, "big") + part.payload


def _codestream(parts: Sequence[Part]) -> bytes:
    """Return the one codestream, joined where it stands in several boxes."""
    whole = [part.payload for part in parts if part.type == b"jxlc"]
    pieces = [part.payload for part in parts if part.type == b"jxlp"]
    numbers = [int.from_bytes(piece[:4], "big") for piece in pieces]
    expected = [*range(len(pieces) - 1), len(pieces) - 1 | _LAST_PART] if pieces else []
    if len(whole) + bool(pieces) != 1 or numbers != expected:
        raise DamagedError(f"the JPEG XL holds no picture, or several, or a part of one; {RESTORE}")
    return whole[0] if whole else b"".join(piece[4:] for piece in pieces)


def _encode(lr: Levels) -> bytes:
    """Return the shortest codestream."""
    return min((_encode_once(lr, effort) for effort in _EFFORTS), key=len)


def _encode_once(lr: Levels, effort: int) -> bytes:
    height, width = lr.shape[:2]
    encoder = plugins.require(Format.JXL).Encoder(
        mode="L" if lr.ndim == 2 else "RGB",
        lossless=True,
        quality=100,
        decoding_speed=0,
        effort=effort,
        use_container=False,
        use_original_profile=True,
        num_threads=0,
    )
    codestream: bytes = encoder(lr.tobytes(), width, height, jpeg_encode=False)
    return codestream


def _decode(codestream: bytes, height: int, width: int) -> tuple[Levels, Levels | None]:
    try:
        with formats.pillow_reads(), formats.wait_turn(height * width):
            levels = jxl.read_jxl(codestream).levels
    except PictureError as error:
        raise UnsupportedError(str(error)) from error
    if levels.shape[:2] != (height, width):
        raise EditedError(f"the picture was converted after encoding; {RESTORE}")
    return split(levels)
