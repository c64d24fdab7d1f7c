"""`models import`: official checkpoints in, installed and measured weights out; anything else is refused."""

import json
import math
from pathlib import Path

import pytest
import torch
from checkpoint_files import Payload, saved
from click.testing import CliRunner, Result
from parity import NETWORKS, error, official_tensors, vectors

from hcdcodec.cli.command import cli
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.engine import engine_for
from hcdcodec.errors import ModelError
from hcdcodec.networks import manifest
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.import_checkpoint import NORMAL, ZEROS, chart_psnr
from hcdcodec.networks.manifest import find, read_manifest
from hcdcodec.networks.noise import draw_details
from hcdcodec.networks.reference_chart import SIZE, chart
from hcdcodec.networks.registry import load_backbone
from hcdcodec.networks.weights import install, model_hash, read_weights
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture
from hcdcodec.tiles import Rect

PARAMETERS = {"irn_x2": 1_667_952, "irn_x4": 4_355_136, "hcflow_x4": 4_396_206}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["models", *map(str, arguments)])


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights directory into which all three networks were imported."""
    directory = tmp_path_factory.mktemp("imported") / "made by the import"
    for which in NETWORKS:
        name, scale = which.split("_x")
        file = saved(directory.parent / f"{which}.pth", official_tensors(which))
        result = run("import", file, "--backbone", name, "--scale", scale, "--weights-dir", directory)
        assert result.exit_code == 0, result.output
        assert result.stdout.count("\n") == 1
        assert f"{name} x{scale} {entry_of(directory, which).hash[:12]}" in result.stdout
    return directory


def entry_of(directory: Path, which: str) -> Entry:
    (entry,) = (entry for entry in read_manifest(directory) if f"{entry.name}_x{entry.scale}" == which)
    return entry


def loaded(directory: Path, which: str) -> Backbone:
    name, scale = which.split("_x")
    return load_backbone(name, int(scale), weights_dir=directory)


@pytest.mark.parametrize("which", ["irn_x2", "irn_x4"])
def test_imported_irn_is_the_reference(which: str, weights_dir: Path) -> None:
    network, reference = loaded(weights_dir, which), vectors(which)
    lr, (details,) = network.forward_details(reference["hr"])  # type: ignore[operator]
    assert error(lr, reference["lr_float"]) <= 1e-4
    assert error(network.downscale(reference["hr"]), reference["lr_float"]) <= 1e-4
    assert error(details, reference["details"]) <= 1e-4
    assert torch.equal(lr.clamp(0, 1).mul(255).round().div(255), reference["lr_quantised"])
    assert error(network.upscale(reference["lr_quantised"]), reference["up_z_zero"]) <= 1e-4
    drawn = network.upscale(reference["lr_quantised"], (reference["z_normal"],))
    assert error(drawn, reference["up_z_normal"]) <= 1e-4


def test_imported_hcflow_is_the_reference(weights_dir: Path) -> None:
    network, reference = loaded(weights_dir, "hcflow_x4"), vectors("hcflow_x4")
    lr, details = network.forward_details(reference["hr"])  # type: ignore[operator]
    assert error(lr, reference["lr_clamped"]) <= 1e-4
    for z, name in zip(details, ("z1", "z2"), strict=True):
        assert error(z, reference[name]) <= 1e-4
    assert torch.equal(lr.mul(255).round().div(255), reference["lr_quantised"])
    assert error(network.upscale(reference["lr_quantised"]), reference["up_heat_zero"]) <= 1e-4


@pytest.mark.parametrize("which", NETWORKS)
def test_manifest_says_what_was_imported(which: str, weights_dir: Path) -> None:
    entry = entry_of(weights_dir, which)
    state = read_weights(weights_dir / entry.file)
    assert entry.hash == model_hash(state)
    assert entry.parameters == PARAMETERS[which] == sum(values.numel() for values in state.values())
    assert f"{which}.pth" in entry.origin["imported from"]
    better = 1.0 if entry.measured[NORMAL] > entry.measured[ZEROS] else 0.0
    assert entry.details_scale == better == loaded(weights_dir, which).details_scale


def test_figures_are_those_of_the_installed_network(weights_dir: Path) -> None:
    entry, network = entry_of(weights_dir, "irn_x2"), loaded(weights_dir, "irn_x2")
    drawn = draw_details(network.details, Rect(0, 0, SIZE // 2, SIZE // 2))
    measured = [entry.measured[ZEROS], entry.measured[NORMAL]]
    assert measured == pytest.approx(chart_psnr(network, (), drawn), abs=6e-4)
    assert all(0 < value < 60 for value in entry.measured.values())


def test_chart_psnr_is_the_psnr() -> None:
    hr = chart()
    assert hr.shape == (SIZE, SIZE, 3)
    assert min(plane.std() for plane in hr.transpose(2, 0, 1)) > 30
    plain = load_backbone("bicubic", 2)
    planes = torch.from_numpy(hr).permute(2, 0, 1)[None] / 255
    lr = plain.downscale(planes).clamp(0, 1).mul(255).round() / 255
    made = plain.upscale(lr).clamp(0, 1).mul(255).round()[0].permute(1, 2, 0).numpy()
    expected = 10 * math.log10(255**2 / ((made - hr.astype(float)) ** 2).mean())
    assert chart_psnr(plain, ()) == [pytest.approx(expected, abs=1e-6)]


def test_list_shows_what_is_installed(weights_dir: Path) -> None:
    shown = run("list", "-v", "--weights-dir", weights_dir).stdout
    for which in NETWORKS:
        entry = entry_of(weights_dir, which)
        for part in (f"x{entry.scale}  {entry.hash[:12]}", f"{entry.parameters:,}", "licence", f"{ZEROS}: "):
            assert part in shown
    objects = [json.loads(line) for line in run("list", "--json", "--weights-dir", weights_dir).stdout.splitlines()]
    assert {f"{found['name']}_x{found['scale']}" for found in objects} >= set(NETWORKS)


def test_missing_weights_say_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(manifest, "_own_directory", lambda: tmp_path / "shipped")
    with pytest.raises(ModelError, match=r"official checkpoint with .hcdcodec models import FILE\.pth."):
        load_backbone("hcflow", 4)
    assert "not installed; import the official checkpoint" in run("list", "-v").stdout


def test_imports_go_to_the_users_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert run("import", saved(tmp_path / "x.pth", official_tensors("irn_x2"))).exit_code == 0
    assert (tmp_path / "data/hcdcodec/weights/manifest.json").is_file()
    assert load_backbone("irn", 2).model_hash


def test_drawn_details_are_recorded_where_they_are_better(tmp_path: Path) -> None:
    result = run("import", saved(tmp_path / "x.pth", _darker_without_noise()), "--weights-dir", tmp_path)
    assert "so z normal" in result.stdout
    network = load_backbone("irn", 2, weights_dir=tmp_path)
    assert network.details_scale == 1
    picture = Picture(chart()[:8, :8], None, Metadata())
    engine = engine_for(network)
    for given, expected in ((None, (1, 1.0)), (0.0, (0, 0.0)), (0.5, (1, 0.5))):
        (encoded,) = encode_pictures(engine, [picture], EncodeOptions(Ste(0), details_scale=given))
        assert (encoded.header.details_rule, encoded.header.details_scale) == expected


def _darker_without_noise() -> dict[str, torch.Tensor]:
    """Return an IRN x2 whose noise, weak as it gets, lifts a shift that darkens the picture without it."""
    tensors = {name: torch.zeros_like(values) for name, values in official_tensors("irn_x2").items()}
    tensors["operations.0.haar_weights"] = official_tensors("irn_x2")["operations.0.haar_weights"]
    for block in range(1, 9):
        tensors[f"operations.{block}.H.conv5.bias"].fill_(10)  # divides z by e, eight times
    for k in range(32):
        tensors["operations.8.F.conv1.weight"][k, k % 9, k // 9 % 3, k // 3 % 3] = 1
    tensors["operations.8.F.conv5.weight"][:, 9:41, 1, 1] = -0.133
    tensors["operations.8.F.conv5.bias"].fill_(0.5)
    return tensors


def test_an_import_replaces_no_other_weights(weights_dir: Path, tmp_path: Path) -> None:
    first = official_tensors("irn_x2")
    second = first | {"operations.1.F.conv1.bias": first["operations.1.F.conv1.bias"] + 0.01}
    for tensors in (first, second, second):
        assert run("import", saved(tmp_path / "x.pth", tensors), "--weights-dir", tmp_path).exit_code == 0
    old, new = entry_of(weights_dir, "irn_x2").hash, read_manifest(tmp_path)[0].hash
    assert [entry.hash for entry in read_manifest(tmp_path)] == [new, old]
    assert find("irn", 2, first=tmp_path)[1].hash == new != old
    assert load_backbone("irn", 2, weights_dir=tmp_path, hash_prefix=old).model_hash == old


def test_code_in_a_checkpoint_never_runs(tmp_path: Path) -> None:
    file = saved(tmp_path / "x.pth", official_tensors("irn_x2") | {"extra": Payload(tmp_path / "ran")})
    result = run("import", file, "--weights-dir", tmp_path / "weights")
    assert result.exit_code == 1
    assert result.stderr == f"hcdcodec: {file}: is damaged, or holds more than tensors; import an official .pth file\n"
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "weights").exists()
    torch.load(file, weights_only=False)
    assert (tmp_path / "ran").exists()  # the payload is live


@pytest.mark.parametrize(("option", "value"), [("--backbone", "hcflow"), ("--scale", "4")])
def test_files_for_another_network_are_refused(option: str, value: str, tmp_path: Path) -> None:
    file = saved(tmp_path / "x.pth", official_tensors("irn_x2"))
    result = run("import", file, option, value, "--weights-dir", tmp_path / "weights")
    assert result.exit_code == 1
    assert "holds irn x2, not" in result.stderr
    assert not (tmp_path / "weights").exists()


def test_differences_are_named(tmp_path: Path) -> None:
    tensors = official_tensors("irn_x2")
    del tensors["operations.3.F.conv1.bias"]
    result = run("import", saved(tmp_path / "x.pth", tensors), "--weights-dir", tmp_path)
    assert result.exit_code == 1
    assert "1 missing: operations.3.F.conv1.bias" in result.stderr


def test_networks_that_make_no_picture_are_refused(tmp_path: Path) -> None:
    tensors = {name: values * 1e18 if "conv" in name else values for name, values in official_tensors("irn_x2").items()}
    result = run("import", saved(tmp_path / "x.pth", tensors), "--weights-dir", tmp_path / "weights")
    assert result.exit_code == 1
    assert "no finite picture" in result.stderr
    assert not (tmp_path / "weights").exists()


def test_directories_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    file = saved(tmp_path / "x.pth", official_tensors("irn_x2"))
    result = run("import", file, "--weights-dir", tmp_path / "file")
    assert result.exit_code == 1
    assert "cannot write weights to" in result.stderr
    assert result.stderr.count("\n") == 1


def test_pairs_of_another_size_than_todays_stay_usable(tmp_path: Path) -> None:
    """Releases may change the size of a network; what was encoded with the former one must stay decodable."""
    network = Crn(4, width=16, encoder_depth=3, decoder_depth=5)
    with torch.no_grad():
        network.decoder.tail.weight.normal_(std=0.01)
    state = network.state_dict()
    install(state, Entry("crn", 4, "old.safetensors", model_hash(state), 1), tmp_path)
    loaded, lr = load_backbone("crn", 4, weights_dir=tmp_path), torch.rand(1, 3, 6, 5)
    assert (loaded.name, loaded.scale, loaded.halo_px) == ("crn", 4, 7)
    torch.testing.assert_close(loaded.upscale(lr), network.upscale(lr))
    with pytest.raises(ModelError, match="x4, not x2"):
        load_backbone("crn", 2, weights=tmp_path / "old.safetensors")


def test_weights_that_are_replaced_move_aside(tmp_path: Path) -> None:
    first, second = ({"v": torch.full((2,), float(value))} for value in (1, 2))
    for state in (first, second, second, first):
        install(state, Entry("crn", 4, "crn_x4.safetensors", model_hash(state), 2), tmp_path)
    entries = read_manifest(tmp_path)
    assert entries[0].hash == model_hash(first)
    assert {entry.hash: read_weights(tmp_path / entry.file)["v"][0].item() for entry in entries} == {
        model_hash(first): 1,
        model_hash(second): 2,
    }
