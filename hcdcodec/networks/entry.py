"""One entry of a manifest, and the checks of its fields."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

LATER_FIELDS = ("settings_hash", "experimental")
"""Fields that release 0.1.0 does not know. It refuses a manifest with one, so each is written only where it is set."""

_LARGEST = 1 << 63
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One entry of a manifest: what a file of weights is, where it comes from, and what was measured with it.

    Attributes:
        name: name of the backbone.
        scale: HR size / LR size.
        file: name of the safetensors file in the manifest's directory.
        hash: model hash, 64 hexadecimal digits (see `weights.model_hash`).
        parameters: number of trained values.
        details_scale: standard deviation of the details z that the decoder uses; 0 = zeros.
        licence: licence of the weights.
        origin: training data, recipe, command and hours, or the official file from which they were imported.
        measured: measured values by name, "set/measure/setting" -> dB, seconds or SSIM.
        settings_hash: the model hash that stands for these weights in the text of settings; empty = their own hash.
            Better shipped weights name the first shipped weights of their name and scale here, so that existing
            results stay up to date.
        experimental: whether other weights may be better for everything; `models list` says so.
    """

    name: str
    scale: int
    file: str
    hash: str
    parameters: int
    details_scale: float = 0.0
    licence: str = ""
    origin: Mapping[str, str] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    settings_hash: str = ""
    experimental: bool = False


def read_entry(given: object) -> Entry:
    """Read an entry. Unknown fields come from later releases and are ignored.

    Raises:
        ValueError: a field is missing or has an impossible value.
    """
    if not isinstance(given, dict):
        raise ValueError("an entry is no object")
    values = {known.name: given[known.name] for known in fields(Entry) if known.name in given}
    for known in fields(Entry):
        if known.name not in values and known.default is MISSING and known.default_factory is MISSING:
            raise ValueError(f"an entry has no {known.name!r}")
        if known.name in values and not _CHECKS[known.name](values[known.name]):
            raise ValueError(f"{known.name!r} of an entry makes no sense")
    return Entry(**values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value) and value >= 0


def _is_number(value: Any) -> bool:
    # In Python, True is an int; in JSON it is not. And an int of 400 digits is too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and not _LARGEST < abs(value) < math.inf


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "scale": _is_count,
    # A name without a path: a foreign manifest must not point to files outside of its directory.
    "file": lambda value: _is_text(value) and value not in ("", ".", "..") and value.isprintable() and "/" not in value,
    "hash": _is_hash,
    "parameters": _is_count,
    "details_scale": lambda value: _is_number(value) and 0 <= value < math.inf,
    "licence": _is_text,
    "origin": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "measured": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "settings_hash": lambda value: value == "" or _is_hash(value),
    "experimental": lambda value: isinstance(value, bool),
}
