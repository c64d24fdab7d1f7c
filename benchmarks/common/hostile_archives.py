"""Archives whose `.hcdcodec` was made to harm, and an honest one: what `benchmarks.robustness.hostile` measures."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from hcdcodec.format import container
from hcdcodec.format.header import Header
from hcdcodec.networks import archive
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.weights import model_hash
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Mode
from hcdcodec.tiles import count_windows, largest_tile

SIDE, SMALL_SIDE = 600, 160
"""HR pixels each way."""

MISSING = "00" * 32
USUAL = (4, 64, 16, 22)
"""Scale, channels and depths of a crn like the shipped one."""

Archive = tuple[str, int, Path]
"""What is wrong with an archive, HR pixels each way of its picture, and the path of its small file."""


def honest_archive(folder: Path, side: int) -> Path:
    """Make an archive with weights like the shipped ones of crn x4, and return the path of its small file."""
    return _small(folder, side, _weights(folder, *USUAL), *USUAL)


def archives(top: Path) -> Iterator[Archive]:
    """Yield hostile archives, each in a folder of its own."""
    folders = (top / str(number) for number in itertools.count())
    count = archive.FILES_MAX + 1
    folder = next(folders)
    for number in range(count):
        _sparse(folder, str(number), archive.BYTES_MAX)
    yield f"archive, {count} files of 64 MB", SIDE, _small(folder, SIDE, MISSING, *USUAL)
    folder = next(folders)
    for number in range(count):
        _sparse(folder, str(number), archive.BYTES_MAX + 1)
    yield f"archive, {count} larger files", SIDE, _small(folder, SIDE, MISSING, *USUAL)
    folder = next(folders)
    for number in range(count):
        _table(folder, str(number), 3_500)
    yield f"archive, {count} files of 3500 tensors", SIDE, _small(folder, SIDE, MISSING, *USUAL)
    folder = _made(next(folders))
    for number in range(5_000):
        (folder / f"{number}").touch()
    yield "archive, 5000 empty files", SIDE, _small(folder.parent, SIDE, MISSING, *USUAL)
    for size, note in (((2, 256, 0, 4), "most multiplications"), ((8, 160, 0, 64), "most layers")):
        folder = next(folders)
        yield f"archive, {note}", SIDE, _small(folder, SIDE, _weights(folder, *size), *size)
    folder, size = next(folders), (2, 256, 0, 4)
    dearest = dearest_tiles(SMALL_SIDE // 2)
    yield (
        "archive, most multiplications and dearest tiles",
        SMALL_SIDE,
        _small(folder, SMALL_SIDE, _weights(folder, *size), *size, tiles=dearest),
    )
    folder, size = next(folders), (2, 257, 0, 4)
    yield "archive, more than is taken", SIDE, _small(folder, SIDE, _weights(folder, *size), *size)


def _made(folder: Path) -> Path:
    inside = folder / ".hcdcodec"
    inside.mkdir(parents=True, exist_ok=True)
    return inside


def _weights(folder: Path, scale: int, width: int, encoder_depth: int, decoder_depth: int) -> str:
    """Write weights of a crn, and return their hash."""
    network, generator = Crn(scale, width, encoder_depth, decoder_depth), torch.Generator().manual_seed(0)
    state = {name: 0.01 * torch.randn(v.shape, generator=generator) for name, v in network.state_dict().items()}
    save_file(state, _made(folder) / "weights")
    return model_hash(state)


def _sparse(folder: Path, name: str, size: int) -> None:
    """Write a safetensors file of zeros, which takes no place on the disk."""
    table = b'{"a":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}'
    count = (size - 100) // 4
    head = (table % (count, 4 * count)).ljust(92 + size % 4)
    with (_made(folder) / name).open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        file.truncate(8 + len(head) + 4 * count)


def _table(folder: Path, name: str, tensors: int) -> None:
    """Write a safetensors file of many tensors with one value each."""
    table = {f"{k:x}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * k, 4 * k + 4]} for k in range(tensors)}
    head = json.dumps(table, separators=(",", ":")).encode()
    (_made(folder) / name).write_bytes(len(head).to_bytes(8, "little") + head + bytes(4 * tensors))


def _small(
    folder: Path, side: int, whole: str, scale: int, _: int, __: int, depth: int, tiles: tuple[int, int] | None = None
) -> Path:
    """Write a small file whose header names weights, and return its path."""
    tile, halo = tiles or largest_tile(depth + 2)
    lr = np.random.default_rng(0).integers(0, 256, (side // scale, side // scale, 3)).astype(np.uint8)
    header = Header(scale, "crn", bytes.fromhex(whole)[:16], side, side, Mode.RGB, tile=tile, halo=halo)
    path = folder / "photo.png.hcd.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(container.pack(header, lr, alpha=None, metadata=Metadata(), level=0))
    return path


def dearest_tiles(side: int) -> tuple[int, int]:
    """Return the tile and halo that compute most of all that decoding takes, for a square LR of this side."""

    def cost(tile: int, halo: int) -> int:
        count, window = count_windows(side, side, tile, halo)
        taken = count * window <= 16 * side * side and count <= 64 + side * side // 64
        return count * window if taken else 0

    return max(((t, h) for t in range(1, 256) for h in range(64)), key=lambda plan: cost(*plan))
