"""Archives that bring their weights along: what is exported, what is found again, and what is refused."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw, Ran, Run
from PIL import Image
from safetensors.torch import load_file, save_file

from hcdcodec import encode
from hcdcodec.batch.export_weights import export_decoder, export_weights, survey_archive
from hcdcodec.cli.output import hush_archives
from hcdcodec.errors import ModelError
from hcdcodec.networks import archive
from hcdcodec.networks.archive import ArchiveWeights, check_portable, folders_above
from hcdcodec.networks.crn import Crn
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.weights import install, model_hash

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fresh() -> None:
    archive.say_once.cache_clear()
    hush_archives(quiet=False)


def own_weights(folder: Path, *, width: int = 8, depth: int = 1) -> str:
    """Install weights of a crn that nobody ships, and return their hash."""
    network, generator = Crn(4, width, 1, depth), torch.Generator().manual_seed(3)
    state = {name: 0.02 * torch.randn(v.shape, generator=generator) for name, v in network.state_dict().items()}
    install(state, Entry("crn", 4, "own.safetensors", model_hash(state), 1), folder)
    return model_hash(state)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Path:
    """A folder with two photographs, their small files, and the weights that these need."""
    top = tmp_path_factory.mktemp("prepared")
    own_weights(top / "own")
    for name in ("a.png", "sub/b.png"):
        photo, small = top / "photos" / name, top / "small" / f"{name}.hcd.png"
        photo.parent.mkdir(parents=True, exist_ok=True)
        small.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(24, 20, 3)).save(photo)
        small.write_bytes(encode(draw(24, 20, 3), effort=0, weights_dir=top / "own"))
    for need in survey_archive(top / "small").counts:
        export_weights(need, top / "small", top / "own")
    export_decoder(top / "small")
    return top


@pytest.fixture
def small(here: Path, prepared: Path) -> Path:
    """A copy of that folder as working directory; the archive is `small`, the weights are in it and in `own`."""
    shutil.copytree(prepared, here, dirs_exist_ok=True)
    return Path("small")


def copies(small: Path) -> list[Path]:
    return sorted((small / ".hcdcodec").glob("*.safetensors"))


# --- export -----------------------------------------------------------------------------------------------------------


def test_what_an_archive_needs_is_copied_once(small: Path, hcdcodec: Run) -> None:
    (copy,) = copies(small)
    assert model_hash(load_file(copy)).startswith(copy.stem) and len(copy.stem) == 32
    assert copy.read_bytes() == Path("own/own.safetensors").read_bytes()
    assert (small / ".hcdcodec/decode.py").read_bytes() == (ROOT / "hcdcodec/docs/decode.py").read_bytes()
    before = copy.stat().st_ino
    ran = hcdcodec("models", "export", "small")  # the archive has them, so nobody else need have them
    assert (ran.status, ran.err, copy.stat().st_ino) == (0, "", before)
    assert f"crn x4 {copy.stem[:12]}, for 2 files: {copy}" in ran.out.decode()


def test_a_damaged_copy_is_made_again(small: Path, hcdcodec: Run) -> None:
    (copy,) = copies(small)
    copy.write_bytes(copy.read_bytes()[:-4] + b"\0\0\0\0")
    assert hcdcodec("models", "export", "small", "--weights-dir", "own").status == 0
    assert copy.read_bytes() == Path("own/own.safetensors").read_bytes()


def test_all_containers_count_and_damage_is_told(small: Path, hcdcodec: Run) -> None:
    shipped = ["-b", "crn", "-s", "2", "--container", "webp"]
    assert hcdcodec("encode", "-e0", *shipped, "photos/a.png", "small/more/").status == 0
    (small / "broken.png.hcd.png").write_bytes(b"nothing")
    ran = hcdcodec("models", "export", "small")
    assert ran.status == 1
    assert "broken.png.hcd.png: not a PNG, WebP or JPEG XL" in ran.err
    assert len(copies(small)) == 2


def test_weights_that_are_nowhere_fail(small: Path, hcdcodec: Run) -> None:
    shutil.rmtree(small / ".hcdcodec")
    ran = hcdcodec("models", "export", "small")
    assert (ran.status, ran.err.count("\n")) == (1, 1)
    assert "for 2 files: needs the crn x4 weights" in ran.err


def test_a_manifest_without_its_file_fails_alone(small: Path, hcdcodec: Run) -> None:
    shutil.rmtree(small / ".hcdcodec")
    Path("own/own.safetensors").unlink()
    ran = hcdcodec("models", "export", "small", "--weights-dir", "own")
    assert (ran.status, ran.err.count("\n")) == (1, 1)
    assert "cannot read the weights own/own.safetensors (No such file or directory); install them again" in ran.err
    assert (small / ".hcdcodec/decode.py").is_file()


def test_failures_say_what_they_are_about(small: Path, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(small / ".hcdcodec")
    (small / ".hcdcodec").write_text("a file")
    ran = hcdcodec("models", "export", "small", "--weights-dir", "own")
    assert (ran.status, ran.err.count("\n")) == (1, 2)
    assert "hcdcodec: small: decode.py: a file stands where a folder is needed; " in ran.err

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("hcdcodec.files.disk.SlicedFile", refuse)
    ran = hcdcodec("models", "export", "small")
    assert ran.status == 1 and "a.png.hcd.png: cannot be read (permission denied); check who may read it" in ran.err


def test_weights_that_a_part_of_the_archive_has_are_copied(small: Path, hcdcodec: Run) -> None:
    """As where the archives of two years come into one folder, on a computer that never had these weights."""
    Path("all").mkdir()
    (copy,) = copies(small)
    content = copy.read_bytes()
    copy.rename(copy.with_name("under another name"))
    for year in ("2024", "2025"):
        shutil.copytree(small, f"all/{year}")
    for folder in (small, Path("all")):
        ran = hcdcodec("models", "export", folder)
        assert (ran.status, ran.err) == (0, "")
        assert [copy.read_bytes() for copy in copies(folder)] == [content]


def test_what_a_killed_run_has_left_is_removed(small: Path, hcdcodec: Run) -> None:
    left = [small / ".hcdcodec" / f".hcd-{16 * digit}.tmp" for digit in "12"]
    for path in left:
        path.touch()
    os.utime(left[0], (0, 0))
    assert hcdcodec("models", "export", "--weights-dir", "own", "small").status == 0
    assert [path.exists() for path in left] == [False, True]


def test_archives_without_weights_get_nothing(small: Path, hcdcodec: Run) -> None:
    assert hcdcodec("encode", "-e0", "-b", "bicubic", "photos", "plain/").status == 0
    assert hcdcodec("models", "export", "plain") == Ran(0, b"plain needs no weights\n", "")
    assert not Path("plain/.hcdcodec").exists()


def test_what_cannot_be_read_may_need_weights(small: Path, hcdcodec: Run) -> None:
    Path("broken").mkdir()
    Path("broken/a.png.hcd.png").write_bytes((small / "a.png.hcd.png").read_bytes()[:60])
    ran = hcdcodec("models", "export", "broken")
    assert (ran.status, ran.out) == (1, b"") and "PNG is truncated; fetch the file again" in ran.err


def test_a_folder_of_weights_that_cannot_be_looked_into_fails_alone(
    small: Path, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where somebody else has made it, with a strict umask."""
    lstat, stat = os.lstat, os.stat

    def strict(ask: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        def asked(path: str, *given: object, **named: object) -> os.stat_result:
            if ".hcdcodec/" in str(path):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return ask(path, *given, **named)

        return asked

    monkeypatch.setattr("os.lstat", strict(lstat))
    monkeypatch.setattr("os.stat", strict(stat))
    ran = hcdcodec("encode", "-e0", "--weights-dir", "own", "photos", "small/")
    assert ran.status == 0 and "'hcdcodec models export small' copies them" in ran.err
    ran = hcdcodec("models", "export", "--weights-dir", "own", "small")
    assert "check where the output of this command goes" not in ran.err


@pytest.mark.parametrize("linked", [".hcdcodec", ".hcdcodec/decode.py"])
def test_nothing_is_written_through_links(small: Path, hcdcodec: Run, linked: str) -> None:
    """Whoever made the archive would choose what is replaced."""
    (small / linked).rename("elsewhere")
    (small / linked).symlink_to(Path("elsewhere").absolute())
    decoder = Path("elsewhere/decode.py") if linked == ".hcdcodec" else Path("elsewhere")
    decoder.write_text("mine")
    ran = hcdcodec("models", "export", "small", "--weights-dir", "own")
    assert ran.status == 1 and f"small/{linked} is a link; remove it" in ran.err
    assert decoder.read_text() == "mine"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "nothing to export"),
        (["nothing"], "no folder"),
        (["photos"], "no small file"),
        (["small", "-b", "irn"], "--backbone and --scale choose what --onnx writes; "),
        (["small", "-s", "4"], "--backbone and --scale choose what --onnx writes; "),
    ],
)
def test_calls_that_make_no_sense(small: Path, hcdcodec: Run, given: list[str], said: str) -> None:
    ran = hcdcodec("models", "export", *given)
    assert (ran.status, ran.out) == (2, b"") and said in ran.err


