"""Names become jobs by the rules of the command line, and no output can ever replace a source or another output."""

import contextlib
import io
import os
import string
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hcdcodec.errors import UsageError
from hcdcodec.files import find, meetings
from hcdcodec.files.job import Job
from hcdcodec.files.picture_names import Format, format_of
from hcdcodec.files.plan import Plan, names_from, plan_decode, plan_encode, shard
from hcdcodec.format.source_files import refuse_source
from hcdcodec.pictures import png_chunks
from hcdcodec.pictures.picture import Picture
from hcdcodec.pictures.writing import write_picture

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(100)
SMALL = PICTURE + b"hcDCHCDC"


def encode(
    sources: Sequence[str | Path], destination: str | Path, *, listed: bool = False, exclude: Sequence[str] = ()
) -> Plan:
    names = [str(s) for s in sources]
    return plan_encode(names, str(destination), refuse=refuse_source, listed=listed, exclude=exclude)


def decode(sources: Sequence[str | Path], destination: str | Path, *, suffix: str = ".png") -> Plan:
    return plan_decode([str(s) for s in sources], str(destination), choice=format_of(suffix))


def targets(plan: Plan) -> list[str]:
    return [str(job.target) for job in plan.jobs]


def put(*names: str, content: bytes = PICTURE) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo", "photo.hcd.png", ".png", ".hcd.png", "é t.JPG"])
def test_encode_appends_to_the_whole_name(here: Path, name: str) -> None:
    put(name)
    assert targets(encode([name], "out/")) == [f"out/{name}.hcd.png"]


@pytest.mark.parametrize(
    ("name", "suffix", "expected"),
    [
        ("photo.jpg.hcd.png", ".png", "photo.jpg.png"),
        ("photo.png.hcd.png", ".png", "photo.png"),
        ("photo.PNG.HCD.png", ".png", "photo.PNG"),
        ("photo.jpg.hcd.png", ".webp", "photo.jpg.webp"),
        ("photo.tif.hcd.png", ".tiff", "photo.tif"),
        ("photo.hcd.png", ".png", "photo.png"),
        ("renamed.png", ".webp", "renamed.webp"),
        ("renamed", ".png", "renamed.png"),
        (".hcd.png", ".webp", ".hcd.webp"),
    ],
)
def test_decoded_names(here: Path, name: str, suffix: str, expected: str) -> None:
    put(name)
    assert targets(decode([name], "out/", suffix=suffix)) == [f"out/{expected}"]


def test_undecodable_and_odd_names_come_back_unchanged(here: Path) -> None:
    names = [os.fsdecode(b"in/caf\xe9.jpg"), "in/new\nline.jpg", "in/ -.jpg"]
    put(*names)
    jobs = encode(["in"], "out").jobs
    assert sorted(str(job.source) for job in jobs) == sorted(names)
    assert all(job.source is not None and job.source.read_bytes() == PICTURE for job in jobs)


# --- where results go -------------------------------------------------------------------------------------------------


def test_one_file_to_one_file(here: Path) -> None:
    put("a.jpg")
    plan = encode(["a.jpg"], "sub/b.png")
    assert plan.jobs == (Job(Path("a.jpg"), Path("sub/b.png"), "a.jpg", "a.jpg", named=True),)
    assert plan.root == Path("sub")


@pytest.mark.parametrize(
    "destination", ["new/", "new/.", "new//", "new/./", "new/..", "existing", "existing/.", ".", "..", "./"]
)
def test_one_file_into_a_directory(here: Path, destination: str) -> None:
    put("in/a.jpg")
    Path("existing").mkdir()
    plan = encode(["in/a.jpg"], destination)
    assert targets(plan) == [str(Path(destination, "a.jpg.hcd.png"))]
    assert plan.root == Path(destination)


@pytest.mark.parametrize("destination", ["new..", ".new", "new/.b", "..."])
def test_dots_in_a_name_make_no_directory(here: Path, destination: str) -> None:
    put("a.jpg")
    assert targets(encode(["a.jpg"], destination)) == [destination]


