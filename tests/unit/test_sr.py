"""Super-resolution networks that spandrel loads: imported, searched, through files and back; anything else is refused.

No checkpoint of anybody's is needed: small networks of spandrel's own classes get seeded random weights.
"""

import importlib.util
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_files import Payload, saved
from conftest import Draw, Run
from PIL import Image
from safetensors.torch import load_file, save_file

import hcdcodec as package
from hcdcodec.errors import ModelError
from hcdcodec.networks import sr
from hcdcodec.networks.import_checkpoint import PLAIN, import_checkpoint
from hcdcodec.networks.manifest import read_manifest
from hcdcodec.networks.reference_chart import chart
from hcdcodec.networks.registry import load_backbone
from hcdcodec.networks.weights import model_hash

Tensors = dict[str, torch.Tensor]

needs_spandrel = pytest.mark.skipif(
    importlib.util.find_spec("spandrel") is None, reason="spandrel is missing; pip install 'hcdcodec[sr]'"
)


def architectures() -> Any:
    """Return spandrel's networks, loaded as ours loads them."""
    return sr._spandrel().architectures


def compact(seed: int = 0, **sizes: Any) -> Tensors:
    return state_of(architectures().Compact.Compact(**{"num_feat": 8, "num_conv": 2, "upscale": 4} | sizes), seed)


def rrdb(seed: int = 0) -> Tensors:
    return state_of(architectures().ESRGAN.ESRGAN(num_filters=8, num_blocks=1, scale=4), seed)


