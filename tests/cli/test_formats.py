"""People get back what they had: formats, names and turned pictures; and the original is never replaced."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Draw, Run
from picture_files import exif_tags
from PIL import Image

from hcdcodec.files.picture_names import Format
from hcdcodec.pictures import plugins

FAST = ("--backbone", "bicubic", "--effort", "0", "--quality", "100")


@pytest.fixture
def put(here: Path, draw: Draw) -> Callable[..., Path]:
    """A function that writes a picture of a name, and returns its path."""

    def write(name: str, **options: Any) -> Path:
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(24, 20, 3)).save(path, **options)
        return path

    return write


def kind_of(path: str) -> str | None:
    with Image.open(path) as image:
        return image.format


def test_each_source_comes_back_in_its_own_format_under_its_own_name(put: Callable[..., Path], hcdcodec: Run) -> None:
    for name in ("a.jpg", "b.JPEG", "c.png", "d.tif", "e.webp", "f.avif", "g.gif", "deep/h.jpg"):
        put(f"in/{name}", **({"exif": exif_tags(6)} if name == "a.jpg" else {}))
    assert hcdcodec("encode", *FAST, "in", "small").status == 0
    ran = hcdcodec("decode", "--format", "source", "-v", "small", "out")
    assert ran.status == 0, ran.err
    assert ran.err.count("warning") == 1 and "warning: .gif files are not written; stored as PNG" in ran.err
    back = {str(path.relative_to("out")): kind_of(str(path)) for path in Path("out").rglob("*.*")}
    assert back == {
        "a.jpg": "JPEG", "b.JPEG": "JPEG", "c.png": "PNG", "d.tif": "TIFF", "e.webp": "WEBP", "f.avif": "AVIF",
        "g.gif.png": "PNG", "deep/h.jpg": "JPEG",
    }  # fmt: skip
    with Image.open("out/a.jpg") as image:
        assert dict(image.getexif()) == dict(exif_tags(6))
    again = hcdcodec("decode", "--format", "source", "-v", "small", "out")
    assert again.status == 0 and "8 up to date" in again.err


@pytest.mark.parametrize("fmt", [Format.HEIC, Format.JXL])
def test_formats_of_other_packages_come_back_too(put: Callable[..., Path], hcdcodec: Run, fmt: Format) -> None:
    pytest.importorskip("pillow_heif" if fmt is Format.HEIC else "pillow_jxl")
    plugins.require(fmt)
    put(f"in/a.{fmt}", quality=95)
    for words in (("encode", *FAST, "in", "small"), ("decode", "--format", "source", "small", "out")):
        assert hcdcodec(*words).status == 0
    assert kind_of(f"out/a.{fmt}") == kind_of(f"in/a.{fmt}")


def test_two_results_of_one_name_come_back_both(put: Callable[..., Path], hcdcodec: Run) -> None:
    for name in ("in/a.gif", "in/a.gif.png", "in/a.jpg"):
        put(name)
    hcdcodec("encode", *FAST, "in", "small")
    assert hcdcodec("decode", "--format", "source", "small", "out").status == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.gif.png", "a.gif.png.png", "a.jpg"]


@pytest.mark.parametrize("words", [("--format", "source"), ("--format", "jpeg")])
def test_the_original_is_never_replaced(put: Callable[..., Path], hcdcodec: Run, words: tuple[str, ...]) -> None:
    original = put("in/a.jpg")
    put("in/b.jpg")
    hcdcodec("encode", *FAST, "in", "small")
    Path("in/b.jpg").unlink()
    before = original.read_bytes()
    ran = hcdcodec("decode", *words, "-v", "small", "in")
    assert ran.status == 0 and "a.jpg.hcd.png: skipped, its original stands there, and stays" in ran.err
    assert Path("in/b.jpg").exists()
    assert "in/a.jpg (up to date)" in hcdcodec("decode", *words, "-n", "small", "in").out.decode()
    forced = hcdcodec("decode", *words, "--force", "small", "in")
    assert forced.status == 1
    assert "in/a.jpg is the original that it was made from, and stays; name another destination" in forced.err
    assert original.read_bytes() == before
    assert kind_of("in/b.jpg") == "JPEG"


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_the_original_keeps_its_time(put: Callable[..., Path], hcdcodec: Run, name: str) -> None:
    original = put(f"in/{name}")
    os.utime(original, (1000, 1000))
    hcdcodec("encode", *FAST, "in", "small")
    for words in (("decode", "--format", "source"), ("decode", "--format", "source", "-n"), ("encode", *FAST)):
        places = ("small", "in") if words[0] == "decode" else ("in", "small")
        assert hcdcodec(*words, *places).status == 0
        assert original.stat().st_mtime == 1000


def test_the_original_is_never_replaced_by_what_comes_through_a_pipe_or_a_link(
    put: Callable[..., Path], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = put("a.png")
    before = original.read_bytes()
    hcdcodec("encode", *FAST, "a.png", "small/")
    data = Path("small/a.png.hcd.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    piped = hcdcodec("decode", "--force", "-", "a.png")
    assert piped.status == 1 and "is the original" in piped.err
    Path("link.png").symlink_to("a.png")
    linked = hcdcodec("decode", "--force", "small/a.png.hcd.png", "link.png")
    assert linked.status == 1 and "is the original" in linked.err
    assert original.read_bytes() == before


def test_a_changed_original_is_a_file_like_any_other(put: Callable[..., Path], hcdcodec: Run) -> None:
    put("a.jpg")
    hcdcodec("encode", *FAST, "a.jpg", "small/")
    Path("a.jpg").write_bytes(Path("a.jpg").read_bytes() + b"\0")
    refused = hcdcodec("decode", "--format", "source", "small", ".")
    assert refused.status in (0, 1)  # by its time it may be up to date
    assert hcdcodec("decode", "--format", "source", "--force", "small", ".").status == 0
    assert not Path("a.jpg").read_bytes().endswith(b"\0")


@pytest.mark.parametrize(("name", "kind"), [("a.dib", "BMP"), ("a.jpx", "JPEG2000"), ("a.mpo", "JPEG")])
def test_a_source_of_a_rare_ending_is_named_where_it_becomes_a_png(
    put: Callable[..., Path], hcdcodec: Run, name: str, kind: str
) -> None:
    put(name, format=kind)
    assert hcdcodec("encode", *FAST, name, "small/").status == 0
    ran = hcdcodec("decode", "--format", "source", "small", "out/")
    assert ran.status == 0 and f"warning: {Path(name).suffix} files are not written; stored as PNG" in ran.err
    assert hcdcodec("decode", f"small/{name}.hcd.png", f"b{Path(name).suffix}").status == 2


@pytest.mark.parametrize(
    ("target", "kind"),
    [("b.jpg", "JPEG"), ("b.JPEG", "JPEG"), ("b.tif", "TIFF"), ("b.webp", "WEBP"), ("b.avif", "AVIF"), ("b", "PNG")],
)
def test_the_ending_of_a_named_target_chooses(put: Callable[..., Path], hcdcodec: Run, target: str, kind: str) -> None:
    put("a.png")
    hcdcodec("encode", *FAST, "a.png", "small/")
    assert hcdcodec("decode", "small/a.png.hcd.png", target).status == 0
    assert kind_of(target) == kind


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("small/a.jpg.hcd.png", "b.gif"), "b.gif would hold PNG data; let its name end in .png"),
        (("--format", "jpeg", "small/a.jpg.hcd.png", "b.png"), "b.png would hold JPEG data; let its name end in .jpg"),
        (
            ("--format", "source", "small/a.jpg.hcd.png", "b.png"),
            "b.png would hold JPEG data; let its name end in .jpg",
        ),
        (("--format", "source", "small/a.jpg.hcd.png", "b"), "b would hold JPEG data; let its name end in .jpg"),
        (
            ("--format", "source", "small/a.jpg.hcd.png", "-"),
            "the format of a source goes by its name, and - has none; ",
        ),
        (("--format", "source", "-", "b.jpg"), "the format of a source goes by its name, and - has none; "),
        (("--decode-quality", "50", "small", "out"), "PNG keeps every pixel; leave out --decode-quality"),
        (("--decode-quality", "50", "--format", "tiff", "small", "out"), "TIFF keeps every pixel; "),
        (("--decode-quality", "0", "--format", "jpeg", "small", "out"), "0"),
    ],
)
def test_calls_that_make_no_sense(put: Callable[..., Path], hcdcodec: Run, words: tuple[str, ...], why: str) -> None:
    put("a.jpg")
    hcdcodec("encode", *FAST, "a.jpg", "small/")
    ran = hcdcodec("decode", *words)
    assert ran.status == 2 and why in ran.err


@pytest.mark.parametrize("fmt", ["jpeg", "avif", "webp"])
def test_quality_is_that_of_the_format(put: Callable[..., Path], hcdcodec: Run, fmt: str) -> None:
    put("a.png")
    hcdcodec("encode", *FAST, "a.png", "small/")
    for quality in ("20", "95"):
        assert hcdcodec("decode", "--format", fmt, "--decode-quality", quality, "small", f"out{quality}").status == 0
    name = f"a.png.{'jpg' if fmt == 'jpeg' else fmt}"
    assert Path("out20", name).stat().st_size < Path("out95", name).stat().st_size


def test_webp_is_lossless_unless_a_quality_is_given(put: Callable[..., Path], hcdcodec: Run) -> None:
    put("a.png")
    hcdcodec("encode", *FAST, "a.png", "small/")
    hcdcodec("decode", "small", "out")
    for words, is_same in (((), True), (("--decode-quality", "100"), False)):
        hcdcodec("decode", "--force", *words, "small/a.png.hcd.png", "a.webp")
        with Image.open("out/a.png") as exact, Image.open("a.webp") as webp:
            assert np.array_equal(np.asarray(exact), np.asarray(webp)) is is_same


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_upright_turns_once(put: Callable[..., Path], hcdcodec: Run, command: str) -> None:
    put("a.jpg", exif=exif_tags(6))
    first, second = ((), ("--upright",)) if command == "decode" else (("--upright",), ())
    hcdcodec("encode", *FAST, *first, "a.jpg", "small/")
    hcdcodec("decode", *second, "small", "out")
    with Image.open("out/a.jpg.png") as image:
        assert image.size == (24, 20) and dict(image.getexif()) == dict(exif_tags(1))
        with Image.open("a.jpg") as original:
            turned = np.rot90(np.asarray(original), 3)
        assert np.abs(np.asarray(image).astype(int) - turned).mean() < 10


def test_convert_leaves_what_is_encoded_alone(put: Callable[..., Path], hcdcodec: Run) -> None:
    put("a.jpg")
    hcdcodec("encode", *FAST, "a.jpg", "small/")
    assert hcdcodec("status", *FAST, "--convert", "a.jpg", "small/").status == 0


@pytest.mark.parametrize("words", [("--format", "source"), ("--format", "jpeg"), ("--format", "tiff")])
def test_compare_finds_what_was_decoded(put: Callable[..., Path], hcdcodec: Run, words: tuple[str, ...]) -> None:
    for name in ("in/a.jpg", "in/b.png"):
        put(name)
    hcdcodec("encode", *FAST, "in", "small")
    hcdcodec("decode", *words, "small", "out")
    ran = hcdcodec("compare", "in", "out")
    assert ran.status == 0 and ran.out.count(b"a.jpg") == ran.out.count(b"b.png") == 1


def test_upright_is_a_setting(put: Callable[..., Path], hcdcodec: Run) -> None:
    put("a.jpg", exif=exif_tags(6))
    hcdcodec("encode", *FAST, "a.jpg", "small/")
    assert hcdcodec("status", *FAST, "a.jpg", "small/").status == 0
    assert hcdcodec("status", *FAST, "--upright", "a.jpg", "small/").status == 1
    for words, done in (((), "1 decoded"), ((), "1 up to date"), (("--upright",), "1 decoded"),
                        (("--upright",), "1 up to date"), ((), "1 decoded")):  # fmt: skip
        assert done in hcdcodec("decode", "-v", *words, "small", "out").err


def test_a_deep_picture_is_refused_or_converted_and_each_is_named(here: Path, draw: Draw, hcdcodec: Run) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(draw(24, 20).astype(np.uint16) * 257).save(name)
    refused = hcdcodec("encode", *FAST, "a.png", "b.png", "small/")
    assert refused.status == 1
    assert refused.err.count("more than 8 bits a channel cannot be stored as it is; encode --convert rounds it") == 2
    assert hcdcodec("status", *FAST, "--convert", "a.png", "small/").status == 1
    ran = hcdcodec("encode", *FAST, "--convert", "a.png", "b.png", "small/")
    assert ran.status == 0
    assert ran.err.splitlines() == [
        f"hcdcodec: {name}: warning: rounded to 8 bits a channel" for name in ("a.png", "b.png")
    ]
