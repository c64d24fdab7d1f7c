"""The functions of the library: odd arguments work or end in our own errors, and so do forks and shortages."""

import inspect
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from conftest import Draw, Tiny
from picture_files import ICC, exif_tags
from PIL import ExifTags, Image

import hcdcodec as package
from hcdcodec import api
from hcdcodec.format.container import unpack
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.manifest import find
from hcdcodec.networks.weights import install, model_hash

FAST: dict[str, Any] = {"backbone": "bicubic", "effort": 0}


def test_public_names_are_listed() -> None:
    assert dir(package) == sorted(package.__all__)
    assert all(getattr(package, name) is not None for name in dir(package))


def test_encode_takes_what_encode_report_takes() -> None:
    plain, report = inspect.signature(package.encode), inspect.signature(package.encode_report)
    assert plain.parameters == report.parameters
    assert plain.return_annotation is bytes
    assert pickle.loads(pickle.dumps(package.encode)) is package.encode


@pytest.mark.parametrize("kind", [memoryview, torch.from_numpy, np.ma.masked_array, lambda pixels: pixels[::-1][::-1]])
def test_what_numpy_takes_for_an_array_is_encoded(draw: Draw, kind: Any) -> None:
    pixels = draw(9, 7, 3)
    assert package.encode(kind(pixels), **FAST) == package.encode(pixels, **FAST)


@pytest.mark.parametrize(
    "pixels",
    [None, 3, [[1, 2], [3]], [[1, 2], [3, 4]], np.uint8(3), np.array(3, np.uint8), np.zeros(3, np.uint8)],
)
def test_what_is_no_picture_is_a_picture_error(pixels: Any) -> None:
    with pytest.raises(package.PictureError, match="is no picture; pass"):
        package.encode(pixels, **FAST)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": "4"},
        {"scale": [4]},
        {"scale": 4.5},
        {"effort": "3"},
        {"effort": 1.5},
        {"quality": "75"},
        {"quality": None},
        {"method": []},
        {"backbone": None},
        {"device": None},
        {"device": "toaster"},
        {"weights_dir": []},
        {"weights_dir": 3},
    ],
)
def test_options_of_other_types_are_usage_errors(draw: Draw, options: dict[str, Any]) -> None:
    with pytest.raises(package.UsageError, match="; ") as caught:
        package.encode(draw(8, 8), **{**FAST, **options})
    assert "\n" not in str(caught.value)


@pytest.fixture
def photo(draw: Draw, here: Path) -> Path:
    Image.fromarray(draw(24, 20, 3)).save(
        "photo.jpg", exif=exif_tags(6), icc_profile=ICC, comment=b"hi", dpi=(300, 300)
    )
    return Path("photo.jpg")


def test_a_path_gives_the_file_that_the_command_line_writes(photo: Path, hcdcodec: Any) -> None:
    assert hcdcodec("encode", "-b", "bicubic", "-e", "0", photo, "small/").status == 0
    expected = Path("small/photo.jpg.hcd.png").read_bytes()
    content = photo.read_bytes()
    sources: list[Any] = [photo, str(photo), content, bytearray(content), memoryview(content)]
    for source in sources:
        assert package.encode(source, **FAST) == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_what_pillow_knows_of_an_image_is_kept(draw: Draw, here: Path, kind: str) -> None:
    Image.fromarray(draw(24, 20, 3)).save("photo", kind, exif=exif_tags(6), icc_profile=ICC, dpi=(300, 300))
    with Image.open("photo") as image:
        expected = np.asarray(image)
    with Image.open("photo") as image:
        packed = unpack(package.encode(image, **FAST))
    assert np.array_equal(packed.lr, unpack(package.encode(expected, **FAST)).lr)
    assert packed.metadata.icc == ICC
    block = Image.Exif()
    block.load(packed.metadata.exif or b"")
    assert block[ExifTags.Base.Make] == "Maker"
    assert (packed.metadata.dpi is not None) is (kind in ("JPEG", "PNG", "TIFF"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_images_of_every_mode_are_taken(draw: Draw, mode: str) -> None:
    image = Image.fromarray(draw(24, 20, 4 if "A" in mode else 3)).convert(mode)
    decoded = package.decode(package.encode(image, quality=100, **FAST))
    shape = {"1": (24, 20), "L": (24, 20), "LA": (24, 20, 2), "RGBA": (24, 20, 4)}.get(mode, (24, 20, 3))
    assert decoded.shape == shape


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "I", "F", "YCbCr", "HSV", "I;16"])
def test_images_of_other_modes_are_refused(mode: str) -> None:
    with pytest.raises(package.PictureError, match=f"mode {mode} cannot be stored; convert it to RGB first"):
        package.encode(Image.new(mode, (8, 8)), **FAST)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(package.PictureError, match="without pixels"):
        package.encode(Image.new("RGB", (0, 3)), **FAST)


