"""Hierarchical Collaborative Downscaling: search the LR by gradient descent on its own decoder's error.

Two searches stand behind `refine`. `Paper` is Algorithm 1 of Xu et al. (ICCV 2023, arXiv 2211.10643), for comparison.
`Ste` is ours: it moves the LR alone, rounds inside the loop (straight-through), and starts from the unrounded LR.
Whatever they find is accepted only where the reference decode of the rounded LR has a smaller error than before.
On coarse grids `Ste` also counts what an LR costs in bits.

An integer polish of the result (benchmarks/polish.py: single samples moved by a level, kept where the error falls) gave
no more than as many passes of `Ste`, at quality 100 and at 75; it was left out.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from hcdcodec.codec.search.bit_cost import Price
from hcdcodec.codec.search.options import Paper, Search
from hcdcodec.codec.search.paper import search_paper
from hcdcodec.codec.search.straight_through import search_ste
from hcdcodec.codec.search.subject import Proposal, Refined, Subject, quantise
from hcdcodec.engine.engine import Engine


def refine(engine: Engine, subjects: Sequence[Subject], search: Search) -> list[Refined]:
    """Downscale and search pictures together.

    Args:
        engine: network, device and precision.
        subjects: the pictures; windows of one size share batches.
        search: which search, with its options.

    Returns:
        One result a picture, in order. Nothing is mixed between pictures: each has its own state, stop and best LR.
    """
    # Every step compares with the picture: it goes over to a GPU once, not each time.
    subjects = [replace(subject, canvas=engine.sent(subject.canvas)) for subject in subjects]
    starts = [engine.downscale(subject.canvas, subject.task.tiles) for subject in subjects]
    plain = [quantise(start, subject.grid) for start, subject in zip(starts, subjects, strict=True)]
    before = _judge(engine, subjects, plain)
    per_bit = 0.0 if isinstance(search, Paper) else search.per_bit
    prices = [
        Price(subject.grid, per_bit, error, subject.target.numel())
        for subject, error in zip(subjects, before, strict=True)
    ]
    if isinstance(search, Paper):
        proposals = search_paper(engine, subjects, starts, search)
    else:
        proposals = search_ste(engine, subjects, starts, prices, search)
    return _accept(engine, subjects, list(zip(before, plain, strict=True)), proposals, prices)


def _accept(
    engine: Engine,
    subjects: Sequence[Subject],
    plain: Sequence[tuple[float, torch.Tensor]],
    proposals: Sequence[Proposal],
    prices: Sequence[Price],
) -> list[Refined]:
    """Keep, for each picture, the candidate that costs least of those whose reference decode is no worse than before.

    The start, `plain` with its error, which everything is compared with, is one of them.
    """
    last = _judge(engine, subjects, [proposal.lr for proposal in proposals])
    called = [
        proposal.rival if proposal.lr is not None and proposal.rival_cost < error + price.of(proposal.lr) else None
        for proposal, error, price in zip(proposals, last, prices, strict=True)
    ]
    rivals = _judge(engine, subjects, called)
    refined = []
    for index, proposal in enumerate(proposals):
        before = plain[index][0]
        candidates = [plain[index]]
        for error, lr in ((last[index], proposal.lr), (rivals[index], called[index])):
            if lr is not None and error < before:
                candidates.append((error, lr))
        costs = [error + prices[index].of(lr) for error, lr in candidates]
        error, kept = candidates[costs.index(min(costs))]
        checks = 1 + (proposal.lr is not None) + (called[index] is not None)
        levels = kept.mul(255).round().to(torch.uint8).cpu()
        refined.append(Refined(levels, 1 + proposal.passes + checks, before, error))
    return refined


def _judge(engine: Engine, subjects: Sequence[Subject], lrs: Sequence[torch.Tensor | None]) -> list[float]:
    """Return the reference error of each LR; infinity where there is none."""
    present = [(lr, subject) for lr, subject in zip(lrs, subjects, strict=True) if lr is not None]
    errors = iter(
        engine.errors([lr for lr, _ in present], [s.task for _, s in present], [s.target for _, s in present])
    )
    return [math.inf if lr is None else next(errors) for lr in lrs]
