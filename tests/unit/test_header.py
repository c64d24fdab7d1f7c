"""The header's bytes: a layout that other programs can rely on, and nothing senseless read or written."""

import struct
from dataclasses import fields, replace

import pytest

from hcdcodec.errors import ContainerError, DamagedError, UnsupportedError, UsageError
from hcdcodec.format.header import AlphaRule, Header
from hcdcodec.pictures.picture import Mode

HEADER = Header(
    scale=4,
    backbone="crn",
    model_hash=bytes(range(16)),
    height=1080,
    width=1920,
    mode=Mode.RGB,
    alpha_rule=AlphaRule.PLANE,
    tile=256,
    halo=20,
    details_rule=1,
    details_seed=7,
    details_scale=0.75,
    grid=(4, 2, 8),
    quality=75,
    source_size=1 << 40,
    source_digest=b"sourcefi",
    settings_digest=b"settings",
    lr_digest=b"digest of pixels",
)
GOLDEN = (
    b"HCDC\x01\x01\x04crn" + bytes(13) + bytes(range(16)) + b"\x00\x00\x04\x38\x00\x00\x07\x80\x01\x01"
    b"\x01\x00\x00\x14\x01\x00\x00\x00\x07\x3f\x40\x00\x00\x04\x02\x08\x4b"
    b"\x00\x00\x01\x00\x00\x00\x00\x00sourcefisettingsdigest of pixels"
)
FLAGS, SCALE, NAME, HEIGHT, WIDTH, MODE, ALPHA, RULE, DETAILS_SCALE, GRID = 5, 6, 7, 39, 43, 47, 48, 53, 58, 62


def changed(at: int, value: bytes) -> bytes:
    return GOLDEN[:at] + value + GOLDEN[at + len(value) :]


def test_layout() -> None:
    assert HEADER.to_bytes() == GOLDEN
    assert Header.from_bytes(GOLDEN) == HEADER
    assert len(GOLDEN) == 106


def test_defaults_survive() -> None:
    plain = Header(scale=2, backbone="bicubic", model_hash=bytes(16), height=1, width=1, mode=Mode.GREY)
    assert Header.from_bytes(plain.to_bytes()) == plain
    assert plain.pixel_count == 1


def test_every_field_reaches_the_bytes() -> None:
    other = Header(
        scale=2,
        backbone="irn",
        model_hash=bytes(16),
        height=1,
        width=2,
        mode=Mode.GREY,
        has_srgb_profile=True,
    )
    for field in fields(Header):
        if field.name != "version":
            assert replace(HEADER, **{field.name: getattr(other, field.name)}).to_bytes() != GOLDEN, field.name


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (changed(4, b"\0"), UnsupportedError),
        (changed(4, b"\2"), UnsupportedError),
        (GOLDEN[:4] + b"\2 of any length", UnsupportedError),
        (changed(FLAGS, b"\5"), UnsupportedError),
        (changed(FLAGS, b"\0"), DamagedError),
        (changed(ALPHA, b"\0"), DamagedError),
        (changed(ALPHA, b"\2"), UnsupportedError),
        (changed(MODE, b"\2"), UnsupportedError),
        (changed(RULE, b"\2"), UnsupportedError),
        (changed(0, b"hcdc"), DamagedError),
        (changed(SCALE, b"\0"), DamagedError),
        (changed(HEIGHT, bytes(4)), DamagedError),
        (changed(WIDTH, bytes(4)), DamagedError),
        (changed(GRID, b"\0"), DamagedError),
        (changed(GRID + 1, b"\0"), DamagedError),
        (changed(GRID + 2, b"\0"), DamagedError),
        (changed(DETAILS_SCALE, struct.pack(">f", 16.01)), DamagedError),
        (changed(DETAILS_SCALE, struct.pack(">f", float("nan"))), DamagedError),
        (changed(DETAILS_SCALE, struct.pack(">f", float("-inf"))), DamagedError),
        (changed(NAME, bytes(16)), DamagedError),
        (changed(NAME, b"../../etc/passwd"), DamagedError),
        (changed(NAME, b"crn\0x"), DamagedError),
        (changed(NAME, b"\xffrn"), DamagedError),
        (GOLDEN + b"\0", DamagedError),
        (b"", DamagedError),
        (b"HCDC", DamagedError),
    ],
)
def test_senseless_headers_are_refused(payload: bytes, kind: type[ContainerError]) -> None:
    with pytest.raises(kind):
        Header.from_bytes(payload)


def test_every_prefix_is_refused() -> None:
    for length in range(len(GOLDEN)):
        with pytest.raises(DamagedError):
            Header.from_bytes(GOLDEN[:length])


@pytest.mark.parametrize(
    "header",
    [
        replace(HEADER, scale=256),
        replace(HEADER, scale=0),
        replace(HEADER, height=1 << 32),
        replace(HEADER, tile=-1),
        replace(HEADER, backbone="a name longer than sixteen"),
        replace(HEADER, backbone="über"),
        replace(HEADER, backbone=""),
        replace(HEADER, model_hash=bytes(17)),
        replace(HEADER, model_hash=bytes(15)),
        replace(HEADER, details_rule=2),
        replace(HEADER, details_scale=float("inf")),
        replace(HEADER, details_scale=1e39),
        replace(HEADER, grid=(0, 1, 1)),
        replace(HEADER, version=2),
    ],
)
def test_what_no_reader_would_take_is_not_written(header: Header) -> None:
    with pytest.raises(UsageError):
        header.to_bytes()


def test_details_scale_is_rounded_to_what_the_file_holds() -> None:
    again = Header.from_bytes(replace(HEADER, details_scale=0.7).to_bytes())
    assert again.details_scale == struct.unpack(">f", struct.pack(">f", 0.7))[0]


def test_the_largest_details_scale_is_allowed() -> None:
    assert Header.from_bytes(replace(HEADER, details_scale=16).to_bytes()).details_scale == 16
