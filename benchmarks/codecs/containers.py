"""What the same LRs take as PNG, lossless WebP and lossless JPEG XL: bytes and time.

    python -m benchmarks.codecs.containers --limit 1 --crop 256
    HCDCODEC_IMAGES=images python -m benchmarks.codecs.containers --set val --limit 6 --crop 384

The LRs are those before a search, on the grid of each quality. Bytes are those of whole files, without metadata. Times
are CPU seconds, so that other work on the machine does not count.
"""

import argparse
import time
from collections.abc import Iterator

from benchmarks.common import record, round_trip, surveys
from benchmarks.common.pictures import PictureSet
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import container
from hcdcodec.format.container import PNG_LEVEL
from hcdcodec.pictures.metadata import Metadata

QUALITIES = (100, 75, 38)
EFFORT = 0


def main() -> None:
    """Measure every set and write a table of each."""
    surveys.conduct(__doc__, "containers", _rows)


def _rows(given: argparse.Namespace, pictured: PictureSet) -> Iterator[record.Row]:
    """Yield one row for each quality and container."""
    engine = round_trip.engine_of(given)
    pictures = [picture for _, picture in pictured]
    for quality in QUALITIES:
        options = EncodeOptions(search_of(EFFORT), quality)
        made = [encode_pictures(engine, [picture], options)[0] for picture in pictures]
        pixels = sum(encoded.header.pixel_count for encoded in made)
        sizes = {kind: _coded(made, kind) for kind in Container}
        for kind, (size, seconds) in sizes.items():
            yield {
                "quality": quality,
                "container": str(kind),
                "bytes": size,
                "bpp": 8 * size / pixels,
                "bytes against png": f"{size / sizes[Container.PNG][0] - 1:+.1%}",
                "seconds/MP": 1e6 * seconds / pixels,
            }


def _coded(made: list[Encoded], kind: Container) -> tuple[int, float]:
    """Return (bytes, CPU seconds) of all files in a container, once they were read back and hold the same LR."""
    seconds, size = 0.0, 0
    for encoded in made:
        start = time.process_time()
        data = container.pack(encoded.header, encoded.lr, alpha=None, metadata=Metadata(), level=PNG_LEVEL, kind=kind)
        seconds += time.process_time() - start
        size += len(data)
        container.unpack(data)  # which compares the digest of the pixels
    return size, seconds


if __name__ == "__main__":
    main()
