"""Decode small files to picture files."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hcdcodec.batch import free_memory
from hcdcodec.batch.common import load_source, read_source_head, read_standard_input, store_result
from hcdcodec.batch.freshness import (
    Freshness,
    Standing,
    confirm,
    judge_restored,
    refuse_foreign,
    refuse_original,
)
from hcdcodec.batch.observer import UNOBSERVED, Observer
from hcdcodec.batch.options import DecodeOptions, FileOptions
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.stages import Stages, run_stages
from hcdcodec.batch.stamp import read_decoded_stamp
from hcdcodec.batch.survey import skip
from hcdcodec.codec.decode import decode_pictures, work_of
from hcdcodec.codec.engines import Engines
from hcdcodec.engine.devices import memory_errors, usual_batch_px
from hcdcodec.engine.engine import Engine
from hcdcodec.errors import ContainerError, OutputError
from hcdcodec.files import disk
from hcdcodec.files.job import Job
from hcdcodec.files.picture_names import Format
from hcdcodec.format import container
from hcdcodec.format.lr_digest import lr_digest_chunk
from hcdcodec.networks.archive import folders_of
from hcdcodec.pictures.losses import losses
from hcdcodec.pictures.orientation import turn_upright
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.writing import write_picture

_HEAD_BYTES = 1 << 12
"""Bytes of a small file that hold its header, unless another tool has rewritten it."""


@dataclass(frozen=True)
class _Package:
    """One unpacked LR on its way to the device."""

    packed: container.Packed
    size: int
    digest: bytes
    status: os.stat_result | None
    was_missing: bool
    """Whether no file stood at the target when the job was read."""
    folders: tuple[Path, ...]
    """Where weights of an archive may be."""


@dataclass(frozen=True)
class Decoding:
    """Decode files, each with the network that its header names.

    Attributes:
        engines: for each device, the source of networks.
        options: how restored pictures are stored.
        files: how files are treated.
    """

    # All members can be pickled, since a `Decoding` is sent to the workers of a Ray cluster.

    engines: tuple[Engines, ...]
    options: DecodeOptions = field(default_factory=DecodeOptions)
    files: FileOptions = field(default_factory=FileOptions)

    def run(self, jobs: Iterable[Job], observer: Observer = UNOBSERVED) -> Iterator[Outcome]:
        """Yield one outcome for each job, in order."""
        jobs = tuple(jobs)
        stages = Stages(
            partial(self._read, given=read_standard_input(jobs, self.files)),
            lambda package: package.packed.header.pixel_count,
            [partial(self._compute, observer, engines) for engines in self.engines],
            self._write,
            lambda package: work_of(package.packed.header),
            observer,
        )
        return run_stages(jobs, stages, threads=self.files.threads, group_px=usual_batch_px(self.engines[0].device))

    def forecast(self, job: Job) -> int | None:
        """Return the work of a job by the head of its source; None where that does not tell."""
        try:
            return work_of(container.peek(read_source_head(job, _HEAD_BYTES)))
        except ContainerError:
            return None

    @property
    def manner(self) -> str:
        """Return a short text that says how it computes."""
        return "; ".join(dict.fromkeys(engines.manner for engines in self.engines))

    def freshness(self, job: Job) -> Standing:
        """Judge the file at the target of a job.

        Raises:
            OutputError: a file that is not ours stands at the target.
        """
        return judge_restored(job, self.options, self.files)

    def _read(self, job: Job, *, given: bytes) -> _Package | Outcome:
        standing = self.freshness(job)
        if standing.state.is_settled:
            confirm(job, standing)
            return skip(job, standing)
        data, status = load_source(job, given, self.files)
        packed = container.unpack(data, max_pixels=self.files.max_pixels)
        was_missing = standing.state is Freshness.MISSING
        return _Package(packed, len(data), disk.source_digest(data), status, was_missing, folders_of(job))

    def _compute(self, observer: Observer, engines: Engines, packages: list[_Package]) -> list[tuple[Picture, float]]:
        # The headers of one group may name several networks; results go back to the order of the group.
        start, groups = time.perf_counter(), dict[Engine, list[int]]()
        for index, package in enumerate(packages):
            with memory_errors():
                engine = engines.get(package.packed.header, package.folders)
            groups.setdefault(engine, []).append(index)
        made = dict[int, Picture]()
        for engine, members in groups.items():
            with memory_errors(), engine.at_work():
                watched = replace(engine, on_work=observer.work)
                pictures = decode_pictures(watched, [packages[i].packed for i in members])
            made.update(zip(members, pictures, strict=True))
        free_memory.trim()
        # Pictures that are computed together share the time by their pixels.
        each = (time.perf_counter() - start) / sum(picture.pixel_count for picture in made.values())
        return [(made[i], each * made[i].pixel_count) for i in range(len(packages))]

    def _write(self, job: Job, package: _Package, made: tuple[Picture, float]) -> Outcome:
        start = time.perf_counter()
        picture, seconds = made
        if self.options.upright:
            picture = turn_upright(picture)
        fmt = self.options.format_for(job.target)
        mark = lr_digest_chunk(package.digest + self.options.settings)
        data = write_picture(picture, fmt, quality=self.options.quality, marks=(mark,))
        refuse_original(job, package.packed.header)
        if fmt is Format.PNG:
            refuse_foreign(job, read_decoded_stamp, self.files)
        # Without a mark only this is known: no file stood there before, so this one is not ours.
        elif package.was_missing and not self.files.force and job.target and job.target.exists():
            raise OutputError(f"{job.target} has appeared meanwhile and cannot say whether it is ours; use --force")
        stored = store_result(job, data, package.status, self.files)
        warnings = (stored, self.options.explain_format(job.source), *losses(picture.metadata, fmt))
        return Outcome(
            name=job.name,
            target=job.target,
            status=Status.DONE,
            message="; ".join(filter(None, warnings)),
            source_bytes=package.size,
            target_bytes=len(data),
            height=picture.height,
            width=picture.width,
            seconds=seconds + time.perf_counter() - start,
        )
