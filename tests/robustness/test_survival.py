"""What other tools leave of a file of ours: restored exactly, or refused with a word on why, never something else.

The table in hcdcodec/docs/format.md is checked against what is expected here.
"""

import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import oxipng
import pytest
from conftest import ROOT, Draw, float32_engine
from PIL import ExifTags, Image, ImageCms

from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.errors import ContainerError
from hcdcodec.format import container
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture

PAGE = ROOT / "hcdcodec" / "docs" / "format.md"
COMMENT = png_chunks.Chunk(b"tEXt", b"Comment\0hello")
KEPT_BY_ZOPFLI = "--keepchunks=hcDC,hcDA,tEXt,iTXt,eXIf,iCCP"
ALL = "restored, all metadata"
STRIPPED = "refused: header stripped"
NO_PNG = "refused: not a PNG"
CHANGED = "refused: pixels changed"
RESIZED = "refused: resized or cropped"
NO_ALPHA = "refused: alpha chunk missing"
REFUSALS = {
    STRIPPED: "PNG carries no hcdcodec header",
    NO_PNG: "not a PNG",
    CHANGED: "the pixels were changed after encoding",
    RESIZED: "the picture was resized or cropped after encoding",
    NO_ALPHA: "the alpha chunk is missing",
}

Rewrite = Callable[[bytes, Path], bytes]


@dataclass(frozen=True)
class Tool:
    """What a tool does with a file, and what that leaves: of one without alpha, and of one with it."""

    name: str
    rewrite: Rewrite
    opaque: str
    alpha: str


def command(program: str, *arguments: str) -> Rewrite:
    """Return what runs a program; IN and OUT in its arguments are files, without OUT it works in place."""

    def rewrite(data: bytes, folder: Path) -> bytes:
        if (found := shutil.which(program)) is None:
            pytest.skip(f"{program} is not installed")
        before, after = folder / "in.png", folder / "out.png"
        before.write_bytes(data)
        named = [argument.replace("IN", str(before)).replace("OUT", str(after)) for argument in arguments]
        subprocess.run([found, *named], check=True, capture_output=True)
        return (after if "OUT" in "".join(arguments) else before).read_bytes()

    return rewrite


def oxi(strip: oxipng.StripChunks, data: bytes, folder: Path) -> bytes:
    return oxipng.optimize_from_memory(data, level=2, force=True, strip=strip)


