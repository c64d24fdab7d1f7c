"""What other tools leave of a file of ours: restored exactly, or refused with a word on why, never something else.

The table in hcdcodec/docs/format.md is checked against what is expected here.
"""

import io
import re
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
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import container
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture

PAGE = ROOT / "hcdcodec" / "docs" / "format.md"
COMMENT = png_chunks.Chunk(b"tEXt", b"Comment\0hello")
KEPT_BY_ZOPFLI = "--keepchunks=hcDC,hcDA,tEXt,iTXt,eXIf,iCCP"
ALL = "restored, all metadata"
STRIPPED = "refused: header stripped"
NO_PNG = "refused: not a PNG, WebP or JPEG XL"
CHANGED = "refused: pixels changed"
CONVERTED = "refused: converted"
RESIZED = "refused: resized or cropped"
NO_ALPHA = "refused: alpha chunk missing"
REFUSALS = {
    STRIPPED: " carries no hcdcodec header",
    NO_PNG: "not a PNG",
    CHANGED: "the pixels were changed after encoding",
    CONVERTED: "the picture was converted after encoding",
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
    container: Container = Container.PNG


def command(program: str, *arguments: str, kind: str = "png") -> Rewrite:
    """Return what runs a program; IN and OUT in its arguments are files, without OUT it works in place."""

    def rewrite(data: bytes, folder: Path) -> bytes:
        if (found := shutil.which(program)) is None:
            pytest.skip(f"{program} is not installed")
        before, after = folder / f"in.{kind}", folder / f"out.{kind}"
        before.write_bytes(data)
        named = [re.sub("IN|OUT", lambda m: str(after if m[0] == "OUT" else before), arg) for arg in arguments]
        subprocess.run([found, *named], check=True, capture_output=True)
        return (after if "OUT" in "".join(arguments) else before).read_bytes()

    return rewrite


def oxi(strip: oxipng.StripChunks, data: bytes, folder: Path) -> bytes:
    return oxipng.optimize_from_memory(data, level=2, force=True, strip=strip)


def pillow(kind: str, data: bytes, folder: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(buffer, kind, **({"lossless": True} if kind != "PNG" else {}))
    return buffer.getvalue()


def pillow_with_exif(kind: str, data: bytes, folder: Path) -> bytes:
    pytest.importorskip("pillow_jxl")
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(buffer, kind, lossless=True, exif=image.info["exif"])
    return buffer.getvalue()


def pillow_to_heic(data: bytes, folder: Path) -> bytes:
    pytest.importorskip("pillow_heif").register_heif_opener()
    return pillow("HEIF", data, folder)


def djxl_cjxl(data: bytes, folder: Path) -> bytes:
    between = str(folder / "between.png")
    command("djxl", "IN", between, kind="jxl")(data, folder)
    return command("cjxl", "-d", "0", between, "OUT", kind="jxl")(data, folder)


def through_imageio(data: bytes, folder: Path) -> bytes:
    return imageio.imwrite("<bytes>", imageio.imread(data), extension=".png")


WEBP, JXL = Container.WEBP, Container.JXL
in_webp, in_jxl = partial(command, kind="webp"), partial(command, kind="jxl")
LOSSLESS = ("-define", "webp:lossless=true")
EDITED, NO_XMP, BARE = "restored, EXIF as edited", "restored, without XMP", "restored, without metadata"
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
    Tool("Pillow to lossless WebP", partial(pillow, "WEBP"), STRIPPED, STRIPPED),
    Tool("Pillow to AVIF", partial(pillow, "AVIF"), NO_PNG, NO_PNG),
    Tool("Pillow to HEIC", pillow_to_heic, NO_PNG, NO_PNG),
    Tool("Pillow to lossless JPEG XL", partial(pillow_with_exif, "JXL"), STRIPPED, STRIPPED),
    Tool("imageio", through_imageio, STRIPPED, STRIPPED),
    Tool("cwebp -lossless", in_webp("cwebp", "-quiet", "-lossless", "IN", "-o", "OUT"), STRIPPED, STRIPPED, WEBP),
    Tool("cwebp -lossless -metadata all",
         in_webp("cwebp", "-quiet", "-lossless", "-metadata", "all", "IN", "-o", "OUT"), ALL, NO_ALPHA, WEBP),
    Tool("cwebp -q 90", in_webp("cwebp", "-quiet", "-q", "90", "-metadata", "all", "IN", "-o", "OUT"),
         CONVERTED, CONVERTED, WEBP),
    Tool("webpmux -strip xmp", in_webp("webpmux", "-strip", "xmp", "IN", "-o", "OUT"), NO_XMP, NO_XMP, WEBP),
    Tool("exiftool -Artist=me on WebP", in_webp("exiftool", "-q", "-Artist=me", "IN"), EDITED, EDITED, WEBP),
    Tool("exiftool -all= on WebP", in_webp("exiftool", "-q", "-all=", "IN"), BARE, BARE, WEBP),
    Tool("ImageMagick on WebP", in_webp(MAGICK, "-quiet", "IN", *LOSSLESS, "OUT"),
         "restored, EXIF as edited, without XMP", NO_ALPHA, WEBP),
    Tool("ImageMagick -strip on WebP", in_webp(MAGICK, "-quiet", "IN", "-strip", *LOSSLESS, "OUT"), STRIPPED, STRIPPED,
         WEBP),
    Tool("ImageMagick -resize on WebP", in_webp(MAGICK, "-quiet", "IN", "-resize", "50%", *LOSSLESS, "OUT"), RESIZED,
         RESIZED, WEBP),
    Tool("libvips copy to lossless WebP", in_webp("vips", "copy", "IN", "OUT[lossless=true]"), STRIPPED, STRIPPED,
         WEBP),
    Tool("Pillow on WebP", partial(pillow, "WEBP"), STRIPPED, STRIPPED, WEBP),
    Tool("Pillow on WebP, with exif=", partial(pillow_with_exif, "WEBP"), "restored, without ICC, XMP", NO_ALPHA, WEBP),
    Tool("exiftool -Artist=me on JPEG XL", in_jxl("exiftool", "-q", "-Artist=me", "IN"), EDITED, EDITED, JXL),
    Tool("exiftool -all= on JPEG XL", in_jxl("exiftool", "-q", "-all=", "IN"), "restored, without EXIF, XMP",
         "restored, without EXIF, XMP", JXL),
    Tool("djxl, then cjxl -d 0", djxl_cjxl, STRIPPED, STRIPPED, JXL),
    Tool("libvips copy to lossless JPEG XL", in_jxl("vips", "copy", "IN", "OUT[lossless=true]"), STRIPPED, STRIPPED,
         JXL),
    Tool("Pillow on JPEG XL", partial(pillow, "JXL"), STRIPPED, STRIPPED, JXL),
    Tool("Pillow on JPEG XL, with exif=", partial(pillow_with_exif, "JXL"), "restored, without ICC, XMP", NO_ALPHA,
         JXL),
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


Make = Callable[[Container], bytes]


@pytest.fixture(scope="module", params=["opaque", "alpha"])
def file(request: pytest.FixtureRequest, draw: Draw, metadata: Metadata) -> tuple[str, Make]:
    alpha = draw(125, 158, seed=1) if request.param == "alpha" else None
    picture = Picture(draw(125, 158, 3), alpha, metadata)
    (made,) = encode_pictures(float32_engine("bicubic", 4), [picture], EncodeOptions(Ste(1), quality=100))
    pack = partial(container.pack, made.header, made.lr, alpha=alpha, metadata=metadata, level=1)
    return request.param, lambda kind: pack(kind=kind)


def verdict(data: bytes, before: bytes) -> str:
    """Say what became of a file; a file that can be read has its picture and nothing else."""
    original = container.unpack(before)
    try:
        found = container.unpack(data)
    except ContainerError as error:
        return next((name for name, words in REFUSALS.items() if words in str(error)), str(error))
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
def test_survival(tool: Tool, file: tuple[str, Make], tmp_path: Path) -> None:
    kind, make = file
    if tool.container is JXL:
        pytest.importorskip("pillow_jxl")
    data = make(tool.container)
    after = tool.rewrite(data, tmp_path)
    assert after != data, "the tool did nothing"
    assert verdict(after, data) == getattr(tool, kind)


def test_the_table_says_what_is_tested() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for tool in TOOLS:
        assert f"| {tool.name} | {tool.opaque} | {tool.alpha} |" in text, tool.name
