"""hcdcodec compare: figures, pictures and pages, for files and for folders."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import Ran, Run
from PIL import Image, ImageOps

import hcdcodec as package
from hcdcodec.files.picture_names import Format
from hcdcodec.format.lr_digest import lr_digest_chunk
from hcdcodec.pictures import metrics, png_chunks
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.pictures.writing import write_picture

ORIGINAL = np.random.default_rng(5).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.fixture
def compare(hcdcodec: Run) -> Run:
    """A function that runs `hcdcodec compare` in this process."""
    return partial(hcdcodec, "compare")


def save(path: Path, pixels: Levels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_picture(Picture(pixels), Format.PNG))
    return path


@pytest.fixture(scope="module")
def lr() -> bytes:
    return package.encode(ORIGINAL, backbone="bicubic", effort=0)


@pytest.fixture
def folders(tmp_path: Path, lr: bytes) -> tuple[Path, Path]:
    """A folder of three originals, and what became of two of them."""
    for name in ("a.png", "deep/b.png", "c.png"):
        save(tmp_path / "photos" / name, ORIGINAL)
    (tmp_path / "photos/readme.txt").write_text("no picture")
    (tmp_path / "small/deep").mkdir(parents=True)
    (tmp_path / "small/a.png.hcd.png").write_bytes(lr)
    Image.fromarray(ORIGINAL).save(tmp_path / "small/deep/b.jpg", quality=50)
    return tmp_path / "photos", tmp_path / "small"


def test_an_lr_is_decoded_in_memory(compare: Run, tmp_path: Path, lr: bytes) -> None:
    original = save(tmp_path / "a.png", ORIGINAL)
    (tmp_path / "a.hcd.png").write_bytes(lr)
    run = compare(original, tmp_path / "a.hcd.png", "--json")
    expected = metrics.score(ORIGINAL, package.decode(lr))
    assert run.status == 0, run.err
    assert json.loads(run.out) == {
        "name": str(original),
        "psnr_y": round(expected.psnr_y, 4),
        "psnr_rgb": round(expected.psnr_rgb, 4),
        "ssim": round(expected.ssim or 0, 4),
        "exact": False,
        "bytes": len(lr),
        "bpp": round(8 * len(lr) / (48 * 64), 4),
    }


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_an_lr_is_known_wherever_its_header_stands(compare: Run, tmp_path: Path, kind: str) -> None:
    """In a WebP it stands behind the pixels, and in a PNG text may."""
    original = save(tmp_path / "a.png", np.random.default_rng(5).integers(0, 256, (320, 320, 3), np.uint8))
    data = package.encode(original, backbone="bicubic", scale=2, effort=0, quality=100, container=kind)
    if kind == "png":  # without the chunk, and with the text at the end
        head, text, *chunks, end = (chunk for chunk in png_chunks.walk(data) if chunk.type != b"hcDC")
        data = png_chunks.SIGNATURE + png_chunks.join((head, *chunks, text, end))
    small = tmp_path / f"a.png.hcd.{kind}"
    small.write_bytes(data)
    assert len(data) > 1 << 16
    assert compare(original, small).status == 0


def test_the_bytes_of_a_reconstruction_of_ours_are_not_what_is_stored(compare: Run, tmp_path: Path, lr: bytes) -> None:
    original = save(tmp_path / "a.png", ORIGINAL)
    decoded = tmp_path / "decoded.png"
    decoded.write_bytes(write_picture(Picture(ORIGINAL), Format.PNG, marks=(lr_digest_chunk(bytes(16)),)))
    members = json.loads(compare(original, decoded, "--json").out)
    assert (members["bytes"], members["bpp"], members["exact"], members["psnr_y"]) == (None, None, True, None)


def test_neutral_colours_and_one_channel_are_the_same_picture(compare: Run, tmp_path: Path) -> None:
    grey = ORIGINAL[..., 0]
    original, decoded = save(tmp_path / "a.png", np.dstack([grey] * 3)), save(tmp_path / "b.png", grey)
    assert json.loads(compare(original, decoded, "--json").out)["exact"] is True


def test_plain_pictures_need_no_torch(tmp_path: Path) -> None:
    original = save(tmp_path / "a.png", ORIGINAL)
    script = f"""
