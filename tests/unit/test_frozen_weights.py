"""Shipped weights are never changed and never removed: small files of all releases need them."""

import json
from pathlib import Path

import pytest
from conftest import DATA, ROOT

import hcdcodec
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.manifest import find, read_manifest
from hcdcodec.networks.registry import load_backbone
from hcdcodec.networks.weights import model_hash, read_weights

FROZEN = {
    # release 0.1.0
    "790051669205acb9d24246844eb0677c0bb18435d1aa1ab4c0fa5f564d26775c": "crn x2",
    "e648860ab903bc2acd0974e74dc5a7331849c97a3c820d75ec6b12eaadf0b8b4": "crn x4",
    "169a16c2c1196fbcb532039beff41e044ab2706e7b7d537e0557ca51ada122ca": "irn x2",
    # release 1.0
    "a5b50b6d2d93fed53b7ed576c09eea7572c7c3199c91a681dd83118b3bdf4fb9": "crn x8",
    "ce6ac6c85b3cb364d2b7127e2aa67c01b331001050ff920f049b70f3b6435f33": "crn x8",
    # after release 1.0
    "60ffe3fdff6258eb3ea57ca4a88ca09800fe214b41b9f34ff724f98baaa56258": "hcflow x4",
    "e146ca27a7101f940e7bd05838f7253b9669a2f40839c14c6df9047e8d76e127": "crn x8",
    "799429875d6e25bf43549d6a0100d02c44461ece9bc6402698180ef095eea822": "crn x8",
    "2c8e9a943318f084d11b5b5c5d0102a4adf3ad29364973415c78101119ab7e1d": "crn x2",
    "fc509431099c00d1e5d1f6c83bfd5896876284733557412d52f44d6927e3e6ee": "crn x4",
    "eea39e67f6df2daee52e01fd82abf3c4445e2adaf5936371f55d40ded870d049": "irn x4",
}
"""All weights that were ever shipped. New ones are added; no line may ever go."""

SHIPPED = ROOT / "weights"
ENTRIES = {entry.hash: entry for entry in read_manifest(SHIPPED)}
GOLDEN = json.loads((ROOT / "tests/golden/golden.json").read_text())


def test_none_is_missing_and_none_is_forgotten_here() -> None:
    assert {hash_: f"{entry.name} x{entry.scale}" for hash_, entry in ENTRIES.items()} == FROZEN


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.file)
def test_every_file_is_there_unchanged(entry: Entry) -> None:
    assert model_hash(read_weights(SHIPPED / entry.file)) == entry.hash


def test_no_file_is_without_its_entry() -> None:
    assert {path.name for path in SHIPPED.glob("*.safetensors")} == {entry.file for entry in ENTRIES.values()}


@pytest.mark.parametrize("whole", FROZEN)
def test_a_golden_file_needs_each(whole: str) -> None:
    """tests/unit/test_golden.py decodes it."""
    assert any(whole.startswith(record["header"]["model_hash"]) for record in GOLDEN.values())


@pytest.mark.skipif(hcdcodec.__version__.startswith("0."), reason="files are renamed with release 1.0")
@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.file)
def test_names_carry_the_start_of_the_hash(entry: Entry) -> None:
    assert entry.file == f"{entry.name}_x{entry.scale}.{entry.hash[:12]}.safetensors"


# --- release 0.1.0 ----------------------------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A weights directory as release 0.1.0 had it."""
    (tmp_path / "manifest.json").write_bytes((DATA / "manifest_0.1.0.json").read_bytes())
    for entry in read_manifest(tmp_path):
        (tmp_path / entry.file).symlink_to(SHIPPED / ENTRIES[entry.hash].file)
    return tmp_path


def test_manifests_of_0_1_0_are_read(old: Path) -> None:
    entries = read_manifest(old)
    assert [(entry.name, entry.scale, entry.file) for entry in entries] == [
        ("crn", 2, "crn_x2.safetensors"),
        ("crn", 4, "crn_x4.safetensors"),
        ("irn", 2, "irn_x2.safetensors"),
    ]
    for entry in entries:
        assert find(entry.name, entry.scale, entry.hash[:32], old)[0] == old / entry.file
        assert load_backbone(entry.name, entry.scale, weights_dir=old).model_hash == entry.hash
