"""What formats cost in which restored pictures can be stored: bytes, and the PSNR that lossy ones lose.

    python -m benchmarks.choices.decode_formats --limit 1 --crop 256
    HCDCODEC_IMAGES=images python -m benchmarks.choices.decode_formats --set val

Reconstructions are of searches of few steps. "4:2:0" has one colour for four pixels, as Pillow writes unless it is
told otherwise. HEIC is always so.
"""

import argparse
import io
from collections.abc import Iterator

from PIL import Image

from benchmarks.common import record, round_trip, surveys
from benchmarks.common.pictures import PictureSet
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.files.picture_names import Format
from hcdcodec.format.container import Packed
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.metrics import psnr
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

EFFORT = 1
LOSSLESS = (Format.PNG, Format.TIFF, Format.WEBP, Format.JXL)
LOSSY = (Format.JPEG, Format.AVIF, Format.HEIC, Format.WEBP, Format.JXL)
QUALITIES = (75, 85, 90, 95)


def main() -> None:
    """Measure every set and write a table of each."""
    surveys.conduct(__doc__, "decode_formats", _rows)


def _rows(given: argparse.Namespace, pictured: PictureSet) -> Iterator[record.Row]:
    """Yield one row for each format and quality."""
    engine, options = round_trip.engine_of(given), EncodeOptions(search_of(EFFORT))
    originals = [picture.pixels for _, picture in pictured]
    made = [encode_pictures(engine, [picture], options)[0] for _, picture in pictured]
    restored = [decode_picture(engine, Packed(one.header, one.lr, None, Metadata())).pixels for one in made]
    for fmt in LOSSLESS:
        yield _measure(fmt, "lossless", originals, restored, [write_picture(Picture(one), fmt) for one in restored])
    for fmt in LOSSY:
        for quality in QUALITIES:
            files = [write_picture(Picture(one), fmt, quality=quality) for one in restored]
            yield _measure(fmt, str(quality), originals, restored, files)
            if fmt in (Format.JPEG, Format.AVIF):
                files = [_without_colours(one, fmt, quality) for one in restored]
                yield _measure(fmt, f"{quality} 4:2:0", originals, restored, files)


def _measure(
    fmt: Format, quality: str, originals: list[Levels], restored: list[Levels], files: list[bytes]
) -> record.Row:
    stored = [read_picture(data).pixels for data in files]
    before = [psnr(original, one) for original, one in zip(originals, restored, strict=True)]
    after = [psnr(original, one) for original, one in zip(originals, stored, strict=True)]
    return {
        "format": str(fmt),
        "quality": quality,
        "bpp": 8 * sum(map(len, files)) / sum(one[..., 0].size for one in restored),
        "psnr_rgb": sum(after) / len(after),
        "lost_db": (sum(before) - sum(after)) / len(after),
    }


def _without_colours(pixels: Levels, fmt: Format, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, fmt.upper(), quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
