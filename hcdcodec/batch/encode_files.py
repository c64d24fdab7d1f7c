"""Files to files: the stages of encoding and of decoding, and the rule that leaves up-to-date results alone."""

import copy
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hcdcodec.batch import free_memory
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.stages import Stages, run, settle
from hcdcodec.codec.decode import decode_pictures
from hcdcodec.codec.encode import EncodeOptions, encode_pictures
from hcdcodec.codec.target import Found, Target, reach
from hcdcodec.engine.engine import Engine, engine_for, memory_errors, usual_batch_px
from hcdcodec.errors import ContainerError, OutputError, PictureError, UnsupportedError, UsageError
from hcdcodec.files import disk
from hcdcodec.files.disk import Freshness, Stamp
from hcdcodec.files.plan import Job
from hcdcodec.format import container
from hcdcodec.format.oxipng_pool import Optimisers
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.picture import DEFAULT_MAX_PIXELS, Format, Picture, read_lr_digest, read_picture, write_picture
from hcdcodec.pictures.strip import stripped

PNG_LEVEL = 2
"""Preset of oxipng: at most two fifths of level 4's time for up to 0.5 % more bytes (benchmarks/png_levels.py, val)."""

THREADS = 2
"""Reading and writing threads: decompression and oxipng overlap with the networks without crowding them out."""


_STANDING = {Freshness.MISSING: Status.MISSING, Freshness.STALE: Status.STALE, Freshness.FRESH: Status.SKIPPED}


@dataclass(frozen=True)
class FileOptions:
    """How files are treated, in both directions.

    Attributes:
        force: replace whatever stands at a target, up to date or not ours.
        checksum: compare digests even where size and time agree.
        preserve: give results the times of their sources.
        max_pixels: larger HR pictures are refused before they are allocated.
        threads: for reading, and as many for writing.
    """

    force: bool = False
    checksum: bool = False
    preserve: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    threads: int = THREADS

    @property
    def max_bytes(self) -> int:
        """Larger source files are not read."""
        return disk.most_bytes(self.max_pixels)


@dataclass(frozen=True)
class _Source:
    """One read picture on its way to the device."""

    picture: Picture
    size: int
    digest: bytes
    status: os.stat_result | None


@dataclass(frozen=True)
class _Timed:
    found: Found
    seconds: float


