"""Each stage of the pipeline alone, with all cores: what a command that overlaps them cannot be faster than."""

import os
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.common import record
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import search_of
from hcdcodec.engine.engine import Engine
from hcdcodec.files import disk
from hcdcodec.files.picture_names import Format
from hcdcodec.format import container
from hcdcodec.format.container import PNG_LEVEL, Packed
from hcdcodec.format.lr_digest import lr_digest_chunk
from hcdcodec.format.oxipng_pool import Optimisers
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

Given = TypeVar("Given")
Made = TypeVar("Made")

CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Stage:
    """What a stage took for all pictures: by the clock, and of the processors."""

    seconds: float
    cpu_s: float


def encoding(engine: Engine, effort: int, source: Path, target: Path) -> dict[str, Stage]:
    """Measure the stages of encoding a folder."""
    options = EncodeOptions(search_of(effort))

    def write(optimisers: Optimisers, pair: tuple[Picture, Encoded]) -> None:
        picture, made = pair
        pack = partial(container.pack, made.header, made.lr, alpha=picture.alpha, metadata=picture.metadata)
        _store(target, pack(level=PNG_LEVEL, optimise=optimisers.optimise))

    def write_all() -> list[None]:
        with Optimisers(CORES) as optimisers:  # what its programs took counts once they have ended
            return _spread(partial(write, optimisers), list(zip(found, made, strict=True)))

    found, reading = _timed(lambda: _spread(_read, _files(source)))
    groups = grouped(found, engine)
    made, device = _timed(lambda: [one for group in groups for one in encode_pictures(engine, group, options)])
    _, writing = _timed(write_all)
    return {"read": reading, "device": device, "write": writing}


def decoding(engine: Engine, source: Path, target: Path) -> dict[str, Stage]:
    """Measure the stages of decoding a folder whose files name the network of `engine`."""
    found, reading = _timed(lambda: _spread(_unpack, _files(source)))
    made, device = _timed(lambda: [decode_picture(engine, packed) for packed in found])
    _, writing = _timed(lambda: _spread(partial(_write, target), made))
    return {"read": reading, "device": device, "write": writing}


def compared(alone: dict[str, Stage], whole_s: float, start_s: float) -> record.Row:
    """Return the row of a command that took `whole_s`, and `start_s` for next to nothing."""
    shared = sum(stage.cpu_s for stage in alone.values()) / CORES
    least = max(shared, *(stage.seconds for stage in alone.values()))
    return {
        **{f"{name}_s": stage.seconds for name, stage in alone.items()},
        "all_cpu_s_by_cores": shared,
        "least_s": least,
        "whole_s": whole_s,
        "ratio": whole_s / least,
        "start_s": start_s,
        "ratio_without_start": (whole_s - start_s) / least,
    }


def grouped(found: Iterable[Picture], engine: Engine) -> list[list[Picture]]:
    """Put neighbours together as the pipeline does."""
    groups: list[list[Picture]] = [[]]
    for picture in found:
        held = sum(other.pixel_count for other in groups[-1])
        if groups[-1] and held + picture.pixel_count > engine.batch_px:
            groups.append([])
        groups[-1].append(picture)
    return groups


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _read(path: Path) -> Picture:
    data, _ = disk.read_steady(path)
    disk.source_digest(data)
    return read_picture(data)


def _unpack(path: Path) -> Packed:
    data, _ = disk.read_steady(path)
    disk.source_digest(data)
    return container.unpack(data)


def _write(folder: Path, picture: Picture) -> None:
    _store(folder, write_picture(picture, Format.PNG, marks=(lr_digest_chunk(bytes(8)),)))


def _store(folder: Path, data: bytes) -> None:
    disk.write_atomic(folder / f"{disk.source_digest(data).hex()}.png", data)


def _spread(do: Callable[[Given], Made], items: Sequence[Given]) -> list[Made]:
    with ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(do, items))


def _timed(do: Callable[[], list[Made]]) -> tuple[list[Made], Stage]:
    start, before = time.perf_counter(), _cpu_s()
    made = do()
    return made, Stage(time.perf_counter() - start, _cpu_s() - before)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
