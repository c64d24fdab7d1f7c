"""What each level of oxipng costs and saves on LRs: bytes and time.

    python -m benchmarks.choices.png_levels --limit 1 --crop 256
    HCDCODEC_IMAGES=images python -m benchmarks.choices.png_levels --set val

The LRs are those of a search of few steps: more steps change single levels, not how compressible a picture is. Times
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
from hcdcodec.format import container
from hcdcodec.pictures.metadata import Metadata

QUALITIES = (100, 75, 38)
EFFORT = 2
REFERENCE = 4
"""Level that the others are compared with."""


def main() -> None:
    """Measure every set and write a table of each."""
    surveys.conduct(__doc__, "png_levels", _rows)


def _rows(given: argparse.Namespace, pictured: PictureSet) -> Iterator[record.Row]:
    """Yield one row for each quality and level."""
    engine = round_trip.engine_of(given)
    for quality in QUALITIES:
        options = EncodeOptions(search_of(EFFORT), quality)
        made = [encode_pictures(engine, [picture], options)[0] for _, picture in pictured]
        pixels = sum(encoded.header.pixel_count for encoded in made)
        sizes = {level: _coded(made, level) for level in container.PNG_LEVELS}
        for level, (size, seconds) in sizes.items():
            yield {
                "quality": quality,
                "level": level,
                "bpp": 8 * size / pixels,
                f"bytes against level {REFERENCE}": f"{size / sizes[REFERENCE][0] - 1:+.1%}",
                "seconds/MP": 1e6 * seconds / pixels,
            }


def _coded(made: list[Encoded], level: int) -> tuple[int, float]:
    """Return (bytes, CPU seconds) of all files at a level."""
    start, size = time.process_time(), 0
    for encoded in made:
        size += len(container.pack(encoded.header, encoded.lr, alpha=None, metadata=Metadata(), level=level))
    return size, time.process_time() - start


if __name__ == "__main__":
    main()