def test_an_onnx_file_that_cannot_be_stored_is_named(small: Path, hcdcodec: Run) -> None:
    pytest.importorskip("onnx")
    Path("file").write_bytes(b"")
    ran = hcdcodec("models", "export", "--onnx", "file/a.onnx", "-b", "bicubic")
    assert (ran.status, ran.out) == (1, b"")
    assert ran.err.startswith("hcdcodec: file/a.onnx: a file stands where a folder is needed; ")


def test_encode_says_once_that_weights_must_be_kept(small: Path, hcdcodec: Run) -> None:
    given = ["encode", "-e0", "--weights-dir", "own", "photos/a.png"]
    said = hcdcodec(*given, "new/").err
    assert (said.count("\n"), said.count("'hcdcodec models export new' copies them")) == (1, 1)
    assert not Path("new/.hcdcodec").exists()
    assert hcdcodec(*given, "--force", "small/").err == ""  # it has them
    assert hcdcodec(*given, "-q", "quiet/").err == ""
    assert hcdcodec("encode", "-e0", "photos/a.png", "shipped/").err == ""


# --- decode -----------------------------------------------------------------------------------------------------------


def restored(name: str) -> np.ndarray:
    return np.asarray(Image.open(name))


def test_an_archive_decodes_elsewhere(small: Path, hcdcodec: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert hcdcodec("decode", "--weights-dir", "own", "small", "known/") == Ran(0, b"", "")
    small.rename("moved")
    assert not caplog.messages
    assert hcdcodec("decode", "moved", "restored/") == Ran(0, b"", "")
    (copy,) = copies(Path("moved"))
    assert caplog.messages == [f"hcdcodec: crn x4 is decoded with weights that came with the archive, {copy}"]
    for name in ("a.png", "sub/b.png"):
        assert np.array_equal(restored(f"restored/{name}"), restored(f"known/{name}"))


def test_it_can_be_turned_off(small: Path, hcdcodec: Run) -> None:
    for command in (["decode", "small", "no/"], ["verify", "small/a.png.hcd.png"], ["compare", "photos", "small"]):
        ran = hcdcodec(*command, "--no-archive-weights")
        assert ran.status == 1 and "needs the crn x4 weights" in ran.err


def test_other_commands_find_them(small: Path, hcdcodec: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert hcdcodec("verify", "-q", "small/a.png.hcd.png", "small/sub/b.png.hcd.png") == Ran(0, b"", "")
    assert not caplog.messages
    assert hcdcodec("compare", "photos", "small").status == 0
    assert hcdcodec("compare", "photos/sub/b.png", "small/sub/b.png.hcd.png").status == 0
    assert hcdcodec("decode", "small/sub/b.png.hcd.png", "b.png").status == 0


def test_info_says_where_the_weights_are(small: Path, hcdcodec: Run) -> None:
    ran = hcdcodec("info", "small")
    assert [line.count("(in the archive)") for line in ran.out.decode().splitlines()] == [1, 1]
    shown = [json.loads(line) for line in hcdcodec("info", "--json", "small").out.splitlines()]
    assert {(fields["installed"], fields["in_archive"]) for fields in shown} == {(False, True)}
    # Named from below, the archive's folder is above it; a copy without it has nothing.
    shutil.copy("small/a.png.hcd.png", "alone.hcd.png")
    assert "(not installed)" in hcdcodec("info", "alone.hcd.png").out.decode()
    own = ["--weights-dir", "own"]
    assert hcdcodec("info", "alone.hcd.png", *own).out.decode().count("(installed)") == 1


def test_a_manifest_is_not_taken_for_weights(small: Path, hcdcodec: Run) -> None:
    Path("own/own.safetensors").unlink()
    for verbose in ([], ["-v"]):
        assert hcdcodec("models", "list", *verbose, "--weights-dir", "own").out.count(b", but its file is missing") == 1
    rows = hcdcodec("info", "--json", "--weights-dir", "own", "small").out.splitlines()
    assert [(json.loads(row)["installed"], json.loads(row)["in_archive"]) for row in rows] == [(False, True)] * 2
    shutil.rmtree(small / ".hcdcodec")
    assert b"(not installed)" in hcdcodec("info", "--weights-dir", "own", "small").out


def test_info_finds_them_where_many_archives_stand_in_one_folder(
    small: Path, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "FILES_MAX", 2)
    for number in range(4):
        shutil.copytree(small, f"all/{number}")
    assert hcdcodec("verify", "all").status == 0
    rows = [json.loads(row) for row in hcdcodec("info", "--json", "all").out.splitlines()]
    assert len(rows) == 8 and all(row["in_archive"] for row in rows)


def test_folders_above_the_source_do_not_count(small: Path, hcdcodec: Run) -> None:
    assert hcdcodec("decode", "small/sub", "no/").status == 1
    assert hcdcodec("compare", "photos/sub", "small/sub").status == 1
    os.chdir("small/sub")
    assert hcdcodec("verify", "b.png.hcd.png").status == 1
    assert hcdcodec("verify", "../a.png.hcd.png").status == 0


def test_where_they_are_looked_for() -> None:
    assert folders_above(Path("a/b/c.png")) == (Path("a/b"), Path("a"), Path())
    assert folders_above(Path("a/b/c.png"), 1) == (Path("a/b"),)
    assert folders_above(Path("../../b/c.png")) == (Path("../../b"), Path("../.."))
    assert folders_above(Path("/a/c.png")) == (Path("/a"), Path("/"))


def test_standard_input_has_no_archive(small: Path, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chdir("small")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("a.png.hcd.png").read_bytes())))
    ran = hcdcodec("decode", "-", "a.png")
    assert ran.status == 1 and "standard input: needs the crn x4 weights" in ran.err