def test_several_files_make_the_destination_a_directory(here: Path) -> None:
    put("a.jpg", "b/c.jpg")
    assert targets(encode(["a.jpg", "b/c.jpg"], "out")) == ["out/a.jpg.hcd.png", "out/c.jpg.hcd.png"]


def test_a_directory_is_mirrored_in_sorted_order(here: Path) -> None:
    put("in/b.jpg", "in/a/z.jpg", "in/a/b/y.jpg", "in/c.jpg")
    plan = encode(["in"], "out")
    assert targets(plan) == [f"out/{n}.hcd.png" for n in ("a/b/y.jpg", "a/z.jpg", "b.jpg", "c.jpg")]
    assert [job.key for job in plan.jobs] == ["a/b/y.jpg", "a/z.jpg", "b.jpg", "c.jpg"]
    assert not any(job.named for job in plan.jobs)


def test_standard_streams(here: Path) -> None:
    put("a.jpg")
    assert encode(["-"], "-").jobs == (Job(None, None, "standard input", "", named=True),)
    assert targets(encode(["-"], "b.png")) == ["b.png"]
    plan = encode(["a.jpg"], "-")
    assert (plan.jobs[0].source, plan.jobs[0].target, plan.root) == (Path("a.jpg"), None, None)


@pytest.mark.parametrize(
    ("sources", "destination", "why"),
    [
        ([], "out", "no source"),
        (["a.jpg"], "", "destination is empty"),
        (["a.jpg", "-"], "out", "single source"),
        (["a.jpg", "in/b.jpg"], "-", "single source"),
        (["in"], "-", "folder does not fit"),
        (["-"], "in", "no name to store"),
        (["-"], "new/", "no name to store"),
        (["-"], "new/.", "no name to store"),
        (["a.jpg", "in/b.jpg"], "file", "where a folder is needed"),
        (["in"], "file", "where a folder is needed"),
        (["a.jpg"], "b.jpg", "PNG data"),
        (["a.jpg"], "/dev/null", "no regular file"),
    ],
)
def test_calls_that_make_no_sense(here: Path, sources: list[str], destination: str, why: str) -> None:
    put("a.jpg", "in/b.jpg", "file")
    with pytest.raises(UsageError, match=why):
        encode(sources, destination)


def test_a_decoded_file_must_be_named_as_its_format(here: Path) -> None:
    put("a.hcd.png")
    assert targets(decode(["a.hcd.png"], "b.tif", suffix=".tiff")) == ["b.tif"]
    with pytest.raises(UsageError, match="WEBP"):
        decode(["a.hcd.png"], "b.png", suffix=".webp")


# --- what is taken ----------------------------------------------------------------------------------------------------


def test_a_walk_for_encoding_goes_by_content(here: Path) -> None:
    put("in/a.jpg", "in/picture", "in/.hcd-0123456789abcdef.tmp", "in/.hcd-holiday.tmp", "in/scan.hcd.png")
    put("in/done.png.hcd.png", "in/DONE.HCD.PNG", content=SMALL)
    put("in/late.jpg.hcd.webp", content=b"RIFF----WEBPVP8L" + bytes(1 << 16) + b"hcDC----HCDC")
    put("in/notes.txt", "in/README", content=b"words")
    plan = encode(["in"], "out")
    assert [job.key for job in plan.jobs] == [".hcd-holiday.tmp", "a.jpg", "picture", "scan.hcd.png"]
    assert plan.ignored == (
        ("in/DONE.HCD.PNG", "already encoded"),
        ("in/README", "no picture"),
        ("in/done.png.hcd.png", "already encoded"),
        ("in/late.jpg.hcd.webp", "already encoded"),
        ("in/notes.txt", "no picture"),
    )
    assert not plan.problems


