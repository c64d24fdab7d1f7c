"""hcdcodec/docs/decode.py restores what hcdcodec restores, and stays what it promises to be."""

import ast
import importlib.util
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Draw
from PIL import ExifTags, Image

from hcdcodec import decode
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.engine import engine_for
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import container
from hcdcodec.networks.manifest import installed
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures import png_chunks, png_text
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture, split

SCRIPT = ROOT / "hcdcodec/docs/decode.py"
GOLDEN = sorted(path for path in (ROOT / "tests/golden").glob("*.hcd.*") if "crn" in path.name or "irn" in path.name)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The script as a module, in a folder with all shipped weights under names that say nothing."""
    folder = tmp_path_factory.mktemp("archive")
    for number, (path, _) in enumerate(installed()):
        shutil.copy(path, folder / f"{number}.safetensors")
    shutil.copy(SCRIPT, folder)
    about = importlib.util.spec_from_file_location("reference_decoder", folder / "decode.py")
    assert about and about.loader
    module = importlib.util.module_from_spec(about)
    about.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make(draw: Draw) -> Callable[..., bytes]:
    """A function that makes a small file."""

    def made(
        name: str = "crn", scale: int = 4, channels: int = 3, kind: Container = Container.PNG, **tiles: Any
    ) -> bytes:
        pixels = draw(25, 43, channels)
        picture = Picture(*split(pixels))
        (encoded,) = encode_pictures(engine_for(load_backbone(name, scale)), [picture], EncodeOptions(Ste(0)))
        header = replace(encoded.header, **tiles)
        return container.pack(header, encoded.lr, alpha=picture.alpha, metadata=Metadata(), level=0, kind=kind)

    return made


def check(reference: Any, data: bytes) -> None:
    got, expected = reference.decode(data), decode(data)
    assert got.shape == expected.shape and got.dtype == np.uint8
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_it_is_one_short_file_on_numpy_and_pillow() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 150
    names = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    assert names - sys.stdlib_module_names == {"numpy", "PIL"}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_it_decodes_golden_files(reference: Any, path: Path) -> None:
    check(reference, path.read_bytes())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [Container.PNG, Container.WEBP])
def test_it_decodes_grey_and_alpha(reference: Any, make: Callable[..., bytes], channels: int, kind: Container) -> None:
    check(reference, make(channels=channels, kind=kind))


@pytest.mark.parametrize(("name", "scale"), [("crn", 4), ("crn", 2), ("irn", 2)])
def test_it_decodes_tiles(reference: Any, make: Callable[..., bytes], name: str, scale: int) -> None:
    """With crn a halo of 1 changes pixels, so this shows that the tiles are the header's."""
    data = make(name, scale, tile=6, halo=1)
    check(reference, data)
    whole = decode(make(name, scale))
    assert np.abs(decode(data).astype(int) - whole).max() > 1


def test_it_finds_the_header_in_its_copies(reference: Any, make: Callable[..., bytes]) -> None:
    chunks = [chunk for chunk in png_chunks.walk(make()) if chunk.type != b"hcDC"]
    check(reference, png_chunks.build(chunks))
    (text,) = [chunk.payload.partition(b"\0")[2] for chunk in chunks if chunk.type == b"tEXt"]
    packed = png_chunks.Chunk(b"zTXt", b"hcdcodec\0\0" + zlib.compress(text))
    assert png_text.read_text(packed, limit=1000) == text
    check(reference, png_chunks.build(packed if chunk.type == b"tEXt" else chunk for chunk in chunks))
    packed = png_chunks.Chunk(b"iTXt", b"hcdcodec\0\1\0en\0\0" + zlib.compress(text))
    check(reference, png_chunks.build(packed if chunk.type == b"tEXt" else chunk for chunk in chunks))
    webp = make(kind=Container.WEBP)
    check(reference, webp.replace(b"hcDC", b"junk"))


def test_it_refuses_what_it_cannot_decode(reference: Any, make: Callable[..., bytes]) -> None:
    data = make()
    with pytest.raises(SystemExit, match="with a header of hcdcodec"):
        reference.decode(b"\x89PNG and nothing more")
    with pytest.raises(SystemExit, match="this file has others"):
        reference.decode(make("bicubic"))
    header = png_chunks.Chunk(b"hcDC", replace(container.peek(data), model_hash=bytes(16)).to_bytes())
    with pytest.raises(SystemExit, match="no weights 0000"):
        reference.decode(png_chunks.build(header if c.type == b"hcDC" else c for c in png_chunks.walk(data)))
    other = next(c for c in png_chunks.walk(make(channels=1)) if c.type == b"hcDC")
    with pytest.raises(SystemExit, match="pixels were changed"):
        reference.decode(png_chunks.build(other if c.type == b"hcDC" else c for c in png_chunks.walk(data)))
    chunks = [c for c in png_chunks.walk(make(channels=4)) if c.type != b"hcDA"]
    with pytest.raises(SystemExit, match="the alpha plane is missing"):
        reference.decode(png_chunks.build(chunks))


def test_broken_files_beside_the_weights_do_not_matter(reference: Any, make: Callable[..., bytes]) -> None:
    folder = Path(reference.__file__).parent
    (folder / "._a.safetensors").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")  # as macOS makes it
    (folder / "-empty.safetensors").write_bytes(b"")
    (folder / "-cut.safetensors").write_bytes((folder / "0.safetensors").read_bytes()[:-8])
    check(reference, make())


@pytest.mark.parametrize("kind", [Container.PNG, Container.WEBP])
def test_exif_comes_back_without_the_copy_of_the_header(
    reference: Any, make: Callable[..., bytes], kind: Container, tmp_path: Path
) -> None:
    packed = container.unpack(make())
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    data = container.pack(
        packed.header, packed.lr, alpha=None, metadata=Metadata(exif=exif.tobytes()[6:]), level=0, kind=kind
    )
    (tmp_path / "small").write_bytes(data)
    subprocess.run([sys.executable, reference.__file__, "small", "large.png"], cwd=tmp_path, check=True)
    with Image.open(tmp_path / "large.png") as image:
        assert image.info["exif"] == exif.tobytes()


@pytest.mark.parametrize(
    ("source", "target"), [("small", "small"), ("missing", "large.png"), ("small", "missing/large.png"), ("cut", "x")]
)
def test_wrong_names_and_damage_are_told_in_one_line(
    reference: Any, make: Callable[..., bytes], tmp_path: Path, source: str, target: str
) -> None:
    data = make()
    (tmp_path / "small").write_bytes(data)
    (tmp_path / "cut").write_bytes(data[:-30])
    ran = subprocess.run(
        [sys.executable, reference.__file__, source, target], cwd=tmp_path, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr.count(b"\n")) == (1, 1) and b"; check both names, or restore" in ran.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"small", "cut"}
    assert (tmp_path / "small").read_bytes() == data


def test_jpeg_xl_is_refused_in_one_line(reference: Any, make: Callable[..., bytes], tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    (tmp_path / "small").write_bytes(make(kind=Container.JXL))
    ran = subprocess.run(
        [sys.executable, reference.__file__, "small", "large.png"], cwd=tmp_path, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (1, b"this is no PNG or WebP with a header of hcdcodec\n")
