"""Files of every format version decode for ever, to the pixels that the release that wrote them decoded."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import BUILDER, CASES, FAMILY, FOLDER, RECORD, WEIGHTS, described, engine

import hcdcodec
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.engines import Engines
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import container
from hcdcodec.format.container import Packed
from hcdcodec.format.header import Header
from hcdcodec.networks import families, registry
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.reading import read_picture

GOLDEN: dict[str, Any] = json.loads(RECORD.read_text())
CASE = {case.name: case for case in CASES}


@pytest.fixture(autouse=True)
def family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(families.FAMILIES, "golden", FAMILY)
    monkeypatch.setitem(registry.BUILDERS, "golden", BUILDER)


def data_of(name: str, suffix: str) -> bytes:
    return (FOLDER / (name + suffix)).read_bytes()


def small_of(name: str) -> bytes:
    return data_of(name, CASE[name].container.suffix)


def decoded(name: str) -> tuple[Packed, Picture]:
    if CASE[name].container is Container.JXL:
        pytest.importorskip("pillow_jxl")
    packed = container.unpack(small_of(name))
    return packed, decode_picture(Engines(weights_dir=WEIGHTS).get(packed.header), packed)


def test_nobody_has_touched_them() -> None:
    names = {path.name for path in FOLDER.glob("v*")}
    assert names == {name + suffix for name in GOLDEN for suffix in (CASE[name].container.suffix, ".png")}
    for name, record in GOLDEN.items():
        assert hashlib.sha256(small_of(name)).hexdigest() == record["file"], name
        assert hashlib.sha256(data_of(name, ".png")).hexdigest() == record["decoded"], name


@pytest.mark.parametrize("name", GOLDEN)
def test_headers_are_read_as_they_were_meant(name: str) -> None:
    # A field that came later says the same of older files as no field at all.
    assert described(container.peek(small_of(name))) == {"has_srgb_profile": False, **GOLDEN[name]["header"]}
    assert GOLDEN[name]["header"]["version"] == int(name[1])


@pytest.mark.parametrize("name", GOLDEN)
def test_pixels_are_the_same_but_for_a_level_of_rounding(name: str) -> None:
    packed, picture = decoded(name)
    expected = read_picture(data_of(name, ".png"))
    assert picture.pixels.shape == expected.pixels.shape
    apart = np.abs(picture.pixels.astype(int) - expected.pixels)
    assert apart.max() <= 1 and apart.mean() < 0.01
    assert (picture.alpha is None) is (expected.alpha is None)
    assert picture.alpha is None or expected.alpha is None or np.array_equal(picture.alpha, expected.alpha)
    assert picture.metadata == expected.metadata == packed.metadata


@pytest.mark.parametrize("name", CASE)
def test_they_are_what_they_are_called(name: str) -> None:
    packed, picture = decoded(name)
    source = CASE[name].picture
    assert np.abs(picture.pixels.astype(int) - source.pixels).mean() < 25
    np.testing.assert_equal(picture.alpha, source.alpha)
    assert picture.metadata == source.metadata
    assert packed.header.details_rule == ("normal" in name)
    assert (picture.pixels.ndim == 2) is ("grey" in name)
    assert (packed.header.tile == 8) is ("tiled" in name)
    assert (picture.height % 2 == 1) is ("odd" in name or "one" in name or "crn" in name)


def test_details_and_tiles_matter_to_their_cases() -> None:
    """Else the files would promise nothing about them."""
    own = engine("golden", 2)
    for name in ("v1_golden_x2_normal_odd", "v1_golden_x2_normal_tiled_metadata"):
        packed, picture = decoded(name)
        header = Header(**{**vars(packed.header), "details_rule": 0})
        other = decode_picture(own, Packed(header, packed.lr, packed.alpha, packed.metadata))
        assert np.abs(other.pixels.astype(int) - picture.pixels).max() > 5


DECODE = """
import hashlib, sys
from pathlib import Path
import hcdcodec
for name in sys.argv[1:]:
    print(hashlib.sha256(hcdcodec.decode(Path(name).read_bytes()).tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_decoding_twice_gives_the_same_bits() -> None:
    names = [name for name in GOLDEN if "bicubic" in name and CASE[name].container is not Container.JXL]
    for name in GOLDEN:
        assert np.array_equal(decoded(name)[1].pixels, decoded(name)[1].pixels)
    here = [hashlib.sha256(hcdcodec.decode(small_of(name)).tobytes()).hexdigest() for name in names]
    command = [sys.executable, "-c", DECODE, *(str(FOLDER / (name + CASE[name].container.suffix)) for name in names)]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert elsewhere == here
    assert len(set(here)) == len(names)


def test_the_weights_are_small_and_named_by_their_hash() -> None:
    assert sum(path.stat().st_size for path in Path(WEIGHTS).iterdir()) < 10_000
    hashes = {record["header"]["model_hash"] for name, record in GOLDEN.items() if "golden" in name}
    assert hashes == {engine("golden", 2).backbone.model_hash[:32]}
