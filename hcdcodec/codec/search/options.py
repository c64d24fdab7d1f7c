"""Which search, and how long: two kinds with their options, and the efforts that users choose from."""

from dataclasses import dataclass

from hcdcodec.errors import UsageError


@dataclass(frozen=True)
class Ste:
    """Search of the LR with rounding inside the loop.

    Attributes:
        steps: updates of the LR, two passes each; 0 = none.
        step_size: largest first step in LR levels; steps fall to zero along a cosine.
        full_step_error: root of the mean squared error, in levels, from which on steps have that size. Below, they
            shrink in proportion: an LR that is nearly right is soon overshot. With it, the 256-pixel middles of the
            first 12 val pictures gain at quality 100 with crn x2 0.53 dB PSNR-Y more at effort 1 and 0.20 at effort 5,
            with x4 0.015 and 0.017; at 6 instead of 8, effort 1 of x2 gains 0.07 less (by hand).
        likeness_db: PSNR against the antialiased bicubic LR that the searched LR keeps before rounding, so that it
            stays a picture: a ball around the bicubic LR.
        leeway_db: how much of that PSNR may be lost where the backbone's own LR has no more to begin with.
        momentum: decay of the mean gradient. Low: within ten steps, much momentum only overshoots.
        memory: decay of the mean squared gradient, which sets each sample's pace.
        softness: weight of the picture's mean pace against the sample's own. At 0 this is Adam, where flat areas move
            as far as edges, for nothing.
        patience: steps without gain of `tolerance` after which a picture's search ends; in its last quarter only, since
            long steps may overshoot and the short ones that follow still gain.
        tolerance: gain in dB that counts.
        per_bit: see `Price`; at grid 1 bits are free.
        luma: weight of luma in what the search descends on, see `luma.weighed`. What is kept is decided by the plain
            error. At 1 instead of 0, the 256-pixel middles of the first 16 val pictures gain 0.19 dB PSNR-Y at
            quality 100 and lose 0.04 dB PSNR-RGB; at 2 another 0.06, for 0.04 (by hand, with the x4 weights of step 6
            in weights/README.md).
    """

    steps: int
    step_size: float = 6.0
    full_step_error: float = 8.0
    likeness_db: float = 35.0
    leeway_db: float = 0.9
    momentum: float = 0.5
    memory: float = 0.99
    softness: float = 1.0
    patience: int = 4
    tolerance: float = 0.003
    per_bit: float = 0.4
    luma: float = 1.0


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


Search = Ste | Paper

DEFAULT_EFFORT = 5
# (steps, step_size) by effort. Of the sizes that were tried, 1 to 6 levels, these gained most, or within 0.02 dB of it,
# on the middles of six val pictures.
_EFFORTS = ((0, 6.0), (1, 3.0), (2, 4.0), (3, 4.0), (5, 5.0), (8, 6.0), (12, 6.0), (18, 6.0), (30, 6.0), (60, 6.0))


def search_of(effort: int) -> Ste:
    """Return the search of an effort.

    Args:
        effort: 0 (the backbone alone) to 9 (to convergence).

    Raises:
        UsageError: out of range.
    """
    if not 0 <= effort < len(_EFFORTS):
        raise UsageError(f"effort {effort} is out of range; 0 to 9 are possible")
    steps, step_size = _EFFORTS[effort]
    return Ste(steps, step_size)
