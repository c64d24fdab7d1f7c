"""Turn the weights of a small CRN pair into weights of a larger pair that computes the same, to start a training.

A pair can grow in three ways: more residual convolutions, more channels, and a scale that is a multiple of the old one.
"""

import math
from collections.abc import Mapping

import torch

Weights = Mapping[str, torch.Tensor]

_TRUNKS = ("encoder", "decoder")


def grow(state: Weights, own: Weights) -> Weights:
    """Return the weights of a smaller pair as weights of a larger one.

    At twice the scale, the encoder reads the mean of each 2x2 block in place of a pixel, and the decoder gives all
    pixels of a block the same correction. New residual convolutions are zero, and are spread among the others. New
    channels start with half of their initial values, and no other weight reads them yet.

    Args:
        state: weights of the smaller pair.
        own: initial weights of the larger pair.

    Returns:
        Weights for the larger pair; `state` itself where it does not belong to a smaller pair.
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
    """Return, for each name of the larger pair, the name of the tensor to copy; empty where zeros are needed."""
    sources = {name: name for name in own}
    for trunk in _TRUNKS:
        depth, wanted = count_residuals(state, trunk), count_residuals(own, trunk)
        # The middle of each old layer's share of the depth, so that new layers stand between the old ones evenly.
        places = {(2 * old + 1) * wanted // (2 * depth): old for old in range(depth)}
        for place in range(wanted):
            for kind in ("weight", "bias"):
                source = f"{trunk}.body.{places[place]}.{kind}" if place in places else ""
                sources[f"{trunk}.body.{place}.{kind}"] = source
    return sources


def _match_scale(state: Weights, own: Weights) -> Weights:
    """Return the weights for the larger scale if it is a multiple of their own scale; else return them unchanged."""
    head = "encoder.head.weight"
    if head not in state or state[head].dim() != 4:
        return state
    before, after = (math.isqrt(weights[head].shape[1] // 3) for weights in (state, own))
    if not before or after % before or state[head].shape[1] != 3 * before**2:
        return state
    ratio = after // before
    tail = {name: _repeat(state[name], before, ratio) for name in state if name.startswith("decoder.tail.")}
    # The encoder's first layer reads pixel-unshuffled blocks. Divided by the number of copies, the sum becomes a mean.
    inputs = _repeat(state[head].transpose(0, 1), before, ratio).transpose(0, 1) / ratio**2
    return {**state, **tail, head: inputs}


def _repeat(values: torch.Tensor, scale: int, ratio: int) -> torch.Tensor:
    """Repeat channels for each pixel of a block: (3 * scale**2, ...) -> (3 * (ratio * scale)**2, ...)."""
    # `F.pixel_shuffle` orders channels by colour, then by row, then by column inside a block.
    if values.shape[0] != 3 * scale**2:
        return values
    blocks = values.reshape(3, scale, scale, *values.shape[1:])
    return blocks.repeat_interleave(ratio, 1).repeat_interleave(ratio, 2).flatten(0, 2)


def _is_part(values: torch.Tensor, whole: torch.Tensor) -> bool:
    """Tell whether a tensor has the kernel size of a larger one, and no more channels."""
    channels = zip(values.shape[:2], whole.shape[:2], strict=False)
    return values.dim() == whole.dim() and values.shape[2:] == whole.shape[2:] and all(a <= b for a, b in channels)


def _widen(values: torch.Tensor, initial: torch.Tensor) -> torch.Tensor:
    """Return (out, in, 3, 3) or (out,) values with more channels."""
    # Not zero: new channels with zero weights on both sides would get no gradient.
    wide = 0.5 * initial
    outputs = values.shape[0]
    wide[:outputs] = 0  # known outputs read no new inputs
    if values.dim() == 1:
        wide[:outputs] = values
    else:
        wide[:outputs, : values.shape[1]] = values
    return wide
