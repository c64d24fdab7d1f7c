"""The header: 106 bytes that say how to restore the HR picture.

    number  = big-endian, unsigned

    offset  bytes  field
         0      4  magic "HCDC"
         4      1  version              1; another one is refused
         5      1  flags                bit 0: an hcDA chunk belongs to it
                                        bit 1: the colour profile is "sRGB IEC61966-2.1", and is not stored
                                        a file with any other bit set is refused, by release 0.1.0 also with bit 1
         6      1  scale                HR size / LR size
         7     16  backbone             ASCII name of the network, filled with 00
        23     16  model_hash           first bytes of the SHA-256 of its weights; without weights, of no bytes
        39      4  height               of the HR picture
        43      4  width
        47      1  mode                 0 grey: one-channel LR, output is the mean of the channels; 1 RGB
        48      1  alpha_rule           0 none, 1 plane in hcDA; agrees with flags
        49      2  tile                 core of a tile in LR samples; 0: the whole picture at once
        51      2  halo                 context around the core in LR samples
        53      1  details_rule         0 zeros, 1 normal (see `hcdcodec.networks.noise`)
        54      4  details_seed
        58      4  details_scale        IEEE 754 float32, 0 to 16
        62      3  grid                 step between LR levels for red, green, blue; at least 1
        65      1  quality              quality that was chosen; 0: none was
        66      8  source_size          bytes of the source file
        74      8  source_digest        first bytes of the SHA-256 of the source file
        82      8  settings_digest      of everything that a repeated encoding would depend on
        90     16  lr_digest            of the LR's pixels: first bytes of the SHA-256 of height u32, width u32, RGB8
       106

Version 1 is frozen. The layout, the meaning of each field and the parts of `hcdcodec.format.container` do not change.
All later releases decode files of version 1 to the same pixels, up to one level of rounding. A format that needs more
gets another version number, which this release refuses. Version 0 came before the first release. The files in
tests/golden test this promise.
"""

import enum
import re
import struct
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from hcdcodec.errors import ContainerError, DamagedError, UnsupportedError, UsageError
from hcdcodec.pictures.picture import Mode

VERSION = 1
MAGIC = b"HCDC"
RESTORE = "restore the file from a copy"

DETAILS_SCALE_MAX = 16
"""Networks are trained with a deviation of 1. Far above it, reconstructions are noise, and finally not finite."""

_LAYOUT = struct.Struct(">4s3B16s16sII2BHHBIf3BBQ8s8s16s")
_FLAG_ALPHA, _FLAG_SRGB = 1, 2
_DETAILS_RULE_MAX = 1
_NEWER = "decode with a newer release of hcdcodec"
# A name stands in messages, and in the names of files of weights, so it has no spaces, slashes or control characters.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,15}")


class AlphaRule(enum.IntEnum):
    """The place of the alpha plane; the numbers stand in files."""

    NONE = 0
    PLANE = 1


