"""Decide which files of a walk are encoded. This module is the only place of that rule.

The content of a file decides. The name counts only where the content cannot be read as a picture: a file with the name
photo.psd must not be left out without a message. Camera raw goes by its name, too, since some of it looks like TIFF.
Our header is looked for only in a file with the name of a small file, since that can take the whole file.
"""

from pathlib import Path

from hcdcodec.errors import PictureError
from hcdcodec.files.disk import read, read_head
from hcdcodec.files.encoded_names import is_encoded
from hcdcodec.files.find import DEAD_LINK, is_dead_link
from hcdcodec.files.picture_names import is_picture_name
from hcdcodec.files.small_files import APPLE_DOUBLE
from hcdcodec.format.container import is_ours
from hcdcodec.format.lr_digest import LR_DIGEST_CHUNK
from hcdcodec.pictures.formats import READABLE, SNIFF_BYTES, sniff

ENCODED = "already encoded"
"""Why a small file is not encoded."""

_RESTORED_AT = 37  # position of the type of the second chunk: decoding puts its mark right behind IHDR
_USUAL_BYTES = 1 << 12
"""In so many first bytes of a PNG of ours stands its header, unless another tool has moved it."""

# Names of pictures of formats that are not read.
_OTHER_SUFFIXES = frozenset((
    ".bpg", ".dds", ".exr", ".flif", ".hdr", ".ico", ".jxr", ".pcx", ".psb", ".psd", ".tga", ".wdp", ".xcf",
))  # fmt: skip
_RAW_SUFFIXES = frozenset((
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos",
    ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
))  # fmt: skip


def refuse_source(path: Path) -> str | None:
    """Return the reason why a file that a walk has found is not encoded.

    Args:
        path: a regular file, or a link that leads nowhere.

    Returns:
        The reason, for a file that need not be encoded; None for a picture.

    Raises:
        PictureError: the name is that of a picture, but there is no content that can be read as one.
        OSError: the file cannot be opened.
    """
    suffix = path.suffix.lower()
    is_raw = suffix in _RAW_SUFFIXES
    is_named = is_raw or suffix in _OTHER_SUFFIXES or is_picture_name(path.name)
    if is_dead_link(path):
        if is_named:
            raise PictureError(DEAD_LINK)
        return "no picture"
    if is_encoded(path.name) and _is_small_file(path):
        return ENCODED
    head = read_head(path, SNIFF_BYTES)  # what has become a pipe since the walk saw it must not hold that up
    if head[_RESTORED_AT:].startswith(LR_DIGEST_CHUNK):
        return "decoded by hcdcodec"
    if sniff(head) and not is_raw:
        return None
    if not is_named or head.startswith(APPLE_DOUBLE):
        return "no picture"
    if not head.strip(b"\0"):
        raise PictureError(f"{'holds nothing but zeros' if head else 'is empty'}; fetch it again, or --exclude it")
    if is_raw:
        raise PictureError(f"camera raw ({path.suffix}) is not read; develop it into a picture, or --exclude it")
    raise PictureError(f"not a picture that can be read; convert it to {READABLE}, or --exclude it")


def _is_small_file(path: Path) -> bool:
    """Tell whether a file is one of ours, sound or damaged. In a WebP or JPEG XL, the header can stand anywhere."""
    return is_ours(read_head(path, _USUAL_BYTES)) or is_ours(read(path))
