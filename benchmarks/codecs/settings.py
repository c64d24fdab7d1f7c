"""README's table of settings: what each of -Q, -e and -s does to bytes and quality, all else being default.

    python -m benchmarks.codecs.settings
    HCDCODEC_IMAGES=images python -m benchmarks.codecs.settings --set test/Kodak

Means over the pictures. A scale without weights is left out. How long it takes is a question for benchmarks.speed.
"""

import argparse
from dataclasses import dataclass

from benchmarks.common import pictures, record, round_trip
from benchmarks.common.pictures import PictureSet
from benchmarks.common.set_means import summary
from hcdcodec.codec.search.options import DEFAULT_EFFORT, search_of
from hcdcodec.format.grid import DEFAULT_QUALITY

DEFAULT_SCALE = 4


@dataclass(frozen=True)
class Setting:
    """One row."""

    name: str
    scale: int = DEFAULT_SCALE
    effort: int = DEFAULT_EFFORT
    quality: int = DEFAULT_QUALITY


SETTINGS = (
    Setting("default"),
    Setting("-Q 100", quality=100),
    Setting("-Q 38", quality=38),
    Setting("-e 0", effort=0),
    Setting("-e 1", effort=1),
    Setting("-e 9", effort=9),
    Setting("-s 2", scale=2),
    Setting("-s 8", scale=8),
)


def main() -> None:
    """Measure every setting on every set and write a table of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    given = record.parse(parser, pictures, round_trip)
    for pictured in pictures.chosen(given, 8):
        rows = [row for setting in SETTINGS if (row := _measured(given, setting, pictured))]
        record.say(rows)
        record.write_csv(given.out / f"settings_{pictured.name}.csv", rows)


def _measured(given: argparse.Namespace, setting: Setting, pictured: PictureSet) -> record.Row | None:
    """Return the means of one setting; None without weights."""
    try:
        engine = round_trip.engine_of(given, scale=setting.scale)
    except SystemExit as error:
        print(f"{setting.name} is left out: {error}")
        return None
    search = search_of(setting.effort)
    found = [(picture, round_trip.travel(engine, picture, search, setting.quality)) for _, picture in pictured]
    means = summary(setting.scale, found)
    pixels = sum(picture.pixel_count for picture, _ in found)
    return {
        "setting": setting.name,
        "psnr_rgb": means["psnr_rgb"],
        "psnr_y": means["psnr_y"],
        "bpp": means["bpp"],
        "kb_per_mp": 125 * sum(trip.bpp * picture.pixel_count for picture, trip in found) / pixels,
    }


if __name__ == "__main__":
    main()
