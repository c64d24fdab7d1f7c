"""WebP and JPEG XL as containers: what is packed comes back, and nothing else is ever taken for it."""

import base64
import io
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from packed_files import FULL, header, packed, same
from picture_files import noise
from PIL import Image

from hcdcodec.errors import (
    ContainerError,
    DamagedError,
    EditedError,
    NotOursError,
    OutputError,
    PictureError,
    UnsupportedError,
    UsageError,
)
from hcdcodec.files.disk import SlicedFile
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import exif_twin, jxl_container, webp_container
from hcdcodec.format.container import is_ours, pack, peek, pixel_digest, refuse_encoded, unpack
from hcdcodec.format.exif_twin import add_twin, split_twin
from hcdcodec.format.jxl_container import read_sides
from hcdcodec.format.side_parts import HEADER
from hcdcodec.pictures.boxes import Part
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Mode

Change = Callable[[list[Part]], list[Part]]

PIXELS = {Container.WEBP: b"VP8L", Container.JXL: b"jxlc"}
EXIF = {Container.WEBP: b"EXIF", Container.JXL: b"Exif"}
XMP = {Container.WEBP: b"XMP ", Container.JXL: b"xml "}


@pytest.fixture(params=[Container.WEBP, Container.JXL])
def kind(request: pytest.FixtureRequest) -> Iterator[Container]:
    if request.param is Container.JXL:
        pytest.importorskip("pillow_jxl")
    yield request.param


def parts_of(kind: Container, data: bytes) -> list[Part]:
    return list((webp_container if kind is Container.WEBP else jxl_container)._walk(data))


def built(kind: Container, parts: list[Part]) -> bytes:
    if kind is Container.WEBP:
        return webp_container._build(parts)
    return jxl_container._build(parts)


def edited(kind: Container, data: bytes, change: Change) -> bytes:
    return built(kind, change(parts_of(kind, data)))


def without(*types: bytes) -> Change:
    return lambda parts: [part for part in parts if part.type not in types]


def with_payload(name: bytes, payload: bytes) -> Change:
    return lambda parts: [Part(name, payload) if part.type == name else part for part in parts]


# Round trip


@pytest.mark.parametrize("metadata", [Metadata(), FULL, replace(FULL, exif=None), replace(FULL, xmp=None)])
@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_everything_comes_back(kind: Container, shape: tuple[int, ...], with_alpha: bool, metadata: Metadata) -> None:
    alpha = noise(19, 23) if with_alpha else None
    data = packed(noise(*shape), kind, alpha=alpha, metadata=metadata)
    in_png = unpack(packed(noise(*shape), Container.PNG, alpha=alpha, metadata=metadata))
    assert same(unpack(data), in_png)
    assert peek(data) == in_png.header


def test_a_twin_in_base64_is_read(kind: Container) -> None:
    """As the golden files hold it."""
    data = packed(noise(5, 6), kind)
    exif = exif_twin._EMPTY + exif_twin.MARK + base64.b64encode(peek(data).to_bytes())
    prefix = bytes(4) if kind is Container.JXL else b""
    name = b"Exif" if kind is Container.JXL else b"EXIF"
    older = edited(kind, data, lambda parts: with_payload(name, prefix + exif)(without(HEADER)(parts)))
    assert same(unpack(older), unpack(data))
    assert len(older) + len(HEADER) > len(edited(kind, data, without(HEADER))) + 50
    assert unpack(data).lr.flags.writeable
    assert is_ours(data)
    with pytest.raises(PictureError, match="already encoded"):
        refuse_encoded(data)


@pytest.mark.parametrize(
    "lr", [noise(1, 1, 3), noise(1, 6), np.zeros((5, 1, 3), np.uint8), noise(5, 6, 3) // 128 * 255]
)
def test_odd_sizes_and_few_colours_come_back(kind: Container, lr: Levels) -> None:
    about = header(Mode.GREY if lr.ndim == 2 else Mode.RGB, 4 * lr.shape[0], 4 * lr.shape[1])
    assert np.array_equal(unpack(pack(about, lr, alpha=None, metadata=FULL, level=0, kind=kind)).lr, lr)


@pytest.mark.parametrize(("height", "width"), [(8, 16), (256, 256), (9, 270), (520, 3), (264, 176)])
def test_the_size_is_read_before_the_pixels(kind: Container, height: int, width: int) -> None:
    about = header(height=4 * height, width=4 * width)
    lr = np.full((height, width, 3), 7, np.uint8)
    data = pack(about, lr, alpha=None, metadata=Metadata(), level=0, kind=kind)
    (pixels,) = (part.payload for part in parts_of(kind, data) if part.type == PIXELS[kind])
    sides = webp_container._sides(pixels) if kind is Container.WEBP else read_sides(pixels)
    assert sides == (height, width)


def test_the_file_is_an_ordinary_picture(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind, alpha=noise(19, 23), metadata=FULL)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), noise(5, 6, 3))
        assert image.info["exif"].removeprefix(b"Exif\0\0").startswith(FULL.exif or b"nothing")
        if kind is Container.WEBP:
            assert (image.info["icc_profile"], image.info["xmp"]) == (FULL.icc, FULL.xmp)