@dataclass(frozen=True)
class Encoding:
    """Encode files.

    Attributes:
        engines: one network on each of the devices; they differ in nothing else.
        options: how pictures are encoded.
        files: how files are treated.
        target: what chooses the quality of each picture, instead of the options.
        skip_if_larger: store nothing where the result would not be smaller than its source.
    """

    engines: tuple[Engine, ...]
    options: EncodeOptions
    files: FileOptions = FileOptions()
    target: Target | None = None
    skip_if_larger: bool = False

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Yield one outcome a job, in order."""
        jobs = tuple(jobs)
        return self._run(jobs, partial(self._read, given=_standard_input(jobs, self.files)))

    def _run(self, jobs: Sequence[Job], read: Callable[[Job], _Source | Outcome]) -> Iterator[Outcome]:
        works = [partial(self._work, engine) for engine in self.engines]
        threads = self.files.threads
        with Optimisers(min(threads, len(jobs))) as optimisers:
            write = partial(self._write, optimisers)
            stages = Stages(read, lambda source: source.picture.pixel_count, works, write)
            yield from run(jobs, stages, threads=threads, group_px=self.engines[0].batch_px)

    def on(self, *devices: str) -> "Encoding":
        """Return the same on other devices, with a worker for each that is named."""
        own = self.engines[0]
        engines = (engine_for(copy.deepcopy(own.backbone), device, is_compiled=own.is_compiled) for device in devices)
        return replace(self, engines=tuple(engines))

    def freshness(self, job: Job) -> Freshness:
        """Judge what stands where a job's result goes.

        Raises:
            OutputError: something that is not ours stands in the way.
        """
        backbone = self.engines[0].backbone
        settings = self.target.digest(self.options, backbone) if self.target else self.options.digest(backbone)
        return _judged(job, _encoded_stamp(job), settings, self.files)

    def _read(self, job: Job, *, given: bytes) -> _Source | Outcome:
        if self.freshness(job) is Freshness.FRESH:
            return Outcome(name=job.name, target=job.target, status=Status.SKIPPED, message="up to date")
        data, status = _load(job, given, self.files)
        picture = read_picture(data, max_pixels=self.files.max_pixels)
        picture = replace(picture, metadata=stripped(picture.metadata, self.options.strip))
        return _Source(picture, len(data), disk.source_digest(data), status)

    def _work(self, engine: Engine, sources: list[_Source]) -> list[_Timed]:
        if self.target is not None:
            return [self._reach(engine, source, self.target) for source in sources]
        start = time.perf_counter()
        with memory_errors(), engine.at_work():
            made = encode_pictures(engine, [source.picture for source in sources], self.options)
        free_memory.trim()  # each group has other sizes, and leaves other gaps
        each = (time.perf_counter() - start) / sum(source.picture.pixel_count for source in sources)
        return [
            _Timed(Found(encoded, encoded.refined.passes), each * source.picture.pixel_count)
            for encoded, source in zip(made, sources, strict=True)
        ]

    def _reach(self, engine: Engine, source: _Source, target: Target) -> _Timed:
        start = time.perf_counter()
        with memory_errors(), engine.at_work():
            found = reach(engine, source.picture, self.options, target, level=PNG_LEVEL)
        return _Timed(found, time.perf_counter() - start)

    def _write(self, optimisers: Optimisers, job: Job, source: _Source, timed: _Timed) -> Outcome:
        start = time.perf_counter()
        encoded, picture = timed.found.encoded, source.picture
        header = replace(encoded.header, source_size=source.size, source_digest=source.digest)
        data = container.pack(
            header,
            encoded.lr,
            alpha=picture.alpha,
            metadata=picture.metadata,
            level=PNG_LEVEL,
            optimise=optimisers.optimise,
        )
        remark = self.target.remark(timed.found, len(data)) if self.target else ""
        needless = self.skip_if_larger and len(data) >= source.size
        if not needless:
            _store(job, data, source.status, self.files)
        return Outcome(
            name=job.name,
            target=job.target,
            status=Status.SKIPPED if needless else Status.DONE,
            message=_needless(job) if needless else remark,
            source_bytes=source.size,
            target_bytes=len(data),
            height=picture.height,
            width=picture.width,
            quality=header.quality,
            psnr_before=decibels(encoded.refined.error_before),
            psnr=decibels(encoded.refined.error),
            passes=timed.found.passes,
            seconds=timed.seconds + time.perf_counter() - start,
        )


@dataclass(frozen=True)
class _Package:
    """One unpacked LR on its way to the device."""

    packed: container.Packed
    size: int
    digest: bytes
    status: os.stat_result | None


@dataclass(frozen=True)
class Engines:
    """The engines that headers ask for, each loaded once.

    Attributes:
        device: where they compute.
        weights_dir: directory to search for weights before all others.
    """

    device: str = "cpu"
    weights_dir: Path | None = None
    _loaded: dict[tuple[str, int, bytes], Engine] = field(default_factory=dict, compare=False)

    def get(self, header: container.Header) -> Engine:
        """Return the engine whose weights a header names.

        Raises:
            UnsupportedError: no such network in this release.
            ModelError: its weights are not installed.
        """
        key = header.backbone, header.scale, header.model_hash
        if key not in self._loaded:
            prefix = header.model_hash.hex()
            try:
                backbone = load_backbone(
                    header.backbone, header.scale, hash_prefix=prefix, weights_dir=self.weights_dir
                )
            except UsageError as error:
                raise UnsupportedError(f"{error}; decode with a newer release") from error
            self._loaded[key] = engine_for(backbone, self.device)
        return self._loaded[key]


@dataclass(frozen=True)
class Decoding:
    """Decode files, each with the network that its header names.

    Attributes:
        engines: where networks come from, for each of the devices.
        target_format: file format of the results.
        files: how files are treated.
    """

    engines: tuple[Engines, ...]
    target_format: Format = Format.PNG
    files: FileOptions = FileOptions()

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Yield one outcome a job, in order."""
        jobs = tuple(jobs)
        read = partial(self._read, given=_standard_input(jobs, self.files))
        works = [partial(self._work, engines) for engines in self.engines]
        stages = Stages(read, lambda package: package.packed.header.pixel_count, works, self._write)
        return run(jobs, stages, threads=self.files.threads, group_px=usual_batch_px(self.engines[0].device))

    def on(self, *devices: str) -> "Decoding":
        """Return the same on other devices, with a worker for each that is named."""
        weights_dir = self.engines[0].weights_dir
        return replace(self, engines=tuple(Engines(device, weights_dir) for device in devices))

    def freshness(self, job: Job) -> Freshness:
        """Judge what stands where a job's result goes.

        Raises:
            OutputError: something that is not ours stands in the way.
        """
        if self.target_format is Format.PNG:
            return _judged(job, _decoded_stamp(job), b"", self.files)
        return _judged_by_time(job, self.files)

    def _read(self, job: Job, *, given: bytes) -> _Package | Outcome:
        if self.freshness(job) is Freshness.FRESH:
            return Outcome(name=job.name, target=job.target, status=Status.SKIPPED, message="up to date")
        data, status = _load(job, given, self.files)
        packed = container.unpack(data, max_pixels=self.files.max_pixels)
        return _Package(packed, len(data), disk.source_digest(data), status)

    def _work(self, engines: Engines, packages: list[_Package]) -> list[tuple[Picture, float]]:
        start, groups = time.perf_counter(), dict[Engine, list[int]]()
        for index, package in enumerate(packages):
            groups.setdefault(engines.get(package.packed.header), []).append(index)
        made = dict[int, Picture]()
        for engine, members in groups.items():
            with memory_errors(), engine.at_work():
                pictures = decode_pictures(engine, [packages[i].packed for i in members])
            made.update(zip(members, pictures, strict=True))
        free_memory.trim()
        each = (time.perf_counter() - start) / sum(picture.pixel_count for picture in made.values())
        return [(made[i], each * made[i].pixel_count) for i in range(len(packages))]

    def _write(self, job: Job, package: _Package, made: tuple[Picture, float]) -> Outcome:
        start = time.perf_counter()
        picture, seconds = made
        data = write_picture(picture, self.target_format, lr_digest=package.digest)
        _store(job, data, package.status, self.files)
        return Outcome(
            name=job.name,
            target=job.target,
            status=Status.DONE,
            source_bytes=package.size,
            target_bytes=len(data),
            height=picture.height,
            width=picture.width,
            seconds=seconds + time.perf_counter() - start,
        )


