"""Targets are whole or absent whatever happens, and only results that are still true are kept."""

import errno
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from hcdcodec.batch.freshness import Freshness, Standing, Wanted, confirm, judge_stamp
from hcdcodec.batch.stamp import Stamp, read_decoded_stamp
from hcdcodec.codec.options import Target
from hcdcodec.errors import OutputError, PictureError, UsageError
from hcdcodec.files.disk import (
    _EXPLANATIONS,
    check_place,
    check_unchanged,
    check_writable,
    explain,
    read,
    read_steady,
    read_stream,
    remove,
    source_digest,
    sweep,
    write_atomic,
)
from hcdcodec.files.disk import touch as touch_file
from hcdcodec.files.job import Job
from hcdcodec.files.picture_names import Format
from hcdcodec.format.lr_digest import lr_digest_chunk
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.writing import write_picture


def test_write_makes_directories_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a/b/c.png"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_write_obeys_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_write_keeps_times_to_the_nanosecond(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"")
    assert touch_file(tmp_path / "a", (10**18 + 1, 10**18 + 7))
    assert (tmp_path / "a").stat().st_mtime_ns == 10**18 + 7


def test_write_goes_through_links(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere/file")
    write_atomic(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere/file").read_bytes() == b"x"


@contextmanager
def small_files_only(limit: int) -> Iterator[None]:
    """Have the kernel cut every write off at `limit` bytes, as a full disk does.

    Around one call only: the limit holds for the log that pytest itself writes to, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_atomic(path, b"old")
    with pytest.raises(OutputError, match="ulimit"), small_files_only(4096):
        write_atomic(path, bytes(4097))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("file/a.png", "a file stands where"),
        ("file/deeper/a.png", "a file stands where"),
        ("folder", "stands in the way"),
        ("pipe", "stands in the way"),
        ("x" * 300, "name is too long"),
    ],
)
def test_places_where_nothing_can_be_written(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=why):
        write_atomic(tmp_path / name, b"x")
    assert sorted(tmp_path.iterdir()) == before


def test_devices_are_never_replaced() -> None:
    with pytest.raises(OutputError, match="device"):
        write_atomic(Path("/dev/null"), b"x")
    assert Path("/dev/null").is_char_device()


WRITER = """
import itertools, pathlib, sys
from hcdcodec.files.disk import write_atomic
for letter in itertools.cycle((b"a", b"b")):
    write_atomic(pathlib.Path(sys.argv[1]), letter * 3_000_000)
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.013, 0.037])
def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path, delay_s: float) -> None:
    path = tmp_path / "a.png"
    with subprocess.Popen([sys.executable, "-c", WRITER, path]) as writer:
        while not path.exists():
            assert writer.poll() is None
            time.sleep(0.005)
        time.sleep(delay_s)
        writer.send_signal(signal.SIGKILL)
    data = path.read_bytes()
    assert data in (b"a" * 3_000_000, b"b" * 3_000_000)
    sweep(tmp_path, age_s=-1)
    assert list(tmp_path.iterdir()) == [path]


def test_sweep_takes_only_old_leftovers(tmp_path: Path) -> None:
    old, young = ".hcd-0123456789abcdef.tmp", ".hcd-fedcba9876543210.tmp"
    others = ["old.png", ".old.tmp", ".hcd-notes.tmp", ".hcd-0123456789abcdef0.tmp", ".hcd-0123456789ABCDEF.tmp"]
    for name in (old, young, *others):
        (tmp_path / name).touch()
        if name != young:
            os.utime(tmp_path / name, (0, 0))
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {young, *others}
    sweep(tmp_path / "missing")


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read(tmp_path / "a") == b"abc"
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(PictureError, match=r"cannot be read \(.*\); check"):
            read(path)


def test_source_digest_is_the_start_of_sha256() -> None:
    assert source_digest(b"abc").hex() == "ba7816bf8f01cfea"  # FIPS 180-2, appendix B.1


# --- freshness --------------------------------------------------------------------------------------------------------

SETTINGS = b"settings"


def digest_of(path: Path) -> bytes:
    return source_digest(path.read_bytes())