def test_installed_weights_come_first(small: Path, hcdcodec: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert hcdcodec("decode", "--weights-dir", "own", "small", "restored/") == Ran(0, b"", "")
    assert not caplog.messages


# --- strangers' archives ----------------------------------------------------------------------------------------------


def is_decoded(hcdcodec: Run) -> bool:
    archive.say_once.cache_clear()
    return hcdcodec("decode", "--force", "small", "restored/").status == 0


def test_names_count_for_nothing(small: Path, hcdcodec: Run) -> None:
    (copy,) = copies(small)
    (small / ".hcdcodec/manifest.json").write_text("{")
    (small / ".hcdcodec/0.safetensors").write_bytes(b"no weights at all")
    copy.rename(small / ".hcdcodec/photo.png")
    assert is_decoded(hcdcodec)


def test_other_weights_under_the_name_are_not_taken(small: Path, hcdcodec: Run) -> None:
    (copy,) = copies(small)
    state = load_file(copy)
    state["decoder.tail.bias"] += 0.01
    save_file(state, copy)
    assert not is_decoded(hcdcodec)


def test_half_precision_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.ones(2, 3, dtype=torch.float16)}, path)
    state = archive.read_state(path.read_bytes())
    assert state is not None and state["a"].dtype == torch.float16