def test_same_input_same_bytes(kind: Container) -> None:
    assert packed(noise(5, 6, 3), kind, metadata=FULL) == packed(noise(5, 6, 3), kind, metadata=FULL)


def test_of_a_file_on_the_disk_no_more_is_read_than_it_takes(kind: Container, tmp_path: Path) -> None:
    about = header(height=2400, width=2400)
    path = tmp_path / "large"
    path.write_bytes(pack(about, noise(600, 600, 3), alpha=None, metadata=FULL, level=0, kind=kind))
    read = list[int]()

    class Counted(SlicedFile):
        def __getitem__(self, part: slice) -> bytes:
            found = super().__getitem__(part)
            read.append(len(found))
            return found

    with Counted(path) as file:
        assert peek(file).height == 2400
        assert len(file) > 500_000 and sum(read) < 2000


# What other tools do to a file


def test_either_form_of_the_header_is_enough(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind, metadata=FULL)
    for change in (without(b"hcDC"), with_payload(EXIF[kind], bytes(4 * (kind is Container.JXL)) + FULL.exif)):  # type: ignore[operator]
        again = edited(kind, data, change)
        assert len(again) < len(data)
        assert same(unpack(again), unpack(data))
        assert peek(again) == peek(data)
        assert is_ours(again)


def test_parts_may_stand_anywhere(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind, alpha=noise(19, 23), metadata=FULL)
    first = 1 if kind is Container.WEBP else 0
    moved = edited(kind, data, lambda parts: [*parts[:first], *reversed(parts[first:])])
    assert moved != data and same(unpack(moved), unpack(data))


def test_of_several_parts_of_a_kind_the_first_one_counts(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind, metadata=FULL)
    others = [Part(EXIF[kind], bytes(4) + b"MM\0*other"), Part(XMP[kind], b"<other/>")]
    more = edited(kind, data, lambda parts: [*parts, *others])
    assert same(unpack(more), unpack(data))
    assert peek(edited(kind, more, without(b"hcDC"))) == peek(data)


@pytest.mark.parametrize("block", [b"II*\0\x08\0\0\0\0\0", b"MM\0*\0\0\0\x08\0\0"])
def test_exif_with_and_without_a_prefix_is_read(kind: Container, block: bytes) -> None:
    data = packed(noise(5, 6, 3), kind, metadata=Metadata(exif=block))
    (payload,) = (part.payload for part in parts_of(kind, data) if part.type == EXIF[kind])
    prefixes = {Container.WEBP: (b"", b"Exif\0\0"), Container.JXL: (b"", bytes(4), b"\0\0\0\6Exif\0\0")}[kind]
    for prefix in prefixes:
        again = edited(kind, data, with_payload(EXIF[kind], prefix + payload[payload.index(block) :]))
        assert unpack(again).metadata.exif == block


def test_a_twin_of_a_twin_keeps_both() -> None:
    for exif in (None, FULL.exif, add_twin(FULL.exif, b"older"), b"not even a TIFF"):
        assert split_twin(add_twin(exif, b"\0header\xff")) == (exif, b"\0header\xff")
    assert split_twin(b"") == (None, None)
    assert split_twin(FULL.exif or b"") == (FULL.exif, None)


def test_changed_pixels_are_noticed(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind)
    for lr in (noise(5, 6, 3)[::-1], noise(6, 6, 3)[1:]):
        other = parts_of(kind, packed(np.ascontiguousarray(lr), kind))
        (pixels,) = (part.payload for part in other if part.type == PIXELS[kind])
        with pytest.raises(EditedError, match="changed after encoding"):
            unpack(edited(kind, data, with_payload(PIXELS[kind], pixels)))


def test_lossy_and_animated_webp_is_edited() -> None:
    data = packed(noise(5, 6, 3), Container.WEBP)
    for name in (b"VP8 ", b"ANIM", b"ANMF", b"ALPH"):
        with pytest.raises(EditedError, match="converted after encoding"):
            unpack(edited(Container.WEBP, data, lambda parts, name=name: [*parts, Part(name, b"")]))  # type: ignore[misc]


# What unpack refuses


