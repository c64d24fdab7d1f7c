"""Weights of a smaller CRN pair become weights of a larger one that computes the same, to begin a training with.

Pairs grow in three ways: more residual convolutions, more channels, and a scale that is a multiple of the old one.
"""

import math
from collections.abc import Mapping

import torch

Weights = Mapping[str, torch.Tensor]

_TRUNKS = ("encoder", "decoder")


def grow(state: Weights, own: Weights) -> Weights:
    """Return the weights of a smaller pair as weights of a larger one.

    At twice the scale the encoder takes the mean of each 2x2 block for the pixel that it knows, and the decoder
    corrects the pixels of a block alike. Residual convolutions that are new are zero, and spread among the others.
    Channels that are new hold half of what the larger pair was initialised with, and nothing reads them yet.

    Args:
        state: of the smaller pair.
        own: of the larger pair, as it was initialised.

    Returns:
        Weights for the larger pair; `state` itself where it is no smaller pair's.
    """
    if any(count_residuals(state, trunk) > count_residuals(own, trunk) for trunk in _TRUNKS):
        return state
    sources = _match_depth(state, own)
    scaled = _match_scale(state, own)
    if any(source not in scaled for source in sources.values() if source):
        return state
    grown = {}
    for name, values in own.items():
        source = sources[name]
        if not source:
            grown[name] = torch.zeros_like(values)
        elif not _is_part(scaled[source], values):
            return state
        else:
            grown[name] = _widen(scaled[source], values)
    return grown


def count_residuals(state: Weights, trunk: str) -> int:
    """Return how many residual convolutions a trunk has."""
    return sum(key.startswith(f"{trunk}.body.") and key.endswith(".weight") for key in state)


def _match_depth(state: Weights, own: Weights) -> dict[str, str]:
    """Return, for each name of the larger pair, the name whose values it takes; empty for what is to be zero."""
    sources = {name: name for name in own}
    for trunk in _TRUNKS:
        depth, wanted = count_residuals(state, trunk), count_residuals(own, trunk)
        places = {(2 * old + 1) * wanted // (2 * depth): old for old in range(depth)}
        for place in range(wanted):
            for kind in ("weight", "bias"):
                source = f"{trunk}.body.{places[place]}.{kind}" if place in places else ""
                sources[f"{trunk}.body.{place}.{kind}"] = source
    return sources


def _match_scale(state: Weights, own: Weights) -> Weights:
    """Return the weights for the larger scale, if that is a multiple of theirs; else as they are."""
    head = "encoder.head.weight"
    if head not in state or state[head].dim() != 4:
        return state
    before, after = (math.isqrt(weights[head].shape[1] // 3) for weights in (state, own))
    if not before or after % before or state[head].shape[1] != 3 * before**2:
        return state
    ratio = after // before
    tail = {name: _repeat(state[name], before, ratio) for name in state if name.startswith("decoder.tail.")}
    inputs = _repeat(state[head].transpose(0, 1), before, ratio).transpose(0, 1) / ratio**2
    return {**state, **tail, head: inputs}


def _repeat(values: torch.Tensor, scale: int, ratio: int) -> torch.Tensor:
    """Repeat channels for each pixel of a block: (3 * scale**2, ...) -> (3 * (ratio * scale)**2, ...).

    `F.pixel_shuffle` numbers channels by colour, then row, then column inside a block.
    """
    if values.shape[0] != 3 * scale**2:
        return values
    blocks = values.reshape(3, scale, scale, *values.shape[1:])
    return blocks.repeat_interleave(ratio, 1).repeat_interleave(ratio, 2).flatten(0, 2)


def _is_part(values: torch.Tensor, whole: torch.Tensor) -> bool:
    """Tell whether values have the kernel of a whole, and no more channels."""
    channels = zip(values.shape[:2], whole.shape[:2], strict=False)
    return values.dim() == whole.dim() and values.shape[2:] == whole.shape[2:] and all(a <= b for a, b in channels)


def _widen(values: torch.Tensor, initial: torch.Tensor) -> torch.Tensor:
    """Return (out, in, 3, 3) or (out,) values with more channels."""
    wide = 0.5 * initial
    outputs = values.shape[0]
    wide[:outputs] = 0  # known outputs read no new inputs
    if values.dim() == 1:
        wide[:outputs] = values
    else:
        wide[:outputs, : values.shape[1]] = values
    return wide
