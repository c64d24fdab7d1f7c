"""The file format: what is packed comes back, and nothing else is ever taken for it."""

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import oxipng
import pytest
from packed_files import FULL, RGB_PROFILE, header, packed, same
from picture_files import noise
from PIL import Image, PngImagePlugin

from hcdcodec.errors import (
    ContainerError,
    DamagedError,
    EditedError,
    NotOursError,
    PictureError,
    UnsupportedError,
    UsageError,
)
from hcdcodec.format.container import PNG_LEVELS, is_ours, pack, peek, pixel_digest, refuse_encoded, unpack
from hcdcodec.format.header import AlphaRule
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.formats import sniff
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.picture import Levels, Mode
from hcdcodec.pictures.reading import read_picture


def edited(data: bytes, change: dict[bytes, Sequence[png_chunks.Chunk]]) -> bytes:
    """Replace all chunks of some types by others, with sound CRCs; the first of the old ones marks the place."""
    chunks: list[png_chunks.Chunk] = []
    left = dict(change)
    for chunk in png_chunks.walk(data):
        chunks += left.pop(chunk.type, ()) if chunk.type in change else [chunk]
    return png_chunks.build(chunks)


def resaved(data: bytes, image: Image.Image | None = None) -> bytes:
    """Save by a tool that knows pixels and text only."""
    twin = next(chunk.payload for chunk in png_chunks.walk(data) if chunk.type == b"tEXt")
    text = PngImagePlugin.PngInfo()
    text.add(b"tEXt", twin)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as opened:
        (image or opened).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


# Round trip


@pytest.mark.parametrize("level", PNG_LEVELS)
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_pictures_survive_every_level(shape: tuple[int, ...], level: int) -> None:
    result = unpack(packed(noise(*shape), level=level))
    assert np.array_equal(result.lr, noise(*shape))
    assert result.lr.flags.writeable
    assert result.alpha is None
    assert result.metadata == Metadata()