def test_no_byte_of_ours_can_change_unnoticed(kind: Container) -> None:
    """Every prefix, and three changes of every byte; EXIF, XMP and profile have no checksum in these containers."""
    data = packed(noise(5, 6, 3), kind, alpha=noise(19, 23) // 128 * 255, metadata=replace(FULL, icc=None, xmp=None))
    original = unpack(data)
    for length in range(len(data)):
        with pytest.raises(ContainerError):
            unpack(data[:length])
    unnoticed = 0
    for position in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= mask
            try:
                found = unpack(bytes(changed))
            except ContainerError as error:
                assert "; " in str(error) and "\n" not in str(error)
                continue
            unnoticed += 1
            assert same(replace(found, metadata=original.metadata), original)
            assert found.metadata.chunks in ((), FULL.chunks)
    assert unnoticed < len(data) / 4  # EXIF, the mark before the twin, and what no program reads


@pytest.mark.parametrize("name", [b"hcDC", b"hcDA", b"hcDM"])
def test_a_second_part_of_ours_is_refused(kind: Container, name: bytes) -> None:
    data = packed(noise(5, 6, 3), kind, alpha=noise(19, 23), metadata=FULL)
    with pytest.raises(DamagedError, match="more than one"):
        unpack(edited(kind, data, lambda parts: [*parts, *(part for part in parts if part.type == name)]))


def test_headers_that_differ_are_refused(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind)
    other = pack(replace(header(), quality=3), noise(5, 6, 3), alpha=None, metadata=Metadata(), level=0, kind=kind)
    (twin,) = (part.payload for part in parts_of(kind, other) if part.type == EXIF[kind])
    with pytest.raises(DamagedError, match="differ"):
        unpack(edited(kind, data, with_payload(EXIF[kind], twin)))


def test_a_header_without_its_checksum_is_refused(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind)
    for payload in (b"", b"HCDC", peek(data).to_bytes()):
        for read in (unpack, peek):
            with pytest.raises(DamagedError, match="checksum"):
                read(edited(kind, data, with_payload(b"hcDC", payload)))


def test_missing_and_unasked_alpha_is_refused(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind, alpha=noise(19, 23))
    with pytest.raises(DamagedError, match="alpha chunk is missing"):
        unpack(edited(kind, data, without(b"hcDA")))
    (alpha,) = (part for part in parts_of(kind, data) if part.type == b"hcDA")
    with pytest.raises(DamagedError, match="knows nothing of"):
        unpack(edited(kind, packed(noise(5, 6, 3), kind), lambda parts: [*parts, alpha]))


def test_a_picture_of_this_kind_is_not_ours(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind)
    plain = edited(kind, data, without(b"hcDC", EXIF[kind], b"VP8X"))
    buffer = io.BytesIO()
    Image.fromarray(noise(5, 6, 3)).save(buffer, {"webp": "WEBP", "jxl": "JXL"}[kind])
    for stranger in (plain, buffer.getvalue()):
        assert not is_ours(stranger)
        for read in (unpack, peek):
            with pytest.raises(NotOursError, match="carries no hcdcodec header"):
                read(stranger)


def test_bytes_behind_the_end_are_refused(kind: Container) -> None:
    for tail in (b"\0", b"tail of a file"):
        with pytest.raises(DamagedError):
            unpack(packed(noise(5, 6, 3), kind) + tail)


def test_pixels_are_needed_once(kind: Container) -> None:
    data = packed(noise(5, 6, 3), kind)
    twice = edited(kind, data, lambda parts: [*parts, *(part for part in parts if part.type == PIXELS[kind])])
    for broken in (twice, edited(kind, data, without(PIXELS[kind]))):
        with pytest.raises(DamagedError, match="picture"):
            unpack(broken)


def test_too_many_parts_are_refused_at_once(kind: Container) -> None:
    many = edited(kind, packed(noise(5, 6, 3), kind), lambda parts: [*parts, *[Part(b"free", b"")] * 5000])
    with pytest.raises(DamagedError, match="too many"):
        unpack(many)


def test_sizes_are_checked_before_pixels_are_decoded(kind: Container) -> None:
    """The pixels claim another size than the header: nothing is allocated for them."""
    data = packed(noise(5, 6, 3), kind)
    huge = {
        Container.WEBP: b"\x2f" + ((16383 << 14) | 16383).to_bytes(4, "little") + bytes(9),
        Container.JXL: b"\xff\x0a" + ((3 << 1) | ((1 << 30) - 1 << 3) | (1 << 33)).to_bytes(8, "little") + bytes(9),
    }[kind]
    claiming = edited(kind, data, lambda parts: with_payload(PIXELS[kind], huge)(without(b"VP8X")(parts)))
    with pytest.raises(EditedError, match="resized or cropped"):
        unpack(claiming)


def test_the_canvas_must_agree() -> None:
    data = packed(noise(5, 6, 3), Container.WEBP, metadata=FULL)
    for payload in (bytes((0x2C, 0, 0, 0, 6, 0, 0, 4, 0, 0)), bytes((0x0C, 0, 0, 0, 5, 0, 0, 4, 0, 0)), b""):
        with pytest.raises(DamagedError, match="canvas"):
            unpack(edited(Container.WEBP, data, with_payload(b"VP8X", payload)))
    with_alpha = with_payload(b"VP8X", bytes((0x3C, 0, 0, 0, 5, 0, 0, 4, 0, 0)))  # which the pixels may have, opaque
    assert same(unpack(edited(Container.WEBP, data, with_alpha)), unpack(data))


def test_webp_has_one_canvas() -> None:
    data = packed(noise(5, 6, 3), Container.WEBP)
    with pytest.raises(DamagedError, match="more than one canvas"):
        unpack(edited(Container.WEBP, data, lambda parts: [*parts, parts[0]]))


def test_webp_chunks_are_filled_up_with_zero() -> None:
    data = packed(noise(5, 6, 3), Container.WEBP, metadata=Metadata(xmp=b"<odd/>\n"))
    place = data.index(b"<odd/>\n") + 7
    with pytest.raises(DamagedError, match="filled up"):
        unpack(data[:place] + b"\1" + data[place + 1 :])


def test_webp_pixels_of_another_version_are_refused() -> None:
    data = packed(noise(5, 6, 3), Container.WEBP)
    place = data.index(b"VP8L") + 8 + 4  # the last byte of the head, whose upper three bits are the version
    for version in (0x20, 0x40, 0x80):
        with pytest.raises(DamagedError, match="do not begin as they must"):
            unpack(data[:place] + bytes([data[place] | version]) + data[place + 1 :])


def test_boxes_of_other_forms_are_read() -> None:
    """A codestream in parts, a box with a long size, and one without."""
    pytest.importorskip("pillow_jxl")
    data = packed(noise(5, 6, 3), Container.JXL)
    *others, last = parts_of(Container.JXL, data)
    begin, codestream = built(Container.JXL, others), last.payload
    halves = [struct.pack(">I", 0) + codestream[:9], struct.pack(">I", 1 | 1 << 31) + codestream[9:]]
    forms = (
        b"".join(jxl_container._box(Part(b"jxlp", half)) for half in halves),
        struct.pack(">I4sQ", 1, b"jxlc", 16 + len(codestream)) + codestream,
        struct.pack(">I4s", 0, b"jxlc") + codestream,
    )
    for form in forms:
        assert same(unpack(begin + form), unpack(data))
    swapped = begin + b"".join(jxl_container._box(Part(b"jxlp", half)) for half in reversed(halves))
    with pytest.raises(DamagedError, match="a part of one"):
        unpack(swapped)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "L"])