def test_what_is_called_a_picture_and_cannot_be_read_is_a_failure(here: Path) -> None:
    put("in/a.jpg")
    put("in/b.psd", content=b"8BPS\0\1")
    put("in/c.jpg", content=bytes(3000))
    put("in/d.jpg", content=b"")
    put("in/e.CR3", content=b"\0\0\0\x18ftypcrx \0\0\0\1crx isom")
    put("in/f.dng")  # some camera raw can be read as a TIFF, whose picture is a preview
    put("in/g.png.hcd.png", content=bytes(3000))
    put("in/._a.jpg", content=b"\0\5\x16\7\0\2\0\0Mac OS X")
    plan = encode(["in"], "out")
    assert [job.key for job in plan.jobs] == ["a.jpg"]
    assert plan.ignored == (("in/._a.jpg", "no picture"),)
    *pictures, small = plan.problems
    assert [Path(name).name for name, _ in pictures] == ["b.psd", "c.jpg", "d.jpg", "e.CR3", "f.dng"]
    assert "nothing but zeros" in pictures[1].message and "is empty" in pictures[2].message
    assert all("camera raw" in why for _, why in pictures[-2:])
    assert Path(small.name).name == "g.png.hcd.png" and "nothing but zeros" in small.message
    assert all("--exclude" in why for _, why in plan.problems)


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (["*.heic"], ["a.jpg", "raw/b.jpg", "raw/deep/c.jpg"]),
        (["*.heic", "raw"], ["a.jpg"]),
        (["*.heic", "raw/deep/"], ["a.jpg", "raw/b.jpg"]),
        (["*.heic", "raw/*"], ["a.jpg"]),
        (["*.heic", "deep/"], ["a.jpg", "raw/b.jpg"]),
        (["*.heic", "./raw"], ["a.jpg"]),
        (["*"], []),
    ],
)
def test_what_is_excluded_is_left_out_and_counted(here: Path, globs: list[str], left: list[str]) -> None:
    put("in/a.jpg", "in/raw/b.jpg", "in/raw/deep/c.jpg")
    put("in/x.heic", content=b"words")
    plan = encode(["in"], "out", exclude=globs)
    assert [job.key for job in plan.jobs] == left
    assert not plan.problems and all(why == "excluded" for _, why in plan.ignored) and plan.ignored


@pytest.mark.parametrize("listed", [False, True])
def test_named_files_can_be_excluded_too(here: Path, listed: bool) -> None:
    put("in/a.png", "in/b.png", "in/c.jpg")
    plan = encode(["in/a.png", "in/b.png", "in/c.jpg"], "out", listed=listed, exclude=["*.jpg", "*/b.png"])
    assert [job.name for job in plan.jobs] == ["in/a.png"]
    assert {(path, why) for path, why in plan.ignored} == {("in/b.png", "excluded"), ("in/c.jpg", "excluded")}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("start", ["", "./", "in/../"])
@pytest.mark.parametrize(
    ("glob", "left"),
    [
        ("private", ["a.png"]),
        ("private/", ["a.png"]),
        ("in/private", ["a.png"]),
        ("in/private/", ["a.png"]),
        ("./in/private/*", ["a.png"]),
        ("in//*/deep", ["a.png", "c.png"]),
        (".*", ["a.png", "c.png", "d.png"]),
        ("rivate", ["a.png", "c.png", "d.png"]),
    ],
)
def test_a_folder_is_excluded_with_the_files_in_it_that_are_named(
    here: Path, glob: str, left: list[str], start: str, listed: bool
) -> None:
    names = ["in/a.png", "in/private/c.png", "in/private/deep/d.png"]
    put(*names)
    plan = encode([start + name for name in names], "out", listed=listed, exclude=[glob])
    assert [Path(job.name).name for job in plan.jobs] == left


def test_absolute_names_of_a_list_are_excluded_by_their_folders(here: Path) -> None:
    put("in/a.png", "in/private/c.png")
    plan = encode([here / "in/a.png", here / "in/private/c.png"], "out", listed=True, exclude=["private"])
    assert [Path(job.name).name for job in plan.jobs] == ["a.png"]


