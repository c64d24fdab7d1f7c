"""The page of pictures: its text, its files, and what a browser shows of it."""

import base64
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from browser import CHROMIUM, Tab, browsing
from conftest import Draw, Run
from PIL import ExifTags, Image, ImageCms, ImageOps

from hcdcodec.compare.exhibit import Exhibit, Heading, Measure, Role, Table, Version
from hcdcodec.compare.page import page_at
from hcdcodec.errors import UsageError
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, expand

HEIGHT, WIDTH = 93, 130  # no multiple of the scale, so the enlarged LR goes beyond the original
WIDTHS = (1400, 390)
HEADING = Heading("pictures")


@pytest.fixture
def exhibit(draw: Draw) -> Exhibit:
    return drawn(draw, HEIGHT, WIDTH)


def drawn(draw: Draw, height: int, width: int) -> Exhibit:
    """Return one picture in four versions that differ everywhere."""
    original = draw(height, width, 3)
    decoded = (original + np.arange(width)[:, None] % 50 - 25).clip(0, 255).astype(np.uint8)
    measures = Measure("PSNR (dB)", 30.0), Measure("bpp", 1.5, 3, least_is_worst=False)
    return Exhibit(
        "a.png",
        (
            Version(Role.ORIGINAL, "original", original, 40_000),
            Version(Role.DECODED, "decoded", decoded, 4_000, "crn x4, quality 75", measures),
            Version(Role.LR, "LR", draw(-(-height // 4), -(-width // 4), 3, seed=2), 4_000, scale=4),
            Version(Role.RIVAL, "AVIF", draw(height, width, 3, seed=3), 3_900, "quality 30", measures),
        ),
    )


def named(exhibit: Exhibit, name: str, psnr: float | None) -> Exhibit:
    """Return an exhibit with another name and another PSNR."""
    original, decoded, *others = exhibit.versions
    return Exhibit(name, (original, replace(decoded, measures=(Measure("PSNR (dB)", psnr),)), *others))


def write(target: Path | str, *exhibits: Exhibit, heading: Heading = HEADING) -> str:
    """Write a page, and return its text."""
    page = page_at(str(target))
    for exhibit in exhibits:
        page.add(exhibit)
    page.write(heading)
    return page.file.read_text()


def embedded(text: str) -> list[Image.Image]:
    """Return the pictures that a page holds."""
    return [
        Image.open(io.BytesIO(base64.b64decode(code))) for code in re.findall(r"data:image/\w+;base64,([^\"]+)", text)
    ]


def test_each_picture_is_embedded_once_and_unchanged(exhibit: Exhibit, tmp_path: Path) -> None:
    pictures = embedded(write(tmp_path / "page.html", exhibit))
    assert len(pictures) == len(exhibit.versions)
    for picture, version in zip(pictures, exhibit.versions, strict=True):
        assert np.array_equal(np.asarray(picture.convert("RGB")), version.pixels)


def test_the_page_needs_nothing_from_elsewhere(exhibit: Exhibit, tmp_path: Path) -> None:
    text = write(tmp_path / "page.html", exhibit)
    assert not re.search(r"https?:|@import|url\(|<link|src=\"(?!data:)", text)


def test_the_worst_picture_comes_first(exhibit: Exhibit, tmp_path: Path) -> None:
    figures = {"fine.png": 40.0, "exact.png": float("inf"), "unknown.png": None, "worst.png": 20.5}
    text = write(tmp_path / "page.html", *(named(exhibit, name, psnr) for name, psnr in figures.items()))
    order = ["worst.png", "fine.png", "exact.png", "unknown.png"]
    assert re.findall(r'<tr><th scope="row"><a href="#picture-\d">(.*?)</a>', text) == order
    assert re.findall(r'<h2><a href="#picture-\d">(.*?)</a>', text) == order
    assert "no error" in text
    # What is exact is left out of the mean.
    assert re.search(r"<tfoot>.*?>30\.25</td>", text)


def test_bytes_shares_and_settings_stand_on_the_page(exhibit: Exhibit, tmp_path: Path) -> None:
    table = Table("means", ("codec", "share"), (("AVIF", "9.8 %"),))
    heading = Heading("try", ("It takes 10 %.",), (table,))
    text = write(tmp_path / "page.html", exhibit, named(exhibit, "b.png", None), heading=heading)
    for expected in ("40.0 kB", "4.00 kB", "10.0 %", "crn x4, quality 75", "30.00", "1.500", "It takes 10 %.", "9.8 %"):
        assert expected in text
    total, share = re.findall(r"<tfoot>.*?<td[^>]*>(.*?)</td><td[^>]*>(.*?)</td>", text)[0]
    assert (total, share) == ("8.00 kB", "10.0 %")


def test_names_are_escaped_and_without_their_folders(exhibit: Exhibit, tmp_path: Path) -> None:
    name = f'{tmp_path}/<img src="x" onerror="alert(1)">\x1b\udcff.png'
    text = write(tmp_path / "page.html", named(exhibit, name, 30.0))
    assert str(tmp_path) not in text and '<img src="x"' not in text
    assert "&lt;img src=" in text and r"\x1b\xff.png" in text


def photo(path: Path, pixels: Levels, orientation: int) -> bytes:
    """Save a JPEG as a phone would: with a position, a thumbnail, a profile and an orientation; return its profile."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (51.0, 30.0, 26.0)}
    exif[ExifTags.Base.Make] = "camera of a phone"
    Image.fromarray(pixels).save(path, quality=95, exif=exif, icc_profile=profile)
    return profile


def test_pictures_carry_their_profile_and_no_other_metadata(hcdcodec: Run, draw: Draw, here: Path) -> None:
    profile = photo(here / "a.jpg", draw(HEIGHT, WIDTH, 3), 6)
    assert b"camera of a phone" in (here / "a.jpg").read_bytes()
    assert hcdcodec("compare", here / "a.jpg", here / "a.jpg", "--html", "page.html").status == 0
    text = (here / "page.html").read_text()
    pictures = embedded(text)
    assert str(here) not in text and len(pictures) == 2
    for picture in pictures:
        assert picture.size == (HEIGHT, WIDTH), "it lies on its side"
        assert set(picture.info) <= {"icc_profile", "loop", "background", "timestamp", "duration"}
        assert picture.info["icc_profile"] == profile and not picture.getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright_as_in_a_viewer(exhibit: Exhibit, tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    metadata = Metadata(exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    picture = embedded(write(tmp_path / "page.html", replace(exhibit, metadata=metadata)))[0]
    buffer = io.BytesIO()
    Image.fromarray(exhibit.versions[0].pixels).save(buffer, "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(buffer))
    assert np.array_equal(np.asarray(picture), np.asarray(upright))


def test_damaged_exif_leaves_a_picture_as_it_is_stored(exhibit: Exhibit, tmp_path: Path) -> None:
    pictures = embedded(write(tmp_path / "page.html", replace(exhibit, metadata=Metadata(exif=b"II*\0\xff\xff\xff"))))
    assert pictures[0].size == (WIDTH, HEIGHT)


def test_sides_too_long_for_webp_are_shown_as_png(tmp_path: Path) -> None:
    pixels = np.arange(16384, dtype=np.uint8)[None]
    picture = embedded(write(tmp_path / "page.html", Exhibit("a", (Version(Role.ORIGINAL, "original", pixels),))))[0]
    assert picture.format == "PNG" and np.array_equal(np.asarray(picture), expand(pixels))


def test_a_folder_has_files_that_load_when_they_are_seen(exhibit: Exhibit, tmp_path: Path) -> None:
    text = write(f"{tmp_path}/page/", exhibit, named(exhibit, "b.png", 20.0))
    urls = re.findall(r'<img loading="lazy" src="(.*?)"', text)
    assert urls[0] == "index_files/0002-1-original.webp" and len(urls) == 8
    for url in urls:
        Image.open(tmp_path / "page" / url).verify()
    assert write(tmp_path / "page", exhibit).count("<img") == 4, "our own page was not replaced"


@pytest.mark.parametrize("given", ["page/", "page/.", "page//"])
def test_a_name_that_only_a_folder_can_have_is_a_folder(here: Path, given: str) -> None:
    assert page_at(given).file == Path("page/index.html")


def test_a_page_of_something_else_stays(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html>my holidays</html>")
    for given in (tmp_path, tmp_path / "index.html"):
        with pytest.raises(UsageError, match="something else than a page of ours; write the report elsewhere"):
            page_at(str(given))
    (tmp_path / "index.html").write_bytes(b"")  # as mktemp makes it
    assert page_at(str(tmp_path / "index.html")).file == tmp_path / "index.html"


@pytest.mark.parametrize("page", [None, b"", b"<html>my holidays</html>"])
def test_files_of_something_else_stay_in_their_folder(exhibit: Exhibit, here: Path, page: bytes | None) -> None:
    (own := here / "page/index_files/0001-1-original.webp").parent.mkdir(parents=True)
    own.write_bytes(b"my holidays")
    if page is not None:
        (here / "page/index.html").write_bytes(page)
    with pytest.raises(UsageError, match="something else than a page of ours"):
        write("page/", exhibit)
    assert own.read_bytes() == b"my holidays"


def test_an_interrupted_page_is_made_again(exhibit: Exhibit, here: Path) -> None:
    page_at("page/").add(exhibit)  # and no `write`
    assert "not finished" in Path("page/index.html").read_text()
    assert "not finished" not in write("page/", exhibit)


def test_the_folder_of_a_page_is_as_closed_as_those_of_its_pictures(exhibit: Exhibit, here: Path) -> None:
    for name, mode in ("open", 0o755), ("closed", 0o700):
        Path(name).mkdir(mode)
        Path(name, "a.png").touch()
    page_at("page/", [Path("open/a.png"), Path("closed/a.png")]).add(exhibit)
    assert all(Path(name).stat().st_mode & 0o077 == 0 for name in ("page", "page/index_files"))


def test_compare_writes_a_folder(hcdcodec: Run, draw: Draw, here: Path) -> None:
    (here / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(draw(HEIGHT, WIDTH, 3, seed=ord(name[0]))).save(here / "in" / name)
    run = hcdcodec("encode", "--backbone", "bicubic", "--effort", "0", "in", "small/")
    assert run.status == 0, run.err
    left = [here / folder / ".hcd-0123456789abcdef.tmp" for folder in ("page", "page/index_files", ".")]
    for path in left:  # as a killed run leaves it
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    assert hcdcodec("compare", "in", "small", "--html", "page/").status == 0
    assert hcdcodec("compare", "in/a.png", "small/a.png.hcd.png", "--picture", "sheet.png").status == 0
    assert not any(path.exists() for path in left)
    text = (here / "page/index.html").read_text()
    assert len(list((here / "page/index_files").iterdir())) == 6
    assert "bicubic x4, quality" in text and "33x24" in text


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A tab of a real browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    with browsing(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@dataclass(frozen=True)
class Stage:
    """Where the first viewer shows its picture: CSS pixels of the window, and how large one picture pixel is."""

    x: float
    y: float
    width: float
    height: float
    left: float
    top: float
    unit: float

    def at(self, across: float, down: float) -> tuple[float, float]:
        """Return a point of the window, from shares of the stage."""
        return self.x + across * self.width, self.y + down * self.height


def stage_of(tab: Tab) -> Stage:
    """Bring the first viewer into view, and tell where it is."""
    tab.value("viewers[0].section.scrollIntoView()")
    tab.value("var shown = viewers[0], box = shown.stage.getBoundingClientRect()")
    lengths = "['--left', '--top'].map(name => parseFloat(shown.stage.style.getPropertyValue(name)))"
    return Stage(*tab.value(f"[box.x, box.y, box.width, box.height, ...{lengths}, shown.unit]"))


def check_sides(tab: Tab, left: Levels, right: Levels) -> None:
    """Check that the screen shows one picture left of the line, the other one right of it, and no other samples.

    Rows at the labels, the knob and the round corners are left out, and columns at the line.
    """
    stage, shot = stage_of(tab), tab.screenshot()
    x = stage.left + (np.arange(left.shape[1]) + 0.5) * stage.unit
    y = stage.top + (np.arange(left.shape[0]) + 0.5) * stage.unit
    rows = (y > 40) & (y < stage.height - 6) & (abs(y - stage.height / 2) > 40)
    split = tab.value("shown.split / 100") * stage.width
    on_screen = shot[(stage.y + y[rows]).astype(int)]
    for picture, columns in ((left, (x > 0) & (x < split - 4)), (right, (x > split + 4) & (x < stage.width))):
        shown, expected = on_screen[:, (stage.x + x[columns]).astype(int)], picture[rows][:, columns]
        assert shown.size > 1000
        assert np.array_equal(shown, expected)


def show(tab: Tab, page: Path, width: int) -> None:
    """Show a page in a window of this width; the narrow one is a phone's."""
    tab.open(page, width, 1000, touch=width == min(WIDTHS))


@pytest.mark.tools
@pytest.mark.parametrize("width", WIDTHS)
def test_the_line_is_dragged_across_two_pictures(tab: Tab, exhibit: Exhibit, tmp_path: Path, width: int) -> None:
    write(tmp_path / "page.html", exhibit)
    show(tab, tmp_path / "page.html", width)
    assert tab.value("document.documentElement.scrollWidth") <= width, "the page is wider than the window"
    original, decoded = (version.pixels for version in exhibit.versions[:2])
    check_sides(tab, original, decoded)
    stage = stage_of(tab)
    pull = tab.swipe if width == min(WIDTHS) else tab.drag
    pull(stage.at(0.5, 0.5), stage.at(0.25, 0.6))
    assert tab.value("viewers[0].split") == pytest.approx(25, abs=1)
    check_sides(tab, original, decoded)


@pytest.mark.tools
def test_keys_choose_what_both_sides_show(tab: Tab, exhibit: Exhibit, tmp_path: Path) -> None:
    write(tmp_path / "page.html", exhibit)
    show(tab, tmp_path / "page.html", 1400)
    original, decoded, lr, rival = (version.pixels for version in exhibit.versions)
    enlarged = lr.repeat(4, 0).repeat(4, 1)[:HEIGHT, :WIDTH]
    for key, expected in enumerate((original, decoded, enlarged, rival), 1):
        tab.press(str(key), f"Digit{key}")
        check_sides(tab, original, expected)
    tab.press("@", "Digit2", shift=True)
    check_sides(tab, decoded, rival)
    labels = tab.value("[...document.querySelectorAll('.chip')].map(chip => chip.textContent)")
    assert labels == ["decoded", "AVIF"]


@pytest.mark.tools
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("button", "gain"), [(0, 2), (1, 4), (2, 8)])
def test_errors_are_amplified_by_the_browser(
    tab: Tab, exhibit: Exhibit, tmp_path: Path, width: int, button: int, gain: int
) -> None:
    write(tmp_path / "page.html", exhibit)
    show(tab, tmp_path / "page.html", width)
    tab.press("e", "KeyE")
    tab.value(f"viewers[0].gain.buttons[{button}].click()")
    original, decoded = (version.pixels for version in exhibit.versions[:2])
    error = (gain * abs(original.astype(int) - decoded)).clip(0, 255).astype(np.uint8)
    check_sides(tab, original, error)
    assert tab.value("document.querySelector('.chip.second').textContent") == f"error of decoded, x{gain}"


@pytest.mark.tools
@pytest.mark.parametrize("width", WIDTHS)
def test_both_sides_zoom_and_move_together(tab: Tab, draw: Draw, tmp_path: Path, width: int) -> None:
    exhibit = drawn(draw, 360, 520)
    write(tmp_path / "page.html", exhibit)
    show(tab, tmp_path / "page.html", width)
    original, decoded = (version.pixels for version in exhibit.versions[:2])
    tab.press("z", "KeyZ")
    assert stage_of(tab).unit == 1
    check_sides(tab, original, decoded)
    tab.press("z", "KeyZ")
    before = stage_of(tab)
    assert before.unit == 4
    pull = tab.swipe if width == min(WIDTHS) else tab.drag
    pull(before.at(0.8, 0.8), before.at(0.6, 0.7))
    after = stage_of(tab)
    moved = after.left - before.left, after.top - before.top
    assert moved == pytest.approx((-0.2 * before.width, -0.1 * before.height), abs=1)
    assert tab.value("viewers[0].split") == 50
    check_sides(tab, original, decoded)


@pytest.mark.tools
def test_a_double_click_zooms_to_its_place(tab: Tab, draw: Draw, tmp_path: Path) -> None:
    write(tmp_path / "page.html", drawn(draw, 300, 1500))
    show(tab, tmp_path / "page.html", 1400)
    stage = stage_of(tab)
    assert stage.unit < 1
    tab.click(stage.at(0.6, 0.5), count=2)
    after = stage_of(tab)
    assert after.unit == 1
    assert (after.width / 2 - after.left) / 1500 == pytest.approx(0.6, abs=0.01)


@pytest.mark.tools
def test_the_arrow_keys_move_the_line(tab: Tab, exhibit: Exhibit, tmp_path: Path) -> None:
    write(tmp_path / "page.html", exhibit)
    show(tab, tmp_path / "page.html", 1400)
    tab.value("viewers[0].handle.focus()")
    for key, expected in (("ArrowLeft", "48"), ("End", "100"), ("Home", "0"), ("ArrowRight", "2")):
        tab.press(key, key)
        assert tab.value("viewers[0].handle.getAttribute('aria-valuenow')") == expected


@pytest.mark.tools
def test_the_table_sorts_itself_and_the_pictures(tab: Tab, exhibit: Exhibit, tmp_path: Path) -> None:
    figures = {"b10.png": 40.0, "b9.png": float("inf"), "c.png": None, "a.png": 20.5}
    write(tmp_path / "page.html", *(named(exhibit, name, psnr) for name, psnr in figures.items()))
    show(tab, tmp_path / "page.html", 1400)
    worst_first = ["a.png", "b10.png", "b9.png", "c.png"]
    assert order(tab) == (worst_first, worst_first)
    by_name, by_psnr = ["a.png", "b9.png", "b10.png", "c.png"], ["b9.png", "b10.png", "a.png", "c.png"]
    for column, clicks, expected in ((0, 1, by_name), (3, 2, by_psnr)):
        for _ in range(clicks):
            tab.value(f"document.querySelectorAll('.overview thead button')[{column}].click()")
        assert order(tab) == (expected, expected)


def order(tab: Tab) -> tuple[list[str], list[str]]:
    """Return the names in the table and above the pictures."""
    rows, heads = (
        f"[...document.querySelectorAll('{part}')].map(e => e.textContent)" for part in (".overview a", "h2")
    )
    return tab.value(rows), tab.value(heads)


@pytest.mark.tools
def test_pictures_of_a_folder_load_when_they_are_seen(tab: Tab, draw: Draw, tmp_path: Path) -> None:
    exhibit = drawn(draw, 150, 150)
    write(f"{tmp_path}/", *(named(exhibit, f"{number}.png", 20.0) for number in range(12)))
    show(tab, tmp_path / "index.html", 1400)
    original, decoded = (version.pixels for version in exhibit.versions[:2])
    check_sides(tab, original, decoded)
    widths = "[...viewers[11].stage.querySelectorAll('img')].map(image => image.naturalWidth)"
    assert tab.value(widths) == [0, 0]
    tab.value("viewers[11].section.scrollIntoView()")
    tab.screenshot()
    tab.value("Promise.all([...viewers[11].stage.querySelectorAll('img')].map(image => image.decode()))")
    assert tab.value(widths) == [150, 150]


@pytest.mark.tools
def test_a_page_is_complete_without_scripts(tab: Tab, exhibit: Exhibit, tmp_path: Path) -> None:
    write(tmp_path / "page.html", exhibit)
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        show(tab, tmp_path / "page.html", 1400)
        colours = numbered(tab.frame())
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
    for version in exhibit.versions:
        assert np.isin(numbered(version.pixels), colours).all(), f"{version.name} is not on the screen"


def numbered(pixels: Levels) -> npt.NDArray[np.int64]:
    """Return the colours of a picture, each as one number."""
    return np.unique(pixels.astype(np.int64) @ (1 << 16, 1 << 8, 1))


@pytest.mark.tools
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_dark_where_the_reader_likes_it(tab: Tab, exhibit: Exhibit, tmp_path: Path, width: int) -> None:
    write(tmp_path / "page.html", exhibit)
    means = {}
    for scheme in ("light", "dark"):
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        show(tab, tmp_path / "page.html", width)
        means[scheme] = tab.screenshot()[:8, :8].mean()
    assert means["light"] > 240 and means["dark"] < 40
