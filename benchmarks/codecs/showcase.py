"""README's wide picture: original, the small file at its true size, decoded, and a JPEG of no more bytes.

    python -m benchmarks.codecs.showcase --quality 38

The picture shows a detail of the shipped photograph, enlarged; bytes and PSNR-RGB are of the whole one. The JPEG is of
the highest quality (4:2:0, progressive, optimised) whose file is not larger than ours.
"""

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from benchmarks.common import record, round_trip
from benchmarks.common.pictures import SHIPPED
from hcdcodec.codec.search.options import DEFAULT_EFFORT, search_of
from hcdcodec.compare.sheet import enlarge
from hcdcodec.pictures import metrics
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.trial.rivals import CODECS

JPEG = CODECS[0]
GAP, LINE = 8, 18
DETAIL = (185, 150, 132, 132)
"""Left, top, width and height of what is shown."""
ZOOM = 2
"""Factor by which it is enlarged, without smoothing."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One file, and what of it the picture shows.

    Attributes:
        title: what it is.
        size: bytes of the file.
        psnr: dB over RGB of the whole picture; None where there is nothing to compare.
        pixels: (H, W, 3) uint8.
    """

    title: str
    size: int
    psnr: float | None
    pixels: Levels

    @property
    def caption(self) -> str:
        """Two lines."""
        quality = "" if self.psnr is None else f", {self.psnr:.1f} dB"
        return f"{self.title}\n{self.size / 1000:.1f} kB{quality}"


def main() -> None:
    """Make the picture, and a table of its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quality", type=int, default=38, help="default: 38")
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT, help=f"default: {DEFAULT_EFFORT}")
    parser.add_argument("--picture", type=Path, default=SHIPPED / "coffee.png", metavar="FILE")
    parser.add_argument("--detail", type=int, nargs=4, default=DETAIL, metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"))
    given = record.parse(parser, round_trip)
    shown = _shown(given)
    rows = [{"shown": one.title, "kb": one.size / 1000, "psnr_rgb": one.psnr} for one in shown]
    record.say(rows)
    record.write_csv(given.out / "showcase.csv", rows)
    (given.out / "showcase.png").write_bytes(_side_by_side(shown))


def _shown(given: argparse.Namespace) -> list[Shown]:
    data = given.picture.read_bytes()
    original = Picture(read_picture(data).pixels)
    engine = round_trip.engine_of(given)
    trip = round_trip.travel(engine, original, search_of(given.effort), given.quality)
    ours = _bytes(trip.bpp, original)
    size, jpeg = _largest_jpeg(original, ours)
    left, top, width, height = given.detail

    def detail(pixels: Levels) -> Levels:
        return enlarge(pixels[top : top + height, left : left + width], ZOOM, ZOOM * height, ZOOM * width)

    return [
        Shown("original", len(data), None, detail(original.pixels)),
        Shown("small file, true size", ours, None, trip.lr),
        Shown("decoded from it", ours, _psnr(original, trip.decoded), detail(trip.decoded)),
        Shown("JPEG", size, _psnr(original, jpeg), detail(jpeg)),
    ]


def _largest_jpeg(picture: Picture, most: int) -> tuple[int, Levels]:
    """Return (bytes, decoded pixels) of the best JPEG that has at most so many bytes."""
    for quality in range(95, 0, -1):
        bpp, decoded = JPEG.travel(picture, quality)
        if (size := _bytes(bpp, picture)) <= most:
            return size, decoded
    raise SystemExit(f"no JPEG has {most} bytes or less; choose a higher --quality")


def _bytes(bpp: float, picture: Picture) -> int:
    return round(bpp * picture.pixel_count / 8)


def _psnr(original: Picture, decoded: Levels) -> float:
    return metrics.score(original.pixels, decoded).psnr_rgb


def _side_by_side(shown: Sequence[Shown]) -> bytes:
    """Return a PNG of all in one row, each in its own pixels, captions below."""
    widths = [max(one.pixels.shape[1], 9 * LINE) for one in shown]
    height = max(one.pixels.shape[0] for one in shown)
    canvas = Image.new("RGB", (sum(widths) + GAP * (len(shown) - 1), height + 2 * LINE + GAP), "white")
    draw, font, left = ImageDraw.Draw(canvas), ImageFont.load_default(LINE - 4), 0
    for one, width in zip(shown, widths, strict=True):
        canvas.paste(Image.fromarray(one.pixels), (left, height - one.pixels.shape[0]))
        draw.text((left, height + GAP // 2), one.caption, "black", font)
        left += width + GAP
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
