"""Find the reconstruction of each original, and measure how close the two are.

A reconstruction is any picture file of the same size. An LR of ours is decoded in memory first.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hcdcodec.errors import HcdError, PictureError
from hcdcodec.files import disk
from hcdcodec.files.encoded_names import Container
from hcdcodec.files.find import identity, is_directory, is_file, search, status_of
from hcdcodec.files.picture_names import Format, is_picture_name
from hcdcodec.format import container
from hcdcodec.format.header import Header
from hcdcodec.format.lr_digest import read_lr_digest
from hcdcodec.format.source_files import refuse_source
from hcdcodec.pictures import metrics
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.metrics import DEFAULT_BORDER, Scores
from hcdcodec.pictures.orientation import read_orientation, turn_upright
from hcdcodec.pictures.picture import Levels, Picture, expand
from hcdcodec.pictures.reading import read_picture

Restore = Callable[[container.Packed, Path], Picture]
"""Decodes the LR of a file. The caller passes it, so that a comparison of ordinary pictures loads no network."""


@dataclass(frozen=True)
class Pair:
    """Two files to compare.

    Attributes:
        name: name of the original, relative to the compared folder.
        original: path of the original.
        other: path of the LR or reconstruction; None where it is missing.
        problem: the reason why the original cannot be compared; empty if it can.
    """

    name: str
    original: Path
    other: Path | None
    problem: str = ""


@dataclass(frozen=True)
class Figures:
    """The numbers about one compared pair.

    Attributes:
        name: name of the pair.
        scores: PSNR and SSIM.
        exact: whether all samples agree.
        bytes: size of the compared file. None for a reconstruction of ours, since only its small file needs storing.
        bpp: stored bits per HR pixel.
        ssimulacra2: at most 100, see `hcdcodec.compare.ssimulacra2`; None where nobody asked for it.
    """

    name: str
    scores: Scores
    exact: bool
    bytes: int | None
    bpp: float | None
    ssimulacra2: float | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """One compared pair.

    Attributes:
        figures: the numbers.
        original: (H, W) or (H, W, 3) uint8.
        decoded: the reconstruction, of the same size.
        lr: (h, w) or (h, w, 3) uint8; None where the compared file was not an LR.
        scale: HR size / LR size; 1 where the compared file was not an LR.
        source_bytes: size of the original's file.
        settings: how the LR was made; empty where the compared file was not an LR.
        metadata: of the original.
    """

    figures: Figures
    original: Levels
    decoded: Levels
    lr: Levels | None
    scale: int
    source_bytes: int
    settings: str
    metadata: Metadata


def pair_up(original: Path, other: Path, exclude: Sequence[str] = ()) -> Iterator[Pair]:
    """Yield pairs: the two given files, or each picture of a folder with its counterpart in the other folder.

    Args:
        original: a picture, or a folder that is searched as encode searches it. It may contain the folder `other`.
        other: an LR or reconstruction, or a folder whose contents mirror `original` under the names that encode and
            decode give, or under names that differ in their extension alone.
        exclude: patterns of originals to leave out, see `hcdcodec.files.find.search`.

    Raises:
        PictureError: a folder against a file, against nothing or against itself, or a folder without pictures.
    """
    if is_directory(original) is not is_directory(other):
        for path in (original, other):
            if status_of(path) is None:
                raise PictureError(f"{path} cannot be found; check the name")
        raise PictureError("a folder and a file cannot be compared; give two folders or two files")
    if not is_directory(original):
        yield Pair(str(original), original, other)
        return
    if identity(original) == identity(other):
        raise PictureError(f"{original} cannot be compared with itself; name the folder of the small files second")
    findings = search([str(original)], refuse_source, destination=other, exclude=exclude)
    if not findings.found and not findings.problems:
        raise PictureError(f"there is no picture in {original}; name the folder of the originals first")
    for problem in findings.problems:
        yield Pair(problem.name, Path(problem.name), None, problem.message)
    keys = {found.key for found in findings.found}
    for found in findings.found:
        yield Pair(found.key, found.path, _find_counterpart(other, found.key, keys))


def compare_pair(
    pair: Pair, restore: Restore, *, border: int | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Comparison:
    """Read, restore and score one pair. Alpha takes no part.

    Args:
        pair: two files.
        restore: decodes an LR.
        border: pixels on each side that the luma measures leave out; default: the LR's scale, or 4.
        max_pixels: larger pictures are refused.

    Raises:
        PictureError: a file cannot be read, the sizes differ, or there is no counterpart.
        ContainerError: the LR is damaged.
        ModelError: the weights that the LR needs are not installed.
    """
    if pair.problem:
        raise PictureError(pair.problem)
    if pair.other is None:
        raise PictureError("has no counterpart in the other folder; encode or decode it first")
    limit = disk.most_bytes(max_pixels)
    source = disk.read(pair.original, limit=limit)
    container.refuse_encoded(source)
    with _naming(pair.other):
        data = disk.read(pair.other, limit=limit)
    is_lr, is_decoded = container.is_ours(data), read_lr_digest(data) is not None
    # What we have made was converted where 8-bit grey or RGB could not hold it.
    picture = read_picture(source, max_pixels=max_pixels, convert=is_lr or is_decoded)
    with _naming(pair.other):
        if is_lr:
            packed = container.unpack(data, max_pixels=max_pixels)
            lr: Levels | None
            size: int | None
            restored, scale = restore(packed, pair.other), packed.header.scale
            lr, size, settings, usual_border = packed.lr, len(data), _settings_of(packed.header), scale
        else:
            restored, scale, usual_border = read_picture(data, max_pixels=max_pixels), 1, DEFAULT_BORDER
            # A PNG that we decoded says nothing about cost: its small file is what a user would store.
            lr, size, settings = None, None if is_decoded else len(data), ""
    picture = _turn_like(picture, restored)
    original, decoded = picture.pixels, restored.pixels
    scores = metrics.score(original, decoded, border=usual_border if border is None else border)
    bpp = None if size is None else 8 * size / (original.shape[0] * original.shape[1])
    # Expanded, because a grey original can come back as RGB.
    figures = Figures(pair.name, scores, bool(np.array_equal(expand(original), expand(decoded))), size, bpp)
    return Comparison(figures, original, decoded, lr, scale, len(source), settings, picture.metadata)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the name of a file in front of an error about it; the caller names the original, which is another one.

    Raises:
        HcdError: of the same kind.
    """
    try:
        yield
    except HcdError as error:
        raise type(error)(f"{path}: {error}") from error


