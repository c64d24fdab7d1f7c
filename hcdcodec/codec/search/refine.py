"""Hierarchical Collaborative Downscaling: search the LR by gradient descent on its own decoder's error.

Two searches stand behind `refine`. `Paper` is Algorithm 1 of Xu et al. (ICCV 2023, arXiv 2211.10643), for comparison.
`Ste` is ours: it moves the LR alone, rounds inside the loop (straight-through), and starts from the unrounded LR.
Whatever they find is accepted only where the reference decode of the rounded LR has a smaller error than before.
On coarse grids `Ste` also counts what an LR costs in bits.

Moving single samples of the result by a level gained no more than as many further passes of `Ste`, so it was left out.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from hcdcodec.codec.search.bit_cost import Price
from hcdcodec.codec.search.options import Paper, Search
from hcdcodec.codec.search.paper import search_paper
from hcdcodec.codec.search.picture_search import PictureSearch
from hcdcodec.codec.search.straight_through import search_ste
from hcdcodec.codec.search.subject import Refined, Subject, quantise
from hcdcodec.engine.engine import Engine


def refine(engine: Engine, subjects: Sequence[Subject], search: Search) -> list[Refined]:
    """Downscale and search pictures together.

    Args:
        engine: network, device and precision.
        subjects: the pictures; windows of one size share batches.
        search: which search, with its options.

    Returns:
        One result for each picture, in order. Each picture has its own state, stop and best LR.

    Raises:
        ModelError: the network's output is not finite.
    """
    pictures = _begin(engine, subjects, 0.0 if isinstance(search, Paper) else search.per_bit)
    if isinstance(search, Paper):
        search_paper(engine, pictures, search)
    else:
        search_ste(engine, pictures, search)
    return _accept(engine, pictures)


def _begin(engine: Engine, subjects: Sequence[Subject], per_bit: float) -> list[PictureSearch]:
    """Downscale the pictures, and measure the error of their rounded LRs."""
    # Each step compares with the picture, so it is copied to a GPU once and not in each step.
    subjects = [replace(subject, canvas=engine.sent(subject.canvas)) for subject in subjects]
    starts = [engine.downscale(subject.canvas, subject.task.tiles) for subject in subjects]
    rounded = [quantise(start, subject.grid) for start, subject in zip(starts, subjects, strict=True)]
    errors = _errors(engine, subjects, rounded)
    prices = [
        Price(subject.grid, per_bit, error, subject.target.numel()).fitted(lr)
        for subject, error, lr in zip(subjects, errors, rounded, strict=True)
    ]
    return [PictureSearch(*each) for each in zip(subjects, starts, rounded, prices, strict=True)]


def _accept(engine: Engine, pictures: Sequence[PictureSearch]) -> list[Refined]:
    """Judge what was found by the reference decode, and keep the best for each picture."""
    _judge(engine, [(picture, picture.last) for picture in pictures if picture.last is not None])
    rivals = [(picture, picture.rival()) for picture in pictures if picture.last is not None]
    _judge(engine, [(picture, rival) for picture, rival in rivals if rival is not None])
    bits = _bits([(picture, picture.rounded_start) for picture in pictures])
    return [picture.best(start_bits) for picture, start_bits in zip(pictures, bits, strict=True)]


def _judge(engine: Engine, found: Sequence[tuple[PictureSearch, torch.Tensor]]) -> None:
    """Measure error and bits of an LR of each picture."""
    errors = _errors(engine, [picture.subject for picture, _ in found], [lr for _, lr in found])
    for (picture, lr), error, count in zip(found, errors, _bits(found), strict=True):
        picture.judge(lr, error, count)


def _bits(found: Sequence[tuple[PictureSearch, torch.Tensor]]) -> list[float]:
    """Return the bits of an LR of each picture, with one look at the device."""
    return torch.stack([picture.price.bits(lr) for picture, lr in found]).tolist() if found else []


def _errors(engine: Engine, subjects: Sequence[Subject], lrs: Sequence[torch.Tensor]) -> list[float]:
    return engine.errors(lrs, [subject.task for subject in subjects], [subject.target for subject in subjects])
