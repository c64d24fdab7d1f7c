"""The mark of a decoded PNG: the digest of its small file, in a chunk hcDS before the pixels.

Behind the digest stand the settings of the decoding, if they are not the usual ones.
"""

from hcdcodec.errors import DamagedError
from hcdcodec.pictures import png_chunks

LR_DIGEST_CHUNK = b"hcDS"


def lr_digest_chunk(digest: bytes) -> png_chunks.Chunk:
    """Make the mark. The digest is over the whole small file, since alpha and metadata count, too."""
    return png_chunks.Chunk(LR_DIGEST_CHUNK, digest)


def read_lr_digest(data: bytes) -> bytes | None:
    """Read the digest of the small file from which a PNG was decoded.

    Args:
        data: the PNG, or its beginning up to the pixels.

    Returns:
        The digest; None where the file has no mark or is not a sound PNG.
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
