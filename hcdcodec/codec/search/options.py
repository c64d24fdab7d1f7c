"""The options of the two searches, and the efforts from which users choose."""

from dataclasses import dataclass

from hcdcodec.errors import UsageError


@dataclass(frozen=True)
class Ste:
    """Search of the LR with rounding inside the loop.

    Attributes:
        steps: updates of the LR, two passes each; 0 = none.
        step_size: largest first step in LR levels.
        full_step_error: root of the mean squared error, in levels, from which on the first step may have that size.
            Below, it is smaller in proportion: an LR that is nearly right is soon overshot.
        promise: share of the loss that the first step may save by its slope. The size that gained most in eight steps
            promised 0.5 to 0.7 with crn x2, crn x4 and DCTLSA x4, whose sizes were 3.3, 6 and 2.2 levels.
        lowest_at: where along a step the loss is to be lowest; the next size is chosen so, see `step`. Steps that go
            farther gain more later on, as the slopes of several steps are averaged.
        last_share: what the size has faded to in the end. It fades along a cosine.
        likeness_db: before rounding, the LR must stay at least this close (PSNR in dB) to the bicubic LR, so that it
            looks like the picture.
        leeway_db: if the network's own LR is already farther away than that, the search may lose this many dB more.
        momentum: decay of the mean gradient. Low: within ten steps, much momentum only overshoots.
        memory: decay of the mean squared gradient, which sets each sample's pace.
        softness: weight of the picture's mean pace against the sample's own. At 0 this is Adam, where flat areas move
            as far as edges, for nothing.
        patience: steps without gain of `tolerance` after which a picture's search ends; in its last quarter only, since
            long steps may overshoot and the short ones that follow still gain.
        tolerance: gain in dB that counts.
        per_bit: see `Price`; at grid 1 bits are free.
        luma: weight of luma in the loss of the search, see `luma_weight.weighed`. The plain error decides which LR is
            kept.
        full_luma_gain: share that the error must have fallen by for luma to have its weight; it is less where the
            error can hardly fall, since colour pays for what luma gains.
    """

    steps: int
    step_size: float = 6.0
    full_step_error: float = 8.0
    promise: float = 0.6
    lowest_at: float = 0.7
    last_share: float = 0.2
    likeness_db: float = 35.0
    leeway_db: float = 0.9
    momentum: float = 0.5
    memory: float = 0.99
    softness: float = 1.0
    patience: int = 4
    tolerance: float = 0.003
    per_bit: float = 0.45
    luma: float = 1.0
    full_luma_gain: float = 0.16

    @property
    def is_active(self) -> bool:
        """Tell whether anything is searched."""
        return self.steps > 0

    @property
    def passes(self) -> int:
        """Return the passes over a picture: downscaling, the check of its LR, two a step, the check of the result."""
        return 2 + (2 * self.steps + 1 if self.is_active else 0)


@dataclass(frozen=True)
class Paper:
    """Algorithm 1 with the paper's defaults and, where it is silent, the released code's choice.

    Attributes:
        hr_steps: updates of the HR perturbation, four passes each.
        lr_steps: updates of the LR perturbation, two passes each.
        alpha: length of a step, l2 norm over the whole picture, values in [0, 1].
        epsilon: radius of the l2 ball.
        seed: of the random start.
    """

    hr_steps: int = 15
    lr_steps: int = 15
    alpha: float = 20 / 255
    epsilon: float = 0.3
    seed: int = 0

    @property
    def is_active(self) -> bool:
        """Tell whether anything is searched; without steps, the rounded start is judged once more."""
        return self.hr_steps + self.lr_steps > 0

    @property
    def passes(self) -> int:
        """Return the passes over a picture, as `Ste` counts them; the last HR is downscaled once more."""
        return 3 + 4 * self.hr_steps + (1 if self.hr_steps else 0) + 2 * self.lr_steps


Search = Ste | Paper

DEFAULT_EFFORT = 5
# Of the first steps that were tried, 1 to 6 levels, these gained most, or within 0.02 dB of it, on the middles of six
# val pictures. Long searches have time to settle: shorter steps in the end gain more there. With less momentum the
# default gains 0.01 dB more with crn, and no less with three other decoders.
EFFORTS = (
    Ste(0),
    Ste(1, 3.0),
    Ste(2, 4.0),
    Ste(3, 4.0),
    Ste(5, 5.0),
    Ste(8, momentum=0.4),
    Ste(12),
    Ste(18, lowest_at=0.6, last_share=0.05),
    Ste(30, lowest_at=0.6, last_share=0.05),
    Ste(60, lowest_at=0.6, last_share=0.05),
)


def search_of(effort: int) -> Ste:
    """Return the search of an effort.

    Args:
        effort: 0 (the backbone alone) to 9 (to convergence).

    Raises:
        UsageError: out of range.
    """
    if not 0 <= effort < len(EFFORTS):
        raise UsageError(f"effort {effort} is out of range; 0 to 9 are possible")
    return EFFORTS[effort]
