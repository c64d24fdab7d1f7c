"""Checkpoints as torch saves them, for the tests of their import."""

import subprocess
from pathlib import Path

import torch


def saved(path: Path, content: object, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


class Payload:
    """Runs a command when unpickled carelessly."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return subprocess.check_call, (["touch", str(self.target)],)
