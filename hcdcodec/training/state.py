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
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        raise ModelError(f"{path.name} in the output directory is damaged; start over with --no-resume") from error
    fault = _find_fault(content, parameters)
    if fault:
        raise ModelError(f"{path.name} in the output directory is no training ({fault}); start over with --no-resume")
    return content  # type: ignore[no-any-return]


def _find_fault(content: object, parameters: Sequence[torch.Tensor]) -> str:
    """Return what is wrong with a state; empty for nothing."""
    if not isinstance(content, dict):
        return "no table of members"
    for name, kind in _MEMBERS.items():
        if not isinstance(content.get(name), kind):
            return f"no {name}"
    if not 0 <= content["minutes"] < math.inf or content["iteration"] < 0:
        return f"{content['iteration']} iterations in {content['minutes']:g} minutes"
    for name in ("network", "average"):
        if not all(isinstance(values, torch.Tensor) for values in content[name].values()):
            return f"{name} holds more than tensors"
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
    return all(
        isinstance(each[name], torch.Tensor) and each[name].dtype == torch.float32 and each[name].shape == wanted
        for name, wanted in shapes.items()
    )
