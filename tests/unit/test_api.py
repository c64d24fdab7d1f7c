"""The functions of the library: odd arguments work or end in our own errors, and so do forks and shortages."""

import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Draw

import hcdcodec

FAST: dict[str, Any] = {"backbone": "bicubic", "effort": 0}


def test_public_names_are_listed() -> None:
    assert dir(hcdcodec) == sorted(hcdcodec.__all__)
    assert all(getattr(hcdcodec, name) is not None for name in dir(hcdcodec))


def test_encode_takes_what_encode_report_takes() -> None:
    plain, report = inspect.signature(hcdcodec.encode), inspect.signature(hcdcodec.encode_report)
    assert plain.parameters == report.parameters
    assert plain.return_annotation is bytes
    assert pickle.loads(pickle.dumps(hcdcodec.encode)) is hcdcodec.encode


@pytest.mark.parametrize("kind", [memoryview, torch.from_numpy, np.ma.masked_array, lambda pixels: pixels[::-1][::-1]])
def test_what_numpy_takes_for_an_array_is_encoded(draw: Draw, kind: Any) -> None:
    pixels = draw(9, 7, 3)
    assert hcdcodec.encode(kind(pixels), **FAST) == hcdcodec.encode(pixels, **FAST)


@pytest.mark.parametrize(
    "pixels",
    [None, 3, [[1, 2], [3]], [[1, 2], [3, 4]], np.uint8(3), np.array(3, np.uint8), np.zeros(3, np.uint8)],
)
def test_what_is_no_picture_is_a_picture_error(pixels: Any) -> None:
    with pytest.raises(hcdcodec.PictureError, match="is no picture; pass"):
        hcdcodec.encode(pixels, **FAST)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": "4"},
        {"scale": [4]},
        {"scale": 4.5},
        {"effort": "3"},
        {"effort": 1.5},
        {"quality": "75"},
        {"quality": None},
        {"method": []},
        {"backbone": None},
        {"device": None},
        {"device": "toaster"},
        {"weights_dir": []},
        {"weights_dir": 3},
    ],
)
def test_options_of_other_types_are_usage_errors(draw: Draw, options: dict[str, Any]) -> None:
    with pytest.raises(hcdcodec.UsageError, match="; ") as caught:
        hcdcodec.encode(draw(8, 8), **{**FAST, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("goal", ["many", [1]])
def test_a_target_of_another_type_is_a_usage_error(goal: Any) -> None:
    with pytest.raises(hcdcodec.UsageError, match="out of range"):
        hcdcodec.Target(max_bytes=goal)


def test_a_directory_may_be_named_by_bytes(draw: Draw, tmp_path: Path) -> None:
    options: dict[str, Any] = {"effort": 0, "weights_dir": os.fsencode(tmp_path)}
    assert hcdcodec.encode(draw(8, 8), **options)


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_any_buffer_is_decoded(draw: Draw, kind: Any) -> None:
    data = hcdcodec.encode(draw(9, 7, 3), **FAST)
    assert np.array_equal(hcdcodec.decode(kind(data)), hcdcodec.decode(data))


@pytest.mark.parametrize(
    ("data", "options"),
    [("photo.hcd.png", {}), (None, {}), (3, {}), (b"", {"max_pixels": "9"}), (b"", {"weights_dir": 3})],
)
def test_what_is_no_content_is_our_own_error(data: Any, options: dict[str, Any]) -> None:
    with pytest.raises(hcdcodec.HcdError, match="; "):
        hcdcodec.decode(data, **options)


def test_a_device_that_there_is_none_of_is_a_usage_error() -> None:
    with pytest.raises(hcdcodec.UsageError, match="no device is called 'toaster'; "):
        hcdcodec.load_backbone("bicubic", 4, device="toaster")


FORK = """
import os, signal
import numpy, torch
import hcdcodec
torch.set_num_threads(2)
pixels = numpy.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype("uint8")
hcdcodec.decode(hcdcodec.encode(pixels, effort=1))
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.alarm(60)
hcdcodec.decode(hcdcodec.encode(pixels, effort=1))
os._exit(0)
"""


def test_a_forked_process_encodes() -> None:
    """The threads of torch and oxipng do not come along, and the child waited for them for ever."""
    assert subprocess.run([sys.executable, "-c", FORK], check=False).returncode == 0


SHORTAGE = """
import re, resource, sys
import numpy
import hcdcodec
what, pixels = sys.argv[1], numpy.zeros((1500, 1500, 3), "uint8")
small = hcdcodec.encode(pixels[:64, :64], effort=1)
whole = hcdcodec.encode(pixels, backbone="bicubic", effort=0)
hcdcodec.decode(small)
used = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1])
resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 20), -1))
try:
    hcdcodec.encode(pixels, effort=1) if what == "encode" else hcdcodec.decode(whole)
except MemoryError:
    sys.exit(0)
sys.exit(1)
"""


@pytest.mark.parametrize("what", ["encode", "decode"])
def test_too_little_memory_is_a_memory_error(what: str) -> None:
    assert subprocess.run([sys.executable, "-c", SHORTAGE, what], check=False).returncode == 0
