"""Freed memory goes back to the system even where one block behind it lives on, but only when it is told to."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from hcdcodec.batch import free_memory


def resident_kib() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc hoards")
def test_freed_memory_goes_back() -> None:
    blocks = [bytes([number % 256]) * 32768 for number in range(2000)]
    last, full = blocks[-1], resident_kib()
    blocks.clear()
    free_memory.trim()
    assert full - resident_kib() > 50000
    assert last


STEPS = """
import resource, torch
from hcdcodec.batch import free_memory
free_memory.hold()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(40 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first, second = faults(), faults()
free_memory.trim()
assert second < first / 10 < faults(), (first, second)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_the_next_step_finds_the_memory_of_the_last_one() -> None:
    subprocess.run([sys.executable, "-c", STEPS], check=True)