def test_parts_that_lead_upwards_are_no_hidden_folders(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("in/a.png", "in/.b.png")
    Path("beside").mkdir()
    monkeypatch.chdir("beside")
    plan = encode(["../in/a.png", "../in/.b.png"], "out", exclude=[".*"])
    assert [job.name for job in plan.jobs] == ["../in/a.png"]


def test_reconstructions_are_no_originals(here: Path) -> None:
    mark = png_chunks.Chunk(b"hcDS", bytes(8))
    restored = write_picture(Picture(np.zeros((2, 2, 3), np.uint8)), Format.PNG)
    put("in/restored/a.png", content=png_chunks.insert(restored, [mark]))
    put("in/a.png", content=restored)
    plan = encode(["in"], "in/small")
    assert [job.key for job in plan.jobs] == ["a.png"]
    assert plan.ignored == (("in/restored/a.png", "decoded by hcdcodec"),)


def test_a_walk_for_decoding_goes_by_name(here: Path) -> None:
    put("in/a.jpg.hcd.png", "in/b.png", "in/.hcd.png")
    plan = decode(["in"], "out")
    assert targets(plan) == ["out/a.jpg.png"]
    assert [remark.name for remark in plan.ignored] == ["in/.hcd.png", "in/b.png"]


def test_named_files_are_taken_unseen(here: Path) -> None:
    put("words.txt", content=b"words")
    assert [job.named for job in encode(["words.txt"], "out/").jobs] == [True]


def test_links_end_a_walk_nowhere(here: Path) -> None:
    put("in/a.jpg", "elsewhere/b.jpg")
    Path("in/again").symlink_to("..", target_is_directory=True)
    Path("in/self").symlink_to("self")
    Path("in/dangling").symlink_to("nothing")
    Path("in/link.jpg").symlink_to("../elsewhere/b.jpg")
    plan = encode(["in"], "out")
    assert [job.key for job in plan.jobs] == ["a.jpg", "link.jpg"]
    folder = "a link to a folder; name that folder to have it searched"
    assert dict(plan.ignored) == {"in/again": folder, "in/self": "no picture", "in/dangling": "no picture"}
    assert plan.problems == ()


def test_a_link_that_nobody_can_follow_is_a_problem_in_every_python(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_file", os.path.isfile)  # as in Python 3.14
    put("in/a.jpg")
    Path("in/link.jpg").symlink_to("x" * 300)
    plan = encode(["in"], "out")
    assert ([job.key for job in plan.jobs], plan.ignored) == (["a.jpg"], ())
    assert plan.problems == (("in/link.jpg", "file name too long; check who may read this file"),)


@pytest.mark.parametrize("where", ["nothing", "lost.jpg", "a.jpg/b.jpg"])
def test_a_link_of_a_pictures_name_that_leads_nowhere_is_a_problem(here: Path, where: str) -> None:
    put("in/a.jpg", "small/a.jpg.hcd.png")
    for link in ("in/lost.jpg", "small/lost.jpg.hcd.png"):
        Path(link).symlink_to(where)
    for plan, name in ((encode(["in"], "out"), "in/lost.jpg"), (decode(["small"], "out"), "small/lost.jpg.hcd.png")):
        assert plan.problems == ((name, "a link that leads nowhere; mend or remove it"),)
        assert (len(plan.jobs), plan.ignored) == (1, ())


def test_special_files_do_not_hang(here: Path) -> None:
    put("in/a.jpg")
    os.mkfifo("in/pipe")
    assert encode(["in"], "out").ignored == (("in/pipe", "no regular file"),)
    with pytest.raises(UsageError, match="standard input"):
        encode(["in/pipe"], "out/")
    plan = encode(["in/pipe", "in/a.jpg"], "out")
    assert (len(plan.jobs), [name for name, _ in plan.problems]) == (1, ["in/pipe"])


def test_a_destination_inside_the_source_is_left_out(here: Path) -> None:
    put("in/a.jpg", "in/out/old.jpg", "in/sub/b.jpg")
    assert [job.key for job in encode(["in"], "in/out").jobs] == ["a.jpg", "sub/b.jpg"]


def test_a_source_inside_the_destination_is_taken_once_and_results_are_not(here: Path) -> None:
    put("out/in/a.jpg", "out/old.jpg", "out/a.jpg.hcd.png")
    put("out/in/b.jpg.hcd.png", content=SMALL)
    for _ in range(2):
        plan = encode(["out/in"], "out")
        assert (targets(plan), len(plan.ignored)) == (["out/a.jpg.hcd.png"], 1)


def test_a_folder_of_many_files_is_planned_in_linear_time(here: Path) -> None:
    """Ten thousand take about a second; benchmarks/robustness/crash.py plans a hundred thousand."""
    put(*(f"in/{number}.png.hcd.png" for number in range(10_000)), content=SMALL)
    assert len(decode(["in"], "out").jobs) == 10_000
    assert len(encode(["in"], "out").ignored) == 10_000


def test_a_directory_cannot_be_its_own_destination(here: Path) -> None:
    put("in/a.jpg")
    Path("link").symlink_to("in", target_is_directory=True)
    for destination in ("in", "in/../in/", "link"):
        with pytest.raises(UsageError, match="at once"):
            encode(["in"], destination)


def test_deep_trees_do_not_exhaust_the_stack(here: Path) -> None:
    for _ in range(1500):  # deeper than Python's recursion limit; the name stays below the system's 4096 bytes
        os.mkdir("d")  # noqa: PTH102
        os.chdir("d")
    put("a.jpg")
    os.chdir(here)
    try:
        assert [len(Path(job.key).parts) for job in encode(["d"], "out").jobs] == [1500]
    finally:
        subprocess.run(["rm", "-r", "d"], check=True)  # pytest's own clean-up is recursive


@pytest.mark.parametrize("name", ["missing.jpg", "", "nul\0.jpg"])
def test_a_name_that_leads_nowhere_fails_alone_unless_it_is_all_there_is(here: Path, name: str) -> None:
    put("a.jpg")
    plan = encode([name, "a.jpg"], "out")
    assert ([job.name for job in plan.jobs], [n for n, _ in plan.problems]) == (["a.jpg"], [name])
    with pytest.raises(UsageError, match="check the name"):
        encode([name], "out/")
    assert len(encode([name], "out", listed=True).problems) == 1


@contextlib.contextmanager
def without_privileges(*ancestors: Path) -> Iterator[None]:
    """Root may read everything: become nobody for a while, who can still walk down `ancestors`."""
    if os.geteuid() != 0:
        yield
        return
    for folder in ancestors:
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_cannot_be_read_is_reported_and_the_rest_goes_on(here: Path) -> None:
    put("in/a.jpg", "in/secret/b.jpg", "in/z.jpg")
    Path("in/secret").chmod(0)
    Path("in/z.jpg").chmod(0)
    with without_privileges(here, *here.parents[:2]):
        plan = encode(["in"], "out")
    Path("in/secret").chmod(0o700)
    assert [job.key for job in plan.jobs] == ["a.jpg"]
    assert [name for name, _ in plan.problems] == ["in/secret", "in/z.jpg"]
    assert all("permission denied; " in why for _, why in plan.problems)


# --- collisions -------------------------------------------------------------------------------------------------------


def test_results_that_meet_fail_and_the_others_go_on(here: Path) -> None:
    put("a/x.jpg", "b/x.jpg", "b/y.jpg")
    plan = encode(["a", "b"], "out")
    assert targets(plan) == ["out/y.jpg.hcd.png"]
    assert [name for name, _ in plan.problems] == ["a/x.jpg", "b/x.jpg"]
    assert "b/x.jpg would become out/x.jpg.hcd.png too; " in plan.problems[0].message


@pytest.mark.parametrize(
    ("first", "second"), [("x.jpg", "X.JPG"), ("caf\u00e9.jpg", "cafe\u0301.jpg"), ("ß.jpg", "SS.jpg")]
)
def test_names_that_only_some_file_systems_tell_apart(here: Path, first: str, second: str) -> None:
    put(f"in/{first}", f"in/{second}")
    if len(list(Path("in").iterdir())) < 2:
        pytest.skip("this file system cannot hold both")
    assert len(encode(["in"], "out").jobs) == 2
    # What a file system does that cannot hold both: the second name leads to the file of the first one.
    put(f"out/{first}.hcd.png")
    os.link(f"out/{first}.hcd.png", f"out/{second}.hcd.png")
    plan = encode(["in"], "out")
    assert not plan.jobs and len(plan.problems) == 2
    assert all("too; rename one of them" in why for _, why in plan.problems)


def test_names_that_differ_in_case_go_to_a_folder_that_cannot_be_listed(here: Path) -> None:
    put("in/x.jpg", "in/X.jpg")
    if len(list(Path("in").iterdir())) < 2:
        pytest.skip("this file system cannot hold both")
    Path("out").mkdir()
    Path("out").chmod(0o333)
    with without_privileges(here, *here.parents[:2]):
        plan = encode(["in"], "out")
    Path("out").chmod(0o700)
    assert (len(plan.jobs), plan.problems) == (2, ())


def test_a_file_system_that_ignores_only_the_case_of_ascii_is_known(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("in/x.jpg", "in/X.jpg", "out/caf\u00e9.jpg")
    if len(list(Path("in").iterdir())) < 2:
        pytest.skip("this file system cannot hold both")
    names = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())

    def fold(path: Path) -> tuple[int, int] | None:
        is_there = path.parent.name == "out" and os.fsencode(path.name).translate(names) == os.fsencode("caf\u00e9.jpg")
        return find.identity("out/caf\u00e9.jpg" if is_there else path)

    monkeypatch.setattr(meetings, "identity", fold)
    assert len(encode(["in"], "out").problems) == 2


def test_a_reconstruction_keeps_the_name_of_its_source_and_another_gives_way(here: Path) -> None:
    put("small/photo.jpg.hcd.png", "small/other.jpg.hcd.png")
    assert targets(decode(["small"], "out")) == ["out/other.jpg.png", "out/photo.jpg.png"]
    put("small/photo.jpg.png.hcd.png")
    assert targets(decode(["small"], "out")) == ["out/other.jpg.png", "out/photo.jpg.png.png", "out/photo.jpg.png"]
    put("small/photo.jpg.png.png.hcd.png")
    assert targets(decode(["small"], "out"))[1:] == [
        "out/photo.jpg.png.png.png", "out/photo.jpg.png", "out/photo.jpg.png.png",
    ]  # fmt: skip
    assert targets(decode(["small"], "out", suffix=".webp"))[1] == "out/photo.jpg.webp"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.tuples(
            st.sampled_from(["a", "A", "b/a"]),
            st.lists(st.sampled_from([".png", ".jpg", ".webp", ".tif", ".PNG"]), max_size=3).map("".join),
        ).map("".join),
        unique=True,
        min_size=1,
        max_size=8,
    ),
    suffix=st.sampled_from([".png", ".webp", ".tiff"]),
)
def test_whatever_was_encoded_can_be_decoded(tmp_path: Path, names: list[str], suffix: str) -> None:
    """No folder may encode to files that cannot be decoded side by side, each to a name of its own."""
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        for name in names:
            path = Path(folder, "in", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PICTURE)
        there = encode([f"{folder}/in"], f"{folder}/small")
        assert len(there.jobs) == len(names) and not there.problems
        for job in there.jobs:
            assert job.target is not None
            job.target.parent.mkdir(parents=True, exist_ok=True)
            job.target.write_bytes(PICTURE)
        back = decode([f"{folder}/small"], f"{folder}/out", suffix=suffix)
        assert len(set(targets(back))) == len(names) and not back.problems
        kept = {
            job.key.removesuffix(".hcd.png") for job in back.jobs if str(job.target).endswith(f"/out/{job.key[:-8]}")
        }
        assert kept >= {name for name in names if name.endswith(suffix)}


