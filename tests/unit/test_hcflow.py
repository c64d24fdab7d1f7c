"""HCFlow against the reference's vectors, its gradients, its start."""

import pytest
import torch
import torch.nn.functional as F
from parity import error, parity_network, vectors

from hcdcodec.networks.hcflow import HcFlow


@pytest.fixture(scope="module")
def hcflow() -> HcFlow:
    return parity_network(HcFlow())  # type: ignore[return-value]


@pytest.fixture(scope="module")
def reference() -> dict[str, torch.Tensor]:
    return vectors("hcflow_x4")


def test_downscale_is_the_reference(hcflow: HcFlow, reference: dict[str, torch.Tensor]) -> None:
    lr, (z1, z2) = hcflow.forward_details(reference["hr"])
    assert error(lr, reference["lr_clamped"]) <= 1e-4
    assert error(z1, reference["z1"]) <= 1e-4
    assert error(z2, reference["z2"]) <= 1e-4
    assert torch.equal(hcflow.downscale(reference["hr"]), lr)


def test_upscale_is_the_reference(hcflow: HcFlow, reference: dict[str, torch.Tensor]) -> None:
    ours = hcflow.upscale(reference["lr_quantised"])
    assert error(ours, reference["up_heat_zero"]) <= 1e-4


def test_no_details_are_zeros(hcflow: HcFlow, reference: dict[str, torch.Tensor]) -> None:
    lr = reference["lr_quantised"]
    zeros = [torch.zeros(1, plane.channels, 8 * plane.factor, 12 * plane.factor) for plane in hcflow.details]
    assert torch.equal(hcflow.upscale(lr), hcflow.upscale(lr, zeros))


def test_weights_without_an_inverse_make_no_picture() -> None:
    """Whoever made the weights may have done it on purpose; the callers refuse what is not finite."""
    network = HcFlow()
    network.coarse.conditional.steps[0].mix.weight.data.zero_()  # type: ignore[union-attr, operator]
    with torch.inference_mode():
        assert not network.upscale(torch.rand(1, 3, 4, 4)).isfinite().all()


def test_clamped_samples_keep_their_gradient() -> None:
    # Untrained, the network is its Haar transform: a constant far outside [0, 1] is clamped both ways.
    hcflow = HcFlow().requires_grad_(False)
    hr = torch.full((1, 3, 8, 8), 1.5, requires_grad=True)
    lr = hcflow.downscale(hr)
    lr.sum().backward()
    assert torch.equal(lr, torch.ones_like(lr))
    torch.testing.assert_close(hr.grad, torch.full_like(hr, 1 / 16))
    low = torch.full((1, 3, 2, 2), -0.5, requires_grad=True)
    back = hcflow.upscale(low)
    back.sum().backward()
    assert torch.equal(back, torch.zeros_like(back))
    torch.testing.assert_close(low.grad, torch.full_like(low, 16))


def test_it_begins_as_a_haar_transform() -> None:
    """So the LR is a picture before the first update."""
    hcflow, hr = HcFlow().requires_grad_(False), torch.rand(2, 3, 16, 24)
    lr = hcflow.downscale(hr)
    torch.testing.assert_close(lr, F.avg_pool2d(hr, 4))
    torch.testing.assert_close(hcflow.upscale(lr), lr.repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_every_parameter_of_the_decoder_learns() -> None:
    hcflow = parity_network(HcFlow()).requires_grad_(True)
    hcflow.upscale(hcflow.downscale(torch.rand(1, 3, 16, 16))).square().sum().backward()
    assert [name for name, values in hcflow.named_parameters() if values.grad is None] == []


def test_parameters_are_the_papers() -> None:
    assert sum(values.numel() for values in HcFlow().parameters()) == 4_396_206
