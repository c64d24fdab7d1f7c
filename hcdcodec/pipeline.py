"""Files to files: the stages of encoding and of decoding, and the rule that leaves up-to-date results alone."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hcdcodec import container, flow, heap, image, storage
from hcdcodec.backbones import load_backbone
from hcdcodec.decoder import decode_picture
from hcdcodec.encoder import EncodeOptions, encode_pictures
from hcdcodec.errors import ContainerError, OutputError, PictureError, UnsupportedError, UsageError
from hcdcodec.files import Job
from hcdcodec.image import DEFAULT_MAX_PIXELS, Format, Picture
from hcdcodec.metrics import decibels
from hcdcodec.optimisers import Optimisers
from hcdcodec.outcome import Outcome, Status
from hcdcodec.passes import Engine, engine_for
from hcdcodec.storage import Freshness, Stamp
from hcdcodec.strip import stripped
from hcdcodec.target import Found, Target, reach

PNG_LEVEL = 4
"""Preset of oxipng."""

THREADS = 2
"""Reading and writing threads: decompression and oxipng overlap with the networks without crowding them out."""


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
        """Larger source files are not read; 8 bytes a pixel hold every kind without compression."""
        return 8 * self.max_pixels + (1 << 28)


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
    """Encode files with one engine.

    Attributes:
        engine: network, device and precision.
        options: how pictures are encoded.
        files: how files are treated.
        target: what chooses the quality of each picture, instead of the options.
        skip_if_larger: store nothing where the result would not be smaller than its source.
    """

    engine: Engine
    options: EncodeOptions
    files: FileOptions = FileOptions()
    target: Target | None = None
    skip_if_larger: bool = False

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Yield one outcome a job, in order."""
        jobs = tuple(jobs)
        return self._run(jobs, partial(self._read, given=_prepared(jobs, self.files)))

    def _run(self, jobs: Sequence[Job], read: Callable[[Job], _Source | Outcome]) -> Iterator[Outcome]:
        threads = self.files.threads
        with Optimisers(min(threads, len(jobs))) as optimisers:
            write = partial(self._write, optimisers)
            stages = flow.Stages(read, lambda source: source.picture.pixel_count, self._work, write)
            yield from flow.run(jobs, stages, threads=threads, group_px=self.engine.batch_px)

    def is_fresh(self, job: Job) -> bool:
        """Tell whether a job's result is up to date.

        Raises:
            OutputError: something that is not ours stands in the way.
        """
        backbone = self.engine.backbone
        settings = self.target.digest(self.options, backbone) if self.target else self.options.digest(backbone)
        return _is_fresh(job, _encoded_stamp(job), settings, self.files, _file_digest)

    def _read(self, job: Job, *, given: bytes) -> _Source | Outcome:
        if self.is_fresh(job):
            return Outcome(name=job.name, target=job.target, status=Status.SKIPPED, message="up to date")
        data, status = _load(job, given, self.files)
        picture = image.read_picture(data, max_pixels=self.files.max_pixels)
        picture = replace(picture, metadata=stripped(picture.metadata, self.options.strip))
        return _Source(picture, len(data), storage.source_digest(data), status)

    def _work(self, sources: list[_Source]) -> list[_Timed]:
        if self.target is not None:
            return [self._reach(source, self.target) for source in sources]
        start = time.perf_counter()
        made = encode_pictures(self.engine, [source.picture for source in sources], self.options)
        heap.trim()  # each group has other sizes, and leaves other gaps
        each = (time.perf_counter() - start) / sum(source.picture.pixel_count for source in sources)
        return [
            _Timed(Found(encoded, encoded.refined.passes), each * source.picture.pixel_count)
            for encoded, source in zip(made, sources, strict=True)
        ]

    def _reach(self, source: _Source, target: Target) -> _Timed:
        start = time.perf_counter()
        found = reach(self.engine, source.picture, self.options, target, level=PNG_LEVEL)
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
        engines: where networks come from.
        target_format: file format of the results.
        files: how files are treated.
    """

    engines: Engines
    target_format: Format = Format.PNG
    files: FileOptions = FileOptions()

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Yield one outcome a job, in order."""
        jobs = tuple(jobs)
        read = partial(self._read, given=_prepared(jobs, self.files))
        stages = flow.Stages(read, lambda package: package.packed.header.pixel_count, self._work, self._write)
        return flow.run(jobs, stages, threads=self.files.threads, group_px=1)

    def is_fresh(self, job: Job) -> bool:
        """Tell whether a job's result is up to date.

        Raises:
            OutputError: something that is not ours stands in the way.
        """
        if self.target_format is Format.PNG:
            return _is_fresh(job, _decoded_stamp(job), b"", self.files, _file_digest)
        return _is_newer(job, self.files)

    def _read(self, job: Job, *, given: bytes) -> _Package | Outcome:
        if self.is_fresh(job):
            return Outcome(name=job.name, target=job.target, status=Status.SKIPPED, message="up to date")
        data, status = _load(job, given, self.files)
        packed = container.unpack(data, max_pixels=self.files.max_pixels)
        return _Package(packed, len(data), storage.source_digest(data), status)

    def _work(self, packages: list[_Package]) -> list[tuple[Picture, float]]:
        start = time.perf_counter()
        made = [decode_picture(self.engines.get(package.packed.header), package.packed) for package in packages]
        return [(picture, (time.perf_counter() - start) / len(made)) for picture in made]

    def _write(self, job: Job, package: _Package, made: tuple[Picture, float]) -> Outcome:
        start = time.perf_counter()
        picture, seconds = made
        data = image.write_picture(picture, self.target_format, lr_digest=package.digest)
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


