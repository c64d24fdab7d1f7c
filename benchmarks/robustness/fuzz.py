"""Throw changed files at the readers for a while and count what they say; anything but an answer or a refusal is a bug.

    nice python -m benchmarks.robustness.fuzz --seconds 60
    python -m benchmarks.robustness.fuzz --seconds 3600 --engine atheris

Every input goes to all readers: files of ours, their headers, sources, states of trainings, manifests of weights. Half
of the changes to PNGs are made inside chunks whose checksums are then put right, those to WebP and JPEG XL inside their
parts with lengths put right, and those to states inside the members of their archive, else nothing would get past
those. With atheris, coverage guides what is changed next; without, chance does. Inputs that break something are kept
under --keep.
"""

import argparse
import io
import logging
import mmap
import os
import random
import shutil
import struct
import subprocess
import sys
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import record

if TYPE_CHECKING:
    pass

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
WEIGHTS = Path(__file__).parents[2] / "weights"
CORPUS, FILES = "corpus", "files"
KINDS = ("PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG", "QOI", "PPM", "AVIF", "JPEG2000", "HEIF", "JXL")
READERS = ("unpack", "read_picture", "Header.from_bytes", "read_state", "read_manifest")
COUNTERS = (*(f"{what} by {name}" for name in READERS for what in ("taken", "refused")), "broken", "inputs")
MAX_PIXELS = 1 << 20
_SLOTS = struct.Struct(f"<{len(COUNTERS)}Q")