def never_asked(path: Path) -> bytes:
    raise AssertionError(f"{path} was read although size and time had decided")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A source written at second 1000 and its result at second 2000. What a test changes gets a later time of inode."""
    source, target = tmp_path / "a.jpg", tmp_path / "a.jpg.hcd.png"
    source.write_bytes(b"picture")
    target.write_bytes(b"result")
    os.utime(source, (1000, 1000))
    os.utime(target, (2000, 2000))
    clock = tmp_path / "clock"
    clock.touch()
    while clock.stat().st_ctime_ns <= target.stat().st_ctime_ns:  # file systems have a coarse clock
        clock.touch()
    return Job(source, target, "a.jpg", "a.jpg", named=True)


STAMP = Stamp(len(b"picture"), source_digest(b"picture"), SETTINGS)


def judge(job: Job, stamp: Stamp | None = STAMP, *, settings: bytes = SETTINGS, checksum: bool = False) -> Freshness:
    return judge_stamp(job, stamp, Wanted(settings), checksum=checksum, digest_of=digest_of)


def touch(path: Path | None, second: int) -> None:
    assert path is not None
    os.utime(path, (second, second))


@pytest.mark.parametrize("second", [999, 1000])
def test_agreeing_size_and_time_are_enough(job: Job, second: int) -> None:
    touch(job.source, second)
    touch(job.target, 1000)
    assert judge_stamp(job, STAMP, Wanted(SETTINGS), checksum=False, digest_of=never_asked) is Freshness.FRESH


def test_an_absent_target_is_missing_whatever_was_recorded(job: Job) -> None:
    assert job.target is not None
    job.target.unlink()
    assert judge(job) is judge(job, None) is Freshness.MISSING


def test_a_result_on_standard_output_is_missing(job: Job) -> None:
    assert judge(Job(job.source, None, "a", "a", named=True)) is Freshness.MISSING


def test_a_target_without_a_stamp_is_foreign(job: Job) -> None:
    assert judge(job, None) is judge(job, None, checksum=True) is Freshness.FOREIGN


def test_other_settings_are_stale(job: Job) -> None:
    assert judge_stamp(job, STAMP, Wanted(b"other"), checksum=True, digest_of=never_asked) is Freshness.STALE


def test_another_size_is_stale(job: Job) -> None:
    stamp = Stamp(1, STAMP.source_digest, SETTINGS)
    assert judge_stamp(job, stamp, Wanted(SETTINGS), checksum=True, digest_of=never_asked) is Freshness.STALE


def test_a_touched_source_is_fresh_and_a_changed_one_stale(job: Job) -> None:
    assert job.source is not None
    touch(job.source, 3000)
    assert judge(job) is Freshness.FRESH
    job.source.write_bytes(b"PICTURE")
    assert judge(job) is Freshness.STALE


def test_checksum_sees_what_size_and_time_hide(job: Job) -> None:
    assert job.source is not None
    job.source.write_bytes(b"PICTURE")
    touch(job.source, 1000)
    touch(job.target, 2000)  # whoever touches the result hides the change from its times
    assert judge(job) is Freshness.FRESH
    assert judge(job, checksum=True) is Freshness.STALE


def test_an_older_file_that_came_to_the_place_of_a_source_is_noticed(job: Job, tmp_path: Path) -> None:
    assert job.source is not None
    other = tmp_path / "old.jpg"
    other.write_bytes(b"PICTURE")
    touch(other, 500)
    other.replace(job.source)
    assert judge(job) is Freshness.STALE


@pytest.mark.parametrize("state", [Freshness.FRESH, Freshness.OLDER])
def test_the_digest_of_an_unchanged_source_is_asked_once(job: Job, state: Freshness) -> None:
    assert job.source is not None and job.target is not None
    job.source.chmod(0o600)
    assert judge(job) is Freshness.FRESH
    confirm(job, Standing(state))
    assert judge_stamp(job, STAMP, Wanted(SETTINGS), checksum=False, digest_of=never_asked) is Freshness.FRESH
    assert job.target.stat().st_mtime == 2000


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(SETTINGS, "11" * 32), Freshness.FRESH),
        (Wanted(SETTINGS, "22" * 32), Freshness.OLDER),
        (Wanted(SETTINGS, "22" * 32, upgrade=True), Freshness.STALE),
        (Wanted(SETTINGS, "22" * 32, is_pinned=True), Freshness.STALE),
        (Wanted(SETTINGS, "11" * 32, is_pinned=True, upgrade=True), Freshness.FRESH),
    ],
)
def test_other_weights_of_a_release_leave_results_up_to_date(job: Job, wanted: Wanted, expected: Freshness) -> None:
    stamp = Stamp(len(b"picture"), source_digest(b"picture"), SETTINGS, b"\x11" * 16)
    assert judge_stamp(job, stamp, wanted, checksum=False, digest_of=never_asked) is expected
    if expected is Freshness.STALE:
        assert wanted.explain_stale(stamp) == "weights 11111111, now 22222222"


@pytest.mark.parametrize("target", [Target(max_bytes=100), Target(bpp=8.0)])
def test_a_result_of_all_the_bytes_that_its_target_allows_meets_it(target: Target) -> None:
    stamp, wanted = replace(STAMP, height=10, width=10), Wanted(SETTINGS, target=target)
    assert [wanted.is_missed_by(stamp, size) for size in (100, 101)] == [False, True]


def test_without_a_recorded_size_times_decide_and_else_the_digest(job: Job) -> None:
    assert job.source is not None
    stamp = Stamp(None, STAMP.source_digest, SETTINGS)
    assert judge_stamp(job, stamp, Wanted(SETTINGS), checksum=False, digest_of=never_asked) is Freshness.FRESH
    job.source.chmod(0o600)
    assert judge(job, stamp) is Freshness.FRESH
    assert judge(job, Stamp(None, b"another!", SETTINGS)) is Freshness.STALE


def test_sources_that_cannot_be_looked_at_are_redone(job: Job) -> None:
    assert judge(Job(None, job.target, "standard input", "", named=True)) is Freshness.STALE
    assert job.source is not None
    job.source.unlink()
    assert judge(job) is Freshness.STALE


def test_the_mark_of_a_reconstruction_is_found_behind_long_chunks(tmp_path: Path) -> None:
    note = png_chunks.Chunk(b"tEXt", b"Note\0" + bytes([65]) * (1 << 20))
    restored = write_picture(Picture(np.zeros((2, 3, 3), np.uint8)), Format.PNG)
    (tmp_path / "a.png").write_bytes(png_chunks.insert(restored, [note, lr_digest_chunk(b"8 bytes!upright")]))
    expected = Stamp(None, b"8 bytes!", b"upright", height=2, width=3)
    assert read_decoded_stamp(tmp_path / "a.png") == expected


def test_every_known_failure_says_what_to_do() -> None:
    for code in (*_EXPLANATIONS, errno.EIO):
        sentence = explain(OSError(code, "system's words"))
        assert sentence.count("; ") == 1
        assert "system's words" not in sentence


# --- hostile files and places -----------------------------------------------------------------------------------------


def test_the_order_is_write_sync_rename_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut can leave depends on this order alone; the real functions run and are listened to."""
    events: list[tuple[str, object]] = []
    path, sync, rename = tmp_path / "a.png", os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        folder = status.st_ino == tmp_path.stat().st_ino
        events.append(("sync folder", path.exists()) if folder else ("sync file", status.st_size))
        sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        events.append(("rename", Path(source).stat().st_size))
        assert not path.exists() and Path(source).parent == tmp_path
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomic(path, bytes(100_000))
    assert events == [("sync file", 100_000), ("rename", 100_000), ("sync folder", True)]
    assert remove(path)
    assert events[3:] == [("sync folder", False)]


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.png", b"x")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs privileges")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_and_a_read_only_disk(small_disk: Path) -> None:
    path = small_disk / "a.png"
    write_atomic(path, b"old")
    with pytest.raises(OutputError, match="the disk is full; free"):
        write_atomic(path, bytes(100_000))
    assert path.read_bytes() == b"old"
    assert list(small_disk.iterdir()) == [path]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OutputError, match="the file system is read-only; name another"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_destination_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "locked" / "a.png"
    path.parent.mkdir(mode=0o555)
    (secret := tmp_path / "secret").write_bytes(b"")
    secret.chmod(0)
    # Pytest lets nobody else into its folders; there is one more with xdist.
    for folder in takewhile(lambda folder: folder.name.startswith(("test_", "popen-", "pytest-")), path.parents[1:]):
        folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        if root:  # who may write everywhere: become nobody for a moment
            os.seteuid(65534)
        with pytest.raises(OutputError, match="permission denied; check who may write"):
            write_atomic(path, b"x")
        with pytest.raises(OutputError, match="permission denied; check who may write"):
            check_writable(path.parent / "deeper/a.png")
        with pytest.raises(UsageError, match=r"secret: cannot be read \(permission denied\); "):
            check_place(secret, b"mark", kind="page")
    finally:
        if root:
            os.seteuid(0)
    assert not list(path.parent.iterdir())


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(PictureError, match="instead of a file; name a regular file"):
            read(path)