def test_an_open_file_is_refused_by_its_kind() -> None:
    file: Any = io.BytesIO(b"")
    with pytest.raises(package.PictureError, match="BytesIO is no picture; pass a path, bytes"):
        package.encode(file, **FAST)


def test_options_of_reading(photo: Path) -> None:
    packed = unpack(package.encode(photo, strip=["icc", "exif"], upright=True, **FAST))
    assert (packed.metadata.icc, packed.metadata.exif) == (None, None)
    assert (packed.header.height, packed.header.width) == (20, 24)
    with Image.open(photo) as image:
        turned = unpack(package.encode(image, strip=("icc", "exif"), upright=True, **FAST))
    assert np.array_equal(turned.lr, packed.lr) and turned.metadata.icc is None
    odd: list[Any] = ["exif", ["place"], None, 3, [[]]]
    for kinds in odd:
        with pytest.raises(package.UsageError, match="there are exif, icc, xmp, text, density, colour"):
            package.encode(photo, strip=kinds, **FAST)
    with pytest.raises(package.PictureError, match="the limit is 479; raise --max-pixels"):
        package.encode(photo, max_pixels=24 * 20 - 1, **FAST)


def test_conversions_and_losses_are_told(photo: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint16)).save("deep.png")
    with pytest.raises(package.PictureError, match="--convert"):
        package.encode("deep.png", **FAST)
    assert package.encode_report("deep.png", convert=True, **FAST).warnings == ("rounded to 8 bits a channel",)
    photo.write_bytes(photo.read_bytes() + bytes(4) + b"ftypmp42")
    (warning,) = package.encode_report(photo, **FAST).warnings
    assert "the film behind the picture cannot be carried" in warning


@pytest.mark.parametrize("source", ["missing.jpg", Path(), b"no picture", b"", "\0"])
def test_files_that_cannot_be_read_are_picture_errors(here: Path, source: Any) -> None:
    with pytest.raises(package.PictureError, match="; "):
        package.encode(source, **FAST)


def test_a_small_file_is_not_encoded_again(photo: Path) -> None:
    with pytest.raises(package.PictureError, match="already encoded"):
        package.encode(package.encode(photo, **FAST), **FAST)


@pytest.mark.parametrize("goal", ["many", [1]])
def test_a_target_of_another_type_is_a_usage_error(goal: Any) -> None:
    with pytest.raises(package.UsageError, match="out of range"):
        package.Target(max_bytes=goal)


def test_a_directory_may_be_named_by_bytes(draw: Draw, tmp_path: Path) -> None:
    options: dict[str, Any] = {"effort": 0, "weights_dir": os.fsencode(tmp_path)}
    assert package.encode(draw(8, 8), **options)


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_any_buffer_is_decoded(draw: Draw, kind: Any) -> None:
    data = package.encode(draw(9, 7, 3), **FAST)
    assert np.array_equal(package.decode(kind(data)), package.decode(data))


@pytest.mark.parametrize(
    ("data", "options"),
    [("photo.hcd.png", {}), (None, {}), (3, {}), (b"", {"max_pixels": "9"}), (b"", {"weights_dir": 3})],
)
def test_what_is_no_content_is_our_own_error(data: Any, options: dict[str, Any]) -> None:
    with pytest.raises(package.HcdError, match="; "):
        package.decode(data, **options)


@pytest.mark.parametrize(
    ("device", "words"), [("toaster", "no device is called 'toaster'; "), ("cuda:99", "device 'cuda:99' is not there ")]
)
def test_a_device_that_there_is_none_of_is_a_usage_error(device: str, words: str) -> None:
    with pytest.raises(package.UsageError, match=words):
        package.load_backbone("crn", 4, device=device)


@pytest.mark.parametrize(
    ("name", "scale", "words"),
    [(None, 4, "None is no name of"), (["crn"], 4, "is no name of"), ("crn", "4", "has no scale '4'; it has")],
)
def test_what_names_no_network_is_a_wrong_call(name: Any, scale: Any, words: str) -> None:
    with pytest.raises(package.UsageError, match=words):
        package.load_backbone(name, scale)


@contextmanager
def default(kind: torch.dtype | str) -> Iterator[None]:
    """Give torch another default type or device."""
    before = torch.get_default_dtype()
    torch.set_default_device(kind) if isinstance(kind, str) else torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "float64": lambda: default(torch.float64),
    "another device": lambda: default("meta"),  # stands for a GPU: what is made there cannot be used here
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("backbone", "scale"), [("crn", 4), ("irn", 2)])
def test_modes_of_torch_change_no_file_and_no_pixel(draw: Draw, mode: str, backbone: str, scale: int) -> None:
    options: dict[str, Any] = {"backbone": backbone, "scale": scale, "effort": 1}
    pixels = draw(24, 20, 3)
    data = package.encode(pixels, **options)
    decoded = package.decode(data)
    for cache in (api._engine, api._engines):  # so that the network is loaded in this mode, too
        cache.cache_clear()
    with MODES[mode]():
        assert package.encode(pixels, **options) == data
        assert np.array_equal(package.decode(data), decoded)
    assert package.encode(pixels, **options) == data


