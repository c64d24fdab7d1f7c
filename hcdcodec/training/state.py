"""The state of a training as a file: read, and checked before anything of it is used.

A file that a stranger made, or that damage changed, must not reach the optimiser: with tensors of other shapes its
native code writes where it should not.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hcdcodec.errors import ModelError
from hcdcodec.networks.checkpoints import is_named_tensor, read_bytes, unpickle

_MEMBERS: Mapping[str, type] = {
    "recipe": dict,
    "network": dict,
    "average": dict,
    "optimiser": dict,
    "iteration": int,
    "minutes": float,
    "start": str,
    "is_decoder_held": bool,
}


def read_state(path: Path, parameters: Sequence[torch.Tensor]) -> Mapping[str, Any]:
    """Read what a run left; only tensors and plain numbers are ever rebuilt.

    Args:
        path: the file.
        parameters: of the network, in the optimiser's order.

    Raises:
        ModelError: it is damaged or something else.
    """
    try:
        content = unpickle(read_bytes(path))
    except ModelError as error:
        raise ModelError(f"{path.name} in the output folder is damaged; start over with --no-resume") from error
    members: dict[str, Any] = content if isinstance(content, dict) else {}
    if fault := _find_fault(members, parameters):
        raise ModelError(f"{path.name} in the output folder is no training ({fault}); start over with --no-resume")
    # States of earlier releases have no such members.
    later = {"start_db": None, "pictures": "", "validation": ""}
    return {**later, **members, "optimiser": {"state": _copy(members["optimiser"]["state"])}}


def _copy(moments: Mapping[int, Mapping[str, torch.Tensor]]) -> dict[int, dict[str, torch.Tensor]]:
    """Return moments in memory of their own: those of a file may overlap, and the optimiser writes into them."""
    return {number: {name: values.clone() for name, values in each.items()} for number, each in moments.items()}


def _find_fault(content: Mapping[str, Any], parameters: Sequence[torch.Tensor]) -> str:
    """Return what is wrong with a state; empty for nothing."""
    for name, kind in _MEMBERS.items():
        if not isinstance(content.get(name), kind):
            return f"no {name}"
    if not 0 <= content["minutes"] < math.inf or content["iteration"] < 0:
        return f"{content['iteration']} iterations in {content['minutes']:g} minutes"
    start_db = content.get("start_db")
    if start_db is not None and not (isinstance(start_db, float) and math.isfinite(start_db)):
        return "a start_db that is no number"
    for name in ("pictures", "validation"):
        if not isinstance(content.get(name, ""), str):
            return f"{name} that is no text"
    for name in ("network", "average"):
        if not all(map(is_named_tensor, content[name].items())):
            return f"{name} holds more than tensors"
    if not all(isinstance(value, str | int | float) for value in content["recipe"].values()):
        return "recipe holds more than numbers"
    return "" if _fits(content["optimiser"].get("state"), parameters) else "moments that do not fit the weights"


def _fits(moments: object, parameters: Sequence[torch.Tensor]) -> bool:
    """Tell whether Adam's moments, by number of the parameter, have the shapes of the parameters."""
    if not isinstance(moments, dict) or not moments.keys() <= set(range(len(parameters))):
        return False
    return all(_are_moments(each, parameters[number].shape) for number, each in moments.items())


def _are_moments(each: object, shape: torch.Size) -> bool:
    if not isinstance(each, dict) or each.keys() != {"step", "exp_avg", "exp_avg_sq"}:
        return False
    shapes = {"step": torch.Size(()), "exp_avg": shape, "exp_avg_sq": shape}
    return all(map(is_named_tensor, each.items())) and all(
        each[name].dtype == torch.float32 and each[name].shape == wanted for name, wanted in shapes.items()
    )
