"""A picture's way through our files and back, measured."""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import record
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.lr_likeness import lr_likeness
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Search, Ste
from hcdcodec.engine.engine import Engine, engine_for
from hcdcodec.errors import ModelError, UsageError
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import container
from hcdcodec.format.container import PNG_LEVEL
from hcdcodec.networks.manifest import installed
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures import metrics
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.metrics import Scores
from hcdcodec.pictures.picture import Levels, Picture

FULL_GRID = 100
"""Quality at which every LR level is allowed, as in the paper."""

WINDOW = 128
"""LR samples of the windows on which the paper's released code searches large pictures."""

NONE = Ste(0)


@dataclass(frozen=True, eq=False)
class Trip:
    """What came of one picture.

    Attributes:
        decoded: from the file that was written, (H, W) or (H, W, 3) uint8.
        lr: what the file shows.
        bpp: of the file.
        passes: of the search, by HR picture.
        encode_s: downscaling and search, then PNG coding, in seconds.
        decode_s: from the file to pixels.
    """

    decoded: Levels
    lr: Levels
    bpp: float
    passes: int
    encode_s: float
    decode_s: float

    def scores(self, original: Picture, scale: int) -> Scores:
        """Return how close it is."""
        return metrics.score(original.pixels, self.decoded, border=scale)

    def likeness(self, original: Picture, scale: int) -> float:
        """Return the PSNR-RGB of the LR against the antialiased bicubic LR, sizes being multiples of `scale`."""
        return lr_likeness(original, self.lr, scale)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose network and device; a script adds `--scale` or `--scales` itself."""
    parser.add_argument("--backbone", default="crn", help="default: crn")
    parser.add_argument("--weights-dir", type=Path, help="search this directory for weights first")
    parser.add_argument("--device", default="cpu", help="cpu (default), auto or cuda:N; a command takes several")


def engine_of(given: argparse.Namespace, backbone: str | None = None, scale: int | None = None) -> Engine:
    """Return the engine that the options, or the arguments in their place, name; leave with a sentence without one."""
    try:
        network = load_backbone(backbone or given.backbone, scale or given.scale, weights_dir=given.weights_dir)
    except (ModelError, UsageError) as error:
        raise SystemExit(str(error)) from error
    label = f"{network.name} x{network.scale} {network.model_hash[:12]}".rstrip()
    if label not in record.NETWORKS:
        record.NETWORKS.append(label)
    return engine_for(network, given.device.partition(",")[0])


def every_backbone(given: argparse.Namespace) -> dict[str, str]:
    """Return label -> name for `engine_of` of all networks that are installed at the scale.

    Of each family the one that encoding takes, unless it is experimental: IRN x4 is too slow here. Of super-resolution
    networks every one, labelled as the paper does.
    """
    found = {"bicubic": "bicubic"}
    for _, entry in installed(given.weights_dir):
        if entry.scale != given.scale or entry.experimental:
            continue
        if "network" in entry.origin:
            label = f"Bicubic & {entry.origin['network']} ({entry.origin['imported from']}, {entry.hash[:8]})"
            found[label] = f"{entry.name}@{entry.hash}"
        else:
            found.setdefault(entry.name, entry.name)
    return found


def travel(engine: Engine, picture: Picture, search: Search, quality: int = FULL_GRID) -> Trip:
    """Encode a picture, write the file, read it, decode it."""
    start = time.perf_counter()
    (encoded,) = encode_pictures(engine, [picture], EncodeOptions(search, quality))
    return _finish(engine, encoded, start)


def travel_in_all(engine: Engine, picture: Picture, search: Search, quality: int) -> Mapping[Container, Trip]:
    """Encode a picture once and write its file in every container; all decode to the same pixels."""
    start = time.perf_counter()
    (encoded,) = encode_pictures(engine, [picture], EncodeOptions(search, quality))
    trip = _finish(engine, encoded, start)
    return {kind: replace(trip, bpp=_bpp(encoded, kind)) for kind in Container}


def travel_by_windows(engine: Engine, picture: Picture, search: Search) -> tuple[Trip, Trip]:
    """Search each window of 128 LR samples by itself: an absolute budget is more for a small picture.

    Returns:
        The trip of the joined LR, decoded as a whole as every file of ours is; and that of windows that are also
        decoded by themselves and pasted, as the paper's released code does. The latter's LR and size are the former's.
    """
    start = time.perf_counter()
    (whole,) = encode_pictures(engine, [picture], EncodeOptions(NONE, FULL_GRID))
    lr, pasted, passes = np.empty_like(whole.lr), np.empty_like(picture.pixels), 0.0
    for area, share in _windows(picture, engine.backbone.scale):
        trip = travel(engine, Picture(np.ascontiguousarray(picture.pixels[area])), search)
        lr[_shrunk(area, engine.backbone.scale)] = trip.lr
        pasted[area] = trip.decoded
        passes += trip.passes * share
    refined = replace(whole.refined, passes=round(passes))
    joined = _finish(engine, replace(whole, lr=lr, refined=refined), start)
    return joined, replace(joined, decoded=pasted)


def _windows(picture: Picture, scale: int) -> Iterator[tuple[tuple[slice, slice], float]]:
    """Yield (rows, columns) of HR windows and the share of the picture that they are."""
    side = WINDOW * scale
    for top in range(0, picture.height, side):
        for left in range(0, picture.width, side):
            bottom, right = min(top + side, picture.height), min(left + side, picture.width)
            yield (slice(top, bottom), slice(left, right)), (bottom - top) * (right - left) / picture.pixel_count


def _shrunk(area: tuple[slice, slice], scale: int) -> tuple[slice, slice]:
    rows, columns = (slice(side.start // scale, side.stop // scale) for side in area)
    return rows, columns


def _bpp(encoded: Encoded, kind: Container) -> float:
    """Return the bpp of a file that was written and read back."""
    data = container.pack(encoded.header, encoded.lr, alpha=None, metadata=Metadata(), level=PNG_LEVEL, kind=kind)
    container.unpack(data)  # which compares the digest of the pixels
    return 8 * len(data) / encoded.header.pixel_count


def _finish(engine: Engine, encoded: Encoded, start: float) -> Trip:
    """Write, read, decode."""
    data = container.pack(encoded.header, encoded.lr, alpha=None, metadata=Metadata(), level=PNG_LEVEL)
    encode_s = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.hcd.png"
        path.write_bytes(data)
        start = time.perf_counter()
        packed = container.unpack(path.read_bytes())
        decoded = decode_picture(engine, packed).pixels
    header = packed.header
    return Trip(
        decoded=decoded,
        lr=packed.lr,
        bpp=8 * len(data) / header.pixel_count,
        passes=encoded.refined.passes,
        encode_s=encode_s,
        decode_s=time.perf_counter() - start,
    )
