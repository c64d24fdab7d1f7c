"""Trunks of residual 3x3 convolutions by Winograd's algorithm, with gradients, as one operator of PyTorch.

PyTorch multiplies directly; winograd.c needs a quarter of the multiplications. One call computes a whole trunk. So two
buffers hold in turn what lies between two convolutions, and gradients need only one bit for each sample of it.

Results are the same for any number of threads, and differ from PyTorch's by some 1e-6 of their largest value: as with
other devices there, some ten samples in a million come out one level higher or lower.
"""

import itertools
from collections.abc import Sequence
from enum import IntEnum
from fractions import Fraction
from functools import cache
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from hcdcodec.networks.native.library import (
    CHANNELS,
    CONVOLUTIONS,
    PANEL,
    THREADS,
    Convolution,
    Correlation,
    Kernel,
    kernel,
)

POINTS = {False: (Fraction(1), Fraction(2)), True: (Fraction(2, 3), Fraction(4, 3))}
"""a and b of winograd.c, by whether products are in bfloat16."""

PART_BYTES = 2 << 20
"""Features between two convolutions that a core's share of the caches holds."""

_LINES = 36
"""Values that a tile is transformed to."""

Tensors = Sequence[torch.Tensor]


class Keeps(IntEnum):
    """What a pass keeps: nothing, signs for gradients by the input, or inputs, too, for gradients by the weights."""

    NOTHING = 0
    SIGNS = 1
    INPUTS = 2


def applies(x: torch.Tensor, width: int) -> bool:
    """Tell whether `trunk` may be used now on (B, C, h, w) pictures, with `width` channels inside."""
    fits = x.dtype == torch.float32 and x.device.type == "cpu" and x.shape[1] <= CHANNELS
    traced = torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
    plain = not traced and (halves() or not torch.is_autocast_enabled("cpu"))
    return fits and plain and kernel_for(width) is not None


def kernel_for(width: int) -> Kernel | None:
    """Return the kernel for trunks with `width` channels inside, if there is one."""
    return kernel() if width % PANEL == 0 and width <= CHANNELS else None


def halves() -> bool:
    """Tell whether products can and shall be in bfloat16; with AMX, PyTorch multiplies those."""
    found = kernel()
    wanted = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return wanted and found is not None and found.halves and not torch.cpu._is_amx_tile_supported()


@torch.no_grad()
def transform(weights: Tensors, *, half: bool, back: bool) -> tuple[torch.Tensor, ...]:
    """Return the transforms of a trunk's weights, one tensor each (`u` in winograd.h).

    Args:
        weights: (outs, ins, 3, 3) each, float32 on the CPU.
        half: products are in bfloat16, which not all kernels can.
        back: transform the weights of the convolutions that take gradients back.
    """
    groups = (torch.stack(list(group)) for group in _groups(weights))
    turned = (group.flip(3, 4).transpose(1, 2) if back else group for group in groups)
    return tuple(itertools.chain.from_iterable(_panels(group, half=half) for group in turned))


def trunk(
    x: torch.Tensor, weights: Tensors, biases: Tensors, forward: Tensors, backward: Tensors = (), *, half: bool = False
) -> torch.Tensor:
    """Return what a trunk makes of pictures: convolution and activation, residual convolutions, convolution.

    Args:
        x: (B, C, h, w) float32 on the CPU.
        weights: (outs, ins, 3, 3) each, at least two.
        biases: (outs,) each.
        forward: `transform` of these weights as they are now.
        backward: the same with `back`; not needed without gradients.
        half: as they were transformed.

    Returns:
        (B, outs of the last, h, w) float32.
    """
    rows = _padded(x.permute(0, 2, 3, 1)).contiguous()
    lists = map(list, (weights, biases, forward, backward))
    out: torch.Tensor = torch.ops.hcdcodec.trunk(rows, *lists, half)
    return out.permute(0, 3, 1, 2)[:, : weights[-1].shape[0]]


