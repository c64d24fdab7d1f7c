"""hcdcodec try: tables, rows, a sentence and a page about a few pictures."""

import json
import os
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import FAST, Draw, Run
from PIL import Image


@pytest.fixture
def attempt(hcdcodec: Run) -> Run:
    """A function that runs `hcdcodec try` in this process, with the network that needs no time."""
    return partial(hcdcodec, "try", *FAST)


@pytest.fixture
def photos(here: Path, draw: Draw) -> Path:
    """A folder of five pictures, one of them in a folder of its own, and a text."""
    for number, name in enumerate(("a.png", "b.jpg", "grey.png", "clear.png", "deep/c.png")):
        path = here / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = draw(64, 48 + 8 * number, {"grey.png": 0, "clear.png": 4}.get(name, 3), seed=number)
        Image.fromarray(pixels).save(path)
    (here / "photos/readme.txt").write_text("no picture")
    return here / "photos"


def test_people_get_tables_and_a_sentence(attempt: Run, photos: Path) -> None:
    run = attempt("photos")
    assert (run.status, run.err) == (0, "")
    out = run.out.decode()
    assert re.search(r"^scale +quality +bpp +ours +JPEG +WebP +AVIF +JPEG XL +thumbnail \+ AVIF$", out, re.MULTILINE)
    assert len(re.findall(r"^ +4 +(?:100|75|38) ", out, re.MULTILINE)) == 6
    assert re.fullmatch(
        r"At quality 75, the 5 pictures would take [\d.]+ % of today's bytes, about \d+ s; the worst of 5 came out at "
        r"[\d.]+ dB(?:; AVIF would need [\d.]+ % for that)?\.",
        out.splitlines()[-1],
    )


def test_programs_get_rows(attempt: Run, photos: Path) -> None:
    rows = [json.loads(line) for line in attempt("photos", "--json", "-Q", "75", "-s", "2", "-s", "4").out.splitlines()]
    pictures, folder = rows[:-2], rows[-2:]
    assert {row["kind"] for row in pictures} == {"picture"}
    assert [(row["kind"], row["scale"], row["quality"], row["pictures"]) for row in folder] == [
        ("all", 2, 75, 5),
        ("all", 4, 75, 5),
    ]
    assert len(pictures) == 10
    for row in folder:
        own = [one for one in pictures if one["scale"] == row["scale"]]
        assert row["bytes_low"] <= row["bytes"] <= row["bytes_high"]
        assert row["worst"]["psnr"] == min(one["psnr"] for one in own)
        assert row["bytes"] >= sum(one["bytes"] for one in own)  # alpha is stored, and not tried


def test_the_bytes_are_those_that_encode_writes(attempt: Run, hcdcodec: Run, photos: Path) -> None:
    *_, folder = (json.loads(line) for line in attempt("photos", "--json", "-Q", "75").out.splitlines())
    assert hcdcodec("encode", *FAST, "photos", "small/").status == 0
    written = sum(path.stat().st_size for path in Path("small").rglob("*.hcd.png"))
    assert folder["bytes_low"] <= written <= folder["bytes_high"]
    assert folder["bytes_high"] - folder["bytes_low"] <= 0.3 * folder["bytes"]


def test_files_that_cannot_be_read_are_named(attempt: Run, photos: Path) -> None:
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:200])
    (photos / "empty.jpg").touch()
    run = attempt("photos", "-Q", "75")
    assert run.status == 1
    assert sorted(line.split(":")[1] for line in run.err.splitlines()) == [" photos/broken.png", " photos/empty.jpg"]
    assert "the 5 pictures would take" in run.out.decode()
    rows = [json.loads(line) for line in attempt("photos", "--json", "-Q", "75").out.splitlines()]
    failed = {row["name"]: row["message"] for row in rows if row.get("status") == "failed"}
    assert sorted(failed) == ["photos/broken.png", "photos/empty.jpg"] and all(failed.values())


def test_a_sample_stands_for_the_folder(attempt: Run, photos: Path) -> None:
    rows = [json.loads(line) for line in attempt("photos", "--json", "--number", "2").out.splitlines()]
    assert len({row["name"] for row in rows if row["kind"] == "picture"}) == 2
    assert {row["pictures"] for row in rows if row["kind"] == "all"} == {5}


def test_named_pictures_are_tried(attempt: Run, photos: Path) -> None:
    rows = [json.loads(line) for line in attempt("photos/a.png", "photos/b.jpg", "--json").out.splitlines()]
    assert {row["name"] for row in rows if row["kind"] == "picture"} == {"photos/a.png", "photos/b.jpg"}


def test_a_picture_that_is_named_twice_is_tried_once(attempt: Run, photos: Path) -> None:
    (photos / "link.png").symlink_to("a.png")
    sources = ("photos/a.png", "photos/deep/../a.png", str(photos / "a.png"), "photos/link.png")
    rows = [json.loads(line) for line in attempt(*sources, "-Q", "75", "--json").out.splitlines()]
    assert rows[-1]["pictures"] == 2 and len(rows) == 3


def test_rows_have_the_exact_names(attempt: Run, photos: Path) -> None:
    names = [b"photos/a\n\xc2\xa0.png", b"photos/\xff.png"]
    for name in names:
        Path(os.fsdecode(name)).write_bytes((photos / "a.png").read_bytes())
    for name, base64 in zip(names, (None, "cGhvdG9zL/8ucG5n"), strict=True):
        picture, folder = map(json.loads, attempt(os.fsdecode(name), "--json", "-Q", "75").out.splitlines())
        for row in (picture, folder["worst"]):
            assert row["name"] == name.decode(errors="backslashreplace")
            assert row.get("name_base64") == base64


