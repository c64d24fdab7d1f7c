"""Encode a picture, or the middle of a large one."""

import time
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np

from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.source import Source
from hcdcodec.codec.target import reach
from hcdcodec.engine.devices import memory_errors
from hcdcodec.engine.engine import Engine
from hcdcodec.format import container
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.trial.measure import Setting, lr_bytes

_WARM_SIDE = 64


@dataclass(frozen=True, eq=False)
class Piece:
    """What is tried of a picture: colours, without alpha and metadata.

    Attributes:
        pixels: (H, W) or (H, W, 3) uint8.
        share: its pixels as a share of the picture's; 1 is all of it.
    """

    pixels: Levels
    share: float = 1.0

    @property
    def pixel_count(self) -> int:
        """Rows times columns."""
        return int(self.pixels.shape[0] * self.pixels.shape[1])


@dataclass(frozen=True, eq=False)
class Small:
    """The small file of a piece.

    Attributes:
        data: the file.
        psnr: PSNR-RGB in dB of what is decoded from it.
        seconds: time to make it.
        lr_bytes: bytes of the bicubic LR of the same piece, see `hcdcodec.trial.measure`.
    """

    data: bytes
    psnr: float
    seconds: float
    lr_bytes: int


def cut_middle(picture: Picture, most: int) -> Piece:
    """Return a picture of at most `most` pixels: all of it, or its middle in the shape of the whole."""
    if picture.pixel_count <= most:
        return Piece(picture.pixels)
    height = min(picture.height, max(1, isqrt(most * picture.height // picture.width)))
    width = min(picture.width, max(1, most // height))
    top, left = (picture.height - height) // 2, (picture.width - width) // 2
    middle = np.ascontiguousarray(picture.pixels[top : top + height, left : left + width])
    return Piece(middle, height * width / picture.pixel_count)


def encode_piece(engine: Engine, piece: Piece, options: EncodeOptions, target: Target | None = None) -> Small:
    """Encode a piece as `encode` would, with a target that chooses the quality or without."""
    start = time.perf_counter()
    with memory_errors(), engine.at_work():
        encoded = _encode(engine, piece, options, target)
    data = container.pack(encoded.header, encoded.lr, alpha=None, metadata=Metadata(), kind=options.container)
    seconds = time.perf_counter() - start
    measured = lr_bytes(piece.pixels, Setting(engine.backbone.scale, options.quality))
    return Small(data, decibels(encoded.refined.error), seconds, measured)


def decode_piece(engine: Engine, small: Small) -> tuple[Levels, Levels]:
    """Return (LR, reconstruction) of a small file."""
    packed = container.unpack(small.data)
    with memory_errors(), engine.at_work():
        return packed.lr, decode_picture(engine, packed).pixels


def warm_up(engine: Engine, options: EncodeOptions) -> None:
    """Encode something tiny, so that the time of the first picture is not that of the network's start."""
    encode_piece(engine, Piece(np.zeros((_WARM_SIDE, _WARM_SIDE, 3), np.uint8)), options)


def _encode(engine: Engine, piece: Piece, options: EncodeOptions, target: Target | None) -> Encoded:
    source = Source(Picture(piece.pixels))
    if target is None:
        return encode_pictures(engine, [source.picture], options)[0]
    if target.max_bytes is not None:
        target = replace(target, max_bytes=max(1, round(target.max_bytes * piece.share)))
    return reach(engine, source, options, target)
