"""Pictures -> (header, LR): pad to a canvas, plan tiles, downscale, search."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.refine import refine
from hcdcodec.codec.search.subject import Refined, Subject, quantise
from hcdcodec.codec.settings import settings_digest
from hcdcodec.engine.engine import Engine, details_source
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.format.grid import grid_of
from hcdcodec.format.header import Header
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.noise import DetailsRule
from hcdcodec.pictures.picture import Picture
from hcdcodec.tiles import plan, usual_tile


@dataclass(frozen=True)
class Encoded:
    """One encoded picture.

    Attributes:
        header: complete but for source size, source digest and pixel digest, which belong to files.
        lr: (h, w) or (h, w, 3) uint8.
        refined: what the search did.
        passes: forward and backward passes over the picture; where a target chose the quality, over all searches and
            predictions.
        searches: how many; several where a target chose the quality.
        met: False where the target cannot be reached.
    """

    header: Header
    lr: npt.NDArray[np.uint8]
    refined: Refined
    passes: int
    searches: int = 1
    met: bool = True


def encode_pictures(engine: Engine, pictures: Sequence[Picture], options: EncodeOptions) -> list[Encoded]:
    """Encode pictures together; tiles of one size share batches.

    Args:
        engine: network, device and precision.
        pictures: any sizes from 1x1 on.
        options: how.

    Returns:
        One result a picture, in order.
    """
    headers = [_header(engine.backbone, picture, options) for picture in pictures]
    subjects = [_subject(engine.backbone, pair[0], pair[1]) for pair in zip(pictures, headers, strict=True)]
    found = refine(engine, subjects, options.search)
    return [
        Encoded(header, _interleaved(refined.lr), refined, refined.passes)
        for header, refined in zip(headers, found, strict=True)
    ]


@dataclass(frozen=True)
class Preview:
    """A picture downscaled but not searched: it tells cheaply, and nearly, what any quality costs and gives.

    Attributes:
        engine: network, device and precision.
        header: of the quality of its options.
        subject: the picture.
        start: (C, h, w) float32 in [0, 1], not rounded.
    """

    engine: Engine
    header: Header
    subject: Subject
    start: torch.Tensor

    def lr(self, quality: int) -> npt.NDArray[np.uint8]:
        """Return the rounded LR, (h, w) or (h, w, 3) uint8."""
        return _interleaved(self._rounded(quality).mul(255).round().to(torch.uint8).cpu())

    def error(self, quality: int) -> float:
        """Return the mean squared error of the reference decode in levels squared: one forward pass."""
        return self.engine.errors([self._rounded(quality)], [self.subject.task], [self.subject.target])[0]

    def _rounded(self, quality: int) -> torch.Tensor:
        return quantise(self.start, grid_of(quality))


def preview(engine: Engine, picture: Picture, options: EncodeOptions) -> Preview:
    """Downscale a picture as `encode_pictures` does: one pass."""
    header = _header(engine.backbone, picture, options)
    subject = _subject(engine.backbone, picture, header)
    return Preview(engine, header, subject, engine.downscale(subject.canvas, subject.task.tiles))


def _header(backbone: Backbone, picture: Picture, options: EncodeOptions) -> Header:
    """Fill in everything that the decoder must know."""
    tile, halo = usual_tile(backbone.halo_px)
    details_scale = backbone.details_scale if options.details_scale is None else options.details_scale
    random = bool(backbone.details and details_scale)
    return Header(
        scale=backbone.scale,
        backbone=backbone.name,
        model_hash=bytes.fromhex(backbone.model_hash)[:16],
        height=picture.height,
        width=picture.width,
        mode=picture.mode,
        tile=tile,
        halo=halo,
        details_rule=DetailsRule.NORMAL if random else DetailsRule.ZEROS,
        details_seed=options.details_seed if random else 0,
        details_scale=details_scale if random else 0.0,
        grid=grid_of(options.quality).steps,
        quality=options.quality,
        settings_digest=settings_digest(options, backbone.identity),
    )


def _subject(backbone: Backbone, picture: Picture, header: Header) -> Subject:
    """Pad a picture to the canvas and plan its tiles."""
    bottom, right = -picture.height % backbone.multiple, -picture.width % backbone.multiple
    planes = np.atleast_3d(picture.pixels)
    # Replicated borders cost the LR few bytes and do not ring.
    canvas = np.pad(planes, ((0, bottom), (0, right), (0, 0)), mode="edge") if bottom or right else planes
    lr_h, lr_w = canvas.shape[0] // backbone.scale, canvas.shape[1] // backbone.scale
    task = TileTask(
        picture.height,
        picture.width,
        plan(lr_h, lr_w, header.tile, header.halo),
        details_source(backbone, header.details_rule, header.details_seed, header.details_scale),
    )
    return Subject(_planar(canvas), task, grid_of(header.quality))


def _planar(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """(H, W, C) -> (C, H, W), a view."""
    # torch shares the memory, so it must be allowed to write there.
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)


def _interleaved(planes: torch.Tensor) -> npt.NDArray[np.uint8]:
    """(C, h, w) -> (h, w, 3), or (h, w) for one channel."""
    array: npt.NDArray[np.uint8] = planes.permute(1, 2, 0).contiguous().numpy()
    return array[..., 0] if array.shape[2] == 1 else array
