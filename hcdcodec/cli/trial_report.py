"""Say what a trial has found: rows for programs, tables and a sentence for people."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hcdcodec.cli.report import format_time, name_members, round_finite
from hcdcodec.files.names import printable
from hcdcodec.files.sizes import format_bytes
from hcdcodec.format.grid import DEFAULT_QUALITY
from hcdcodec.pictures.metrics import EXACT_DB
from hcdcodec.trial.rivals import AVIF

if TYPE_CHECKING:
    from hcdcodec.compare.exhibit import Table
    from hcdcodec.trial.attempt import Attempt
    from hcdcodec.trial.estimate import Estimate
    from hcdcodec.trial.measure import Setting


def attempt_row(attempt: "Attempt") -> dict[str, Any]:
    """Return one attempt for JSON, which has no infinity: an infinite PSNR is null there."""
    small = attempt.small
    return {
        "kind": "picture",
        **name_members("name", str(attempt.path)),
        "scale": attempt.setting.scale,
        "quality": attempt.setting.quality,
        "whole": attempt.piece.share == 1,
        "pixels": attempt.piece.pixel_count,
        "bytes": len(small.data),
        "psnr": round_finite(small.psnr),
        "seconds": round(small.seconds, 3),
        "others": [
            {"codec": one.codec, "psnr": round_finite(one.psnr), "bytes": one.bytes and round(one.bytes)}
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
            "worst": {**name_members("name", str(worst.path)), "psnr": round_finite(worst.small.psnr)},
        }


def text(tried: "Sequence[Attempt]", estimates: "Sequence[Estimate]") -> str:
    """Return the tables and the closing sentence."""
    parts = [f"{one.caption}\n{_align(one.titles, *one.rows)}" for one in tables(tried, estimates)]
    return "\n\n".join([*parts, sentence(tried, estimates)])


def tables(tried: "Sequence[Attempt]", estimates: "Sequence[Estimate]") -> "tuple[Table, Table]":
    """Return what other codecs make of the same bytes, and what all pictures would take."""
    from hcdcodec.compare.exhibit import Table

    first, codecs = estimates[0], tuple(one.codec for one in tried[0].beside)
    missing = any(one.psnr is None for attempt in tried for one in attempt.beside)
    note = " (-: a picture for which it makes no file so small, or so large)" if missing else ""
    return (
        Table(
            f"PSNR-RGB in dB at equal bytes, means of {_pieces(tried, first)}{note}:",
            ("scale", "quality", "bpp", "ours", *codecs),
            tuple(_codec_row(one, _at(tried, one.setting)) for one in estimates),
        ),
        Table(
            f"Today {_pictures(first)} {'take' if first.files != 1 else 'takes'} {format_bytes(first.source_bytes)}:",
            ("scale", "quality", "bytes", "in 9 of 10 cases", "share", "time", "worst", ""),
            tuple(_folder_row(one, _at(tried, one.setting)) for one in estimates),
        ),
    )


def advised(estimates: "Sequence[Estimate]") -> "Estimate":
    """Return the estimate at the default quality, or the middle one where that was not tried."""
    usual = [one for one in estimates if one.setting.quality == DEFAULT_QUALITY]
    return usual[0] if usual else estimates[len(estimates) // 2]


def sentence(tried: "Sequence[Attempt]", estimates: "Sequence[Estimate]") -> str:
    """Return what matters in one sentence."""
    one = advised(estimates)
    rows = _at(tried, one.setting)
    worst = _format_psnr(_worst(rows).small.psnr)
    judged = "it" if one.files == 1 else f"the worst of {len(rows)}"
    scale = f"scale {one.setting.scale} and " if len({one.setting.scale for one in estimates}) > 1 else ""
    words = (
        f"At {scale}quality {one.setting.quality}, {_pictures(one)} would take {_format_share(one.share)} of today's "
        f"bytes, about {format_time(one.seconds)}; {judged} came out at {worst}"
    )
    needed = _reference_share(rows)
    return words + (
        "." if needed is None else f"; {AVIF.short} would need {_format_share(needed * one.share)} for that."
    )


def _reference_share(rows: "Sequence[Attempt]") -> float | None:
    """Return the bytes of the reference codec at our PSNR as a share of ours; None where that was not found."""
    found = [
        (one.bytes, len(attempt.small.data))
        for attempt in rows
        for one in attempt.beside
        if one.codec == AVIF.short and one.bytes is not None
    ]
    return sum(theirs for theirs, _ in found) / sum(ours for _, ours in found) if found else None


def _codec_row(estimate: "Estimate", rows: "Sequence[Attempt]") -> tuple[str, ...]:
    theirs = zip(*([one.psnr for one in attempt.beside] for attempt in rows), strict=True)
    bits = sum(8 * len(one.small.data) for one in rows) / sum(one.piece.pixel_count for one in rows)
    return (*_settings(estimate), f"{bits:.2f}", _mean([one.small.psnr for one in rows]), *map(_mean, theirs))


def _folder_row(estimate: "Estimate", rows: "Sequence[Attempt]") -> tuple[str, ...]:
    worst, size = _worst(rows), estimate.bytes
    return (
        *_settings(estimate),
        format_bytes(round(size.expected)),
        f"{format_bytes(round(size.low))} to {format_bytes(round(size.high))}",
        _format_share(estimate.share),
        format_time(estimate.seconds),
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
    middles = f" ({parts} large, by the middle)" if parts else ""
    return f"{len(rows)} of {estimate.files} picture{'s' * (estimate.files != 1)}{middles}"


def _pictures(estimate: "Estimate") -> str:
    return "the picture" if estimate.files == 1 else f"the {estimate.files} pictures"


def _settings(estimate: "Estimate") -> tuple[str, str]:
    return str(estimate.setting.scale), str(estimate.setting.quality)


def _align(*rows: tuple[str, ...]) -> str:
    """Return rows as lines, with the columns to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.rjust, row, widths)).rstrip() for row in rows)


def _mean(values: Sequence[float | None]) -> str:
    """Return a mean; an exact picture counts as `EXACT_DB`, and without all values there is no fair mean."""
    known = [min(value, EXACT_DB) for value in values if value is not None]
    return f"{sum(known) / len(known):.2f}" if len(known) == len(values) else "-"


def _format_psnr(value: float) -> str:
    return f"{value:.1f} dB" if math.isfinite(value) else "no error"


def _format_share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"
