"""The command line as users, scripts, pipes and cron meet it."""

import base64
import io
import itertools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import FAST, Draw, Ran, Run, Tiny
from filelock import FileLock
from picture_files import pixels_of
from PIL import Image

import hcdcodec as package
from hcdcodec import api
from hcdcodec.cli.command import cli
from hcdcodec.format.container import pack, unpack

SCRIPT = Path(sys.executable).with_name("hcdcodec")
# A shell that starts jobs in the background lets them ignore SIGINT, nohup SIGHUP, and what they start inherits that.
MAIN = "from hcdcodec.cli import main; main()"
OBEDIENT = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    f"signal.signal(signal.SIGHUP, signal.SIG_DFL); {MAIN}"
)


@pytest.fixture
def put(draw: Draw, here: Path) -> Callable[..., None]:
    """A function that saves drawn pictures under names in the working directory."""

    def save(*names: str, size: tuple[int, ...] = (12, 10, 3)) -> None:
        for seed, name in enumerate(names):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            with Path(name).open("wb") as file:
                Image.fromarray(draw(*size, seed=seed)).save(file, "PNG")

    return save


def tree(top: str | Path) -> set[str]:
    return {str(path.relative_to(top)) for path in Path(top).rglob("*") if not path.is_dir()}


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_help_names_defaults(command: str) -> None:
    output = " ".join(CliRunner().invoke(cli, [command, "--help"]).output.split())
    for option in ("--device NAME", "--jobs N", "--max-pixels N"):
        assert "[default: " in output.partition(option)[2].partition(" --")[0]


def test_short_help_and_version() -> None:
    assert CliRunner().invoke(cli, ["-h"]).output == CliRunner().invoke(cli, ["--help"]).output
    assert package.__version__ in CliRunner().invoke(cli, ["--version"]).output


# --- exit statuses ----------------------------------------------------------------------------------------------------


def test_0_there_and_back(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png", "in/deep/b.jpg")
    assert hcdcodec("encode", "in", "small", *FAST) == Ran(0, b"", "")
    assert tree("small") == {"a.png.hcd.png", "deep/b.jpg.hcd.png"}
    assert hcdcodec("decode", "small", "out") == Ran(0, b"", "")
    assert tree("out") == {"a.png", "deep/b.jpg.png"}
    assert pixels_of("out/a.png").shape == (12, 10, 3)
    # Once more: up to date is as good as done.
    assert hcdcodec("encode", "in", "small", *FAST).status == 0
    assert hcdcodec("decode", "small", "out").status == 0


def test_1_something_failed(put: Callable[..., None], hcdcodec: Run) -> None:
    put("a.png", "b.png")
    Path("a.png").write_bytes(Path("a.png").read_bytes()[:60])
    ran = hcdcodec("encode", "a.png", "b.png", "missing.png", "small/", *FAST)
    assert ran.status == 1
    assert tree("small") == {"b.png.hcd.png"}
    lines = ran.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("hcdcodec: missing.png: no such file or directory; ")
    assert lines[1].startswith("hcdcodec: a.png: PNG is truncated; ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["encode"],
        ["encode", "a.png"],
        ["encode", "a.png", "small/", "--effort", "10"],
        ["encode", "a.png", "small/", "--quality", "0"],
        ["encode", "a.png", "small/", "--quality", "75", "--max-bytes", "900"],
        ["encode", "a.png", "small/", "--target-bpp", "1", "--target-psnr", "30"],
        ["encode", "a.png", "small/", "--target-bpp", "0"],
        ["encode", "a.png", "small/", "--target-psnr", "101"],
        ["encode", "a.png", "small/", "--max-bytes", "0"],
        ["encode", "a.png", "-", "--skip-if-larger"],
        ["encode", "a.png", "-", "--exclude", "*.png"],
        ["encode", "a.png", "-", "--shard", "1/2"],
        ["decode", "-", "-", "--shard", "2/2"],
        ["encode", "-0", "a.png", "small/"],
        ["verify", "in", "-0"],
        ["encode", "a.png", "small/", "--backbone", "nothing"],
        ["encode", "a.png", "small/", "--scale", "3"],
        ["encode", "a.png", "small/", "--device", "toaster"],
        ["encode", "a.png", "small/", "--device", "cuda:99"],
        ["encode", "a.png", "small/", "--device", "cpu,toaster"],
        ["encode", "a.png", "small/", "--device", "cpu,"],
        ["encode", "a.png", "small/", "--engine", "steam"],
        ["encode", "a.png", "small/", "--engine", "ray", "--device", "cuda:1"],
        ["encode", "a.png", "-", "--engine", "ray"],
        ["encode", "-", "small.png", "--engine", "ray"],
        ["encode", "a.png", "small/", "--shard", "3/2"],
        ["encode", "a.png", "small/", "--shard", "x"],
        ["encode", "a.png", "small/", "--shard", "0/2"],
        ["encode", "a.png", "small/", "--shard", "1/+2"],
        ["encode", "a.png", "small/", "--shard", f"1/{'9' * 5000}"],
        ["encode", "missing.png", "small/"],
        ["encode", "a.png", "a.png"],
        ["encode", "a.png", "small.jpg"],
        ["encode", "in", "-"],
        ["encode", "-", "a.png", "small/"],
        ["encode", "-", "small/"],
        ["encode", "a.png", "-", "--json"],
        ["encode", "a.png", "-", "--lock"],
        ["decode", "-", "-", "--lock"],
        ["encode", "a.png", "-", "--preserve"],
        ["decode", "-", "a.png", "--preserve"],
        ["encode", "-", "small.png", "--shard", "1/2"],
        ["encode", "-", "-", "--exclude", "*.png"],
        ["encode", "a.png", "small/", "-q", "-v"],
        ["decode", "in", "out/", "-v", "-q"],
        ["verify", "in", "--quiet", "--verbose"],
        ["encode", "in", "small/", "--exclude", ""],
        ["try", "in", "--exclude", "*.heic", "--exclude", ""],
        ["compare", "a.png", "in/b.png", "--exclude", "*.png"],
        ["encode", "a.png", "small/", "--cores", "2"],
        ["decode", "in", "out/", "--engine", "local", "--cores", "4"],
        ["encode", "in", "in"],
        ["encode", "in", "a.png"],
        ["encode", "in", "a.png/deeper", "--lock"],
        ["encode", "--files-from", "missing.txt", "small/"],
        ["encode", "--files-from", "in", "small/"],
        ["encode", "--files-from", "-"],
        ["encode", "--files-from", "-", "a.png", "small/"],
        ["encode", "-0", "a.png", "small/"],
        ["verify", "-0", "a.png"],
        ["decode", "a.png", "out/", "--format", "gif"],
        ["status"],
        ["status", "a.png"],
        ["status", "a.png", "small/", "--quality", "75", "--max-bytes", "900"],
        ["info"],
        ["verify"],
    ],
)
def test_2_the_call_makes_no_sense(
    put: Callable[..., None], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    standard_input(monkeypatch, b"")
    put("a.png", "in/b.png")
    before = tree(".")
    ran = hcdcodec(*arguments)
    assert ran.status == 2
    assert ran.out == b""
    assert "Traceback" not in ran.err and ran.err
    assert tree(".") == before
    assert not Path("small").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "in", ""],
        ["encode", "a.png", "", "small/"],
        ["encode", "--files-from", "", "small/"],
        ["encode", "in", "small/", "--weights-dir", ""],
        ["status", "", "small/"],
        ["info", ""],
        ["compare", "", "in"],
        ["compare", "in", ""],
        ["compare", "in", "in", "--html", ""],
        ["compare", "a.png", "a.png", "--picture", ""],
        ["try", "in", "--html", ""],
        ["try", ""],
        ["models", "export", ""],
        ["models", "export", "--onnx", ""],
        ["models", "import", ""],
        ["models", "import", "a.png", "--weights-dir", ""],
        ["train", "", "--minutes", "1"],
        ["train", "in", "--minutes", "1", "--out", ""],
        ["train", "in", "--minutes", "1", "--val", ""],
        ["train", "in", "--minutes", "1", "--start", ""],
    ],
)
def test_an_empty_name_is_not_the_current_folder(put: Callable[..., None], hcdcodec: Run, arguments: list[str]) -> None:
    """A variable of a script can be empty by mistake."""
    put("a.png", "in/b.png")
    ran = hcdcodec(*arguments)
    assert ran.status == 2 and "the name is empty; name a file or a folder" in ran.err
    assert tree(".") == {"a.png", "in/b.png"}


