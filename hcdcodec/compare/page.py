"""Write pictures beside each other as an HTML page that needs nothing from elsewhere.

The page is complete without scripts: tables and pictures, the worst first. assets/page.js makes a viewer of each
picture: two versions on either side of a line that can be dragged, zoom, and the amplified error, which the browser
computes from the two pictures.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path, PurePath

from jinja2 import Environment

from hcdcodec.compare.exhibit import Exhibit, Heading, Role, Version
from hcdcodec.compare.overview import Numbers, cells_of, titles_of, totals_of
from hcdcodec.compare.placing import embed, put_beside
from hcdcodec.errors import UsageError
from hcdcodec.files import disk
from hcdcodec.files.find import is_file, is_temporary, means_directory
from hcdcodec.files.names import printable
from hcdcodec.files.permissions import representatives
from hcdcodec.pictures.orientation import read_orientation, turn

_ASSETS = resources.files("hcdcodec.compare") / "assets"


@dataclass(frozen=True)
class Hung:
    """A version whose picture has its place. Width and height are those of the original, or of an enlarged LR."""

    role: Role
    name: str
    url: str
    width: int
    height: int
    settings: str
    numbers: Numbers


@dataclass(frozen=True)
class Section:
    """The part of a page about one exhibit.

    `judged` stands in the table of all exhibits. An enlarged LR goes beyond the original at the `spare` sides.
    """

    anchor: str
    name: str
    width: int
    height: int
    spare: str
    versions: tuple[Hung, ...]
    judged: Hung


class Page:
    """A page in the making. Pictures are encoded as they come, so that only their files stay in memory."""

    def __init__(self, file: Path, pictures: Path | None = None, sources: Iterable[Path] = ()) -> None:
        """Begin a page.

        Args:
            file: the HTML file.
            pictures: folder for the files of the pictures, in the folder of `file` or below; None puts the pictures
                into the page itself.
            sources: files of the pictures. All files of the page are as closed as the most closed of these.
        """
        self.file, self._pictures, self._sources = file, pictures, representatives(sources)
        self._sections: list[Section] = []

    def add(self, exhibit: Exhibit) -> None:
        """Add a picture with its versions.

        Raises:
            OutputError: a file beside the page cannot be stored.
        """
        if self._pictures is not None and not _is_page(self.file):
            # First, so that an interrupted run leaves a page by which the next one knows the folder of its pictures.
            disk.write_atomic(self.file, _UNFINISHED, sources=self._sources)
        number, metadata = len(self._sections) + 1, exhibit.metadata
        orientation = read_orientation(metadata.exif or b"")
        icc = metadata.icc if metadata.has_rgb_profile else None
        upright = [replace(version, pixels=turn(version.pixels, orientation)) for version in exhibit.versions]
        urls = [
            self._place(f"{number:04}-{key}-{version.name}", version, icc) for key, version in enumerate(upright, 1)
        ]
        hung = tuple(_hang(version, upright[0], url) for version, url in zip(upright, urls, strict=True))
        judged = min(hung, key=lambda version: _PRECEDENCE.index(version.role))
        height, width = upright[0].pixels.shape[:2]
        name, spare = _shown_name(exhibit.name), _SPARE_SIDES.get(orientation, "")
        self._sections.append(Section(f"picture-{number}", name, width, height, spare, hung, judged))

    def write(self, heading: Heading) -> None:
        """Write the page, with the worst picture first.

        Raises:
            OutputError: the file cannot be stored.
        """
        sections = sorted(self._sections, key=lambda section: -section.judged.numbers.badness)
        environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        environment.globals.update(titles_of=titles_of, cells_of=cells_of, totals_of=totals_of)
        style, script = _read("page.css"), _read("page.js")
        template = environment.from_string(_read("page.html"))
        text = template.render(heading=heading, sections=sections, style=style, script=script)
        for folder in filter(None, (self.file.parent, self._pictures)):
            disk.sweep(folder)
        disk.write_atomic(self.file, text.encode(), sources=self._sources)

    def _place(self, stem: str, version: Version, icc: bytes | None) -> str:
        if self._pictures is None:
            return embed(version.pixels, icc)
        return put_beside(self.file, self._pictures, stem, version.pixels, icc, self._sources)


_MARK, _HEAD = b'<meta name="generator" content="hcdcodec">', 1024
"""By this our pages are known. It stands in their first bytes."""

_UNFINISHED = b"<!DOCTYPE html>%s<title>hcdcodec</title>This page is not finished; start the command again.\n" % _MARK

_PRECEDENCE = (Role.DECODED, Role.RIVAL, Role.LR, Role.ORIGINAL)
"""Which version stands in the table of all pictures: the first of the first role that there is."""

_SPARE_SIDES = {2: "left", 3: "left top", 4: "top", 6: "left", 7: "left top", 8: "top"}
"""Where an LR that was turned upright goes beyond the original, by orientation; elsewhere it is right and bottom."""


def page_at(given: str, sources: Iterable[Path] = ()) -> Page:
    """Begin the page that a user has asked for: in a folder, if the name can only be that of a folder.

    Args:
        given: the name.
        sources: as for `Page`.

    Raises:
        UsageError: files that are not ours stand where the page or its pictures go.
    """
    path = Path(given)
    file, pictures = (path / "index.html", path / "index_files") if means_directory(given) else (path, None)
    disk.check_place(file, _MARK, within=_HEAD, kind="page")
    if pictures is not None and not _is_page(file) and _holds_files(pictures):
        words = f"{printable(str(pictures))} holds files of something else than a page of ours"
        raise UsageError(f"{words}; move it away, or write the report elsewhere")
    return Page(file, pictures, sources)


def _is_page(file: Path) -> bool:
    return is_file(file) and _MARK in disk.read_head(file, _HEAD)


def _holds_files(folder: Path) -> bool:
    with suppress(OSError):  # there is no folder, or writing into it will say what is wrong
        return not all(is_temporary(path.name) for path in folder.iterdir())
    return False


def _hang(version: Version, original: Version, url: str) -> Hung:
    height, width = (version.scale * side for side in version.pixels.shape[:2])
    numbers = Numbers(version.bytes, original.bytes, version.measures)
    return Hung(version.role, version.name, url, width, height, version.settings, numbers)


def _shown_name(name: str) -> str:
    """Return a name that nobody minds to pass on: without the folders of an absolute path."""
    return printable(PurePath(name).name if PurePath(name).is_absolute() else name)


def _read(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
