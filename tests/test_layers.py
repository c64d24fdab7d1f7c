"""Imports point downwards only, the two directions do not know each other, and torch comes in late."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import hcdcodec

ROOT = Path(hcdcodec.__file__).parent

# From the bottom to the top: a module may import modules of lines above its own. A new module needs a place here.
LAYERS = (
    "errors training files pictures format networks networks.native engine codec codec.search batch compare",
    "tiles files.find engine.luma_weight pictures.png_chunks format.grid batch.outcome training.recipe batch.free_memory format.oxipng_worker networks.reference_chart",
    "files.plan pictures.metadata pictures.formats report progress format.oxipng_pool networks.base networks.native.winograd",
    "files.disk pictures.picture pictures.strip batch.stages networks.noise networks.invertible_blocks networks.bicubic networks.crn networks.weights",
    "format.header training.gallery pictures.metrics networks.hcflow_steps networks.irn",
    "format.container networks.hcflow",
    "compare.pairs networks.checkpoints",
    "networks.sr",
    "networks.registry",
    "compare.sheet engine.engine codec.search.bit_cost networks.import_checkpoint",
    "codec.search.refine",
    "codec.settings",
    "codec.encode codec.decode training.loss",
    "codec.target",
    "batch.encode_files training.validate training.log",
    "batch.ray_cluster api training.trainer",
    "training.run",
    "commands commands.options commands.exits",
    "commands.execution",
    "commands.batch commands.inspection commands.networks",
    "cli",
)
RANK = {f"hcdcodec.{name}": rank for rank, line in enumerate(LAYERS) for name in line.split()}

# Networks and training need torch.
HEAVY = frozenset({"networks", "training.gallery", "engine.luma_weight", "engine", "training"})
WITHOUT_TORCH = [
    f"hcdcodec.{name}"
    for line in [*LAYERS[:6], "compare.pairs compare.sheet cli commands"]
    for name in line.split()
    if name.partition(".")[0] not in HEAVY
]


def module_name(path: Path) -> str:
    parts = ("hcdcodec", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported_by(node: ast.AST) -> Iterator[str]:
    """Yield the modules that one import statement needs; `from package import module` counts as the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0 and node.module is not None, "relative imports hide where they lead"
        inside = {f"{node.module}.{alias.name}" for alias in node.names}
        modules = inside & MODULES.keys()
        yield from modules
        if modules != inside:
            yield node.module


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@cache
def imports(name: str) -> frozenset[str]:
    """Return all that a module imports anywhere: at its top, inside functions, for types."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    return frozenset(found for node in ast.walk(tree) for found in imported_by(node))


@cache
def imports_at_once(name: str) -> frozenset[str]:
    """Return what importing a module imports: its top level, and the packages that it lies in."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    body = [node for node in tree.body if not is_for_types_only(node)]
    inner = (statement for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef) for statement in
             ast.walk(node))  # fmt: skip
    parents = {name.rpartition(".")[0]} - {""}
    return frozenset(found for node in inner for found in imported_by(node)) | parents


def closure(name: str) -> set[str]:
    """Return everything that is loaded once a module is imported; of foreign packages the name alone."""
    seen: set[str] = set()
    pending = [name]
    while pending:
        module = pending.pop()
        if module in seen:
            continue
        seen.add(module)
        if module in MODULES:
            pending += imports_at_once(module)
    return seen - {name}


def test_every_module_has_a_place() -> None:
    assert MODULES.keys() - {"hcdcodec"} == RANK.keys()


@pytest.mark.parametrize("name", sorted(RANK))
def test_imports_point_downwards(name: str) -> None:
    wrong = {other for other in imports(name) if other in RANK and RANK[other] >= RANK[name]}
    assert not wrong


def test_no_module_needs_the_command_line() -> None:
    assert not [name for name in MODULES if "hcdcodec.cli" in imports(name)]


def test_the_package_itself_loads_nothing_but_errors() -> None:
    assert {name for name in imports_at_once("hcdcodec") if name.startswith("hcdcodec")} == {"hcdcodec.errors"}


def test_networks_know_nothing_of_files_and_search() -> None:
    allowed = {"hcdcodec", "hcdcodec.errors", "hcdcodec.tiles"}
    for name in MODULES:
        if name.startswith("hcdcodec.networks"):
            outside = {other for other in imports(name) if other.startswith("hcdcodec")} - allowed
            assert all(other.startswith("hcdcodec.networks") for other in outside), name


def test_decoding_never_loads_the_search() -> None:
    assert not closure("hcdcodec.codec.decode") & {"hcdcodec.codec.encode", "hcdcodec.codec.search.refine"}
    assert "hcdcodec.codec.decode" not in closure("hcdcodec.codec.encode")
    assert "hcdcodec.codec.search.refine" in closure("hcdcodec.codec.encode")


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_rooms_without_torch(name: str) -> None:
    heavy = {found.partition(".")[0] for found in closure(name)} & {"torch", "safetensors"}
    assert not heavy


def test_the_reader_of_imports_finds_torch_where_it_is() -> None:
    for name in ("engine.engine", "codec.search.refine", "batch.encode_files", "api", "networks.base"):
        assert "torch" in closure(f"hcdcodec.{name}"), name


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


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["encode", "--help"], ["info"], ["nothing"]])
def test_quick_commands_do_not_load_torch(encoded: Path, arguments: list[str]) -> None:
    named = [*arguments, str(encoded)] if arguments == ["info"] else arguments
    ran = subprocess.run([sys.executable, "-c", COMMAND, *named], capture_output=True, text=True, check=False)
    assert ran.returncode == (2 if arguments == ["nothing"] else 0)
    assert ran.stderr.splitlines()[-1] == "False"


def test_importing_the_package_does_not_load_torch() -> None:
    code = "import sys, hcdcodec; assert 'torch' not in sys.modules; hcdcodec.Ste; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


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