def test_of_large_pictures_the_middle_is_tried(attempt: Run, here: Path) -> None:
    Image.fromarray(np.zeros((700, 900), np.uint8)).save("large.png")
    run = attempt("large.png", "-Q", "75")
    assert "means of 1 of 1 picture (1 large, by the middle)" in run.out.decode()
    assert "; it came out at no error" in run.out.decode()
    row = json.loads(attempt("large.png", "--json", "-Q", "75").out.splitlines()[0])
    assert (row["whole"], row["psnr"]) == (False, None)
    assert row["pixels"] <= 1 << 19


@pytest.mark.parametrize(
    ("width", "missing"),
    [(17000, {"WebP"}), (40000, {"WebP", "thumbnail + AVIF"}), (70000, {"JPEG", "WebP", "AVIF", "thumbnail + AVIF"})],
)
def test_codecs_that_hold_no_picture_so_wide_are_left_out(
    attempt: Run, here: Path, draw: Draw, width: int, missing: set[str]
) -> None:
    Image.fromarray(np.resize(draw(4, 100), (4, width))).save("wide.png")
    run = attempt("wide.png", "-Q", "100", "-s", "2", "--json", "--html", "page.html")
    assert (run.status, run.err) == (0, "")
    others = {one["codec"]: one["psnr"] for one in json.loads(run.out.splitlines()[0])["others"]}
    assert all(others[name] is None for name in missing), others
    assert "wide.png" in Path("page.html").read_text()


def test_the_page_shows_what_was_tried(attempt: Run, photos: Path) -> None:
    run = attempt("photos", "--html", "page.html")
    page = Path("page.html").read_text()
    assert run.out.decode().splitlines()[-1].replace("'", "&#39;") in page
    for name in ("a.png", "deep/c.png", "JPEG XL", "AVIF", "thumbnail + AVIF"):
        assert name in page


@pytest.mark.parametrize("page", ["page.html", "page/"])
def test_the_page_is_as_closed_as_the_most_closed_of_its_pictures(attempt: Run, photos: Path, page: str) -> None:
    (photos / "deep/c.png").chmod(0o600)
    assert attempt("photos", "--number", "1", "--html", page).status == 0
    made = [path for path in Path().rglob("*") if path.is_file() and photos not in path.absolute().parents]
    assert made and all(path.stat().st_mode & 0o077 == 0 for path in made)


def test_the_page_replaces_no_picture(attempt: Run, photos: Path) -> None:
    before = (photos / "a.png").read_bytes()
    run = attempt("photos", "--html", "photos/a.png")
    assert (run.status, run.out) == (2, b"")
    assert (photos / "a.png").read_bytes() == before


def test_a_page_that_cannot_be_stored_costs_no_figures(attempt: Run, photos: Path) -> None:
    run = attempt("photos/a.png", "--html", "photos/b.jpg/page.html")
    assert run.status == 1 and "the picture would take" in run.out.decode()
    assert run.err.startswith("hcdcodec: photos/b.jpg/page.html: a file stands where a folder is needed; ")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("nowhere",), 2, "no such file"),
        (("empty",), 2, "there is no picture here"),
        (("text.jpg",), 1, "not a picture that can be read"),
        (("photos", "--scale", "5", "--backbone", "crn"), 2, "crn"),
        (("photos", "--device", "cpu,cpu"), 2, "no device is called 'cpu,cpu'"),
    ],
)
def test_bad_calls_say_what_to_do(
    attempt: Run, photos: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    Path("empty").mkdir()
    Path("text.jpg").write_text("no picture")
    run = attempt(*arguments)
    assert (run.status, run.out) == (status, b"")
    assert words in run.err
    assert len(run.err.splitlines()) == 1


def test_a_dry_run_forecasts_bytes_and_time(hcdcodec: Run, photos: Path) -> None:
    foretold = hcdcodec("encode", *FAST, "--dry-run", "-v", "photos", "small/")
    assert foretold.status == 0
    assert len(foretold.out.splitlines()) == 5
    found = re.search(
        r"about [\d.]+ (?:bytes|kB) \(([\d.]+) kB to ([\d.]+) kB\), [\d.]+ % .* about \d+ s$", foretold.err
    )
    assert found is not None, foretold.err
    assert not Path("small").exists()
    assert hcdcodec("encode", *FAST, "photos", "small/").status == 0
    written = sum(path.stat().st_size for path in Path("small").rglob("*.hcd.png"))
    assert float(found[1]) <= written / 1000 <= float(found[2])
    again = hcdcodec("encode", *FAST, "--dry-run", "-v", "photos", "small/")
    assert "about" not in again.err  # nothing is left to do


def test_a_dry_run_converts_as_the_run_would(hcdcodec: Run, here: Path) -> None:
    Image.fromarray(np.full((24, 20), 40000, np.uint16)).save("deep.png")
    plain = hcdcodec("encode", *FAST, "-n", "-v", "deep.png", "small/")
    assert "; encode --convert rounds it to 8 bits" in plain.err
    foretold = hcdcodec("encode", *FAST, "-n", "-v", "--convert", "deep.png", "small/")
    assert "--convert" not in foretold.err and " bytes -> about " in foretold.err