def test_a_file_named_twice_is_one_job(here: Path) -> None:
    put("in/a.jpg", "in/b.jpg")
    assert [job.key for job in encode(["in", "in/a.jpg", "./in/../in/b.jpg"], "out").jobs] == ["a.jpg", "b.jpg"]


def test_extensions_keep_formats_apart(here: Path) -> None:
    put("in/a.jpg", "in/a.png", "in/a")
    assert len(set(targets(encode(["in"], "out")))) == 3


def test_results_never_replace_a_source(here: Path) -> None:
    put("a.png", "b.png.hcd.png", "b.png")
    Path("link.png").symlink_to("a.png")
    for destination in ("a.png", "link.png", "./x/../a.png"):
        Path("x").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match="is a source"):
            encode(["a.png"], destination)
    with pytest.raises(UsageError, match="is a source"):
        decode(["b.png.hcd.png", "b.png"], ".")


def test_a_result_that_had_to_move_never_replaces_a_source(here: Path) -> None:
    put("in/a.jpg.hcd.png", "in/a.jpg.png.hcd.png", "out/b")
    Path("out/a.jpg.png.png").symlink_to("../in/a.jpg.hcd.png")
    with pytest.raises(UsageError, match=r"out/a\.jpg\.png\.png is a source"):
        decode(["in"], "out")


