"""Show an attempt on a page: original, decoded, LR, and each other codec at no more bytes."""

from collections.abc import Iterator

from hcdcodec.compare.exhibit import Exhibit, Measure, Role, Version
from hcdcodec.engine.engine import Engine
from hcdcodec.trial.attempt import Attempt
from hcdcodec.trial.piece import decode_piece


def exhibit_of(attempt: Attempt, engine: Engine) -> Exhibit:
    """Return what a page shows of an attempt.

    Args:
        attempt: a picture at one setting.
        engine: the network of its scale.
    """
    original = Version(Role.ORIGINAL, "original", attempt.piece.pixels, attempt.source_bytes)
    return Exhibit(str(attempt.path), (original, *_ours(attempt, engine), *_others(attempt)), attempt.metadata)


def _ours(attempt: Attempt, engine: Engine) -> Iterator[Version]:
    lr, decoded = decode_piece(engine, attempt.small)
    setting, size = attempt.setting, len(attempt.small.data)
    settings = f"{engine.backbone.name} x{setting.scale}, quality {setting.quality}"
    measures = _measures(attempt, attempt.small.psnr, size)
    yield Version(Role.DECODED, "decoded", decoded, size, settings, measures)
    yield Version(Role.LR, "LR", lr, size, f"{lr.shape[1]}x{lr.shape[0]}", scale=setting.scale)


def _others(attempt: Attempt) -> Iterator[Version]:
    for name, curve in attempt.rivals.curves.items():
        if (point := curve.largest(len(attempt.small.data))) is not None:
            size, settings = round(point.bytes), f"quality {point.setting}"
            measures = _measures(attempt, point.psnr, size)
            yield Version(Role.RIVAL, name, curve.decode(point), size, settings, measures)


def _measures(attempt: Attempt, psnr: float, size: int) -> tuple[Measure, ...]:
    bpp = 8 * size / attempt.piece.pixel_count
    return Measure("PSNR-RGB (dB)", psnr), Measure("bpp", bpp, 3, least_is_worst=False)
