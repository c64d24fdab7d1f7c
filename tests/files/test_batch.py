"""Files to files: what comes back, what is left alone, and what is never overwritten."""

import errno
import os
import struct
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DATA, Draw, Levels, Tiny, float32_engine
from picture_files import pixels_of
from PIL import Image

from hcdcodec.batch import decode_files, encode_files, stages
from hcdcodec.batch.decode_files import Decoding
from hcdcodec.batch.encode_files import Encoding
from hcdcodec.batch.options import DecodeOptions, FileOptions
from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.batch.survey import survey
from hcdcodec.codec.decode import decode_picture
from hcdcodec.codec.encode import Encoded, encode_pictures
from hcdcodec.codec.engines import Engines, engines_on
from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.search.options import Ste
from hcdcodec.codec.settings import missed_digest, settings_digest
from hcdcodec.engine.engine import Engine
from hcdcodec.files.job import Job
from hcdcodec.files.picture_names import Format
from hcdcodec.files.plan import plan_decode, plan_encode
from hcdcodec.format import container
from hcdcodec.format.source_files import refuse_source
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.metadata import Metadata, Strip
from hcdcodec.pictures.metrics import psnr
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.reading import read_picture
from hcdcodec.pictures.writing import write_picture

OPTIONS = EncodeOptions(Ste(1))
NOW_NS = 1_700_000_000_000_000_000


@dataclass
class Folder:
    """A folder of sources, and the two ways through the pipeline."""

    path: Path
    draw: Draw
    encoding: Encoding = field(default_factory=lambda: Encoding((float32_engine("bicubic", 4),), OPTIONS))
    decoding: Decoding = field(default_factory=lambda: Decoding((Engines(),)))

    def put(self, name: str, pixels: Levels | None = None) -> Path:
        path = self.path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.draw(24, 20, 3) if pixels is None else pixels).save(path)
        set_time(path, NOW_NS)
        return path

    def encode(self, encoding: Encoding | None = None) -> list[Outcome]:
        plan = plan_encode([str(self.path / "in")], str(self.path / "small"), refuse=refuse_source)
        return list((encoding or self.encoding).run(plan.jobs))

    def decode(self, decoding: Decoding | None = None) -> list[Outcome]:
        decoding = decoding or self.decoding
        choice = decoding.options.choice
        plan = plan_decode([str(self.path / "small")], str(self.path / "out"), choice=choice)
        return list(decoding.run(plan.jobs))


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Folder:
    return Folder(tmp_path, draw)


def set_time(path: Path, time_ns: int) -> None:
    os.utime(path, ns=(time_ns, time_ns))


def statuses(outcomes: list[Outcome]) -> list[Status]:
    return [outcome.status for outcome in outcomes]


# --- what comes back --------------------------------------------------------------------------------------------------


def test_a_folder_goes_there_and_back(folder: Folder, draw: Draw) -> None:
    names = ["a.png", "deep/b.png", "deep/er/c.webp", "grey.png", "alpha.png"]
    shapes = [(24, 20, 3), (7, 9, 3), (33, 12, 3), (16, 17), (10, 40, 4)]
    sources = {name: draw(*shape) for name, shape in zip(names, shapes, strict=True)}
    for name, pixels in sources.items():
        folder.put(name, pixels)
    encoded, decoded = folder.encode(), folder.decode()
    assert statuses(encoded) == statuses(decoded) == [Status.DONE] * 5
    for name, pixels in sources.items():
        back = pixels_of(folder.path / "out" / (name if name.endswith(".png") else name + ".png"))
        assert back.shape == pixels.shape
        if name == "alpha.png":
            assert np.array_equal(back[..., 3], pixels[..., 3])


