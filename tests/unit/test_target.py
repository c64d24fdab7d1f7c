"""Targets: what is chosen reaches them, is the best that does, and is what that quality always gives."""

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import Draw, Tiny
from picture_files import saved
from PIL import ExifTags, Image

import hcdcodec
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.search.options import Paper, Ste
from hcdcodec.codec.settings import settings_digest
from hcdcodec.codec.source import Source
from hcdcodec.codec.target import SEARCHES, reach, remark
from hcdcodec.engine.engine import Engine
from hcdcodec.errors import OutputError, UsageError
from hcdcodec.files.encoded_names import Container
from hcdcodec.format import container
from hcdcodec.format.grid import QUALITIES, RUNGS, grid_of
from hcdcodec.format.oxipng_worker import Raw, optimise
from hcdcodec.pictures.metadata import Metadata
from hcdcodec.pictures.metrics import decibels, psnr
from hcdcodec.pictures.picture import Picture

OPTIONS = EncodeOptions(Ste(2))


def quick(raw: Raw) -> bytes:
    """Write a PNG by a fast preset of oxipng, for whose files the answers below are sure."""
    return optimise(replace(raw, level=1))


def size_of(encoded: Encoded, picture: Picture) -> int:
    return len(
        container.pack(encoded.header, encoded.lr, alpha=picture.alpha, metadata=picture.metadata, optimise=quick)
    )


def everything(engine: Engine, picture: Picture) -> dict[int, tuple[int, float]]:
    """Return (bytes, PSNR) of every rung, the slow way."""
    made = {q: encode_pictures(engine, [picture], replace(OPTIONS, quality=q))[0] for q in RUNGS}
    return {q: (size_of(encoded, picture), decibels(encoded.refined.error)) for q, encoded in made.items()}


def quality_of(found: Encoded) -> int:
    return found.header.quality


def test_rungs_are_the_grids_of_the_scale() -> None:
    assert [grid_of(quality) for quality in RUNGS] == list(dict.fromkeys(map(grid_of, reversed(QUALITIES))))
    assert (RUNGS[0], RUNGS[-1]) == (100, 1)


@pytest.mark.parametrize("channels", [0, 3])
def test_the_best_quality_that_reaches_the_target_is_found(tiny: Tiny, draw: Draw, channels: int) -> None:
    engine, picture = tiny.engine(), Picture(draw(56, 72, channels, seed=1))
    known = everything(engine, picture)
    for wanted in (90, 55, 18):
        limit, level = known[wanted][0], min(known[q][1] for q in RUNGS if q >= wanted)
        best = max(q for q in RUNGS if known[q][0] <= limit)
        for target in (Target(max_bytes=limit), Target(bpp=8 * limit / (56 * 72))):
            found = reach(engine, Source(picture), OPTIONS, target, optimise=quick)
            assert found.met and found.searches <= SEARCHES
            assert quality_of(found) == best
        found = reach(engine, Source(picture), OPTIONS, Target(psnr=level), optimise=quick)
        assert found.met and found.searches <= SEARCHES
        assert decibels(found.refined.error) >= level
        # Unlike bytes, the PSNR that the search will reach can be predicted to some hundredths of a dB only, and that
        # is how far neighbouring rungs lie apart here.
        assert RUNGS.index(quality_of(found)) >= RUNGS.index(wanted) - 2


def test_the_file_is_that_of_the_quality_itself(tiny: Tiny, draw: Draw) -> None:
    engine, picture = tiny.engine(), Picture(draw(40, 48, 3))
    found = reach(engine, Source(picture), OPTIONS, Target(max_bytes=700), optimise=quick)
    (plain,) = encode_pictures(engine, [picture], replace(OPTIONS, quality=quality_of(found)))
    assert np.array_equal(found.lr, plain.lr)
    assert found.header == replace(plain.header, settings_digest=found.header.settings_digest)
    again = reach(engine, Source(picture), OPTIONS, Target(max_bytes=700), optimise=quick)
    assert again.header == found.header and np.array_equal(again.lr, found.lr)


