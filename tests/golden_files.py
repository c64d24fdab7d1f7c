"""Make the golden files: what a format version must decode to for ever.

    python tests/golden_files.py

Files that exist are never written again. A new format version adds files of its own beside the old ones.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import encode_pictures
from hcdcodec.codec.options import EncodeOptions
from hcdcodec.codec.search.options import Ste
from hcdcodec.engine.engine import Engine
from hcdcodec.files.encoded_names import Container
from hcdcodec.files.picture_names import Format
from hcdcodec.format import container
from hcdcodec.format.header import Header
from hcdcodec.format.srgb_profile import make_srgb
from hcdcodec.networks import families, registry
from hcdcodec.networks.base import Backbone, DetailPlane
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.families import Family
from hcdcodec.networks.reference_chart import chart
from hcdcodec.networks.registry import Builder, load_backbone
from hcdcodec.networks.weights import install, model_hash
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.writing import write_picture

FOLDER = Path(__file__).parent / "golden"
WEIGHTS = FOLDER / "weights"
RECORD = FOLDER / "golden.json"
METADATA = Metadata(
    icc=bytes(12) + b"mntrRGB XYZ " + bytes(104),
    exif=b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0",
    xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    chunks=(png_chunks.Chunk(b"pHYs", b"\0\0\x2e\x23\0\0\x2e\x23\1"), png_chunks.Chunk(b"tEXt", b"Title\0golden")),
)


class Golden(Backbone):
    """A network of two convolutions that reads details z; it lives here, so that no release can change it."""

    def __init__(self) -> None:
        super().__init__()
        self.name, self.scale, self.multiple, self.halo_px = "golden", 2, 4, 3
        self.details = (DetailPlane(channels=3, factor=1),)
        self.head, self.tail = nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(hr, 2)

    def upscale(self, lr: torch.Tensor, details: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        z = details[0] if details else torch.zeros_like(lr)
        correction = self.tail(F.leaky_relu(self.head(torch.cat((lr - 0.5, z), dim=1)), 0.2))
        return F.interpolate(lr, scale_factor=2.0, mode="bilinear") + F.pixel_shuffle(correction, 2)


FAMILY, BUILDER = Family("for golden files", (2,), "restore tests/golden/weights"), Builder(lambda _: Golden())


@dataclass(frozen=True)
class Case:
    """One golden file.

    Attributes:
        name: of the files.
        backbone: bicubic, golden, or a shipped network with @ and the start of its model hash.
        scale: of the backbone.
        area: rows and columns of the test chart.
        grey: the chart's green alone.
        alpha: with the chart's red as alpha.
        metadata: with all that travels.
        srgb: with the usual profile of sRGB, which the header names.
        fields: header fields that are not the usual ones; they may change what is decoded.
        options: how it is encoded.
        container: of the small file.
    """

    name: str
    backbone: str
    scale: int
    area: tuple[int, int]
    grey: bool = False
    alpha: bool = False
    metadata: bool = False
    srgb: bool = False
    fields: tuple[tuple[str, int], ...] = ()
    options: EncodeOptions = field(default_factory=lambda: EncodeOptions(Ste(2)))
    container: Container = Container.PNG

    @property
    def picture(self) -> Picture:
        """Return what is encoded."""
        pixels = chart()[: self.area[0], 20 : 20 + self.area[1]]
        alpha = np.ascontiguousarray(pixels[..., 0]) if self.alpha else None
        plane = np.ascontiguousarray(pixels[..., 1] if self.grey else pixels)
        metadata = METADATA if self.metadata else Metadata()
        return Picture(plane, alpha, replace(metadata, icc=make_srgb()) if self.srgb else metadata)


NORMAL = EncodeOptions(Ste(2), details_scale=0.7, details_seed=20_240_229)
TILED = (("tile", 8), ("halo", 3))
WEBP, JXL = Container.WEBP, Container.JXL
CASES = (
    Case("v1_bicubic_x4", "bicubic", 4, (48, 64)),
    Case("v1_bicubic_x3_grey_odd", "bicubic", 3, (37, 53), grey=True, options=EncodeOptions(Ste(2), quality=100)),
    Case("v1_bicubic_x4_alpha_metadata_odd", "bicubic", 4, (45, 31), alpha=True, metadata=True),
    Case("v1_bicubic_x2_tiled", "bicubic", 2, (50, 70), fields=TILED),
    Case("v1_bicubic_x16_one_pixel", "bicubic", 16, (1, 1)),
    Case("v1_golden_x2", "golden", 2, (48, 64)),
    Case("v1_golden_x2_grey_alpha_odd", "golden", 2, (37, 51), grey=True, alpha=True),
    Case("v1_golden_x2_normal_odd", "golden", 2, (45, 33), options=NORMAL),
    Case("v1_golden_x2_normal_tiled_metadata", "golden", 2, (50, 70), metadata=True, fields=TILED, options=NORMAL),
    # Release 0.1.0's networks: what they wrote must stay readable when better weights are shipped beside them.
    Case("v1_crn_x4_e648860ab903", "crn@e648860ab903", 4, (61, 75), options=EncodeOptions()),
    Case("v1_crn_x2_790051669205", "crn@790051669205", 2, (61, 75), options=EncodeOptions()),
    Case("v1_crn_x8_a5b50b6d2d93", "crn@a5b50b6d2d93", 8, (61, 75), options=EncodeOptions()),
    Case("v1_crn_x8_ce6ac6c85b3c", "crn@ce6ac6c85b3c", 8, (61, 75), options=EncodeOptions()),
    Case("v1_crn_x4_fc509431099c", "crn@fc509431099c", 4, (61, 75), options=EncodeOptions()),
    Case("v1_crn_x2_2c8e9a943318", "crn@2c8e9a943318", 2, (61, 75), options=EncodeOptions()),
    Case("v1_crn_x8_799429875d6e", "crn@799429875d6e", 8, (61, 75), options=EncodeOptions()),
    Case("v1_crn_x8_e146ca27a710", "crn@e146ca27a710", 8, (61, 75), options=EncodeOptions()),
    Case("v1_irn_x2_169a16c2c119", "irn@169a16c2c119", 2, (44, 52), options=EncodeOptions()),
    Case("v1_hcflow_x4_60ffe3fdff62", "hcflow@60ffe3fdff62", 4, (44, 52), options=EncodeOptions()),
    Case("v1_irn_x4_eea39e67f6df", "irn@eea39e67f6df", 4, (44, 52), options=EncodeOptions()),
    Case("v1_bicubic_x4_webp", "bicubic", 4, (48, 64), container=WEBP),
    Case("v1_bicubic_x3_grey_odd_webp", "bicubic", 3, (37, 53), grey=True, container=WEBP),
    Case("v1_bicubic_x4_alpha_metadata_odd_webp", "bicubic", 4, (45, 31), alpha=True, metadata=True, container=WEBP),
    Case("v1_bicubic_x4_srgb", "bicubic", 4, (48, 64), srgb=True),
    Case("v1_bicubic_x4_jxl", "bicubic", 4, (48, 64), container=JXL),
    Case("v1_bicubic_x3_grey_odd_jxl", "bicubic", 3, (37, 53), grey=True, container=JXL),
    Case("v1_bicubic_x4_alpha_metadata_odd_jxl", "bicubic", 4, (45, 31), alpha=True, metadata=True, container=JXL),
)


def engine(backbone: str, scale: int) -> Engine:
    """Return what decodes a case."""
    return Engine(load_backbone(backbone, scale, weights_dir=WEIGHTS), torch.device("cpu"), torch.float32, 1 << 20)


def described(header: Header) -> dict[str, Any]:
    """Return a header's fields as JSON holds them."""
    fields = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(header).items()}
    described: dict[str, Any] = json.loads(json.dumps(fields))
    return described


