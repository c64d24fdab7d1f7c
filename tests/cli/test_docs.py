"""Every command line and every snippet of README and of the pages in hcdcodec/docs does what it is meant to do."""

import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import DATA, ROOT, Draw, Run
from PIL import Image

PAGES = [ROOT / "README.md", *sorted((ROOT / "hcdcodec" / "docs").glob("*.md"))]
PROGRAMS = (
    "/home/me/.venv/bin/hcdcodec",
    *("hcdcodec", "find", "python3", ".venv/bin/pip", ".venv/bin/python", ".ci/run", "parallel", "ray", "eval"),
    "_HCDCODEC_COMPLETE=",
)
CRON = re.compile(r"^[\d*]+(?: [\d*]+){4} +")
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")

# What a line must hold to be left out here, and why.
NOT_RUN = {
    "python3 -m venv": ".ci/run does it",
    "decode.py": "it is no command of ours; tests/unit/test_reference_decoder.py decodes with it",
    "--onnx": "it needs onnx; tests/unit/test_onnx.py writes such files",
    ".venv/bin/pip install": "it installs packages",
    "-m pytest": "it runs these tests",
    ".ci/run": "it runs these tests",
    "parallel ": "it needs GNU parallel and other machines",
    "ray": "it needs a cluster; benchmarks.robustness.ray_workers has one",
    "_HCDCODEC_COMPLETE": "it is for a shell; tests/cli/test_help.py asks what shells ask",
    "models import": "it needs a checkpoint of others; tests/unit/test_import_checkpoint.py makes some",
    "--device cuda": "it needs a GPU; tests/unit/test_gpu.py runs on one",
    "hcdcodec train": "it takes minutes; tests/unit/test_training.py trains for seconds",
    "--weights-dir trained/": "training comes before it",
}

# Names on the machines of the pages, and here.
HERE = {"/home/me/.venv/bin/hcdcodec": "hcdcodec", "/home/me/photos": "photos", "/backup/small": "small"}


@dataclass(frozen=True)
class Line:
    """One command line of a page."""

    page: str
    text: str

    @property
    def reason(self) -> str:
        """Why it is not run; empty if it is."""
        return next((why for part, why in NOT_RUN.items() if part in self.text), "")


def lines() -> Iterator[Line]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for indented in re.findall(r"^ {4,}(.*)$", text, re.MULTILINE):
            command = CRON.sub("", indented.strip().removeprefix("$ "))
            if command.startswith(PROGRAMS) and not command.startswith("hcdcodec."):
                yield Line(page.stem, command)
        for inline in re.findall(r"`(hcdcodec [^`]+)`", re.sub(r"\s+", " ", text)):
            if not PLACEHOLDER.search(inline):
                yield Line(page.stem, inline)


LINES = list(dict.fromkeys(lines()))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    """A folder that holds the files that the pages speak of, with small pictures in it."""
    from hcdcodec import encode

    folder = tmp_path_factory.mktemp("prepared")
    for name in ("photo.jpg", "photo.png", "photos/photo.jpg", "tests/data/photos/photo.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(24, 20, 3)).save(path)
    shutil.copytree(folder / "photos", folder / "album")
    (folder / "weights").symlink_to(ROOT / "weights")
    pixels = draw(24, 20, 3)
    (folder / "photo.jpg.hcd.png").write_bytes(encode(pixels))
    return folder


@pytest.fixture
def place(prepared: Path, here: Path, hcdcodec: Run) -> Path:
    """A copy of that folder as working directory, with the photos encoded."""
    shutil.copytree(prepared, here, symlinks=True, dirs_exist_ok=True)
    assert hcdcodec("encode", "photos", "small/").status == 0
    return here


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a line, with the operator that follows it last."""
    reader = shlex.shlex(text, posix=True, punctuation_chars="&|<>")
    reader.whitespace_split, words = True, []
    for word in reader:
        words.append(word)
        if word in ("|", "||", "&&"):
            yield words
            words = []
    yield [*words, ""]


def expanded(words: list[str]) -> Iterator[str]:
    """Yield words as a shell would hand them over."""
    for word in words:
        yield from sorted(map(str, Path().glob(word))) if "*.hcd.png" in word else [word]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.page}: {line.text}")
def test_a_command_line_works(line: Line, place: Path, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if line.reason:
        pytest.skip(line.reason)
    text = re.sub(r"\$\(\(.*?\)\)", "1", line.text)  # the share of this machine
    for there, ours in HERE.items():
        text = text.replace(there, ours)
    piped = b""
    for *words, operator in commands(text):
        if "<" in words:
            piped = Path(words[words.index("<") + 1]).read_bytes()
        words = words[: next((at for at, word in enumerate(words) if word in ("<", ">")), len(words))]
        if words[0] == "find":
            piped = subprocess.run(words, check=True, capture_output=True).stdout
        elif words[0] == "hcdcodec":
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
            ran = hcdcodec(*expanded(words[1:]))
            # The pictures are so small and so rough that a goal can be out of their reach.
            assert ran.status == 0 or "cannot be reached; stored with" in ran.err, ran.err
            piped = ran.out if operator == "|" else b""


def test_reasons_are_of_use() -> None:
    for part in NOT_RUN:
        assert any(part in line.text for line in LINES), part
    assert sum(not line.reason for line in LINES) > 30


# --- Python -----------------------------------------------------------------------------------------------------------

BLOCK = re.compile(r"(?:^(?: {4}.*)?\n)+", re.MULTILINE)
SNIPPETS = [
    pytest.param(found, id=f"{page.stem} {found.split()[1]}")
    for page in PAGES
    for block in BLOCK.findall(page.read_text(encoding="utf-8"))
    if (found := re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip()).startswith(("import ", "from "))
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet: str, place: Path) -> None:
    exec(compile(snippet, "snippet", "exec"), {})
    if "restored.png" in snippet:
        with Image.open("restored.png") as restored:
            assert restored.size == (20, 24)


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) == 8


# --- what the commands say --------------------------------------------------------------------------------------------

NUMBER = re.compile(r"\d+(?:\.\d+)?")


@pytest.mark.slow
def test_readme_shows_what_the_commands_say(here: Path, hcdcodec: Run) -> None:
    """The same words, and numbers within 5 %: processors differ in the last bits."""
    shutil.copytree(DATA / "photos", "tests/data/photos")
    text = PAGES[0].read_text(encoding="utf-8")
    shown = re.findall(r"^    \$ (hcdcodec .*)\n((?:    (?!\$).*\n)+)", text, re.MULTILINE)
    assert len(shown) == 3
    for command, expected in shown:
        talk = [] if "compare" in command else ["-v"]  # without a terminal, sums are said only when asked
        ran = hcdcodec(*command.split()[1:], *talk)
        said = (ran.out.decode() + ran.err).splitlines()
        for line in map(str.strip, expected.splitlines()):
            found = next((one.strip() for one in said if masked(one) == masked(line)), "")
            assert found, f"not said: {line}"
            close = [abs(float(a) - float(b)) <= 0.05 * float(b) for a, b in pairs(found, line)]
            assert all(close), (found, line)


def masked(line: str) -> str:
    return " ".join(NUMBER.sub("#", line).split())


def pairs(one: str, other: str) -> Iterator[tuple[str, str]]:
    yield from zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_readme_can_be_read_in_five_minutes() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").split()) <= 1200
