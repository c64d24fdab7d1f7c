"""The crontab of hcdcodec/docs/archive.md does what the page says, under the cron of busybox."""

import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, Draw
from PIL import Image

PAGE = ROOT / "hcdcodec" / "docs" / "archive.md"
LINES = re.findall(r"^    [\d*]+(?: [\d*]+){4}  (/home/me/.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
COMMAND = Path(sys.executable).with_name("hcdcodec")
MINUTE_S = 60
PATIENCE_S = 120


def find_busybox() -> str:
    """Return the path of a busybox that has a cron, or skip the test with the reason."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    if "crond" not in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        pytest.skip("this busybox has no crond")
    if os.getuid() != 0:
        pytest.skip("crond works for users, and only root can become one")
    return busybox


def jobs_of(folder: Path) -> list[str]:
    """Return the lines of the page for a folder. All start at once here, so each waits for the one before it."""
    places = {"/home/me/.venv/bin/hcdcodec": COMMAND, "/home/me/photos": folder / "photos",
              "/backup/small": folder / "small"}  # fmt: skip
    jobs = []
    for number, line in enumerate(LINES):
        for there, here in places.items():
            line = line.replace(there, str(here))
        wait = f"until test -e {folder}/{number - 1}.done; do sleep 0.1; done; " if number else ""
        jobs.append(f"* * * * * {wait}( {line} ) >>{folder}/{number}.said 2>&1; echo $? >{folder}/{number}.done")
    return jobs


@pytest.mark.slow
@pytest.mark.tools
def test_the_crontab_of_the_page_works(tmp_path: Path, draw: Draw) -> None:
    busybox = find_busybox()
    assert len(LINES) == 3
    sound, broken = tmp_path / "sound", tmp_path / "broken"
    for folder in (sound, broken):
        (folder / "photos").mkdir(parents=True)
        Image.fromarray(draw(24, 20, 3)).save(folder / "photos" / "a.jpg")
    whole = (broken / "photos" / "a.jpg").read_bytes()
    (broken / "photos" / "b.jpg").write_bytes(whole[: len(whole) // 2])
    tabs = tmp_path / "tabs"
    tabs.mkdir()
    user = pwd.getpwuid(os.getuid())
    (tabs / user.pw_name).write_text("\n".join([*jobs_of(sound), *jobs_of(broken), ""]))
    # Cron gives its jobs little of an environment, and no path to a virtual environment.
    environment = {"PATH": "/usr/bin:/bin", "HOME": user.pw_dir, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    cron = subprocess.Popen(
        [busybox, "crond", "-f", "-c", tabs, "-L", tmp_path / "log"],
        env=environment,
        cwd="/",
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for([folder / "2.done" for folder in (sound, broken)])
    finally:
        cron.terminate()
        cron.wait()
    assert (sound / "small" / "a.jpg.hcd.png").exists() and (broken / "small" / "a.jpg.hcd.png").exists()
    assert said(sound) == ["", "", ""]  # so cron sends no mail
    encode, status, verify = said(broken)
    assert encode.startswith(f"hcdcodec: {broken}/photos/b.jpg: ") and encode.count("\n") == 1
    assert "some are missing" in status
    assert verify == ""


def wait_for(files: list[Path]) -> None:
    end = time.monotonic() + MINUTE_S + PATIENCE_S
    while not all(file.exists() for file in files):
        assert time.monotonic() < end, "cron has not done its jobs"
        time.sleep(0.2)


def said(folder: Path) -> list[str]:
    return [(folder / f"{number}.said").read_text() for number in range(len(LINES))]
