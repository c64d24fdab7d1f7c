"""The kernel beside PyTorch's convolutions, and beside another checkout of hcdcodec.

    python benchmarks/kernel.py trunks                 each level and float type, on trunks of several sizes
    HCDCODEC_IMAGES=images python benchmarks/kernel.py commands --base DIR
                                                       encode and decode here and in the checkout in DIR, by turns

Ways take turns, and of their rounds the fastest counts, since other work only ever adds time. Of commands both the time
that passes and that of the processors are told: the second hardly depends on what else a machine does.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import record
import torch
from PIL import Image

from hcdcodec.networks.crn import Trunk
from hcdcodec.networks.native import library

ROOT = Path(__file__).parents[1]
SHAPES = ((64, 22, 1, 36), (64, 22, 8, 88), (48, 14, 8, 64), (128, 24, 4, 48))
"""(width, depth, pictures, side in LR samples)."""

NARROW = {"CC": "cc -mno-avx512f", "HCDCODEC_NATIVE": "avx2"}
"""What keeps a checkout that compiles its kernel itself, and one that does not, from AVX-512."""

SETTINGS: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "without AVX-512": NARROW,
    "without the kernel": {"HCDCODEC_NATIVE": "0"},
}


@dataclass(frozen=True)
class Way:
    """How a trunk is computed: at most by a level, or 0 for PyTorch, in which float type."""

    level: str
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """Return what tables call it."""
        kind = str(self.dtype).removeprefix("torch.")
        return f"{'PyTorch' if self.level == '0' else self.level}, {kind}"


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["trunks", "commands"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--base", type=Path, help="checkout to compare with")
    parser.add_argument("--setting", action="append", choices=list(SETTINGS), help="default: all")
    record.add_options(parser)
    given = parser.parse_args()
    rows = list(_trunks(given.rounds) if given.what == "trunks" else _commands(given))
    record.say(rows)
    record.write_csv(given.out / f"kernel_{given.what}.csv", rows)


def _trunks(rounds: int) -> Iterator[record.Row]:
    best = library.kernel()
    levels = [] if best is None else library.LEVELS[library.LEVELS.index(best.level) :]
    ways = [Way(level, torch.float32) for level in ("0", *levels)]
    ways += [Way(level, torch.bfloat16) for level in ("0", *levels[: best is not None and best.halves])]
    for width, depth, count, side in SHAPES:
        torch.manual_seed(0)
        trunk = Trunk(3, 48, width, depth)
        x = (torch.rand(count, 3, side, side) - 0.5).contiguous(memory_format=torch.channels_last)
        actions = {
            "forward_ms": partial(_forward, trunk, x),
            "gradient_ms": partial(_gradient, trunk, x),
            "training_ms": partial(_training, trunk, x),
        }
        spent = {way: {name: 1e3 * value for name, value in _fastest(way, actions, rounds).items()} for way in ways}
        for way, times in spent.items():
            yield {"width": width, "depth": depth, "pictures": count, "side": side, "way": way.name, **times}


def _fastest(way: Way, actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the shortest of several times of each action, in seconds."""
    os.environ["HCDCODEC_NATIVE"] = way.level
    library.kernel.cache_clear()
    best = dict.fromkeys(actions, float("inf"))
    with torch.autocast("cpu", torch.bfloat16, enabled=way.dtype == torch.bfloat16):
        for _ in range(rounds + 1):  # the first pays for preparations
            for name, action in actions.items():
                begun = time.perf_counter()
                action()
                best[name] = min(best[name], time.perf_counter() - begun)
    return best


@torch.inference_mode()
def _forward(trunk: Trunk, x: torch.Tensor) -> None:
    _freeze(trunk)
    trunk(x)


def _gradient(trunk: Trunk, x: torch.Tensor) -> None:
    """Take the gradient by the input, as a search does."""
    _freeze(trunk)
    lr = x.detach().requires_grad_()
    torch.autograd.grad(trunk(lr).float().sum(), lr)


def _training(trunk: Trunk, x: torch.Tensor) -> None:
    """Take the gradients by the weights."""
    trunk.train().requires_grad_(True)
    torch.autograd.grad(trunk(x).float().sum(), list(trunk.parameters()))


def _freeze(trunk: Trunk) -> None:
    trunk.requires_grad_(False)
    if trunk.kept is None:
        trunk.freeze()


def _commands(given: argparse.Namespace) -> Iterator[record.Row]:
    """Encode and decode a megapixel of photographs with the same weights."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source.png"
        Image.fromarray(_megapixel()).save(source)
        for setting in given.setting or SETTINGS:
            weights = str(given.base.resolve() / "weights")
            places = {"base": given.base.resolve(), "here": ROOT}
            spent: dict[str, list[record.Row]] = {place: [] for place in places}
            for _ in range(given.rounds):
                for place, root in places.items():
                    spent[place].append(
                        _trip(root, source, folder / place, {"HCDCODEC_WEIGHTS": weights, **SETTINGS[setting]})
                    )
            for place, rows in spent.items():
                least = {name: min(row[name] for row in rows) for name in rows[0]}  # type: ignore[type-var]
                yield {"setting": setting, "checkout": place, **least}


def _trip(root: Path, source: Path, folder: Path, setting: Mapping[str, str]) -> record.Row:
    """Return what encoding and decoding in a checkout take, and what comes out."""
    folder.mkdir(exist_ok=True)
    small, back = folder / "small.png", folder / "back.png"
    row: dict[str, float] = {}
    for command, files in {"encode": (source, small), "decode": (small, back)}.items():
        files[1].unlink(missing_ok=True)
        program = [sys.executable, "-c", "from hcdcodec.cli import main; main()", command, *map(str, files)]
        environment = {**os.environ, "PYTHONPATH": str(root), **setting}
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(program, env=environment, cwd=folder, check=True)  # so that no other checkout is nearer
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        row[f"{command}_s"] = time.perf_counter() - begun
        row[f"{command}_cpu_s"] = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    error = np.square(np.asarray(Image.open(source), np.float64) - np.asarray(Image.open(back), np.float64)).mean()
    return {**row, "bytes": small.stat().st_size, "psnr_rgb": 10 * np.log10(255**2 / error)}


def _megapixel() -> np.ndarray:
    """Return four photographs of Kodak side by side, 1024x1024 of them."""
    folder = Path(os.environ.get("HCDCODEC_IMAGES", ".")) / "test" / "Kodak"
    found = (np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir()) if path.suffix == ".png")
    first = [pixels for pixels in found if pixels.shape == (512, 768, 3)][:4]
    whole = np.vstack([np.hstack(first[:2]), np.hstack(first[2:])])
    return np.ascontiguousarray(whole[:, 256:1280])


if __name__ == "__main__":
    main()
