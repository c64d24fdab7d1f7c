"""The table of network families without torch: names, scales, and advice where weights are missing.

`hcdcodec.networks.registry` builds the networks of each family.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hcdcodec.errors import UsageError

SCALES = range(2, 17)


@dataclass(frozen=True)
class Family:
    """Facts about the networks of one name that need no network.

    Attributes:
        about: one line for `models list`.
        scales: scales for which weights are expected; empty where all scales are possible.
        remedy: advice where its weights are missing; empty for networks without weights.
        is_listed: whether `models list` shows it. A family is not listed while no release has weights for it, but a
            user with own weights can use it.
    """

    about: str
    scales: tuple[int, ...] = ()
    remedy: str = ""
    is_listed: bool = True

    @property
    def has_weights(self) -> bool:
        """Return whether its networks need weights."""
        return bool(self.remedy)


_IMPORT = "import the official checkpoint with 'hcdcodec models import FILE.pth'"

FAMILIES: Mapping[str, Family] = {
    "crn": Family(
        "this project's plain convolutional pair, trained to be searched (default)",
        (2, 4, 8),
        "install hcdcodec with its weights, or train with 'hcdcodec train'",
    ),
    "crn-l": Family(
        "a larger pair of the same kind, for GPUs",
        (2, 4),
        "no release has any yet; train it with 'hcdcodec train --backbone crn-l', on a GPU",
        is_listed=False,
    ),
    "irn": Family("the paper's first network: Xiao et al., ECCV 2020", (2, 4), _IMPORT),
    "hcflow": Family("the paper's second network: Liang et al., ICCV 2021", (4,), _IMPORT),
    "sr": Family(
        "bicubic downwards, upwards any super-resolution network that spandrel loads",
        remedy="import a checkpoint with 'hcdcodec models import FILE --backbone sr'",
    ),
    "bicubic": Family("antialiased bicubic both ways, no weights"),
}


def family_of(name: str, scale: int) -> Family:
    """Return the family of a name, if it can have the scale.

    Raises:
        UsageError: the table has no such name or scale.
    """
    if name not in FAMILIES:
        listed = ", ".join(name for name, family in FAMILIES.items() if family.is_listed)
        raise UsageError(f"no backbone is called {name!r}; there are {listed}")
    family = FAMILIES[name]
    if family.scales and scale not in family.scales:
        raise UsageError(f"{name} has no scale {scale!r}; it has {', '.join(map(str, family.scales))}")
    if scale not in SCALES:
        raise UsageError(f"scale {scale} is out of range; {name} takes {SCALES[0]} to {SCALES[-1]}")
    return family
