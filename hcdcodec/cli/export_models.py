"""The command models export, and the advice to use it."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from hcdcodec.cli import exits, output
from hcdcodec.cli.each_file import succeeds
from hcdcodec.cli.groups import Examples, option
from hcdcodec.cli.options import BACKBONE, PATH, SCALE, WEIGHTS_DIR
from hcdcodec.cli.report import message
from hcdcodec.errors import HcdError, UsageError
from hcdcodec.files.names import printable

if TYPE_CHECKING:
    from hcdcodec.networks.base import Backbone


@click.command(
    "export",
    cls=Examples,
    epilog="""
    hcdcodec models export small/
    hcdcodec models export --onnx decoder.onnx --backbone crn --scale 4
    """,
)
@click.argument("directory", type=PATH, metavar="[DIR]", required=False)
@option(
    "--onnx",
    "onnx_file",
    type=PATH,
    metavar="FILE",
    help="Write the decoder of --backbone and --scale as ONNX; needs pip install 'hcdcodec[onnx]'.",
)
@BACKBONE
@SCALE
@WEIGHTS_DIR
def export_models(
    directory: Path | None, onnx_file: Path | None, backbone: str, scale: int, weights_dir: Path | None
) -> None:
    """Copy weights and a decoder into an archive.

    DIR is a folder of small files. The weights that they need are copied to DIR/.hcdcodec/, where decode finds them on
    other computers, too. Beside them comes decode.py, a decoder in one file for the networks crn and irn.
    It needs numpy and Pillow alone.
    """
    if directory is None and onnx_file is None:
        raise UsageError("there is nothing to export; name the folder of an archive, or a file with --onnx")
    source_of = click.get_current_context().get_parameter_source
    if onnx_file is None and any(source_of(name) is not ParameterSource.DEFAULT for name in ("backbone", "scale")):
        raise UsageError("--backbone and --scale choose what --onnx writes; leave them out, or add --onnx FILE")
    if onnx_file is not None:
        _write_onnx(onnx_file, backbone, scale, weights_dir)
    sys.exit(0 if directory is None else _export(directory, weights_dir))


def _export(directory: Path, weights_dir: Path | None) -> int:
    from hcdcodec.batch.export_weights import export_decoder, export_weights, survey_archive

    needs = survey_archive(directory)
    for problem in needs.problems:
        output.say(message(*problem))
    complete = not needs.problems
    for need, count in sorted(needs.counts.items(), key=lambda item: str(item[0])):
        try:
            path = export_weights(need, directory, weights_dir, needs.folders[need])
            output.write(printable(f"{need}, for {count} file{'s' * (count > 1)}: {path}"))
        except HcdError as error:
            output.say(message(str(directory), f"{need}, for {count} file{'s' * (count > 1)}: {error}"))
            complete = False
    if not needs.counts:
        if complete:  # else nobody knows what the files need that could not be read
            output.write(printable(f"{directory} needs no weights"))
        return 0 if complete else exits.FAILED
    try:
        output.write(printable(f"a decoder of crn and irn on numpy and Pillow alone: {export_decoder(directory)}"))
    except HcdError as error:
        output.say(message(str(directory), f"decode.py: {error}"))
        complete = False
    return 0 if complete else exits.FAILED


def _write_onnx(path: Path, backbone: str, scale: int, weights_dir: Path | None) -> None:
    from hcdcodec.files import disk
    from hcdcodec.networks.onnx_export import check_place, onnx_of
    from hcdcodec.networks.registry import load_backbone

    check_place(path)
    network = load_backbone(backbone, scale, weights_dir=weights_dir)
    disk.sweep(path.parent)
    data = onnx_of(network)
    if not succeeds(path, partial(disk.write_atomic, path, data)):
        sys.exit(exits.FAILED)
    output.write(printable(f"{network.name} x{scale} {network.model_hash[:12]}: {path}"))


def advise_export(network: "Backbone", root: Path | None) -> None:
    """Say that weights must be kept, unless the package ships them or the archive has them already.

    Args:
        network: the network that encodes.
        root: directory of the results; None: standard output.
    """
    from hcdcodec.batch.export_weights import Need, exported_path
    from hcdcodec.files.find import is_file
    from hcdcodec.networks.archive import NAMES
    from hcdcodec.networks.manifest import is_shipped

    need = Need(network.name, network.scale, network.model_hash[:32])
    if is_shipped(network.model_hash) or (root is not None and is_file(exported_path(root, need))):
        return
    advice = f"'hcdcodec models export {root or 'DIR'}' copies them beside the small files"
    if network.name not in NAMES:
        advice = "copy their folder, with its manifest, beside the small files"
    output.say(printable(f"hcdcodec: {need} is not part of hcdcodec, so keep its weights for decoding; {advice}"))
