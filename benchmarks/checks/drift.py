"""How far decoding drifts: the same LR with other threads, convolutions, precision, tiles and devices.

    python -m benchmarks.checks.drift --crop 256
    python -m benchmarks.checks.drift --backbones crn irn --scales 2 4 --set test/Kodak

The reference is float32 on one CPU thread, the LR as a whole. A decoder's default is float32 and the header's tiles,
with as many threads as there are. Differences are in levels of 8 bits, over all samples of all pictures.
"""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from benchmarks.common import pictures, record
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.engine import Engine, engine_for
from hcdcodec.errors import ModelError, UsageError
from hcdcodec.format import container
from hcdcodec.format.container import Packed
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.native import winograd
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.tiles import DISTANT_HALO

TILE = 24
"""Core of a tile in LR samples: small, so that small pictures have several."""


@dataclass(frozen=True)
class Way:
    """One way to decode."""

    name: str
    threads: int = 1
    device: str = "cpu"
    half: bool = False
    tiled: bool = False
    plain: bool = False


REFERENCE = Way("float32, 1 thread, whole")
WAYS = (
    replace(REFERENCE, name="the same again"),
    Way("2 threads", threads=2),
    Way("tiled", tiled=True),
    Way("2 threads, tiled", threads=2, tiled=True),
    Way("PyTorch's convolutions", plain=True),
    Way("bf16", half=True),
    Way("bf16, tiled", half=True, tiled=True),
)
GPU_WAYS = (
    Way("GPU, float32", device="cuda"),
    Way("GPU, float32, tiled", device="cuda", tiled=True),
    Way("GPU, bf16", device="cuda", half=True),
)


class Half(nn.Module):
    """A backbone whose convolutions are in bf16; what else it has is its own."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name == "backbone" else getattr(self.backbone, name)

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        with torch.autocast(lr.device.type, torch.bfloat16):
            return self.backbone.upscale(lr, details).float()


def main() -> None:
    """Measure every network on every set and write one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=["bicubic", "crn"], help="default: bicubic crn")
    parser.add_argument("--scales", type=int, nargs="+", default=[4], help="default: 4")
    parser.add_argument("--weights-dir", type=Path, help="search this directory for weights first")
    given = record.parse(parser, pictures)
    rows = [row for name in given.backbones for scale in given.scales for row in _measured(given, name, scale)]
    record.say(rows)
    record.write_csv(given.out / "drift.csv", rows)


def _measured(given: argparse.Namespace, name: str, scale: int) -> Iterator[record.Row]:
    try:
        backbone = load_backbone(name, scale, weights_dir=given.weights_dir)
    except (ModelError, UsageError) as error:
        raise SystemExit(str(error)) from error
    for pictured in pictures.chosen(given):
        packed = [_packed(backbone, picture) for _, picture in pictured]
        reference = [_decoded(backbone, REFERENCE, one) for one in packed]
        for way in (*WAYS, *(GPU_WAYS if torch.cuda.is_available() else ())):
            made = [_decoded(backbone, way, one) for one in packed]
            apart = np.concatenate([np.abs(a.astype(int) - b).ravel() for a, b in zip(reference, made, strict=True)])
            yield {
                "backbone": f"{name} x{scale}",
                "pictures": pictured.name,
                "decoded": way.name,
                "samples": apart.size,
                "differing": int((apart > 0).sum()),
                "mean": f"{apart.mean():.3g}",
                "largest": int(apart.max()),
            }


def _packed(backbone: Backbone, picture: Picture) -> Packed:
    """Encode without a search: what drifts is the decoder."""
    (made,) = encode_pictures(engine_for(backbone), [picture], EncodeOptions(Ste(0)))
    return container.unpack(container.pack(made.header, made.lr, alpha=None, metadata=Metadata(), level=0))


def _decoded(backbone: Backbone, way: Way, packed: Packed) -> Levels:
    halo = DISTANT_HALO if backbone.halo_px is None else backbone.halo_px
    header = replace(packed.header, tile=TILE if way.tiled else 0, halo=halo)
    network = Half(backbone.to(way.device)) if way.half else backbone.to(way.device)
    threads = torch.get_num_threads()
    torch.set_num_threads(way.threads)
    without = patch.object(winograd, "applies", return_value=False) if way.plain else contextlib.nullcontext()
    try:
        with without:
            engine: Engine = engine_for(network, way.device)  # type: ignore[arg-type]
            return decode_picture(engine, replace(packed, header=header)).pixels
    finally:
        torch.set_num_threads(threads)
        backbone.to("cpu")


if __name__ == "__main__":
    main()
