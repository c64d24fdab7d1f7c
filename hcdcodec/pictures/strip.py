"""What of a picture's metadata is left out on request.

A thumbnail inside EXIF belongs to EXIF: it is kept byte for byte with it and left out with it, never alone, since
cutting it out would move what maker notes point to. EXIF that some tools repeat in text chunks goes with it; what XMP
repeats of it, such as the position, goes with XMP. Alpha is no metadata and always stays.
"""

import enum
from collections.abc import Iterable
from dataclasses import replace

from hcdcodec.pictures.metadata import Metadata, is_exif_twin


class Strip(enum.StrEnum):
    """One kind of metadata; the value is what users call it."""

    EXIF = "exif"
    ICC = "icc"
    XMP = "xmp"
    TEXT = "text"
    DENSITY = "density"
    COLOUR = "colour"


_CHUNKS = {
    Strip.TEXT: frozenset((b"iTXt", b"tEXt", b"zTXt")),
    Strip.DENSITY: frozenset((b"pHYs",)),
    Strip.COLOUR: frozenset((b"cHRM", b"cICP", b"cLLI", b"gAMA", b"mDCV", b"sRGB")),
}


def stripped(metadata: Metadata, kinds: Iterable[Strip]) -> Metadata:
    """Return metadata without some kinds; all of `Strip` leave nothing."""
    kinds = frozenset(kinds)
    dropped = frozenset().union(*(types for kind, types in _CHUNKS.items() if kind in kinds))
    fields = {name: None for name in (Strip.EXIF, Strip.ICC, Strip.XMP) if name in kinds}
    chunks = [chunk for chunk in metadata.chunks if chunk.type not in dropped]
    if Strip.EXIF in kinds:
        chunks = [chunk for chunk in chunks if not is_exif_twin(chunk)]
    return replace(metadata, **fields, chunks=tuple(chunks))
