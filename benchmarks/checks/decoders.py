"""How far three decoders are from the release that wrote a file: this code, decode.py on numpy, and ONNX.

    python -m benchmarks.checks.decoders --checkout ../release-0.1.0
    python -m benchmarks.checks.decoders

With --checkout, that checkout encodes the photographs of tests/data, and one of them once more as grey with alpha, with
each network that it ships (irn: their middles), and decodes them again: these are the pixels to reach. Without it,
files and pixels are the golden ones of tests/golden. Differences are in levels of 8 bits, over all samples of all
pictures, alpha included.
"""

import argparse
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.common import record
from benchmarks.common.pictures import SHIPPED
from hcdcodec import api
from hcdcodec.codec.decode import decode_picture
from hcdcodec.engine.engine import engine_for
from hcdcodec.files.encoded_names import is_encoded
from hcdcodec.format import container
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.manifest import installed, read_manifest
from hcdcodec.networks.onnx_export import onnx_of
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures.picture import Levels, Mode

GOLDEN = record.ROOT / "tests" / "golden"
Decode = Callable[[bytes], Levels]


class OnnxBackbone(Backbone):
    """A network whose decoder runs in onnxruntime."""

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.name, self.scale = network.name, network.scale
        self.multiple, self.halo_px = network.multiple, network.halo_px
        self.session = importlib.import_module("onnxruntime").InferenceSession(onnx_of(network))

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        return torch.from_numpy(self.session.run(None, {"lr": lr.contiguous().numpy()})[0])


def main() -> None:
    """Decode all files in all ways and write one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkout", type=Path, help="of the release that encodes; default: the golden files")
    parser.add_argument("--effort", default="1", help="how long it searches with crn; default: 1")
    given = record.parse(parser)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.checkout:
            _encode(given.checkout.resolve(), folder, given.effort)
        pairs = _pairs(folder / "small", folder / "restored") if given.checkout else _pairs(GOLDEN, GOLDEN)
        ways = {"this code": api.decode, "decode.py": _reference(folder), "onnxruntime": _by_onnx}
        rows = [row for network, files in pairs.items() for row in _measured(network, files, ways)]
    record.say(rows)
    record.write_csv(given.out / "decoders.csv", rows)


def _encode(checkout: Path, folder: Path, effort: str) -> None:
    """Make small files and their pixels with each network that a checkout ships."""
    shutil.copytree(SHIPPED, folder / "photos", ignore=shutil.ignore_patterns("*.md"))
    with Image.open(SHIPPED / "chelsea.png") as photograph:
        grey = photograph.convert("L")
    grey.putalpha(Image.linear_gradient("L").resize(grey.size))
    grey.save(folder / "photos" / "grey.png")
    (folder / "middles").mkdir()
    for path in (folder / "photos").iterdir():
        with Image.open(path) as photograph:
            left, top = (photograph.width - 280) // 2, (photograph.height - 260) // 2
            photograph.crop((left, top, left + 280, top + 260)).save(folder / "middles" / f"{path.stem}.png")
    run = [sys.executable, "-c", "from hcdcodec.cli import main; main()"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    for entry in read_manifest(checkout / "weights"):
        small = f"small/{entry.name} x{entry.scale}/"
        # irn takes minutes where crn takes seconds, so it gets the middles, without a search.
        source, own = ("photos/", effort) if entry.name == "crn" else ("middles/", "0")
        chosen = ["--backbone", entry.name, "--scale", str(entry.scale), "--effort", own]
        subprocess.run([*run, "encode", *chosen, source, small], cwd=folder, env=environment, check=True)
    subprocess.run([*run, "decode", "small/", "restored/"], cwd=folder, env=environment, check=True)


def _pairs(small: Path, restored: Path) -> dict[str, list[tuple[bytes, Levels]]]:
    """Return the files of each network, with the pixels that they must give."""
    found: dict[str, list[tuple[bytes, Levels]]] = {}
    for path in sorted(path for path in small.rglob("*") if is_encoded(path.name)):
        data = path.read_bytes()
        header = container.peek(data)
        stem = restored / path.relative_to(small).with_name(path.name.partition(".hcd.")[0])
        pixels = next(each for each in (stem.with_name(f"{stem.name}.png"), stem) if each.exists())
        if header.backbone in ("crn", "irn"):
            network = f"{header.backbone} x{header.scale} {header.model_hash.hex()[:12]}"
            channels = ("L" if header.mode is Mode.GREY else "RGB") + "A" * bool(header.alpha_rule)
            found.setdefault(network, []).append((data, np.asarray(Image.open(pixels).convert(channels))))
    return found


def _reference(folder: Path) -> Decode:
    """Return `decode` of decode.py, which looks for weights beside itself."""
    for path, _ in installed():
        shutil.copy(path, folder)
    shutil.copy(record.ROOT / "hcdcodec" / "docs" / "decode.py", folder)
    about = importlib.util.spec_from_file_location("reference_decoder", folder / "decode.py")
    assert about and about.loader
    module: Any = importlib.util.module_from_spec(about)
    about.loader.exec_module(module)
    return module.decode  # type: ignore[no-any-return]


def _by_onnx(data: bytes) -> Levels:
    packed = container.unpack(data)
    header = packed.header
    network = load_backbone(header.backbone, header.scale, hash_prefix=header.model_hash.hex())
    return decode_picture(engine_for(OnnxBackbone(network)), packed).levels


def _measured(network: str, files: Sequence[tuple[bytes, Levels]], ways: dict[str, Decode]) -> Iterator[record.Row]:
    for name, decode in ways.items():
        apart = np.concatenate([np.abs(decode(data).astype(int) - pixels).ravel() for data, pixels in files])
        yield {
            "network": network,
            "files": len(files),
            "decoder": name,
            "samples": apart.size,
            "differing": int((apart > 0).sum()),
            "share": f"{(apart > 0).mean():.2g}",
            "largest": int(apart.max()),
        }


if __name__ == "__main__":
    main()
