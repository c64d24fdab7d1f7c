"""Scripts that measure one set of pictures after the other and write a table of each."""

import argparse
from collections.abc import Callable, Iterable

from benchmarks.common import pictures, record, round_trip
from benchmarks.common.pictures import PictureSet


def conduct(
    about: str | None, name: str, measure: Callable[[argparse.Namespace, PictureSet], Iterable[record.Row]]
) -> None:
    """Measure every set that the options name and write what was found.

    Args:
        about: docstring of the script.
        name: what its results are called.
        measure: yields the rows of a set.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--scale", type=int, default=4, help="default: 4")
    given = record.parse(parser, pictures, round_trip)
    for pictured in pictures.chosen(given):
        rows = list(measure(given, pictured))
        record.say(rows)
        record.write_csv(given.out / f"{name}_x{given.scale}_{pictured.name}.csv", rows)