Batch = Encoding | Decoding


def survey(jobs: Iterable[Job], batch: Batch) -> Iterator[Outcome]:
    """Yield, for each job in order, what stands where its result goes; write nothing."""

    def standing(job: Job) -> Outcome:
        return Outcome(name=job.name, target=job.target, status=_STANDING[batch.freshness(job)])

    return settle(jobs, standing, threads=batch.files.threads)


def sweep(jobs: Iterable[Job]) -> None:
    """Remove what killed runs left where results go."""
    for folder in {job.target.parent for job in jobs if job.target}:
        disk.sweep(folder)


def _judged(job: Job, recorded: Stamp | None, settings: bytes, files: FileOptions) -> Freshness:
    """Judge what stands at a target; refuse to replace what is not ours."""
    if files.force:
        return _forced(job)
    state = disk.freshness(job, recorded, settings, checksum=files.checksum, digest_of=_file_digest)
    if state is Freshness.FOREIGN:
        raise OutputError(f"{job.target} exists and was not made by hcdcodec; move it away or use --force")
    return state


def _judged_by_time(job: Job, files: FileOptions) -> Freshness:
    """Judge a target of a kind that cannot say what it was made from by its times alone.

    Of both files, those of the contents and those of the last change of anything: the former may have been copied.
    """
    if files.force or job.target is None or not job.target.exists():
        return _forced(job)
    if job.source is None or files.checksum or _is_older(job.target, job.source):
        raise OutputError(f"{job.target} exists and cannot say whether it is ours; use --force to replace it")
    return Freshness.FRESH


def _is_older(target: Path, source: Path) -> bool:
    made, given = target.stat(), source.stat()
    return made.st_mtime_ns < given.st_mtime_ns or made.st_ctime_ns < given.st_ctime_ns


def _forced(job: Job) -> Freshness:
    return Freshness.STALE if job.target is not None and job.target.exists() else Freshness.MISSING


def _encoded_stamp(job: Job) -> Stamp | None:
    """Return what an existing LR says of its source; None where there is none, or it is not ours."""
    if job.target is None or not job.target.is_file():
        return None
    try:
        header = container.peek(disk.read(job.target))
    except ContainerError:
        return None
    return Stamp(header.source_size, header.source_digest, header.settings_digest)


def _decoded_stamp(job: Job) -> Stamp | None:
    """Return what an existing reconstruction says of its LR; None where there is none, or it is not ours."""
    if job.target is None or not job.target.is_file():
        return None
    digest = read_lr_digest(disk.read(job.target))
    return None if digest is None else Stamp(None, digest, b"")


def _file_digest(path: Path) -> bytes:
    return disk.source_digest(disk.read(path))


def _needless(job: Job) -> str:
    """Say why nothing is stored; an older result that stands there is the user's to remove."""
    older = job.target is not None and job.target.exists()
    return f"not smaller than its source, nothing stored{'; an older result still stands there' if older else ''}"


def _standard_input(jobs: Sequence[Job], files: FileOptions) -> bytes:
    """Read standard input if a job wants it: here, since no signal ends the wait of a thread that reads."""
    wanted = any(job.source is None for job in jobs)
    return disk.read_stream(sys.stdin.buffer, limit=files.max_bytes) if wanted else b""


def _load(job: Job, given: bytes, files: FileOptions) -> tuple[bytes, os.stat_result | None]:
    """Return a source's bytes and its status; standard input, `given`, has none."""
    if job.source is not None:
        return disk.read_steady(job.source, limit=files.max_bytes)
    if len(given) > files.max_bytes:
        raise PictureError(f"more than {files.max_bytes} bytes; raise the limit on pixels")
    return given, None


def _store(job: Job, data: bytes, status: os.stat_result | None, files: FileOptions) -> None:
    """Write a result, unless its source is another one by now."""
    if job.source is not None and status is not None:
        disk.check_unchanged(job.source, status)
    times = (status.st_atime_ns, status.st_mtime_ns) if status is not None and files.preserve else None
    if job.target is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        disk.write_atomic(job.target, data, times=times)