def test_files_beyond_the_limit_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PictureError, match="1099511627776 bytes, the limit is"):
        read(tmp_path / "sparse")
    (tmp_path / "a").write_bytes(b"abc")
    assert read(tmp_path / "a", limit=3) == b"abc"
    with pytest.raises(PictureError, match="3 bytes, the limit is 2; raise"):
        read(tmp_path / "a", limit=2)


def test_streams_are_read_to_their_end_or_a_little_beyond_the_limit() -> None:
    assert read_stream(io.BytesIO(b"abc"), limit=3) == b"abc"
    with Path("/dev/zero").open("rb") as endless:
        assert 3_000_000 < len(read_stream(endless, limit=3_000_000)) < 5_000_000


def test_a_file_that_grows_while_it_is_read_is_not_taken(tmp_path: Path) -> None:
    path, done = tmp_path / "growing", threading.Event()
    path.write_bytes(bytes(50_000_000))

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.is_set():
                file.write(b"x")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with pytest.raises(PictureError, match="changed while it was being worked on; run again"):
            for _ in range(100):  # on a busy core, the writer may rest during the first ones
                read_steady(path)
    finally:
        done.set()
        writer.join()
    data, status = read_steady(path)
    assert len(data) == status.st_size > 50_000_000


@pytest.mark.parametrize("change", ["touch", "append", "replace"])
def test_changes_after_reading_are_noticed(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    os.utime(path, (1000, 1000))
    status = read_steady(path)[1]
    check_unchanged(path, status)
    if change == "replace":
        path.rename(tmp_path / "b")
        path.write_bytes(b"xyz")
    elif change == "append":
        with path.open("ab") as file:
            file.write(b"d")
    os.utime(path, (1001, 1001) if change == "touch" else (1000, 1000))
    with pytest.raises(PictureError, match="changed"):
        check_unchanged(path, status)
    path.unlink()
    check_unchanged(path, status)
