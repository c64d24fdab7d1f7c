"""The kernel agrees with exact convolutions at each level, whatever the threads, and is never needed."""

import copy
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from conftest import Ran, Run

from hcdcodec.cli.command import cli
from hcdcodec.engine.devices import Precision, fast_type
from hcdcodec.errors import UsageError
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.native import library, winograd
from hcdcodec.networks.registry import load_backbone

native = pytest.mark.skipif(library.kernel() is None, reason="no kernel on this machine")


@pytest.fixture
def _afresh() -> Iterator[None]:
    """Choose the level anew, before and after."""
    library.kernel.cache_clear()
    yield
    library.kernel.cache_clear()


def _available() -> list[str]:
    """Return the levels that this processor can run, by what the library says."""
    best = library.kernel()
    return [] if best is None else list(library.LEVELS[library.LEVELS.index(best.level) :])


def _halves() -> bool:
    kernel = library.kernel()
    return kernel is not None and kernel.halves


class Case:
    """A trunk with random weights, pictures and slopes."""

    def __init__(self, seed: int) -> None:
        random, self.dice = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        width, self.depth = 16 * int(random.integers(1, 9)), int(random.integers(0, 4))
        channels = [int(random.choice([3, 12, 48, 64, 192])) for _ in range(2)]
        size = [int(random.integers(1, 4)), *(int(random.integers(1, 30)) for _ in range(2))]
        self.x = self._draw(size[0], channels[0], *size[1:])
        shapes = [(width, channels[0]), *[(width, width)] * self.depth, (channels[1], width)]
        self.weights = [self._draw(*shape, 3, 3) / (9 * shape[1]) ** 0.5 for shape in shapes]
        self.biases = [self._draw(shape[0]) for shape in shapes]
        self.slopes = self._draw(size[0], channels[1], *size[1:])

    def _draw(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.dice)

    def compute(self, *, half: bool = False) -> list[torch.Tensor]:
        """Return output, then gradients by x, weights and biases, of the kernel."""
        given = self._given(torch.float32)
        forward, backward = (winograd.transform(self.weights, half=half, back=back) for back in (False, True))
        count = len(self.weights)
        out = winograd.trunk(given[0], given[1 : 1 + count], given[1 + count :], forward, backward, half=half)
        return [out.detach(), *torch.autograd.grad(out, given, self.slopes)]

    def exact(self) -> list[torch.Tensor]:
        """Return the same in float64, multiplied directly."""
        given = self._given(torch.float64)
        pairs = list(zip(given[1 : 1 + len(self.weights)], given[1 + len(self.weights) :], strict=True))
        v = F.leaky_relu(F.conv2d(given[0], *pairs[0], padding=1), 0.2)
        for pair in pairs[1:-1]:
            v = v + F.leaky_relu(F.conv2d(v, *pair, padding=1), 0.2)
        out = F.conv2d(v, *pairs[-1], padding=1)
        return [out.detach(), *torch.autograd.grad(out, given, self.slopes.double())]

    def _given(self, dtype: torch.dtype) -> list[torch.Tensor]:
        return [values.to(dtype).requires_grad_() for values in (self.x, *self.weights, *self.biases)]


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Relative, in the l2 norm: single samples may fall on the other side of the activation's kink."""
    return float((a.double() - b).norm() / b.norm())