def test_other_kinds_of_jpeg_xl_are_edited(mode: str) -> None:
    pytest.importorskip("pillow_jxl")
    image = (
        Image.fromarray(noise(5, 6, 4)).convert("L").convert(mode)
        if mode != "RGBA"
        else Image.fromarray(noise(5, 6, 4))
    )
    buffer = io.BytesIO()
    image.save(buffer, "JXL", lossless=True)
    codestream = buffer.getvalue()
    if codestream.startswith(jxl_container._BEGIN):  # 16 bits need boxes
        codestream = jxl_container._codestream(parts_of(Container.JXL, codestream))
    data = packed(noise(5, 6, 3), Container.JXL)
    with pytest.raises(EditedError):
        unpack(edited(Container.JXL, data, with_payload(b"jxlc", codestream)))


# What cannot be written


def test_webp_has_a_largest_side() -> None:
    about, lr = header(height=4, width=4 * 16384), np.zeros((1, 16384, 3), np.uint8)
    with pytest.raises(OutputError, match="WebP holds at most 16383 pixels a side, and the LR has 16384 x 1; choose"):
        pack(about, lr, alpha=None, metadata=Metadata(), level=0, kind=Container.WEBP)
    about, lr = header(height=4, width=4 * 16383), np.zeros((1, 16383, 3), np.uint8)
    data = pack(about, lr, alpha=None, metadata=Metadata(), level=0, kind=Container.WEBP)
    assert unpack(data).lr.shape == (1, 16383, 3)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_jxl")
    data = packed(noise(5, 6, 3), Container.JXL)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)  # what `import` takes for "not installed"
    with pytest.raises(UsageError, match=r"pip install 'hcdcodec\[jxl\]'"):
        packed(noise(5, 6, 3), Container.JXL)
    with pytest.raises(UnsupportedError, match=r"pip install 'hcdcodec\[jxl\]'"):
        unpack(data)
    assert peek(data).lr_digest == pixel_digest(noise(5, 6, 3))