@pytest.mark.parametrize("level", [0, 3, 6])
@pytest.mark.parametrize("levels", [[0], [255], [0, 255], [7, 9, 200]])
def test_pictures_of_few_colours_survive(levels: list[int], level: int) -> None:
    lr = np.array(levels, np.uint8)[noise(5, 6) % len(levels)]
    for shape in (lr, np.stack([lr] * 3, axis=-1), np.stack([lr, lr, lr // 2], axis=-1)):
        for metadata in (Metadata(), FULL):
            assert np.array_equal(unpack(packed(shape, metadata=metadata, level=level)).lr, shape)


def test_header_comes_back_with_its_digest() -> None:
    about = replace(header(), source_size=5, quality=75, grid=(2, 3, 4), tile=64, halo=8)
    data = pack(about, noise(5, 6, 3), alpha=None, metadata=Metadata(), level=1)
    assert unpack(data).header == replace(about, lr_digest=pixel_digest(noise(5, 6, 3)))
    assert peek(data) == unpack(data).header


@pytest.mark.parametrize("level", [0, 3, 6])
@pytest.mark.parametrize(
    "alpha", [noise(19, 23), np.zeros((19, 23), np.uint8), np.where(noise(19, 23) > 99, 255, 0).astype(np.uint8)]
)
def test_alpha_survives(alpha: Levels, level: int) -> None:
    result = unpack(packed(noise(5, 6, 3), alpha=alpha, level=level))
    assert result.header.alpha_rule is AlphaRule.PLANE
    assert result.alpha is not None
    assert np.array_equal(result.alpha, alpha)


def test_metadata_comes_back_byte_for_byte() -> None:
    assert unpack(packed(noise(5, 6, 3), metadata=FULL)).metadata == FULL


def test_the_file_is_an_ordinary_picture() -> None:
    data = packed(noise(5, 6, 3), alpha=noise(19, 23), metadata=replace(FULL, icc=None))
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), noise(5, 6, 3))
        assert image.info["Title"] == "picture"
    assert sniff(data)


def test_an_rgb_profile_never_stands_in_a_grey_png() -> None:
    lr = np.stack([noise(5, 6) // 64] * 3, axis=-1)
    for level in PNG_LEVELS:
        data = packed(lr, metadata=FULL, level=level)
        assert png_chunks.ihdr(next(png_chunks.walk(data))).colour in (2, 3)
        assert np.array_equal(unpack(data).lr, lr)
    assert png_chunks.ihdr(next(png_chunks.walk(packed(lr, level=6)))).colour in (0, 3)


@pytest.mark.parametrize("level", PNG_LEVELS)
def test_a_grey_lr_under_an_rgb_profile_is_stored_with_three_channels(level: int) -> None:
    for lr in (noise(5, 6), noise(5, 6) // 64):
        data = packed(lr, alpha=noise(19, 23), metadata=FULL, level=level)
        assert png_chunks.ihdr(next(png_chunks.walk(data))).colour in (2, 3)
        assert unpack(data).header.mode is Mode.GREY
        assert np.array_equal(unpack(data).lr, lr)


def test_files_of_the_first_release_with_a_grey_lr_under_an_rgb_profile_are_read() -> None:
    lr = noise(5, 6)
    plain = packed(lr)
    old = png_chunks.insert(plain, FULL.to_chunks(compact=True))
    assert png_chunks.ihdr(next(png_chunks.walk(old))).colour == 0
    assert same(unpack(old), replace(unpack(plain), metadata=FULL))


@pytest.mark.parametrize("level", PNG_LEVELS)
def test_a_grey_profile_never_stands_beside_a_palette(level: int) -> None:
    profile = Metadata(icc=bytes(12) + b"mntrGRAYXYZ " + bytes(300))
    lr = np.array([0, 7, 200], np.uint8)[noise(128, 128) % 3]  # so large that a palette would save bytes
    about = header(Mode.GREY, 512, 512)
    data = pack(about, lr, alpha=None, metadata=profile, level=level)
    assert png_chunks.ihdr(next(png_chunks.walk(data))).colour == 0
    assert np.array_equal(unpack(data).lr, lr)


def test_the_header_stands_in_the_first_bytes() -> None:
    data = packed(noise(5, 6, 3), alpha=noise(19, 23), metadata=FULL)
    assert peek(data[:200]) == unpack(data).header
    assert [chunk.type for chunk in png_chunks.walk(data)][:3] == [b"IHDR", b"hcDC", b"tEXt"]


def test_same_input_same_bytes() -> None:
    assert packed(noise(5, 6, 3), metadata=FULL) == packed(noise(5, 6, 3), metadata=FULL)


def test_padding_to_a_multiple_may_enlarge_the_lr() -> None:
    for lr_height in (5, 20):
        data = pack(header(), noise(lr_height, 6, 3), alpha=None, metadata=Metadata(), level=0)
        assert unpack(data).lr.shape == (lr_height, 6, 3)


def test_digest() -> None:
    grey = noise(5, 6)
    assert pixel_digest(grey) == pixel_digest(np.stack([grey] * 3, axis=-1))
    assert pixel_digest(grey) != pixel_digest(grey.reshape(6, 5))
    assert pixel_digest(np.zeros((1, 2), np.uint8)).hex() == "9e1f585b99229d4760d64a95f13ab1be"


# What pack refuses


@pytest.mark.parametrize(
    ("lr", "alpha", "level"),
    [
        (noise(5, 6), None, 1),
        (noise(5, 6, 4), None, 1),
        (noise(5, 6, 3).astype(np.float32), None, 1),
        (noise(4, 6, 3), None, 1),
        (noise(5, 22, 3), None, 1),
        (noise(5, 6, 3), noise(5, 6), 1),
        (noise(5, 6, 3), noise(19, 23).astype(bool), 1),
        (noise(5, 6, 3), None, 7),
        (noise(5, 6, 3), None, -1),
    ],
)
def test_what_does_not_fit_together_is_not_packed(lr: Levels, alpha: Levels | None, level: int) -> None:
    with pytest.raises(UsageError):
        pack(header(), lr, alpha=alpha, metadata=Metadata(), level=level)


# What other tools do to a file


@pytest.mark.parametrize("level", [0, 2, 4])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_lossless_optimisers_may_run_over_it(shape: tuple[int, ...], level: int) -> None:
    data = packed(noise(*shape) // 64, alpha=noise(19, 23), metadata=FULL if len(shape) == 3 else None)
    assert same(unpack(oxipng.optimize_from_memory(data, level=level, force=True)), unpack(data))
    turned = oxipng.optimize_from_memory(data, level=level, interlace=oxipng.Interlacing.Adam7)
    assert same(unpack(turned), unpack(data))


def test_either_form_of_the_header_is_enough() -> None:
    data = packed(noise(5, 6, 3), metadata=replace(FULL, chunks=()))
    for without in (edited(data, {b"hcDC": ()}), edited(data, {b"tEXt": ()})):
        assert len(without) < len(data)
        assert same(unpack(without), unpack(data))
        assert peek(without) == peek(data)
        assert is_ours(without)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_resaved_pixels_count_not_how_they_are_stored(shape: tuple[int, ...], mode: str) -> None:
    data = packed(noise(*shape))
    with Image.open(io.BytesIO(data)) as image:
        again = resaved(data, image.convert(mode))
    assert b"hcDC" not in again
    assert same(unpack(again), unpack(data))


def test_text_behind_the_pixels_is_found() -> None:
    data = edited(packed(noise(5, 6, 3)), {b"hcDC": ()})
    chunks = {chunk.type: chunk for chunk in png_chunks.walk(data)}
    moved = png_chunks.build(chunks[name] for name in (b"IHDR", b"IDAT", b"tEXt", b"IEND"))
    assert same(unpack(moved), unpack(data))
    assert peek(moved) == peek(data)


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXt compressed"])
def test_text_rewritten_as_another_kind_is_found(kind: bytes) -> None:
    """ImageMagick, GraphicsMagick and libvips make zTXt of long texts."""
    data = packed(noise(5, 6, 3))
    text = TWIN.payload.removeprefix(b"hcdcodec\0")
    bodies = {
        b"tEXt": text,
        b"zTXt": b"\0" + zlib.compress(text),
        b"iTXt": b"\0\0en\0\0" + text,
        b"iTXt compressed": b"\1\0\0\0" + zlib.compress(text),
    }
    rewritten = edited(data, {b"hcDC": (), b"tEXt": [png_chunks.Chunk(kind[:4], b"hcdcodec\0" + bodies[kind])]})
    assert same(unpack(rewritten), unpack(data))
    assert peek(rewritten) == peek(data)
    assert is_ours(rewritten)
    with pytest.raises(PictureError, match="already encoded"):
        refuse_encoded(rewritten)


def test_edited_pixels_are_noticed() -> None:
    data = packed(noise(5, 6, 3))
    changed = noise(5, 6, 3)
    changed[2, 2, 1] ^= 1
    for image in (changed, noise(5, 6, 3)[::-1], noise(5, 6)):
        with pytest.raises(EditedError):
            unpack(resaved(data, Image.fromarray(np.ascontiguousarray(image))))


def test_resized_cropped_transparent_and_deepened_pictures_are_edited() -> None:
    data = packed(noise(5, 6, 3))
    transparent = np.dstack((noise(5, 6, 3), noise(5, 6)))
    deep = noise(5, 6).astype(np.uint16) * 257
    for pixels in (noise(3, 3, 3), noise(40, 40, 3), transparent, deep):
        with pytest.raises(EditedError):
            unpack(resaved(data, Image.fromarray(pixels)))


def test_a_lossy_tool_keeping_the_chunk_is_noticed() -> None:
    other = [chunk for chunk in png_chunks.walk(packed(noise(6, 6, 3)[1:])) if chunk.type == b"IDAT"]
    with pytest.raises(EditedError, match="changed after encoding"):
        unpack(edited(packed(noise(5, 6, 3)), {b"IDAT": other}))


# What unpack refuses


def test_no_byte_can_change_unnoticed() -> None:
    """Every prefix, and three changes of every byte, of a file that has all kinds of chunks."""
    data = packed(noise(5, 6, 3), alpha=noise(19, 23) // 128 * 255, metadata=replace(FULL, icc=RGB_PROFILE[:40]))
    for length in range(len(data)):
        with pytest.raises(ContainerError):
            unpack(data[:length])
    for position in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= mask
            with pytest.raises(ContainerError) as caught:
                unpack(bytes(changed))
            assert "; " in str(caught.value)
            assert "\n" not in str(caught.value)


def test_sound_checksums_do_not_help_a_changed_header() -> None:
    data = packed(noise(5, 6, 3))
    payload = peek(data).to_bytes()
    accepted = 0
    for position in range(len(payload)):
        for mask in (0x01, 0x80, 0xFF):
            changed = bytearray(payload)
            changed[position] ^= mask
            fake = edited(data, {b"hcDC": [png_chunks.Chunk(b"hcDC", bytes(changed))], b"tEXt": ()})
            try:
                result = unpack(fake)
            except ContainerError:
                continue
            accepted += 1
            assert np.array_equal(result.lr, noise(5, 6, 3))
            assert result.header.to_bytes() == changed
    assert accepted > 100  # the fields that only the decoder can judge


HEADER = png_chunks.Chunk(b"hcDC", peek(packed(noise(5, 6, 3))).to_bytes())
TWIN = png_chunks.Chunk(b"tEXt", b"hcdcodec\0" + base64.b64encode(HEADER.payload))
OTHER = replace(peek(packed(noise(5, 6, 3))), quality=1).to_bytes()
GREY = replace(peek(packed(noise(5, 6, 3))), mode=Mode.GREY).to_bytes()
ALPHA = replace(peek(packed(noise(5, 6, 3))), alpha_rule=AlphaRule.PLANE).to_bytes()
NEWER = HEADER.payload[:4] + b"\2" + HEADER.payload[5:]


def grey_png(image: Image.Image) -> png_chunks.Chunk:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return png_chunks.Chunk(b"hcDA", buffer.getvalue())


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({b"hcDC": (), b"tEXt": ()}, NotOursError, "no hcdcodec header"),
        ({b"hcDC": (HEADER, HEADER)}, DamagedError, "more than one header"),
        ({b"tEXt": (TWIN, TWIN)}, DamagedError, "more than one text header"),
        ({b"hcDC": (png_chunks.Chunk(b"hcDC", OTHER),)}, DamagedError, "differ"),
        ({b"tEXt": (png_chunks.Chunk(b"tEXt", b"hcdcodec\0"),)}, DamagedError, "differ"),
        ({b"tEXt": (png_chunks.Chunk(b"tEXt", b"hcdcodec\0no base64!"),)}, DamagedError, "text form is broken"),
        ({b"hcDC": (), b"IEND": (HEADER, png_chunks.Chunk(b"IEND", b""))}, DamagedError, "behind the pixels"),
        ({b"hcDC": (png_chunks.Chunk(b"hcDC", b""),)}, DamagedError, "differ"),
        ({b"hcDC": (png_chunks.Chunk(b"hcDC", b""),), b"tEXt": ()}, DamagedError, "begin"),
        ({b"hcDC": (png_chunks.Chunk(b"hcDC", bytes(1 << 20)),), b"tEXt": ()}, DamagedError, "begin"),
        ({b"hcDC": (png_chunks.Chunk(b"hcDC", NEWER),), b"tEXt": ()}, UnsupportedError, "newer release"),
        ({b"hcDC": (png_chunks.Chunk(b"hcDC", GREY),), b"tEXt": ()}, DamagedError, "colours"),
        ({b"hcDC": (png_chunks.Chunk(b"hcDC", ALPHA),), b"tEXt": ()}, DamagedError, "alpha"),
        ({b"hcDC": (HEADER, grey_png(Image.fromarray(noise(19, 23))))}, DamagedError, "alpha"),
        ({b"tEXt": (TWIN, png_chunks.Chunk(b"iCCP", b"broken"))}, DamagedError, "profile"),
    ],
)
def test_contradictions_are_refused(
    change: dict[bytes, Sequence[png_chunks.Chunk]], kind: type[ContainerError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        unpack(edited(packed(noise(5, 6, 3)), change))


@pytest.mark.parametrize(
    "chunks",
    [
        (grey_png(Image.fromarray(noise(23, 19))),),
        (grey_png(Image.fromarray(noise(19, 23, 3))),),
        (grey_png(Image.fromarray(noise(19, 23, 2))),),
        (grey_png(Image.fromarray(noise(19, 23).astype(np.uint16))),),
        (png_chunks.Chunk(b"hcDA", b"no PNG"),),
        (png_chunks.Chunk(b"hcDA", grey_png(Image.fromarray(noise(19, 23))).payload[:-1]),),
        (png_chunks.Chunk(b"hcDA", grey_png(Image.fromarray(noise(19, 23))).payload + b"\0"),),
        (grey_png(Image.fromarray(noise(19, 23))),) * 2,
        (),
    ],
)
def test_bad_alpha_is_refused(chunks: tuple[png_chunks.Chunk, ...]) -> None:
    data = packed(noise(5, 6, 3), alpha=noise(19, 23))
    with pytest.raises(DamagedError):
        unpack(edited(data, {b"hcDA": chunks}))


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"\xff\xd8\xff\xe0 jpeg", b"text"])
def test_what_is_no_png_is_not_ours(data: bytes) -> None:
    for read in (unpack, peek):
        with pytest.raises(NotOursError, match="not a PNG"):
            read(data)
    assert not is_ours(data)


def test_an_ordinary_png_is_not_ours() -> None:
    ordinary = edited(packed(noise(5, 6, 3)), {b"hcDC": (), b"tEXt": ()})
    for read in (unpack, peek):
        with pytest.raises(NotOursError, match="no hcdcodec header"):
            read(ordinary)
    assert not is_ours(ordinary)
    assert np.array_equal(read_picture(ordinary).pixels, noise(5, 6, 3))


def test_bytes_behind_the_end_are_refused() -> None:
    with pytest.raises(DamagedError, match="behind the end"):
        unpack(packed(noise(5, 6, 3)) + b"\0")


def test_the_limit_counts_the_decoded_picture() -> None:
    data = packed(noise(5, 6, 3))
    pixels = 19 * header().width
    assert unpack(data, max_pixels=pixels).header.height == 19
    with pytest.raises(ContainerError, match=f"{pixels} pixels, the limit is {pixels - 1}"):
        unpack(data, max_pixels=pixels - 1)


def test_sizes_are_checked_before_pixels_are_decoded() -> None:
    huge = replace(header(height=400_000, width=400_000), lr_digest=bytes(16)).to_bytes()
    ihdr = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = (b"IHDR", ihdr), (b"hcDC", huge), (b"IDAT", b"never looked at"), (b"IEND", b"")
    with pytest.raises(ContainerError, match="limit"):
        unpack(png_chunks.build(png_chunks.Chunk(*part) for part in parts))


@pytest.mark.parametrize("length", [40, 100, 150])
def test_peek_says_when_the_beginning_is_too_short(length: int) -> None:
    with pytest.raises(DamagedError, match="truncated"):
        peek(packed(noise(5, 6, 3))[:length])


def test_is_ours_even_when_damaged() -> None:
    data = packed(noise(5, 6, 3))
    assert is_ours(data[:60])
    assert is_ours(data[:60] + b"!" + data[61:])