def main() -> None:
    """Run one engine in a process of its own, so that its death, too, is counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="default: 60")
    parser.add_argument("--engine", choices=["atheris", "chance"], help="default: atheris where it is installed")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--keep", type=Path, default=Path("broken"), metavar="DIR", help="default: broken")
    parser.add_argument("--counters", type=Path, help=argparse.SUPPRESS)
    given = record.parse(parser)
    if given.counters:
        _fuzz(given)
    else:
        _watch(given)


def _watch(given: argparse.Namespace) -> None:
    engine = given.engine or ("atheris" if _has_atheris() else "chance")
    given.keep.mkdir(parents=True, exist_ok=True)
    counters = given.keep / "counters"
    counters.write_bytes(bytes(_SLOTS.size))
    own = ["--engine", engine, "--counters", str(counters), "--keep", str(given.keep), "--seed", str(given.seed)]
    start = time.monotonic()
    child = subprocess.run([sys.executable, "-m", __spec__.name, "--seconds", str(given.seconds), *own], check=False)
    counts = dict(zip(COUNTERS, _SLOTS.unpack(counters.read_bytes()), strict=True))
    counters.unlink()
    for name in (CORPUS, FILES):  # libFuzzer leaves without a chance to clear up
        shutil.rmtree(given.keep / name, ignore_errors=True)
    result = {
        "engine": engine,
        "seconds": round(time.monotonic() - start, 1),
        **counts,
        "exit status": child.returncode,
    }
    record.write_json(given.out / "fuzz.json", result)
    if not any(given.keep.iterdir()):
        given.keep.rmdir()
    sys.exit(1 if counts["broken"] or child.returncode else 0)


def _has_atheris() -> bool:
    return subprocess.run([sys.executable, "-c", "import atheris"], capture_output=True, check=False).returncode == 0


def _fuzz(given: argparse.Namespace) -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    with given.counters.open("r+b") as file, mmap.mmap(file.fileno(), _SLOTS.size) as counters:
        if given.engine == "atheris":
            _fuzz_by_coverage(given, counters)
        else:
            _fuzz_by_chance(given, _judge(counters, given.keep))


def _fuzz_by_chance(given: argparse.Namespace, judge: Callable[[bytes], None]) -> None:
    seeds, dice = _seeds(), random.Random(given.seed)
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        judge(_mutated(dice.choice(seeds), dice))


def _fuzz_by_coverage(given: argparse.Namespace, counters: mmap.mmap) -> None:
    import atheris

    with atheris.instrument_imports(include=["hcdcodec"]):
        judge = _judge(counters, given.keep)
    corpus = given.keep / CORPUS
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(_seeds()):
        (corpus / str(number)).write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        dice = random.Random(seed)
        if dice.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        return _mutated(data, dice)[:max_size]

    quiet = ["-verbosity=0", "-print_final_stats=0", f"-artifact_prefix={given.keep}/", "-max_len=8192"]
    limits = [f"-max_total_time={given.seconds}", "-timeout=20", "-rss_limit_mb=4096", f"-seed={given.seed + 1}"]
    atheris.Setup(["fuzz", *quiet, *limits, str(corpus)], judge, custom_mutator=mutate)
    atheris.Fuzz()


def _judge(counters: mmap.mmap, keep: Path) -> Callable[[bytes], None]:
    """Return what gives one input to all readers and counts what came of it."""
    readers, broken = _readers(keep / FILES), COUNTERS.index("broken")

    def judge(data: bytes) -> None:
        _count(counters, COUNTERS.index("inputs"))
        for index, (read, kind, sound) in enumerate(readers):
            try:
                found = read(data)
                sound(found)
                slot = 2 * index
            except kind as error:
                slot = 2 * index + 1 if "; " in str(error) and "\n" not in str(error) else broken
            except Exception:
                traceback.print_exc()
                slot = broken
            if slot == broken:
                (keep / f"{len(os.listdir(keep))}.bin").write_bytes(data)  # noqa: PTH208
            _count(counters, slot)

    return judge


def _count(counters: mmap.mmap, slot: int) -> None:
    (count,) = struct.unpack_from("<Q", counters, 8 * slot)
    struct.pack_into("<Q", counters, 8 * slot, count + 1)


def _readers(folder: Path) -> tuple[tuple[Callable[[bytes], Any], type[Exception], Callable[[Any], None]], ...]:
    """Return what reads, how it refuses, and what checks that it took something sound; in the order of `READERS`.

    Args:
        folder: where those that read files find the input.
    """
    from hcdcodec.errors import ContainerError, ModelError, PictureError
    from hcdcodec.format import container
    from hcdcodec.format.header import Header
    from hcdcodec.networks.manifest import MANIFEST, read_manifest
    from hcdcodec.pictures.reading import read_picture
    from hcdcodec.training.state import read_state

    folder.mkdir(exist_ok=True)
    parameters = _parameters()

    def put(name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return (
        (partial(container.unpack, max_pixels=MAX_PIXELS), ContainerError, _sound_packed),
        (partial(read_picture, max_pixels=MAX_PIXELS), PictureError, _sound_picture),
        (Header.from_bytes, ContainerError, _sound_header),
        (lambda data: read_state(put("state", data), parameters), ModelError, _sound_state),
        (lambda data: read_manifest(put(MANIFEST, data).parent), ModelError, _sound_entries),
    )


def _parameters() -> list[Any]:
    import torch

    return [torch.zeros(2, 3), torch.zeros(4)]


def _sound_packed(packed: object) -> None:
    """Check that what is given out is what the digest names."""
    from hcdcodec.format import container

    assert isinstance(packed, container.Packed)
    assert container.pixel_digest(packed.lr) == packed.header.lr_digest
    assert packed.alpha is None or packed.alpha.shape == (packed.header.height, packed.header.width)


def _sound_picture(picture: object) -> None:
    from hcdcodec.pictures.picture import Picture

    assert isinstance(picture, Picture)
    assert 0 < picture.pixel_count <= MAX_PIXELS


def _sound_header(header: object) -> None:
    """Check that it is written as it was read."""
    from hcdcodec.format.header import Header

    assert isinstance(header, Header)
    assert Header.from_bytes(header.to_bytes()) == header


def _sound_state(state: Any) -> None:
    """Check that the optimiser can write into what it is given."""
    shapes = [values.shape for values in _parameters()]
    for number, moments in state["optimiser"]["state"].items():
        for name in ("exp_avg", "exp_avg_sq"):
            assert moments[name].shape == shapes[number]
            moments[name].add_(1)


def _sound_entries(entries: Any) -> None:
    assert all("/" not in entry.file and len(entry.hash) == 64 for entry in entries)


def _state() -> bytes:
    """Return a training's state, as small as it can be."""
    import torch

    moments = {
        number: {"step": torch.tensor(1.0), "exp_avg": torch.ones_like(values), "exp_avg_sq": torch.ones_like(values)}
        for number, values in enumerate(_parameters())
    }
    network = dict(zip("ab", _parameters(), strict=True))
    content = {"recipe": {"scale": 4}, "network": network, "average": network, "optimiser": {"state": moments}}
    buffer = io.BytesIO()
    torch.save({**content, "iteration": 1, "minutes": 1.0, "start": "", "is_decoder_held": False}, buffer)
    return buffer.getvalue()


