"""Decode a header and an LR to pixels, with one float32 forward pass over the header's tiles."""

from collections.abc import Sequence

import numpy as np
import torch

from hcdcodec.engine.engine import NOT_A_NUMBER, Engine, details_source, to_planar
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.errors import ModelError
from hcdcodec.format.container import Packed
from hcdcodec.format.geometry import check_geometry
from hcdcodec.format.header import Header
from hcdcodec.pictures.picture import Mode, Picture
from hcdcodec.tiles import count_windows, plan


def decode_picture(engine: Engine, packed: Packed) -> Picture:
    """Restore one picture; see `decode_pictures`."""
    return decode_pictures(engine, [packed])[0]


def work_of(header: Header) -> int:
    """Return the work to decode a picture, as an engine counts it, and as much again for writing its file."""
    rows, columns = (-(-side // header.scale) for side in (header.height, header.width))
    count, samples = count_windows(rows, columns, header.tile, header.halo)
    return 2 * count * samples * header.scale**2


def decode_pictures(engine: Engine, packages: Sequence[Packed]) -> list[Picture]:
    """Restore pictures. Tiles of one size share batches, even tiles of different pictures.

    Args:
        engine: the network that all headers name, on its device.
        packages: unpacked containers.

    Returns:
        The pictures at their original sizes, with their alpha and metadata, in order.

    Raises:
        DamagedError: the size of an LR does not fit its header, or encoding never plans such tiles.
        ModelError: the network's output is not finite.
    """
    subjects = [_prepare(engine, packed) for packed in packages]
    lrs, tasks = [lr for lr, _ in subjects], [task for _, task in subjects]
    canvases = [np.empty((task.height, task.width, lr.shape[0]), np.uint8) for lr, task in subjects]
    for index, area, hr in engine.upscale(lrs, tasks):
        # Converted to uint8, NaN would become some level without an error.
        if not hr.isfinite().all():
            raise ModelError(NOT_A_NUMBER)
        levels = hr.clamp(0, 1).mul(255).round().to(torch.uint8)
        canvases[index][area.slices()] = levels.permute(1, 2, 0).cpu().numpy()
    return [
        Picture(pixels[..., 0] if packed.header.mode is Mode.GREY else pixels, packed.alpha, packed.metadata)
        for packed, pixels in zip(packages, canvases, strict=True)
    ]


def _prepare(engine: Engine, packed: Packed) -> tuple[torch.Tensor, TileTask]:
    """Return the LR, (C, h, w) float32 in [0, 1] on the device, and its geometry."""
    header, backbone, lr = packed.header, engine.backbone, np.atleast_3d(packed.lr)
    check_geometry(header, *lr.shape[:2], multiple=backbone.multiple, halo_px=backbone.halo_px)
    details = details_source(backbone, header.details_rule, header.details_seed, header.details_scale)
    tiles = plan(lr.shape[0], lr.shape[1], header.tile, header.halo)
    return engine.to_unit(to_planar(lr)), TileTask(header.height, header.width, tiles, details)