def swinir(seed: int = 0) -> Tensors:
    sizes = {"img_size": 16, "window_size": 4, "embed_dim": 12, "depths": [2], "num_heads": [2]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.meshgrid")
        network = architectures().SwinIR.SwinIR(**sizes, upscale=2, upsampler="pixelshuffle", img_range=1.0)
    return state_of(network, seed)


def state_of(network: torch.nn.Module, seed: int) -> Tensors:
    """Fill the parameters, leave the constants, and return all."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in network.parameters():
            values.copy_(0.08 * torch.randn(values.shape, generator=generator))
    return dict(network.state_dict())


KINDS: Mapping[str, tuple[Callable[[], Tensors], int, str]] = {
    "rrdb": (rrdb, 4, "ESRGAN, 8nf, 1nb"),
    "swinir": (swinir, 2, "SwinIR, small, "),
    "compact": (compact, 4, "RealESRGAN Compact, "),
    "compact5": (partial(compact, upscale=5), 5, "RealESRGAN Compact, "),  # no divisor of the chart's sides
}


def install(tensors: Tensors, directory: Path) -> str:
    """Import tensors from a file; return their model hash."""
    return import_checkpoint(saved(directory / "x.pth", tensors), directory, backbone="sr").entry.hash


@needs_spandrel
@pytest.mark.parametrize("kind", KINDS)
def test_import_keeps_the_tensors_and_reads_the_scale(kind: str, tmp_path: Path, hcdcodec: Run) -> None:
    make, scale, network = KINDS[kind]
    tensors = make()
    file = saved(tmp_path / f"{kind}.pth", {"params_ema": {f"module.{name}": tensors[name] for name in tensors}})
    ran = hcdcodec("models", "import", file, "--backbone", "sr", "--weights-dir", tmp_path / "weights")
    assert (ran.status, ran.err) == (0, "")
    (entry,) = read_manifest(tmp_path / "weights")
    stored = load_file(tmp_path / "weights" / entry.file)
    assert stored.keys() == tensors.keys()
    assert all(torch.equal(values, tensors[name]) for name, values in stored.items())
    assert (entry.name, entry.scale, entry.hash) == ("sr", scale, model_hash(tensors))
    assert entry.origin["imported from"] == f"{kind}.pth"
    assert entry.origin["network"].startswith(network)
    said = ran.out.decode()
    assert f"sr x{scale} {entry.hash[:12]} from {kind}.pth ({entry.origin['network']}): {PLAIN} " in said
    listed = hcdcodec("models", "list", "--weights-dir", tmp_path / "weights").out.decode()
    assert f"sr x{scale} {entry.hash[:12]}" in " ".join(listed.split())
    assert entry.origin["network"] in listed


@needs_spandrel
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(16, 24), (18, 33), (5, 3), (1, 1)])
def test_upscaling_is_spandrels(kind: str, size: tuple[int, int]) -> None:
    tensors = KINDS[kind][0]()
    lr = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    expected = sr._spandrel().ModelLoader().load_from_state_dict(dict(tensors)).eval()(lr)
    with torch.inference_mode():
        made = sr.rebuild(tensors).eval().upscale(lr)
    assert made.shape == expected.shape
    assert (made.clamp(0, 1) - expected).abs().max() <= 1e-5


@needs_spandrel
@pytest.mark.parametrize("kind", KINDS)
def test_downscaling_is_bicubic(kind: str, tmp_path: Path) -> None:
    install(KINDS[kind][0](), tmp_path)
    scale = KINDS[kind][1]
    hr = torch.rand(1, 3, 4 * scale, 5 * scale, generator=torch.Generator().manual_seed(1))
    network = load_backbone("sr", scale, weights_dir=tmp_path)
    assert torch.equal(network.downscale(hr), load_backbone("bicubic", scale).downscale(hr))


@needs_spandrel
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["ste", "paper"])
def test_there_and_back_through_files(kind: str, method: str, tmp_path: Path, draw: Draw, hcdcodec: Run) -> None:
    make, scale, _ = KINDS[kind]
    installed = install(make(), tmp_path)
    original = draw(50, 39, 3)
    Image.fromarray(original).save(tmp_path / "a.png")
    weights = ("--weights-dir", tmp_path)
    how = ("-e", "2") if method == "ste" else ("--method", "paper")
    options = ("-b", "sr", "-s", str(scale), *how, "-Q", "100", "--json", *weights)
    ran = hcdcodec("encode", tmp_path / "a.png", f"{tmp_path}/small/", *options)
    assert ran.status == 0, ran.err
    told = json.loads(ran.out)
    assert told["psnr"] > told["psnr_before"]
    ran = hcdcodec("decode", tmp_path / "small/a.png.hcd.png", f"{tmp_path}/restored/", *weights)
    assert ran.status == 0, ran.err
    restored = np.asarray(Image.open(tmp_path / "restored/a.png"))
    error = np.square(restored.astype(float) - original).mean()
    assert 10 * np.log10(255**2 / error) == pytest.approx(told["psnr"], abs=0.01)
    described = json.loads(hcdcodec("info", "--json", tmp_path / "small/a.png.hcd.png").out)
    assert (described["backbone"], described["model_hash"]) == ("sr", installed[:32])
    assert described["tile"] > 0  # the decoder cannot choose its own tiles


@needs_spandrel
def test_searching_gains(tmp_path: Path) -> None:
    install(compact(), tmp_path)  # nearest neighbours, somewhat disturbed: the LR can make up for little
    found = package.encode_report(chart(), backbone="sr", effort=2, quality=100, weights_dir=tmp_path)
    assert found.psnr - found.psnr_before > 0.03


@needs_spandrel
def test_files_choose_among_several_networks(tmp_path: Path, draw: Draw) -> None:
    old, new = install(compact(seed=1), tmp_path), install(compact(seed=2), tmp_path)
    pixels = draw(16, 16, 3)

    def encoded(backbone: str) -> bytes:
        return package.encode(pixels, backbone=backbone, effort=0, weights_dir=tmp_path)

    assert encoded("sr") == encoded(f"sr@{new[:8]}") != encoded(f"sr@{old[:8]}")
    for backbone, digest in (("sr", new), (f"sr@{old[:8]}", old)):
        network = load_backbone(backbone, 4, weights_dir=tmp_path)
        assert (network.name, network.model_hash) == ("sr", digest)
        package.decode(encoded(backbone), weights_dir=tmp_path)
    with pytest.raises(ModelError, match=f"needs the sr x4 weights 0123, but only {new[:12]}, {old[:12]}"):
        load_backbone("sr@0123", 4, weights_dir=tmp_path)
    with pytest.raises(ModelError, match="no weights for sr x3 are installed; import a checkpoint"):
        load_backbone("sr", 3, weights_dir=tmp_path)


@needs_spandrel
def test_saving_memory_changes_no_gradient() -> None:
    network = sr.rebuild(compact()).eval().requires_grad_(False)
    lr = torch.rand(3, 3, 9, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    slopes = []
    for recompute_from_px in (1, 1 << 30):
        network.recompute_from_px = recompute_from_px
        slopes.append(torch.autograd.grad(network.upscale(lr).square().sum(), lr)[0])
    assert torch.equal(*slopes)


@needs_spandrel
def test_other_kinds_of_files_are_read(tmp_path: Path) -> None:
    tensors = compact()
    save_file(tensors, tmp_path / "x.safetensors")
    assert sr.read_sr_checkpoint(tmp_path / "x.safetensors").tensors.keys() == tensors.keys()
    halves = saved(tmp_path / "half.pth", {name: values.half() for name, values in tensors.items()})
    assert {values.dtype for values in sr.read_sr_checkpoint(halves).tensors.values()} == {torch.float32}
    (tmp_path / "x.safetensors").write_bytes(b"\x10" + bytes(7) + b"{damaged")
    with pytest.raises(ModelError, match="no safetensors file"):
        sr.read_sr_checkpoint(tmp_path / "x.safetensors")


@needs_spandrel
def test_code_in_a_checkpoint_never_runs(tmp_path: Path, hcdcodec: Run) -> None:
    file = saved(tmp_path / "x.pth", {"params": compact(), "extra": Payload(tmp_path / "ran")})
    ran = hcdcodec("models", "import", file, "-b", "sr", "--weights-dir", tmp_path / "weights")
    assert ran.status == 1
    assert ran.err == f"hcdcodec: {file}: is damaged, or holds more than tensors; import an official .pth file\n"
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "weights").exists()


@needs_spandrel
def test_networks_of_another_kind_are_refused(tmp_path: Path, hcdcodec: Run) -> None:
    denoiser = state_of(architectures().DnCNN.DnCNN(in_nc=3, out_nc=3, nc=8, nb=4), 0)
    in_place = state_of(architectures().PLKSR.PLKSR(dim=8, n_blocks=1, upscaling_factor=4), 0)
    reasons: list[tuple[Tensors, str]] = [
        ({"a": torch.ones(1)}, "is no network that spandrel"),
        (compact() | {"body.0.bias": torch.ones(3)}, "is no network that spandrel"),
        (compact() | {"body.0.bias": torch.full((8,), torch.nan)}, "not finite (body.0.bias)"),
        (compact(num_in_ch=1, num_out_ch=1), "another kind (RealESRGAN Compact for SR x4, 1 to 1 channels)"),
        (denoiser, "another kind (DnCNN for Restoration x1, 3 to 3 channels)"),
        (in_place, "lets no gradient through"),
    ]
    for tensors, reason in reasons:
        file = saved(tmp_path / "x.pth", tensors)
        ran = hcdcodec("models", "import", file, "-b", "sr", "--weights-dir", tmp_path / "weights")
        assert ran.status == 1
        assert reason in ran.err
        assert ran.err.count("\n") == 1
    assert not (tmp_path / "weights").exists()


@needs_spandrel
def test_what_draws_noise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = architectures().Compact.Compact.forward
    noisy = lambda self, x: forward(self, x + 0.1 * torch.rand_like(x))  # noqa: E731
    monkeypatch.setattr(architectures().Compact.Compact, "forward", noisy)
    with pytest.raises(ModelError, match="makes another picture each time"):
        install(compact(), tmp_path)


@needs_spandrel
def test_the_call_must_fit_the_file(tmp_path: Path) -> None:
    file = saved(tmp_path / "x.pth", compact())
    with pytest.raises(ModelError, match="holds sr x4, not sr x2"):
        import_checkpoint(file, tmp_path / "weights", backbone="sr", scale=2)
    with pytest.raises(ModelError, match="name --backbone sr for a super-resolution network"):
        import_checkpoint(file, tmp_path / "weights")


def test_training_starts_from_other_networks(tmp_path: Path, draw: Draw, hcdcodec: Run) -> None:
    Image.fromarray(draw(200, 200, 3)).save(tmp_path / "a.png")
    ran = hcdcodec("train", tmp_path, "--minutes", "1", "-b", "sr", "--out", tmp_path / "trained")
    assert ran.status == 2
    assert "sr has no network without weights" in ran.err


@needs_spandrel
def test_without_spandrel_one_line_says_what_to_install(
    tmp_path: Path, draw: Draw, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(tmp_path / "x.pth", compact())
    install(compact(), tmp_path)
    (tmp_path / "a.hcd.png").write_bytes(package.encode(draw(8, 8, 3), backbone="sr", effort=0, weights_dir=tmp_path))
    Image.fromarray(draw(8, 8, 3)).save(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    weights = ("--weights-dir", tmp_path)
    for status, *arguments in (
        (1, "models", "import", file, "-b", "sr", *weights),
        (3, "encode", tmp_path / "a.png", f"{tmp_path}/small/", "-b", "sr", *weights),
        (1, "verify", tmp_path / "a.hcd.png", *weights),
        (1, "decode", "-q", tmp_path / "a.hcd.png", f"{tmp_path}/restored/", *weights),
    ):
        ran = hcdcodec(*arguments)
        assert ran.status == status, ran.err
        assert "sr needs the package spandrel (" in ran.err
        assert "; pip install 'hcdcodec[sr]'\n" in ran.err
        assert "Traceback" not in ran.err
