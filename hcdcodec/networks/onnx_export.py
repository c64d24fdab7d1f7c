"""Write a decoder as ONNX, for programs that run networks without PyTorch.

    input   lr, and z for networks with details z: (B, C, h, w) float32; lr in [0, 1]
    output  hr: (B, 3, h * scale, w * scale) float32, about [0, 1], not clamped

B, h and w are free. Tiles, the mean of grey pictures, clamping and rounding are left to the caller, as docs/format.md
describes them.
"""

import importlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hcdcodec.errors import UsageError
from hcdcodec.files import disk
from hcdcodec.networks.base import Backbone, DetailPlane

OPSET = 17

_MARK = b"\n\nmodel_hash\x12@"
"""By this our files are known: the property model_hash as it stands in the file, with its length and that of a hash."""


def check_place(path: Path) -> None:
    """Check that a network replaces nothing but another network of ours.

    Raises:
        UsageError: a file that is not ours stands there.
    """
    disk.check_place(path, _MARK, kind="network", content="ONNX")


class _Decoder(nn.Module):
    """`Backbone.upscale` as the forward pass."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, lr: torch.Tensor, *details: torch.Tensor) -> torch.Tensor:
        return self.backbone.upscale(lr, details)


def onnx_of(backbone: Backbone) -> bytes:
    """Return the decoder of a network as an ONNX file.

    Raises:
        UsageError: the package onnx is not installed.
    """
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise UsageError("ONNX needs the package onnx; pip install 'hcdcodec[onnx]'") from error
    sample = (
        torch.rand(1, 3, 12, 16),
        *(torch.zeros(1, p.channels, 12 * p.factor, 16 * p.factor) for p in _z(backbone)),
    )
    names = ["lr", *(f"z{place}" for place, _ in enumerate(_z(backbone)))]
    free: Mapping[str, Any] = {name: {0: "batch", 2: f"{name}_rows", 3: f"{name}_columns"} for name in (*names, "hr")}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # It warns that it will go. The newer one needs one more package, and another way to free the sizes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Decoder(backbone),
            sample,
            buffer,  # type: ignore[arg-type]
            input_names=names,
            output_names=["hr"],
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(
        model, {"backbone": backbone.name, "scale": str(backbone.scale), "model_hash": backbone.model_hash}
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _z(backbone: Backbone) -> tuple[DetailPlane, ...]:
    return backbone.details if backbone.details_scale else ()
