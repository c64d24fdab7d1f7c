"""The text of what a user asked for, whose digest a result remembers.

The text is frozen. It says what was asked for (method, effort, quality or target, network, scale, details z, metadata
to strip) in the words of release 0.1.0, and not how a release carries it out. So a better search, newer shipped weights
or another default leave existing results up to date. tests/golden/settings_0.1.0.json holds the values.
"""

from collections.abc import Iterable
from dataclasses import fields

from hcdcodec.codec.search.options import Paper, Search, Ste, search_of
from hcdcodec.format.grid import RUNGS, Grid, grid_of
from hcdcodec.pictures.metadata import Strip

# (steps, step_size) by effort, and the other constants of the search, as release 0.1.0 had them. What a user asks for
# is an effort; these numbers only spell it, whatever the search is today.
_EFFORTS = ((0, 6.0), (1, 3.0), (2, 4.0), (3, 4.0), (5, 5.0), (8, 6.0), (12, 6.0), (18, 6.0), (30, 6.0), (60, 6.0))
_STE = (
    "full_step_error=8.0, likeness_db=35.0, leeway_db=0.9, momentum=0.5, memory=0.99, softness=1.0, patience=4, "
    "tolerance=0.003, per_bit=0.4, luma=1.0"
)
_PAPER = "Paper(hr_steps=15, lr_steps=15, alpha=0.0784313725490196, epsilon=0.3, seed=0)"


def settings_text(
    search: Search,
    quality: int,
    details_scale: float | None,
    details_seed: int,
    strip: Iterable[Strip],
    network: str,
    more: str = "",
) -> str:
    """Return the frozen text of some settings.

    Args:
        search: what was asked for; a search that is no effort's is spelt out with all of its options.
        quality: 1 to 100.
        details_scale: standard deviation of the details z; None = what the weights were trained for.
        details_seed: of the details z.
        strip: metadata that is not stored.
        network: name, scale and model hash, with spaces between them.
        more: text of a target that chooses the quality.
    """
    kinds = ", ".join(f"<Strip.{kind.name}: '{kind.value}'>" for kind in strip)
    closing = ",)" if kinds and ", " not in kinds else ")"
    options = (
        f"EncodeOptions(search={_search_text(search)}, quality={quality}, details_scale={details_scale!r}, "
        f"details_seed={details_seed}, strip=({kinds}{closing})"
    )
    return f"{options} {network} {_grid_text(grid_of(quality))}{more}"


def target_text(max_bytes: int | None, bpp: float | None, psnr: float | None) -> str:
    """Return the frozen text of a target, with the grids among which it chooses."""
    grids = ", ".join(_grid_text(grid_of(quality)) for quality in RUNGS)
    return f"Target(max_bytes={max_bytes!r}, bpp={bpp!r}, psnr={psnr!r}) ({grids})"


def _search_text(search: Search) -> str:
    if search == Paper():
        return _PAPER
    for effort, (steps, step_size) in enumerate(_EFFORTS):
        if search == search_of(effort):
            return f"Ste(steps={steps}, step_size={step_size}, {_STE})"
    name = "Ste" if isinstance(search, Ste) else "Paper"
    return f"{name}({', '.join(f'{field.name}={getattr(search, field.name)!r}' for field in fields(search))})"


def _grid_text(grid: Grid) -> str:
    return f"Grid(red={grid.red}, green={grid.green}, blue={grid.blue})"