# --- lists and shards -------------------------------------------------------------------------------------------------


def test_names_from_a_list() -> None:
    assert names_from(io.BytesIO(b"a.jpg\n\nb c.jpg\ncaf\xe9"), b"\n") == ["a.jpg", "b c.jpg", os.fsdecode(b"caf\xe9")]
    assert names_from(io.BytesIO(b"a\nb\0-\0"), b"\0") == ["a\nb", "-"]
    assert names_from(io.BytesIO(b"a\nb"), b"\0") == ["a\nb"]
    assert names_from(io.BytesIO(b""), b"\n") == names_from(io.BytesIO(b""), b"\0") == []


def test_a_list_of_the_other_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="end in NUL, as find -print0 writes them; add -0"):
        names_from(io.BytesIO(b"a.jpg\0b.jpg\0"), b"\n")
    with pytest.raises(UsageError, match="no name in this list ends in NUL; leave out -0"):
        names_from(io.BytesIO(b"a.jpg\nb.jpg\n"), b"\0")


def test_listed_names_keep_their_path(here: Path) -> None:
    put("in/a.jpg", "in/b/a.jpg", "-")
    absolute = str(here / "in/b/a.jpg")
    plan = encode(["./in/a.jpg", "in", "in/b/../b/a.jpg", absolute, "-"], "out", listed=True)
    assert targets(plan) == [
        "out/in/a.jpg.hcd.png",
        "out/in/b/a.jpg.hcd.png",
        f"out{absolute}.hcd.png",
        "out/-.hcd.png",
    ]
    assert plan.ignored == (("in", "a folder in a list of files"),)
    assert all(job.named for job in plan.jobs)


