"""Small files whose LR nobody searched, for the tests of the containers."""

import struct

import numpy as np

from hcdcodec.files.encoded_names import Container
from hcdcodec.format.container import Packed, pack
from hcdcodec.format.header import Header
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Mode

RGB_PROFILE = bytes(12) + b"mntrRGB XYZ " + bytes(300)
FULL = Metadata(
    icc=RGB_PROFILE,
    exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0",
    xmp=b"<x:xmpmeta/>",
    chunks=(png_chunks.Chunk(b"gAMA", struct.pack(">I", 45455)), png_chunks.Chunk(b"tEXt", b"Title\0picture")),
)


def header(mode: Mode = Mode.RGB, height: int = 19, width: int = 23) -> Header:
    return Header(scale=4, backbone="crn", model_hash=bytes(range(16)), height=height, width=width, mode=mode)


def packed(
    lr: Levels,
    kind: Container = Container.PNG,
    *,
    alpha: Levels | None = None,
    metadata: Metadata | None = None,
    level: int = 1,
) -> bytes:
    about = header(Mode.GREY if lr.ndim == 2 else Mode.RGB)
    return pack(about, lr, alpha=alpha, metadata=metadata or Metadata(), level=level, kind=kind)


def same(one: Packed, other: Packed) -> bool:
    np.testing.assert_equal(one.alpha, other.alpha)
    return one.header == other.header and one.metadata == other.metadata and np.array_equal(one.lr, other.lr)
