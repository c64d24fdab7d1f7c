"""Every sentence that a user reads, and the exit status that a script reads."""

import base64
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hcdcodec.batch.outcome import Outcome, Status
from hcdcodec.cli.report import Report, Verb, Verbosity, format_time, json_line, message, standing_line
from hcdcodec.files.names import printable

DONE = Outcome(
    name="in/a.jpg",
    status=Status.DONE,
    target=Path("out/a.jpg.hcd.png"),
    source_bytes=400_000,
    target_bytes=100_000,
    height=1000,
    width=500,
    psnr_before=30.0,
    psnr=31.5,
    is_searched=True,
    passes=24,
    seconds=1.25,
)
SKIPPED = Outcome(name="in/b.jpg", status=Status.SKIPPED, message="up to date", source_bytes=999)
FAILED = Outcome(name="in/c.jpg", status=Status.FAILED, message="truncated; fetch it again")
IGNORED = Outcome(name="in/d.txt", status=Status.IGNORED, message="no picture")


class Clock:
    """Time that passes when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def report_of(
    *outcomes: Outcome, verb: Verb = Verb.ENCODE, verbosity: Verbosity = Verbosity.NORMAL, seconds: float = 2.0
) -> Report:
    clock = Clock()
    report = Report(verb, verbosity, clock)
    for outcome in outcomes:
        report.add(outcome)
    clock.now += seconds
    return report


# --- lines for people -------------------------------------------------------------------------------------------------


def test_failures_are_always_said() -> None:
    for verbosity in Verbosity:
        assert report_of(verbosity=verbosity).line(FAILED) == "hcdcodec: in/c.jpg: truncated; fetch it again"


@pytest.mark.parametrize("outcome", [DONE, SKIPPED, IGNORED])
@pytest.mark.parametrize("verbosity", [Verbosity.QUIET, Verbosity.NORMAL])
def test_what_went_well_is_said_only_when_asked(outcome: Outcome, verbosity: Verbosity) -> None:
    assert report_of(verbosity=verbosity).line(outcome) is None


@pytest.mark.parametrize(
    ("outcome", "verb", "expected"),
    [
        (DONE, Verb.ENCODE, "in/a.jpg: encoded, 400 kB -> 100 kB, 31.50 dB, 24 passes, 1.2 s"),
        (replace(DONE, psnr=None, passes=0), Verb.DECODE, "in/a.jpg: decoded, 400 kB -> 100 kB, 1.2 s"),
        (replace(DONE, psnr=math.inf), Verb.ENCODE, "in/a.jpg: encoded, 400 kB -> 100 kB, no error, 24 passes, 1.2 s"),
        (replace(DONE, target_bytes=0, psnr=None, passes=0), Verb.VERIFY, "in/a.jpg: verified, 1.2 s"),
        (SKIPPED, Verb.ENCODE, "in/b.jpg: skipped, up to date"),
        (IGNORED, Verb.ENCODE, "in/d.txt: ignored, no picture"),
    ],
)
def test_verbose_lines(outcome: Outcome, verb: Verb, expected: str) -> None:
    assert report_of(verb=verb, verbosity=Verbosity.VERBOSE).line(outcome) == f"hcdcodec: {expected}"


def test_warnings_are_said_unless_quiet() -> None:
    warned = replace(DONE, message="40 dB cannot be reached; stored with 31.50", quality=100)
    expected = "warning: 40 dB cannot be reached; stored with 31.50"
    lines = [report_of(verbosity=verbosity).line(warned) for verbosity in Verbosity]
    assert lines == [
        None,
        f"hcdcodec: in/a.jpg: {expected}",
        f"hcdcodec: in/a.jpg: encoded, 400 kB -> 100 kB, quality 100, 31.50 dB, 24 passes, 1.2 s; {expected}",
    ]


def test_growth_is_warned_of_only_when_asked_and_only_of_encoding() -> None:
    grown = replace(DONE, source_bytes=99_999)
    assert report_of().line(grown) is None
    assert report_of().line(replace(grown, message="x; y")) == "hcdcodec: in/a.jpg: warning: x; y"
    line = report_of(verbosity=Verbosity.VERBOSE).line(grown)
    assert line is not None and line.endswith("; warning: larger than its source, --skip-if-larger would store nothing")
    assert "warning" not in (report_of(verb=Verb.DECODE, verbosity=Verbosity.VERBOSE).line(grown) or "")
    assert report_of(grown, DONE, grown).summary().splitlines()[1].endswith(" bpp, 2 larger than their source")
    left_out = replace(grown, status=Status.SKIPPED, is_left_out=True)
    assert report_of(left_out, SKIPPED).summary() == "1 up to date, 1 left out as not smaller than their source"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b/caf\u00e9 \u6f22.jpg", "a b/caf\u00e9 \u6f22.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("new\nline\r\t.jpg", r"new\nline\r\t.jpg"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_names_cannot_break_a_line_or_drive_a_terminal(name: str, expected: str) -> None:
    assert printable(name) == expected
    assert message(name, "x; y") == f"hcdcodec: {expected}: x; y"
    assert message("x", name).encode("utf-8").count(b"\n") == 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.1, "1 s"), (119, "119 s"), (120, "2 minutes"), (7199, "120 minutes"), (7200, "2.0 hours")],
)
def test_forecasts_of_time_are_no_finer_than_they_are_sure(seconds: float, expected: str) -> None:
    assert format_time(seconds) == expected


# --- summary ----------------------------------------------------------------------------------------------------------


def test_summary_of_encoding() -> None:
    larger = replace(DONE, source_bytes=600_000, target_bytes=150_000, psnr_before=33.0, psnr=33.5)
    assert report_of(DONE, larger, SKIPPED, FAILED, IGNORED, IGNORED).summary().splitlines() == [
        "2 encoded, 1 up to date, 1 failed, 2 ignored",
        "1.00 MB -> 250 kB, 25.0 % of the source files, 2.000 bpp",
        "PSNR-RGB 32.50 dB on average, +1.00 dB by the search",
        "2.0 s, 0.50 MP/s",
    ]


def test_summary_of_decoding_has_no_ratio_and_no_quality() -> None:
    outcome = replace(DONE, psnr=None, psnr_before=None, passes=0, source_bytes=999, target_bytes=12_345)
    assert report_of(outcome, verb=Verb.DECODE).summary().splitlines() == [
        "1 decoded",
        "999 bytes -> 12.3 kB",
        "2.0 s, 0.25 MP/s",
    ]


def test_summary_says_when_nothing_was_saved() -> None:
    assert "150.0 % of the source files: nothing saved" in report_of(replace(DONE, target_bytes=600_000)).summary()


def test_summary_without_work() -> None:
    assert report_of().summary() == "no pictures found"
    assert report_of(verb=Verb.DECODE).summary() == "no small files found"
    assert report_of(IGNORED, IGNORED).summary() == "no pictures found, 2 ignored"
    assert report_of(FAILED, SKIPPED).summary() == "1 up to date, 1 failed"


def test_quiet_has_no_summary() -> None:
    assert report_of(DONE, verbosity=Verbosity.QUIET).summary() == ""


def test_exact_pictures_do_not_spoil_the_mean() -> None:
    quality = report_of(DONE, replace(DONE, psnr=math.inf)).summary().splitlines()[2]
    assert quality == "PSNR-RGB 31.50 dB on average, +1.50 dB by the search, 1 without any error"
    assert "nan" not in report_of(replace(DONE, psnr_before=math.inf, psnr=math.inf)).summary()


def test_a_standing_clock_divides_by_nothing() -> None:
    assert report_of(DONE, seconds=0.0).summary().endswith("0.0 s")


# --- lines and numbers for programs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [((), 0), ((DONE, SKIPPED, IGNORED), 0), ((FAILED,), 1), ((FAILED, DONE), 1), ((DONE, FAILED, DONE), 1)],
)
def test_exit_status(outcomes: tuple[Outcome, ...], expected: int) -> None:
    assert report_of(*outcomes).exit_status == expected


def test_json_has_every_member() -> None:
    assert json.loads(json_line(DONE)) == {
        "name": "in/a.jpg",
        "target": "out/a.jpg.hcd.png",
        "status": "done",
        "message": "",
        "source_bytes": 400_000,
        "target_bytes": 100_000,
        "height": 1000,
        "width": 500,
        "quality": None,
        "misses_target": False,
        "psnr_before": 30.0,
        "psnr": 31.5,
        "exact": False,
        "passes": 24,
        "seconds": 1.25,
    }
    assert json.loads(json_line(FAILED)).keys() == json.loads(json_line(DONE)).keys()


def test_json_stays_json_at_infinity() -> None:
    record = json.loads(json_line(replace(DONE, psnr=math.inf)), parse_constant=pytest.fail)
    assert (record["psnr"], record["exact"]) == (None, True)


def test_json_carries_any_name_exactly() -> None:
    name = os.fsdecode(b"caf\xe9\n\xe6\xbc\xa2.jpg")
    line = json_line(replace(DONE, name=name, target=Path(name)))
    assert line.isascii()
    assert "\n" not in line
    record = json.loads(line)
    assert record["name"] == "caf\\xe9\n\u6f22.jpg"
    for member in ("name", "target"):
        assert os.fsdecode(base64.b64decode(record[f"{member}_base64"])) == name
    assert json.loads(json_line(replace(DONE, name="caf\u00e9\n.jpg")))["name"] == "caf\u00e9\n.jpg"


# --- what stands where ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"), [(Status.MISSING, "missing"), (Status.STALE, "stale: --force"), (Status.SKIPPED, "up to date")]
)
def test_a_survey_names_source_target_and_state(status: Status, state: str) -> None:
    reason = "--force" if status is Status.STALE else ""
    outcome = Outcome(name="in/a\n.jpg", status=status, target=Path("small/a\n.jpg.hcd.png"), message=reason)
    assert standing_line(outcome) == f"in/a\\n.jpg -> small/a\\n.jpg.hcd.png ({state})"
    assert standing_line(replace(outcome, target=None)) == f"in/a\\n.jpg -> standard output ({state})"


def test_a_search_that_did_not_run_gained_nothing() -> None:
    summary = report_of(replace(DONE, is_searched=False, psnr_before=31.5)).summary()
    assert summary.splitlines()[2] == "PSNR-RGB 31.50 dB on average"


def test_reasons_why_results_are_stale_have_lines_of_their_own() -> None:
    stale = [
        Outcome(name="a", status=Status.STALE, message=why) for why in ("source changed", *["effort 0, now 5"] * 2)
    ]
    assert report_of(*stale).summary() == "2 stale: effort 0, now 5\n1 stale: source changed"
    assert report_of(*stale, SKIPPED).summary().splitlines()[0] == "1 up to date"


@pytest.mark.parametrize("status", [Status.MISSING, Status.FAILED])
def test_a_survey_is_complete_where_all_is_up_to_date(status: Status) -> None:
    assert report_of(SKIPPED, IGNORED).is_complete and report_of().is_complete
    assert not report_of(Outcome(name="a", status=Status.STALE, message="source changed")).is_complete
    found = report_of(SKIPPED, Outcome(name="a", status=status))
    assert not found.is_complete
    assert found.summary() == f"1 up to date, 1 {status.value}"
    missed = report_of(SKIPPED, replace(SKIPPED, misses_target=True))
    assert (missed.is_complete, missed.exit_status) == (False, 1)
    assert missed.summary() == "2 up to date (1 missed the target)"
    assert found.exit_status == (status is Status.FAILED)
