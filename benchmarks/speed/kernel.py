"""The kernel beside PyTorch's convolutions: trunks of several sizes, by level and float type.

    python -m benchmarks.speed.kernel
    python -m benchmarks.speed.kernel --rounds 20 --shape 64 22 1 36

Of the rounds the fastest counts, since other work only ever adds time.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

import torch

from benchmarks.common import record
from hcdcodec.networks.crn import Trunk
from hcdcodec.networks.native import library

SHAPES = ((64, 22, 1, 36), (64, 22, 8, 88), (48, 14, 8, 64), (128, 24, 4, 48))
"""(width, depth, pictures, side in LR samples)."""


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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=4, action="append", metavar=("WIDTH", "DEPTH", "PICTURES", "SIDE"))
    given = record.parse(parser)
    rows = list(_trunks(given.shape or SHAPES, given.rounds))
    record.say(rows)
    record.write_csv(given.out / "kernel.csv", rows)


def _trunks(shapes: Sequence[Sequence[int]], rounds: int) -> Iterator[record.Row]:
    best = library.kernel()
    levels = [] if best is None else library.LEVELS[library.LEVELS.index(best.level) :]
    ways = [Way(level, torch.float32) for level in ("0", *levels)]
    ways += [Way(level, torch.bfloat16) for level in ("0", *levels[: best is not None and best.halves])]
    for width, depth, count, side in shapes:
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
    best = dict.fromkeys(actions, float("inf"))
    with _at_most(way.level), torch.autocast("cpu", torch.bfloat16, enabled=way.dtype == torch.bfloat16):
        for _ in range(rounds + 1):  # the first pays for preparations
            for name, action in actions.items():
                begun = time.perf_counter()
                action()
                best[name] = min(best[name], time.perf_counter() - begun)
    return best


@contextmanager
def _at_most(level: str) -> Iterator[None]:
    """Allow no better level, and afterwards what was allowed before: tests run scripts in their own process."""
    with patch.dict(os.environ, HCDCODEC_NATIVE=level):
        library.kernel.cache_clear()
        yield
    library.kernel.cache_clear()


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


if __name__ == "__main__":
    main()
