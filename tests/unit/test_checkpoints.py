"""Official checkpoints: read, renamed, refused."""

import hashlib
import io
import json
import os
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from checkpoint_files import Payload, saved
from parity import NETWORKS, official_tensors

from hcdcodec.errors import ModelError
from hcdcodec.networks import checkpoints
from hcdcodec.networks.checkpoints import blob_sha1, load_tensors, official_name, read_checkpoint, read_tensors


@pytest.fixture(scope="module")
def irn() -> dict[str, torch.Tensor]:
    return official_tensors("irn_x2")


def content(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("which", NETWORKS)
def test_official_layout_is_recognised_and_fits(which: str, tmp_path: Path) -> None:
    official = official_tensors(which)
    found = read_checkpoint(saved(tmp_path / "x.pth", OrderedDict(official)))
    assert f"{found.backbone}_x{found.scale}" == which
    assert found.official == ""
    NETWORKS[which]().load_state_dict(dict(found.tensors), strict=True)
    for name, values in found.tensors.items():
        assert torch.equal(values, official[official_name(name, found.backbone)])


def test_old_format_is_read(irn: dict[str, torch.Tensor], tmp_path: Path) -> None:
    found = read_checkpoint(saved(tmp_path / "x.pth", irn, legacy=True))
    assert len(found.tensors) == len(irn) - 1


def test_wrapper_and_prefix_are_taken_off() -> None:
    inner = {"module.a": torch.ones(2), "module.b": torch.zeros(1)}
    for wrapper in ("state_dict", "params"):
        assert load_tensors(content({wrapper: inner, "epoch": 3})).keys() == {"a", "b"}
    assert load_tensors(content({"module.a": torch.ones(2), "b": torch.ones(1)})).keys() == {"module.a", "b"}


def test_known_files_are_named(irn: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.pth", irn)
    monkeypatch.setattr(checkpoints, "OFFICIAL_FILES", {blob_sha1(path.read_bytes()): "IRN_x2.pth"})
    assert read_checkpoint(path).official == "IRN_x2.pth"


def test_blob_sha1_is_gits() -> None:
    assert blob_sha1(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert blob_sha1(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_never_runs(legacy: bool, irn: dict[str, torch.Tensor], tmp_path: Path) -> None:
    target = tmp_path / "ran"
    path = saved(tmp_path / "x.pth", {**irn, "extra": Payload(target)}, legacy=legacy)
    with pytest.raises(ModelError, match="more than tensors"):
        read_checkpoint(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "value",
    [
        {},
        [torch.ones(1)],
        {"a": 1},
        {1: torch.ones(1)},
        {"a": torch.ones(1, dtype=torch.int64)},
        {"a": torch.ones(2, 2).to_sparse()},
        {"a": torch.ones(2, device="meta")},
        {"params": {"a": "text"}},
    ],
)
def test_anything_but_named_tensors_is_refused(value: object) -> None:
    with pytest.raises(ModelError, match="named tensors"):
        load_tensors(content(value))


def test_damage_is_refused(irn: dict[str, torch.Tensor]) -> None:
    whole = content(irn)
    for data in (b"", b"\x80", b"not a pickle", whole[: len(whole) // 2], whole[:-100]):
        with pytest.raises(ModelError, match="damaged"):
            load_tensors(data)


def test_far_too_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.pth", {"a": torch.zeros(1000)})
    monkeypatch.setattr(checkpoints, "MAX_CHECKPOINT_BYTES", 2000)
    with pytest.raises(ModelError, match="has more than"):
        read_checkpoint(path)
    squeezed = io.BytesIO()
    with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data/0", bytes(1_000_000))
    assert len(squeezed.getvalue()) < 2000
    with pytest.raises(ModelError, match="unpacks to far more"):
        load_tensors(squeezed.getvalue())
    monkeypatch.setattr(checkpoints, "MAX_CHECKPOINT_BYTES", path.stat().st_size)
    with pytest.raises(ModelError, match="neither an IRN"):
        read_checkpoint(path)


def test_what_asks_for_memory_by_number_is_refused() -> None:
    """A hundred bytes made torch's unpickler take 1.8 GiB."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\2cbuiltins\nbytearray\n(J\0\0\0\x70tR.")
        archive.writestr("x/version", "3\n")
    legacy = b"\x80\2cbuiltins\nbytearray\n(J\0\0\0\x70tR."
    for data in (bomb.getvalue(), legacy):
        tracemalloc.start()
        with pytest.raises(ModelError, match="named tensors"):
            load_tensors(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
        tracemalloc.stop()


def test_names_that_no_file_can_have_are_model_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="File name too long"):
        read_checkpoint(tmp_path / f"{'x' * 300}.pth")


def test_tensors_larger_than_their_file_are_refused() -> None:
    """A tensor of stride 0 shows one number as often as it likes."""
    with pytest.raises(ModelError, match="unpacks to far more"):
        load_tensors(content({"a": torch.zeros(1).expand(1 << 40)}))


@pytest.mark.parametrize(
    ("kind", "shape", "size"), [("F4", [2], 1), ("F8_E8M0", [2], 2), ("F32", [0, 2**62, 2**62], 0)]
)
def test_tensors_that_torch_cannot_make_are_refused(kind: str, shape: list[int], size: int, tmp_path: Path) -> None:
    table = json.dumps({"a": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(table).to_bytes(8, "little") + table + bytes(size))
    try:
        read_tensors(tmp_path / "a.safetensors")
    except ModelError as error:
        assert str(error) == "is damaged, or no safetensors file; download it again"
    else:
        pytest.skip("this safetensors makes it")


def test_narrow_types_are_read(tmp_path: Path) -> None:
    narrow = {"a": torch.ones(2).to(torch.float8_e4m3fn), "b": torch.ones(2).bfloat16()}
    assert read_tensors(saved(tmp_path / "x.pth", narrow)).keys() == {"a", "b"}
    for values in narrow.values():
        spoiled = saved(tmp_path / "x.pth", {"a": torch.full((2,), torch.nan).to(values.dtype)})
        with pytest.raises(ModelError, match="not finite"):
            read_tensors(spoiled)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pth")
    with pytest.raises(ModelError, match="name a regular file"):
        read_checkpoint(tmp_path / "x.pth")


def test_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        read_checkpoint(tmp_path / "none.pth")


def test_differences_are_named(irn: dict[str, torch.Tensor], tmp_path: Path) -> None:
    other = dict(irn)
    del other["operations.3.F.conv1.bias"]
    other["operations.9.F.conv1.bias"] = torch.zeros(32)
    other["operations.2.G.conv5.bias"] = torch.zeros(4)
    with pytest.raises(ModelError) as caught:
        read_checkpoint(saved(tmp_path / "x.pth", other))
    assert "does not fit irn x2" in str(caught.value)
    assert "1 missing: operations.3.F.conv1.bias" in str(caught.value)
    assert "1 unknown: operations.9.F.conv1.bias" in str(caught.value)
    assert "1 other shape: operations.2.G.conv5.bias (4,) for (9,)" in str(caught.value)


def test_values_are_checked(irn: dict[str, torch.Tensor], tmp_path: Path) -> None:
    name = "operations.2.G.conv5.bias"
    with pytest.raises(ModelError, match="not finite"):
        read_checkpoint(saved(tmp_path / "x.pth", irn | {name: torch.full_like(irn[name], torch.nan)}))
    name = "operations.0.haar_weights"
    with pytest.raises(ModelError, match="not the Haar transform"):
        read_checkpoint(saved(tmp_path / "x.pth", irn | {name: -irn[name]}))


def test_tensors_share_no_memory_with_the_file(irn: dict[str, torch.Tensor], tmp_path: Path) -> None:
    found = read_checkpoint(saved(tmp_path / "x.pth", irn))
    digests = {hashlib.sha256(values.numpy().tobytes()).digest() for values in found.tensors.values()}
    assert len(digests) == len(found.tensors)
    assert all(values.is_contiguous() and values.dtype == torch.float32 for values in found.tensors.values())
