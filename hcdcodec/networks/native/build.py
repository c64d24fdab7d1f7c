"""Building of the library and of the manual page when hcdcodec is installed; hatchling calls it.

Without a compiler there is no library.

Neither Python nor torch is compiled or linked against, so that one wheel serves all their versions.
"""

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent
NAME = "libwinograd.so"
PLACE = f"hcdcodec/networks/native/{NAME}"

# Not -ffast-math: linked with it, a library makes the whole process take tiny numbers for zero.
FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=fast", "-fPIC", "-pthread")
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")
LEVELS: Mapping[str, tuple[str, ...]] = {
    "avx2": ("-mavx2", "-mfma"),
    "avx512": AVX512,
    "avx512bf16": (*AVX512, "-mavx512bf16"),
}
"""What winograd.c is compiled with, once a level (library.py finds out which ones a processor has)."""

COMPILING_S = 300


class CustomBuildHook(BuildHookInterface[Any]):
    """Put both into wheels; editable installations have the library beside the source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling."""
        if self.target_name != "wheel":
            return
        self._folder = tempfile.TemporaryDirectory()
        self._add_man_page(build_data)
        path = HERE / NAME if version == "editable" else Path(self._folder.name) / NAME
        if not compile_to(path):
            self.app.display_warning("hcdcodec: no C compiler for this processor; everything works, but slower")
            return
        if version == "editable":
            return
        build_data["force_include"][str(path)] = PLACE
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def _add_man_page(self, build_data: dict[str, Any]) -> None:
        path = Path(self._folder.name) / "hcdcodec.1"
        # In a process of its own, since the source is no package of the build's Python.
        command = [sys.executable, "-m", "hcdcodec.cli.man_page", self.metadata.version]
        made = subprocess.run(command, cwd=self.root, capture_output=True, check=False)
        if made.returncode:
            self.app.display_warning(f"hcdcodec: no manual page; {made.stderr.decode().strip()[-200:]}")
            return
        path.write_bytes(made.stdout)
        build_data["shared_data"][str(path)] = f"share/man/man1/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """See hatchling."""
        if self.target_name == "wheel":
            self._folder.cleanup()


def compile_to(path: Path) -> bool:
    """Compile and link the library; return whether that went well. What stood at `path` is gone if not."""
    path.unlink(missing_ok=True)
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            _link(Path(folder)).replace(path)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _link(folder: Path) -> Path:
    """Compile winograd.c once a level and capability.c for any processor; return the library, in `folder`."""
    sources = {"capability": ("capability.c", ())} | {
        level: ("winograd.c", (f"-DLEVEL={level}", *own)) for level, own in LEVELS.items()
    }
    for name, (source, own) in sources.items():
        _compile(*own, "-c", str(HERE / source), "-o", str(folder / f"{name}.o"))
    made = folder / NAME
    _compile("-shared", *(str(folder / f"{name}.o") for name in sources), "-o", str(made))
    return made


def _compile(*arguments: str) -> None:
    command = [*shlex.split(os.environ.get("CC", "cc")), *FLAGS, *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=COMPILING_S)
