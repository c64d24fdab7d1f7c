"""Estimate what a folder would take, from a survey of its files and a few of them encoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.engine.engine import Engine
from hcdcodec.errors import HcdError
from hcdcodec.trial.attempt import Attempt
from hcdcodec.trial.forecast import Range, forecast, rest_of
from hcdcodec.trial.measure import HEADER_BYTES, Setting
from hcdcodec.trial.piece import Piece, Small, cut_middle, encode_piece, warm_up
from hcdcodec.trial.survey import Reading, Survey, Unread, survey

SAMPLE = 12
"""Number of files that are encoded."""

_QUICK_PX = 1 << 17
"""Pixels of each in `estimate_encoding`, where nobody looks at them."""


@dataclass(frozen=True)
class Estimate:
    """What the files of a folder would take at one setting.

    Attributes:
        setting: scale and quality.
        files: number of files.
        source_bytes: what they take today.
        bytes: what their small files would take.
        seconds: time on this machine.
    """

    setting: Setting
    files: int
    source_bytes: int
    bytes: Range
    seconds: float

    @property
    def share(self) -> float:
        """Return the expected bytes as a share of today's."""
        return self.bytes.expected / self.source_bytes


def estimate(surveyed: Survey, setting: Setting, tried: Sequence[tuple[int, Piece, Small]]) -> Estimate:
    """Estimate what all files of a survey take.

    Args:
        surveyed: measures of the files.
        setting: one of those that were measured.
        tried: place in the survey, piece and small file at this setting, of each file that was encoded.
    """
    at, files = surveyed.settings.index(setting), surveyed.measured
    measures = [one.lr_bytes[at] for one in files]
    found = [len(small.data) - HEADER_BYTES for _, _, small in tried]
    whole = [(size, measures[place]) for size, (place, piece, _) in zip(found, tried, strict=True) if piece.share == 1]
    size = forecast(
        sum(size for size, _ in whole),
        [size / small.lr_bytes for size, (_, _, small) in zip(found, tried, strict=True)],
        rest_of(measures, [measured for _, measured in whole], surveyed.count),
        # Sorted by what varies least from neighbour to neighbour, see `survey.choose_files`.
        rest_of([one.fixed_bytes for one in files], [], surveyed.count),
    )
    speed = sum(small.seconds for _, _, small in tried) / sum(piece.pixel_count for _, piece, _ in tried)
    pixels = sum(one.pixels for one in files) * surveyed.count / len(files)
    return Estimate(setting, round(surveyed.count), round(surveyed.source_bytes), size, speed * pixels)


def estimate_all(surveyed: Survey, tried: Sequence[Attempt]) -> list[Estimate]:
    """Estimate what all files of a survey take at each setting that was tried."""
    return [
        estimate(surveyed, setting, [(one.place, one.piece, one.small) for one in tried if one.setting == setting])
        for setting in surveyed.settings
    ]


def estimate_encoding(
    paths: Sequence[Path],
    engine: Engine,
    options: EncodeOptions,
    target: Target | None = None,
    *,
    reading: Reading,
    tell: Callable[[Path, Unread | None], None],
) -> Estimate | None:
    """Estimate what encoding of files would take, in seconds rather than minutes of work.

    Args:
        paths: the files to encode.
        engine: network, device and precision.
        options: how they are encoded.
        target: chooses the quality of each in place of `options.quality`.
        reading: how they are read.
        tell: called with each file that was read or encoded, and with the reason where it cannot be read.

    Returns:
        The estimate; None where no file can be read.
    """
    setting = Setting(engine.backbone.scale, options.quality)
    surveyed = survey(paths, (setting,), reading, tell)
    warm_up(engine, options)
    tried = list[tuple[int, Piece, Small]]()
    for place in surveyed.sample(SAMPLE):
        path = surveyed.paths[place]
        try:
            piece = cut_middle(reading.read(path)[0], _QUICK_PX)
            tried.append((place, piece, encode_piece(engine, piece, options, target)))
            tell(path, None)
        except (HcdError, MemoryError) as error:
            tell(path, error)
    return estimate(surveyed, setting, tried) if tried else None