def main() -> None:
    """Make what is not there yet."""
    families.FAMILIES = {**families.FAMILIES, "golden": FAMILY}
    registry.BUILDERS = {**registry.BUILDERS, "golden": BUILDER}
    if not WEIGHTS.exists():
        torch.manual_seed(1)
        state = Golden().state_dict()
        state["tail.weight"] *= 0.5
        entry = Entry("golden", 2, "golden_x2.safetensors", model_hash(state), sum(v.numel() for v in state.values()))
        install(state, entry, WEIGHTS)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for case in CASES:
        if case.name not in record:
            record[case.name] = _made(case)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


def _made(case: Case) -> dict[str, Any]:
    own = engine(case.backbone, case.scale)
    (encoded,) = encode_pictures(own, [case.picture], case.options)
    header = replace(encoded.header, source_size=12_345, source_digest=b"golden!!", **dict[str, Any](case.fields))
    picture = case.picture
    pack = partial(container.pack, kind=case.container, level=6)
    data = pack(header, encoded.lr, alpha=picture.alpha, metadata=picture.metadata)
    packed = container.unpack(data)
    expected = write_picture(decode_picture(own, packed), Format.PNG)
    for suffix, content in ((case.container.suffix, data), (".png", expected)):
        with (FOLDER / (case.name + suffix)).open("xb") as file:
            file.write(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in (("file", data), ("decoded", expected))}
    return {**digests, "header": described(packed.header)}


if __name__ == "__main__":
    main()
