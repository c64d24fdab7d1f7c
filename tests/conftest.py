"""What several test modules share: a tiny network that needs no shipped weights, and drawn pictures.

torch is imported inside the fixtures that need it: most modules run without it.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

if TYPE_CHECKING:
    from hcdcodec.engine.engine import Engine

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"

# The benchmarks are tested, too, and not installed. Last, so that an installed package comes before the checkout's.
sys.path.append(str(ROOT))

# Test pictures are so small that threads cost more than they save; subprocesses inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Show a GPU only to the tests that ask for one: what others compare with comes from a CPU."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


FAST = ("-b", "bicubic", "-e", "0")
"""Options of encode that cost no time."""

PROGRAM = "import sys; sys.argv[0] = 'hcdcodec'; from hcdcodec.cli import main; main()"
"""The command for `python -c`, for tests that are about a process."""

Levels = npt.NDArray[np.uint8]
Draw = Callable[..., Levels]


@dataclass(frozen=True)
class Tiny:
    """A network of random weights that is known by name and installed."""

    name: str
    scale: int
    weights_dir: Path

    def engine(self, *, batch_px: int = 1 << 20) -> "Engine":
        """Return an engine that computes in float32 only, as the reference decode does."""
        return float32_engine(self.name, self.scale, weights_dir=self.weights_dir, batch_px=batch_px)


def float32_engine(name: str, scale: int, *, weights_dir: Path | None = None, batch_px: int = 1 << 20) -> "Engine":
    """Return an engine on the CPU without short cuts."""
    import torch

    from hcdcodec.engine.engine import Engine
    from hcdcodec.networks.registry import load_backbone

    return Engine(load_backbone(name, scale, weights_dir=weights_dir), torch.device("cpu"), torch.float32, batch_px)


@pytest.fixture
def install_tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tiny]:
    """A function that adds a small random CRN to the table of backbones and to a weights directory."""
    import torch

    from hcdcodec.networks.crn import Crn
    from hcdcodec.networks.entry import Entry
    from hcdcodec.networks.families import FAMILIES, Family
    from hcdcodec.networks.registry import BUILDERS, Builder
    from hcdcodec.networks.weights import install, model_hash

    def make(name: str = "tiny", scale: int = 4, *, seed: int = 0, distant: bool = False) -> Tiny:
        def build() -> Crn:
            network = Crn(scale, width=8, encoder_depth=1, decoder_depth=1)
            network.name = name
            if distant:
                network.halo_px = None
            return network

        network, generator = build(), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for values in network.parameters():
                values.copy_(0.06 * torch.randn(values.shape, generator=generator))
        state = network.state_dict()
        weights_dir = tmp_path / "weights of tests"
        count = sum(values.numel() for values in state.values())
        install(state, Entry(name, scale, f"{name}_x{scale}.safetensors", model_hash(state), count), weights_dir)
        monkeypatch.setitem(FAMILIES, name, Family("random", (scale,), "run the test"))
        monkeypatch.setitem(BUILDERS, name, Builder(lambda _: build()))
        return Tiny(name, scale, weights_dir)

    return make


@pytest.fixture
def tiny(install_tiny: Callable[..., Tiny]) -> Tiny:
    return install_tiny()


@pytest.fixture(scope="session")
def draw() -> Draw:
    """A function that draws a picture: (height, width[, channels]) uint8 with slopes, an edge and some grain."""

    def drawn(height: int, width: int, channels: int = 0, *, seed: int = 0) -> Levels:
        random = np.random.default_rng(seed)
        rows, columns = np.mgrid[:height, :width]
        planes = []
        for _ in range(max(channels, 1)):
            down, across, phase = random.uniform(0.05, 0.25, 3) * (1, 1, 20)
            waves = 120 + 70 * np.sin(down * rows + across * columns + phase)
            disc = np.hypot(rows - height / 2, columns - width / 3) < min(height, width) / 4
            planes.append(waves + 40 * disc + random.normal(0, 4, (height, width)))
        levels: Levels = np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)
        return levels if channels else levels[..., 0]

    return drawn


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that tests can speak of names as users do."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@dataclass(frozen=True)
class Ran:
    """What a run of the command line left behind."""

    status: int
    out: bytes
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def hcdcodec(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Run]:
    """A function that runs the command line in this process, as cron does: standard error is a pipe."""
    from hcdcodec.cli import main

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["hcdcodec", *map(str, arguments)])
        capfdbinary.readouterr()
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)  # nobody reads before the end
        with os.fdopen(reading, "rb") as said:
            with monkeypatch.context() as patch, os.fdopen(writing, "w", encoding="utf-8") as stream:
                patch.setattr(sys, "stderr", stream)
                with pytest.raises(SystemExit) as left:
                    main()
            err = said.read()
        out, rest = capfdbinary.readouterr()
        assert isinstance(left.value.code, int)
        return Ran(left.value.code, out, (err + rest).decode(errors="surrogateescape"))

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
