"""Decoders as ONNX compute what ours compute, at any size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Ran, Run

from hcdcodec.networks.base import Backbone, DetailPlane
from hcdcodec.networks.manifest import identify
from hcdcodec.networks.onnx_export import onnx_of
from hcdcodec.networks.registry import build, load_backbone

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


class Scaled(Backbone):
    """A network that adds details z to the LR."""

    name, scale, details, details_scale, model_hash = "scaled", 1, (DetailPlane(3, 1),), 1.0, "ab"

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        return lr + 2 * details[0]


@pytest.mark.parametrize(("name", "scale"), [("crn", 2), ("crn", 4), ("irn", 2), ("bicubic", 3)])
def test_onnxruntime_agrees(name: str, scale: int) -> None:
    network = load_backbone(name, scale)
    session = onnxruntime.InferenceSession(onnx_of(network))
    properties = session.get_modelmeta().custom_metadata_map
    assert properties == {"backbone": name, "scale": str(scale), "model_hash": network.model_hash}
    for shape in ((1, 3, 9, 14), (2, 3, 21, 5)):
        lr = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        (hr,) = session.run(None, {"lr": lr.numpy()})
        with torch.inference_mode():
            assert np.abs(hr - network.upscale(lr).numpy()).max() * 255 < 0.01


@pytest.mark.slow
def test_hcflow_is_written_with_its_inverses() -> None:
    network = build("hcflow", 4)
    network.freeze()
    network.model_hash = "0" * 64
    session = onnxruntime.InferenceSession(onnx_of(network))
    lr = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    (hr,) = session.run(None, {"lr": lr.numpy()})
    with torch.inference_mode():
        assert np.abs(hr - network.upscale(lr).numpy()).max() < 1e-5


def test_details_are_inputs() -> None:
    network = Scaled()
    session = onnxruntime.InferenceSession(onnx_of(network))
    lr, z = torch.rand(1, 3, 8, 6), torch.randn(1, 3, 8, 6)
    (hr,) = session.run(None, {"lr": lr.numpy(), "z0": z.numpy()})
    assert np.abs(hr - network.upscale(lr, (z,)).numpy()).max() < 1e-6


def test_the_command_writes_it(hcdcodec: Run, here: Path) -> None:
    ran = hcdcodec("models", "export", "--onnx", "decoder.onnx", "--scale", "2")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.decode().startswith(f"crn x2 {identify('crn', 2).hash[:12]}: decoder.onnx")
    assert onnxruntime.InferenceSession("decoder.onnx").get_inputs()[0].name == "lr"


def test_only_a_network_of_ours_is_replaced(hcdcodec: Run, here: Path) -> None:
    def export() -> Ran:
        return hcdcodec("models", "export", "--onnx", "decoder.onnx", "--scale", "2", "--backbone", "bicubic")

    Path("decoder.onnx").write_bytes(b"")  # as mktemp makes it
    assert [export().status for _ in range(2)] == [0, 0]
    Path("decoder.onnx").write_bytes(b'a photograph, or {"model_hash": 1}')
    ran = export()
    said = "decoder.onnx is something else than a network of ours; write the ONNX elsewhere"
    assert (ran.status, ran.out) == (2, b"") and said in ran.err
    assert Path("decoder.onnx").read_bytes().startswith(b"a photograph")