def test_a_number_out_of_range_names_the_range(hcdcodec: Run) -> None:
    for option, said in ("-Q", "--quality takes 1 to 100"), ("--effort", "--effort takes 0 to 9"):
        ran = hcdcodec("encode", "a.png", "small/", option, "101")
        assert ran.err == f"hcdcodec: {said}, not 101; see 'hcdcodec encode --help'\n"
    ran = hcdcodec("try", "a.png", "--number", "0")
    assert ran.err == "hcdcodec: --number takes 1 or more, not 0; see 'hcdcodec try --help'\n"


def test_3_weights_are_missing(put: Callable[..., None], hcdcodec: Run, tiny: Tiny) -> None:
    put("a.png")
    arguments = ("encode", "a.png", "small/", "-b", tiny.name, "-e", "0")
    ran = hcdcodec(*arguments)
    assert ran.status == 3
    assert ran.err.startswith("hcdcodec: no weights for tiny x4 are installed; ")
    assert not Path("small").exists()
    assert hcdcodec(*arguments, "--weights-dir", tiny.weights_dir).status == 0
    assert hcdcodec("verify", "small/a.png.hcd.png").status == 1
    assert hcdcodec("verify", "small/a.png.hcd.png", "--weights-dir", tiny.weights_dir).status == 0
    assert hcdcodec("decode", "small", "out").status == 1
    assert hcdcodec("decode", "small", "out", "--weights-dir", tiny.weights_dir).status == 0


def test_a_lock_that_cannot_be_made_is_named(put: Callable[..., None], hcdcodec: Run) -> None:
    put("a.png")
    Path("small/.hcdcodec.lock").mkdir(parents=True)
    ran = hcdcodec("encode", "a.png", "small/", *FAST, "--lock")
    assert (
        ran.err == "hcdcodec: small cannot be locked (is a directory); leave out --lock or name another destination\n"
    )


def test_75_the_destination_is_locked(put: Callable[..., None], hcdcodec: Run) -> None:
    put("a.png")
    Path("small").mkdir()
    with FileLock("small/.hcdcodec.lock"):
        ran = hcdcodec("encode", "a.png", "small/", *FAST, "--lock")
        assert ran.status == 75
        assert ran.err == "hcdcodec: small: another run holds this destination; wait for it to end\n"
        assert tree("small") <= {".hcdcodec.lock"}
    assert hcdcodec("encode", "a.png", "small/", *FAST, "--lock").status == 0
    assert "a.png.hcd.png" in tree("small")
    assert hcdcodec("decode", "small", "out/", "--lock").status == 0
    assert tree("out") - {".hcdcodec.lock"} == {"a.png"}