@pytest.mark.parametrize("what", ["link", "folder link", "pipe", "large", "float64"])
def test_what_is_no_plain_file_of_weights_is_left_alone(small: Path, hcdcodec: Run, what: str) -> None:
    (copy,) = copies(small)
    if what == "folder link":
        copy.parent.rename("elsewhere")
        copy.parent.symlink_to(Path("elsewhere").absolute())
    elif what == "large":
        os.truncate(copy, archive.BYTES_MAX + 1)
    elif what == "float64":
        save_file({name: values.double() for name, values in load_file(copy).items()}, copy)
    else:
        copy.rename("elsewhere")
        os.mkfifo(copy) if what == "pipe" else copy.symlink_to(Path("elsewhere").absolute())
    assert not is_decoded(hcdcodec)


@pytest.mark.parametrize(("width", "depth"), [(264, 0), (8, 65)])
def test_networks_that_cost_too_much_are_refused(here: Path, draw: Draw, hcdcodec: Run, width: int, depth: int) -> None:
    own_weights(Path("own"), width=width, depth=depth)
    Image.fromarray(draw(8, 8, 3)).save("a.png")
    assert hcdcodec("encode", "-e0", "--weights-dir", "own", "a.png", "small/").status == 0
    assert "are refused" in hcdcodec("models", "export", "small", "--weights-dir", "own").err
    Path("small/.hcdcodec").mkdir(exist_ok=True)
    shutil.copy("own/own.safetensors", "small/.hcdcodec")
    ran = hcdcodec("decode", "small", "restored/")
    assert ran.status == 1 and "more than 700000, 256 and 66 are refused; install them" in ran.err


