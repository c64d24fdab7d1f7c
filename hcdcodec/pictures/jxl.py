"""Read JPEG XL files. Pillow's plugin decodes a picture when it is opened, so its size is read here before.

    file = boxes: JXL, ftyp, Exif, xml, jxlc; or only the codestream
    brob = a compressed box: the type of the box 4 letters | Brotli stream
    jxlp = a part of the codestream, behind a number u32
    jbrd = what it takes to make a JPEG again, byte for byte

Viewers turn the picture as the codestream says, and do not go by EXIF. The decoder has turned it, too.

Source: ISO/IEC 18181-2, section 9.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from hcdcodec.errors import DamagedError, PictureError
from hcdcodec.files.picture_names import Format
from hcdcodec.pictures import plugins
from hcdcodec.pictures.boxes import walk_boxes
from hcdcodec.pictures.jxl_codestream import SIGNATURE, JxlHead, read_head
from hcdcodec.pictures.metadata import PAYLOAD_MAX, Metadata
from hcdcodec.pictures.orientation import mark_upright
from hcdcodec.pictures.picture import Levels
from hcdcodec.pictures.png_chunks import Chunk

_NAME = "JPEG XL"
BEGIN = b"\0\0\0\x0cJXL \r\n\x87\n"
_STORAGE = (b"JXL ", b"ftyp", b"jxlc", b"jxlp", b"jxll", b"jxli", b"jbrd")
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_SRGB = tuple(
    name.encode("utf-16-be") for name in ("sRGB", "RGB_D65_SRG_Per_SRG", "Gra_D65_Rel_SRG", "Gra_D65_Per_SRG")
)
"""The names that libjxl gives to the profiles which it makes of a mere 'sRGB', for colours and for grey."""


@dataclass(frozen=True)
class JxlFile:
    """A decoded file.

    Attributes:
        jpeg: the JPEG of which the file was made without loss; empty where there is none. It has everything.
        levels: (H, W[, 2 to 4]) uint8.
        metadata: ICC profile, EXIF and XMP.
        lost: types of boxes that are not carried.
    """

    jpeg: bytes
    levels: Levels
    metadata: Metadata
    lost: tuple[str, ...]


def recognise(data: bytes) -> bool:
    """Tell whether a file is a JPEG XL."""
    return data.startswith((SIGNATURE, BEGIN))


def read_size(data: bytes) -> tuple[int, int]:
    """Return height and width, and refuse what 8 bits cannot hold, before anything is decoded.

    Raises:
        PictureError: frames, more than 8 bits, or channels of unknown meaning.
        DamagedError: the file is truncated.
    """
    head = read_head(_codestream(data))
    _refuse(head)
    return head.height, head.width


def read_jxl(data: bytes) -> JxlFile:
    """Decode a file, or a bare codestream. The caller has checked its size.

    Raises:
        PictureError: a package is missing.
        DamagedError: the file is damaged.
    """
    decoder = plugins.require(Format.JXL).Decoder(num_threads=0)
    is_jpeg, found, samples, icc, _ = decoder(data)
    if is_jpeg:
        return JxlFile(bytes(samples), np.empty((0, 0), np.uint8), Metadata(), ())
    channels = _CHANNELS.get(found.mode, 0)
    if not channels or len(samples) != found.height * found.width * channels:
        raise DamagedError("JPEG XL holds samples of a rare kind; convert it to PNG first")
    shape = (found.height, found.width, channels)[: 3 if channels > 1 else 2]
    metadata, lost = _read_metadata(data, icc or b"")
    return JxlFile(b"", np.frombuffer(samples, np.uint8).reshape(shape).copy(), metadata, lost)


def _refuse(head: JxlHead) -> None:
    if head.has_more:
        raise PictureError("JPEG XL has several frames, or a preview; save each as a single picture")
    if head.bits != 8:  # pillow-jxl-plugin would cut them
        kind = f"{head.bits}-bit" if head.bits else "floating-point"
        raise PictureError(f"{kind} JPEG XL cannot be rounded; make a 16-bit PNG of it, which encode --convert takes")
    if head.extra_channels > 1:
        raise PictureError("picture with a channel of unknown meaning cannot be stored; convert it to 8-bit RGB first")


def _read_metadata(data: bytes, icc: bytes) -> tuple[Metadata, tuple[str, ...]]:
    payloads, lost = dict[bytes, bytes](), list[str]()
    for box in walk_boxes(data, _NAME) if data.startswith(BEGIN) else ():
        is_packed = box.type == b"brob"
        kind = box.payload[:4] if is_packed else box.type
        if kind in (b"Exif", b"xml ") and kind not in payloads:  # the first one counts; no other one is unpacked
            payloads[kind] = _unpack(box.payload[4:]) if is_packed else box.payload
        elif kind not in (b"Exif", b"xml ", *_STORAGE):
            lost.append(kind.decode("latin-1").strip())
    exif = payloads.get(b"Exif", b"")
    # The box begins with the place of the TIFF structure behind it. pillow-jxl-plugin leaves it out.
    if not exif.startswith((b"II*\0", b"MM\0*")):
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    is_srgb = icc[4:8] == b"jxl " and any(name in icc for name in _SRGB)
    chunks = (Chunk(b"sRGB", b"\0"),) if is_srgb else ()
    metadata = Metadata(None if is_srgb else icc or None, exif or None, payloads.get(b"xml ") or None, chunks)
    return mark_upright(metadata), tuple(dict.fromkeys(lost))


def _unpack(data: bytes) -> bytes:
    stream: Any = importlib.import_module("brotli").Decompressor()
    plain = stream.process(data, output_buffer_limit=PAYLOAD_MAX)
    while not stream.is_finished():
        more = stream.process(b"", output_buffer_limit=PAYLOAD_MAX)
        plain += more
        if not more or len(plain) > PAYLOAD_MAX:
            raise DamagedError(f"JPEG XL metadata is cut off, or holds more than {PAYLOAD_MAX} bytes; use --strip")
    return bytes(plain)


def _codestream(data: bytes) -> bytes:
    """Return the codestream, or so much of it that its head is there."""
    if data.startswith(SIGNATURE):
        return data
    head = b""
    for box in walk_boxes(data, _NAME):
        if box.type == b"jxlc":
            return box.payload
        head += box.payload[4:] if box.type == b"jxlp" else b""
    return head