def test_a_locked_destination_is_as_closed_as_its_source(
    put: Callable[..., None], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("private/deep/a.png", "open.png")
    Path("private").chmod(0o700)
    assert hcdcodec("encode", "private", "small/", *FAST, "--lock").status == 0
    assert stat.S_IMODE(Path("small").stat().st_mode) == 0o700
    assert hcdcodec("decode", "small", "new/out/", "--lock").status == 0
    assert stat.S_IMODE(Path("new/out").stat().st_mode) == 0o700
    standard_input(monkeypatch, Path("open.png").read_bytes())
    assert hcdcodec("encode", "-", "piped/a.hcd.png", *FAST, "--lock").status == 0


# --- what is said -----------------------------------------------------------------------------------------------------


def test_json_lines(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png", "in/bad.png", "in/c.png")
    Path("in/bad.png").write_bytes(Path("in/bad.png").read_bytes()[:-1])
    Path("in/notes.txt").write_text("no picture")
    arguments = ("encode", "in", "missing", "small", *FAST, "--json")
    records = [json.loads(line) for line in hcdcodec(*arguments).out.splitlines()]
    assert {record["name"]: record["status"] for record in records} == {
        "in/a.png": "done",
        "in/bad.png": "failed",
        "in/c.png": "done",
        "in/notes.txt": "ignored",
        "missing": "failed",
    }
    done = next(record for record in records if record["name"] == "in/a.png")
    assert done["target"] == "small/a.png.hcd.png"
    assert done["target_bytes"] == Path("small/a.png.hcd.png").stat().st_size
    assert (done["height"], done["width"]) == (12, 10)
    assert 10 < done["psnr_before"] == done["psnr"] < 60
    again = [json.loads(line)["status"] for line in hcdcodec(*arguments).out.splitlines()]
    assert again.count("skipped") == 2


def test_quiet_says_failures_only(put: Callable[..., None], hcdcodec: Run) -> None:
    put("a.png")
    assert hcdcodec("encode", "a.png", "small/", *FAST, "-q") == Ran(0, b"", "")
    assert hcdcodec("encode", "a.png", "gone.png", "small/", *FAST, "-q").err.count("\n") == 1
    assert hcdcodec("verify", "-q", "small/a.png.hcd.png") == Ran(0, b"", "")


def test_details_for_a_network_without_them_are_named(put: Callable[..., None], hcdcodec: Run) -> None:
    put("a.png")
    ran = hcdcodec("encode", "a.png", "small/", *FAST, "--z", "0.5")
    assert ran == Ran(0, b"", "hcdcodec: warning: bicubic has no random details, so --z does nothing\n")
    assert hcdcodec("encode", "a.png", "small/", *FAST, "--z", "0.5").err == ""  # nothing to do
    assert hcdcodec("encode", "a.png", "other/", *FAST, "--z", "0").err == ""  # as asked
    assert hcdcodec("encode", "a.png", "third/", *FAST, "--z", "0.5", "-q").err == ""


def test_verbose_says_one_line_a_picture_and_a_summary(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png", "in/b.png")
    Path("in/notes.txt").write_text("no picture")
    lines = hcdcodec("encode", "in", "small", *FAST, "-v").err.splitlines()
    assert lines[0] == "hcdcodec: in/notes.txt: ignored, no picture"
    assert lines.pop(1).startswith("hcdcodec: computing on cpu")
    assert [line.partition(", ")[0] for line in lines[1:3]] == [f"hcdcodec: in/{name}.png: encoded" for name in "ab"]
    assert lines[3] == "2 encoded, 1 ignored"
    lines = hcdcodec("decode", "small", "out", "-v").err.splitlines()
    assert lines[3] == "2 decoded"


def test_a_numbered_cpu_is_the_cpu(put: Callable[..., None], hcdcodec: Run) -> None:
    put("a.png")
    hcdcodec("encode", "a.png", "small/", *FAST)
    said = hcdcodec("decode", "-v", "--device", "cpu:0", "small/", "out/").err
    assert said.startswith("hcdcodec: computing on cpu, ") and "CUDA" not in said


def test_dry_run_writes_nothing(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png", "in/b.png")
    ran = hcdcodec("encode", "in", "missing.png", "small", *FAST, "--dry-run")
    assert ran.out.decode().splitlines() == [
        "in/a.png -> small/a.png.hcd.png (missing)",
        "in/b.png -> small/b.png.hcd.png (missing)",
    ]
    assert "hcdcodec: missing.png: no such file" in ran.err
    assert ran.status == 1
    assert not Path("small").exists()
    hcdcodec("encode", "in/a.png", "small/", *FAST)
    Path("small/b.png.hcd.png").write_text("mine")
    ran = hcdcodec("encode", "in", "small", *FAST, "-n")
    assert (ran.status, ran.out) == (1, b"in/a.png -> small/a.png.hcd.png (up to date)\n")
    assert ran.err.startswith("hcdcodec: in/b.png: small/b.png.hcd.png exists and was not made by hcdcodec; ")
    ran = hcdcodec("encode", "in", "small", *FAST, "-n", "--force", "--json")
    assert [json.loads(line)["status"] for line in ran.out.splitlines()] == ["stale", "stale"]
    assert Path("small/b.png.hcd.png").read_text() == "mine"
    ran = hcdcodec("decode", "small/a.png.hcd.png", "out/", "-n")
    assert ran == Ran(0, b"small/a.png.hcd.png -> out/a.png (missing)\n", "")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "missing", "status", "said"),
    [
        (("--container", "jxl"), "pillow_jxl", 2, "JPEG XL needs the package pillow-jxl-plugin; "),
        (("--engine", "ray"), "ray", 2, "Ray is not installed; "),
        (("--device", "cuda:99"), "", 2, "device 'cuda:99' is not there "),
        (("-b", "tiny", "--weights-dir", "own"), "", 3, "the weights own/tiny_x4.safetensors are missing; "),
    ],
)
def test_dry_run_refuses_what_a_run_refuses_at_once(
    put: Callable[..., None],
    hcdcodec: Run,
    tiny: Tiny,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    missing: str,
    status: int,
    said: str,
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    shutil.copytree(tiny.weights_dir, "own")
    for path in Path("own").glob("*.safetensors"):
        path.rename("elsewhere")
    put("a.png")
    ran = hcdcodec("encode", "a.png", "small/", *FAST, *options, "-n")
    assert (ran.status, ran.out) == (
        status,
        b"a.png -> small/a.png.hcd.png (missing)\n".replace(
            b".hcd.png", b".hcd.jxl" if "jxl" in options else b".hcd.png"
        ),
    )
    assert said in ran.err


def test_status_counts_what_is_left(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png", "in/b.png", "in/deep/c.png")
    arguments = ("status", "in", "small", "-b", "bicubic", "-e", "0")
    assert hcdcodec(*arguments) == Ran(1, b"3 missing\n", "")
    assert not Path("small").exists()
    hcdcodec("encode", "in/a.png", "in/b.png", "small/", *FAST)
    assert hcdcodec(*arguments) == Ran(1, b"2 up to date, 1 missing\n", "")
    put("in/b.png", size=(9, 9, 3))
    assert hcdcodec(*arguments, "-v").out.decode().splitlines() == [
        "in/a.png -> small/a.png.hcd.png (up to date)",
        "in/b.png -> small/b.png.hcd.png (stale: source changed)",
        "in/deep/c.png -> small/deep/c.png.hcd.png (missing)",
        "1 up to date, 1 missing",
        "1 stale: source changed",
    ]
    records = [json.loads(line) for line in hcdcodec(*arguments, "--json").out.splitlines()]
    assert [record["status"] for record in records] == ["skipped", "stale", "missing"]
    hcdcodec("encode", "in", "small/", *FAST)
    assert hcdcodec(*arguments) == Ran(0, b"3 up to date\n", "")
    assert hcdcodec(*arguments, "-q") == Ran(0, b"", "")


@pytest.mark.parametrize("quality", [0, 200])
def test_results_of_other_software_may_name_no_quality_of_ours(
    put: Callable[..., None], hcdcodec: Run, quality: int
) -> None:
    put("a.png")
    hcdcodec("encode", "a.png", "small/", *FAST)
    small = Path("small/a.png.hcd.png")
    packed = unpack(small.read_bytes())
    header = replace(packed.header, quality=quality, settings_digest=bytes(8))
    small.write_bytes(pack(header, packed.lr, alpha=None, metadata=packed.metadata, level=0))
    assert hcdcodec("status", "a.png", "small/", *FAST) == Ran(1, b"1 stale: other settings\n", "")


@pytest.mark.parametrize(
    ("choice", "change"),
    [
        (["-Q", "50"], "quality 75, now 50"),
        (["--max-bytes", "900"], "quality 75, now a target"),
        (["--strip", "exif"], "other settings"),
        (["-e", "1"], "effort 0, now 1"),
        (["-Q", "90", "-e", "9"], "quality 75, now 90; effort 0, now 9"),
        (["-s", "2"], "scale 4, now 2"),
        (["--force"], "--force"),
    ],
)
def test_a_rerun_says_what_it_replaces_and_why(
    put: Callable[..., None], hcdcodec: Run, choice: list[str], change: str
) -> None:
    put("a.png")
    hcdcodec("encode", "a.png", "small/", *FAST)
    assert hcdcodec("status", "a.png", "small/", *FAST).status == 0
    if choice != ["--force"]:
        assert hcdcodec("status", "a.png", "small/", *FAST, *choice) == Ran(1, f"1 stale: {change}\n".encode(), "")
    dry = hcdcodec("encode", "-n", "-v", "a.png", "small/", *FAST, *choice)
    assert (dry.status, dry.out) == (0, f"a.png -> small/a.png.hcd.png (stale: {change})\n".encode())
    assert dry.err.splitlines()[0] == f"1 stale: {change}"
    ran = hcdcodec("encode", "-v", "a.png", "small/", *FAST, *choice)
    assert (ran.status, ran.err.splitlines()[0]) == (0, f"replaces 1 stale: {change}")
    if choice != ["--force"]:
        assert hcdcodec("status", "a.png", "small/", *FAST, *choice).status == 0


def test_a_default_that_changed_with_a_release_makes_nothing_stale(
    put: Callable[..., None], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a.png")
    hcdcodec("encode", "a.png", "small/", *FAST)
    monkeypatch.setattr("hcdcodec.cli.arguments.DEFAULT_QUALITY", 80)
    said = b"1 up to date, 1 of them made by an older release, --upgrade redoes them\n"
    assert hcdcodec("status", "a.png", "small/", *FAST) == Ran(0, said, "")
    assert hcdcodec("encode", "a.png", "small/", *FAST, "-v").err.startswith("hcdcodec: a.png: skipped, up to date")
    assert hcdcodec("status", "a.png", "small/", *FAST, "-Q", "80").out == b"1 stale: quality 75, now 80\n"
    ran = hcdcodec("encode", "a.png", "small/", *FAST, "--upgrade", "-v")
    assert ran.err.startswith("replaces 1 stale: quality 75, now 80\n")
    assert hcdcodec("status", "a.png", "small/", *FAST) == Ran(0, b"1 up to date\n", "")


def test_rows_of_skipped_pictures_carry_true_sizes(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png")
    for encode in (True, False):
        for form in [[]] if encode else [[], ["--format", "webp"]]:
            way = ["encode", "in", "small", *FAST] if encode else ["decode", "small", "out", *form]
            done, skipped = (json.loads(hcdcodec(*way, "--json").out) for _ in range(2))
            assert (done["status"], skipped["status"]) == ("done", "skipped")
            for member in ("source_bytes", "target_bytes", "height", "width", "quality"):
                assert skipped[member] == done[member], (way, member)


def test_status_names_what_cannot_be_done(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png", "in/b.png")
    hcdcodec("encode", "in", "small", *FAST)
    Path("in/notes.txt").write_text("no picture")
    assert hcdcodec("status", "in", "small", *FAST).out == b"2 up to date, 1 ignored\n"
    Path("small/b.png.hcd.png").write_text("mine")
    ran = hcdcodec("status", "in", "missing.png", "small", *FAST)
    assert (ran.status, ran.out) == (1, b"1 up to date, 2 failed, 1 ignored\n")
    assert [line.split("; ")[0] for line in ran.err.splitlines()] == [
        "hcdcodec: missing.png: no such file or directory",
        "hcdcodec: in/b.png: small/b.png.hcd.png exists and was not made by hcdcodec",
    ]


def test_status_of_shares_adds_up(put: Callable[..., None], hcdcodec: Run) -> None:
    put(*(f"in/{number}.png" for number in range(9)))
    shares = [["--shard", f"{index}/3"] for index in (1, 2, 3)]
    counts = [int(hcdcodec("status", "in", "small", *FAST, *share).out.split()[0]) for share in shares]
    assert sum(counts) == 9 and max(counts) < 9
    hcdcodec("encode", "in", "small", *FAST, *shares[1])
    assert [hcdcodec("status", "in", "small", *FAST, *share).status for share in shares] == [1, 0, 1]


def test_two_workers_on_the_cpu(put: Callable[..., None], hcdcodec: Run) -> None:
    put(*(f"in/{number}.png" for number in range(5)))
    assert hcdcodec("encode", "in", "small", *FAST, "--device", "cpu,cpu") == Ran(0, b"", "")
    assert hcdcodec("decode", "small", "out", "--device", "cpu,cpu") == Ran(0, b"", "")
    assert tree("out") == {f"{number}.png" for number in range(5)}


@pytest.mark.filterwarnings("default")
def test_a_gpu_that_is_left_is_told_in_one_line(
    put: Callable[..., None], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_available() -> bool:
        warnings.warn("CUDA initialization: the driver\nis too old. (Triggered internally at a.cpp:1.)", stacklevel=1)
        return False

    put("a.png")
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    ran = hcdcodec("encode", "a.png", "small/", *FAST, "--device", "auto")
    assert ran == Ran(0, b"", "hcdcodec: CUDA initialization: the driver is too old.\n")


def test_workers_on_the_cpu_share_its_threads() -> None:
    code = (
        "import threading, torch; from hcdcodec.engine.devices import take_devices; torch.set_num_threads(4);"
        "assert take_devices('cpu') == ('cpu',) and torch.get_num_threads() == 4;"
        "assert take_devices('cpu,cpu') == ('cpu', 'cpu') and torch.get_num_threads() == 2;"
        "seen = []; thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()));"
        "thread.start(); thread.join(); assert seen == [2]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_killed_runs_left_is_removed_a_day_later(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png")
    for name in ("small", "out"):
        Path(name).mkdir()
        for digit in "12":
            Path(name, f".hcd-{16 * digit}.tmp").touch()
        os.utime(Path(name, f".hcd-{16 * '1'}.tmp"), (0, 0))
    hcdcodec("encode", "in", "small", *FAST), hcdcodec("decode", "small", "out")
    for name in ("small", "out"):
        assert [path.name for path in Path(name).glob(".hcd-*")] == [f".hcd-{16 * '2'}.tmp"]


def test_ray_that_is_not_installed(put: Callable[..., None], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    put("a.png")
    hcdcodec("encode", "a.png", "small/", *FAST)
    for arguments in (("encode", "a.png", "there/", *FAST), ("decode", "small", "there/")):
        ran = hcdcodec(*arguments, "--engine", "ray", "--lock")
        assert ran == Ran(2, b"", "hcdcodec: Ray is not installed; pip install 'hcdcodec[ray]'\n")
    assert not Path("there").exists()


def test_targets(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png", "in/b.png", size=(40, 48, 3))
    (found, _) = (
        json.loads(line)
        for line in hcdcodec("encode", "in", "small", *FAST, "--max-bytes", "700", "--json").out.splitlines()
    )
    assert found["target_bytes"] == Path("small/a.png.hcd.png").stat().st_size <= 700
    (header,) = (json.loads(line) for line in hcdcodec("info", "--json", "small/a.png.hcd.png").out.splitlines())
    assert found["quality"] == header["quality"] < 100
    ran = hcdcodec("encode", "in/a.png", "small/", *FAST, "--max-bytes", "400")
    assert ran.status == 1
    assert ran.err.startswith("hcdcodec: in/a.png: 400 bytes cannot be reached; ")
    assert Path("small/a.png.hcd.png").stat().st_size == found["target_bytes"]
    for target, missed in (("--target-psnr", "90"), "90 dB"), (("--target-bpp", "0.001"), "0.001 bpp"):
        for talk in ([], ["-q"]):
            ran = hcdcodec("encode", "in/a.png", "small/", *FAST, *target, "--force", *talk)
            assert ran.status == 1
            assert ran.err.startswith(f"hcdcodec: in/a.png: {missed} cannot be reached; stored with ")
    ran = hcdcodec("encode", "in/a.png", "small/", *FAST, *target, "--force", "--json", "-v")
    assert json.loads(ran.out)["misses_target"]
    assert "\n1 encoded (1 missed the target)\n" in ran.err
    ran = hcdcodec("encode", "in/b.png", "small/", *FAST, "--target-bpp", "3", "-v")
    assert ran.err.splitlines()[2].startswith("hcdcodec: in/b.png: encoded, ")


@pytest.mark.parametrize("target", [("--target-psnr", "60"), ("--target-bpp", "0.001")])
def test_a_missed_target_fails_each_time(put: Callable[..., None], hcdcodec: Run, target: tuple[str, str]) -> None:
    put("in/a.png", size=(64, 48, 3))
    call = ("in", "small", *FAST, *target)
    assert hcdcodec("encode", *call, "-q").status == 1
    small = Path("small/a.png.hcd.png")
    before = small.stat().st_mtime_ns
    for talk in ("-q", "-v", "--dry-run"):
        ran = hcdcodec("encode", *call, talk)
        line = b"in/a.png -> small/a.png.hcd.png (up to date, missed the target)\n"
        said = "hcdcodec: in/a.png: skipped, up to date, and misses its target; choose another target or --scale\n"
        assert ran.status == 1 and (ran.out == line if talk == "--dry-run" else said in ran.err)
    assert json.loads(hcdcodec("encode", *call, "--json").out)["misses_target"]
    ran = hcdcodec("status", *call)
    assert (ran.status, ran.out) == (1, b"1 up to date (1 missed the target)\n")
    assert small.stat().st_mtime_ns == before


@pytest.mark.parametrize("target", [("--target-psnr", "5"), ("--target-bpp", "30"), ("--max-bytes", "9000")])
def test_a_target_that_is_met_is_met_later_too(
    put: Callable[..., None], hcdcodec: Run, target: tuple[str, str]
) -> None:
    put("in/a.png", size=(64, 48, 3))
    call = ("in", "small", *FAST, *target)
    for command in ("encode", "encode", "status"):
        assert hcdcodec(command, *call).status == 0


def test_pictures_that_grow(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png", "in/b.png", size=(4, 4, 3))
    ran = hcdcodec("encode", "in", "small", *FAST, "--skip-if-larger", "-v")
    assert (ran.status, Path("small").exists()) == (0, False)
    lines = ran.err.splitlines()
    assert lines[1] == "hcdcodec: in/a.png: skipped, not smaller than its source, nothing stored"
    assert lines[3:] == ["2 left out as not smaller than their source"]
    assert hcdcodec("encode", "in", "small", *FAST) == Ran(0, b"", "")
    lines = hcdcodec("encode", "in", "small", *FAST, "-v", "--force").err.splitlines()
    assert lines.pop(0) == "replaces 2 stale: --force"
    assert lines[1].endswith("; warning: larger than its source, --skip-if-larger would store nothing")
    assert ", 2 larger than their source" in lines[4]


# --- names ------------------------------------------------------------------------------------------------------------

ODD = ["é ü.png", "日本.png", "new\nline.png", "bytes\udcff\udcfe.png", "-dash.png", " ; $(x) `y` 'z'.png", "%s{0}.png"]


def test_odd_names_come_through(put: Callable[..., None], hcdcodec: Run) -> None:
    put(*(f"in/{name}" for name in ODD))
    ran = hcdcodec("encode", "in", "small", *FAST, "-v", "--json")
    assert ran.status == 0
    assert tree("small") == {f"{name}.hcd.png" for name in ODD}
    assert len(ran.out.splitlines()) == len(ODD)
    assert all(json.loads(line)["status"] == "done" for line in ran.out.splitlines())
    assert sum(line.startswith("hcdcodec: in/") for line in ran.err.splitlines()) == len(ODD)
    assert hcdcodec("decode", "small", "out", "-v").status == 0
    assert tree("out") == set(ODD)


@pytest.mark.parametrize(
    ("command", "member", "folder"),
    [
        (("encode", *FAST, "in", "small"), "name", "in/"),
        (("status", *FAST, "in", "small"), "name", "in/"),
        (("verify", "small"), "name", "small/"),
        (("info", "small"), "file", "small/"),
        (("compare", "in", "small"), "name", ""),
    ],
)
def test_rows_give_odd_names_exactly(
    put: Callable[..., None], hcdcodec: Run, command: tuple[str, ...], member: str, folder: str
) -> None:
    put(*(f"in/{name}" for name in ODD))
    assert hcdcodec("encode", *FAST, "in", "small").status == 0
    rows = [json.loads(line) for line in hcdcodec(*command, "--json").out.splitlines()]
    exact = {base64.b64decode(row.get(f"{member}_base64", "")) or row[member].encode() for row in rows}
    ending = ".hcd.png" if folder == "small/" else ""
    assert exact == {os.fsencode(f"{folder}{name}{ending}") for name in ODD}


@pytest.mark.parametrize("name", ODD)
def test_odd_names_as_arguments(put: Callable[..., None], hcdcodec: Run, name: str) -> None:
    put(name)
    assert hcdcodec("encode", *FAST, "--", name, "small/").status == 0
    assert hcdcodec("info", "--", f"small/{name}.hcd.png").status == 0
    assert hcdcodec("verify", "--", f"small/{name}.hcd.png").status == 0
    assert hcdcodec("encode", *FAST, "-n", "--", name, "small/").out.count(b"\n") == 1
    ran = hcdcodec("encode", *FAST, "--", f"gone {name}", "small/")
    assert ran.status == 2
    assert ran.err.startswith("hcdcodec: gone ") and ran.err.count("\n") == 1


def test_links_are_followed_to_files_but_not_round_in_circles(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png", "elsewhere/b.png")
    Path("in/loop").symlink_to("..")
    Path("in/self").symlink_to("self")
    Path("in/b.png").symlink_to("../elsewhere/b.png")
    Path("in/dangling.txt").symlink_to("nowhere")
    assert hcdcodec("encode", "in", "small", *FAST).status == 0
    assert tree("small") == {"a.png.hcd.png", "b.png.hcd.png"}


def test_links_to_missing_pictures_fail_alone(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png")
    assert hcdcodec("encode", "in", "small", *FAST).status == 0
    Path("in/b.png").symlink_to("/unmounted/b.png")
    Path("small/c.png.hcd.png").symlink_to("/unmounted/c.png.hcd.png")
    pairs = ("in", "small"), ("in", "small"), ("small", "out")
    for command, (source, *rest) in zip(("encode", "status", "decode"), pairs, strict=True):
        ran = hcdcodec(command, source, *rest, *(FAST if source == "in" else ()))
        link = "in/b.png" if source == "in" else "small/c.png.hcd.png"
        assert (ran.status, ran.err) == (1, f"hcdcodec: {link}: a link that leads nowhere; mend or remove it\n")
    ran = hcdcodec("verify", "-q", "small")
    assert (ran.status, ran.err.count("leads nowhere")) == (1, 1)
    assert hcdcodec("encode", "--exclude", "b.png", "in", "small", *FAST).status == 0


def test_a_destination_inside_the_source_is_not_encoded_again(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png")
    for _ in range(2):
        assert hcdcodec("encode", "in", "in/small", *FAST).status == 0
        assert tree("in") == {"a.png", "small/a.png.hcd.png"}


def test_results_that_meet_fail_alone(put: Callable[..., None], hcdcodec: Run) -> None:
    put("zero/fine.png", "one/a.png", "two/a.png")
    ran = hcdcodec("encode", "zero/fine.png", "one/a.png", "two/a.png", "small/", *FAST)
    assert (ran.status, ran.err.count("too; rename one of them")) == (1, 2)
    assert tree("small") == {"fine.png.hcd.png"}


def test_two_names_that_decode_to_one_come_back_both(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/photo.jpg.png")
    Path("in/photo.jpg").write_bytes(Path("in/photo.jpg.png").read_bytes())
    assert hcdcodec("encode", "in", "small", *FAST).status == 0
    assert hcdcodec("decode", "small", "out").status == 0
    assert tree("out") == {"photo.jpg.png", "photo.jpg.png.png"}
    assert hcdcodec("compare", "in", "out").status == 0


@pytest.mark.parametrize("result", ["out/a.png", "out/a.jpg"])
def test_an_original_is_no_small_file_even_where_its_result_stands(
    put: Callable[..., None], hcdcodec: Run, result: str
) -> None:
    put("in/a.png")
    assert hcdcodec("encode", "in", "small", *FAST).status == 0
    assert hcdcodec("decode", "small/a.png.hcd.png", result).status == 0
    before = Path(result).read_bytes()
    ran = hcdcodec("decode", "in/a.png", result)
    assert ran.status == 1 and "no hcdcodec header" in ran.err
    assert Path(result).read_bytes() == before


def test_reconstructions_beside_their_originals_are_not_encoded(put: Callable[..., None], hcdcodec: Run) -> None:
    put("in/a.png")
    assert hcdcodec("encode", "in", "in/small", *FAST).status == 0
    assert hcdcodec("decode", "in/small", "in/restored").status == 0
    assert hcdcodec("status", "in", "in/small", *FAST).status == 0
    assert hcdcodec("encode", "in", "in/small", *FAST).status == 0
    assert tree("in/small") == {"a.png.hcd.png"}
    ran = hcdcodec("compare", "--json", "in", "in/restored")
    assert (ran.status, ran.out.count(b"\n")) == (0, 1)


def test_an_ordinary_picture_with_the_name_of_a_small_file_is_a_picture(
    put: Callable[..., None], hcdcodec: Run
) -> None:
    put("in/scan.hcd.png")
    ran = hcdcodec("status", "in", "small", *FAST)
    assert (ran.status, ran.out) == (1, b"1 missing\n")
    assert hcdcodec("encode", "in", "small", *FAST) == Ran(0, b"", "")
    assert tree("small") == {"scan.hcd.png.hcd.png"}
    assert hcdcodec("status", "in", "small", *FAST).status == hcdcodec("verify", "small").status == 0
    ran = hcdcodec("compare", "in", "small")
    assert ran.status == 0 and ran.out.endswith(b"  scan.hcd.png\n")
    assert hcdcodec("decode", "small", "out").status == 0
    assert tree("out") == {"scan.hcd.png"} and pixels_of("out/scan.hcd.png").shape == (12, 10, 3)
    assert "scan.hcd.png: ignored, decoded by" in hcdcodec("encode", "-v", "out", "again", *FAST).err
    # Small files are searched by their names, so that one without its header is not left out in silence.
    ran = hcdcodec("decode", "in", "again")
    assert ran.status == 1 and "scan.hcd.png: PNG carries no hcdcodec header; encode it first" in ran.err


def test_what_comes_from_standard_input_is_never_up_to_date(
    put: Callable[..., None], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a.png")
    standard_input(monkeypatch, Path("a.png").read_bytes())
    assert hcdcodec("encode", "-", "small.hcd.png", *FAST).status == 0
    ran = hcdcodec("status", "-", "small.hcd.png", *FAST)
    assert (ran.status, ran.out) == (1, b"1 stale: standard input always counts as changed\n")


def test_a_foreign_file_stays_unless_forced(put: Callable[..., None], hcdcodec: Run) -> None:
    put("a.png", "small/a.png.hcd.png")
    mine = Path("small/a.png.hcd.png").read_bytes()
    ran = hcdcodec("encode", "a.png", "small/", *FAST)
    assert ran.status == 1 and "--force" in ran.err
    assert Path("small/a.png.hcd.png").read_bytes() == mine
    assert hcdcodec("encode", "a.png", "small/", *FAST, "--force").status == 0
    assert hcdcodec("verify", "-q", "small/a.png.hcd.png").status == 0


@pytest.mark.parametrize("null", [True, False])
def test_lists_of_names(
    put: Callable[..., None], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch, *, null: bool
) -> None:
    names = [name for name in ODD if null or "\n" not in name]
    put(*(f"in/{name}" for name in names), "in/not listed.png")
    separator = b"\0" if null else b"\n"
    listing = separator.join(os.fsencode(f"in/{name}") for name in names) + separator
    standard_input(monkeypatch, listing)
    assert hcdcodec("encode", "--files-from", "-", *(["-0"] if null else []), "small", *FAST).status == 0
    assert tree("small") == {f"in/{name}.hcd.png" for name in names}
    Path("list").write_bytes(listing)
    assert hcdcodec("encode", "--files-from", "list", *(["-0"] if null else []), "again", *FAST).status == 0
    assert tree("again") == tree("small")


@pytest.mark.parametrize("command", ["encode", "decode", "status"])
def test_an_empty_list_leaves_nothing_to_do(here: Path, hcdcodec: Run, command: str) -> None:
    Path("list").touch()
    ran = hcdcodec(command, "--files-from", "list", "small")
    assert (ran.status, ran.err) == (0, "") and not Path("small").exists()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            "encode small photos",
            "small/a.png.hcd.png is a small file, and photos/a.png a picture; name the folder of p",
        ),
        ("status -q small photos", "small/a.png.hcd.png is a small file, and photos/a.png a picture; name the folder"),
        ("encode -n small deep photos", "small/a.png.hcd.png is a small file, and photos/a.png a picture; name the"),
        (
            "decode photos small",
            "photos/a.png is a picture, and small/a.png.hcd.png a small file; name the folder of s",
        ),
    ],
)
def test_source_and_destination_in_the_wrong_order_are_refused(
    put: Callable[..., None], hcdcodec: Run, call: str, said: str
) -> None:
    put("photos/a.png")
    assert hcdcodec("encode", "photos", "small", *FAST).status == 0
    for folder in ("small", "photos", "deep"):
        Path(folder).mkdir(exist_ok=True)
        Path(folder, "notes.txt").write_text("mine")
    before = tree(".")
    ran = hcdcodec(*call.split())
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, b"", 1) and ran.err.startswith(f"hcdcodec: {said}")
    assert tree(".") == before


@pytest.mark.parametrize(
    "call", ["encode -q kept backup", "status -q kept backup", "encode -q kept new", "decode -q photos out"]
)
def test_scripts_may_meet_folders_without_work(put: Callable[..., None], hcdcodec: Run, call: str) -> None:
    """Originals are deleted and small files beside them stay; a loop over folders meets one of pictures alone."""
    put("photos/a.png")
    assert hcdcodec("encode", "photos/a.png", "kept/", *FAST).status == 0
    assert hcdcodec("encode", "photos", "backup", *FAST).status == 0
    assert hcdcodec(*call.split()) == Ran(0, b"", "")


@pytest.mark.parametrize("command", ["encode", "decode", "status"])
def test_a_folder_without_pictures_may_get_some_later(here: Path, hcdcodec: Run, command: str) -> None:
    Path("in").mkdir()
    for name in ("notes.txt", ".DS_Store", "._a.png.hcd.png"):
        Path("in", name).write_bytes(b"\0\5\x16\7")
    assert hcdcodec(command, "-q", "in", "out") == Ran(0, b"", "")


def test_shards_share_the_work(put: Callable[..., None], hcdcodec: Run) -> None:
    put(*(f"in/{number}.png" for number in range(12)), size=(4, 4))
    shares = []
    for index in range(1, 4):
        assert hcdcodec("encode", "in", f"small{index}", *FAST, "--shard", f"{index}/3").status == 0
        shares.append(tree(f"small{index}"))
    assert set.union(*shares) == {f"{number}.png.hcd.png" for number in range(12)}
    assert not any(one & other for one, other in itertools.combinations(shares, 2))
    assert sum(1 for share in shares if share) > 1


# --- streams ----------------------------------------------------------------------------------------------------------


def test_one_picture_through_standard_streams(
    put: Callable[..., None], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a.png")
    standard_input(monkeypatch, Path("a.png").read_bytes())
    small = hcdcodec("encode", "-", "-", *FAST)
    assert (small.status, small.err) == (0, "")
    standard_input(monkeypatch, small.out)
    large = hcdcodec("decode", "-", "-")
    assert (large.status, large.err) == (0, "")
    assert np.array_equal(pixels_of(large.out), package.decode(small.out))
    assert hcdcodec("encode", "a.png", "-", *FAST).status == 0
    standard_input(monkeypatch, small.out)
    assert hcdcodec("decode", "-", "out.png").status == 0
    assert Path("out.png").read_bytes() == large.out
    standard_input(monkeypatch, b"no picture")
    ran = hcdcodec("encode", "-", "-", *FAST)
    assert (ran.status, ran.out) == (1, b"")
    assert ran.err.startswith("hcdcodec: standard input: not a picture")


@pytest.mark.slow
def test_real_pipes(put: Callable[..., None], here: Path) -> None:
    put("a.png", size=(30, 40, 3))
    with (
        Path("a.png").open("rb") as source,
        subprocess.Popen([SCRIPT, "encode", "-", "-", *FAST], stdin=source, stdout=subprocess.PIPE) as small,
    ):
        large = subprocess.run([SCRIPT, "decode", "-", "-"], stdin=small.stdout, capture_output=True, check=True)
    assert small.returncode == 0
    assert large.stderr == b""
    expected = package.decode(package.encode(pixels_of("a.png"), backbone="bicubic", effort=0))
    assert np.array_equal(pixels_of(large.stdout), expected)


@pytest.mark.slow
def test_a_reader_that_has_gone_is_a_failure_of_one_line(put: Callable[..., None], here: Path) -> None:
    put("a.png", size=(900, 900, 3))  # far more than a pipe holds
    with subprocess.Popen(
        [SCRIPT, "encode", "a.png", "-", *FAST, "-Q", "100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read().decode()
    assert process.returncode == 1
    assert err.startswith("hcdcodec: a.png: ") and err.count("\n") == 1


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_leave_whole_files_and_nothing_else(
    put: Callable[..., None], here: Path, number: signal.Signals, status: int
) -> None:
    put("in/0.png", size=(200, 200, 3))
    for index in range(1, 100):
        Path(f"in/{index}.png").write_bytes(Path("in/0.png").read_bytes())
    command = [sys.executable, "-c", OBEDIENT, "encode", "in", "small", "-b", "bicubic", "-e", "3"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while not list(Path().glob("small/*.hcd.png")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(number)
        err = process.stderr.read().decode()
    assert process.returncode == status
    assert "Traceback" not in err
    written = tree("small")
    assert 0 < len(written) < 100
    assert all(name.endswith(".hcd.png") and not name.startswith(".") for name in written)
    for name in written:
        assert package.decode((Path("small") / name).read_bytes()).shape == (200, 200, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_the_wait_for_standard_input(here: Path, number: signal.Signals, status: int) -> None:
    command = [sys.executable, "-c", OBEDIENT, "encode", "-", "small.hcd.png", *FAST]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        # More than a pipe holds: once this is written, the other end has begun to read, and waits for more.
        process.stdin.write(bytes(300_000))
        process.stdin.flush()
        time.sleep(0.5)
        process.send_signal(number)
        try:
            assert process.wait(30) == status
        finally:
            process.kill()
    assert not list(here.iterdir())


@pytest.mark.slow
def test_nohup_lets_a_run_go_on(here: Path) -> None:
    command = ["nohup", sys.executable, "-c", MAIN, "encode", "-", "small.hcd.png", *FAST]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(bytes(300_000))
        process.stdin.flush()
        process.send_signal(signal.SIGHUP)
        process.stdin.close()
        assert b"standard input: not a picture" in process.stderr.read()
    assert process.returncode == 1


def test_a_package_that_cannot_be_loaded_is_one_line() -> None:
    code = """
from hcdcodec.cli import command

def load(**_):
    raise ImportError("libtorch_cpu.so: failed to map segment from shared object\\nand more")

command.cli.main = load
command.main()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "(libtorch_cpu.so: failed to map segment from shared object); free some memory" in ran.stderr


def test_weights_that_do_not_fit_into_memory_are_one_line(
    put: Callable[..., None], hcdcodec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hcdcodec.networks import weights

    def map_file(path: Path) -> None:
        raise RuntimeError(f"unable to mmap 5856324 bytes from file <{path}>: Cannot allocate memory (12)")

    put("a.png")
    assert hcdcodec("encode", "-e0", "a.png", "small/").status == 0
    monkeypatch.setattr(weights, "load_file", map_file)
    api._engine.cache_clear()
    for command in (("encode", "-e0", "a.png", "other/"), ("decode", "small", "out/")):
        ran = hcdcodec(*command)
        assert (ran.status, ran.err.count("\n")) == (1, 1) and "not enough memory" in ran.err
    with pytest.raises(MemoryError):
        package.encode("a.png", effort=0)


@pytest.mark.parametrize(("raised", "status"), [("SystemExit(143)", 143), ("KeyboardInterrupt", 130)])
def test_a_signal_that_breaks_a_lock_is_still_a_signal(raised: str, status: int) -> None:
    """threading.Condition.wait fails about its lock where a signal comes just as it has given that back."""
    code = f"""
import threading
from hcdcodec.cli import command

class Unlucky(threading.Condition):
    def _release_save(self):
        super()._release_save()
        raise {raised}

def wait(**_):
    condition = Unlucky(threading.Lock())
    with condition:
        condition.wait()

command.cli.main = wait
command.main()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (status, "")