@native
@pytest.mark.usefixtures("_afresh")
@pytest.mark.parametrize("level", _available())
def test_values_and_gradients_are_those_of_exact_convolutions(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCDCODEC_NATIVE", level)
    kernel = library.kernel()
    assert kernel is not None
    assert kernel.level == level
    for seed in range(100):
        case = Case(seed)
        expected = case.exact()
        ours = case.compute()
        assert _distance(ours[0], expected[0]) < 1e-5, seed
        assert max(map(_distance, ours[1:], expected[1:])) < 2e-2, seed  # a sign that flips moves many slopes
        if kernel.halves:
            ours = case.compute(half=True)
            assert _distance(ours[0], expected[0]) < 0.03, seed
            assert max(map(_distance, ours[1:], expected[1:])) < 0.4, seed


@native
@pytest.mark.parametrize("half", [False, True])
def test_gradients_agree_where_no_sign_flips(half: bool) -> None:
    """Biases keep all activations on one side of the kink, so that nothing but rounding is left."""
    if half and not _halves():
        pytest.skip("no bfloat16 here")
    case = Case(7)
    case.biases = [values.abs() + 6 for values in case.biases]
    bound = 0.08 if half else 1e-5
    ours, expected = case.compute(half=half), case.exact()
    assert max(map(_distance, ours, expected)) < bound


@native
@pytest.mark.parametrize("half", [False, True])
def test_threads_change_nothing(half: bool) -> None:
    if half and not _halves():
        pytest.skip("no bfloat16 here")
    before, made = torch.get_num_threads(), list[Sequence[torch.Tensor]]()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            made.append(Case(11).compute(half=half))
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        assert all(torch.equal(a, b) for a, b in zip(made[0], other, strict=True))


@native
def test_gradients_by_the_input_alone_are_the_same() -> None:
    case = Case(5)
    x = case.x.clone().requires_grad_()
    forward, backward = (winograd.transform(case.weights, half=False, back=back) for back in (False, True))
    out = winograd.trunk(x, case.weights, case.biases, forward, backward)
    (by_x,) = torch.autograd.grad(out, x, case.slopes)
    assert torch.equal(by_x, case.compute()[1])


@native
@pytest.mark.usefixtures("_afresh")
def test_networks_use_it_and_differ_by_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, lr = load_backbone("crn", 4), torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        ours = network.upscale(lr)
        library.kernel.cache_clear()
        monkeypatch.setenv("HCDCODEC_NATIVE", "0")
        assert network.kernel is None
        exact = network.upscale(lr)
    assert 0 < float((ours - exact).abs().max()) < 1e-5


@native
def test_frozen_networks_compute_as_others_do() -> None:
    torch.manual_seed(0)
    network = Crn(4, width=16, encoder_depth=1, decoder_depth=3)
    lr = torch.rand(1, 3, 9, 7, requires_grad=True)
    network.requires_grad_(False)
    before = torch.autograd.grad(network.upscale(lr).square().sum(), lr)[0]
    network.freeze()
    for one in (network, copy.deepcopy(network), network):
        assert torch.equal(torch.autograd.grad(one.upscale(lr).square().sum(), lr)[0], before)


@native
def test_changed_weights_count_at_once() -> None:
    """Unless a network is frozen, however they change; and if it is, by loading others, and by training."""
    torch.manual_seed(0)
    lr, other = torch.rand(1, 3, 9, 7), Crn(4, 16, 1, 3)
    with torch.no_grad():
        network = Crn(4, 16, 1, 3)
        network.decoder.tail.weight.normal_()
        network.upscale(lr)
        for values in network.decoder.parameters():
            values.data.mul_(0)
        assert torch.equal(network.upscale(lr), F.interpolate(lr, scale_factor=4.0, mode="bilinear"))
        network.freeze()
        network.upscale(lr)
        network.load_state_dict(other.state_dict())
        assert torch.equal(network.upscale(lr), other.upscale(lr))
        network.train()
        dict(network.named_parameters())["decoder.tail.bias"].add_(1)
        assert torch.allclose(network.upscale(lr), other.upscale(lr) + 1, atol=1e-5)


@native
def test_a_default_device_of_the_caller_changes_nothing() -> None:
    case = Case(4)
    expected = case.compute()
    winograd._transform.cache_clear()
    with torch.device("meta"):  # stands for a GPU: where the kernel is to write, there is no memory
        made = case.compute()
    assert all(map(torch.equal, made, expected))


@native
def test_second_derivatives_are_refused() -> None:
    """The kernel has none; torch took them for zero."""
    network, lr = load_backbone("crn", 2), torch.rand(1, 3, 4, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(network.upscale(lr).square().sum(), lr, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        slope.square().sum().backward()


@native
def test_operators_keep_the_rules_of_torch() -> None:
    case = Case(3)
    forward, backward = (winograd.transform(case.weights, half=False, back=back) for back in (False, True))
    x = torch.randn(2, 5, 6, forward[0].shape[2])
    given = (x, case.weights, case.biases, list(forward), list(backward), False)
    torch.library.opcheck(torch.ops.hcdcodec.trunk.default, given, test_utils=["test_schema", "test_faketensor"])


@pytest.mark.usefixtures("_afresh")
@pytest.mark.parametrize("left_out", ["0", "missing", "damaged"])
def test_without_it_all_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, left_out: str) -> None:
    if left_out == "0":
        monkeypatch.setenv("HCDCODEC_NATIVE", "0")
    else:
        monkeypatch.setattr(library, "PATH", tmp_path / "libwinograd.so")
    if left_out == "damaged":
        (tmp_path / "libwinograd.so").write_bytes(b"\x7fELF")
    assert library.kernel() is None
    assert library.manner().startswith("no kernel")
    network = Crn(4, width=16, encoder_depth=1, decoder_depth=3)
    assert network.upscale(torch.rand(1, 3, 4, 4)).shape == (1, 3, 16, 16)


@native
def test_tiny_numbers_stay_what_they_are() -> None:
    """Libraries that are linked for fast mathematics flush them to zero, for all that the process does."""
    Case(1).compute()
    assert float("5e-324") * float("1") > 0  # not folded by the compiler


@native
def test_its_path_is_that_of_the_package() -> None:
    assert library.PATH.is_absolute()
    assert library.PATH.parent == Path(library.__file__).resolve().parent


FORK = """
import os, sys, torch
from hcdcodec.networks.native import winograd
x, weights, biases = torch.randn(1, 16, 40, 40), [torch.randn(16, 16, 3, 3)] * 3, [torch.zeros(16)] * 3
made = winograd.transform(weights, half=False, back=False)
torch.set_num_threads(2)
before = winograd.trunk(x, weights, biases, made)
child = os.fork()
if not child:
    os._exit(0 if torch.equal(winograd.trunk(x, weights, biases, made), before) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@native
def test_its_threads_do_not_mind_a_fork() -> None:
    """Those of PyTorch do: what is forked after an encode must not encode (hcdcodec/docs/python.md)."""
    assert subprocess.run([sys.executable, "-c", FORK], timeout=60, check=False).returncode == 0


@pytest.mark.usefixtures("_afresh")
@pytest.mark.parametrize("value", ["off", "AVX2", "false", "none", "1", "avx", " avx2"])
def test_a_wrong_choice_is_refused(monkeypatch: pytest.MonkeyPatch, hcdcodec: Run, value: str) -> None:
    monkeypatch.setenv("HCDCODEC_NATIVE", value)
    said = f"HCDCODEC_NATIVE is {value!r}, which is no kernel; set it to 0, avx2, avx512 or avx512bf16"
    with pytest.raises(UsageError, match=re.escape(said)):
        library.kernel()
    for arguments in (("decode", "small/", "out/"), ("models", "list")):
        assert hcdcodec(*arguments) == Ran(2, b"", f"hcdcodec: {said}\n")


@pytest.mark.usefixtures("_afresh")
def test_an_empty_choice_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCDCODEC_NATIVE", "")
    assert library.allowed_levels() == library.LEVELS


@native
@pytest.mark.usefixtures("_afresh")
def test_the_float_type_goes_by_what_the_processor_can(monkeypatch: pytest.MonkeyPatch) -> None:
    network, cpu = Crn(4, width=16, encoder_depth=1, decoder_depth=1), torch.device("cpu")
    assert fast_type(Precision.FLOAT32, cpu, network) is torch.float32
    assert fast_type(Precision.BFLOAT16, cpu, network) is torch.bfloat16
    has_matrices = torch.cpu._is_amx_tile_supported()
    for level, fast in (("avx512bf16", _halves() or has_matrices), ("avx2", has_matrices)):
        library.kernel.cache_clear()
        monkeypatch.setenv("HCDCODEC_NATIVE", level)
        assert fast_type(Precision.AUTO, cpu, network) is (torch.bfloat16 if fast else torch.float32)


@native
def test_only_what_asks_for_bfloat16_gets_it() -> None:
    assert not winograd.halves()
    with torch.autocast("cpu", torch.bfloat16):
        assert winograd.halves() == (_halves() and not torch.cpu._is_amx_tile_supported())


def test_models_tell_which_kernel_runs() -> None:
    told = CliRunner().invoke(cli, ["models", "list"])
    assert told.exit_code == 0, told.output
    assert f"on a CPU: {library.manner()}" in told.output
