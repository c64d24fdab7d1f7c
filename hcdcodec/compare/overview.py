"""Put the numbers of a page into tables."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hcdcodec.compare.exhibit import Measure
from hcdcodec.files.sizes import format_bytes


@dataclass(frozen=True)
class Cell:
    """A number in a table.

    Attributes:
        text: what people read; empty where the number is not known.
        key: what the page sorts by, as JavaScript writes numbers; empty as above.
    """

    text: str = ""
    key: str = ""


@dataclass(frozen=True)
class Numbers:
    """The numbers about one version.

    Attributes:
        bytes: size of the stored file, or None.
        source_bytes: size of the original's file, or None.
        measures: how close the version is.
    """

    bytes: int | None
    source_bytes: int | None
    measures: tuple[Measure, ...]

    @property
    def badness(self) -> float:
        """How bad the first measure is; the worst version has the largest number."""
        first = self.measures[0] if self.measures else None
        if first is None or first.value is None:
            return -math.inf
        return -first.value if first.least_is_worst else first.value


def titles_of(rows: Sequence[Numbers]) -> tuple[str, ...]:
    """Return the titles of all columns, in the order in which they come."""
    return ("bytes", "of source", *dict.fromkeys(measure.title for row in rows for measure in row.measures))


def cells_of(row: Numbers, titles: Sequence[str]) -> tuple[Cell, ...]:
    """Return the cells of one row, one for each of the titles."""
    measures = {measure.title: measure for measure in row.measures}
    size, share = _bytes_cell(row.bytes), _share_cell(row.bytes, row.source_bytes)
    return size, share, *(_measure_cell(measures.get(title)) for title in titles[2:])


def totals_of(rows: Sequence[Numbers]) -> Numbers:
    """Return the sum of the bytes, over rows where they and the source's are known, and the mean of each measure."""
    sizes = [(row.bytes, row.source_bytes) for row in rows if row.bytes is not None and row.source_bytes is not None]
    stored, source = (sum(column) for column in zip(*sizes, strict=True)) if sizes else (None, None)
    columns: dict[str, list[Measure]] = {}
    for measure in (measure for row in rows for measure in row.measures):
        columns.setdefault(measure.title, []).append(measure)
    return Numbers(stored, source, tuple(_mean(column) for column in columns.values()))


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of what is known; a PSNR without error is left out, unless there is no other."""
    known = [value for value in values if value is not None]
    known = [value for value in known if math.isfinite(value)] or known
    return sum(known) / len(known) if known else None


def _mean(column: Sequence[Measure]) -> Measure:
    return Measure(column[0].title, mean(measure.value for measure in column), column[0].digits)


def _bytes_cell(count: int | None) -> Cell:
    return Cell() if count is None else Cell(format_bytes(count), str(count))


def _share_cell(count: int | None, source: int | None) -> Cell:
    if count is None or not source:
        return Cell()
    return Cell(f"{100 * count / source:.1f} %", str(count / source))


def _measure_cell(measure: Measure | None) -> Cell:
    if measure is None or measure.value is None or math.isnan(measure.value):
        return Cell()
    if math.isinf(measure.value):
        return Cell("no error", "Infinity")
    return Cell(f"{measure.value:.{measure.digits}f}", str(measure.value))
