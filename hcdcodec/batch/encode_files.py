"""Encode picture files to small files."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from hcdcodec.batch import free_memory
from hcdcodec.batch.common import load_source, read_source_head, read_standard_input, store_result
from hcdcodec.batch.freshness import Standing, confirm, judge_lr, refuse_foreign, wanted_of
from hcdcodec.batch.observer import UNOBSERVED, Observer
from hcdcodec.batch.options import FileOptions
from hcdcodec.batch.other_containers import refuse_twin, remove_twins
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.stages import Stages, run_stages
from hcdcodec.batch.stamp import read_encoded_stamp
from hcdcodec.batch.survey import skip
from hcdcodec.codec.encode import Encoded, encode_pictures, work_of
from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.source import Source, read_file
from hcdcodec.codec.target import USUAL_SEARCHES, reach, remark
from hcdcodec.engine.devices import memory_errors
from hcdcodec.engine.engine import Engine
from hcdcodec.files import disk
from hcdcodec.files.job import Job
from hcdcodec.format import container
from hcdcodec.format.oxipng_pool import Optimisers
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.sizes import HEAD_BYTES, read_size


@dataclass(frozen=True)
class _Loaded(Source):
    """One read picture on its way to the device."""

    status: os.stat_result | None = None


@dataclass(frozen=True)
class Encoding:
    """Encode files.

    Attributes:
        engines: the same network on each device.
        options: how pictures are encoded.
        files: how files are treated.
        target: chooses the quality of each picture in place of `options.quality`.
        skip_if_larger: store nothing where the result would not be smaller than its source.
        upgrade: redo the results that older releases made with other weights or other defaults.
        earlier: the options that the same call had in earlier releases, see `wanted_of`.
    """

    engines: tuple[Engine, ...]
    options: EncodeOptions
    files: FileOptions = field(default_factory=FileOptions)
    target: Target | None = None
    skip_if_larger: bool = False
    upgrade: bool = False
    earlier: tuple[EncodeOptions, ...] = ()

    def run(self, jobs: Iterable[Job], observer: Observer = UNOBSERVED) -> Iterator[Outcome]:
        """Yield one outcome for each job, in order."""
        jobs, threads = tuple(jobs), self.files.threads
        given = read_standard_input(jobs, self.files)
        free_memory.hold()
        # As many oxipng programs as writing threads, since each program serves one thread at a time.
        with Optimisers(min(threads, len(jobs))) as optimisers:
            engines = [replace(engine, on_work=observer.work) for engine in self.engines]
            stages = Stages(
                partial(self._read, given=given),
                lambda source: source.picture.pixel_count,
                [partial(self._compute, optimisers, engine) for engine in engines],
                partial(self._write, optimisers),
                lambda source: self._work_of(source.picture.height, source.picture.width),
                observer,
            )
            yield from run_stages(jobs, stages, threads=threads, group_px=self.engines[0].batch_px)

    def forecast(self, job: Job) -> int | None:
        """Return the work of a job by the head of its source; None where that does not tell."""
        size = read_size(read_source_head(job, HEAD_BYTES))
        return self._work_of(*size) if size else None

    def _work_of(self, height: int, width: int) -> int:
        work = work_of(self.engines[0].backbone, height, width, self.options.search)
        return USUAL_SEARCHES * work if self.target else work

    @property
    def manner(self) -> str:
        """Return a short text that says how it computes."""
        return "; ".join(dict.fromkeys(engine.manner for engine in self.engines))

    def freshness(self, job: Job) -> Standing:
        """Judge the file at the target of a job.

        Raises:
            OutputError: a file that is not ours stands at the target.
        """
        network = self.engines[0].backbone.identity
        wanted = wanted_of(self.options, network, self.target, upgrade=self.upgrade, earlier=self.earlier)
        return judge_lr(job, wanted, self.files)

    def _read(self, job: Job, *, given: bytes) -> _Loaded | Outcome:
        standing = self.freshness(job)
        if standing.state.is_settled:
            confirm(job, standing)
            return skip(job, standing)
        data, status = load_source(job, given, self.files)
        picture = read_file(data, self.options, self.files.max_pixels)
        scale = self.engines[0].backbone.scale
        container.check_sides(self.options.container, -(-picture.height // scale), -(-picture.width // scale))
        return _Loaded(picture, len(data), disk.source_digest(data), status)

    def _compute(self, optimisers: Optimisers, engine: Engine, sources: list[_Loaded]) -> list[tuple[Encoded, float]]:
        """Encode pictures; return each with the seconds that it took."""
        # With a target, each picture tries qualities of its own, so pictures cannot be searched together.
        if self.target is not None:
            return [self._reach(optimisers, engine, source, self.target) for source in sources]
        start = time.perf_counter()
        with memory_errors(), engine.at_work():
            made = encode_pictures(engine, [source.picture for source in sources], self.options)
        # Each group has other picture sizes, so the memory that it frees has gaps that the next group cannot use.
        free_memory.trim()
        each = (time.perf_counter() - start) / sum(source.picture.pixel_count for source in sources)
        return [(encoded, each * source.picture.pixel_count) for encoded, source in zip(made, sources, strict=True)]

    def _reach(self, optimisers: Optimisers, engine: Engine, source: _Loaded, target: Target) -> tuple[Encoded, float]:
        start = time.perf_counter()
        with memory_errors(), engine.at_work():
            encoded = reach(engine, source, self.options, target, optimise=optimisers.optimise)
        return encoded, time.perf_counter() - start

    def _write(self, optimisers: Optimisers, job: Job, source: _Loaded, timed: tuple[Encoded, float]) -> Outcome:
        start, picture, (encoded, seconds) = time.perf_counter(), source.picture, timed
        header = replace(encoded.header, source_size=source.size, source_digest=source.digest)
        data = container.pack(
            header,
            encoded.lr,
            alpha=picture.alpha,
            metadata=picture.metadata,
            optimise=optimisers.optimise,
            kind=self.options.container,
        )
        shortfall = remark(self.target, encoded, len(data)) if self.target else ""
        needless = self.skip_if_larger and len(data) >= source.size
        # The size is known only now: the search and oxipng decide it.
        if not needless:
            refuse_foreign(job, read_encoded_stamp, self.files)
            refuse_twin(job, self.files, lambda: source.digest)
            stored = store_result(job, data, source.status, self.files)
            left = remove_twins(job, self.files, lambda: source.digest)
            shortfall = "; ".join(filter(None, (shortfall, stored, left)))
        return Outcome(
            name=job.name,
            target=job.target,
            status=Status.SKIPPED if needless else Status.DONE,
            message="; ".join(filter(None, (_explain_skip(job) if needless else shortfall, *picture.warnings))),
            source_bytes=source.size,
            target_bytes=len(data),
            height=picture.height,
            width=picture.width,
            quality=header.quality,
            misses_target=not encoded.met and not needless,
            is_left_out=needless,
            psnr_before=decibels(encoded.refined.error_before),
            psnr=decibels(encoded.refined.error),
            is_searched=self.options.search.is_active,
            passes=encoded.passes,
            seconds=seconds + time.perf_counter() - start,
        )


def _explain_skip(job: Job) -> str:
    """Say why nothing is stored. An older result stays at the target, since only the user may remove it."""
    older = job.target is not None and job.target.exists()
    return f"not smaller than its source, nothing stored{'; an older result still stands there' if older else ''}"
