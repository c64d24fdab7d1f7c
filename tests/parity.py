"""Weights and arrays of data/parity, see its README."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

from hcdcodec.networks.base import Backbone
from hcdcodec.networks.checkpoints import rename
from hcdcodec.networks.hcflow import HcFlow
from hcdcodec.networks.irn import Irn

DATA = Path(__file__).parent / "data" / "parity"
NETWORKS = {"irn_x2": lambda: Irn(2), "irn_x4": lambda: Irn(4), "hcflow_x4": HcFlow}
HAAR = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=np.float32).reshape(4, 1, 2, 2)


def official_tensors(which: str) -> dict[str, torch.Tensor]:
    """Return a state dict as the reference would save it, filled from the names of its tensors."""
    shapes = json.loads((DATA / f"{which}.keys.json").read_text(encoding="utf-8"))
    return {name: torch.from_numpy(filled(name, shape)) for name, shape in shapes.items()}


def filled(name: str, shape: list[int]) -> np.ndarray:
    """Return the values of one tensor."""
    if "haar_weights" in name:
        return np.tile(HAAR, (shape[0] // 4, 1, 1, 1))
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    values = generator.standard_normal(shape).astype(np.float32)
    if values.ndim == 4 and name.endswith("weight"):
        return values * np.float32(0.3 / np.sqrt(values[0].size))
    if values.ndim == 2:
        return np.linalg.qr(values.astype(np.float64))[0].astype(np.float32)
    return values * np.float32(0.02)


def parity_network(network: Backbone) -> Backbone:
    """Return the network, filled as the reference was, frozen."""
    network.load_state_dict(rename(official_tensors(f"{network.name}_x{network.scale}"), network))
    return network.eval().requires_grad_(False)


def vectors(which: str) -> dict[str, torch.Tensor]:
    """Return the reference's inputs and outputs."""
    with np.load(DATA / f"{which}.seed0.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def error(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Return the largest difference over the largest value."""
    assert ours.shape == reference.shape
    return float((ours - reference).abs().max() / reference.abs().max())
