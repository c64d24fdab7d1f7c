"""Winograd's convolutions agree with PyTorch's, whatever the threads, and are never needed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from hcdcodec.networks.crn import Crn
from hcdcodec.networks.native import winograd
from hcdcodec.networks.registry import load_backbone

native = pytest.mark.skipif(winograd._library() is None, reason="no C compiler")


@pytest.fixture
def _afresh() -> Iterator[None]:
    """Look for the compiler anew, before and after."""
    winograd._library.cache_clear()
    yield
    winograd._library.cache_clear()


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Relative, in the l2 norm: single samples may fall on the other side of the activation's kink."""
    return float((a - b).detach().norm() / b.detach().norm())


@native
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("count", "height", "width", "channels"), [(1, 1, 1, 16), (2, 9, 13, 64), (3, 37, 4, 48)])
def test_values_and_gradients_agree(count: int, height: int, width: int, channels: int, threads: int) -> None:
    random = torch.Generator().manual_seed(1)
    v = torch.randn(count, channels, height, width, generator=random).requires_grad_()
    weight = (0.1 * torch.randn(channels, channels, 3, 3, generator=random)).requires_grad_()
    bias = torch.randn(channels, generator=random).requires_grad_()
    slopes = torch.randn(v.shape, generator=random)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = winograd.residual(v, weight, bias)
        found = torch.autograd.grad(ours, (v, weight, bias), slopes)
    finally:
        torch.set_num_threads(before)
    exact = v + F.leaky_relu(F.conv2d(v, weight, bias, padding=1), 0.2)
    expected = torch.autograd.grad(exact, (v, weight, bias), slopes)
    assert _distance(ours, exact) < 1e-5
    assert all(_distance(a, b) < 1e-3 for a, b in zip(found, expected, strict=True))


@native
def test_networks_use_it_and_differ_by_next_to_nothing(monkeypatch: pytest.MonkeyPatch, _afresh: None) -> None:
    network, lr = load_backbone("crn", 4), torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        ours = network.upscale(lr)
        winograd._library.cache_clear()
        monkeypatch.setenv("HCDCODEC_NATIVE", "0")
        exact = network.upscale(lr)
    assert 0 < float((ours - exact).abs().max()) < 1e-5


@native
def test_weights_that_have_changed_are_transformed_again() -> None:
    v, weight, bias = torch.ones(1, 16, 4, 4), torch.zeros(16, 16, 3, 3), torch.zeros(16)
    with torch.inference_mode():
        before = winograd.residual(v, weight, bias)
    torch._foreach_lerp_([weight], [torch.ones(16, 16, 3, 3)], 0.5)  # as a training's moving average does
    with torch.inference_mode():
        after = winograd.residual(v, weight, bias)
    assert torch.equal(before, v)
    assert float(after[0, 0, 1, 1]) == pytest.approx(1 + 0.5 * 9 * 16, rel=1e-5)


@native
def test_threads_change_nothing() -> None:
    random = torch.Generator().manual_seed(3)
    v, weight = torch.randn(2, 32, 21, 30, generator=random), torch.randn(32, 32, 3, 3, generator=random)
    before, made = torch.get_num_threads(), []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        made.append(winograd.residual(v, weight, torch.zeros(32)))
    torch.set_num_threads(before)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


@pytest.mark.usefixtures("_afresh")
@pytest.mark.parametrize("compiler", ["/nowhere/cc", "false"])
def test_without_a_compiler_all_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not winograd.applies(torch.zeros(1, 16, 4, 4))
    network = Crn(4, width=16, encoder_depth=1, decoder_depth=3)
    assert network.upscale(torch.rand(1, 3, 4, 4)).shape == (1, 3, 16, 16)


@native
def test_tiny_numbers_stay_what_they_are() -> None:
    """Libraries that are linked for fast mathematics flush them to zero, for all that the process does."""
    winograd.residual(torch.zeros(1, 16, 1, 1), torch.zeros(16, 16, 3, 3), torch.zeros(16))
    assert float("5e-324") * float("1") > 0  # not folded by the compiler


@native
@pytest.mark.usefixtures("_afresh")
def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = winograd._compiled()
    monkeypatch.setattr(subprocess, "run", None)
    assert winograd._compiled() == path
    assert path.is_relative_to(tmp_path)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@native
@pytest.mark.usefixtures("_afresh")
def test_code_that_computes_nonsense_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(winograd, "SLOPE", 0.3)
    assert winograd._library() is None


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, _afresh: None) -> None:
    monkeypatch.setenv("HCDCODEC_NATIVE", "0")
    assert winograd._library() is None
