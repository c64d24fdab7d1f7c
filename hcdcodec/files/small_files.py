"""Decide which files of a walk are small files. This module is the only place of that rule."""

from pathlib import Path

from hcdcodec.errors import PictureError
from hcdcodec.files.disk import read_head
from hcdcodec.files.encoded_names import Container, is_encoded
from hcdcodec.files.find import DEAD_LINK, is_dead_link

APPLE_DOUBLE = b"\0\5\x16\7"
"""Start of "._photo.jpg", where macOS keeps attributes of photo.jpg on some disks."""

OTHER_NAME = f"not named *{', *'.join(container.suffix for container in Container)}"
"""Why a file of another name is not decoded."""

_APPLE_PREFIX = "._"


def refuse_other(path: Path) -> str | None:
    """Return the reason why a file that a walk has found is no small file; None for a small file.

    Raises:
        PictureError: it is a link that leads nowhere.
        OSError: the file cannot be opened.
    """
    if not is_encoded(path.name):
        return OTHER_NAME
    if is_dead_link(path):
        raise PictureError(DEAD_LINK)
    if path.name.startswith(_APPLE_PREFIX) and read_head(path, len(APPLE_DOUBLE)) == APPLE_DOUBLE:
        return "attributes that macOS keeps of a file"
    return None