def pillow(kind: str, data: bytes, folder: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue()


def through_imageio(data: bytes, folder: Path) -> bytes:
    return imageio.imwrite("<bytes>", imageio.imread(data), extension=".png")


MAGICK = "convert-im6.q16" if shutil.which("convert-im6.q16") else "magick"
TOOLS = (
    Tool("oxipng", partial(oxi, oxipng.StripChunks.none()), ALL, ALL),
    Tool("oxipng --strip safe", partial(oxi, oxipng.StripChunks.safe()), STRIPPED, STRIPPED),
    Tool("optipng", command("optipng", "-quiet", "-force", "-out", "OUT", "IN"), ALL, ALL),
    Tool(
        "optipng -strip all", command("optipng", "-force", "-strip", "all", "-out", "OUT", "IN"), STRIPPED, STRIPPED
    ),
    Tool("pngcrush", command("pngcrush", "-q", "-force", "IN", "OUT"), "restored, without EXIF", NO_ALPHA),
    Tool("zopflipng", command("zopflipng", "-y", "IN", "OUT"), STRIPPED, STRIPPED),
    Tool("zopflipng " + KEPT_BY_ZOPFLI, command("zopflipng", "-y", KEPT_BY_ZOPFLI, "IN", "OUT"), ALL, ALL),
    Tool("pngquant", command("pngquant", "--force", "--output", "OUT", "64", "IN"), CHANGED, CHANGED),
    Tool("exiftool -Artist=me", command("exiftool", "-q", "-Artist=me", "IN"), "restored, EXIF as edited",
         "restored, EXIF as edited"),
    Tool("exiftool -all=", command("exiftool", "-q", "-all=", "IN"), "restored, without metadata",
         "restored, without metadata"),
    Tool("ImageMagick", command(MAGICK, "IN", "OUT"), "restored, without EXIF, XMP", NO_ALPHA),
    Tool("ImageMagick -strip", command(MAGICK, "IN", "-strip", "OUT"), STRIPPED, STRIPPED),
    Tool("ImageMagick -resize", command(MAGICK, "IN", "-resize", "50%", "OUT"), RESIZED, RESIZED),
    Tool("ImageMagick to JPEG", command(MAGICK, "IN", "JPG:OUT"), NO_PNG, NO_PNG),
    Tool("GraphicsMagick", command("gm", "convert", "IN", "OUT"), "restored, without EXIF, XMP", NO_ALPHA),
    Tool("libvips copy", command("vips", "copy", "IN", "OUT"), "restored, EXIF as edited, without XMP", NO_ALPHA),
    Tool("libvips thumbnail", command("vipsthumbnail", "IN", "-s", "20", "-o", "OUT"), RESIZED, RESIZED),
    Tool("Pillow", partial(pillow, "PNG"), STRIPPED, STRIPPED),
    Tool("Pillow to lossless WebP", partial(pillow, "WEBP"), NO_PNG, NO_PNG),
    Tool("imageio", through_imageio, STRIPPED, STRIPPED),
)  # fmt: skip


@pytest.fixture(scope="module")
def metadata() -> Metadata:
    exif = Image.Exif()
    exif.update({ExifTags.Base.Make: "Maker", ExifTags.Base.Orientation: 6})
    return Metadata(
        icc=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        exif=exif.tobytes().removeprefix(b"Exif\0\0"),
        xmp=b"<?xpacket begin=''?><x:xmpmeta xmlns:x='adobe:ns:meta/'/><?xpacket end='w'?>",
        chunks=(COMMENT,),
    )


@pytest.fixture(scope="module", params=["opaque", "alpha"])
def file(request: pytest.FixtureRequest, draw: Draw, metadata: Metadata) -> tuple[str, bytes]:
    alpha = draw(125, 158, seed=1) if request.param == "alpha" else None
    picture = Picture(draw(125, 158, 3), alpha, metadata)
    (made,) = encode_pictures(float32_engine("bicubic", 4), [picture], EncodeOptions(Ste(1), quality=100))
    return request.param, container.pack(made.header, made.lr, alpha=alpha, metadata=metadata, level=1)


def verdict(data: bytes, before: bytes) -> str:
    """Say what became of a file; a file that can be read has its picture and nothing else."""
    original = container.unpack(before)
    try:
        found = container.unpack(data)
    except ContainerError as error:
        return next((name for name, words in REFUSALS.items() if str(error).startswith(words)), str(error))
    engine = float32_engine("bicubic", 4)
    one, other = decode_picture(engine, found), decode_picture(engine, original)
    assert np.array_equal(one.pixels, other.pixels)
    np.testing.assert_equal(one.alpha, other.alpha)
    return "restored, " + described(one.metadata, other.metadata)


def described(now: Metadata, before: Metadata) -> str:
    pairs = {name: (getattr(now, name.lower()), getattr(before, name.lower())) for name in ("ICC", "EXIF", "XMP")}
    lost = [name for name, (value, _) in pairs.items() if value is None]
    edited = [f"{name} as edited" for name, (value, old) in pairs.items() if value not in (None, old)]
    if len(lost) == len(pairs):
        return "without metadata"
    return ", ".join([*edited, *(["without " + ", ".join(lost)] if lost else [])]) or "all metadata"


@pytest.mark.tools
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_survival(tool: Tool, file: tuple[str, bytes], tmp_path: Path) -> None:
    kind, data = file
    after = tool.rewrite(data, tmp_path)
    assert after != data, "the tool did nothing"
    assert verdict(after, data) == getattr(tool, kind)


def test_the_table_says_what_is_tested() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for tool in TOOLS:
        assert f"| {tool.name} | {tool.opaque} | {tool.alpha} |" in text, tool.name