def test_alpha_and_metadata_count(tiny: Tiny, draw: Draw) -> None:
    engine = tiny.engine()
    bare = Picture(draw(40, 48, 3))
    full = replace(bare, alpha=draw(40, 48, seed=1), metadata=Metadata(xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"))
    (encoded,) = encode_pictures(engine, [full], replace(OPTIONS, quality=61))
    limit = size_of(encoded, full)
    for slack, met in ((0, True), (-1, False)):
        found = reach(engine, Source(full), OPTIONS, Target(max_bytes=limit + slack), optimise=quick)
        assert size_of(found, full) <= limit + slack
        assert (quality_of(found) >= 61) is met
    assert quality_of(reach(engine, Source(bare), OPTIONS, Target(max_bytes=limit), optimise=quick)) == 100


def test_without_a_search_predictions_are_exact(tiny: Tiny, draw: Draw) -> None:
    engine, picture = tiny.engine(), Picture(draw(40, 48, 3))
    (encoded,) = encode_pictures(engine, [picture], EncodeOptions(Ste(0), 43))
    level = decibels(encoded.refined.error)
    for target in (Target(max_bytes=size_of(encoded, picture)), Target(psnr=level)):
        found = reach(engine, Source(picture), EncodeOptions(Ste(0)), target, optimise=quick)
        assert found.met
        assert found.searches <= 2  # a close neighbour is searched to be sure


@pytest.mark.parametrize("search", [Ste(1), Paper(1, 1)])
@pytest.mark.parametrize(
    ("target", "quality"), [(Target(max_bytes=9), 1), (Target(bpp=1e-3), 1), (Target(psnr=99), 100)]
)
def test_what_cannot_be_reached_gives_what_comes_closest(
    tiny: Tiny, draw: Draw, search: Ste | Paper, target: Target, quality: int
) -> None:
    picture = Picture(draw(24, 24, 3))
    found = reach(tiny.engine(), Source(picture), EncodeOptions(search), target, optimise=quick)
    assert (quality_of(found), found.met, found.searches) == (quality, False, 1)
    if target.max_bytes:
        with pytest.raises(OutputError, match="9 bytes cannot be reached; even quality 1 takes 800"):
            remark(target, found, 800)
    else:
        assert "cannot be reached; stored with" in remark(target, found, 800)


@pytest.mark.parametrize("kind", Container)
def test_metadata_that_takes_most_of_the_bytes_is_named(draw: Draw, kind: Container) -> None:
    """The message advised another scale, and no scale helps."""
    if kind is Container.JXL:
        pytest.importorskip("pillow_jxl")
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = np.random.default_rng(0).bytes(30_000)
    source = saved(Image.fromarray(draw(40, 48, 3)), "JPEG", exif=exif)

    def encode(target: Target, *strip: str) -> hcdcodec.Result:
        given = {"backbone": "bicubic", "effort": 0, "container": kind, "strip": strip}
        return hcdcodec.encode_report(source, quality=target, **given)  # type: ignore[arg-type]

    said = r"200 bytes cannot be reached; even quality 1 takes (\d+), of which (\d+) are metadata, "
    with pytest.raises(OutputError, match=said + "so allow more or leave out metadata with --strip$") as raised:
        encode(Target(max_bytes=200))
    whole, metadata = (int(number) for number in re.findall(r"\d+(?=,| are)", str(raised.value)))
    bare = encode(Target(bpp=0.01), "exif")
    assert 30_000 < metadata < whole and abs(whole - metadata - len(bare.data)) < 9
    assert bare.remark.endswith("the least that was found")
    assert re.search(r"; 300\d\d of 30\d\d\d bytes are metadata, see --strip$", encode(Target(bpp=0.01)).remark)
    with pytest.raises(OutputError, match=r"even quality 1 takes \d+, so allow more or choose another --scale$"):
        encode(Target(max_bytes=200), "exif")


def test_pictures_without_error_meet_every_psnr(draw: Draw) -> None:
    picture = Picture(np.zeros((9, 7, 3), np.uint8))
    data = hcdcodec.encode_report(picture.pixels, backbone="bicubic", effort=1, quality=Target(psnr=100))
    assert (data.quality, data.psnr, data.remark) == (1, float("inf"), "")


@pytest.mark.parametrize(
    "values",
    [
        *({}, {"bpp": 1.0, "psnr": 30.0}, {"max_bytes": 0}, {"bpp": -1.0}, {"bpp": float("nan")}, {"psnr": 101.0}),
        *({"max_bytes": 10**400}, {"bpp": 1e308}, {"bpp": 5e-324}),
    ],
)
def test_targets_that_make_no_sense(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"choose one|out of range"):
        Target(**values)  # type: ignore[arg-type]


def test_other_targets_have_another_digest(tiny: Tiny) -> None:
    network = tiny.engine().backbone.identity
    targets = Target(psnr=30), Target(psnr=31), Target(bpp=30), Target(max_bytes=30)
    digests = {settings_digest(OPTIONS, network, target) for target in (None, *targets)}
    digests.add(settings_digest(replace(OPTIONS, quality=100), network))
    assert len(digests) == 6
    # What the target replaces does not count.
    first = settings_digest(OPTIONS, network, targets[0])
    assert first == settings_digest(replace(OPTIONS, quality=3), network, targets[0])
    assert first != settings_digest(EncodeOptions(Ste(3)), network, targets[0])


# --- in memory --------------------------------------------------------------------------------------------------------


def test_reports_tell_what_encode_returns(tiny: Tiny, draw: Draw) -> None:
    pixels = draw(40, 48, 4)
    given = {"backbone": tiny.name, "effort": 2, "weights_dir": tiny.weights_dir}
    for quality in (61, Target(psnr=8.0)):
        result = hcdcodec.encode_report(pixels, quality=quality, **given)  # type: ignore[arg-type]
        assert result.data == hcdcodec.encode(pixels, quality=quality, **given)  # type: ignore[arg-type]
        back = hcdcodec.decode(result.data, weights_dir=tiny.weights_dir)
        assert result.psnr == pytest.approx(psnr(pixels[..., :3], back[..., :3]), abs=1e-9)
        assert result.psnr_before <= result.psnr
        assert result.quality == container.peek(result.data).quality
        assert result.passes > 4 and result.seconds > 0 and result.remark == ""


def test_files_in_memory_can_be_too_large_as_well(draw: Draw) -> None:
    with pytest.raises(hcdcodec.OutputError, match="cannot be reached"):
        hcdcodec.encode(draw(24, 24, 3), backbone="bicubic", effort=0, quality=Target(max_bytes=100))
    result = hcdcodec.encode_report(draw(24, 24, 3), backbone="bicubic", effort=0, quality=Target(psnr=99))
    # Of a single pixel, a lower quality can come closer, and nobody has tried all of them.
    assert result.remark == f"99 dB cannot be reached; stored with {result.psnr:.2f}, the most that was found"


@pytest.mark.parametrize("kind", Container)
def test_no_file_is_a_byte_too_large(draw: Draw, kind: Container) -> None:
    if kind is Container.JXL:
        pytest.importorskip("pillow_jxl")
    # Its size and digest stand in the header, of which WebP and JPEG XL hold a packed copy.
    source = saved(Image.fromarray(draw(24, 32, 4)), "PNG")

    def size(quality: int | Target) -> int:
        return len(hcdcodec.encode(source, quality=quality, backbone="bicubic", effort=0, container=kind))

    sizes = sorted({size(quality) for quality in RUNGS})
    for limit in (sizes[0], *(one - 1 for one in sizes[1:])):
        assert size(Target(max_bytes=limit)) <= limit
