"""How a backbone is trained: every number of the recipe, and why it has the value that it has."""

import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from hcdcodec.errors import UsageError

_GOAL = ("backbone", "scale", "minutes")
_SEEDS = 1 << 64
"""PyTorch takes seeds below this."""

_COUNTS = 1 << 24
"""All other whole numbers are below this: arrays and lists of that many parts are made."""


@dataclass(frozen=True)
class Recipe:
    """What is trained, for how long, and all numbers of the training.

    The loss of a crop is `loss_scale * (log(error) + bit_weight * (grid step - 1) * bits / samples + likeness_weight *
    max(0, log(distance / allowed distance)))`: the mean squared error of the reconstruction, luma weighed as in the
    search; the search's estimate of the bits of the rounded LR, over the samples of the crop; and the mean squared
    distance of the LR from the bicubic one. Its mean is a mean PSNR, which is what a codec is judged by: easy crops
    count as much as hard ones.

    Attributes:
        backbone: name in the table of backbones.
        scale: HR size / LR size.
        minutes: time box; the schedule is fitted to it, whatever the machine.
        batch: crops an iteration. Few on a CPU, where updates are what is scarce; 32 and more on a GPU.
        patch: height and width of a crop in HR pixels. A decoder sees zeros beyond the border of a crop, and it sees
            far (CRN x4: 96 pixels). So wide crops are more like whole pictures.
        learning_rate: of Adam, at its highest; it falls to zero along a cosine. When a training of
            minutes began with trained weights, 1e-3 ended 0.03 dB below 5e-4. One of hours needs a value between them.
        warm_iterations: over which it rises from zero, as Adam's second moments are wild at first.
        momentum: Adam's first decay.
        memory: Adam's second decay; shorter than usual since the loss, hence its gradient, changes with the grids.
        clip: largest norm of the gradient. Usual norms are near 0.1: only outliers are cut.
        average: decay of the moving average of the weights, which is what is validated and shipped: it takes out the
            noise of single batches. Shorter at the beginning, so that it forgets the start.
        loss_scale: of the whole loss. Adam does not care; `clip` is relative to it.
        floor: added to squared errors in [0, 1] before the logarithm: crops restored beyond 60 dB count no more.
        likeness_db: PSNR against the antialiased bicubic LR from which on the LR counts as a picture. Less than
            the search asks for whole pictures, since it holds for each crop, and most crops are well above it.
        free_until: part of the time box in which that PSNR is reached, rising from `free_db`. For training from
            nothing: a decoder that cannot read a message yet makes the encoder stop sending one. Asked for a clean LR
            from the first iteration on, the x2 pair sat where LR = bicubic (30.2 dB on val after 3.5 minutes of one
            core); let loose first, it left that plateau within 500 iterations.
        free_db: where it starts.
        likeness_weight: of a deviation beyond that, against the error.
        coarsest: largest step of the LR grid in levels, so that one decoder serves every quality.
        finest_share: part of the crops that train with grid step 1; the others draw it log-uniformly.
        coarse_from: part of the time box before which all crops train with grid step 1; pairs that begin with
            nothing may need it to leave the plateau of plain interpolation.
        search_from: part of the time box after which crops are searched before the decoder is updated. Before, the
            decoder changes too fast for searched LRs to mean much, and searching costs a quarter of the updates (crn x4
            on one core with search_share 0.65: 202 and 272 in 66 seconds).
        search_share: part of each batch that is searched: these crops train the decoder for the LRs it will get, and
            not the encoder. If their bits counted for the encoder, it would learn to save bits at any error, since the
            error is that of another LR. At least one crop is not searched.
        search_steps: steps of the LR by the default search, each a forward and a backward pass of the decoder; as many
            as the codec's default effort takes.
        search_stride: how many of them an update takes. The LRs are kept and go on some updates later, so an update
            takes less time, and the decoder sees LRs of all ages; see rotation.py.
        search_pace: `Ste.step_size` there: the largest first step in LR levels.
        bit_weight: `Ste.per_bit` in the loss and in the search: what bits are worth.
        encoder_from: part of the time box after which the decoder holds still, nothing is searched, and the encoder
            alone is trained against what it has to write for; only where encoder and decoder share no weights.
            Training on searched LRs neglects the encoder: in 12 minutes this won back 0.05 dB without a search.
        encoder_rate: the learning rate there, falling to zero along a cosine of its own.
        uniform_share: part of the crops drawn uniformly over all pixels; the others by the sharpness of their
            picture, since flat crops teach little.
        seed: of everything drawn.
    """

    backbone: str
    scale: int
    minutes: float
    batch: int = 5
    patch: int = 144
    learning_rate: float = 7e-4
    warm_iterations: int = 300
    momentum: float = 0.9
    memory: float = 0.99
    clip: float = 0.5
    average: float = 0.999
    loss_scale: float = 0.01
    floor: float = 1e-6
    likeness_db: float = 31.0
    free_until: float = 0.0
    free_db: float = 10.0
    likeness_weight: float = 1.0
    coarsest: float = 24.0
    finest_share: float = 0.5
    coarse_from: float = 0.0
    search_from: float = 0.55
    search_share: float = 0.6
    search_steps: int = 8
    search_stride: int = 2
    search_pace: float = 5.0
    bit_weight: float = 0.4
    encoder_from: float = 1.0
    encoder_rate: float = 4e-4
    uniform_share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            UsageError: a number makes no sense.
        """
        positive = ("minutes", "batch", "patch", "learning_rate", "encoder_rate", "clip", "loss_scale", "floor")
        wrong = [name for name in positive if not getattr(self, name) > 0]
        shares = [field.name for field in fields(self) if field.name.endswith(("_share", "_from", "_until"))]
        wrong += [name for name in ("average", *shares) if not 0 <= getattr(self, name) <= 1]
        wrong += [name for name in ("momentum", "memory") if not 0 <= getattr(self, name) < 1]
        counts = ("warm_iterations", "search_steps", "likeness_weight", "search_pace", "bit_weight", "seed")
        wrong += [name for name in counts if not getattr(self, name) >= 0]
        wrong += [] if 1 <= self.coarsest <= 255 else ["coarsest"]
        wrong += [] if self.search_stride >= 1 else ["search_stride"]
        wrong += [name for name in ("minutes", "likeness_db", "free_db") if not math.isfinite(getattr(self, name))]
        whole = {field.name for field in fields(self) if field.type is int} - {"seed"}
        wrong += [name for name in sorted(whole) if getattr(self, name) >= _COUNTS]
        wrong += [] if self.seed < _SEEDS else ["seed"]
        if wrong:
            raise UsageError(f"the recipe's {wrong[0]} = {getattr(self, wrong[0])} is out of range; choose another")

    def with_settings(self, settings: Iterable[str]) -> "Recipe":
        """Return the recipe with some numbers changed.

        Args:
            settings: "name=value" each.

        Raises:
            UsageError: no such name, or no number.
        """
        types = {field.name: field.type for field in fields(self) if field.name not in _GOAL}
        changes: dict[str, float] = {}
        for setting in settings:
            name, _, text = setting.partition("=")
            if name not in types:
                raise UsageError(f"the recipe has no {name!r}; it has {', '.join(types)}")
            try:
                changes[name] = int(text) if types[name] is int else float(text)
            except ValueError as error:
                raise UsageError(f"{setting!r} gives no number; write {name}=NUMBER") from error
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def settings(self) -> tuple[str, ...]:
        """Return what differs from the defaults, as `with_settings` takes it."""
        own = [field for field in fields(self) if field.name not in _GOAL]
        return tuple(f"{f.name}={getattr(self, f.name)}" for f in own if getattr(self, f.name) != f.default)

    def command(self) -> str:
        """Return the command that trains by this recipe."""
        words = ["hcdcodec", "train", "DIR...", "--backbone", self.backbone, "--scale", str(self.scale)]
        words += ["--minutes", f"{self.minutes:g}"]
        return " ".join([*words, *(f"--set {shlex.quote(setting)}" for setting in self.settings)])