def test_lists_cannot_climb_out_of_the_destination(here: Path) -> None:
    put("a.jpg", "in/b.jpg")
    os.chdir("in")
    for name in ("../a.jpg", "x/../../a.jpg"):
        Path("x").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match="outside the destination"):
            encode([name], "out", listed=True)


def test_an_empty_list_is_no_error(here: Path) -> None:
    assert encode([], "out", listed=True).jobs == ()
    with pytest.raises(UsageError, match="standard output"):
        encode([], "-", listed=True)


def jobs_named(count: int) -> list[Job]:
    return [Job(Path(f"{i}.jpg"), None, f"{i}.jpg", f"{i}.jpg", named=False) for i in range(count)]


def test_shards_share_everything_once_and_evenly() -> None:
    jobs = jobs_named(400)
    shares = [shard(jobs, index, 4) for index in (1, 2, 3, 4)]
    assert sorted(job.key for share in shares for job in share) == sorted(job.key for job in jobs)
    assert all(70 < len(share) < 130 for share in shares)


def test_a_new_file_moves_no_other_between_shards() -> None:
    assert set(shard(jobs_named(50), 2, 3)) <= set(shard(jobs_named(60), 2, 3))


def test_shards_agree_between_releases() -> None:
    assert [job.key for job in shard(jobs_named(8), 1, 2)] == ["0.jpg", "2.jpg", "3.jpg", "6.jpg", "7.jpg"]


@pytest.mark.parametrize(("index", "count"), [(0, 4), (5, 4), (1, 0), (-1, 2)])
def test_shards_that_do_not_exist(index: int, count: int) -> None:
    with pytest.raises(UsageError, match="share"):
        shard([], index, count)
