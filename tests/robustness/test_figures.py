"""The numbers in the texts are those of the result files: benchmarks/README.md says which belongs to which."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from conftest import ROOT

TEXTS = {
    "README": ROOT / "README.md",
    "benchmarks": ROOT / "benchmarks" / "README.md",
    "weights": ROOT / "weights" / "README.md",
}
NUMBER = r"\d+(?:\.\d+)?"
MEASURED = re.compile(r"(?<![\d.])(?:\d+\.\d+|\d+(?= %)|(?<=1/)\d+)(?![\d.])")
"""What a completeness test counts as measured: decimals, percentages and 1/n."""

FREE: dict[str, set[str]] = {
    "README": {"3.11"},  # Python's version
    "benchmarks": set(),
    "weights": {"1.0", "1.5", "1.6", "1.7", "1.8", "2.7", "0.8", "0.7", "0.3"},  # hours of training
}


@dataclass(frozen=True)
class Figure:
    """One number of a text, and the cell, or two cells, that it comes from."""

    text: str
    number: str
    file: str
    rows: str
    column: str

    def matches(self) -> bool:
        """Return whether a value of the file rounds to the number."""
        places = len(self.number.partition(".")[2])
        return any(abs(value - float(self.number)) <= 0.5001 * 10**-places for value in self._values())

    def _values(self) -> list[float]:
        rows = table(self.file)
        column, above, _ = self.column.partition(", % above 1")
        if above:
            return [100 * (value - 1) for value in numbers(cell(rows, self.rows, column))]
        for word, combine in (("minus", float.__sub__), ("over", float.__truediv__)):
            one, found, other = self.rows.partition(f" {word} ")
            if found:
                ((a,), (b,)) = (numbers(cell(rows, row, column)) for row in (one, other))
                return [abs(combine(a, b))]
        return numbers(cell(rows, self.rows, column))


def table(file: str) -> list[dict[str, str]]:
    lines = (ROOT / "benchmarks" / "results" / file).read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def cell(rows: list[dict[str, str]], named: str, column: str) -> str:
    """Return the cell of the one row that has all the cells that `named` lists."""
    wanted = set(named.split(" / "))
    (row,) = [row for row in rows if wanted <= {value.replace(";", ",") for value in row.values()}]
    return row[column]


def numbers(text: str) -> list[float]:
    """Return all numbers in a cell, without signs: "+9.7%" -> [9.7]."""
    return [float(found) for found in re.findall(NUMBER, text)]


def figures() -> Iterator[Figure]:
    for line in (ROOT / "benchmarks" / "README.md").read_text().splitlines():
        text, found, file, rows, column = ([part.strip() for part in line.strip("|").split(" | ")] + [""] * 5)[:5]
        if text in TEXTS:
            for number, row in zip(found.split("; "), rows.split("; "), strict=True):
                yield Figure(text, number, file, row, column)


FIGURES = list(figures())


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: f"{figure.text} {figure.number}")
def test_a_number_is_that_of_its_file(figure: Figure) -> None:
    assert figure.matches()
    assert re.search(rf"(?<![\d.]){re.escape(figure.number)}(?!\d|\.\d)", TEXTS[figure.text].read_text())


def recorded(text: str) -> str:
    """Return the part of a text whose numbers must all be recorded."""
    begin, end = {
        "README": ("# hcdcodec", "The method is by"),
        "benchmarks": ("## Questions", "## From a number"),
        "weights": ("| file |", "## Recipe"),
    }[text]
    whole = TEXTS[text].read_text()
    return whole[whole.index(begin) : whole.index(end)]


@pytest.mark.parametrize("text", TEXTS)
def test_every_number_has_a_file(text: str) -> None:
    prose = re.sub(r"`[^`]*`|^    .*$", "", recorded(text), flags=re.MULTILINE)
    known = {figure.number for figure in FIGURES if figure.text == text}
    assert set(MEASURED.findall(prose)) - known - FREE[text] == set()


def test_no_file_is_without_its_command() -> None:
    for file in {figure.file for figure in FIGURES}:
        assert (ROOT / "benchmarks" / "results" / file).read_text().startswith("# command: python ")