def test_pictures_of_several_networks_are_decoded_together(folder: Folder, tiny: Tiny) -> None:
    alone = {}
    for number, engine in enumerate((float32_engine("bicubic", 4), tiny.engine(), float32_engine("bicubic", 2)) * 2):
        name = f"{number}.png"
        pixels = folder.draw(24, 20, 3, seed=number)
        folder.put(name, pixels)
        (encoded,) = encode_pictures(engine, [Picture(pixels)], OPTIONS)
        target = folder.path / "small" / f"{name}.hcd.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(container.pack(encoded.header, encoded.lr, alpha=None, metadata=Metadata(), level=0))
        alone[name] = decode_picture(engine, container.unpack(target.read_bytes())).pixels
    outcomes = folder.decode(Decoding((Engines(weights_dir=tiny.weights_dir),)))
    assert [outcome.target for outcome in outcomes] == [folder.path / "out" / name for name in alone]
    assert statuses(outcomes) == [Status.DONE] * 6
    for name, pixels in alone.items():
        assert np.abs(pixels_of(folder.path / "out" / name).astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("name", ["bicubic", "tiny"])
def test_the_outcome_measures_the_written_file(folder: Folder, tiny: Tiny, name: str) -> None:
    source = folder.put("a.png")
    engine = tiny.engine() if name == "tiny" else float32_engine(name, 4)
    (made,) = folder.encode(Encoding((engine,), EncodeOptions(Ste(4))))
    (restored,) = folder.decode(Decoding((Engines(weights_dir=tiny.weights_dir),)))
    small, back = folder.path / "small/a.png.hcd.png", folder.path / "out/a.png"
    assert made.target == small and restored.target == back
    assert (made.source_bytes, made.target_bytes) == (source.stat().st_size, small.stat().st_size)
    assert (restored.source_bytes, restored.target_bytes) == (small.stat().st_size, back.stat().st_size)
    assert (made.height, made.width) == (restored.height, restored.width) == (24, 20)
    real = psnr(pixels_of(back), pixels_of(source))
    assert made.psnr == pytest.approx(real, abs=1e-9)
    assert made.psnr_before is not None and made.psnr is not None
    assert made.psnr_before <= made.psnr
    assert made.passes > 8 and made.seconds > 0 and restored.seconds > 0


def test_metadata_comes_back_byte_for_byte(folder: Folder, draw: Draw) -> None:
    profile = struct.pack(">I", 132) + bytes(12) + b"RGB XYZ " + bytes(12) + b"acsp" + bytes(92)
    metadata = Metadata(
        icc=profile, exif=b"MM\0*\0\0\0\x08\0\0\0\0\0\0", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>" * 20
    )
    picture = Picture(draw(12, 14, 3), draw(12, 14), metadata)
    path = folder.path / "in/m.png"
    path.parent.mkdir()
    path.write_bytes(write_picture(picture, Format.PNG))
    folder.encode()
    for fmt in (Format.PNG, Format.WEBP, Format.TIFF):
        folder.decode(Decoding((Engines(),), DecodeOptions(fmt)))
        name = "out/m.png" if fmt is Format.PNG else f"out/m.png.{fmt.value}"
        back = read_picture((folder.path / name).read_bytes())
        assert back.alpha is not None and picture.alpha is not None
        assert np.array_equal(back.alpha, picture.alpha)
        assert (back.metadata.icc, back.metadata.xmp) == (metadata.icc, metadata.xmp)
        if fmt is not Format.TIFF:
            assert back.metadata.exif == metadata.exif


def test_neutral_colours_come_back_as_one_channel_and_say_so(folder: Folder, draw: Draw) -> None:
    """Stored as RGB they came back with colours of up to 18 levels."""
    grey = draw(24, 20)
    folder.put("a.png", np.dstack([grey] * 3))
    (outcome,) = folder.encode()
    assert outcome.status is Status.DONE and "comes back with one channel" in outcome.message
    folder.decode()
    assert pixels_of(folder.path / "out/a.png").shape == grey.shape
    (again,) = folder.encode()
    assert again.status is Status.SKIPPED


def test_neutral_colours_under_an_rgb_profile_stay_three_channels_unless_it_is_stripped(
    folder: Folder, draw: Draw
) -> None:
    profile = Metadata(icc=struct.pack(">I", 132) + bytes(12) + b"RGB XYZ " + bytes(12) + b"acsp" + bytes(92))
    path = folder.path / "in/a.png"
    path.parent.mkdir()
    path.write_bytes(write_picture(Picture(np.dstack([draw(24, 20)] * 3), None, profile), Format.PNG))
    (outcome,) = folder.encode()
    assert outcome.message == ""
    folder.decode()
    assert pixels_of(folder.path / "out/a.png").shape == (24, 20, 3)
    stripping = replace(folder.encoding, options=replace(OPTIONS, strip=(Strip.ICC,)))
    (outcome,) = folder.encode(stripping)
    assert outcome.status is Status.DONE and "one channel" in outcome.message


@pytest.mark.parametrize("alpha", [False, True])
def test_grey_under_an_rgb_profile_makes_valid_files_only(folder: Folder, draw: Draw, alpha: bool) -> None:
    """PNG forbids a grey picture with such a profile; JPEG has them."""
    profile = Metadata(icc=struct.pack(">I", 132) + bytes(12) + b"RGB XYZ " + bytes(12) + b"acsp" + bytes(92))
    grey = Picture(draw(24, 20), draw(24, 20, seed=1) if alpha else None)
    folder.put("a.png")
    path = folder.path / "in/a.png"
    path.write_bytes(png_chunks.insert(write_picture(grey, Format.PNG), profile.to_chunks(compact=False)))
    assert statuses(folder.encode()) == statuses(folder.decode()) == [Status.DONE]
    for name in ("small/a.png.hcd.png", "out/a.png"):
        chunks = tuple(png_chunks.walk((folder.path / name).read_bytes()))
        assert png_chunks.ihdr(chunks[0]).colour in (2, 3, 6)
        assert b"iCCP" in [chunk.type for chunk in chunks]
    back = pixels_of(folder.path / "out/a.png")
    assert np.array_equal(back[..., 0], back[..., 1]) and np.array_equal(back[..., 0], back[..., 2])


def test_what_cannot_be_carried_is_told_in_the_outcome(folder: Folder) -> None:
    path = folder.put("a.png")
    damaged = png_chunks.Chunk(b"iCCP", b"icc\0\0no profile")
    path.write_bytes(png_chunks.insert(path.read_bytes(), [damaged, png_chunks.Chunk(b"tEXt", b"Title\0a")]))
    (outcome,) = folder.encode()
    assert outcome.status is Status.DONE
    assert outcome.message == "a compressed PNG chunk is broken (iCCP); it was left out"
    (outcome,) = folder.decode(Decoding((Engines(),), DecodeOptions(Format.WEBP)))
    assert outcome.message == "WEBP cannot hold its texts; decode to PNG to keep them"
    (outcome,) = folder.decode()
    assert outcome.message == ""


def test_formats_hold_the_same_pixels(folder: Folder, draw: Draw) -> None:
    folder.put("a.png", draw(21, 34, 3))
    folder.encode()
    made = []
    for fmt in (Format.PNG, Format.WEBP, Format.TIFF):
        assert statuses(folder.decode(Decoding((Engines(),), DecodeOptions(fmt)))) == [Status.DONE]
        made.append(pixels_of(folder.path / f"out/a.png{'' if fmt is Format.PNG else '.' + fmt.value}"))
    assert np.array_equal(made[0], made[1]) and np.array_equal(made[0], made[2])


def test_times_are_kept_when_asked(folder: Folder) -> None:
    folder.put("a.png")
    files = FileOptions(preserve=True)
    folder.encode(replace(folder.encoding, files=files))
    folder.decode(replace(folder.decoding, files=files))
    assert (folder.path / "small/a.png.hcd.png").stat().st_mtime_ns == NOW_NS
    assert (folder.path / "out/a.png").stat().st_mtime_ns == NOW_NS


def test_times_that_cannot_be_kept_are_a_warning(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    folder.put("a.png")
    monkeypatch.setattr(os, "utime", refuse)
    (outcome,) = folder.encode(replace(folder.encoding, files=FileOptions(preserve=True)))
    assert outcome.status is Status.DONE and "current time" in outcome.message


# --- failures ---------------------------------------------------------------------------------------------------------


def test_one_bad_picture_fails_alone(folder: Folder) -> None:
    for name in ("a.png", "b.png", "c.png"):
        folder.put(name)
    broken = folder.path / "in/b.png"
    broken.write_bytes(broken.read_bytes()[:-30])
    assert statuses(folder.encode()) == [Status.DONE, Status.FAILED, Status.DONE]
    lr = folder.path / "small/c.png.hcd.png"
    lr.write_bytes(lr.read_bytes()[:-1])
    outcomes = folder.decode()
    assert statuses(outcomes) == [Status.DONE, Status.FAILED]
    assert "truncated" in outcomes[1].message
    assert not (folder.path / "out/c.png").exists()


def test_missing_weights_fail_alone_when_decoding(folder: Folder, tiny: Tiny) -> None:
    folder.put("a.png")
    folder.put("b.png")
    folder.encode()
    (folder.path / "small/b.png.hcd.png").unlink()
    folder.encode(Encoding((tiny.engine(),), OPTIONS, FileOptions(force=False)))
    outcomes = folder.decode()
    assert {outcome.status for outcome in outcomes} == {Status.FAILED}
    assert all("no weights for tiny x4 are installed" in outcome.message for outcome in outcomes)


def test_large_pictures_are_refused(folder: Folder) -> None:
    folder.put("a.png")
    limit = FileOptions(max_pixels=24 * 20 - 1)
    (outcome,) = folder.encode(replace(folder.encoding, files=limit))
    assert outcome.status is Status.FAILED and "raise --max-pixels" in outcome.message
    folder.encode()
    (outcome,) = folder.decode(replace(folder.decoding, files=limit))
    assert outcome.status is Status.FAILED and "raise --max-pixels" in outcome.message


def test_a_source_that_is_one_of_ours_is_refused(folder: Folder) -> None:
    folder.put("a.png")
    folder.encode()
    small = folder.path / "small/a.png.hcd.png"
    job = Job(small, folder.path / "again.hcd.png", "a", "a", named=True)
    (outcome,) = folder.encoding.run([job])
    assert outcome.status is Status.FAILED and "already encoded" in outcome.message
    assert not (folder.path / "again.hcd.png").exists()


# --- up to date -------------------------------------------------------------------------------------------------------


def written(folder: Folder) -> dict[str, tuple[int, int]]:
    """Return what changes when a result is written again."""
    results = [path for name in ("small", "out") for path in (folder.path / name).rglob("*") if path.is_file()]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in results}


def test_the_second_run_does_nothing(folder: Folder) -> None:
    folder.put("a.png")
    folder.put("b.png")
    folder.encode(), folder.decode()
    before = written(folder)
    for outcomes in (folder.encode(), folder.decode()):
        assert statuses(outcomes) == [Status.SKIPPED] * 2
        assert {outcome.message for outcome in outcomes} == {"up to date"}
    assert written(folder) == before


@pytest.mark.parametrize("checksum", [False, True])
def test_a_touched_source_of_the_same_content_is_up_to_date(folder: Folder, checksum: bool) -> None:
    source = folder.put("a.png")
    folder.encode(), folder.decode()
    before = written(folder)
    later = (folder.path / "out/a.png").stat().st_mtime_ns + 10**12
    set_time(source, later)
    files = FileOptions(checksum=checksum)
    assert statuses(folder.encode(replace(folder.encoding, files=files))) == [Status.SKIPPED]
    set_time(folder.path / "small/a.png.hcd.png", later)
    assert statuses(folder.decode(replace(folder.decoding, files=files))) == [Status.SKIPPED]
    # Both results are the same files, with times that spare the next run the comparison.
    for name in ("a.png", "a.png.hcd.png"):
        assert written(folder)[name][0] == before[name][0] and written(folder)[name][1] >= later


def test_a_run_with_nothing_to_do_reads_only_the_heads_of_results(folder: Folder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 400, 400, 3), np.uint8)
    for number, pixels in enumerate(noise):
        folder.put(f"{number}.png", pixels)
    folder.encode(), folder.decode()
    whole = sum(path.stat().st_size for path in folder.path.rglob("*.png"))
    before = bytes_read()
    assert statuses(folder.encode() + folder.decode()) == [Status.SKIPPED] * 6
    assert bytes_read() - before < min(whole / 20, 6 * (1 << 14))


