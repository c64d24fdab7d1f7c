"""The mark of decoded PNGs: the digest of the LR file that they were made from, in a chunk hcDS before the pixels."""

from hcdcodec.errors import DamagedError
from hcdcodec.pictures import png_chunks

LR_DIGEST_CHUNK = b"hcDS"


def lr_digest_chunk(digest: bytes) -> png_chunks.Chunk:
    """Make the mark; the digest is of the whole LR file, since alpha and metadata count too."""
    return png_chunks.Chunk(LR_DIGEST_CHUNK, digest)


def read_lr_digest(data: bytes) -> bytes | None:
    """Read which LR file a decoded PNG was made from.

    Args:
        data: the file, or its beginning up to the pixels.

    Returns:
        The digest; None when the file says nothing or is no sound PNG.
    """
    try:
        for chunk in png_chunks.walk(data):
            if chunk.type == LR_DIGEST_CHUNK:
                return chunk.payload
            if chunk.type == b"IDAT":
                return None
    except DamagedError:
        return None
    return None