@dataclass(frozen=True)
class Header:
    """The fields of the table above, which a decoder needs.

    `pack` sets `alpha_rule`, `lr_digest` and `has_srgb_profile`. `details_rule` is a plain number here, since
    `hcdcodec.networks.noise` gives the numbers their meaning.
    """

    scale: int
    backbone: str
    model_hash: bytes
    height: int
    width: int
    mode: Mode
    alpha_rule: AlphaRule = AlphaRule.NONE
    tile: int = 0
    halo: int = 0
    details_rule: int = 0
    details_seed: int = 0
    details_scale: float = 0.0
    grid: tuple[int, int, int] = (1, 1, 1)
    quality: int = 0
    source_size: int = 0
    source_digest: bytes = bytes(8)
    settings_digest: bytes = bytes(8)
    lr_digest: bytes = bytes(16)
    version: int = VERSION
    has_srgb_profile: bool = False

    @property
    def pixel_count(self) -> int:
        """Pixels of the HR picture."""
        return self.height * self.width

    @property
    def flags(self) -> int:
        """Bits that a reader must know; it refuses a file with other bits."""
        alpha = _FLAG_ALPHA if self.alpha_rule is AlphaRule.PLANE else 0
        return alpha | (_FLAG_SRGB if self.has_srgb_profile else 0)

    def to_bytes(self) -> bytes:
        """Write the fields to bytes, and read them back, so that no header is written that a reader would refuse.

        Raises:
            UsageError: a field is out of range.
        """
        try:
            payload = _LAYOUT.pack(
                MAGIC,
                self.version,
                self.flags,
                self.scale,
                self.backbone.encode("ascii"),
                self.model_hash,
                self.height,
                self.width,
                self.mode,
                self.alpha_rule,
                self.tile,
                self.halo,
                self.details_rule,
                self.details_seed,
                self.details_scale,
                *self.grid,
                self.quality,
                self.source_size,
                self.source_digest,
                self.settings_digest,
                self.lr_digest,
            )
            # The bytes hold float32, so the double is rounded before the comparison. `struct` cuts long texts silently.
            if Header.from_bytes(payload) != replace(self, details_scale=_float32(self.details_scale)):
                raise UsageError("a text or digest is too long for the header; shorten it")
        except (struct.error, OverflowError, UnicodeEncodeError, ContainerError) as error:
            raise UsageError(f"a field does not fit into the header ({error}); correct the settings") from error
        return payload

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Read a header, and refuse one that makes no sense.

        Raises:
            DamagedError: fields are impossible or contradict each other.
            UnsupportedError: this release does not know the version, a flag or a rule.
        """
        _check_frame(payload)
        _, version, flags, scale, name, model_hash, height, width, mode, alpha, *rest = _LAYOUT.unpack(payload)
        tile, halo, rule, seed, z_scale, red, green, blue, quality, size, source, settings, lr = rest
        # Unknown numbers first: they come from a newer release, and only known ones can contradict each other.
        _check_known(flags & ~(_FLAG_ALPHA | _FLAG_SRGB), 0, "flags")
        _check_known(mode, max(Mode), "mode")
        _check_known(alpha, max(AlphaRule), "alpha rule")
        _check_known(rule, _DETAILS_RULE_MAX, "details rule")
        header = cls(
            scale=scale,
            backbone=_read_name(name),
            model_hash=model_hash,
            height=height,
            width=width,
            mode=Mode(mode),
            alpha_rule=AlphaRule(alpha),
            tile=tile,
            halo=halo,
            details_rule=rule,
            details_seed=seed,
            details_scale=z_scale,
            grid=(red, green, blue),
            quality=quality,
            source_size=size,
            source_digest=source,
            settings_digest=settings,
            lr_digest=lr,
            version=version,
            has_srgb_profile=bool(flags & _FLAG_SRGB),
        )
        is_possible = all((scale, height, width, *header.grid)) and 0 <= z_scale <= DETAILS_SCALE_MAX
        if header.flags != flags or not is_possible:
            raise DamagedError(f"the header contradicts itself; {RESTORE}")
        return header


def _check_frame(payload: bytes) -> None:
    if not payload.startswith(MAGIC) or len(payload) == len(MAGIC):
        raise DamagedError(f"the header does not begin as it must; {RESTORE}")
    if payload[len(MAGIC)] != VERSION:
        remedy = _NEWER if payload[len(MAGIC)] > VERSION else "encode its source again"
        raise UnsupportedError(f"format version {payload[len(MAGIC)]} is unknown; {remedy}")
    if len(payload) != _LAYOUT.size:
        raise DamagedError(f"the header has {len(payload)} bytes instead of {_LAYOUT.size}; {RESTORE}")


def _check_known(number: int, largest: int, name: str) -> None:
    if number > largest:
        raise UnsupportedError(f"{name} {number} of the header is unknown; {_NEWER}")


def _read_name(field: bytes) -> str:
    name = field.rstrip(b"\0").decode("latin-1")
    if not _NAME.fullmatch(name):
        raise DamagedError(f"the header names no possible backbone; {RESTORE}")
    return name


def _float32(number: float) -> float:
    return float(np.float32(number))