def test_multiplications_are_counted() -> None:
    body = {f"decoder.body.{k}.weight": torch.zeros(1).expand(256, 256, 3, 3) for k in range(5)}
    check_portable("crn", 4, body)
    with pytest.raises(ModelError, match="cost 737280 multiplications a pixel, with 256 channels and 5 conv"):
        check_portable("crn", 2, body)


def test_only_so_many_files_are_read(
    small: Path, hcdcodec: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (copy,) = copies(small)
    copy.rename(copy.with_name("z"))  # so that its name does not bring it to the front
    for name in "abc":
        copy.with_name(name).write_bytes(b"something")
    monkeypatch.setattr(archive, "FILES_MAX", 4)
    assert not is_decoded(hcdcodec)  # with decode.py, four others are read first
    assert "more than 4 files" in caplog.text
    monkeypatch.setattr(archive, "FILES_MAX", 5)
    assert is_decoded(hcdcodec)


def test_sr_networks_are_never_taken(small: Path) -> None:
    (copy,) = copies(small)
    assert ArchiveWeights().load("crn", 4, copy.stem, [small]) is not None
    assert ArchiveWeights().load("sr", 4, copy.stem, [small]) is None


def test_walks_pass_over_the_folder(small: Path, hcdcodec: Run) -> None:
    for folder in ("photos", "small"):
        Path(folder, ".hcdcodec").mkdir(exist_ok=True)
    shutil.copy("photos/a.png", "photos/.hcdcodec/c.png")
    shutil.copy("small/a.png.hcd.png", "small/.hcdcodec/c.png.hcd.png")
    hcdcodec("encode", "-e0", "photos", "again/")
    hcdcodec("decode", "small", "restored/")
    assert not list(Path("again").rglob("c.png*")) and not list(Path("restored").rglob("c.png"))


# --- a computer without our weights -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_archive_decodes_where_no_weights_are_installed(here: Path, draw: Draw, hcdcodec: Run) -> None:
    pixels = draw(24, 20, 4)
    Image.fromarray(pixels).save("a.png")
    assert hcdcodec("encode", "-e0", "a.png", "small/").status == 0
    assert hcdcodec("decode", "small", "known/").status == 0
    assert hcdcodec("models", "export", "small").status == 0
    shutil.copytree(ROOT / "hcdcodec", "site/hcdcodec", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    Path("small").rename("site/moved")
    environment = {**os.environ, "PYTHONPATH": str(here / "site"), "XDG_DATA_HOME": str(here)}

    def run(*command: str) -> str:
        ran = subprocess.run(
            [sys.executable, *command], cwd="site", env=environment, capture_output=True, text=True, check=True
        )
        return ran.stdout + ran.stderr

    assert not Path("site/hcdcodec/weights").exists()
    assert "came with the archive" in run("-m", "hcdcodec", "decode", "moved", "restored/")
    assert np.array_equal(restored("site/restored/a.png"), restored("known/a.png"))
    run("-I", "moved/.hcdcodec/decode.py", "moved/a.png.hcd.png", "b.png")
    apart = restored("site/b.png").astype(int) - restored("known/a.png")
    assert np.abs(apart).max() <= 1
