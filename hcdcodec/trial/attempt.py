"""Try pictures at some settings, beside what other codecs make of the same pixels."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Search
from hcdcodec.engine.engine import Engine
from hcdcodec.errors import HcdError
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture
from hcdcodec.trial.curve import Curve
from hcdcodec.trial.measure import Setting
from hcdcodec.trial.piece import Piece, Small, cut_middle, encode_piece, warm_up
from hcdcodec.trial.rivals import AVIF, RIVALS, WEBP_THUMBNAIL
from hcdcodec.trial.survey import Reading, Survey, Unread

PIECE_PX = 1 << 19
"""Pixels of the largest piece. With the number of pictures, it bounds the time that a trial takes."""

THUMBNAIL = f"thumbnail + {AVIF.short}"
"""Two ordinary files that do what one of ours does: show a small picture, and keep a large one."""


@dataclass(frozen=True)
class Beside:
    """What another codec makes of a piece.

    Attributes:
        codec: its name.
        psnr: PSNR-RGB in dB at the bytes of the small file; None where it makes no file of that size.
        bytes: of a file with the small file's PSNR; None where that is not asked, or not reached.
    """

    codec: str
    psnr: float | None
    bytes: float | None = None


class Rivals:
    """The other codecs that are installed, on one piece. Each makes a file only when it is needed."""

    def __init__(self, piece: Piece) -> None:
        self._pixels = piece.pixels
        self.curves = {codec.short: Curve(codec, Picture(piece.pixels)) for codec in RIVALS if codec.available}

    def beside(self, small: Small, scale: int) -> tuple[Beside, ...]:
        """Return what each of them does at the bytes of a small file, and what a thumbnail with a large file does."""
        size = len(small.data)
        found = [
            Beside(name, curve.psnr_at(size), curve.size_at(small.psnr) if name == AVIF.short else None)
            for name, curve in self.curves.items()
        ]
        if WEBP_THUMBNAIL.available and (avif := self.curves.get(AVIF.short)):
            left = size - WEBP_THUMBNAIL.bytes(self._pixels, scale)
            found.append(Beside(THUMBNAIL, avif.psnr_at(left)))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Attempt:
    """One picture at one setting.

    Attributes:
        path: of the picture.
        place: of the picture in its survey.
        setting: scale and quality.
        piece: what was tried of it.
        small: what came of it.
        beside: what other codecs make of it.
        rivals: their files.
        source_bytes: of the picture's file; None where only its middle was tried.
        metadata: of the picture.
    """

    path: Path
    place: int
    setting: Setting
    piece: Piece
    small: Small
    beside: tuple[Beside, ...]
    rivals: Rivals
    source_bytes: int | None
    metadata: Metadata


def attempts(
    surveyed: Survey,
    wanted: int,
    engines: Mapping[int, Engine],
    search: Search,
    reading: Reading,
    tell: Callable[[Path, Unread], None],
) -> Iterator[Attempt]:
    """Try a sample of the files at each setting of their survey.

    Args:
        surveyed: measures of the files.
        wanted: number of files.
        engines: the network of each scale.
        search: how the LR is searched.
        reading: how files are read.
        tell: called with a file that cannot be tried, and with the reason.
    """
    for engine in engines.values():
        warm_up(engine, EncodeOptions(search))
    for place in surveyed.sample(wanted):
        path = surveyed.paths[place]
        try:
            picture, size = reading.read(path)
            piece = cut_middle(picture, PIECE_PX)
            rivals, source_bytes = Rivals(piece), size if piece.share == 1 else None
            for setting in surveyed.settings:
                small = encode_piece(engines[setting.scale], piece, EncodeOptions(search, setting.quality))
                beside = rivals.beside(small, setting.scale)
                yield Attempt(path, place, setting, piece, small, beside, rivals, source_bytes, picture.metadata)
        except (HcdError, MemoryError) as error:
            tell(path, error)
