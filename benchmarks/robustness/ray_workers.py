"""Kill Ray workers in the middle of a batch, and look at what comes out: everything, and what one process alone writes.

    nice python -m benchmarks.robustness.ray_workers

Starts a Ray cluster of two CPUs on this machine, with one worker on each, and encodes and decodes small pictures that
the script draws: undisturbed; with two workers killed one after the other; and with a picture that kills every process
that reads it. A picture counts as skipped where its worker had written it, but was killed before it could say so. Needs
hcdcodec[ray] and Linux.
"""

import argparse
import contextlib
import importlib.util
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # rounding differs with the number of threads

import numpy as np
from PIL import Image

from benchmarks.common import record
from hcdcodec.batch import ray_cluster
from hcdcodec.batch.decode_files import Decoding
from hcdcodec.batch.encode_files import Encoding
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.ray_cluster import Runner
from hcdcodec.codec.engines import Engines
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.engine import engine_for
from hcdcodec.files.job import Job
from hcdcodec.files.plan import plan_decode, plan_encode
from hcdcodec.format.source_files import refuse_source
from hcdcodec.networks.registry import load_backbone

DEADLY = "deadly"
"""In the name of the picture that kills who reads it."""


@dataclass(frozen=True)
class Fragile(Encoding):
    """Dies over one picture as a codec does that runs over its memory: the process is gone, and says nothing."""

    def _read(self, job: Job, *, given: bytes) -> Any:
        if DEADLY in job.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super()._read(job, given=given)


def main() -> None:
    """Run the rounds and write what was counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=30, help="default: 30")
    given = record.parse(parser)
    if importlib.util.find_spec("ray") is None:
        parser.error("Ray is not installed; pip install 'hcdcodec[ray]'")
    ray: Any = importlib.import_module("ray")
    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=80_000_000,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    workers = ray_cluster.connect("cpu", cores=1)
    with tempfile.TemporaryDirectory() as folder:
        rounds = _rounds(Path(folder), given.pictures, workers)
    result = {"workers": workers.count, **rounds}
    record.write_json(given.out / "ray_workers.json", result, [f"ray {ray.__version__}"])


def _rounds(root: Path, count: int, workers: ray_cluster.WorkerPlan) -> dict[str, object]:
    for number in range(count):
        _draw(root / "in" / f"{number % 3}" / f"{number:04}.png", number)
    encoding = Encoding((engine_for(load_backbone("crn", 4)),), EncodeOptions(Ste(8)))
    decoding = Decoding((Engines(),))
    pictures, small = _encode_jobs(root / "in", root / "small"), root / "small"
    _expect(_statuses(encoding.run(pictures)) == {"done": count}, "one process alone failed")
    lrs = _decode_jobs(small, root / "out")
    _expect(_statuses(decoding.run(lrs)) == {"done": count}, "one process alone failed")
    results: dict[str, object] = {}
    for name, kills in (("undisturbed", 0), ("workers killed", 2)):
        jobs = _encode_jobs(root / "in", root / name)
        results[f"encode, {name}"] = _round(encoding, workers, jobs, _files(small), root / name, kills)
        jobs = _decode_jobs(small, root / f"{name} out")
        results[f"decode, {name}"] = _round(decoding, workers, jobs, _files(root / "out"), root / f"{name} out", kills)
    _draw(root / "in" / "1" / f"{DEADLY}.png", count)
    fragile = Fragile(encoding.engines, encoding.options)
    jobs = _encode_jobs(root / "in", root / "survivors")
    results["encode, a picture that kills"] = _round(fragile, workers, jobs, _files(small), root / "survivors", 0)
    return results


def _at_hand(files: Runner, devices: Sequence[str]) -> Runner:
    return files


def _round(
    batch: Runner,
    workers: ray_cluster.WorkerPlan,
    jobs: tuple[Job, ...],
    expected: Mapping[str, bytes],
    target: Path,
    kills: int,
) -> dict[str, object]:
    """Run jobs on the cluster, kill workers on the way, and compare what was written with `expected`."""
    told: list[Outcome] = []
    moments: list[int] = []
    for outcome in ray_cluster.run_on_cluster(partial(_at_hand, batch), workers, jobs):
        told.append(outcome)
        due = len(moments) < kills and len(told) > len(jobs) * len(moments) // (2 * kills)
        if due and (victim := next(_busy_workers(), None)):
            os.kill(victim, signal.SIGKILL)
            moments.append(len(told))
    print(target.name, _statuses(told), moments, flush=True)
    _expect(len(moments) == kills, "the batch was over before enough workers were killed; take more --pictures")
    _expect([outcome.name for outcome in told] == [job.name for job in jobs], "an outcome is missing, or not in order")
    deadly = [outcome for outcome in told if outcome.status is Status.FAILED]
    _expect([o.name for o in deadly] == [j.name for j in jobs if DEADLY in j.name], "the wrong pictures have failed")
    _expect(_files(target) == expected, "the cluster has not written what one process alone writes")
    return {
        "outcomes": _statuses(told),
        "in the order of the jobs": True,
        "identical to the local engine's": len(expected),
        **({"workers killed after so many outcomes": moments} if kills else {}),
        **({"said of the one that failed": deadly[0].message} if deadly else {}),
    }


def _busy_workers() -> Iterator[int]:
    """Yield the processes of workers, below this one, that have work to do."""
    for number in _descendants(os.getpid()):
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{number}/cmdline").read_bytes().startswith(b"ray::Worker.run"):
                yield number


def _descendants(number: int) -> Iterator[int]:
    try:
        tasks = list(Path(f"/proc/{number}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except FileNotFoundError:  # it has ended meanwhile
        return
    for child in children:
        yield child
        yield from _descendants(child)


def _encode_jobs(source: Path, target: Path) -> tuple[Job, ...]:
    return plan_encode([str(source)], str(target), refuse=refuse_source).jobs


def _decode_jobs(source: Path, target: Path) -> tuple[Job, ...]:
    return plan_decode([str(source)], str(target)).jobs


def _statuses(outcomes: Iterable[Outcome]) -> dict[str, int]:
    return dict(Counter(outcome.status.value for outcome in outcomes))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def _draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(seed)
    # No two have the size, hence a batch: sums differ in the last bit with what shares a batch, and chunks share less.
    rows, columns = np.mgrid[: 24 + 4 * seed, :48]
    waves = [np.sin(dice.uniform(0.02, 0.3) * rows + dice.uniform(0.02, 0.3) * columns) for _ in range(3)]
    pixels = np.clip(127 + 90 * np.stack(waves, axis=-1) + dice.normal(0, 5, (*rows.shape, 3)), 0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def _expect(truth: bool, otherwise: str) -> None:  # an assert would go with python -O
    if not truth:
        raise SystemExit(f"ray_workers.py: {otherwise}")


if __name__ == "__main__":
    main()
