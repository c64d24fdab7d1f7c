"""What zlib's levels and strategies cost and save on reconstructions stored as PNG: bytes and time.

    python -m benchmarks.choices.restored_png --limit 1 --crop 256
    HCDCODEC_IMAGES=images python -m benchmarks.choices.restored_png --set val test/Set14

Reconstructions are of searches of few steps. Times are CPU seconds, so that other work on the machine does not count.
"""

import argparse
import io
import time
from collections.abc import Iterator, Mapping

from PIL import Image

from benchmarks.common import record, round_trip, surveys
from benchmarks.common.pictures import PictureSet
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.format.container import Packed
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels

EFFORT = 1
WAYS: Mapping[str, Mapping[str, int]] = {
    **{f"level {level}": {"compress_level": level} for level in (6, 5, 4, 3, 2, 1)},
    "Huffman only": {"compress_type": 2},
    "runs": {"compress_type": 3},
}
REFERENCE = "level 6"
"""Way that the others are compared with: Pillow's own choice."""


def main() -> None:
    """Measure every set and write a table of each."""
    surveys.conduct(__doc__, "restored_png", _rows)


def _rows(given: argparse.Namespace, pictured: PictureSet) -> Iterator[record.Row]:
    """Yield one row for each way."""
    engine, options = round_trip.engine_of(given), EncodeOptions(search_of(EFFORT))
    made = [encode_pictures(engine, [picture], options)[0] for _, picture in pictured]
    restored = [decode_picture(engine, Packed(one.header, one.lr, None, Metadata())).pixels for one in made]
    megapixels = sum(one.header.pixel_count for one in made) / 1e6
    sizes = {way: _stored(restored, options) for way, options in WAYS.items()}
    for way, (size, seconds) in sizes.items():
        yield {
            "way": way,
            "bpp": 8e-6 * size / megapixels,
            f"bytes against {REFERENCE}": f"{size / sizes[REFERENCE][0] - 1:+.1%}",
            "cpu_s/MP": seconds / megapixels,
        }


def _stored(restored: list[Levels], options: Mapping[str, int]) -> tuple[int, float]:
    """Return (bytes, CPU seconds) of all files."""
    start, size = time.process_time(), 0
    for pixels in restored:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", **options)
        size += len(buffer.getvalue())
    return size, time.process_time() - start


if __name__ == "__main__":
    main()
