"""Run the tests against the lowest versions that pyproject.toml allows, and against the newest.

    nice python -m benchmarks.robustness.lowest_versions
    nice python -m benchmarks.robustness.lowest_versions --only lowest

pip fills a fresh virtual environment for each. What the package depends on, and what its extra `sr` adds, gets the
version that is asked for; the tools of the tests get their newest. Settings of pip hold (PIP_EXTRA_INDEX_URL with
PyTorch's index of CPU builds saves gigabytes).
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import record

RUNTIME_EXTRAS = ("sr",)
ENDS = ("lowest", "newest")


def main() -> None:
    """Run the tests at both ends of the ranges and write how they ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=ENDS, help="default: both")
    parser.add_argument("--tests", nargs="*", default=["tests"], metavar="PATH", help="default: tests")
    given = record.parse(parser)
    statuses = []
    for end in ENDS if given.only is None else (given.only,):
        result = _tried(end, given.tests)
        statuses.append(result["exit status"])
        record.write_json(given.out / f"{end}_versions.json", result)
    sys.exit(any(statuses))


def lowest() -> dict[str, str]:
    """Return package -> the lowest version that pyproject.toml allows."""
    project = tomllib.loads((record.ROOT / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][extra] for extra in RUNTIME_EXTRAS]
    return dict(_floor(text) for text in [*project["dependencies"], *(text for extra in extras for text in extra)])


def _floor(requirement: str) -> tuple[str, str]:
    """Split "torch>=2.6,<2.14" into ("torch", "2.6")."""
    name, version = re.split(">=", re.sub(r",.*|;.*", "", requirement))
    return name.strip(), version.strip()


def _tried(end: str, tests: list[str]) -> dict[str, object]:
    """Make an environment, run the tests in it, and return what they said."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        limits = Path(folder) / "limits.txt"
        limits.write_text("".join(_limits(end)))
        install = ["-m", "pip", "install", "--quiet", "--constraint", str(limits), f"{record.ROOT}[test]"]
        subprocess.run([python, *install], check=True)
        listed = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
        arguments = ["-m", "pytest", "-p", "no:cacheprovider", *tests]
        tested = subprocess.run([python, *arguments], cwd=record.ROOT, capture_output=True, text=True, check=False)
    print(tested.stdout)
    return {
        "versions": {name: _version(listed, name) for name in lowest()},
        "exit status": tested.returncode,
        "failed": re.findall(r"^(?:FAILED|ERROR) (\S+)", tested.stdout, re.MULTILINE),
        "summary": tested.stdout.rstrip().rpartition("\n")[2],
    }


def _limits(end: str) -> Iterator[str]:
    if end == "lowest":
        yield from (f"{name}=={version}\n" for name, version in lowest().items())


def _version(listed: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}==(\S+)", listed, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else "not installed"


if __name__ == "__main__":
    main()
