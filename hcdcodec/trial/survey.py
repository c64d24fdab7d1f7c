"""Measure the files of a folder: every one of them, or of very many an even choice."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.source import read_file
from hcdcodec.errors import HcdError
from hcdcodec.files import disk
from hcdcodec.files.find import status_of
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS
from hcdcodec.pictures.picture import Picture
from hcdcodec.trial.measure import Measured, Setting, measure
from hcdcodec.trial.sample import by_weight, evenly

MEASURED_MOST = 400
"""Of more files, so many are measured. Reading is most of the time, and the rest can be told from these."""

_THREADS = 2

Unread = HcdError | MemoryError


@dataclass(frozen=True)
class Reading:
    """How pictures are read.

    Attributes:
        max_pixels: larger ones are refused.
        options: as for encode.
    """

    max_pixels: int = DEFAULT_MAX_PIXELS
    options: EncodeOptions = field(default_factory=EncodeOptions)

    def read(self, path: Path) -> tuple[Picture, int]:
        """Return a picture as encode reads it, and the bytes of its file.

        Raises:
            PictureError: it cannot be read, or cannot be stored.
        """
        data = disk.read(path, limit=disk.most_bytes(self.max_pixels))
        return read_file(data, self.options, self.max_pixels), len(data)


@dataclass(frozen=True)
class Survey:
    """What is known of the files of a folder.

    Attributes:
        settings: scales and qualities, in the order of `Measured.lr_bytes`.
        paths: of the measured files.
        measured: one for each of them.
        count: number of all files that can be read, so far as is known.
        source_bytes: of all these files.
    """

    settings: tuple[Setting, ...]
    paths: tuple[Path, ...]
    measured: tuple[Measured, ...]
    count: float
    source_bytes: float

    def sample(self, wanted: int) -> list[int]:
        """Return the places of files to try, chosen by bytes: among smooth pictures and among detailed ones alike."""
        middle = len(self.settings) // 2
        sizes = [one.lr_bytes[middle] for one in self.measured]
        order = sorted(range(len(sizes)), key=lambda place: sizes[place] / self.measured[place].pixels)
        return [order[place] for place in by_weight([sizes[place] for place in order], wanted)]


def choose_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files to measure, in an order in which neighbours are alike: by kind, then by size."""
    sizes = {path: _size(path) for path in paths}
    ordered = sorted(paths, key=lambda path: (path.suffix.lower(), sizes[path], path))
    return [ordered[place] for place in evenly(len(ordered), MEASURED_MOST)]


def survey(
    paths: Sequence[Path],
    settings: tuple[Setting, ...],
    reading: Reading,
    tell: Callable[[Path, Unread | None], None],
) -> Survey:
    """Measure files.

    Args:
        paths: all files.
        settings: scales and qualities to measure at.
        reading: how they are read.
        tell: called with each measured file, and with the reason where it cannot be read.
    """
    chosen, found = choose_files(paths), list[tuple[Path, Measured]]()
    for path, result in _measure_all(chosen, settings, reading):
        if isinstance(result, Measured):
            found.append((path, result))
        tell(path, None if isinstance(result, Measured) else result)
    share = len(found) / len(chosen) if chosen else 0.0
    every = len(chosen) == len(paths)
    known = sum(one.source_bytes for _, one in found)
    return Survey(
        settings,
        tuple(path for path, _ in found),
        tuple(one for _, one in found),
        # Multiplied first: of files that are all measured, a share could count a little less than there are.
        len(found) * len(paths) / max(1, len(chosen)),
        known if every else share * sum(map(_size, paths)),
    )


def _measure_all(
    paths: Sequence[Path], settings: tuple[Setting, ...], reading: Reading
) -> Iterator[tuple[Path, Measured | Unread]]:
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            yield from zip(paths, pool.map(partial(_measure, settings=settings, reading=reading), paths), strict=True)
        finally:
            # After Ctrl-C nobody waits for the files that are still to come.
            pool.shutdown(wait=False, cancel_futures=True)


def _measure(path: Path, *, settings: tuple[Setting, ...], reading: Reading) -> Measured | Unread:
    try:
        return measure(*reading.read(path), settings)
    except (HcdError, MemoryError) as error:
        return error


def _size(path: Path) -> int:
    status = status_of(path)
    return status.st_size if status else 0
