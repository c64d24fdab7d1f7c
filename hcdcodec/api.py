"""Encode and decode one picture in memory: pixels to bytes and back."""

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.engines import Engines
from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.search.options import DEFAULT_EFFORT, Paper, search_of
from hcdcodec.codec.target import reach, remark
from hcdcodec.engine.engine import Engine, engine_for
from hcdcodec.errors import PictureError, UsageError
from hcdcodec.files.encoded_names import Container
from hcdcodec.format.container import PNG_LEVEL, check_installed, check_sides, pack, unpack
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.metrics import decibels
from hcdcodec.pictures.picture import Picture

METHODS = ("ste", "paper")


@dataclass(frozen=True)
class Result:
    """One encoded picture, with measured values.

    Attributes:
        data: a PNG, WebP or JPEG XL file.
        quality: 1 to 100, chosen by the caller or by a target.
        passes: number of forward and backward passes of the networks, over all searches.
        psnr_before: PSNR-RGB in dB of the reconstruction from the LR with which the search started.
        psnr: PSNR-RGB in dB of the reconstruction from `data`; infinite if it is exact.
        seconds: working time.
        remark: a warning where the result misses its target; empty if it meets it.
    """

    data: bytes
    quality: int
    passes: int
    psnr_before: float
    psnr: float
    seconds: float
    remark: str


def encode(
    pixels: npt.NDArray[np.uint8],
    *,
    scale: int = 4,
    backbone: str = "crn",
    effort: int = DEFAULT_EFFORT,
    quality: int | Target = DEFAULT_QUALITY,
    method: str = "ste",
    container: str = "png",
    device: str = "cpu",
    weights_dir: Path | str | None = None,
) -> bytes:
    """Encode one picture.

    Args:
        pixels: (H, W) grey, (H, W, 3) RGB, (H, W, 2) grey + alpha or (H, W, 4) RGB + alpha, uint8.
        scale: HR size / LR size.
        backbone: name of the rescaling network.
        effort: 0 (no search) to 9 (search to convergence).
        quality: 1 to 100, chooses the LR grid; or a `Target`, which chooses the quality.
        method: "ste", or "paper" for Algorithm 1 of the paper with its own number of steps.
        container: "png", "webp" or "jxl"; "jxl" needs hcdcodec[jxl].
        device: "auto", "cpu", "cuda" or "cuda:N".
        weights_dir: directory to search for weights before all others.

    Returns:
        A PNG, WebP or JPEG XL file. Any viewer of its kind can open it, and `decode` restores the picture.

    Raises:
        PictureError: the array has another type or shape.
        UsageError: an option is out of range.
        ModelError: the weights are not installed.
        OutputError: even the smallest file has more bytes than the target allows, or the container cannot hold the LR.
    """
    return encode_report(
        pixels,
        scale=scale,
        backbone=backbone,
        effort=effort,
        quality=quality,
        method=method,
        container=container,
        device=device,
        weights_dir=weights_dir,
    ).data


def encode_report(
    pixels: npt.NDArray[np.uint8],
    *,
    scale: int = 4,
    backbone: str = "crn",
    effort: int = DEFAULT_EFFORT,
    quality: int | Target = DEFAULT_QUALITY,
    method: str = "ste",
    container: str = "png",
    device: str = "cpu",
    weights_dir: Path | str | None = None,
) -> Result:
    """Encode one picture like `encode`, with the same arguments, and return measured values with it."""
    if method not in METHODS:
        raise UsageError(f"no method is called {method!r}; there are {', '.join(METHODS)}")
    picture = _picture(pixels)
    kind = _container(container)
    options = EncodeOptions(Paper() if method == "paper" else search_of(effort), container=kind)
    engine = _engine(backbone, scale, device, weights_dir)
    check_sides(kind, -(-picture.height // scale), -(-picture.width // scale))
    start = time.perf_counter()
    encoded = _encode(engine, picture, options, quality)
    header, refined = encoded.header, encoded.refined
    # Without `optimise`, oxipng runs in this process: one picture does not pay for the start of another program.
    data = pack(header, encoded.lr, alpha=picture.alpha, metadata=picture.metadata, level=PNG_LEVEL, kind=kind)
    return Result(
        data,
        header.quality,
        encoded.passes,
        decibels(refined.error_before),
        decibels(refined.error),
        time.perf_counter() - start,
        remark(quality, encoded, len(data)) if isinstance(quality, Target) else "",
    )


def _encode(engine: Engine, picture: Picture, options: EncodeOptions, quality: int | Target) -> Encoded:
    if isinstance(quality, Target):
        return reach(engine, picture, options, quality, level=PNG_LEVEL)
    return encode_pictures(engine, [picture], replace(options, quality=quality))[0]


def decode(
    data: bytes, *, device: str = "cpu", weights_dir: Path | str | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """Decode one picture.

    Args:
        data: the result of `encode`, or the content of a file that the command line wrote.
        device: "auto", "cpu", "cuda" or "cuda:N".
        weights_dir: directory to search for weights before all others.
        max_pixels: larger pictures are refused before they are allocated.

    Returns:
        uint8 array with the shape of the encoded picture.

    Raises:
        ContainerError: the data is not one of our files, is damaged or edited, or comes from a newer release.
        ModelError: the weights that the header names are not installed.
    """
    packed = unpack(data, max_pixels=max_pixels)
    picture = decode_picture(_engines(device, weights_dir).get(packed.header), packed)
    if picture.alpha is None:
        return picture.pixels
    return np.dstack([picture.pixels, picture.alpha])


def _container(name: str) -> Container:
    """Return the container of this name, once it is clear that it can be written."""
    if name not in tuple(Container):
        raise UsageError(f"no container is called {name!r}; there are {', '.join(Container)}")
    check_installed(Container(name))
    return Container(name)


def _picture(pixels: npt.NDArray[np.uint8]) -> Picture:
    """Split an array into colour and alpha."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    known = pixels.ndim == 2 or (pixels.ndim == 3 and channels in (2, 3, 4))
    if pixels.dtype != np.uint8 or not known or not pixels.size:
        raise PictureError(f"{pixels.dtype} array of shape {pixels.shape} is no picture; pass (H, W[, 2|3|4]) uint8")
    planes = pixels.reshape(*pixels.shape[:2], channels)
    alpha = planes[..., -1] if channels in (2, 4) else None
    return Picture(planes[..., 0] if channels < 3 else planes[..., :3], alpha, Metadata())


# Loading a network takes longer than encoding a small picture, so a loop over `encode` must not load it each time.
@lru_cache(maxsize=4)
def _engine(backbone: str, scale: int, device: str, weights_dir: Path | str | None) -> Engine:
    return engine_for(load_backbone(backbone, scale, weights_dir=weights_dir), device)


@lru_cache(maxsize=4)
def _engines(device: str, weights_dir: Path | str | None) -> Engines:
    return Engines(device, weights_dir)
