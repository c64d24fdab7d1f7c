"""The record in a result of the source and settings that it was made from."""

import errno
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from hcdcodec.errors import ContainerError, OutputError
from hcdcodec.files import disk
from hcdcodec.format import container
from hcdcodec.format.lr_digest import read_lr_digest

_HEADS = (1 << 12, 1 << 20)
"""Numbers of bytes that are read of a PNG first. Our marks are there, unless another tool has rewritten the file."""


@dataclass(frozen=True)
class Stamp:
    """The record of one result."""

    source_size: int | None
    """Bytes; None: not recorded."""
    source_digest: bytes
    settings_digest: bytes
    model_hash: bytes = b""
    """First bytes of the hash of the weights that a small file needs; empty for reconstructions."""
    height: int = 0
    """Height of the HR picture, in pixels."""
    width: int = 0
    quality: int | None = None
    """Quality of a small file; None for reconstructions."""
    backbone: str = ""
    """Name of the network of a small file; empty for reconstructions."""
    scale: int = 0


def read_encoded_stamp(target: Path) -> Stamp | None:
    """Return the record in an existing small file; None where the file is not ours."""
    try:
        with disk.SlicedFile(target) as file:
            header = container.peek(file)
    except ContainerError:
        return None
    except OSError as error:
        raise _unreadable(target, error) from error
    return Stamp(
        header.source_size,
        header.source_digest,
        header.settings_digest,
        header.model_hash,
        header.height,
        header.width,
        header.quality,
        header.backbone,
        header.scale,
    )


def read_decoded_stamp(target: Path) -> Stamp | None:
    """Return the record in an existing reconstruction; None where the file is not ours."""
    try:
        size = min(target.stat().st_size, disk.MAX_FILE_BYTES)
        # Other tools can put long chunks before the mark, so only the whole file gives a final answer.
        for count in (*_HEADS, size):
            head = disk.read_head(target, count)
            if (mark := read_lr_digest(head)) is not None:
                # PNG, section 11.2.2: IHDR is the first chunk, and begins with width and height.
                width, height = struct.unpack(">II", head[16:24])
                digest, settings = mark[: disk.DIGEST_BYTES], mark[disk.DIGEST_BYTES :]
                return Stamp(None, digest, settings, height=height, width=width)
            if count >= size:
                break
    except OSError as error:
        raise _unreadable(target, error) from error
    return None


def _unreadable(target: Path, error: OSError) -> OutputError:
    reason = os.strerror(error.errno or errno.EIO).lower()
    return OutputError(f"{target} cannot be read ({reason}); check who may read it")
