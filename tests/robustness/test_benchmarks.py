"""Every benchmark runs, on next to nothing: what it says is of no worth, but it still fits the package."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(
    ".".join(path.relative_to(FOLDER).with_suffix("").parts)
    for path in FOLDER.glob("*/*.py")
    if path.parent.name != "common"
)
SMALL = ("--limit", "1", "--crop", "32")
FAST = ("--backbone", "bicubic")
COMMAND = ("--limit", "1", "--effort", "0", *FAST)

# What makes each script quick, and what it must leave behind.
CALLS: dict[str, tuple[tuple[str, ...], str]] = {
    "checks.block_means": ((*SMALL, "--qualities", "75"), "block_means_*.csv"),
    "checks.decoders": (("--effort", "0"), "decoders.csv"),
    "checks.drift": ((*SMALL, "--backbones", "bicubic"), "drift.csv"),
    "checks.estimate": (("--mixed", "8", "--effort", "0", "--qualities", "38", *FAST), "estimate.csv"),
    "checks.seams": ((*SMALL, *FAST, "--tile", "4", "--halo", "1"), "seams_*.csv"),
    "choices.bit_estimates": ((*SMALL, *FAST), "bit_estimates_*.csv"),
    "choices.decode_formats": ((*SMALL, *FAST), "decode_formats_*.csv"),
    "choices.png_levels": ((*SMALL, *FAST), "png_levels_*.csv"),
    "choices.restored_png": ((*SMALL, *FAST), "restored_png_*.csv"),
    "codecs.containers": ((*SMALL, *FAST), "containers_*.csv"),
    "codecs.rate_distortion": ((*SMALL, *FAST, "--qualities", "100", "38", "--efforts", "1"), "*_conclusions.csv"),
    "codecs.settings": ((*SMALL, *FAST), "settings_*.csv"),
    "codecs.showcase": (("--quality", "38", *FAST, "--effort", "0"), "showcase.csv"),
    "paper.adversarial": ((*SMALL, *FAST, "--steps", "1"), "adversarial_*.csv"),
    "paper.gain": ((*SMALL, *FAST, "--efforts", "1", "--lengths", "1", "--windows"), "gain_*.csv"),
    "paper.perturbation": ((*SMALL, *FAST, "--effort", "1"), "perturbation_*.csv"),
    "paper.tables": (("table2", "figure7", *SMALL, *FAST), "figure7_*.csv"),
    "robustness.crash": (("--rounds", "1", "--many", "9"), "crash.json"),
    "robustness.fuzz": (("--seconds", "1", "--engine", "chance"), "fuzz.json"),
    "robustness.hostile": (("--limit", "1"), "hostile.csv"),
    "robustness.ray_workers": (("--pictures", "6"), "ray_workers.json"),
    "robustness.sanitizers": (("--calls", "1"), "sanitizers.csv"),
    "speed.batch_size": (("--limit", "1", "--side", "32", "--effort", "1", *FAST), "batch_size_*.csv"),
    "speed.beside_paper": (("--limit", "1", "--side", "32", *FAST), "beside_paper_*.csv"),
    "speed.defaults": ((*SMALL, *FAST), "defaults_*.csv"),
    "speed.idle_commands": ((str(ROOT), "--pictures", "2", "--rounds", "1"), "idle_commands.csv"),
    "speed.kernel": (("--rounds", "1", "--shape", "16", "1", "1", "8"), "kernel.csv"),
    "speed.memory_growth": (COMMAND, "memory_growth.csv"),
    "speed.memory_peak": (COMMAND, "memory_peak.csv"),
    "speed.models": (("--crop", "8"), "models.csv"),
    "speed.overlap": (COMMAND, "overlap.csv"),
    "speed.per_picture": ((*SMALL, *FAST, "--repeat", "1"), "per_picture_*.csv"),
    "speed.progress": (("--small", "1", "--megapixels", "0.1", "--effort", "0", *FAST), "progress_*.csv"),
    "speed.picture_count": (COMMAND, "picture_count.csv"),
    "speed.where": (("--limit", "1", "--rounds", "1", *FAST), "where.csv"),
    "terminal.recording": (("--columns", "70", "--effort", "0", *FAST), "70.txt"),
}
NEEDS = {"robustness.ray_workers": "ray"}
TOO_LONG = {
    "robustness.lowest_versions": "it installs everything anew, and runs these tests",
    "speed.checkouts": "it needs another checkout",
    "speed.training": "it needs another checkout",
}
ALONE = {"robustness.crash", "robustness.hostile"}  # they fork, which a process with threads must not


def run(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script as `python -m` does, in this process where that is possible."""
    monkeypatch.chdir(ROOT)
    if name in ALONE:
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=True, capture_output=True)
        return
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [module.__file__, *arguments])
    try:
        module.main()
    except SystemExit as left:
        assert not left.code, left.code


def environment() -> dict[str, str]:
    """Return the environment, without what PyTorch keeps in it for itself once it has compiled something."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TORCHINDUCTOR_")}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in TOO_LONG:
        pytest.skip(TOO_LONG[name])
    pytest.importorskip("matplotlib")
    if name == "speed.where" and not Path(sys.executable).with_name("py-spy").is_file():
        pytest.skip("it needs py-spy")
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    arguments, left = CALLS[name]
    keep = ["--keep", str(tmp_path / "broken")] if name == "robustness.fuzz" else []
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as scripts that fork set it
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # as importing hcdcodec sets it
    before = environment()
    run(name, [*arguments, *keep, "--out", str(tmp_path)], monkeypatch)
    assert environment() == before
    (made,) = tmp_path.glob(left)
    assert f"command: python -m benchmarks.{name} {arguments[0]} " in made.read_text()


def test_a_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # what `import` takes for "not installed"
    monkeypatch.setattr(sys, "argv", ["ray_workers.py"])
    with pytest.raises(SystemExit):
        importlib.import_module("benchmarks.robustness.ray_workers").main()
    assert "Ray is not installed; pip install 'hcdcodec[ray]'" in capsys.readouterr().err


def test_scripts_import_no_scripts() -> None:
    for path in FOLDER.glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            own = [name for name in names if name.startswith("benchmarks")]
            assert all(name.startswith("benchmarks.common") for name in own), path
