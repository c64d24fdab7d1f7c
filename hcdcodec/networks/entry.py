"""One line of a manifest: what it says of some weights, and what of it makes sense."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One line of a manifest: what a file is, where it comes from, what was measured with it.

    Attributes:
        name: backbone.
        scale: HR size / LR size.
        file: name of the safetensors file in the manifest's directory.
        hash: model hash, 64 hexadecimal digits (see `weights.model_hash`).
        parameters: number of trained values.
        details_scale: standard deviation of the details z that the decoder wants; 0 = zeros.
        licence: licence of the weights.
        origin: training data, recipe, command, hours; or the official file they were imported from.
        measured: figures by name, "set/measure/setting" -> dB.
        settings_hash: the model hash that stands for these weights in the text of settings; empty = their own. Better
            weights that are shipped name the first shipped ones of their name and scale, so that what was encoded
            with those stays up to date.
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


def read_entry(given: object) -> Entry:
    """Return an entry, whose unknown fields are those of later releases and do not count.

    Raises:
        ValueError: a field is missing or makes no sense.
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
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "scale": _is_count,
    # A plain name: what a manifest lists lies in its directory.
    "file": lambda value: _is_text(value) and value not in ("", ".", "..") and value.isprintable() and "/" not in value,
    "hash": _is_hash,
    "parameters": _is_count,
    "details_scale": lambda value: _is_number(value) and 0 <= value < math.inf,
    "licence": _is_text,
    "origin": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "measured": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "settings_hash": lambda value: value == "" or _is_hash(value),
}
