"""The state of the search of one picture: its start, the LRs that it found, and the choice among them."""

from dataclasses import dataclass, field

import torch

from hcdcodec.codec.search.bit_cost import Price
from hcdcodec.codec.search.subject import Refined, Subject


@dataclass(frozen=True)
class Candidate:
    """An LR that the reference decode judged.

    Attributes:
        lr: (C, h, w) float32 on the grid.
        error: its mean squared error in levels squared.
        cost: the same with its bits.
    """

    lr: torch.Tensor
    error: float
    cost: float


@dataclass
class PictureSearch:
    """The search of one picture.

    Attributes:
        subject: the picture.
        start: the backbone's LR, (C, h, w) float32 in [0, 1], not rounded.
        rounded_start: the same on the grid.
        price: of bits.
        passes: so far.
        last: last iterate on the grid, which nothing has judged yet; None = nothing was searched.
        champion: the iterate on the grid that cost least in the precision of the search; None = there is no other.
        champion_cost: what it cost there.
    """

    subject: Subject
    start: torch.Tensor
    rounded_start: torch.Tensor
    price: Price
    passes: int = 2  # downscaling, and the check of the rounded start
    last: torch.Tensor | None = None
    champion: torch.Tensor | None = None
    champion_cost: float = 0.0
    _candidates: list[Candidate] = field(default_factory=list)

    def judge(self, lr: torch.Tensor, error: float, bits: float) -> None:
        """Record the error and the estimated bits of an LR, and count the pass."""
        self._candidates.append(Candidate(lr, error, self.price.cost(error, bits)))
        self.passes += 1

    def rival(self) -> torch.Tensor | None:
        """Return the champion if it may cost less than the last iterate, which must be judged already."""
        if self.champion is None or self.champion_cost >= self._candidates[-1].cost:
            return None
        return self.champion

    def best(self, start_bits: float) -> Refined:
        """Return the cheapest candidate among the start and those that have a smaller error than the start."""
        before = self.price.error
        start = Candidate(self.rounded_start, before, self.price.cost(before, start_bits))
        better = [candidate for candidate in self._candidates if candidate.error < before]
        kept = min([start, *better], key=lambda candidate: candidate.cost)
        return Refined(kept.lr.mul(255).round().to(torch.uint8).cpu(), self.passes, before, kept.error)
