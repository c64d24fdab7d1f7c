"""Pictures in memory, and what training draws from them: crops, turned and mirrored, and middles to validate on."""

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hcdcodec.errors import HcdError, PictureError, UsageError
from hcdcodec.files.disk import read
from hcdcodec.files.find import identity, search, status_of
from hcdcodec.format.container import refuse_encoded
from hcdcodec.format.source_files import refuse_source
from hcdcodec.pictures.picture import Levels, Picture, expand
from hcdcodec.pictures.reading import read_picture

READERS = 4  # threads that decode files
_UNREADABLE = "not readable"
Drawn = TypeVar("Drawn")
Watch = Callable[[Iterable[Levels | None], int], Iterable[Levels | None]]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures, decoded once.

    Attributes:
        pictures: (H, W, 3) uint8 each; grey ones as three copies, without their alpha.
        small: how many were left out for being too small.
        unreadable: how many were left out for being damaged, or nothing that can be encoded.
        digest: hash by which the same pictures are known; empty where they come from no files.
        files: identities of their files.
    """

    pictures: tuple[Levels, ...]
    small: int
    unreadable: int
    digest: str = ""
    files: frozenset[tuple[int, int] | None] = frozenset()

    @property
    def pixels(self) -> int:
        """Number of pixels of all pictures."""
        return sum(picture.shape[0] * picture.shape[1] for picture in self.pictures)

    def chances(self, uniform_share: float) -> npt.NDArray[np.float64]:
        """Return how likely a crop comes from each picture.

        Args:
            uniform_share: part of the crops that is drawn uniformly over all pixels; the others by sharpness too.
        """
        areas = np.array([picture.shape[0] * picture.shape[1] for picture in self.pictures], dtype=np.float64)
        sharp = areas * [sharpness(picture) + 1e-9 for picture in self.pictures]
        return np.asarray(uniform_share * areas / areas.sum() + (1 - uniform_share) * sharp / sharp.sum())

    def draw(
        self, generator: np.random.Generator, chances: npt.NDArray[np.float64], count: int, patch: int
    ) -> npt.NDArray[np.uint8]:
        """Return crops in random orientations.

        Args:
            generator: source of chance.
            chances: see `chances`.
            count: how many.
            patch: height and width in pixels.

        Returns:
            (count, patch, patch, 3) uint8.
        """
        crops = np.empty((count, patch, patch, 3), np.uint8)
        for slot, index in enumerate(generator.choice(len(self.pictures), count, p=chances)):
            picture = self.pictures[index]
            top, left = (int(generator.integers(side - patch + 1)) for side in picture.shape[:2])
            crop = np.rot90(picture[top : top + patch, left : left + patch], int(generator.integers(4)))
            crops[slot] = crop[::-1] if generator.integers(2) else crop
        return crops

    def centres(self, side: int, multiple: int) -> list[Picture]:
        """Return the middle of each picture, at most `side` pixels each way, sizes being multiples of `multiple`."""
        return [Picture(_centre(picture, side, multiple)) for picture in self.pictures]


def read_gallery(names: Sequence[str], smallest: int, watch: Watch | None = None) -> Gallery:
    """Read all pictures of some files and directories.

    Args:
        names: directories are searched with all below them.
        smallest: height and width below which a picture is left out, in pixels.
        watch: takes the pictures while they are read and their number, and passes the pictures on; it may draw a bar.

    Raises:
        UsageError: a name leads nowhere, or there is no picture that can be used.
    """
    findings = search(names, _refuse)
    if findings.problems:
        raise UsageError("{}: {}".format(*findings.problems[0]))
    with ThreadPoolExecutor(READERS) as pool:
        reading = pool.map(_read, [found.path for found in findings.found])
        read_all = list(watch(reading, len(findings.found)) if watch else reading)
    pairs = zip((found.path for found in findings.found), read_all, strict=True)
    readable = [(path, picture) for path, picture in pairs if picture is not None]
    kept = [(path, picture) for path, picture in readable if min(picture.shape[:2]) >= smallest]
    if not kept:
        size = f"{smallest}x{smallest} pixels or more"
        raise UsageError(f"there are no pictures of {size} in {', '.join(names)}; name another folder")
    paths, pictures = zip(*kept, strict=True)
    unreadable = len(read_all) - len(readable) + sum(why == _UNREADABLE for _, why in findings.ignored)
    files = frozenset(map(identity, paths)) - {None}
    return Gallery(pictures, len(readable) - len(kept), unreadable, _digest(paths), files)


def sharpness(picture: Levels) -> float:
    """Return the mean absolute difference of neighbours in the green channel, both ways added, in levels."""
    green = picture[..., 1].astype(np.int16)
    return sum(float(np.abs(np.diff(green, axis=axis)).mean()) for axis in (0, 1) if green.shape[axis] > 1)


def drawn_ahead(draw: Callable[[int], Drawn], first: int, workers: int) -> Generator[Drawn, None, None]:
    """Yield `draw(first)`, `draw(first + 1)` and so on without end, drawn ahead by threads.

    The order, and so a training, does not depend on the number of workers.
    """
    with ThreadPoolExecutor(workers) as pool:
        pending = deque(pool.submit(draw, first + k) for k in range(2 * workers))
        for number in itertools.count(first + len(pending)):
            yield pending.popleft().result()
            pending.append(pool.submit(draw, number))


def _digest(paths: Iterable[Path]) -> str:
    """Return a hash of the names and sizes of files, in any order. Their folders do not count, so they may move."""
    sizes = sorted((path.name, status.st_size if (status := status_of(path)) else 0) for path in paths)
    return hashlib.sha256(repr(sizes).encode()).hexdigest()


def _refuse(path: Path) -> str | None:
    """Leave out, without a failure, what cannot be encoded and so need not be learned."""
    try:
        return refuse_source(path)
    except PictureError:
        return _UNREADABLE


def _read(path: Path) -> Levels | None:
    """Return (H, W, 3), or None for what cannot be encoded and so need not be learned."""
    try:
        data = read(path)
        refuse_encoded(data)
        pixels = read_picture(data).pixels
    except HcdError:
        return None
    return expand(pixels)


def _centre(picture: Levels, side: int, multiple: int) -> Levels:
    height, width = (min(extent, side) // multiple * multiple for extent in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])
