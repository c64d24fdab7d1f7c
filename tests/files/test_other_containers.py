"""WebP and JPEG XL on the command line and in the library, and results that stand in another container already."""

import json
import os
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import FAST, Draw, Run
from PIL import Image

import hcdcodec as api
from hcdcodec.batch.other_containers import remove_twins
from hcdcodec.errors import UsageError
from hcdcodec.files.encoded_names import Container, is_encoded, source_name, twins
from hcdcodec.format import container
from hcdcodec.pictures import png_chunks

OTHERS = (Container.WEBP, Container.JXL)


@pytest.fixture(params=OTHERS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param is Container.JXL:
        pytest.importorskip("pillow_jxl")
    return str(request.param)


@pytest.fixture
def photo(here: Path, draw: Draw) -> Path:
    path = here / "in" / "a.png"
    path.parent.mkdir()
    Image.fromarray(np.dstack((draw(37, 50, 3), draw(37, 50, seed=3)))).save(path, dpi=(96, 96))
    return path


def test_names() -> None:
    assert [Container(name).suffix for name in ("png", "webp", "jxl")] == [".hcd.png", ".hcd.webp", ".hcd.jxl"]
    assert source_name("a.jpg.hcd.WEBP") == "a.jpg"
    assert [is_encoded(name) for name in (".hcd.jxl", "a.hcd.jxl", "a.jxl", "a.hcd.gif")] == [False, True, False, False]
    assert twins(Path("in/a.jpg.hcd.webp")) == (Path("in/a.jpg.hcd.png"), Path("in/a.jpg.hcd.jxl"))
    assert twins(Path("in/a.webp")) == ()


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_a_name_that_would_be_too_long_in_another_container(
    photo: Path, hcdcodec: Run, options: tuple[str, ...]
) -> None:
    longest = photo.rename(photo.with_name("x" * (255 - len(".png.hcd.png")) + ".png"))
    Path("small").mkdir()
    assert hcdcodec("encode", "in", "small", *FAST, *options).status == 0
    assert os.listdir("small") == [longest.name + ".hcd.png"]  # noqa: PTH208


@pytest.mark.parametrize("kind", Container)
def test_a_result_that_cannot_be_read_says_why(photo: Path, kind: Container, hcdcodec: Run) -> None:
    """It was made by hcdcodec, so a message must not say that it was not."""
    if kind is Container.JXL:
        pytest.importorskip("pillow_jxl")
    arguments = ("encode", "in", "small", *FAST, "--container", kind)
    assert hcdcodec(*arguments).status == 0
    small = Path("small", f"a.png.hcd.{kind}")
    whole = small.read_bytes()
    small.write_bytes(whole[: whole.index(b"HCDC") + 9])
    said = f"hcdcodec: {photo.relative_to(Path.cwd())}: {small} exists and cannot be read ("
    for command in (arguments, ("status", *arguments[1:])):
        ran = hcdcodec(*command)
        assert ran.status == 1 and ran.err.startswith(said) and "); move it away or use --force\n" in ran.err
    newer = whole.replace(b"HCDC\1", b"HCDC\2")
    if kind is not Container.PNG:
        at = newer.index(b"hcDC") + (8 if kind is Container.WEBP else 4)
        newer = newer[: at + 106] + zlib.crc32(newer[at : at + 106]).to_bytes(4, "big") + newer[at + 110 :]
    else:
        chunks = png_chunks.walk(whole)
        newer = png_chunks.build(c._replace(payload=c.payload.replace(b"HCDC\1", b"HCDC\2")) for c in chunks)
    small.write_bytes(newer)
    ran = hcdcodec(*arguments)
    assert ran.status == 1 and "cannot be read (format version 2 is unknown)" in ran.err
    assert small.read_bytes() == newer


@pytest.mark.parametrize("kind", Container)
def test_a_result_that_was_cut_off_is_not_up_to_date(photo: Path, kind: Container, hcdcodec: Run) -> None:
    if kind is Container.JXL:
        pytest.importorskip("pillow_jxl")
    arguments = ("in", "small", *FAST, "--container", kind)
    assert hcdcodec("encode", *arguments).status == 0
    small = Path("small", f"a.png.hcd.{kind}")
    whole = small.read_bytes()
    for cut in (whole[:-1], whole[:-20]):
        small.write_bytes(cut)
        for command in ("encode", "status"):
            ran = hcdcodec(command, *arguments)
            said = f"hcdcodec: {photo.relative_to(Path.cwd())}: {small} exists and cannot be read ("
            assert ran.status == 1 and ran.err.startswith(said) and "); move it away or use --force\n" in ran.err
        assert small.read_bytes() == cut
    assert hcdcodec("encode", *arguments, "--force").status == 0
    assert small.read_bytes() == whole


def test_there_and_back(photo: Path, kind: str, hcdcodec: Run) -> None:
    assert hcdcodec("encode", "in", "small", *FAST, "--container", kind).status == 0
    assert hcdcodec("encode", "in", "png", *FAST).status == 0
    small = Path("small", f"a.png.hcd.{kind}")
    assert os.listdir("small") == [small.name]  # noqa: PTH208
    assert hcdcodec("decode", "small", "out").status == 0
    assert hcdcodec("decode", "png", "plain").status == 0
    with Image.open("out/a.png") as one, Image.open("plain/a.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))
        assert one.info["dpi"] == other.info["dpi"]
    assert hcdcodec("verify", small).out.startswith(f"{small}: intact, 50x37".encode())
    about = json.loads(hcdcodec("info", "--json", small).out)
    assert (about["file"], about["height"], about["container"]) == (str(small), 37, kind)
    assert about["bytes"] == small.stat().st_size
    assert hcdcodec("compare", "in", "small").status == 0
    ran = hcdcodec("encode", "in", "again", *FAST, "--container", kind, "--target-bpp", "9")
    assert (ran.status, ran.err) == (0, "")


def test_a_target_in_bytes_is_kept(photo: Path, kind: str, hcdcodec: Run) -> None:
    call = ("in", *FAST, "--container", kind)
    assert hcdcodec("encode", *call, "full", "-Q", "61").status == 0
    size = Path("full", f"a.png.hcd.{kind}").stat().st_size
    assert hcdcodec("encode", *call, "small", "--max-bytes", size - 3).status == 0
    assert Path("small", f"a.png.hcd.{kind}").stat().st_size <= size - 3


def test_what_is_up_to_date_is_left(photo: Path, kind: str, hcdcodec: Run) -> None:
    call = ("in", "small", *FAST, "--container", kind)
    assert hcdcodec("status", *call).status == 1
    assert hcdcodec("encode", *call).status == 0
    small = Path("small", f"a.png.hcd.{kind}")
    before = small.stat()
    assert hcdcodec("status", *call).status == 0
    assert hcdcodec("encode", *call).status == 0
    assert (small.stat().st_ino, small.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert hcdcodec("status", *call, "-Q", "50").status == 1
    photo.write_bytes(photo.read_bytes() + b"\n")
    assert hcdcodec("status", *call).status == 1


def test_a_file_is_recognised_by_content(photo: Path, kind: str, hcdcodec: Run) -> None:
    hcdcodec("encode", "in", "small", *FAST, "--container", kind)
    Path("small", f"a.png.hcd.{kind}").rename("renamed.png")
    assert hcdcodec("decode", "renamed.png", "out/").status == 0
    assert os.listdir("out") == ["renamed.png"]  # noqa: PTH208
    ran = hcdcodec("encode", "renamed.png", "again/", *FAST)
    assert (ran.status, "already encoded by hcdcodec" in ran.err) == (1, True)


def test_a_result_in_another_container_is_named_and_left(photo: Path, kind: str, hcdcodec: Run) -> None:
    assert hcdcodec("encode", "in", "small", *FAST).status == 0
    old = Path("small/a.png.hcd.png")
    before = old.read_bytes()
    for command in ("encode", "status"):
        ran = hcdcodec(command, "in", "small", *FAST, "--container", kind)
        assert ran.status == 1
        assert f"hcdcodec: in/a.png: {old} is its result in another container; " in ran.err
        assert os.listdir("small") == [old.name]  # noqa: PTH208
    assert old.read_bytes() == before
    assert hcdcodec("encode", "in", "small", *FAST, "--container", kind, "--force").status == 0
    assert os.listdir("small") == [f"a.png.hcd.{kind}"]  # noqa: PTH208
    assert container.unpack(Path("small", f"a.png.hcd.{kind}").read_bytes()).header.width == 50


def test_a_strangers_file_is_no_result(photo: Path, hcdcodec: Run) -> None:
    stranger = Path("small/a.png.hcd.webp")
    stranger.parent.mkdir()
    Image.new("RGB", (3, 3)).save(stranger)
    for flags in ((), ("--force",)):
        assert hcdcodec("encode", "in", "small", *FAST, *flags).status == 0
        assert stranger.exists()


def test_a_name_of_the_users_own_makes_no_twin_of_another_picture(photo: Path, draw: Draw, hcdcodec: Run) -> None:
    other = photo.with_name("b.png")
    Image.fromarray(draw(24, 20, 3)).save(other)
    old, new = Path("small/x.hcd.webp"), Path("small/x.hcd.png")
    to_old, to_new = ("encode", photo, old, *FAST, "--container", "webp"), ("encode", other, new, *FAST)
    assert hcdcodec(*to_old).status == 0
    before = old.read_bytes()
    for flags in ((), ("--force",)):
        ran = hcdcodec(*to_new, *flags)
        assert (ran.status, ran.err) == (0, "")
        assert old.read_bytes() == before and new.exists()
    # Of the same content, it is a twin, whatever its name.
    new.unlink()
    other.write_bytes(photo.read_bytes())
    ran = hcdcodec(*to_new)
    assert ran.status == 1 and f"{old} is its result in another container; " in ran.err
    assert hcdcodec(*to_new, "--force").status == 0
    assert not old.exists() and new.exists()


def test_the_old_result_goes_only_after_the_new_one_is_stored(
    photo: Path, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hcdcodec("encode", "in", "small", *FAST).status == 0
    seen = list[list[str]]()

    def remove(*given: object) -> str:
        seen.append(sorted(os.listdir("small")))  # noqa: PTH208
        return remove_twins(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("hcdcodec.batch.encode_files.remove_twins", remove)
    assert hcdcodec("encode", "in", "small", *FAST, "--container", "webp", "--force").status == 0
    assert seen == [["a.png.hcd.png", "a.png.hcd.webp"]]
    Path("in/a.png").write_bytes(b"no picture")
    assert hcdcodec("encode", "in/a.png", "small/", *FAST, "--force").status == 1
    assert os.listdir("small") == ["a.png.hcd.webp"]  # noqa: PTH208


def test_two_containers_of_one_picture_meet_when_decoded(photo: Path, hcdcodec: Run) -> None:
    hcdcodec("encode", "in", "one", *FAST)
    hcdcodec("encode", "in", "one/two", *FAST, "--container", "webp")
    Path("one/two/a.png.hcd.webp").rename("one/a.png.hcd.webp")
    for time, advice in (1, "move the older one away, one/a.png.hcd.png"), (2, "move one of them away"):
        os.utime("one/a.png.hcd.png", (time, time))
        os.utime("one/a.png.hcd.webp", (2, 2))
        ran = hcdcodec("decode", "one", "out")
        assert ran.status == 1
        assert ran.err.count(f"would become out/a.png too; they are of one picture, so {advice}\n") == 2


def test_the_library(draw: Draw, kind: str) -> None:
    for pixels in (draw(20, 30), draw(20, 30, 3), draw(20, 30, 2), draw(20, 30, 4)):
        data = api.encode(pixels, backbone="bicubic", effort=0, container=kind)
        plain = api.encode(pixels, backbone="bicubic", effort=0)
        assert np.array_equal(api.decode(data), api.decode(plain))
        assert data[:4] != plain[:4]


def test_an_unknown_container_is_refused(draw: Draw, hcdcodec: Run) -> None:
    with pytest.raises(UsageError, match="no container is called 'gif'; there are png, webp, jxl"):
        api.encode(draw(20, 30), backbone="bicubic", effort=0, container="gif")
    assert hcdcodec("encode", "a", "b", "--container", "gif").status == 2


def test_a_missing_package_stops_before_any_work(photo: Path, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    ran = hcdcodec("encode", "in", "small", *FAST, "--container", "jxl")
    assert ran.status == 2
    assert ran.err == "hcdcodec: JPEG XL needs the package pillow-jxl-plugin; pip install 'hcdcodec[jxl]'\n"
    assert not Path("small").exists()


def test_a_side_too_long_for_webp_fails_before_the_search(here: Path, hcdcodec: Run) -> None:
    Image.new("L", (16384 * 4, 2)).save("wide.png")
    ran = hcdcodec("encode", "wide.png", "small/", "-b", "bicubic", "-e", "9", "--container", "webp")
    assert ran.status == 1
    assert "WebP holds at most 16383 pixels a side, and the LR has 16384 x 1; choose --container png" in ran.err