def test_a_reconstruction_that_was_cut_off_is_not_up_to_date(folder: Folder) -> None:
    folder.put("a.png")
    folder.encode(), folder.decode()
    out = folder.path / "out/a.png"
    cut = out.read_bytes()[:-1]
    out.write_bytes(cut)
    (outcome,) = folder.decode()
    assert outcome.status is Status.FAILED and "cannot be read (PNG is truncated" in outcome.message
    assert out.read_bytes() == cut


def bytes_read() -> int:
    """Return what this process has read so far, from files and from caches."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("rchar")))


def test_a_changed_source_is_redone_all_the_way(folder: Folder, draw: Draw) -> None:
    folder.put("a.png", draw(24, 20, 3, seed=1))
    folder.encode(), folder.decode()
    first = pixels_of(folder.path / "out/a.png")
    changed = folder.put("a.png", draw(24, 20, 3, seed=2))
    set_time(changed, (folder.path / "small/a.png.hcd.png").stat().st_mtime_ns + 10**9)
    assert statuses(folder.encode()) == [Status.DONE]
    assert statuses(folder.decode()) == [Status.DONE]
    assert not np.array_equal(pixels_of(folder.path / "out/a.png"), first)


def test_a_source_of_another_size_is_redone_though_it_is_older(folder: Folder) -> None:
    source = folder.put("a.png")
    folder.encode()
    source.write_bytes(with_text(source.read_bytes()))
    set_time(source, NOW_NS - 10**12)
    assert statuses(folder.encode()) == [Status.DONE]


def test_a_change_that_hides_is_noticed_by_the_time_of_its_inode_or_by_the_checksum(folder: Folder, draw: Draw) -> None:
    source = folder.path / "in/a.bmp"  # the size of such a file depends on that of the picture alone
    folder.put("a.bmp", draw(24, 20, 3, seed=1))
    folder.encode()
    folder.put("a.bmp", draw(24, 20, 3, seed=2))
    assert source.stat().st_mtime_ns == NOW_NS
    assert statuses(folder.encode()) == [Status.DONE]
    folder.put("a.bmp", draw(24, 20, 3, seed=3))
    (folder.path / "small/a.bmp.hcd.png").touch()  # hides it from times altogether
    assert statuses(folder.encode()) == [Status.SKIPPED]
    assert statuses(folder.encode(replace(folder.encoding, files=FileOptions(checksum=True)))) == [Status.DONE]


@pytest.mark.parametrize("options", [EncodeOptions(Ste(2)), EncodeOptions(Ste(1), quality=50)])
def test_other_settings_are_redone(folder: Folder, options: EncodeOptions) -> None:
    folder.put("a.png")
    folder.encode()
    other = replace(folder.encoding, options=options)
    assert statuses(folder.encode(other)) == [Status.DONE]
    assert statuses(folder.encode(other)) == [Status.SKIPPED]
    assert statuses(folder.encode()) == [Status.DONE]


def test_a_change_of_alpha_or_metadata_alone_reaches_the_reconstruction(folder: Folder, draw: Draw) -> None:
    """The LR's pixels stay the same then."""
    pixels = draw(16, 16, 4)
    folder.put("a.png", pixels)
    folder.encode(), folder.decode()
    pixels = pixels.copy()
    pixels[..., 3] = 255 - pixels[..., 3]
    source = folder.put("a.png", pixels)
    source.write_bytes(with_text(source.read_bytes()))
    assert statuses(folder.encode()) == [Status.DONE]
    set_time(folder.path / "small/a.png.hcd.png", (folder.path / "out/a.png").stat().st_mtime_ns + 10**9)
    folder.decode()
    assert np.array_equal(pixels_of(folder.path / "out/a.png")[..., 3], pixels[..., 3])