def _compute(
    x: torch.Tensor,
    weights: Tensors,
    biases: Tensors,
    forward: Tensors,
    backward: Tensors,
    half: bool,
    keeps: Keeps = Keeps.NOTHING,
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Return the output, and what gradients need: signs, and inputs of all convolutions but the first."""
    out, signs, inputs = _places(x, weights, biases, forward, backward, half, keeps)
    chain, last = _Chain(half), len(forward) - 1
    parts = _parts(x, _outs(forward[0]))
    turns = inputs or list(x.new_empty(2, *x[parts[0]].shape[:3], _outs(forward[0])))
    for part in parts:
        v = x[part]
        for index, (u, bias) in enumerate(zip(forward, biases, strict=True)):
            between = turns[index % len(turns)]
            to = out[part] if index == last else between[part] if inputs else between[: len(v)]
            sign = signs[index][part] if index < len(signs) else None
            add = v if 0 < index < last else None
            chain.convolve(v, u, to, bias=_padded(bias), add=add, signs=sign, activates=index < last)
            v = to
    chain.run()
    return out, signs, inputs


def _places(
    x: torch.Tensor,
    weights: Tensors,
    biases: Tensors,
    forward: Tensors,
    backward: Tensors,
    half: bool,
    keeps: Keeps = Keeps.NOTHING,
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Return the results of `_compute`, still empty."""
    size, width, between = x.shape[:3], _outs(forward[0]), len(forward) - 1
    return (
        x.new_empty(*size, _outs(forward[-1])),
        x.new_empty(between if keeps else 0, *size, width // 8, dtype=torch.uint8),
        [x.new_empty(*size, width) for _ in range(between if keeps == Keeps.INPUTS else 0)],
    )


def _compute_gradients(
    slopes: torch.Tensor,
    x: torch.Tensor,
    signs: torch.Tensor,
    inputs: Tensors,
    weights: Tensors,
    backward: Tensors,
    half: bool,
    wants_x: bool,
) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """Return the gradients by x, if wanted, by the weights and by the biases; the last two only of given weights."""
    by_x = _gradient_places(slopes, x, signs, inputs, weights, backward, half, wants_x)[0]
    chain, last, width, slopes = _Chain(half), len(backward) - 1, signs.shape[-1] * 8, slopes.contiguous()
    parts = [slice(None)] if weights else _parts(x, width)
    turns = x.new_empty(2, *x[parts[0]].shape[:3], width)
    by_weights = [x.new_empty(3, 3, _outs(u), _ins(u)) for u in backward]
    by_biases = [x.new_empty(_ins(u)) for u in backward]
    for part in parts:
        slope = slopes[part]
        for index in range(last, -1, -1):
            leaks = signs[index][part] if index < last else None
            if weights:
                chain.run()
                chain.correlate(inputs[index - 1] if index else x, slope, leaks, by_weights[index], by_biases[index])
            if index or wants_x:
                to = turns[index % 2][: len(slope)] if index else by_x[part]
                add = slope if 0 < index < last else None
                chain.convolve(slope, backward[index], to, leaks=leaks, add=add)
                slope = to
    chain.run()
    pairs = [(weight.shape[0], weight.shape[1]) for weight in weights]
    turned = (own.permute(3, 2, 0, 1)[:outs, :ins] for own, (outs, ins) in zip(by_weights, pairs, strict=False))
    biases = [own[:outs].clone() for own, (outs, _) in zip(by_biases, pairs, strict=False)]
    return by_x, [weight.contiguous() for weight in turned], biases


def _gradient_places(
    slopes: torch.Tensor,
    x: torch.Tensor,
    signs: torch.Tensor,
    inputs: Tensors,
    weights: Tensors,
    backward: Tensors,
    half: bool,
    wants_x: bool,
) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """Return the results of `_compute_gradients`, still empty."""
    by_biases = [weight.new_empty(weight.shape[0]) for weight in weights]
    return x.new_empty(x.shape if wants_x else 0), [torch.empty_like(weight) for weight in weights], by_biases


class _Trunk(torch.autograd.Function):
    """The operator's derivative; autograd wants its tensors one by one, not in lists."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, half: bool, count: int, *tensors: torch.Tensor) -> torch.Tensor:
        lists = [list(tensors[start : start + count]) for start in range(0, 4 * count, count)]  # as in `trunk`
        ctx.trains, ctx.half, ctx.count = any(ctx.needs_input_grad[3:]), half, count
        keeps = Keeps.INPUTS if ctx.trains else Keeps.SIGNS
        with torch._C._AutoDispatchBelowAutograd():
            out, signs, inputs = torch.ops.hcdcodec.trunk_kept(x, *lists, half, keeps)
        ctx.save_for_backward(x, signs, *lists[3], *inputs, *(lists[0] if ctx.trains else ()))
        return out  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[Any, ...]:
        x, signs, *tensors = ctx.saved_tensors
        backward, others = tensors[: ctx.count], tensors[ctx.count :]
        inputs, weights = others[: ctx.count - 1], others[ctx.count - 1 :]
        by_x, *by_others = torch.ops.hcdcodec.trunk_gradients(
            slopes[0], x, signs, inputs, weights, backward, ctx.half, ctx.needs_input_grad[0]
        )
        by_tensors = [*itertools.chain(*by_others), *[None] * (4 * ctx.count)][: 4 * ctx.count]
        return by_x if ctx.needs_input_grad[0] else None, None, None, *by_tensors


def _record(
    x: torch.Tensor, weights: Tensors, biases: Tensors, forward: Tensors, backward: Tensors, half: bool
) -> torch.Tensor:
    """Compute, and remember how gradients go back if any are wanted."""
    if torch.is_grad_enabled() and any(values.requires_grad for values in (x, *weights, *biases)):
        return _Trunk.apply(x, half, len(weights), *weights, *biases, *forward, *backward)  # type: ignore[no-any-return, no-untyped-call]
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.hcdcodec.trunk(x, weights, biases, forward, backward, half)  # type: ignore[no-any-return]


# The same as torch.library.custom_op, which takes 1.2 s to import torch._dynamo when it is first called.
_library: Any = torch.library.Library("hcdcodec", "DEF")
_TRUNK = "Tensor x, Tensor[] weights, Tensor[] biases, Tensor[] forward, Tensor[] backward, bool half"
_library.define(f"trunk({_TRUNK}) -> Tensor")
_library.define(f"trunk_kept({_TRUNK}, int keeps) -> (Tensor, Tensor, Tensor[])")
_library.define(
    "trunk_gradients(Tensor slopes, Tensor x, Tensor signs, Tensor[] inputs, Tensor[] weights, Tensor[] backward, "
    "bool half, bool wants_x) -> (Tensor, Tensor[], Tensor[])"
)
_library.impl("trunk", lambda *given: _compute(*given)[0], "CPU")
_library.impl("trunk", lambda *given: _places(*given)[0], "Meta")
_library.impl("trunk", _record, "AutogradCPU")
_library.impl("trunk_kept", _compute, "CPU")
_library.impl("trunk_kept", _places, "Meta")
_library.impl("trunk_gradients", _compute_gradients, "CPU")
_library.impl("trunk_gradients", _gradient_places, "Meta")


class _Chain:
    """Convolutions that are computed one after the other, and the memory that they need meanwhile."""

    def __init__(self, half: bool) -> None:
        found = kernel()
        assert found is not None, "callers ask `applies` first"
        self.kernel: Kernel = found
        self.half, self.threads = half, min(torch.get_num_threads(), THREADS)
        self.tasks: list[Convolution] = []
        self.held: list[torch.Tensor | None] = []
        self.scratch = _bytes(0)

    def convolve(
        self,
        x: torch.Tensor,
        u: torch.Tensor,
        out: torch.Tensor,
        *,
        leaks: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        add: torch.Tensor | None = None,
        signs: torch.Tensor | None = None,
        activates: bool = False,
    ) -> None:
        """Add a convolution; see winograd.h."""
        (b, h, w, ins), outs = x.shape, out.shape[-1]
        self._need(self.threads * self.kernel.convolve_scratch(ins, outs))
        addresses = (_at(x), _at(leaks), _at(u), _at(bias), _at(add), _at(out), _at(signs), None)
        self.tasks.append(Convolution(*addresses, b, h, w, ins, outs, activates, self.half))
        self.held += x, bias, out

    def run(self) -> None:
        """Compute what was added."""
        for task in self.tasks:
            task.scratch = self.scratch.data_ptr()
        for start in range(0, len(self.tasks), CONVOLUTIONS):
            some = self.tasks[start : start + CONVOLUTIONS]
            self.kernel.convolve((Convolution * len(some))(*some), len(some), self.threads)
        self.tasks.clear()
        self.held.clear()

    def correlate(
        self,
        x: torch.Tensor,
        slopes: torch.Tensor,
        leaks: torch.Tensor | None,
        by_weight: torch.Tensor,
        by_bias: torch.Tensor,
    ) -> None:
        """Write the gradients by the weights, (3, 3, ins, outs), and by the bias; see winograd.h."""
        (b, h, w, ins), outs = x.shape, slopes.shape[-1]
        self._need(self.kernel.correlate_scratch(b, h, w, ins, outs))
        addresses = (_at(x), _at(slopes), _at(leaks), _at(by_weight), _at(by_bias), _at(self.scratch))
        self.kernel.correlate(Correlation(*addresses, b, h, w, ins, outs, self.half), self.threads)

    def _need(self, count: int) -> None:
        if self.scratch.numel() < count:
            self.scratch = _bytes(count)


def _parts(x: torch.Tensor, width: int) -> list[slice]:
    """Return parts of a batch whose features stay in the cache from one convolution to the next."""
    picture = 4 * width * x.shape[1] * x.shape[2]
    size = max(1, PART_BYTES * torch.get_num_threads() // max(picture, 1))
    return [slice(start, start + size) for start in range(0, max(len(x), 1), size)]


def _bytes(count: int) -> torch.Tensor:
    # The kernel writes there, whatever the default device of a caller in Python is.
    return torch.empty(count, dtype=torch.uint8, device="cpu")


def _at(values: torch.Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()


def _outs(u: torch.Tensor) -> int:
    """Return the outputs of transformed weights."""
    return u.shape[1] * PANEL


def _ins(u: torch.Tensor) -> int:
    """Return the inputs of transformed weights."""
    return u.shape[2] * u.shape[4]


def _padded(values: torch.Tensor) -> torch.Tensor:
    """Return values whose last axis has a multiple of PANEL channels, the additional ones zero."""
    lacking = -values.shape[-1] % PANEL
    return F.pad(values, (0, lacking)) if lacking else values


def _panels(weights: torch.Tensor, *, half: bool) -> torch.Tensor:
    """(n, outs, ins, 3, 3) -> [n][36][outs / 16][ins][16][1], or, in bfloat16, [n][36][outs / 16][ins / 2][16][2]."""
    count, outs, ins, word = *weights.shape[:3], 2 if half else 1
    padded = F.pad(weights, (0, 0, 0, 0, 0, -ins % PANEL, 0, -outs % PANEL)).contiguous()
    split = padded.view(count, -(-outs // PANEL), PANEL, padded.shape[2] // word, word, 9).permute(0, 5, 1, 3, 2, 4)
    points = _transform(half) @ split.reshape(count, 9, -1)
    return points.to(torch.bfloat16 if half else torch.float32).view(count, _LINES, *split.shape[2:])


def _groups(tensors: Tensors) -> list[Tensors]:
    """Return the tensors of a trunk in groups of one shape: that of the first convolution, the middle, the last."""
    return [group for group in (tensors[:1], tensors[1:-1], tensors[-1:]) if group]


@cache
def _transform(half: bool) -> torch.Tensor:
    """Return the transform (36, 9) of weights, along both axes."""
    a, b = POINTS[half]
    points = Fraction(0), a, -a, b, -b
    lines = [[float(p**j / prod(p - q for q in points if q != p)) for j in range(3)] for p in points]
    one = torch.tensor([*lines, [0.0, 0.0, 1.0]], dtype=torch.float32, device="cpu")
    return torch.kron(one, one)