def test_weights_that_are_new_in_a_directory_are_taken(install_tiny: Callable[..., Tiny], draw: Draw) -> None:
    """A notebook trains, encodes, trains on and encodes again."""
    made = []
    for seed in range(2):
        tiny = install_tiny(seed=seed)
        made.append(package.encode(draw(8, 8, 3), backbone=tiny.name, effort=0, weights_dir=tiny.weights_dir))
    first, second = (unpack(data).header.model_hash.hex() for data in made)
    assert second == find(tiny.name, 4, first=tiny.weights_dir)[1].hash[:32] != first


def test_encode_is_annotated_with_what_it_returns() -> None:
    assert get_type_hints(package.encode)["return"] is bytes
    assert get_type_hints(package.encode_report)["return"] is package.Result


@pytest.mark.parametrize("call", ["encode", "decode"])
def test_products_are_exact_though_the_caller_allows_short_ones(draw: Draw, call: str) -> None:
    """Processors that multiply bfloat16 fast use it then in convolutions of PyTorch, and that moves pixels."""
    pixels = draw(24, 20, 3)
    options: dict[str, Any] = {"backbone": "irn", "scale": 2, "effort": 0}
    data = package.encode(pixels, **options)
    decoded = package.decode(data)
    torch.set_float32_matmul_precision("medium")
    try:
        if call == "encode":
            assert package.encode(pixels, **options) == data
        else:
            assert np.array_equal(package.decode(data), decoded)
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision("highest")


INFERENCE = """
import numpy, torch
import hcdcodec
pixels = numpy.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype("uint8")
with torch.inference_mode():
    first = hcdcodec.encode(pixels, effort=1)
assert first == hcdcodec.encode(pixels, effort=1)
"""


def test_the_first_call_may_be_in_a_mode_of_torch() -> None:
    """That call imports modules, whose tensors must serve later calls."""
    assert subprocess.run([sys.executable, "-c", INFERENCE], check=False).returncode == 0


FORK = """
import os, signal
import numpy, torch
import hcdcodec
torch.set_num_threads(2)
pixels = numpy.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype("uint8")
hcdcodec.decode(hcdcodec.encode(pixels, effort=1))
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.alarm(60)
hcdcodec.decode(hcdcodec.encode(pixels, effort=1))
os._exit(0)
"""


def test_a_forked_process_encodes() -> None:
    """The threads of torch and oxipng do not come along, and the child waited for them for ever."""
    assert subprocess.run([sys.executable, "-c", FORK], check=False).returncode == 0


SHORTAGE = """
import re, resource, sys
import numpy
import hcdcodec
what, pixels = sys.argv[1], numpy.zeros((1500, 1500, 3), "uint8")
small = hcdcodec.encode(pixels[:64, :64], effort=1)
whole = hcdcodec.encode(pixels, backbone="bicubic", effort=0)
hcdcodec.decode(small)
used = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1])
resource.setrlimit(resource.RLIMIT_AS, (used, -1))
taken = []
try:
    while True:  # what the C library keeps must not serve instead
        taken.append(bytearray(1 << 18))
except MemoryError:
    del taken[-16:]
try:
    hcdcodec.encode(pixels, effort=1) if what == "encode" else hcdcodec.decode(whole)
except MemoryError:
    sys.exit(0)
sys.exit(1)
"""


@pytest.mark.parametrize("what", ["encode", "decode"])
def test_too_little_memory_is_a_memory_error(what: str) -> None:
    assert subprocess.run([sys.executable, "-c", SHORTAGE, what], check=False).returncode == 0


def test_a_relative_weights_dir_is_that_of_the_moment(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks are kept from call to call, and the same name led to those of the directory before."""
    used = []
    for number in range(2):
        state = Crn(2, width=8, encoder_depth=1, decoder_depth=1 + number).state_dict()
        folder = tmp_path / str(number)
        install(state, Entry("crn", 2, "own.safetensors", model_hash(state), 1), folder / "trained")
        monkeypatch.chdir(folder)
        data = package.encode(draw(8, 8, 3), scale=2, effort=0, weights_dir="trained")
        used.append((unpack(data).header.model_hash.hex(), model_hash(state)[:32]))
    assert all(found == wanted for found, wanted in used)
