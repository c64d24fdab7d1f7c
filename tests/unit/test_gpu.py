"""What only a GPU can show; `python -m benchmarks.speed.overlap --device cuda` measures it.

With `-m gpu` it runs on a GPU. A CPU runs it, too, so that these tests fit the code before they meet one.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw, Tiny

from hcdcodec.batch import decode_files
from hcdcodec.batch.decode_files import Decoding
from hcdcodec.batch.encode_files import Encoding
from hcdcodec.batch.outcome import Status
from hcdcodec.codec import engines
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.engines import Engines, engines_on
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.engine import Engine, engine_for
from hcdcodec.files.job import Job
from hcdcodec.files.picture_names import Format
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

GPU = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))


@pytest.fixture
def tiny(install_tiny: Callable[..., Tiny]) -> Tiny:
    return install_tiny()


def engine(tiny: Tiny, device: str, *, is_compiled: bool = False) -> Engine:
    return engine_for(tiny.engine().backbone, device, is_compiled=is_compiled)


def job(source: Path, target: Path) -> Job:
    return Job(source, target, source.name, source.name, named=True)


def searched(engine: Engine, pictures: list[Picture]) -> list[Encoded]:
    return encode_pictures(engine, pictures, EncodeOptions(Ste(4)))


@pytest.fixture
def pictures(draw: Draw) -> list[Picture]:
    return [Picture(draw(24 + 8 * seed, 32, 3, seed=seed)) for seed in range(5)]


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=GPU), "cpu"])
def test_levels_arrive_whole(tiny: Tiny, device: str) -> None:
    levels = torch.randint(256, (3, 500, 700), dtype=torch.uint8)
    there = engine(tiny, device).sent(levels)
    assert there.device.type == device
    assert torch.equal(there.cpu(), levels)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:TensorFloat32")  # torch advises to use it
@pytest.mark.parametrize(
    ("device", "is_compiled"),
    [pytest.param("cuda", False, marks=GPU), pytest.param("cuda", True, marks=GPU), ("cpu", False)],
)
def test_it_finds_what_a_cpu_finds(tiny: Tiny, pictures: list[Picture], device: str, *, is_compiled: bool) -> None:
    own = engine(tiny, device, is_compiled=is_compiled)
    expected, found = searched(tiny.engine(), pictures), searched(own, pictures)
    for one, two in zip(expected, found, strict=True):
        assert two.refined.error_before == pytest.approx(one.refined.error_before, rel=1e-3)
        assert two.refined.error == pytest.approx(one.refined.error, rel=3e-2)


@pytest.mark.parametrize(
    "devices",
    [pytest.param(("cuda:0",), marks=GPU), pytest.param(("cuda:0", "cuda:0"), marks=GPU), ("cpu", "cpu")],
)
def test_workers_of_one_device_mix_nothing_up(
    tiny: Tiny, pictures: list[Picture], tmp_path: Path, devices: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (engines, decode_files):  # one picture a group, so that both workers have something to do
        monkeypatch.setattr(module, "usual_batch_px", lambda *_: 1)
    (tmp_path / "in").mkdir()
    jobs, back = [], []
    for number, picture in enumerate(pictures):
        source, small = tmp_path / f"in/{number}.png", tmp_path / f"small/{number}.hcd.png"
        source.write_bytes(write_picture(picture, Format.PNG))
        jobs.append(job(source, small))
        back.append(job(small, tmp_path / f"back/{number}.png"))
    encoding = Encoding(engines_on(tiny.engine().backbone, devices), EncodeOptions(Ste(4)))
    assert [outcome.status for outcome in encoding.run(jobs)] == [Status.DONE] * len(jobs)
    decoding = Decoding(tuple(Engines(device, tiny.weights_dir) for device in devices))
    assert [outcome.status for outcome in decoding.run(back)] == [Status.DONE] * len(jobs)
    expected = searched(tiny.engine(), pictures)
    for restoring, picture, encoded in zip(back, pictures, expected, strict=True):
        assert restoring.target is not None
        restored = read_picture(restoring.target.read_bytes()).pixels
        error = float(np.square(restored.astype(float) - picture.pixels).mean())
        assert error == pytest.approx(encoded.refined.error, rel=5e-2)
