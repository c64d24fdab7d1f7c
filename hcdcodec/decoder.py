"""(header, LR) -> pixels: one float32 forward pass over the header's tiles."""

import numpy as np
import numpy.typing as npt
import torch

from hcdcodec.container import Header, Packed
from hcdcodec.errors import DamagedError
from hcdcodec.image import Mode, Picture
from hcdcodec.passes import Engine, Task, details_source
from hcdcodec.tiling import plan


def decode_picture(engine: Engine, packed: Packed) -> Picture:
    """Restore one picture.

    Args:
        engine: the network that the header names, device and precision.
        packed: an unpacked container.

    Returns:
        The picture at its original size, with its alpha and metadata.

    Raises:
        DamagedError: the LR's size does not fit the header.
    """
    header, scale = packed.header, engine.backbone.scale
    multiple = engine.backbone.multiple
    expected = tuple(-(-size // multiple) * multiple // scale for size in (header.height, header.width))
    if packed.lr.shape[:2] != expected:
        raise DamagedError("the LR's size does not fit the header; restore the file from a copy")
    pixels = _restore(engine, header, np.atleast_3d(packed.lr))
    grey = header.mode is Mode.GREY
    return Picture(pixels[..., 0] if grey else pixels, packed.alpha, packed.metadata)


def _restore(engine: Engine, header: Header, lr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(h, w, C) -> (H, W, C), both uint8."""
    details = details_source(engine.backbone, header.details_rule, header.details_seed, header.details_scale)
    task = Task(header.height, header.width, plan(lr.shape[0], lr.shape[1], header.tile, header.halo), details)
    levels = torch.from_numpy(np.require(lr, requirements=["C", "W"])).permute(2, 0, 1)
    planes = levels.to(engine.device).to(torch.float32).div_(255)
    pixels = np.empty((header.height, header.width, lr.shape[2]), np.uint8)
    for _, area, hr in engine.upscale([planes], [task]):
        levels = hr.clamp(0, 1).mul(255).round().to(torch.uint8)
        pixels[area.slices()] = levels.permute(1, 2, 0).cpu().numpy()
    return pixels
