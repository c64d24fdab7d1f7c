"""Pictures and figures that a page shows.

`hcdcodec.compare.page` turns them into HTML. Commands fill them in, so that all pages look alike.
"""

import enum
from dataclasses import dataclass, field

from hcdcodec.compare.pairs import Comparison
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels


class Role(enum.StrEnum):
    """What a version of a picture is."""

    ORIGINAL = "original"
    DECODED = "decoded"
    LR = "LR"
    RIVAL = "rival"


@dataclass(frozen=True)
class Measure:
    """One number about a version. Measures of one title stand in one column.

    Attributes:
        title: what was measured, with its unit, for example `PSNR-Y (dB)`.
        value: the number; infinite for a PSNR without error, None where it is not known.
        digits: decimals to show.
        least_is_worst: whether small numbers are bad, as for PSNR. They are good for bpp and times.
    """

    title: str
    value: float | None
    digits: int = 2
    least_is_worst: bool = True


@dataclass(frozen=True, eq=False)
class Version:
    """One version of a picture.

    Attributes:
        role: what it is.
        name: a short name that no other version of the picture has, for example `decoded` or `AVIF`.
        pixels: (H, W) or (H, W, 3) uint8 of the original's size; of an LR (h, w) or (h, w, 3).
        bytes: size of the file that is stored for it; None where nobody would store it, or it is not known.
        settings: how it was made, for example `crn x4, quality 75`; may be empty.
        measures: how close it is to the original; empty for the original and the LR.
        scale: of an LR, how many times its samples are repeated to cover the original; else 1.
    """

    role: Role
    name: str
    pixels: Levels
    bytes: int | None = None
    settings: str = ""
    measures: tuple[Measure, ...] = ()
    scale: int = 1


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A picture with its versions.

    Attributes:
        name: name of the picture, relative to its folder. A page shows it without the folders of an absolute path.
        versions: the original first, then the others in the order of their keys 1, 2, 3 and so on. The first decoded
            version, or rival where nothing is decoded, stands in the table of all pictures. Its first measure ranks
            the pictures.
        metadata: of the original. The page uses its orientation and its RGB profile, and leaves out the rest.
    """

    name: str
    versions: tuple[Version, ...]
    metadata: Metadata = field(default_factory=Metadata)


@dataclass(frozen=True)
class Table:
    """A table at the top of a page, for example with the means of each codec.

    Attributes:
        caption: one line about it.
        titles: of the columns.
        rows: cells, as many a row as there are titles.
    """

    caption: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Heading:
    """What stands above the pictures.

    Attributes:
        title: of the page.
        sentences: one paragraph each.
        tables: further tables; the table of all pictures is always made.
    """

    title: str
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


def exhibit_of(comparison: Comparison) -> Exhibit:
    """Show one compared pair: original, reconstruction and, where there is one, the LR."""
    figures, lr = comparison.figures, comparison.lr
    measures = (
        Measure("PSNR-Y (dB)", figures.scores.psnr_y),
        Measure("PSNR-RGB (dB)", figures.scores.psnr_rgb),
        Measure("SSIM", figures.scores.ssim, 4),
        *([] if figures.ssimulacra2 is None else [Measure("SSIMULACRA2", figures.ssimulacra2)]),
        Measure("bpp", figures.bpp, 3, least_is_worst=False),
    )
    versions = [
        Version(Role.ORIGINAL, "original", comparison.original, comparison.source_bytes),
        Version(Role.DECODED, "decoded", comparison.decoded, figures.bytes, comparison.settings, measures),
    ]
    if lr is not None:
        versions.append(
            Version(Role.LR, "LR", lr, figures.bytes, f"{lr.shape[1]}x{lr.shape[0]}", scale=comparison.scale)
        )
    return Exhibit(figures.name, tuple(versions), comparison.metadata)
