"""Freed memory goes back to the system even where one block behind it lives on."""

import platform
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
