"""Say what a trial has found: rows for programs, tables and a sentence for people."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hcdcodec.cli.report import format_bytes
from hcdcodec.files.names import printable
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.trial.rivals import REFERENCE

if TYPE_CHECKING:
    from hcdcodec.trial.attempt import Attempt
    from hcdcodec.trial.estimate import Estimate
    from hcdcodec.trial.measure import Setting

_MINUTE, _HOUR = 60, 3600


def attempt_row(attempt: "Attempt") -> dict[str, Any]:
    """Return one attempt for JSON, which has no infinity: an infinite PSNR is null there."""
    small = attempt.small
    return {
        "kind": "picture",
        "name": printable(str(attempt.path)),
        "scale": attempt.setting.scale,
        "quality": attempt.setting.quality,
        "whole": attempt.piece.share == 1,
        "pixels": attempt.piece.pixel_count,
        "bytes": len(small.data),
        "psnr": _round_finite(small.psnr),
        "seconds": round(small.seconds, 3),
        "others": [
            {"codec": one.codec, "psnr": _round_finite(one.psnr), "bytes": one.bytes and round(one.bytes)}
            for one in attempt.beside
        ],
    }


def folder_rows(tried: "Sequence[Attempt]", estimates: "Sequence[Estimate]") -> Iterator[dict[str, Any]]:
    """Yield what all pictures would take at each setting, for JSON."""
    for one in estimates:
        worst = _worst(_at(tried, one.setting))
        yield {
            "kind": "all",
            "scale": one.setting.scale,
            "quality": one.setting.quality,
            "pictures": one.files,
            "source_bytes": one.source_bytes,
            "bytes": round(one.bytes.expected),
            "bytes_low": round(one.bytes.low),
            "bytes_high": round(one.bytes.high),
            "share": round(one.share, 4),
            "seconds": round(one.seconds),
            "worst": {"name": printable(str(worst.path)), "psnr": _round_finite(worst.small.psnr)},
        }


def text(tried: "Sequence[Attempt]", estimates: "Sequence[Estimate]") -> str:
    """Return the tables and the closing sentence."""
    first = estimates[0]
    parts = [
        f"PSNR-RGB in dB at equal bytes, means of {_pieces(tried, first)} pictures:",
        _align(_codec_rows(tried, estimates)),
    ]
    if any(None in (one.psnr for one in attempt.beside) for attempt in tried):
        parts.append("-: on some picture it makes no file of these bytes")
    parts += ["", f"Today {_pictures(first)} take {format_bytes(first.source_bytes)}:"]
    return "\n".join([*parts, _align(_folder_rows(tried, estimates)), "", sentence(tried, estimates)])


def sentence(tried: "Sequence[Attempt]", estimates: "Sequence[Estimate]") -> str:
    """Return what matters in one sentence: of the default quality, or of the middle one that was tried."""
    by_default = [one for one in estimates if one.setting.quality == DEFAULT_QUALITY]
    one = by_default[0] if by_default else estimates[len(estimates) // 2]
    rows = _at(tried, one.setting)
    worst = _format_psnr(_worst(rows).small.psnr)
    scale = f"scale {one.setting.scale} and " if len({one.setting.scale for one in estimates}) > 1 else ""
    words = (
        f"At {scale}quality {one.setting.quality}, {_pictures(one)} would take {_format_share(one.share)} of today's "
        f"bytes, about {_format_time(one.seconds)}; the worst of {len(rows)} came out at {worst}"
    )
    needed = _reference_share(rows)
    return words + (
        "." if needed is None else f"; {REFERENCE} would need {_format_share(needed * one.share)} for that."
    )


def _reference_share(rows: "Sequence[Attempt]") -> float | None:
    """Return the bytes of the reference codec at our PSNR as a share of ours; None where that was not found."""
    found = [
        (one.bytes, len(attempt.small.data))
        for attempt in rows
        for one in attempt.beside
        if one.codec == REFERENCE and one.bytes is not None
    ]
    return sum(theirs for theirs, _ in found) / sum(ours for _, ours in found) if found else None


def _codec_rows(tried: "Sequence[Attempt]", estimates: "Sequence[Estimate]") -> Iterator[tuple[str, ...]]:
    yield ("scale", "quality", "bpp", "ours", *(one.codec for one in tried[0].beside))
    for estimate in estimates:
        rows = _at(tried, estimate.setting)
        theirs = [[attempt.beside[place].psnr for attempt in rows] for place in range(len(tried[0].beside))]
        bits = sum(8 * len(one.small.data) for one in rows) / sum(one.piece.pixel_count for one in rows)
        yield (
            *_settings(estimate),
            f"{bits:.2f}",
            _mean([one.small.psnr for one in rows]),
            *map(_mean, theirs),
        )


def _folder_rows(tried: "Sequence[Attempt]", estimates: "Sequence[Estimate]") -> Iterator[tuple[str, ...]]:
    yield ("scale", "quality", "bytes", "in 9 of 10 cases", "share", "time", "worst", "")
    for one in estimates:
        worst = _worst(_at(tried, one.setting))
        yield (
            *_settings(one),
            format_bytes(round(one.bytes.expected)),
            f"{format_bytes(round(one.bytes.low))} to {format_bytes(round(one.bytes.high))}",
            _format_share(one.share),
            _format_time(one.seconds),
            _format_psnr(worst.small.psnr),
            printable(worst.path.name),
        )


def _at(tried: "Sequence[Attempt]", setting: "Setting") -> "list[Attempt]":
    return [attempt for attempt in tried if attempt.setting == setting]


def _worst(rows: "Sequence[Attempt]") -> "Attempt":
    return min(rows, key=lambda attempt: attempt.small.psnr)


def _pieces(tried: "Sequence[Attempt]", estimate: "Estimate") -> str:
    rows = _at(tried, estimate.setting)
    parts = sum(attempt.piece.share < 1 for attempt in rows)
    middles = f" ({parts} large ones by their middle)" if parts else ""
    return f"{len(rows)} of {estimate.files}{middles}"


def _pictures(estimate: "Estimate") -> str:
    return "the picture" if estimate.files == 1 else f"the {estimate.files} pictures"


def _settings(estimate: "Estimate") -> tuple[str, str]:
    return str(estimate.setting.scale), str(estimate.setting.quality)


def _align(rows: Iterator[tuple[str, ...]]) -> str:
    """Return rows as lines, columns to the right; a name in the last column starts at one place."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def _mean(values: Sequence[float | None]) -> str:
    """Return a mean; an exact picture counts as 100 dB, and without all values there is no fair mean."""
    known = [min(value, 100.0) for value in values if value is not None]
    return f"{sum(known) / len(known):.2f}" if len(known) == len(values) else "-"


def _format_psnr(value: float) -> str:
    return f"{value:.1f} dB" if math.isfinite(value) else "no error"


def _format_share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def _format_time(seconds: float) -> str:
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / _MINUTE:.0f} minutes" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} hours"


def _round_finite(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None
