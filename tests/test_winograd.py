"""Winograd's convolutions agree with PyTorch's, stay out of reference passes, and are never needed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from hcdcodec.backbones import winograd
from hcdcodec.backbones.crn import Crn
from hcdcodec.passes import Engine, engine_for

native = pytest.mark.skipif(winograd._library() is None, reason="no C compiler, or bfloat16 is faster")


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


def _engine() -> Engine:
    torch.manual_seed(0)
    network = Crn(4, width=16, encoder_depth=1, decoder_depth=3)
    torch.nn.init.normal_(network.decoder.tail.weight, std=0.1)
    return engine_for(network.eval().requires_grad_(False))


@native
def test_only_the_search_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[torch.Size] = []

    def watched(v: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        used.append(v.shape)
        return original(v, weight, bias)

    original = winograd.residual
    monkeypatch.setattr(winograd, "residual", watched)
    from hcdcodec.passes import Task
    from hcdcodec.tiling import plan

    engine, task = _engine(), Task(32, 32, plan(8, 8, 0, 0))
    lr, target = torch.rand(3, 8, 8), torch.zeros(3, 32, 32, dtype=torch.uint8)
    engine.errors([lr], [task], [target])
    engine.downscale(target, task.tiles)
    assert not used
    engine.gradients([lr], [task], [target])
    assert len(used) == 3


@pytest.mark.usefixtures("_afresh")
@pytest.mark.parametrize("compiler", ["/nowhere/cc", "false"])
def test_without_a_compiler_all_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with winograd.allowed():
        assert not winograd.applies(torch.zeros(1, 16, 4, 4))
        assert _engine().backbone.upscale(torch.rand(1, 3, 4, 4)).shape == (1, 3, 16, 16)


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
