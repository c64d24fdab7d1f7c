"""The pictures that benchmarks run on: the shipped photographs, or folders under $HCDCODEC_IMAGES."""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hcdcodec.pictures.formats import SNIFF_BYTES, sniff
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.reading import read_picture

SHIPPED = Path(__file__).parents[2] / "tests" / "data" / "photos"

SIDE = 256
"""Usual height and width of squares: of one size, so that batches are full."""


@dataclass(frozen=True)
class PictureSet:
    """A folder of pictures.

    Attributes:
        name: what tables and files call it.
        files: sorted.
        crop: longest side in pixels; 0 = no limit.
        corner: cut from the upper left corner; otherwise from the centre.
        multiple: sides are cut to multiples of this, as the rescaling field does.
    """

    name: str
    files: tuple[Path, ...]
    crop: int
    corner: bool
    multiple: int

    def __iter__(self) -> Iterator[tuple[str, Picture]]:
        """Yield (name, picture) without alpha and metadata: codecs are compared by the colours alone."""
        for path in self.files:
            yield path.stem, Picture(self._cut(read_picture(path.read_bytes()).pixels))

    def _cut(self, pixels: np.ndarray) -> np.ndarray:
        height, width = (
            max(self.multiple, min(size, self.crop or size) // self.multiple * self.multiple)
            for size in pixels.shape[:2]
        )
        is_centre = self.crop and not self.corner
        top, left = ((pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2) if is_centre else (0, 0)
        return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose pictures."""
    add_set_option(parser)
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N pictures of a folder")
    parser.add_argument("--crop", type=int, default=0, metavar="PX", help="only the centre of each picture")
    parser.add_argument("--corner", action="store_true", help="with --crop, the upper left corner instead")


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names folders."""
    parser.add_argument(
        "--set",
        dest="sets",
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders, under $HCDCODEC_IMAGES if that is set, such as test/Kodak; default: the shipped photographs",
    )


def add_side_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how large squares are."""
    parser.add_argument("--side", type=int, default=SIDE, metavar="PX", help=f"of the squares; default: {SIDE}")


def side_suffix(given: argparse.Namespace) -> str:
    """Keep runs on other squares from replacing each other's files."""
    return "" if given.side == SIDE else f"_side{given.side}"


def chosen(given: argparse.Namespace, multiple: int = 1) -> list[PictureSet]:
    """Return the sets that the options name; the sides of their pictures are multiples of `multiple`."""
    root = Path(os.environ.get("HCDCODEC_IMAGES", "."))
    folders = [root / name for name in given.sets] or [SHIPPED]
    place = "_corner" if given.corner else "_crop"
    cut = (f"_first{given.limit}" if given.limit else "") + (f"{place}{given.crop}" if given.crop else "")
    return [
        PictureSet(folder.name + cut, _files(folder, given.limit), given.crop, given.corner, multiple)
        for folder in folders
    ]


def photographs(given: argparse.Namespace) -> list[Picture]:
    """Return all pictures of the sets, for scripts that cut their own pictures from them."""
    everything = argparse.Namespace(sets=given.sets, limit=0, crop=0, corner=False)
    return [picture for pictured in chosen(everything) for _, picture in pictured]


def squares(sources: Sequence[Picture], side: int) -> Iterator[Picture]:
    """Yield squares of photographs, without end.

    Raises:
        SystemExit: no photograph is large enough.
    """
    dice = np.random.default_rng(0)
    large = [picture.pixels for picture in sources if min(picture.height, picture.width) >= side]
    if not large:
        raise SystemExit(f"no picture has {side} rows and columns; choose other ones with --set")
    while True:
        for pixels in large:
            top, left = (int(dice.integers(size - side + 1)) for size in pixels.shape[:2])
            yield Picture(np.ascontiguousarray(pixels[top : top + side, left : left + side]))


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def _files(folder: Path, limit: int) -> tuple[Path, ...]:
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and sniff(path.read_bytes()[:SNIFF_BYTES])]
    if not found:
        raise SystemExit(f"there are no pictures in {folder}; name another folder or set HCDCODEC_IMAGES")
    return tuple(found[: limit or None])
