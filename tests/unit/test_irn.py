"""IRN against the reference's vectors, and untrained."""

import pytest
import torch
from parity import error, parity_network, vectors

from hcdcodec.networks.irn import Irn


@pytest.fixture(scope="module", params=[2, 4])
def irn(request: pytest.FixtureRequest) -> Irn:
    return parity_network(Irn(request.param))  # type: ignore[return-value]


@pytest.fixture
def reference(irn: Irn) -> dict[str, torch.Tensor]:
    return vectors(f"irn_x{irn.scale}")


def test_downscale_is_the_reference(irn: Irn, reference: dict[str, torch.Tensor]) -> None:
    lr, details = irn.forward_details(reference["hr"])
    assert error(lr, reference["lr_float"]) <= 1e-4
    assert error(details[0], reference["details"]) <= 1e-4
    assert torch.equal(irn.downscale(reference["hr"]), lr)


def test_upscale_is_the_reference(irn: Irn, reference: dict[str, torch.Tensor]) -> None:
    lr = reference["lr_quantised"]
    assert error(irn.upscale(lr), reference["up_z_zero"]) <= 1e-4
    assert error(irn.upscale(lr, (reference["z_normal"],)), reference["up_z_normal"]) <= 1e-4


@pytest.mark.parametrize("scale", [2, 4])
def test_untrained_is_the_area_mean_and_learns(scale: int) -> None:
    irn = Irn(scale)
    hr = torch.rand(2, 3, 16, 24)
    lr = irn.downscale(hr)
    torch.testing.assert_close(lr, torch.nn.functional.avg_pool2d(hr, scale))
    (irn.upscale(lr) - hr).square().sum().backward()
    gradient = irn.get_parameter("levels.0.0.high_shift.conv5.weight").grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_parameters_are_the_papers() -> None:
    counts = {scale: sum(values.numel() for values in Irn(scale).parameters()) for scale in (2, 4)}
    assert counts == {2: 1_667_952, 4: 4_355_136}