def _seeds() -> list[bytes]:
    """Return golden files and their headers, a small picture of every kind that is read, a state and a manifest."""
    from PIL import Image

    from hcdcodec.files.picture_names import Format
    from hcdcodec.format import container
    from hcdcodec.pictures import plugins

    for fmt in (Format.HEIC, Format.JXL):
        plugins.require(fmt)
    golden = sorted(GOLDEN.glob("v*"))
    found = [path.read_bytes() for path in golden]
    headers = [container.peek(path.read_bytes()).to_bytes() for path in golden if ".hcd." in path.name]
    found += [*headers, *[_state()] * 8, (WEIGHTS / "manifest.json").read_bytes()]
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 4)).astype(np.uint8)
    for kind in KINDS:
        for picture in (Image.fromarray(pixels[..., :3]), Image.fromarray(pixels), Image.fromarray(pixels[..., 0])):
            buffer = io.BytesIO()
            try:
                picture.save(buffer, kind)
            except (OSError, ValueError):  # this kind knows no alpha
                continue
            found.append(buffer.getvalue())
    return found


def _mutated(data: bytes, dice: random.Random) -> bytes:
    """Change a few bytes anywhere, or inside the parts of a file or the members of an archive, with sound checksums."""
    from hcdcodec.errors import ContainerError

    if data.startswith(b"PK") and dice.random() < 0.8:
        return _changed_member(data, dice)
    try:
        if dice.random() < 0.5:
            parts, build = _taken_apart(data)
            for _ in range(dice.randint(1, 3)):
                _change_parts(parts, dice)
            return build(parts)
    except ContainerError:
        pass
    return _changed(data, dice)


def _taken_apart(data: bytes) -> tuple[list[Any], Callable[[list[Any]], bytes]]:
    """Return the parts of a file, and what builds a file of them."""
    from hcdcodec.format import jxl_container, webp_container
    from hcdcodec.pictures import png_chunks

    if webp_container.recognise(data):
        return list(webp_container._walk(data)), webp_container._build
    if jxl_container.recognise(data):
        return list(jxl_container._walk(data)), jxl_container._build
    return list(png_chunks.walk(data)), png_chunks.build


def _change_parts(parts: list[Any], dice: random.Random) -> None:
    """Change, repeat, move or drop one."""
    if not parts:
        return
    at = dice.randrange(len(parts))
    choice = dice.random()
    if choice < 0.6:
        parts[at] = parts[at]._replace(payload=_changed(parts[at].payload, dice))
    elif choice < 0.75:
        parts.insert(dice.randrange(len(parts) + 1), parts[at])
    elif choice < 0.9:
        parts.insert(dice.randrange(len(parts)), parts.pop(at))
    elif len(parts) > 1:
        del parts[at]


def _changed_member(data: bytes, dice: random.Random) -> bytes:
    """Change one member of an archive, most often the one that says what the others are."""
    changed = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(changed, "w") as new:
            names = old.namelist()
            chosen = names[0] if dice.random() < 0.8 else dice.choice(names)
            for name in names:
                member = old.read(name)
                new.writestr(name, _changed(member, dice) if name == chosen else member)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):  # it was changed before
        return _changed(data, dice)
    return changed.getvalue()


def _changed(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        at, choice = dice.randrange(len(changed) + 1), dice.random()
        if choice < 0.6:
            changed[at : at + 1] = bytes([dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))])
        elif choice < 0.75:
            changed[at : at + 4] = struct.pack(">I", dice.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(data))))
        elif choice < 0.85:
            del changed[at : at + dice.randrange(1, 40)]
        else:
            changed[at:at] = dice.randbytes(dice.randrange(1, 40))
    return bytes(changed)


if __name__ == "__main__":
    main()
