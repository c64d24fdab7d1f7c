"""Draw a contact sheet: original, reconstruction, LR and error side by side, with a table of the numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hcdcodec.compare.overview import mean
from hcdcodec.compare.pairs import Comparison, Figures
from hcdcodec.errors import UsageError
from hcdcodec.files import disk
from hcdcodec.files.names import printable
from hcdcodec.files.picture_names import Format, format_of, is_picture_name
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.orientation import read_orientation, turn
from hcdcodec.pictures.picture import Levels, Picture, expand
from hcdcodec.pictures.writing import write_picture

AMPLIFICATION = 8
"""Factor on errors; without it, an error of a few levels would be invisible."""

_MARK, _HEAD = png_chunks.Chunk(b"tEXt", b"Software\0hcdcodec compare"), 1024
"""By this our sheets are known. It stands in their first bytes."""

_GAP, _CAPTION, _TEXT = 8, 24, 14
_WIDTH_MIN = 320
_HEIGHT_MOST = 4096  # of what is enlarged: a picture one pixel wide would fill the memory
_TITLES, _DIGITS = ("PSNR-Y", "PSNR-RGB", "SSIM", "SSIMULACRA2", "bpp"), (2, 2, 4, 2, 3)
_ASKED = _TITLES.index("SSIMULACRA2")
"""The column that stands there only if somebody asked for it."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One captioned picture, (H, W) or (H, W, 3) uint8."""

    caption: str
    pixels: Levels


def panels_of(comparison: Comparison) -> list[Panel]:
    """Return original, reconstruction, LR at HR size (where there is one) and error, upright."""
    original, figures = comparison.original, comparison.figures
    height, width = original.shape[:2]
    orientation = read_orientation(comparison.metadata.exif or b"")
    shown = turn(original, orientation)
    likeness = "" if figures.scores.ssim is None else f", SSIM {figures.scores.ssim:.4f}"
    panels = [
        Panel(f"original, {shown.shape[1]}x{shown.shape[0]}", original),
        Panel(f"decoded, {format_psnr(figures.scores.psnr_y)} (Y){likeness}", comparison.decoded),
    ]
    if comparison.lr is not None:
        size = f"{comparison.lr.shape[1]}x{comparison.lr.shape[0]}"
        panels.append(
            Panel(f"LR, {size}, {figures.bpp:.2f} bpp", enlarge(comparison.lr, comparison.scale, height, width))
        )
    panels.append(Panel(f"error x{AMPLIFICATION}", amplify_error(original, comparison.decoded)))
    return [replace(panel, pixels=turn(panel.pixels, orientation)) for panel in panels]


def sheet(panels: Sequence[Panel], *, columns: int = 2) -> bytes:
    """Arrange pictures of one size in rows.

    Args:
        panels: at least one picture. Small pictures are enlarged by a whole factor, so that their captions fit; very
            tall ones are not.
        columns: number of pictures in a row.

    Returns:
        A PNG.
    """
    height, width = panels[0].pixels.shape[:2]
    factor = max(1, min(math.ceil(_WIDTH_MIN / width), _HEIGHT_MOST // height))
    height, width = factor * height, factor * width
    rows = -(-len(panels) // columns)
    size = columns * (width + _GAP) + _GAP, rows * (height + _CAPTION) + _GAP
    canvas = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        left, top = _GAP + column * (width + _GAP), row * (height + _CAPTION)
        draw.text((left, top + 4), panel.caption, "black", font)
        # 0 is nearest neighbour, so that the samples stay visible.
        canvas.paste(Image.fromarray(expand(panel.pixels)).resize((width, height), 0), (left, top + _CAPTION))
    return write_picture(Picture(np.asarray(canvas)), Format.PNG, marks=(_MARK,))


def check_place(path: Path) -> None:
    """Check that a sheet replaces nothing but another sheet, and that its name fits.

    Raises:
        UsageError: a file that is not ours stands there, or the name is that of a picture in another format than PNG.
    """
    if is_picture_name(path.name) and format_of(path.name) is not Format.PNG:
        raise UsageError(f"{path} would hold PNG data; let its name end in .png")
    disk.check_place(path, _MARK.payload, within=_HEAD, kind="sheet")


def table(compared: Sequence[Figures]) -> str:
    """Return the numbers as lines of text, the worst PSNR-RGB first, and the means of several pictures last.

    Names stand at the end of the lines, since their lengths differ.
    """
    ranked = sorted(compared, key=lambda figures: figures.scores.psnr_rgb)
    values = [_numbers(figures) for figures in ranked]
    names = [printable(figures.name) for figures in ranked]
    if len(values) > 1:
        values.append(tuple(mean(column) for column in zip(*values, strict=True)))
        names.append("mean")
    rows = [_TITLES, *map(_format_row, values)]
    if all(figures.ssimulacra2 is None for figures in ranked):
        rows = [(*row[:_ASKED], *row[_ASKED + 1 :]) for row in rows]
    lines = (
        "".join(cell.rjust(max(10, len(title) + 2)) for cell, title in zip(row, rows[0], strict=True)) for row in rows
    )
    return "\n".join(f"{line}  {name}" for line, name in zip(lines, ("picture", *names), strict=True))


def enlarge(pixels: Levels, factor: int, height: int, width: int) -> Levels:
    """Repeat the samples of an LR, as many times as its scale says, and cut off what is beyond (height, width)."""
    # No interpolation: a person should see the samples that are stored.
    return pixels.repeat(factor, 0).repeat(factor, 1)[:height, :width]


def amplify_error(original: Levels, decoded: Levels) -> Levels:
    """Return the amplified difference around mid-grey; it is brighter where the reconstruction is too bright."""
    # int16, since a difference of two uint8 arrays would wrap around.
    difference = expand(decoded).astype(np.int16) - expand(original)
    shown: Levels = np.clip(128 + AMPLIFICATION * difference, 0, 255).astype(np.uint8)
    return shown


def format_psnr(value: float) -> str:
    """Return the text of a PSNR."""
    return f"{value:.2f} dB" if math.isfinite(value) else "no error"


def _numbers(figures: Figures) -> tuple[float | None, ...]:
    scores = figures.scores
    return scores.psnr_y, scores.psnr_rgb, scores.ssim, figures.ssimulacra2, figures.bpp


def _format_row(row: Sequence[float | None]) -> tuple[str, ...]:
    return tuple(
        "-" if value is None else "no error" if math.isinf(value) else f"{value:.{digits}f}"
        for value, digits in zip(row, _DIGITS, strict=True)
    )