def _turn_like(picture: Picture, restored: Picture) -> Picture:
    """Return an original as its reconstruction has it: turned upright, where that was made with --upright."""
    if _orientation(picture) == _orientation(restored):
        return picture
    fitting = [one for one in (picture, turn_upright(picture)) if one.pixels.shape[:2] == restored.pixels.shape[:2]]
    # EXIF can be missing in both cases. So if both have the right size, the one that is closer is meant.
    return max(fitting, key=lambda one: metrics.psnr(expand(one.pixels), expand(restored.pixels)), default=picture)


def _orientation(picture: Picture) -> int:
    return read_orientation(picture.metadata.exif or b"")


def _settings_of(header: Header) -> str:
    return f"{header.backbone} x{header.scale}" + (f", quality {header.quality}" if header.quality else "")


def _find_counterpart(other: Path, key: str, keys: Collection[str]) -> Path | None:
    """Return the counterpart of a picture: first an LR, then a reconstruction, then the picture of the same stem.

    Args:
        other: the compared folder.
        key: name of the picture in its folder.
        keys: names of all pictures. Where a reconstruction would have one of these names, decoding appends its suffix
            once more, and so does this search.
    """
    mirror = other / key
    encoded = (f"{key}{container.suffix}" for container in Container)
    for name in (*encoded, key, *(_append_until_free(key, kind.suffix, keys) for kind in Format)):
        if is_file(candidate := other / name):
            return candidate
    # Not each file: a.xmp and a.txt may lie beside a.webp. With several pictures of one stem, any choice is a guess.
    pictures = [path for path in _entries(mirror.parent) if path.stem == mirror.stem and is_picture_name(path.name)]
    found = [path for path in pictures if is_file(path)]
    return found[0] if len(found) == 1 else None


def _entries(folder: Path) -> list[Path]:
    """Return the files in a folder; none where it does not exist, or its name is too long to exist."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _append_until_free(key: str, suffix: str, keys: Collection[str]) -> str:
    key += suffix
    while key in keys:
        key += suffix
    return key
