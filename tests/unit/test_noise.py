"""Details z: the documented rule recompute from scratch, and its independence of windows."""

from statistics import NormalDist

import numpy as np
import torch

from hcdcodec.networks.base import DetailPlane
from hcdcodec.networks.noise import draw_details
from hcdcodec.tiles import Rect

PLANES = (DetailPlane(channels=6, factor=2), DetailPlane(channels=21, factor=1))
MASK = 2**64 - 1


def draw(window: Rect, *, seed: int = 7, scale: float = 1.0) -> tuple[torch.Tensor, ...]:
    return draw_details(PLANES, window, seed=seed, scale=scale)


def philox(counter: int, seed: int) -> list[int]:
    """Philox4x64-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", in plain integers."""
    a, b, c, d = (counter >> 64 * k & MASK for k in range(4))
    key = [seed, 0]
    for _ in range(10):
        first, second = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, b, c, d = second >> 64 ^ b ^ key[0], second & MASK, first >> 64 ^ d ^ key[1], first & MASK
        key = [key[0] + 0x9E3779B97F4A7C15 & MASK, key[1] + 0xBB67AE8584CAA73B & MASK]
    return [a, b, c, d]


def sample(plane: int, channel: int, row: int, column: int, seed: int) -> np.float32:
    """Compute one sample from the rule in the module's docstring."""
    part = column * PLANES[plane].channels + channel
    # numpy steps the counter before it first uses it.
    word = philox((part // 16 + 1) + (row << 64) + (plane << 128), seed)[part % 16 // 4]
    k = word >> 16 * (part % 4) & 0xFFFF
    return np.float32(NormalDist().inv_cdf((k + 0.5) / 65536))


def test_samples_follow_the_rule() -> None:
    window = Rect(3, 5, 4, 6)
    drawn = draw(window, seed=2**32 - 1)
    generator = np.random.default_rng(0)
    for index, plane in enumerate(PLANES):
        area = window.times(plane.factor)
        for _ in range(200):
            channel, y, x = (int(generator.integers(n)) for n in (plane.channels, area.height, area.width))
            expected = sample(index, channel, area.top + y, area.left + x, 2**32 - 1)
            assert drawn[index][0, channel, y, x].item() == expected


def test_windows_are_cut_from_one_field() -> None:
    whole = draw(Rect(0, 0, 9, 11))
    for window in (Rect(0, 0, 1, 1), Rect(2, 3, 4, 5), Rect(8, 10, 1, 1), Rect(0, 7, 9, 4)):
        for plane, z, part in zip(PLANES, whole, draw(window), strict=True):
            rows, columns = window.times(plane.factor).slices()
            assert torch.equal(part, z[..., rows, columns])


def test_shapes_and_type() -> None:
    drawn = draw(Rect(1, 1, 3, 5))
    assert [tuple(z.shape) for z in drawn] == [(1, 6, 6, 10), (1, 21, 3, 5)]
    assert all(z.dtype == torch.float32 and z.is_contiguous() for z in drawn)


def test_samples_are_normal_and_uncorrelated() -> None:
    (z, _) = draw(Rect(0, 0, 64, 64))
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    for axis in (1, 2, 3):
        assert abs((z * z.roll(1, axis)).mean()) < 0.02


def test_seed_and_plane_give_other_fields() -> None:
    window = Rect(0, 0, 2, 2)
    twins = (DetailPlane(3, 1), DetailPlane(3, 1))
    one, two = draw_details(twins, window, seed=1)
    other, _ = draw_details(twins, window, seed=2)
    assert not torch.equal(one, two)
    assert not torch.equal(one, other)


def test_scale_multiplies_in_float32() -> None:
    window = Rect(0, 0, 4, 4)
    for full, scaled in zip(draw(window), draw(window, scale=0.7), strict=True):
        assert torch.equal(scaled, full * float(np.float32(0.7)))
