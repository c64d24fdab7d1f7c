"""Write comparisons as an HTML page."""

import base64
import html
from collections.abc import Sequence

from hcdcodec.compare.pairs import Comparison, Figures
from hcdcodec.compare.sheet import AMPLIFICATION, TITLES, panels_of, table_rows
from hcdcodec.files.names import printable
from hcdcodec.files.picture_names import Format
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.pictures.writing import write_picture


def section(comparison: Comparison) -> str:
    """Return the part of the page for one pair. Pointing at the reconstruction shows the original in its place."""
    height, width = comparison.original.shape[:2]
    first, *others = [(panel.caption, _embed(panel.pixels)) for panel in panels_of(comparison)]
    cells = [_cell(*first), _cell(*others[0], behind=first[1]), *(_cell(*other) for other in others[1:])]
    style, name = f"--width:{width}px;--ratio:{width}/{height}", _escape_html(comparison.figures.name)
    return f'<section style="{style}"><h2>{name}</h2><div>{"".join(cells)}</div></section>'


def page(compared: Sequence[Figures], sections: Sequence[str]) -> str:
    """Return an HTML page that needs no other file: the table, then the section of each pair."""
    body = "\n".join(
        f"<tr><td>{_escape_html(name)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for name, *cells in table_rows(compared)
    )
    heading = "".join(f"<th>{title}</th>" for title in TITLES)
    pictures = "\n".join(sections)
    return _PAGE.format(heading=heading, rows=body, sections=pictures, amplification=AMPLIFICATION)


def _escape_html(name: str) -> str:
    return html.escape(printable(name))


def _cell(caption: str, picture: str, *, behind: str | None = None) -> str:
    images = f'<img src="{picture}" alt="">'
    if behind is not None:
        images += f'<img class="behind" src="{behind}" alt="">'
    return f"<figure><figcaption>{html.escape(caption)}</figcaption><span>{images}</span></figure>"


def _embed(pixels: Levels) -> str:
    # Lossless WebP is smaller than PNG, and all current browsers show it.
    return "data:image/webp;base64," + base64.b64encode(write_picture(Picture(pixels), Format.WEBP)).decode()


# Doubled braces are those of CSS; single ones are fields of `str.format`.
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>hcdcodec compare</title><style>
body {{ font: 15px sans-serif; margin: 2em; }}
td, th {{ padding: 2px 12px; text-align: right; }} td:first-child, th:first-child {{ text-align: left; }}
section > div {{ display: grid; grid-template-columns: repeat(2, minmax(0, max(320px, var(--width)))); gap: 8px; }}
figure {{ margin: 0; }} figcaption {{ padding: 4px 0; }}
figure > span {{ display: block; position: relative; overflow: hidden; aspect-ratio: var(--ratio); }}
img {{ display: block; width: 100%; height: 100%; image-rendering: pixelated; }}
.behind {{ position: absolute; inset: 0; opacity: 0; }} figure:hover .behind {{ opacity: 1; }}
</style></head><body>
<h1>hcdcodec compare</h1>
<p>Point at a reconstruction to see the original in its place.
Errors are amplified {amplification} times around grey.</p>
<table><tr>{heading}</tr>
{rows}
</table>
{sections}
</body></html>
"""
