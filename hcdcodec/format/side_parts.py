"""The parts beside the pixels of a WebP or JPEG XL of ours. Each part of such a file has a name of four letters.

    EXIF   metadata of the HR picture, with the header's twin behind it, see `hcdcodec.format.exif_twin`
    XMP    metadata of the HR picture
    hcDC   header, then its CRC-32 u32: these containers have no checksums of their own
    hcDM   metadata that has no place in the container: PNG chunks, each with length and CRC-32
    hcDA   the alpha plane, HR size, lossless: a complete PNG without colours

    number = big-endian

Other tools may move our parts to another place of the file. They may also edit EXIF and XMP, so these have no checksum.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hcdcodec.errors import DamagedError, NotOursError
from hcdcodec.format.exif_twin import MARK, add_twin, split_twin
from hcdcodec.format.header import MAGIC, RESTORE
from hcdcodec.format.layout import Contents, agree, stripped, take_single
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.boxes import Frame, Part, Slices
from hcdcodec.pictures.metadata import Metadata

HEADER, FURTHER, ALPHA = b"hcDC", b"hcDM", b"hcDA"

_CRC_SIZE = 4


@dataclass(frozen=True)
class Places:
    """The names of the parts that all programs know.

    Attributes:
        name: name of the container.
        exif: type of the part with EXIF.
        xmp: type of the part with XMP.
        icc: type of the part with the colour profile; None: there is no such part.
        exif_prefix: bytes before EXIF in its part.
    """

    name: str
    exif: bytes
    xmp: bytes
    icc: bytes | None = None
    exif_prefix: bytes = b""


def is_marked(head: bytes) -> bool:
    """Tell whether the header, or its twin, stands in a file or its beginning."""
    return (HEADER in head and MAGIC in head) or MARK in head


def make_parts(contents: Contents, places: Places) -> Iterator[Part]:
    """Yield all parts but the pixels and a colour profile that has a place."""
    metadata = contents.metadata
    yield Part(places.exif, places.exif_prefix + add_twin(metadata.exif, contents.header))
    if metadata.xmp is not None:
        yield Part(places.xmp, metadata.xmp)
    yield Part(HEADER, contents.header + zlib.crc32(contents.header).to_bytes(_CRC_SIZE, "big"))
    homeless = Metadata(icc=metadata.icc if places.icc is None else None, chunks=metadata.chunks)
    if chunks := homeless.to_chunks(compact=True):
        yield Part(FURTHER, png_chunks.join(chunks))
    if contents.alpha is not None:
        yield Part(ALPHA, contents.alpha)


def find_header(parts: Sequence[Part], places: Places) -> bytes:
    """Return the header from its part or, where a tool has dropped that, from its twin.

    Raises:
        NotOursError: there is neither.
        DamagedError: they differ, or there are several.
    """
    own = [_checked(part.payload) for part in parts if part.type == HEADER]
    twins = (split_twin(part.payload)[1] for part in parts if part.type == places.exif)
    header = agree(take_single(own, "header"), take_single([twin for twin in twins if twin is not None], "text header"))
    if header is None:
        raise NotOursError(stripped(places.name))
    return header


def peek_header(data: Slices, frames: Iterable[Frame], places: Places) -> bytes:
    """Return the header from the first part that holds it, and read no other part.

    Raises:
        NotOursError: there is none.
        DamagedError: it fails its checksum.
    """
    twin: bytes | None = None
    for frame in frames:
        if frame.type == HEADER:
            return _checked(data[frame.start : frame.end])
        if frame.type == places.exif:
            twin = split_twin(data[frame.start : frame.end])[1] or twin
    if twin is None:
        raise NotOursError(stripped(places.name))
    return twin


def find_alpha(parts: Iterable[Part]) -> bytes | None:
    """Return the PNG of the alpha plane, unchecked; None where there is none.

    Raises:
        DamagedError: there are several.
    """
    return take_single([part.payload for part in parts if part.type == ALPHA], "alpha")


def find_metadata(parts: Sequence[Part], places: Places) -> Metadata:
    """Return the metadata of all parts; the first part of a kind counts.

    Raises:
        DamagedError: one of the PNG chunks is broken.
    """
    further = take_single([part.payload for part in parts if part.type == FURTHER], "metadata")
    metadata = Metadata.from_chunks(png_chunks.split(further or b""))
    first = {part.type: part.payload for part in reversed(parts)}
    icc = None if places.icc is None else first.get(places.icc)
    exif = split_twin(_exif(first.get(places.exif, b""), places))[0]
    return replace(metadata, icc=icc or metadata.icc, exif=exif, xmp=first.get(places.xmp) or None)


def _exif(payload: bytes, places: Places) -> bytes:
    """Return EXIF without its prefix, a number that tells how many more bytes to leave out.

    Some programs leave the prefix out where it belongs, and others write one where none belongs.
    """
    if places.exif_prefix and not payload.startswith((b"II*\0", b"MM\0*")):
        size = len(places.exif_prefix)
        return payload[size + int.from_bytes(payload[:size], "big") :]
    return payload.removeprefix(b"Exif\0\0")


def _checked(payload: bytes) -> bytes:
    header, crc = payload[:-_CRC_SIZE], payload[-_CRC_SIZE:]
    if zlib.crc32(header).to_bytes(_CRC_SIZE, "big") != crc:
        raise DamagedError(f"the header fails its checksum; {RESTORE}")
    return header
