"""info and verify: commands that read small files, named, in folders or in lists."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FAST, PROGRAM, Draw, Ran, Run, Tiny
from PIL import Image, ImageCms


@pytest.fixture
def small(draw: Draw, here: Path, hcdcodec: Run) -> list[str]:
    """Three small files of two containers, one of them in a deeper folder, beside a text and their sources."""
    for seed, name in enumerate(("photos/a.png", "photos/b.png", "photos/deep/c.png")):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(12, 10, 3, seed=seed)).save(name)
    assert hcdcodec("encode", "photos/a.png", "small/", *FAST, "-Q", "50").status == 0
    assert hcdcodec("encode", "photos/b.png", "small/", *FAST, "-Q", "50", "--container", "webp").status == 0
    assert hcdcodec("encode", "photos/deep", "small/deep", *FAST, "-Q", "50").status == 0
    Path("small/words.txt").write_text("no picture")
    return ["small/a.png.hcd.png", "small/b.png.hcd.webp", "small/deep/c.png.hcd.png"]


def named(out: bytes) -> list[str]:
    return [line.partition(": ")[0] for line in out.decode().splitlines()]


@pytest.mark.parametrize("command", ["info", "verify"])
def test_named_files_get_a_line_each(small: list[str], hcdcodec: Run, command: str) -> None:
    ran = hcdcodec(command, *small)
    assert (ran.status, named(ran.out), ran.err) == (0, small, "")


def test_verify_says_what_is_intact(small: list[str], hcdcodec: Run) -> None:
    assert hcdcodec("verify", small[0]).out.decode() == f"{small[0]}: intact, 10x12, bicubic x4\n"


@pytest.mark.parametrize("command", ["info", "verify"])
def test_one_bad_file_fails_alone(small: list[str], hcdcodec: Run, command: str) -> None:
    Path(small[1]).write_bytes(Path(small[1]).read_bytes()[:-1])
    ran = hcdcodec(command, "photos/a.png", "missing.png", *small)
    assert (ran.status, named(ran.out)) == (1, [small[0], small[2]])
    failed = ["photos/a.png", "missing.png", small[1]]
    assert re.findall(r"^hcdcodec: (\S+): .+; .+$", ran.err, re.MULTILINE) == failed
    assert ", 3 failed" in hcdcodec(command, "-v", "photos/a.png", "missing.png", *small).err
    assert hcdcodec(command, small[1]).status == 1


@pytest.mark.parametrize("command", ["info", "verify"])
def test_folders_are_walked_as_decode_walks_them(small: list[str], hcdcodec: Run, command: str) -> None:
    (Path("small") / "photo.png").write_bytes(Path(small[0]).read_bytes())  # decode passes over this name, too
    ran = hcdcodec(command, "-v", "small")
    assert ran.status == 0
    shown = re.findall(r"^file +(.+)$", ran.out.decode(), re.MULTILINE) if command == "info" else named(ran.out)
    assert shown == small
    rows = [json.loads(row) for row in hcdcodec(command, "--json", "small/deep", small[0]).out.splitlines()]
    assert [row.get("file", row.get("name")) for row in rows] == [small[2], small[0]]


@pytest.mark.parametrize("command", [["verify"], ["info"], ["decode"], ["models", "export"]])
def test_walks_pass_over_what_macos_keeps_beside_files(small: list[str], hcdcodec: Run, command: list[str]) -> None:
    """On disks of other systems it keeps attributes of photo.jpg in ._photo.jpg."""
    path = Path(small[0])
    path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    path.with_name(f"._b{path.name}").write_bytes(path.read_bytes())  # a small file all the same
    ran = hcdcodec(*command, "small", *(["out/"] if command == ["decode"] else []))
    assert (ran.status, ran.err) == (0, "")
    assert hcdcodec("verify", "-v", "small").err.splitlines()[0] == "4 verified, 2 ignored"


def test_verify_of_a_folder_names_failures_alone(small: list[str], hcdcodec: Run) -> None:
    assert hcdcodec("verify", "small") == Ran(0, b"", "")
    Path(small[2]).write_bytes(b"words")
    said = "not a PNG, WebP or JPEG XL, so not a picture encoded by hcdcodec; encode it first"
    for quiet in ([], ["-q"]):
        assert hcdcodec("verify", *quiet, "small") == Ran(1, b"", f"hcdcodec: {small[2]}: {said}\n")
    assert hcdcodec("verify", "-v", "small").err.splitlines()[1] == "2 verified, 1 failed, 1 ignored"


@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_folder_without_small_files_fails(small: list[str], hcdcodec: Run, command: str) -> None:
    ran = hcdcodec(command, "photos", small[0])
    assert (ran.status, named(ran.out)) == (1, [small[0]])
    said = "there is no small file in this folder; name a folder that encode wrote to"
    assert ran.err.splitlines()[0] == f"hcdcodec: photos: {said}"


@pytest.mark.parametrize("command", ["info", "verify"])
@pytest.mark.parametrize("null", [True, False])
def test_names_from_a_list(small: list[str], hcdcodec: Run, command: str, *, null: bool) -> None:
    Path("list").write_bytes((b"\0" if null else b"\n").join(map(os.fsencode, ["small/deep", *small])))
    ran = hcdcodec(command, "--files-from", "list", *(["-0"] if null else []), "-v")
    assert ran.status == 0
    shown = re.findall(r"^file +(.+)$", ran.out.decode(), re.MULTILINE) if command == "info" else named(ran.out)
    assert shown == small
    assert "1 ignored" in ran.err  # the folder: `find` lists folders and also the files in them


def test_verify_of_a_list_names_failures_alone(small: list[str], hcdcodec: Run) -> None:
    Path("list").write_text("\n".join(small))
    assert hcdcodec("verify", "--files-from", "list") == Ran(0, b"", "")


@pytest.mark.parametrize("listed", ["", "small\n"])  # find lists folders, too
@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_list_without_files_fails(small: list[str], hcdcodec: Run, command: str, listed: str) -> None:
    Path("list").write_text(listed)
    said = "hcdcodec: list: there is no file in this list; check what makes it\n"
    assert hcdcodec(command, "-q" if command == "verify" else "--json", "--files-from", "list").err == said
    assert hcdcodec(command, "--files-from", "list").status == 1


@pytest.mark.parametrize(("command", "count"), [("info", "3 small files, "), ("verify", "3 verified, 1 ignored\n")])
def test_a_regular_file_gets_the_count_and_a_pipe_does_not(small: list[str], command: str, count: str) -> None:
    with Path("said").open("wb") as said:
        subprocess.run([sys.executable, "-c", PROGRAM, command, "small"], check=True, stdout=said, stderr=said)
    lines = Path("said").read_text()
    assert f"\n{count}" in f"\n{lines}"
    ran = subprocess.run([sys.executable, "-c", PROGRAM, command, "small"], capture_output=True, check=True)
    assert ran.stderr == b""


def test_verify_as_json(small: list[str], hcdcodec: Run) -> None:
    Path(small[0]).write_bytes(b"words")
    ran = hcdcodec("verify", "--json", *small)
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [(row["name"], row["status"]) for row in rows] == list(zip(small, ("failed", "done", "done"), strict=True))
    assert rows[0]["message"].startswith("not a PNG") and ran.status == 1
    assert (rows[1]["height"], rows[1]["width"], rows[1]["quality"]) == (12, 10, 50)
    assert rows[1]["source_bytes"] == Path(small[1]).stat().st_size


def test_info_as_json_has_all_fields(small: list[str], hcdcodec: Run) -> None:
    rows = [json.loads(line) for line in hcdcodec("info", "--json", *small).out.splitlines()]
    assert [row["file"] for row in rows] == small
    assert {(r["height"], r["width"], r["scale"], r["quality"], r["backbone"]) for r in rows} == {
        (12, 10, 4, 50, "bicubic")
    }
    assert {(r["lr_height"], r["lr_width"], r["installed"]) for r in rows} == {(3, 3, True)}
    assert rows[0]["source_size"] == Path("photos/a.png").stat().st_size
    listed = hcdcodec("info", "-v", small[0]).out.decode()
    assert set(re.findall(r"^(\w+)", listed, re.MULTILINE)) == set(rows[0])


def test_info_as_json_has_a_row_for_what_failed(small: list[str], hcdcodec: Run) -> None:
    Path(small[0]).write_bytes(b"words")
    ran = hcdcodec("info", "--json", *small)
    failed, *rows = (json.loads(line) for line in ran.out.splitlines())
    assert (ran.status, [row["file"] for row in rows]) == (1, small[1:])
    assert (failed["file"], failed["status"]) == (small[0], "failed") and failed["message"].startswith("not a PNG")


def test_info_is_a_line_that_people_read(draw: Draw, here: Path, hcdcodec: Run, tiny: Tiny) -> None:
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(draw(40, 60, 4)).save("a.png", exif=exif, icc_profile=profile)
    weights = ("--weights-dir", tiny.weights_dir)
    assert hcdcodec("encode", "a.png", "a.hcd.png", "-b", tiny.name, "-e", "0", *weights).status == 0
    size, source = (Path(name).stat().st_size for name in ("a.hcd.png", "a.png"))
    said = hcdcodec("info", "a.hcd.png", *weights).out.decode()
    (digest,) = {json.loads(hcdcodec("info", "--json", "a.hcd.png").out)["model_hash"][:12]}
    assert said == (
        f"a.hcd.png: 60x40 RGB with alpha, LR 15x10, {size / 1000:.2f} kB ({size * 8 / 2400:.3f} bpp, "
        f"{100 * size / source:.0f} % of its source), quality 75, tiny x4 {digest} (installed), EXIF, ICC\n"
    )
    assert f"tiny x4 {digest} (not installed)" in hcdcodec("info", "a.hcd.png").out.decode()


def test_info_of_bicubic_grey_pixels_from_memory(draw: Draw, here: Path, hcdcodec: Run) -> None:
    from hcdcodec import encode

    data = encode(draw(12, 8), backbone="bicubic", effort=0)
    Path("a.hcd.png").write_bytes(data)
    said = hcdcodec("info", "a.hcd.png").out.decode()
    size = f"{len(data)} bytes ({len(data) / 12:.3f} bpp)"
    assert said == f"a.hcd.png: 8x12 grey, LR 2x3, {size}, quality 75, bicubic x4 (needs no weights)\n"
