"""Results are no more open than their sources; what the user has opened since stays as it is."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcdcodec.errors import OutputError
from hcdcodec.files.disk import write_atomic
from hcdcodec.files.permissions import create_like, representatives


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def put(path: Path, mode: int, folder_mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    path.chmod(mode)
    path.parent.chmod(folder_mode)
    return path


@pytest.mark.parametrize(
    ("source", "result"),
    [(0o600, 0o600), (0o640, 0o640), (0o664, 0o644), (0o444, 0o644), (0o777, 0o644), (0o606, 0o604)],
)
def test_a_new_file_gets_no_permission_that_its_source_lacks(tmp_path: Path, source: int, result: int) -> None:
    write_atomic(tmp_path / "b", b"y", sources=[put(tmp_path / "a", source)])
    assert mode_of(tmp_path / "b") == result


def test_a_file_of_several_sources_gets_what_all_of_them_have(tmp_path: Path) -> None:
    sources = [put(tmp_path / f"{mode:o}" / "a", mode, 0o700 | mode) for mode in (0o644, 0o660, 0o640, 0o644)]
    assert representatives(sources) == (sources[3], *sources[1:3])
    write_atomic(tmp_path / "out/b", b"y", sources=sources)
    assert (mode_of(tmp_path / "out/b"), mode_of(tmp_path / "out")) == (0o640, 0o740)


def test_new_folders_are_as_closed_as_those_that_they_mirror(tmp_path: Path) -> None:
    source = put(tmp_path / "in/album/day/a", 0o644, 0o755)
    source.parent.parent.chmod(0o700)
    write_atomic(tmp_path / "out/album/day/b", b"y", sources=[source])
    assert [mode_of(tmp_path / f"out{name}") for name in ("", "/album", "/album/day")] == [0o755, 0o700, 0o755]


def test_a_folder_stays_open_to_its_owner(tmp_path: Path) -> None:
    source = put(tmp_path / "in/a", 0o444, 0o555)
    write_atomic(tmp_path / "out/b", b"y", sources=[source])
    assert (mode_of(tmp_path / "out"), mode_of(tmp_path / "out/b")) == (0o755, 0o644)


def test_a_replaced_file_keeps_its_mode_even_where_that_is_wider(tmp_path: Path) -> None:
    write_atomic(put(tmp_path / "b", 0o664), b"y", sources=[put(tmp_path / "a", 0o600)])
    assert (mode_of(tmp_path / "b"), (tmp_path / "b").read_bytes()) == (0o664, b"y")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_replaced_file_keeps_its_owner_and_group(tmp_path: Path) -> None:
    os.chown(put(tmp_path / "b", 0o660), 1234, 4321)
    write_atomic(tmp_path / "b", b"y")
    status = (tmp_path / "b").stat()
    assert (status.st_uid, status.st_gid, mode_of(tmp_path / "b")) == (1234, 4321, 0o660)


def test_a_group_that_cannot_be_kept_gets_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    put(tmp_path / "b", 0o660)
    monkeypatch.setattr(os, "fchown", refuse)
    write_atomic(tmp_path / "b", b"y")
    assert mode_of(tmp_path / "b") == 0o600


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_systems_without_sync_are_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, "not supported")

    monkeypatch.setattr(os, "fsync", refuse)
    write_atomic(tmp_path / "b", b"y")
    assert (tmp_path / "b").read_bytes() == b"y"


def test_a_disk_that_fails_to_sync_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    put(tmp_path / "b", 0o644)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomic(tmp_path / "b", b"y")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("b", b"x")]


def test_a_link_in_the_place_of_a_new_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(FileExistsError):
        create_like(tmp_path / "link", ())
    assert not (tmp_path / "elsewhere").exists()
