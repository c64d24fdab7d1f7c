"""Manifests: which weights are found where, and what is said of broken ones."""

import json
import logging
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, Tiny

import hcdcodec.networks.manifest
from hcdcodec.cli.models_list import PSNR, SECONDS
from hcdcodec.errors import ModelError, UsageError
from hcdcodec.networks.entry import Entry
from hcdcodec.networks.families import FAMILIES
from hcdcodec.networks.manifest import (
    NO_WEIGHTS,
    NetworkId,
    directories,
    find,
    identify,
    installed,
    is_shipped,
    read_manifest,
    user_directory,
    write_manifest,
)
from hcdcodec.networks.registry import BUILDERS, load_backbone

PACKAGE = Path(hcdcodec.networks.manifest.__file__).parent.parent
SHIPPED = PACKAGE.parent / "weights"
FIRST_X4 = next(entry.file for entry in read_manifest(SHIPPED) if (entry.name, entry.scale) == ("crn", 4))
ENTRY: dict[str, Any] = {"name": "crn", "scale": 4, "file": "a.safetensors", "hash": "ab" * 32, "parameters": 3}


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's weights directory, empty."""
    monkeypatch.delenv("HCDCODEC_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    directory = tmp_path / "data/hcdcodec/weights"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights came with the package, as where a distribution leaves them out."""
    monkeypatch.setattr(hcdcodec.networks.manifest, "_own_directory", lambda: tmp_path / "shipped")


def put(directory: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (directory / "manifest.json").write_text(text)
    return directory


# --- reading ----------------------------------------------------------------------------------------------------------


def test_fields_of_later_releases_do_not_count(tmp_path: Path) -> None:
    put(tmp_path, {"models": [{**ENTRY, "colour": "blue"}], "version": 7})
    assert read_manifest(tmp_path) == (Entry(**ENTRY),)


BROKEN = {
    "empty": "",
    "no JSON": "{models",
    "no object": [],
    "no list": {"models": {"a": 1}},
    "nothing in it": {},
    "no text": "\udcff",
    "nested": "[" * 100_000,
    "entry is a number": {"models": [3]},
    "no hash": {"models": [{name: value for name, value in ENTRY.items() if name != "hash"}]},
    **{
        f"{name} {value!r}": {"models": [{**ENTRY, name: value}]}
        for name, value in (
            ("name", 3),
            ("scale", "4"),
            ("scale", True),
            ("hash", "xyz"),
            ("hash", None),
            ("parameters", -1),
            ("parameters", 1 << 64),
            ("details_scale", 1 << 64),
            ("measured", {"PSNR": 1 << 64}),
            ("measured", {"PSNR": -(1 << 64)}),
            ("parameters", 1.5),
            ("details_scale", float("nan")),
            ("details_scale", float("inf")),
            ("licence", ["MIT"]),
            ("origin", "here"),
            ("origin", {"network": 3}),
            ("measured", {"PSNR": "high"}),
            ("settings_hash", "abc"),
            ("experimental", "yes"),
            ("experimental", 1),
            ("file", ""),
            ("file", ".."),
            ("file", "../a.safetensors"),
            ("file", "/etc/passwd"),
            ("file", "sub/a.safetensors"),
            ("file", "a\0b"),
            ("file", "a\x1b[2Jb"),
            ("file", 4),
        )
    },
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_manifest_is_named_in_one_line(content: object, tmp_path: Path, hcdcodec: Run) -> None:
    (tmp_path / "manifest.json").write_bytes(
        (content if isinstance(content, str) else json.dumps(content)).encode(errors="surrogateescape")
    )
    ran = hcdcodec("models", "list", "--weights-dir", tmp_path)
    assert (ran.status, ran.out, ran.err.count("\n")) == (3, b"", 1)
    assert f"{tmp_path / 'manifest.json'} is not a manifest of weights (" in ran.err


def test_a_manifest_without_later_fields_is_as_0_1_0_wrote_it(tmp_path: Path) -> None:
    write_manifest(tmp_path, [Entry(**ENTRY)])
    (model,) = json.loads((tmp_path / "manifest.json").read_text())["models"]
    assert [*model] == [*ENTRY, "details_scale", "licence", "origin", "measured"]
    entry = Entry(**ENTRY, settings_hash="cd" * 32, experimental=True)
    write_manifest(tmp_path, [entry])
    assert read_manifest(tmp_path) == (entry,)


@pytest.mark.usefixtures("nothing_shipped")
def test_list_says_one_line_a_network(tmp_path: Path, hcdcodec: Run) -> None:
    entries = [
        {**ENTRY, "measured": {SECONDS: 3.624, PSNR: 32.654, "Set5/PSNR-Y/quality 100": 36.2}},
        {**ENTRY, "hash": "cd" * 32},
        {**ENTRY, "name": "irn", "experimental": True, "measured": {"chart/PSNR/z zeros": 9.5, "chart/LR": 40.0}},
        {**ENTRY, "name": "sr", "scale": 3, "origin": {"network": "SwinIR"}},
    ]
    (tmp_path / ENTRY["file"]).touch()
    lines = hcdcodec("models", "list", "--weights-dir", put(tmp_path, {"models": entries})).out.decode().splitlines()
    assert lines[0].split() == ["network", "weights", "s/MP", "dB"]
    said = [line.split(maxsplit=2) for line in lines[1:] if "ab" * 6 in line or "cd" * 6 in line]
    assert [(" ".join(words[:2]), " ".join(words[2].split())) for words in said] == [
        ("crn x4", f"{'ab' * 6} 3.62 32.65 default"),
        ("crn x4", f"{'cd' * 6} -b crn@cdcd takes it"),
        ("irn x4", f"{'ab' * 6} chart 9.50 installed, experimental"),
        ("sr x3", f"{'ab' * 6} installed, SwinIR"),
    ]
    assert {"hcflow x4 not installed", "bicubic needs no weights"} <= {" ".join(line.split()) for line in lines}
    assert max(map(len, lines)) <= 100


@pytest.mark.usefixtures("nothing_shipped")
def test_list_says_all_if_asked(tmp_path: Path, hcdcodec: Run) -> None:
    entry = {**ENTRY, "experimental": True, "measured": {SECONDS: 3.62, "Set5/PSNR-Y/quality 100": 36.2}}
    shown = hcdcodec("models", "list", "-v", "--weights-dir", put(tmp_path, {"models": [entry]})).out.decode()
    for part in ("z zeros", "experimental", f"{SECONDS}: 3.62 s\n", "Set5/PSNR-Y/quality 100: 36.2 dB", str(tmp_path)):
        assert part in shown
    assert "not installed; import the official checkpoint with 'hcdcodec models import FILE.pth'" in shown


def test_shipped_weights_can_be_compared() -> None:
    """To mend it: python -m benchmarks.speed.models --manifest."""
    lines = (SHIPPED.parent / "benchmarks/results/speed/models.csv").read_text().splitlines()
    measured = [row.split(",") for row in lines if not row.startswith(("#", "network"))]
    told = [
        (f"{entry.name} x{entry.scale} {entry.hash[:12]}", entry.measured[SECONDS], entry.measured[PSNR])
        for entry in read_manifest(SHIPPED)
    ]
    assert told == [(name, round(float(seconds), 2), round(float(psnr), 2)) for name, seconds, psnr in measured]


def test_what_a_manifest_says_does_not_steer_the_terminal(tmp_path: Path, hcdcodec: Run) -> None:
    put(tmp_path, {"models": [{**ENTRY, "licence": "\x1b[2JMIT\nx"}]})
    shown = hcdcodec("models", "list", "-v", "--weights-dir", tmp_path).out
    assert b"MIT" in shown and b"\x1b" not in shown and b"\nx" not in shown


@pytest.mark.parametrize("command", ["encode a.png small/", "status a.png small/", "verify small", "models list"])
@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_named_folder_without_weights_is_a_wrong_call(
    command: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hcdcodec: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    ran = hcdcodec(*command.split(), "--weights-dir", name)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, b"", 1)
    assert f"{name} holds no manifest.json; name a folder" in ran.err


def test_a_folder_of_the_environment_without_weights_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HCDCODEC_WEIGHTS", str(tmp_path / "nowhere"))
    for _ in range(2):
        assert is_shipped(identify("crn", 4).hash)
    assert caplog.messages == [f"hcdcodec: {tmp_path / 'nowhere'} holds no manifest.json; its weights are left out"]


def test_a_folder_without_the_weights_that_new_files_need_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, {"models": [{**ENTRY, "scale": 2}]})
    shipped = identify("crn", 4)
    assert identify("crn", 4, tmp_path) == identify("crn", 4, str(tmp_path)) == shipped
    said = [f"hcdcodec: {tmp_path} holds no weights for crn x4; those in {SHIPPED} are taken"]
    assert caplog.messages == said
    identify("crn", 2, tmp_path)
    find("crn", 4, shipped.hash, tmp_path)  # as decoding does
    identify("bicubic", 4, tmp_path)
    assert caplog.messages == said


def test_weights_that_are_not_there_need_a_folder_with_a_manifest() -> None:
    with pytest.raises(ModelError, match=r"only .*e648860ab903 can be found; name the folder .* manifest.json with"):
        identify("crn@0000", 4)


# --- broken ones among others -----------------------------------------------------------------------------------------


def test_a_broken_manifest_of_the_user_leaves_shipped_weights_usable(
    user: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(user, "")
    with caplog.at_level(logging.WARNING):
        assert find("crn", 4)[0] == SHIPPED / FIRST_X4
    (record,) = caplog.records
    assert str(user / "manifest.json") in record.getMessage()
    assert {entry.name for _, entry in installed()} >= {"crn", "irn"}


def test_what_only_a_broken_manifest_could_have_is_its_error(user: Path) -> None:
    put(user, "")
    with pytest.raises(ModelError, match="is not a manifest"):
        find("crn-l", 4)
    with pytest.raises(ModelError, match="is not a manifest"):
        find("crn", 4, "0123")


def test_a_broken_manifest_behind_the_weights_does_not_matter(
    user: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(user, "")
    put(tmp_path, {"models": [ENTRY]})
    assert find("crn", 4, first=tmp_path)[0] == tmp_path / "a.safetensors"
    assert not caplog.records


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_broken_manifest_that_the_user_named_is_an_error(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "")
    if how == "environment":
        monkeypatch.setenv("HCDCODEC_WEIGHTS", str(tmp_path))
    with pytest.raises(ModelError, match="is not a manifest"):
        find("crn", 4, first=tmp_path if how == "option" else None)


# --- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("foreign", [[], {"name": "a web app"}])
def test_a_foreign_directory_beside_the_package_does_not_matter(foreign: object, tmp_path: Path) -> None:
    """As in site-packages, where another package may be called `weights`."""
    shutil.copytree(PACKAGE, tmp_path / "hcdcodec", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "weights").mkdir()
    put(tmp_path / "weights", foreign)
    (tmp_path / "hcdcodec/weights").mkdir(exist_ok=True)
    shutil.copy(SHIPPED / "manifest.json", tmp_path / "hcdcodec/weights/manifest.json")
    ran = subprocess.run(
        [sys.executable, "-m", "hcdcodec", "models", "list", "-v"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert str(tmp_path / "hcdcodec/weights" / FIRST_X4) in ran.stdout


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME whom the system does not know, as in some containers."""

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_users_without_a_home_have_no_directory(tmp_path: Path, hcdcodec: Run) -> None:
    assert user_directory() is None
    assert directories() == (SHIPPED,)
    assert hcdcodec("models", "list").status == 0
    ran = hcdcodec("models", "import", tmp_path / "x.pth")
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert "--weights-dir" in ran.err


def test_a_relative_home_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert all(directory.is_absolute() for directory in directories())


# --- which network ----------------------------------------------------------------------------------------------------


def test_families_and_builders_belong_together() -> None:
    assert FAMILIES.keys() == BUILDERS.keys()
    for name, family in FAMILIES.items():
        for scale in family.scales:
            assert (BUILDERS[name].build or BUILDERS["bicubic"].build)(scale).scale == scale  # type: ignore[misc]


@pytest.mark.parametrize(("name", "scale"), [("crn", 4), ("crn", 2), ("irn", 2), ("bicubic", 3)])
def test_networks_are_identified_without_loading_them(name: str, scale: int) -> None:
    assert identify(name, scale) == load_backbone(name, scale).identity


def test_the_hash_of_no_weights_is_that_of_nothing() -> None:
    assert identify("bicubic", 4) == NetworkId("bicubic", 4, NO_WEIGHTS, NO_WEIGHTS)


FIRST = {
    ("crn", 4): "e648860ab903",
    ("crn", 2): "790051669205",
    ("crn", 8): "a5b50b6d2d93",
    ("irn", 2): "169a16c2c119",
    ("irn", 4): "eea39e67f6df",
    ("hcflow", 4): "60ffe3fdff62",
}
"""What was shipped first: newer weights that stood for themselves would make every archive stale."""


def test_shipped_weights_stand_for_the_first_ones() -> None:
    for entry in read_manifest(SHIPPED):
        assert (entry.settings_hash or entry.hash).startswith(FIRST[entry.name, entry.scale])


def test_pinned_networks_say_so(tiny: Tiny) -> None:
    found = identify(tiny.name, tiny.scale, tiny.weights_dir)
    assert not found.is_pinned
    name = f"{tiny.name}@{found.hash[:6]}"
    pinned = identify(name, tiny.scale, tiny.weights_dir)
    assert pinned.is_pinned and pinned == load_backbone(name, tiny.scale, weights_dir=tiny.weights_dir).identity
    # A decoder asks for the hash of a header, no user.
    by_header = load_backbone(tiny.name, tiny.scale, weights_dir=tiny.weights_dir, hash_prefix=found.hash)
    assert not by_header.identity.is_pinned


@pytest.mark.parametrize(
    ("name", "scale", "what"),
    [("crm", 4, "there are crn, irn, hcflow, sr, bicubic"), ("crn", 3, "it has 2, 4"), ("bicubic", 17, "2 to 16")],
)
def test_what_no_network_is_called(name: str, scale: int, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        identify(name, scale)


def test_a_family_without_weights_of_ours_is_not_listed_but_known(tmp_path: Path, hcdcodec: Run) -> None:
    assert b"crn-l" not in hcdcodec("models", "list").out
    with pytest.raises(ModelError, match="no weights for crn-l x4 are installed; no release has any yet"):
        identify("crn-l", 4)
    put(tmp_path, {"models": [{**ENTRY, "name": "crn-l"}]})
    assert b"crn-l" in hcdcodec("models", "list", "--weights-dir", tmp_path).out
    assert identify("crn-l", 4, tmp_path).hash == ENTRY["hash"]
