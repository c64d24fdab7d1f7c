"""Make the text of the user's settings. Its digest is stored in each result.

The text is frozen. It names the settings that the user chose (method, effort, quality or target, network, scale,
details z, metadata to strip, container) in the words of release 0.1.0. It does not say how a release carries them out.
So a better search, newer shipped weights or another default leave existing results up to date.
tests/golden/settings_0.1.0.json holds digests that must never change.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import fields, replace

from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.search.options import EFFORTS, Paper, Search, Ste, search_of
from hcdcodec.files.encoded_names import Container
from hcdcodec.format.grid import QUALITIES, RUNGS, Grid, grid_of
from hcdcodec.networks.manifest import NetworkId

# (steps, step_size) by effort and the other constants of the search, all as in release 0.1.0. The user chooses an
# effort, and these numbers are only its spelling in the text. They must not follow the constants of today's search.
_EFFORTS_0_1 = ((0, 6.0), (1, 3.0), (2, 4.0), (3, 4.0), (5, 5.0), (8, 6.0), (12, 6.0), (18, 6.0), (30, 6.0), (60, 6.0))
_STE = (
    "full_step_error=8.0, likeness_db=35.0, leeway_db=0.9, momentum=0.5, memory=0.99, softness=1.0, patience=4, "
    "tolerance=0.003, per_bit=0.4, luma=1.0"
)
_PAPER = "Paper(hr_steps=15, lr_steps=15, alpha=0.0784313725490196, epsilon=0.3, seed=0)"


def settings_digest(options: EncodeOptions, network: NetworkId, target: Target | None = None) -> bytes:
    """Return 8 bytes that change when the user changes a setting.

    Args:
        options: the user's options; with a target, their quality does not count.
        network: the network; its `settings_hash` is in the text, so that better weights leave results up to date.
        target: chooses the quality; None where the user chose it.
    """
    if target:
        # Any fixed quality would do. Release 0.1.0 wrote the best one, so the text keeps it.
        options = replace(options, quality=RUNGS[0])
    text = f"{_options_text(options)} {network.name} {network.scale} {network.settings_hash}"
    text += f" {_grid_text(grid_of(options.quality))}{_target_text(target) if target else ''}"
    if options.container is not Container.PNG:  # the only one that release 0.1.0 had
        text += f" Container({options.container})"
    # Not in release 0.1.0, so it is named only where the user has chosen it. `convert` is not named at all: it changes
    # no result, and only makes results of pictures that would have none.
    text += " upright" if options.upright else ""
    return hashlib.sha256(text.encode()).digest()[:8]


def missed_digest(settings: bytes) -> bytes:
    """Return the digest that stands in place of `settings` in a result that misses its target of dB.

    The PSNR of a result stands nowhere in it. Its bytes need no such mark, since everybody can count them.
    """
    return hashlib.sha256(settings + b" missed").digest()[:8]


def name_change(
    digest: bytes, quality: int, made: NetworkId, options: EncodeOptions, network: NetworkId, target: Target | None
) -> str:
    """Say how settings differ from those of an existing result, as "quality 90, now 75".

    A digest cannot be read, but it can be guessed: all efforts are tried. Nothing is said that no guess confirms.

    Args:
        digest: settings digest of the result.
        quality: its quality, which a target may have chosen.
        made: its network, of which name and scale count.
        options: the options of today.
        network: the network of today.
        target: the target of today.
    """
    if made.scale != network.scale:
        return f"scale {made.scale}, now {network.scale}"
    if made.name != network.name:
        return f"network {made.name}, now {network.name}"
    if quality not in QUALITIES:  # 0: none was chosen, so other software has made it
        return "other settings"
    for search in (options.search, *EFFORTS, Paper()):
        then = replace(options, search=search, quality=quality)
        if settings_digest(then, network) == digest:
            return "; ".join(_name_changes(then, options, target))
    return "other settings"


def _name_changes(then: EncodeOptions, options: EncodeOptions, target: Target | None) -> Iterator[str]:
    if target:
        yield f"quality {then.quality}, now a target"
    elif then.quality != options.quality:
        yield f"quality {then.quality}, now {options.quality}"
    if then.search != options.search:
        yield f"{_name_search(then.search)}, now {_name_search(options.search).removeprefix('effort ')}"


def _name_search(search: Search) -> str:
    if isinstance(search, Paper):
        return "method paper"
    return f"effort {EFFORTS.index(search)}" if search in EFFORTS else "a search of its own"


def _options_text(options: EncodeOptions) -> str:
    kinds = ", ".join(f"<Strip.{kind.name}: '{kind.value}'>" for kind in options.strip)
    closing = ",)" if len(options.strip) == 1 else ")"  # a tuple, as Python writes it
    return (
        f"EncodeOptions(search={_search_text(options.search)}, quality={options.quality}, "
        f"details_scale={options.details_scale!r}, details_seed={options.details_seed}, strip=({kinds}{closing})"
    )


def _target_text(target: Target) -> str:
    """Return the text of a target, with the grids among which it chooses."""
    grids = ", ".join(_grid_text(grid_of(quality)) for quality in RUNGS)
    # Callers in Python may give 30, or a number of numpy, where the command line has 30.0.
    bpp, psnr = (value if value is None else float(value) for value in (target.bpp, target.psnr))
    max_bytes = None if target.max_bytes is None else int(target.max_bytes)
    return f"Target(max_bytes={max_bytes!r}, bpp={bpp!r}, psnr={psnr!r}) ({grids})"


def _search_text(search: Search) -> str:
    if search == Paper():
        return _PAPER
    for effort, (steps, step_size) in enumerate(_EFFORTS_0_1):
        if search == search_of(effort):
            return f"Ste(steps={steps}, step_size={step_size}, {_STE})"
    # Constants that no effort has come only from Python callers. Their text follows the dataclass of today.
    name = "Ste" if isinstance(search, Ste) else "Paper"
    return f"{name}({', '.join(f'{field.name}={getattr(search, field.name)!r}' for field in fields(search))})"


def _grid_text(grid: Grid) -> str:
    return f"Grid(red={grid.red}, green={grid.green}, blue={grid.blue})"
