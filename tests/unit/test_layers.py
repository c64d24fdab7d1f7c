"""Imports point downwards only, the two directions do not know each other, and torch comes in late."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import hcdcodec


def test_imports_point_downwards() -> None:
    """The contracts stand in pyproject.toml; import-linter names the chain of imports that breaks one."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    ran = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_development_page_draws_the_contract_and_names_files_that_exist() -> None:
    package = Path(hcdcodec.__file__).parent
    page = (package / "docs/development.md").read_text(encoding="utf-8")
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    assert re.findall(r"^    ((?:\w+ : )*\w+)(?:  .*)?$", page, re.MULTILINE) == contract["layers"]
    names = [name for name in re.findall(r"[\w/]+\.py\b", page) if "NAME" not in name]
    assert len(names) > 50
    assert [name for name in names if not ((package / name).is_file() or (ROOT / name).is_file())] == []


# Importing these loads no torch: commands that only look at files must answer at once.
WITHOUT_TORCH = (
    *("errors", "tiles", "files", "pictures", "format", "compare", "cli", "batch/outcome", "batch/stages"),
    *("networks/entry", "networks/families", "networks/manifest"),
    *("codec/options", "codec/settings", "codec/search/options"),
)
LOAD = (
    "import sys, importlib; list(map(importlib.import_module, sys.argv[1:]));"
    "sys.exit(bool({'torch', 'safetensors'} & sys.modules.keys()))"
)


def test_modules_without_torch() -> None:
    root = Path(hcdcodec.__file__).parent
    files = [file for name in WITHOUT_TORCH for file in [*(root / name).glob("*.py"), *root.glob(f"{name}.py")]]
    names = [".".join(("hcdcodec", *file.relative_to(root).with_suffix("").parts)) for file in files]
    assert len(names) > 30
    subprocess.run([sys.executable, "-c", LOAD, *names], check=True)


def test_every_public_name_is_there() -> None:
    assert all(hasattr(hcdcodec, name) for name in hcdcodec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hcdcodec.nothing


# --- in a fresh process -----------------------------------------------------------------------------------------------

COMMAND = """
import sys
sys.argv = ["hcdcodec", *sys.argv[1:]]
from hcdcodec.cli import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoded") / "a.hcd.png"
    path.write_bytes(hcdcodec.encode(np.zeros((8, 8, 3), np.uint8), backbone="bicubic", effort=0))
    return path


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["encode", "--help"], ["info"], ["nothing"], ["models", "list"]]
)
def test_quick_commands_do_not_load_torch(encoded: Path, arguments: list[str]) -> None:
    named = [*arguments, str(encoded)] if arguments == ["info"] else arguments
    ran = subprocess.run([sys.executable, "-c", COMMAND, *named], capture_output=True, text=True, check=False)
    assert ran.returncode == (2 if arguments == ["nothing"] else 0)
    assert ran.stderr.splitlines()[-1] == "False"


def test_importing_the_package_does_not_load_torch() -> None:
    code = (
        "import sys, hcdcodec; assert 'torch' not in sys.modules; hcdcodec.load_backbone; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


SEARCH = """
import sys, numpy, torch
before = "sympy" in sys.modules
import hcdcodec
hcdcodec.encode(numpy.zeros((8, 8, 3), numpy.uint8), backbone="bicubic", effort=1)
sys.exit(("sympy" in sys.modules) != before)
"""


def test_a_search_loads_no_algebra() -> None:
    """PyTorch imports sympy, in 0.3 s, as soon as it compares the shapes of slopes that someone gives it."""
    subprocess.run([sys.executable, "-c", SEARCH], check=True)


def test_what_makes_no_sense_is_said_before_torch_is_loaded(tmp_path: Path) -> None:
    arguments = ["encode", str(tmp_path / "missing.png"), str(tmp_path / "small/")]
    ran = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == "False"


@pytest.mark.parametrize(("given", "expected"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_torchs_threads_do_not_spin_unless_the_user_wants_it(given: dict[str, str], expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    code = "import sys, os, hcdcodec; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env={**environment, **given}, check=True, capture_output=True, text=True).stdout
    assert said.split() == [expected, "False"]
