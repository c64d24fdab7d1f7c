"""Encode and decode one picture: a file, an image of Pillow or an array to bytes, and bytes to an array."""

import operator
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache, partial, wraps
from inspect import signature
from pathlib import Path
from typing import ParamSpec

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.engines import Engines
from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.search.options import DEFAULT_EFFORT, Paper, Search, search_of
from hcdcodec.codec.source import Source, read_anything
from hcdcodec.codec.target import reach, remark
from hcdcodec.engine.devices import memory_errors, own_modes
from hcdcodec.engine.engine import Engine, engine_for
from hcdcodec.errors import UsageError
from hcdcodec.files.encoded_names import Container
from hcdcodec.format.container import check_installed, check_sides, pack, unpack
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.networks.manifest import NetworkId, identify
from hcdcodec.networks.registry import load_backbone
from hcdcodec.pictures.limits import DEFAULT_MAX_PIXELS
from hcdcodec.pictures.metadata import Strip
from hcdcodec.pictures.metrics import decibels

METHODS = ("ste", "paper")

How = ParamSpec("How")


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
        warnings: one line for each part of the source that is not carried, and for each conversion.
    """

    data: bytes
    quality: int
    passes: int
    psnr_before: float
    psnr: float
    seconds: float
    remark: str
    warnings: tuple[str, ...] = ()


def encode_report(
    pixels: Path | str | bytes | Image.Image | npt.NDArray[np.uint8],
    *,
    scale: int = 4,
    backbone: str = "crn",
    effort: int = DEFAULT_EFFORT,
    quality: int | Target = DEFAULT_QUALITY,
    method: str = "ste",
    container: str = "png",
    strip: Collection[str] = (),
    upright: bool = False,
    convert: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    device: str = "cpu",
    weights_dir: Path | str | None = None,
) -> Result:
    """Encode one picture, and tell how it went.

    Args:
        pixels: the path of a picture file, or its content as bytes; or an image of Pillow; or an array: (H, W) grey,
            (H, W, 3) RGB, (H, W, 2) grey + alpha or (H, W, 4) RGB + alpha, uint8. The small file gets the metadata of
            a file, and what Pillow knows of it (ICC profile, EXIF, XMP and density) of an image.
        scale: HR size / LR size.
        backbone: name of the rescaling network.
        effort: 0 (no search) to 9 (search to convergence).
        quality: 1 to 100, chooses the LR grid; or a `Target`, which chooses the quality.
        method: "ste", or "paper" for Algorithm 1 of the paper with its own number of steps.
        container: "png", "webp" or "jxl"; "jxl" needs hcdcodec[jxl].
        strip: kinds of metadata not to store: "exif", "icc", "xmp", "text", "density", "colour".
        upright: turn the pixels as EXIF says.
        convert: take files of more than 8 bits a channel, rounded, and of CMYK and Lab, as sRGB.
        max_pixels: larger picture files are refused.
        device: "auto", "cpu", "cuda" or "cuda:N".
        weights_dir: directory to search for weights before all others.

    Returns:
        A PNG, WebP or JPEG XL file, which any viewer of its kind can open and `decode` restores, and measured values.

    Raises:
        PictureError: the file cannot be read or stored, or the array has another type or shape.
        UsageError: an option is out of range.
        ModelError: the weights are not installed.
        OutputError: even the smallest file has more bytes than the target allows, or the container cannot hold the LR.
        MemoryError: there is too little memory for this picture.
    """
    kind = _container(container)
    options = EncodeOptions(
        _search(method, effort), strip=_strip(strip), container=kind, upright=bool(upright), convert=bool(convert)
    )
    source = read_anything(pixels, options, _whole(max_pixels, "max_pixels"))
    picture = source.picture
    level = quality if isinstance(quality, Target) else _whole(quality, "quality")
    with memory_errors(), own_modes():
        name, directory = str(backbone), _directory(weights_dir)
        # What the name stands for now: a training may have put other weights there since the last call.
        network = identify(name, _whole(scale, "scale"), directory)
        engine = _engine(network, name, str(device), directory)
        check_sides(kind, -(-picture.height // engine.backbone.scale), -(-picture.width // engine.backbone.scale))
        start = time.perf_counter()
        with engine.at_work():
            encoded = _encode(engine, source, options, level)
    header = replace(encoded.header, source_size=source.size, source_digest=source.digest)
    refined = encoded.refined
    # Without `optimise`, oxipng runs in this process: one picture does not pay for the start of another program.
    data = pack(header, encoded.lr, alpha=picture.alpha, metadata=picture.metadata, kind=kind)
    return Result(
        data,
        header.quality,
        encoded.passes,
        decibels(refined.error_before),
        decibels(refined.error),
        time.perf_counter() - start,
        remark(level, encoded, len(data)) if isinstance(level, Target) else "",
        picture.warnings,
    )


def _data_of(report: Callable[How, Result]) -> Callable[How, bytes]:
    """Return `encode`: the arguments are those of `encode_report`, and stand there alone."""

    @wraps(report)
    def encode(*pixels: How.args, **options: How.kwargs) -> bytes:
        return report(*pixels, **options).data

    encode.__name__ = encode.__qualname__ = "encode"
    encode.__annotations__ = {**report.__annotations__, "return": bytes}
    encode.__signature__ = signature(report).replace(return_annotation=bytes)  # type: ignore[attr-defined]
    encode.__doc__ = "Encode one picture and return its file; see `encode_report`, which takes the same arguments."
    return encode


encode = _data_of(encode_report)


def _encode(engine: Engine, source: Source, options: EncodeOptions, quality: int | Target) -> Encoded:
    if isinstance(quality, Target):
        return reach(engine, source, options, quality)
    return encode_pictures(engine, [source.picture], replace(options, quality=quality))[0]


def decode(
    data: bytes | bytearray | memoryview,
    *,
    device: str = "cpu",
    weights_dir: Path | str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
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
        UsageError: an option is out of range, or `data` are no bytes.
        MemoryError: there is too little memory for this picture.
    """
    packed = unpack(_content(data), max_pixels=_whole(max_pixels, "max_pixels"))
    with memory_errors(), own_modes():
        engine = _engines(str(device), _directory(weights_dir)).get(packed.header)
        with engine.at_work():
            return decode_picture(engine, packed).levels


