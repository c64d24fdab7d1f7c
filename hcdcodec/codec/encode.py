"""Encode pictures to headers and LRs: pad to a canvas, plan tiles, downscale, search."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Search
from hcdcodec.codec.search.refine import refine
from hcdcodec.codec.search.subject import Refined, Subject, quantise
from hcdcodec.codec.settings import settings_digest
from hcdcodec.engine.engine import Engine, details_source, to_planar
from hcdcodec.engine.tile_batches import TileTask
from hcdcodec.format.grid import grid_of
from hcdcodec.format.header import Header
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.noise import DetailsRule
from hcdcodec.pictures.picture import Levels, Picture
from hcdcodec.tiles import choose_tile, count_windows, plan

_WRITE_WORK = 8
"""Work to write a sample of an LR: with crn x2, that of 7 megapixels took as long as two passes over the picture."""


@dataclass(frozen=True)
class Encoded:
    """One encoded picture.

    Attributes:
        header: all fields except source size, source digest and LR digest, which are filled in with the file.
        lr: (h, w) or (h, w, 3) uint8.
        refined: result of the search.
        passes: forward and backward passes over the picture. With a target, the sum over all searches and predictions.
        searches: number of searches; only a target can need several.
        met: False where the target cannot be reached.
        metadata_bytes: bytes of metadata in the file; counted only where too many bytes miss the target.
    """

    header: Header
    lr: Levels
    refined: Refined
    passes: int
    searches: int = 1
    met: bool = True
    metadata_bytes: int = 0


def encode_pictures(engine: Engine, pictures: Sequence[Picture], options: EncodeOptions) -> list[Encoded]:
    """Encode pictures together. Tiles of one size share batches.

    Args:
        engine: network, device and precision.
        pictures: pictures of any size from 1x1.
        options: how pictures are encoded.

    Returns:
        One result for each picture, in order.
    """
    headers = [_make_header(engine.backbone, picture, options) for picture in pictures]
    subjects = [
        _make_subject(engine.backbone, picture, header) for picture, header in zip(pictures, headers, strict=True)
    ]
    found = refine(engine, subjects, options.search)
    return [
        Encoded(header, _interleave(refined.lr), refined, refined.passes)
        for header, refined in zip(headers, found, strict=True)
    ]


def work_of(backbone: Backbone, height: int, width: int, search: Search) -> int:
    """Return the work to encode a picture, as an engine counts it, and the work to write its file."""
    rows, columns = _lr_size(backbone, height, width)
    count, samples = count_windows(rows, columns, *choose_tile(rows, columns, backbone.halo_px))
    return count * samples * (backbone.scale**2 * search.passes + _WRITE_WORK)


@dataclass(frozen=True)
class Preview:
    """A picture that is downscaled but not searched. It predicts bytes and PSNR of any quality at low cost.

    Attributes:
        engine: network, device and precision.
        header: header with the quality of the options.
        subject: the picture.
        start: LR before the search, (C, h, w) float32 in [0, 1], not rounded.
    """

    engine: Engine
    header: Header
    subject: Subject
    start: torch.Tensor

    def lr(self, quality: int) -> Levels:
        """Return the rounded LR, (h, w) or (h, w, 3) uint8."""
        return _interleave(self._quantise(quality).mul(255).round().to(torch.uint8).cpu())

    def error(self, quality: int) -> float:
        """Return the mean squared error of the reference decode in levels squared: one forward pass."""
        return self.engine.errors([self._quantise(quality)], [self.subject.task], [self.subject.target])[0]

    def _quantise(self, quality: int) -> torch.Tensor:
        return quantise(self.start, grid_of(quality))


def preview(engine: Engine, picture: Picture, options: EncodeOptions) -> Preview:
    """Downscale a picture as `encode_pictures` does: one pass."""
    header = _make_header(engine.backbone, picture, options)
    subject = _make_subject(engine.backbone, picture, header)
    subject = replace(subject, canvas=engine.sent(subject.canvas))  # once for all predictions
    return Preview(engine, header, subject, engine.downscale(subject.canvas, subject.task.tiles))


def _make_header(backbone: Backbone, picture: Picture, options: EncodeOptions) -> Header:
    """Fill in all fields that the decoder needs."""
    tile, halo = choose_tile(*_lr_size(backbone, picture.height, picture.width), backbone.halo_px)
    details_scale = backbone.details_scale if options.details_scale is None else options.details_scale
    # Noise with a deviation of 0 is zeros, and then the header needs no seed.
    random = bool(backbone.details and details_scale)
    return Header(
        scale=backbone.scale,
        backbone=backbone.name,
        # 16 of the 32 bytes: chance never makes two weights agree in them, and the header stays short.
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


def _lr_size(backbone: Backbone, height: int, width: int) -> tuple[int, int]:
    """Return the height and width of the LR of a picture, which is padded to the backbone's multiple."""
    rows, columns = (-(-side // backbone.multiple) * backbone.multiple // backbone.scale for side in (height, width))
    return rows, columns


def _make_subject(backbone: Backbone, picture: Picture, header: Header) -> Subject:
    """Pad a picture to the canvas and plan its tiles."""
    bottom, right = -picture.height % backbone.multiple, -picture.width % backbone.multiple
    planes = np.atleast_3d(picture.pixels)
    # Zeros would make an edge, which costs bytes and rings in the reconstruction. Repeated border pixels do neither.
    canvas = np.pad(planes, ((0, bottom), (0, right), (0, 0)), mode="edge") if bottom or right else planes
    lr_h, lr_w = canvas.shape[0] // backbone.scale, canvas.shape[1] // backbone.scale
    task = TileTask(
        picture.height,
        picture.width,
        plan(lr_h, lr_w, header.tile, header.halo),
        details_source(backbone, header.details_rule, header.details_seed, header.details_scale),
    )
    return Subject(to_planar(canvas), task, grid_of(header.quality))


def _interleave(planes: torch.Tensor) -> Levels:
    """(C, h, w) -> (h, w, 3), or (h, w) for one channel."""
    array: Levels = planes.permute(1, 2, 0).contiguous().numpy()
    return array[..., 0] if array.shape[2] == 1 else array