import sys
from hcdcodec import cli
sys.argv = ["hcdcodec", "compare", {str(original)!r}, {str(original)!r}]
try:
    cli.main()
except SystemExit as leaving:
    sys.exit(leaving.code or 10 * ("torch" in sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "no error" in run.stdout


def test_the_picture_shows_original_and_lr_unchanged(compare: Run, tmp_path: Path, lr: bytes) -> None:
    original = save(tmp_path / "a.png", ORIGINAL.repeat(5, 0).repeat(5, 1))
    (tmp_path / "a.hcd.png").write_bytes(package.encode(np.asarray(Image.open(original)), backbone="bicubic", effort=0))
    run = compare(original, tmp_path / "a.hcd.png", "--picture", tmp_path / "sheet.png")
    assert run.status == 0, run.err
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    small = np.asarray(Image.open(tmp_path / "a.hcd.png").convert("RGB"))
    assert sheet.shape == (2 * (240 + 24) + 8, 2 * (320 + 8) + 8, 3)
    assert np.array_equal(sheet[24:264, 8:328], np.asarray(Image.open(original)))
    assert np.array_equal(sheet[288:528, 8:328], small.repeat(4, 0).repeat(4, 1))
    assert (sheet[2:22, 8:328] < 128).any(), "no caption"


def test_the_lr_of_a_tiny_picture_is_as_large_as_its_original(compare: Run, tmp_path: Path) -> None:
    """12 rows are two of an LR at scale 8, and each of them covers eight: the second one is cut off after four."""
    original, sheet, page = save(tmp_path / "a.png", ORIGINAL[:12, :9]), tmp_path / "sheet.png", tmp_path / "page.html"
    small = tmp_path / "a.hcd.png"
    small.write_bytes(package.encode(ORIGINAL[:12, :9], backbone="bicubic", scale=8, effort=0))
    assert compare(original, small, "--picture", sheet, "--html", page).status == 0
    factor = -(-320 // 9)
    top, left = 12 * factor + 2 * 24, 8
    shown = np.asarray(Image.open(sheet))[top : top + 12 * factor : factor, left : left + 9 * factor : factor]
    lr = np.asarray(Image.open(small).convert("RGB"))
    assert np.array_equal(shown, lr.repeat(8, 0).repeat(8, 1)[:12, :9])
    assert 'width="16" height="16" alt="LR of' in page.read_text()


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("options", [{}, {"upright": True}, {"strip": ["exif"]}, {"upright": True, "strip": ["exif"]}])
def test_what_was_turned_upright_is_compared_upright(
    compare: Run, tmp_path: Path, orientation: int, options: dict[str, object]
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(ORIGINAL).save(tmp_path / "a.png", exif=exif)
    small = tmp_path / "a.png.hcd.png"
    small.write_bytes(package.encode(tmp_path / "a.png", backbone="bicubic", effort=0, **options))  # type: ignore[arg-type]
    expected = metrics.score(ORIGINAL, package.decode(package.encode(ORIGINAL, backbone="bicubic", effort=0)))
    run = compare(tmp_path / "a.png", small, "--json", "--html", tmp_path / "page.html")
    assert json.loads(run.out)["psnr_rgb"] == pytest.approx(expected.psnr_rgb, abs=0.2)


@pytest.mark.parametrize("orientation", [6, 7])
def test_a_sheet_shows_pictures_upright(compare: Run, tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(ORIGINAL[:12, :9]).save(tmp_path / "a.png", exif=exif)
    small, sheet = tmp_path / "a.png.hcd.png", tmp_path / "sheet.png"
    small.write_bytes(package.encode(tmp_path / "a.png", backbone="bicubic", effort=0))
    assert compare(tmp_path / "a.png", small, "--picture", sheet).status == 0
    factor, gap, caption = -(-320 // 12), 8, 24
    shown = np.asarray(Image.open(sheet))[caption:, gap:][: 9 * factor : factor, : 12 * factor : factor]
    assert np.array_equal(shown, np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))))


def test_what_was_converted_is_compared(compare: Run, hcdcodec: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(ORIGINAL[..., 0].astype(np.uint16) * 257).save(tmp_path / "in/deep.png")
    Image.frombytes("LAB", (64, 48), ORIGINAL.tobytes()).save(tmp_path / "in/lab.tif")
    small, out = tmp_path / "small", tmp_path / "out"
    assert hcdcodec("encode", "-b", "bicubic", "-e", "0", "--convert", tmp_path / "in", small).status == 0
    assert hcdcodec("decode", small, out).status == 0
    for other in (small, out):
        run = compare(tmp_path / "in", other, "--fail-below", 9)
        assert (run.status, run.err) == (0, "")
    Image.fromarray(ORIGINAL[..., 0]).save(out / "deep.png")  # of somebody else
    assert "cannot be stored as it is; encode --convert" in compare(tmp_path / "in", out).err


def test_an_error_names_the_file_that_it_is_about(compare: Run, tmp_path: Path, lr: bytes) -> None:
    path, short, small = save(tmp_path / "a.png", ORIGINAL), tmp_path / "short.png", tmp_path / "a.hcd.png"
    short.write_bytes(path.read_bytes()[:-30])
    small.write_bytes(lr[:-30])
    for other, words in ((short, "truncated"), (small, "truncated"), (tmp_path / "none.png", "no such file")):
        run = compare(path, other)
        assert run.err.startswith(f"hcdcodec: {path}: {other}: ") and words in run.err
        assert compare(other, path).err.startswith(f"hcdcodec: {other}: ")


@pytest.mark.parametrize(("height", "factor"), [(10, 320), (30, 136), (5000, 1)])
def test_narrow_pictures_are_enlarged_within_reason(compare: Run, tmp_path: Path, height: int, factor: int) -> None:
    path, sheet = save(tmp_path / "a.png", np.zeros((height, 1, 3), np.uint8)), tmp_path / "sheet.png"
    assert compare(path, path, "--picture", sheet).status == 0
    with Image.open(sheet) as image:
        assert image.width == 2 * (factor + 8) + 8


def test_folders_are_compared_name_by_name(compare: Run, folders: tuple[Path, Path], lr: bytes) -> None:
    run = compare(*folders, "--json")
    lines = [row for row in map(json.loads, run.out.splitlines()) if "status" not in row]
    jpeg = folders[1] / "deep/b.jpg"
    assert [(line["name"], line["bytes"]) for line in lines] == [
        ("a.png", len(lr)),
        ("deep/b.png", jpeg.stat().st_size),
    ]
    expected = metrics.score(ORIGINAL, np.asarray(Image.open(jpeg)))
    assert lines[1]["psnr_rgb"] == round(expected.psnr_rgb, 4)
    assert run.status == 1
    assert run.err == "hcdcodec: c.png: has no counterpart in the other folder; encode or decode it first\n"


def test_files_beside_a_picture_do_not_hide_it(compare: Run, folders: tuple[Path, Path]) -> None:
    (folders[0] / "c.png").unlink()
    for sidecar in ("deep/b.xmp", "deep/b.txt"):
        (folders[1] / sidecar).write_text("about b.jpg")
    assert compare(*folders).status == 0
    Image.fromarray(ORIGINAL).save(folders[1] / "deep/b.webp")
    run = compare(*folders)
    assert run.status == 1 and "b.png: has no counterpart" in run.err, "two pictures leave a guess"


@pytest.mark.parametrize("name", ["a.png.hcd.png", "deep/b.jpg"])
def test_a_failure_says_which_of_the_two_files_it_is_about(compare: Run, folders: tuple[Path, Path], name: str) -> None:
    other = folders[1] / name
    other.write_bytes(other.read_bytes()[:90])
    run = compare(*folders)
    assert run.status == 1 and re.search(rf"^hcdcodec: \S+: {re.escape(str(other))}: .+; .+$", run.err, re.MULTILINE)


def test_the_table_ends_with_the_mean(compare: Run, folders: tuple[Path, Path]) -> None:
    (folders[0] / "c.png").unlink()
    run = compare(*folders)
    heading, first, second, mean = (line.split() for line in run.out.decode().splitlines())
    assert heading == ["PSNR-Y", "PSNR-RGB", "SSIM", "bpp", "picture"]
    assert (first[-1], second[-1], mean[-1]) == ("a.png", "deep/b.png", "mean")
    for column, digits in enumerate((2, 2, 4, 3)):
        assert float(mean[column]) == pytest.approx((float(first[column]) + float(second[column])) / 2, abs=10**-digits)


def test_an_exact_picture_leaves_the_mean_of_the_others(compare: Run, folders: tuple[Path, Path]) -> None:
    save(folders[1] / "c.png", ORIGINAL)
    _, first, second, exact, mean = (line.split() for line in compare(*folders).out.decode().splitlines())
    assert (exact[:4], exact[-1]) == (["no", "error", "no", "error"], "c.png")
    for column in (0, 1):
        assert float(mean[column]) == pytest.approx((float(first[column]) + float(second[column])) / 2, abs=0.01)


def test_the_worst_picture_stands_first(compare: Run, tmp_path: Path) -> None:
    for name, quality in (("a", 90), ("b", 10), ("c", 50)):
        save(tmp_path / f"photos/{name}.png", ORIGINAL)
        (tmp_path / "jpegs").mkdir(exist_ok=True)
        Image.fromarray(ORIGINAL).save(tmp_path / f"jpegs/{name}.jpg", quality=quality)
    _, *rows, mean = (
        line.split() for line in compare(tmp_path / "photos", tmp_path / "jpegs").out.decode().splitlines()
    )
    assert [row[-1] for row in rows] == ["b.png", "c.png", "a.png"]
    assert [float(row[1]) for row in rows] == sorted(float(row[1]) for row in rows)
    assert mean[-1] == "mean"


def test_fail_below_names_what_is_too_poor(compare: Run, folders: tuple[Path, Path]) -> None:
    (folders[0] / "c.png").unlink()
    scores = {row["name"]: row["psnr_rgb"] for row in map(json.loads, compare(*folders, "--json").out.splitlines())}
    assert compare(*folders, "--fail-below", "nan").status == 2
    assert compare(*folders, "--fail-below", str(min(scores.values()) - 0.01)).status == 0
    (worst, least), (_, most) = sorted(scores.items(), key=lambda item: item[1])
    run = compare(*folders, "--fail-below", str((least + most) / 2))
    assert run.status == 1
    assert run.err.startswith(f"hcdcodec: {worst}: {least:.2f} dB, less than ")
    assert len(run.err.splitlines()) == 1


def test_ssimulacra2_is_measured_when_asked(compare: Run, tmp_path: Path) -> None:
    pytest.importorskip("ssimulacra2")
    original, scores = save(tmp_path / "a.png", ORIGINAL), []
    for quality in (95, 20):
        Image.fromarray(ORIGINAL).save(tmp_path / "a.jpg", quality=quality)
        run = compare(original, tmp_path / "a.jpg", "--ssimulacra2", "--json")
        scores.append(json.loads(run.out)["ssimulacra2"])
    assert 100 > scores[0] > scores[1] + 5
    assert b"SSIMULACRA2" in compare(original, tmp_path / "a.jpg", "--ssimulacra2").out
    assert b"SSIMULACRA2" not in compare(original, tmp_path / "a.jpg").out
    tiny = save(tmp_path / "tiny.png", ORIGINAL[:7, :7])
    assert json.loads(compare(tiny, tiny, "--ssimulacra2", "--json").out).get("ssimulacra2") is None


def test_a_missing_package_is_named(compare: Run, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)
    run = compare(*folders, "--ssimulacra2")
    assert (run.status, run.out) == (2, b"")
    assert run.err == "hcdcodec: SSIMULACRA2 needs the package ssimulacra2; pip install 'hcdcodec[ssimulacra2]'\n"


def test_sizes_that_differ_fail_alone(compare: Run, folders: tuple[Path, Path]) -> None:
    save(folders[1] / "c.png", ORIGINAL[:-1])
    run = compare(*folders, "--json")
    rows = [json.loads(line) for line in run.out.splitlines()]
    assert (run.status, [row["name"] for row in rows]) == (1, ["a.png", "c.png", "deep/b.png"])
    assert [row.get("status") for row in rows] == [None, "failed", None] and "sizes differ" in rows[1]["message"]
    assert "c.png: sizes differ (64x48 and 64x47)" in run.err


@pytest.mark.parametrize(
    ("first", "second"), [("photos", "photos/a.png"), ("photos/a.png", "photos"), ("small", "photos/deep")]
)
def test_what_cannot_be_compared(compare: Run, folders: tuple[Path, Path], first: str, second: str) -> None:
    (folders[1] / "deep/b.jpg").unlink()
    run = compare(folders[0].parent / first, folders[0].parent / second)
    assert (run.status, run.out) == (2, b"")
    assert len(run.err.splitlines()) == 1


@pytest.mark.parametrize(("first", "second"), [("photoz", "small"), ("photos", "smoll")])
def test_a_folder_that_is_not_there_is_named(compare: Run, folders: tuple[Path, Path], first: str, second: str) -> None:
    missing = next(path for name in (first, second) if not (path := folders[0].parent / name).exists())
    run = compare(folders[0].parent / first, folders[0].parent / second)
    assert run == Ran(2, b"", f"hcdcodec: {missing} cannot be found; check the name\n")


def test_a_folder_without_pictures_is_named(compare: Run, folders: tuple[Path, Path]) -> None:
    (folders[1] / "deep/b.jpg").unlink()
    said = f"there is no picture in {folders[1]}; name the folder of the originals first"
    assert compare(folders[1], folders[0]) == Ran(2, b"", f"hcdcodec: {said}\n")


@pytest.mark.parametrize("other", ["photos", "link"])
def test_a_folder_is_not_compared_with_itself(compare: Run, folders: tuple[Path, Path], other: str) -> None:
    (folders[0].parent / "link").symlink_to(folders[0])
    run = compare(folders[0], folders[0].parent / other)
    said = f"{folders[0]} cannot be compared with itself; name the folder of the small files second"
    assert run == Ran(2, b"", f"hcdcodec: {said}\n")


@pytest.mark.parametrize("option", ["--picture", "--html"])
def test_a_report_never_replaces_what_it_is_about(compare: Run, tmp_path: Path, lr: bytes, option: str) -> None:
    original, small = save(tmp_path / "a.png", ORIGINAL), tmp_path / "a.hcd.png"
    small.write_bytes(lr)
    before = original.read_bytes()
    for report in (original, small, tmp_path / "." / "a.png"):
        run = compare(original, small, option, report)
        assert (run.status, run.err.count("\n")) == (2, 1)
        assert "write the report elsewhere" in run.err
    assert (original.read_bytes(), small.read_bytes()) == (before, lr)


@pytest.mark.parametrize("page", ["report", "./report", "link/report"])
def test_a_report_never_replaces_the_other(compare: Run, here: Path, page: str) -> None:
    original = save(here.parent / "a.png", ORIGINAL)
    Path("link").symlink_to(".")
    run = compare(original, original, "--picture", "report", "--html", page)
    assert run == Ran(2, b"", "hcdcodec: report would be the sheet and the page at once; give them two names\n")
    assert not Path("report").exists()


def test_a_sheet_replaces_only_a_sheet(compare: Run, tmp_path: Path) -> None:
    original = save(tmp_path / "a.png", ORIGINAL)
    other = save(tmp_path / "b.png", 255 - ORIGINAL)
    (empty := tmp_path / "empty").touch()
    before = other.read_bytes()
    run = compare(original, original, "--picture", other)
    assert run == Ran(2, b"", f"hcdcodec: {other} is something else than a sheet of ours; write the report elsewhere\n")
    assert other.read_bytes() == before
    for _ in range(2):
        assert compare(original, original, "--picture", empty).status == 0
        assert empty.read_bytes().startswith(b"\x89PNG")


def test_a_sheet_is_not_called_a_picture_of_another_format(compare: Run, here: Path) -> None:
    original = save(here / "a.png", ORIGINAL)
    run = compare(original, original, "--picture", "sheet.jpg")
    assert run == Ran(2, b"", "hcdcodec: sheet.jpg would hold PNG data; let its name end in .png\n")


@pytest.mark.parametrize("closed", ["photos/a.png", "small/a.png.hcd.png"])
@pytest.mark.parametrize("report", [("--html", "page.html"), ("--html", "page/"), ("--picture", "sheet.png")])
def test_a_report_is_as_closed_as_the_most_closed_of_its_pictures(
    compare: Run, folders: tuple[Path, Path], here: Path, report: tuple[str, str], closed: str
) -> None:
    (folders[0] / "c.png").unlink()
    (folders[0].parent / closed).chmod(0o600)
    files = ("a.png", "a.png.hcd.png") if report[0] == "--picture" else ("", "")
    assert compare(*(folder / file for folder, file in zip(folders, files, strict=True)), *report).status == 0
    made = [path for path in here.rglob("*") if path.is_file()]
    assert made and all(path.stat().st_mode & 0o077 == 0 for path in made)


@pytest.mark.parametrize("option", ["--picture", "--html"])
def test_a_report_that_cannot_be_stored_costs_no_figures(compare: Run, tmp_path: Path, lr: bytes, option: str) -> None:
    original, small = save(tmp_path / "a.png", ORIGINAL), tmp_path / "a.hcd.png"
    small.write_bytes(lr)
    place = original / "report"  # below a file
    plain, run = compare(original, small), compare(original, small, option, place)
    assert (plain.status, run.status, run.out) == (0, 1, plain.out)
    assert run.err.startswith(f"hcdcodec: {place}: a file stands where a folder is needed; ")
    assert run.err.count("\n") == 1


def test_a_page_whose_pictures_cannot_be_stored_is_named(compare: Run, folders: tuple[Path, Path], here: Path) -> None:
    (here / "page").write_bytes(b"")
    run = compare(*folders, "--html", "page/")
    assert run.status == 1 and run.out.count(b".png") > 1
    failures = [line for line in run.err.splitlines() if "a file stands where a folder is needed" in line]
    assert len(failures) > 1 and all(" page/index.html: a file" in line for line in failures)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_fails_alone(compare: Run, folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.png").chmod(0)
    run = compare(*folders)
    assert run.status == 1
    assert b"deep/b.png" in run.out
    assert "Traceback" not in run.err


def test_larger_pictures_are_compared_when_asked(compare: Run, tmp_path: Path, lr: bytes) -> None:
    original, small = save(tmp_path / "a.png", ORIGINAL), tmp_path / "a.hcd.png"
    small.write_bytes(lr)
    assert compare(original, small, "--max-pixels", 48 * 64 - 1).status == 1
    assert compare(original, small, "--max-pixels", 48 * 64).status == 0


def test_names_that_nothing_can_have_fail_alone(compare: Run, folders: tuple[Path, Path]) -> None:
    """An original whose name leaves no room for ours stopped everything."""
    long = save(folders[0] / f"{'n' * 247}.png", ORIGINAL)
    run = compare(*folders, "--json")
    assert run.status == 1
    assert run.err.count("\n") == 2 and f"{long.name}: has no counterpart" in run.err
    rows = [json.loads(line) for line in run.out.splitlines()]
    assert [row["name"] for row in rows if "status" not in row] == ["a.png", "deep/b.png"]


def test_paths_that_are_too_long_fail_alone(
    compare: Run, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders[0])
    for _ in range(15):  # reachable from here, and not from the other, longer folder
        Path("d" * 250).mkdir()
        monkeypatch.chdir("d" * 250)
    save(Path("e.png"), ORIGINAL)
    monkeypatch.chdir(tmp_path)
    other = tmp_path / ("o" * 200) / ("p" * 200)
    shutil.copytree(folders[1], other)
    run = compare("photos", other, "--json")
    assert run.status == 1 and run.err.count("\n") == 2
    rows = [json.loads(line) for line in run.out.splitlines()]
    assert [row["name"] for row in rows if "status" not in row] == ["a.png", "deep/b.png"]


SHORT_OF_MEMORY = """
import re, resource, sys
import torch
import hcdcodec.codec.engines, hcdcodec.codec.decode, hcdcodec.compare.page, hcdcodec.compare.pairs, hcdcodec.cli.report
from hcdcodec.cli import main
used = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1])
resource.setrlimit(resource.RLIMIT_AS, (used + (24 << 20), -1))
main()
"""


def test_too_little_memory_is_said_in_one_line(tmp_path: Path) -> None:
    pixels = ORIGINAL.repeat(25, 0).repeat(25, 1)
    original = save(tmp_path / "a.png", pixels)
    (tmp_path / "a.hcd.png").write_bytes(package.encode(pixels, backbone="bicubic", effort=0))
    command: list[str | Path] = [sys.executable, "-c", SHORT_OF_MEMORY, "compare", original, tmp_path / "a.hcd.png"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"hcdcodec: {original}: not enough memory") and ran.stderr.count("\n") == 1
