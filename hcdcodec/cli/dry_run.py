"""What a dry run of encode forecasts: bytes and time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hcdcodec.cli.arguments import Arguments
from hcdcodec.cli.each_file import reason
from hcdcodec.cli.report import format_time, message
from hcdcodec.files.sizes import format_bytes

if TYPE_CHECKING:
    from hcdcodec.trial.estimate import Estimate
    from hcdcodec.trial.survey import Unread


def forecast_line(paths: Sequence[Path], arguments: Arguments) -> str:
    """Return one line about what encoding of these files would take; empty where none of them can be read.

    It takes seconds: a dozen of the files are encoded, of large ones the middle.
    """
    found = _estimate(paths, arguments) if paths else None
    if found is None:
        return ""
    low, high = (format_bytes(round(size)) for size in (found.bytes.low, found.bytes.high))
    whole = f"{format_bytes(found.source_bytes)} -> about {format_bytes(round(found.bytes.expected))}"
    return (
        f"{whole} ({low} to {high}), {100 * found.share:.1f} % of the source files, about {format_time(found.seconds)}"
    )


def _estimate(paths: Sequence[Path], arguments: Arguments) -> "Estimate | None":
    from hcdcodec.cli.count_bar import CountBar
    from hcdcodec.engine.devices import Precision, take_devices
    from hcdcodec.engine.engine import engine_for
    from hcdcodec.networks.registry import load_backbone
    from hcdcodec.trial.estimate import SAMPLE, estimate_encoding
    from hcdcodec.trial.survey import MEASURED_MOST, Reading

    options, target = arguments.encode_options(), arguments.target()
    network = load_backbone(arguments.backbone, arguments.scale, weights_dir=arguments.weights_dir)
    engine = engine_for(network, take_devices(arguments.device)[0], precision=Precision(arguments.precision))
    reading = Reading(arguments.max_pixels, options)
    total = min(len(paths), MEASURED_MOST) + min(len(paths), SAMPLE)
    with CountBar("estimating", total, wanted=not arguments.quiet) as bar:

        def tell(path: Path, error: "Unread | None") -> None:
            bar.advance()
            if error is not None:
                bar.say(message(str(path), reason(error)))

        return estimate_encoding(paths, engine, options, target, reading=reading, tell=tell)