def with_text(data: bytes) -> bytes:
    """Add a text chunk to a PNG: another file of the same pixels."""
    chunk = b"tEXtComment\0edited"
    return data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


FOREIGN = [b"", b"notes", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0 a photograph"]


PICTURE = DATA / "photos" / "chelsea.png"


@pytest.mark.parametrize("content", [*FOREIGN, "a picture"])
def test_what_is_not_ours_is_refused_unless_forced(folder: Folder, content: bytes | str) -> None:
    folder.put("a.png")
    foreign = content if isinstance(content, bytes) else PICTURE.read_bytes()
    small, out = folder.path / "small/a.png.hcd.png", folder.path / "out/a.png"
    for path in (small, out):
        path.parent.mkdir()
        path.write_bytes(foreign)
    (outcome,) = folder.encode()
    assert outcome.status is Status.FAILED and "--force" in outcome.message
    assert small.read_bytes() == foreign
    assert statuses(folder.encode(replace(folder.encoding, files=FileOptions(force=True)))) == [Status.DONE]
    assert container.peek(small.read_bytes()).width == 20
    (outcome,) = folder.decode()
    assert outcome.status is Status.FAILED and "--force" in outcome.message
    assert out.read_bytes() == foreign
    assert statuses(folder.decode(replace(folder.decoding, files=FileOptions(force=True)))) == [Status.DONE]
    assert pixels_of(out).shape == (24, 20, 3)


def test_force_redoes_what_is_up_to_date(folder: Folder) -> None:
    folder.put("a.png")
    folder.encode()
    before = written(folder)
    assert statuses(folder.encode(replace(folder.encoding, files=FileOptions(force=True)))) == [Status.DONE]
    assert written(folder) != before


def test_a_survey_tells_beforehand_and_writes_nothing(folder: Folder) -> None:
    folder.put("a.png"), folder.put("b.png")
    plan = plan_encode([str(folder.path / "in")], str(folder.path / "small"), refuse=refuse_source)

    def look(**changes: Any) -> list[Outcome]:
        return list(survey(plan.jobs, replace(folder.encoding, **changes).freshness, threads=2))

    assert statuses(look()) == [Status.MISSING] * 2
    assert not (folder.path / "small").exists()
    folder.encode()
    before = written(folder)
    assert statuses(look()) == [Status.SKIPPED] * 2
    assert statuses(look(options=EncodeOptions(Ste(2)))) == [Status.STALE] * 2
    assert statuses(look(target=Target(bpp=1))) == [Status.STALE] * 2
    assert statuses(look(files=FileOptions(force=True))) == [Status.STALE] * 2
    folder.put("a.png", folder.draw(9, 9, 3))
    assert statuses(look()) == [Status.STALE, Status.SKIPPED]
    assert written(folder) == before
    small = folder.path / "small/a.png.hcd.png"
    small.write_bytes(b"x")
    assert statuses(look()) == [Status.FAILED, Status.SKIPPED]
    assert "not made by hcdcodec" in look()[0].message
    assert small.read_bytes() == b"x"


def test_a_survey_of_reconstructions(folder: Folder) -> None:
    folder.put("a.png"), folder.put("b.png")
    folder.encode()
    (folder.path / "out").mkdir()
    for fmt, name in ((Format.PNG, "out/b.png"), (Format.WEBP, "out/b.png.webp")):
        decoding = replace(folder.decoding, options=DecodeOptions(fmt))
        plan = plan_decode([str(folder.path / "small")], str(folder.path / "out"), choice=fmt)
        assert statuses(list(survey(plan.jobs, decoding.freshness, threads=2))) == [Status.MISSING] * 2
        folder.decode(decoding)
        assert statuses(list(survey(plan.jobs, decoding.freshness, threads=2))) == [Status.SKIPPED] * 2
        (folder.path / name).unlink()
        assert statuses(list(survey(plan.jobs, decoding.freshness, threads=2))) == [Status.SKIPPED, Status.MISSING]


# --- several devices --------------------------------------------------------------------------------------------------


def test_two_workers_write_what_one_writes(folder: Folder, tiny: Tiny) -> None:
    for number in range(7):
        folder.put(f"{number}.png", folder.draw(20 + number, 24, 3, seed=number))
    encoding = Encoding((tiny.engine(),), OPTIONS)
    decoding = Decoding((Engines(weights_dir=tiny.weights_dir),))
    assert statuses(folder.encode(encoding) + folder.decode(decoding)) == [Status.DONE] * 14
    alone = {path: path.read_bytes() for path in folder.path.rglob("*.png")}
    files = FileOptions(force=True)
    # Each engine has a network of its own, and groups so small that both are needed.
    engines = engines_on(tiny.engine().backbone, ("cpu", "cpu"))
    first, second = (replace(engine, batch_px=1, fast=torch.float32) for engine in engines)
    assert first.backbone is not second.backbone
    outcomes = folder.encode(replace(encoding, engines=(first, second), files=files))
    assert [outcome.name for outcome in outcomes] == [str(folder.path / f"in/{number}.png") for number in range(7)]
    twice = replace(decoding, engines=decoding.engines * 2, files=files)
    assert statuses(outcomes + folder.decode(twice)) == [Status.DONE] * 14
    assert {path: path.read_bytes() for path in folder.path.rglob("*.png")} == alone


# --- targets, and what is not worth storing ---------------------------------------------------------------------------


def test_targets_choose_by_picture_and_fail_alone(folder: Folder, draw: Draw) -> None:
    for name, size in (("a.png", 16), ("b.png", 64), ("c.png", 160)):
        folder.put(name, draw(size, size, 3))
    outcomes = folder.encode(replace(folder.encoding, target=Target(max_bytes=900)))
    assert statuses(outcomes) == [Status.DONE, Status.DONE, Status.FAILED]
    assert [outcome.quality == 100 for outcome in outcomes] == [True, False, False]
    assert "900 bytes cannot be reached; even quality 1 takes " in outcomes[2].message
    assert not (folder.path / "small/c.png.hcd.png").exists()
    for outcome in outcomes[:2]:
        assert outcome.target is not None
        data = outcome.target.read_bytes()
        assert len(data) == outcome.target_bytes <= 900
        assert container.peek(data).quality == outcome.quality
        assert container.unpack(data).header.source_size == outcome.source_bytes


def test_targets_leave_packing_to_other_processes(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PNG optimiser holds Python's lock, so in this process it would stop all other threads."""
    import oxipng

    monkeypatch.setattr(oxipng, "RawImage", None)
    folder.put("a.png")
    (outcome,) = folder.encode(replace(folder.encoding, target=Target(max_bytes=3000)))
    assert outcome.status is Status.DONE, outcome.message


def test_targets_out_of_reach_are_warned_about(folder: Folder) -> None:
    folder.put("a.png")
    (outcome,) = folder.encode(replace(folder.encoding, target=Target(psnr=90)))
    assert (outcome.status, outcome.quality) == (Status.DONE, 100)
    assert outcome.message.startswith(f"90 dB cannot be reached; stored with {outcome.psnr:.2f}, ")


def test_another_target_is_another_setting(folder: Folder) -> None:
    folder.put("a.png")
    for target in (Target(bpp=40), Target(bpp=41), None):
        encoding = replace(folder.encoding, target=target)
        assert statuses(folder.encode(encoding)) == [Status.DONE]
        assert statuses(folder.encode(encoding)) == [Status.SKIPPED]


def test_what_missed_a_psnr_in_an_earlier_release_is_up_to_date(folder: Folder) -> None:
    """Its digest tells nothing of that. Weights and settings of a newer one are compared as ever."""
    folder.put("a.png")
    encoding = replace(folder.encoding, target=Target(psnr=90))
    network = encoding.engines[0].backbone.identity
    (made,) = folder.encode(encoding)
    small = folder.path / "small/a.png.hcd.png"
    packed, digest = container.unpack(small.read_bytes()), settings_digest(OPTIONS, network, encoding.target)
    assert packed.header.settings_digest == missed_digest(digest) and made.misses_target
    assert [outcome.misses_target for outcome in folder.encode(encoding)] == [True]
    header = replace(packed.header, settings_digest=digest)
    small.write_bytes(container.pack(header, packed.lr, alpha=None, metadata=packed.metadata, level=0))
    (earlier,) = folder.encode(encoding)
    assert (earlier.status, earlier.message, earlier.misses_target) == (Status.SKIPPED, "up to date", False)


def test_what_is_not_smaller_is_not_stored(folder: Folder, draw: Draw) -> None:
    folder.put("a.png", draw(8, 8, 3))
    folder.put("b.png", draw(80, 80, 3))
    encoding = replace(folder.encoding, skip_if_larger=True)
    for _ in range(2):
        small, large = folder.encode(encoding)
        assert small.status is Status.SKIPPED
        assert small.message == "not smaller than its source, nothing stored"
        assert small.target_bytes >= small.source_bytes > 0
        assert not (folder.path / "small/a.png.hcd.png").exists()
    assert large.status is Status.SKIPPED and large.message == "up to date"
    (outcome, _) = folder.encode()
    assert outcome.status is Status.DONE and outcome.is_larger
    folder.put("a.png", draw(8, 9, 3))
    before = (folder.path / "small/a.png.hcd.png").read_bytes()
    assert folder.encode(replace(encoding, files=FileOptions(force=True)))[0].message.endswith("still stands there")
    assert (folder.path / "small/a.png.hcd.png").read_bytes() == before


# --- atomic -----------------------------------------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_old_result_and_no_remains(folder: Folder, draw: Draw) -> None:
    folder.put("a.png")
    folder.encode()
    small = folder.path / "small"
    before = {path: path.read_bytes() for path in small.iterdir()}
    folder.put("a.png", draw(40, 40, 3, seed=3))
    blocked = folder.path / "in/b.png"
    folder.put("b.png")
    (small / "b.png.hcd.png").mkdir()  # cannot be replaced by a file, by no one
    files = FileOptions(force=True)
    outcomes = folder.encode(replace(folder.encoding, files=files))
    assert statuses(outcomes) == [Status.DONE, Status.FAILED]
    assert "a folder or device stands" in outcomes[1].message and blocked.exists()
    assert {path.name for path in small.iterdir()} == {"a.png.hcd.png", "b.png.hcd.png"}
    assert not list((small / "b.png.hcd.png").iterdir())
    assert all(path.read_bytes() != data for path, data in before.items())


def test_interrupted_runs_go_on_where_they_stopped(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_UNWRITTEN_PX", 0)  # however slow writing is, not all six may be computed before it
    for number in range(6):
        folder.put(f"{number}.png")
    plan = plan_encode([str(folder.path / "in")], str(folder.path / "small"), refuse=refuse_source)
    (engine,) = folder.encoding.engines
    outcomes = replace(folder.encoding, engines=(replace(engine, batch_px=1),)).run(plan.jobs)
    assert next(outcomes).status is Status.DONE
    outcomes.close()  # type: ignore[attr-defined]
    whole = list((folder.path / "small").iterdir())
    assert 1 <= len(whole) < 6
    for path in whole:
        container.unpack(path.read_bytes())
    again = statuses(folder.encode())
    assert again.count(Status.SKIPPED) == len(whole)
    assert again.count(Status.DONE) == 6 - len(whole)


def test_formats_without_a_mark_go_by_time_and_are_never_replaced_unasked(folder: Folder) -> None:
    folder.put("a.png")
    folder.encode()
    webp = Decoding((Engines(),), DecodeOptions(Format.WEBP))
    assert statuses(folder.decode(webp)) == [Status.DONE]
    assert statuses(folder.decode(webp)) == [Status.SKIPPED]
    (unsure,) = folder.decode(replace(webp, files=FileOptions(checksum=True)))
    assert unsure.status is Status.FAILED and "--force" in unsure.message
    set_time(folder.path / "out/a.png.webp", 0)
    (refused,) = folder.decode(webp)
    assert refused.status is Status.FAILED
    assert "is older than its small file and cannot say whether it is ours; use --force" in refused.message
    assert statuses(folder.decode(replace(webp, files=FileOptions(force=True)))) == [Status.DONE]


@pytest.mark.parametrize("fmt", Format)
@pytest.mark.parametrize("quality", [None, 80])
def test_the_result_of_another_picture_is_not_up_to_date(
    folder: Folder, draw: Draw, fmt: Format, quality: int | None
) -> None:
    """Two folders have a picture of one name, and are decoded to one place, where the first result is the newest."""
    if fmt in (Format.HEIC, Format.JXL):
        pytest.importorskip({"heic": "pillow_heif", "jxl": "pillow_jxl"}[fmt])
    decoding = Decoding((Engines(),), DecodeOptions(fmt, None if fmt.is_always_lossless else quality))
    folder.put("a.png")
    folder.encode()
    assert statuses(folder.decode(decoding)) == [Status.DONE]
    assert statuses(folder.decode(decoding)) == [Status.SKIPPED]
    (result,) = (folder.path / "out").iterdir()
    folder.put("a.png", draw(28, 20, 3))
    folder.encode()
    os.utime(result)
    (outcome,) = folder.decode(decoding)
    if fmt is Format.PNG:  # it has a mark, so it is known to be ours
        assert outcome.status is Status.DONE and pixels_of(result).shape == (28, 20, 3)
    else:
        said = f"{result} is not the picture of this small file; move it away or use --force"
        assert (outcome.status, outcome.message) == (Status.FAILED, said)


def test_a_result_that_is_turned_or_cropped_is_up_to_date(folder: Folder) -> None:
    source = folder.put("a.jpg")
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(folder.draw(24, 20, 3)).save(source, exif=turned)
    folder.encode()
    for fmt in (Format.JPEG, Format.WEBP, Format.PNG):
        decoding = Decoding((Engines(),), DecodeOptions(fmt, upright=True))
        assert [statuses(folder.decode(decoding)) for _ in range(2)] == [[Status.DONE], [Status.SKIPPED]]
    result = folder.path / "out/a.jpg.png"
    mark = next(chunk for chunk in png_chunks.walk(result.read_bytes()) if chunk.type == b"hcDS")
    Image.fromarray(pixels_of(result)[:9]).save(result)
    result.write_bytes(png_chunks.insert(result.read_bytes(), [mark]))
    assert statuses(folder.decode(decoding)) == [Status.SKIPPED]
    assert pixels_of(result).shape == (9, 24, 3)


@pytest.mark.parametrize("content", [b"", b"notes", b"RIFF\0\0\0\0WEBPVP8?", b"\0\0\0\x0cJXL \r\n\x87\n"])
def test_what_is_no_picture_is_not_up_to_date(folder: Folder, content: bytes) -> None:
    folder.put("a.png")
    folder.encode()
    result = folder.path / "out/a.png.webp"
    result.parent.mkdir()
    result.write_bytes(content)
    (outcome,) = folder.decode(Decoding((Engines(),), DecodeOptions(Format.WEBP)))
    assert outcome.status is Status.FAILED
    assert outcome.message == f"{result} exists and cannot say whether it is ours; use --force to replace it"
    assert result.read_bytes() == content


def test_results_of_a_source_that_is_dated_in_the_future_are_up_to_date(folder: Folder) -> None:
    source = folder.put("a.jpg")
    set_time(source, 4 * 10**18)
    webp = Decoding((Engines(),), DecodeOptions(Format.WEBP))
    for expected in (Status.DONE, Status.SKIPPED):
        assert statuses([*folder.encode(), *folder.decode(webp)]) == [expected] * 2


def test_nothing_is_computed_where_its_result_cannot_be_stored(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "deep/b.png", "deep/er/c.png"):
        folder.put(name)
    (folder.path / "small").mkdir()
    (folder.path / "small/deep").touch()
    computed = []

    def watch(engine: Engine, pictures: list[Picture], options: EncodeOptions) -> list[Encoded]:
        computed.extend(pictures)
        return encode_pictures(engine, pictures, options)

    monkeypatch.setattr(encode_files, "encode_pictures", watch)
    done, *failed = folder.encode()
    assert done.status is Status.DONE and len(computed) == 1
    assert [outcome.message.partition(";")[0] for outcome in failed] == ["a file stands where a folder is needed"] * 2


def test_a_source_with_an_old_time_that_came_later_is_noticed(folder: Folder) -> None:
    folder.put("a.png")
    folder.encode()
    webp = Decoding((Engines(),), DecodeOptions(Format.WEBP))
    folder.decode(webp)
    (lr,) = (folder.path / "small").glob("*.hcd.png")
    lr.write_bytes(lr.read_bytes())
    set_time(lr, 0)  # as cp -p and rsync -a do, and encode --preserve
    (refused,) = folder.decode(webp)
    assert refused.status is Status.FAILED and "--force" in refused.message


# --- hostile ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["overwritten", "replaced"])
def test_a_source_that_changes_meanwhile_has_no_result(
    folder: Folder, draw: Draw, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Its result would be newer than it is, of the same size perhaps, and be taken for up to date for ever."""
    source = folder.put("a.bmp", draw(24, 20, 3, seed=1))

    def interfere(*arguments: object) -> list[Encoded]:
        if change == "replaced":
            source.rename(folder.path / "old.bmp")  # else its number could be used again
        folder.put("a.bmp", draw(24, 20, 3, seed=2))
        set_time(source, NOW_NS + (change == "overwritten"))
        return encode_pictures(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(encode_files, "encode_pictures", interfere)
    (outcome,) = folder.encode()
    assert outcome.status is Status.FAILED and "changed while it was being worked on" in outcome.message
    assert not list((folder.path / "small").glob("*"))
    monkeypatch.undo()
    assert statuses(folder.encode()) == [Status.DONE]


@pytest.mark.parametrize(
    ("run", "module", "last", "result"),
    [
        (Folder.encode, container, "pack", "small/a.png.hcd.png"),
        (Folder.decode, decode_files, "write_picture", "out/a.png"),
    ],
)
def test_a_file_that_appears_meanwhile_is_not_replaced(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, run: Any, module: Any, last: str, result: str
) -> None:
    folder.put("a.png")
    if run is Folder.decode:
        folder.encode()
    target, make = folder.path / result, getattr(module, last)

    def interfere(*arguments: Any, **named: Any) -> bytes:
        target.parent.mkdir()
        target.write_bytes(b"of the user")
        return make(*arguments, **named)  # type: ignore[no-any-return]

    monkeypatch.setattr(module, last, interfere)
    (outcome,) = run(folder)
    assert outcome.status is Status.FAILED and "exists and was not made by hcdcodec" in outcome.message
    assert target.read_bytes() == b"of the user"


def test_sources_of_impossible_size_are_not_read(folder: Folder) -> None:
    folder.put("a.png")
    sparse = folder.put("b.png")
    os.truncate(sparse, 1 << 40)
    outcomes = folder.encode()
    assert statuses(outcomes) == [Status.DONE, Status.FAILED]
    assert "bytes, the limit is" in outcomes[1].message