def _is_fresh(
    job: Job, recorded: Stamp | None, settings: bytes, files: FileOptions, digest_of: Callable[[Path], bytes]
) -> bool:
    """Tell whether a target is up to date; refuse to replace what is not ours."""
    if files.force:
        return False
    state = storage.freshness(job, recorded, settings, checksum=files.checksum, digest_of=digest_of)
    if state is Freshness.FOREIGN:
        raise OutputError(f"{job.target} exists and was not made by hcdcodec; move it away or use --force")
    return state is Freshness.FRESH


def _is_newer(job: Job, files: FileOptions) -> bool:
    """Tell whether a target of a kind that cannot say what it was made from is up to date: by its time alone."""
    if files.force or job.target is None or not job.target.exists():
        return False
    if job.source is None or job.target.stat().st_mtime_ns < job.source.stat().st_mtime_ns:
        raise OutputError(f"{job.target} exists and cannot say whether it is ours; use --force to replace it")
    return True


def _encoded_stamp(job: Job) -> Stamp | None:
    """Return what an existing LR says of its source; None where there is none, or it is not ours."""
    if job.target is None or not job.target.is_file():
        return None
    try:
        header = container.peek(storage.read(job.target))
    except ContainerError:
        return None
    return Stamp(header.source_size, header.source_digest, header.settings_digest)


def _decoded_stamp(job: Job) -> Stamp | None:
    """Return what an existing reconstruction says of its LR; None where there is none, or it is not ours."""
    if job.target is None or not job.target.is_file():
        return None
    digest = image.read_lr_digest(storage.read(job.target))
    return None if digest is None else Stamp(None, digest, b"")


def _file_digest(path: Path) -> bytes:
    return storage.source_digest(storage.read(path))


def _needless(job: Job) -> str:
    """Say why nothing is stored; an older result that stands there is the user's to remove."""
    older = job.target is not None and job.target.exists()
    return f"not smaller than its source, nothing stored{'; an older result still stands there' if older else ''}"


def _prepared(jobs: Sequence[Job], files: FileOptions) -> bytes:
    """Remove what killed runs left where results go, and read standard input if a job wants it."""
    for folder in {job.target.parent for job in jobs if job.target}:
        storage.sweep(folder)
    return _standard_input(jobs, files)


def _standard_input(jobs: Sequence[Job], files: FileOptions) -> bytes:
    """Read standard input if a job wants it: here, since no signal ends the wait of a thread that reads."""
    wanted = any(job.source is None for job in jobs)
    return storage.read_stream(sys.stdin.buffer, limit=files.max_bytes) if wanted else b""


def _load(job: Job, given: bytes, files: FileOptions) -> tuple[bytes, os.stat_result | None]:
    """Return a source's bytes and its status; standard input, `given`, has none."""
    if job.source is not None:
        return storage.read_steady(job.source, limit=files.max_bytes)
    if len(given) > files.max_bytes:
        raise PictureError(f"more than {files.max_bytes} bytes; raise the limit on pixels")
    return given, None


def _store(job: Job, data: bytes, status: os.stat_result | None, files: FileOptions) -> None:
    """Write a result, unless its source is another one by now."""
    if job.source is not None and status is not None:
        storage.check_unchanged(job.source, status)
    times = (status.st_atime_ns, status.st_mtime_ns) if status is not None and files.preserve else None
    if job.target is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        storage.write_atomic(job.target, data, times=times)
