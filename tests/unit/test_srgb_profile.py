"""The profile of sRGB that the header names: its bytes come back, and the file does not hold them."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from hcdcodec.files.encoded_names import Container
from hcdcodec.format.container import pack, peek, unpack
from hcdcodec.format.header import Header
from hcdcodec.format.srgb_profile import DIGEST, is_srgb, make_srgb
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Mode

HEADER = Header(scale=4, backbone="crn", model_hash=bytes(16), height=19, width=23, mode=Mode.RGB)
LR = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"


def test_it_is_built_byte_for_byte() -> None:
    assert hashlib.sha256(make_srgb()).digest() == DIGEST
    assert is_srgb(make_srgb()) and not is_srgb(None) and not is_srgb(make_srgb()[:-1])


@pytest.mark.parametrize("kind", Container)
def test_it_comes_back_though_it_is_not_stored(kind: Container) -> None:
    if kind is Container.JXL:
        pytest.importorskip("pillow_jxl")
    metadata = Metadata(icc=make_srgb(), exif=EXIF)
    plain = pack(HEADER, LR, alpha=None, metadata=replace(metadata, icc=None), level=1, kind=kind)
    named = pack(HEADER, LR, alpha=None, metadata=metadata, level=1, kind=kind)
    assert len(named) <= len(plain) + 2
    assert unpack(named).metadata == metadata and unpack(plain).metadata.icc is None
    assert peek(named).has_srgb_profile and peek(named).flags == 2


@pytest.mark.parametrize("kind", Container)
def test_other_profiles_are_stored(kind: Container) -> None:
    if kind is Container.JXL:
        pytest.importorskip("pillow_jxl")
    other = make_srgb()[:-1] + b"\0"
    data = pack(HEADER, LR, alpha=None, metadata=Metadata(icc=other), level=1, kind=kind)
    assert unpack(data).metadata.icc == other and not peek(data).has_srgb_profile


def test_a_profile_that_a_tool_has_added_counts() -> None:
    data = pack(HEADER, LR, alpha=None, metadata=Metadata(icc=make_srgb()), level=1)
    other = Metadata(icc=make_srgb()[:-1] + b"\0")
    assert unpack(png_chunks.insert(data, other.to_chunks(compact=True))).metadata == other
