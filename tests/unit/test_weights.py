"""Weights: installed side by side, loaded by file or directory, refused in one line where they make no sense."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Draw, Tiny
from safetensors.torch import save_file

import hcdcodec
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.settings import settings_digest
from hcdcodec.errors import ModelError, OutputError
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.manifest import identify, read_manifest, write_manifest
from hcdcodec.networks.registry import load_backbone
from hcdcodec.networks.weights import install, model_hash, read_weights

# --- installing -------------------------------------------------------------------------------------------------------


def numbered(value: int) -> dict[str, torch.Tensor]:
    return {"v": torch.full((2,), float(value))}


def put(value: int, directory: Path, file: str) -> str:
    digest = model_hash(numbered(value))
    install(numbered(value), Entry("crn", 4, file, digest, 2), directory)
    return digest


def test_installs_side_by_side_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        hashes = set(threads.map(lambda value: put(value, tmp_path, f"{value}.safetensors"), range(40)))
    assert {entry.hash for entry in read_manifest(tmp_path)} == hashes and len(hashes) == 40


def test_weights_that_replace_each_other_side_by_side_stay_loadable(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        hashes = set(threads.map(lambda value: put(value, tmp_path, "crn_x4.safetensors"), range(20)))
    entries = read_manifest(tmp_path)
    assert {entry.hash for entry in entries} == hashes and len(hashes) == 20
    for entry in entries:
        assert model_hash(read_weights(tmp_path / entry.file)) == entry.hash
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".hcdcodec*"))


def test_weights_that_somebody_removed_do_not_hinder(tmp_path: Path) -> None:
    put(1, tmp_path, "a.safetensors")
    (tmp_path / "a.safetensors").unlink()
    new = put(2, tmp_path, "a.safetensors")
    assert [entry.hash for entry in read_manifest(tmp_path)] == [new]


def test_weights_that_no_manifest_lists_move_aside(tmp_path: Path) -> None:
    save_file(numbered(1), tmp_path / "crn_x4.safetensors")
    old, new = model_hash(numbered(1)), put(2, tmp_path, "crn_x4.safetensors")
    entries = read_manifest(tmp_path)
    assert [entry.hash for entry in entries] == [new, old]
    for entry in entries:
        assert model_hash(read_weights(tmp_path / entry.file)) == entry.hash


def test_the_same_weights_without_a_manifest_stay(tmp_path: Path) -> None:
    save_file(numbered(1), tmp_path / "crn_x4.safetensors")
    digest = put(1, tmp_path, "crn_x4.safetensors")
    assert [entry.hash for entry in read_manifest(tmp_path)] == [digest]
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_a_file_in_the_place_of_weights_moves_aside(tmp_path: Path) -> None:
    (tmp_path / "crn_x4.safetensors").write_bytes(b"of a user")
    digest = put(1, tmp_path, "crn_x4.safetensors")
    assert [entry.hash for entry in read_manifest(tmp_path)] == [digest]
    (moved,) = tmp_path.glob("crn_x4_*.safetensors")
    assert moved.read_bytes() == b"of a user"


def test_what_a_killed_run_has_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".hcd-0123456789abcdef.tmp"
    left.touch()
    os.utime(left, (0, 0))
    put(1, tmp_path, "a.safetensors")
    assert not left.exists()


def test_a_broken_manifest_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{models")
    with pytest.raises(ModelError, match="is not a manifest"):
        put(1, tmp_path, "a.safetensors")
    assert (tmp_path / "manifest.json").read_text() == "{models"
    assert not (tmp_path / "a.safetensors").exists()


def test_a_directory_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(OutputError, match=f"cannot write weights to {tmp_path}"):
        put(1, tmp_path, "a.safetensors")


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_directory_serves_as_weights(tiny: Tiny, draw: Draw) -> None:
    for given in (tiny.weights_dir, str(tiny.weights_dir)):
        assert load_backbone(tiny.name, tiny.scale, weights=given).model_hash
        assert load_backbone(tiny.name, tiny.scale, weights_dir=given).model_hash
    text = str(tiny.weights_dir)
    data = hcdcodec.encode(draw(8, 8), backbone=tiny.name, effort=0, weights_dir=text)
    assert hcdcodec.decode(data, weights_dir=text).shape == (8, 8)


def test_a_directory_without_weights_says_so(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights for tiny x4 are installed"):
        load_backbone(tiny.name, tiny.scale, weights=tmp_path)


def test_a_file_that_is_not_what_its_manifest_says_is_refused(tiny: Tiny) -> None:
    (entry,) = read_manifest(tiny.weights_dir)
    state = read_weights(tiny.weights_dir / entry.file)
    save_file({name: values + 1 for name, values in state.items()}, tiny.weights_dir / entry.file)
    with pytest.raises(ModelError, match=f"needs the tiny x4 weights {entry.hash[:12]}, got "):
        load_backbone(tiny.name, tiny.scale, weights_dir=tiny.weights_dir)


def test_newer_weights_leave_results_up_to_date(tiny: Tiny, tmp_path: Path) -> None:
    """An entry may name the hash of older weights, which then stands for it in settings, but not in headers."""
    (entry,) = read_manifest(tiny.weights_dir)
    old = "cd" * 32
    write_manifest(tiny.weights_dir, [replace(entry, settings_hash=old)])
    newer = load_backbone(tiny.name, tiny.scale, weights_dir=tiny.weights_dir)
    assert (newer.model_hash, newer.identity.settings_hash) == (entry.hash, old)
    assert identify(tiny.name, tiny.scale, tiny.weights_dir) == newer.identity
    options, before = EncodeOptions(), replace(newer.identity, hash=old)
    assert settings_digest(options, newer.identity) == settings_digest(options, before)
    # Weights given by a file stand for themselves.
    alone = load_backbone(tiny.name, tiny.scale, weights=tiny.weights_dir / entry.file).identity
    assert alone.settings_hash == entry.hash


# --- what makes no sense ----------------------------------------------------------------------------------------------

STATE = Crn(4, width=8, encoder_depth=1, decoder_depth=1).state_dict()


def changed(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**STATE, **{name.replace("__", "."): values for name, values in changes.items()}}


WRONG: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "empty": ({}, "hold no tensors"),
    "bfloat16": ({name: values.bfloat16() for name, values in STATE.items()}, "bfloat16"),
    "float8": ({name: values.to(torch.float8_e4m3fn) for name, values in STATE.items()}, "float8_e4m3fn"),
    "no channels": (changed(encoder__head__weight=torch.zeros(0, 48, 3, 3)), "do not fit crn"),
    "no scale": (changed(encoder__head__weight=torch.zeros(8, 0, 3, 3)), "do not fit crn"),
    "no memory": (changed(encoder__head__weight=torch.zeros(1 << 40, 0, 3, 3)), "do not fit crn"),
    "huge head": (changed(encoder__head__weight=torch.zeros(1 << 16, 48, 1, 1)), "do not fit crn"),
    "not finite": (changed(encoder__head__bias=torch.full((8,), torch.inf)), "not finite"),
}


@pytest.mark.parametrize(("state", "what"), WRONG.values(), ids=WRONG)
def test_wrong_weights_are_refused_in_one_line(state: dict[str, torch.Tensor], what: str, tmp_path: Path) -> None:
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=what) as refused:
        load_backbone("crn", 4, weights=tmp_path / "a.safetensors")
    assert "\n" not in str(refused.value) and "; " in str(refused.value)


def test_impossible_sizes_are_refused_in_one_line(tmp_path: Path) -> None:
    """There are no values, so any sides fit into the file; torch cannot multiply these."""
    table = json.dumps({"a": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(table).to_bytes(8, "little") + table)
    with pytest.raises(ModelError, match=r"of an impossible size \(a\); install"):
        read_weights(tmp_path / "a.safetensors")


@pytest.mark.parametrize(("name", "scale"), [("crn", 4), ("irn", 2)])
def test_loading_draws_no_random_numbers(name: str, scale: int) -> None:
    """A caller who has seeded torch gets the same numbers, whether a network was loaded in between or not."""
    before = torch.get_rng_state()
    load_backbone(name, scale)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="no file"):
        read_weights(tmp_path / "a.safetensors")


def test_files_of_unlisted_families_are_decoded_by_those_who_have_the_weights(tmp_path: Path, draw: Draw) -> None:
    network = Crn(2, width=8, encoder_depth=1, decoder_depth=1, name="crn-l")
    state = network.state_dict()
    install(state, Entry("crn-l", 2, "own.safetensors", model_hash(state), 1), tmp_path)
    data = hcdcodec.encode(draw(8, 8, 3), scale=2, backbone="crn-l", effort=0, weights_dir=tmp_path)
    assert hcdcodec.decode(data, weights_dir=tmp_path).shape == (8, 8, 3)