def _search(method: str, effort: int) -> Search:
    if method not in METHODS:
        raise UsageError(f"no method is called {method!r}; there are {', '.join(METHODS)}")
    return Paper() if method == "paper" else search_of(_whole(effort, "effort"))


def _container(name: str) -> Container:
    """Return the container of this name, once it is clear that it can be written."""
    if name not in tuple(Container):
        raise UsageError(f"no container is called {name!r}; there are {', '.join(Container)}")
    check_installed(Container(name))
    return Container(name)


def _strip(kinds: Collection[str]) -> tuple[Strip, ...]:
    """Return kinds of metadata in the order of `Strip`, as the settings digest needs them."""
    # One name would be taken for a collection of letters.
    is_known = (
        isinstance(kinds, Collection) and not isinstance(kinds, str) and all(kind in tuple(Strip) for kind in kinds)
    )
    if not is_known:
        raise UsageError(f"strip {kinds!r} is no collection of kinds of metadata; there are {', '.join(Strip)}")
    return tuple(kind for kind in Strip if kind in kinds)


def _content(data: bytes | bytearray | memoryview) -> bytes:
    try:
        return bytes(memoryview(data))
    except TypeError as error:
        raise UsageError(f"{type(data).__name__} is no content of a file; pass bytes, as read_bytes gives") from error


def _whole(number: int, name: str) -> int:
    """Return any kind of whole number as `int`."""
    try:
        return operator.index(number)
    except TypeError as error:
        raise UsageError(f"{name} {number!r} is no whole number; pass an int") from error


def _directory(given: Path | str | None) -> Path | None:
    try:
        # Absolute, since networks are kept by it and a caller may go to another directory.
        return None if given is None else Path(os.fsdecode(given)).absolute()
    except TypeError as error:
        raise UsageError(f"weights_dir {given!r} is no path; pass a str or a Path") from error


# Loading a network takes longer than encoding a small picture, so a loop over `encode` must not load it each time.
@lru_cache(maxsize=4)
def _engine(network: NetworkId, backbone: str, device: str, weights_dir: Path | None) -> Engine:
    return engine_for(load_backbone(backbone, network.scale, weights_dir=weights_dir), device)


@lru_cache(maxsize=4)
def _engines(device: str, weights_dir: Path | None) -> Engines:
    return Engines(device, weights_dir)


# Threads do not come along when a process forks, and torch would wait for those of its own for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
