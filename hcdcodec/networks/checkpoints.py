"""Official checkpoints of the references: read without running any of their code, checked, renamed.

A `.pth` is a pickle. Only `torch.load(weights_only=True)` opens it, which rebuilds tensors and refuses everything else.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from hcdcodec.errors import ModelError
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.hcflow import HcFlow
from hcdcodec.networks.irn import Irn

MAX_BYTES = 2**30  # official files of rescaling networks have up to 18 MB, of SR networks up to a few hundred

WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
"""Names under which files hold their tensors beside other things; of several, the first counts."""

PREFIXES = ("module.", "netG.")
"""What some training code puts in front of all names."""

OFFICIAL_FILES: Mapping[str, str] = {
    "0e135e9ded155a4ea35e2e3f1324658969b43af2": "IRN_x2.pth of xubingna/HCD",
    "8229d7b1cb7b6354c613c979883605ae828ce863": "IRN_x4.pth of xubingna/HCD",
}
"""Git blob SHA-1 of a file -> what it is. Naming only: nothing rests on SHA-1's strength."""

OFFICIAL_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "irn": (
        (r"^levels\.0\.(\d)\.", r"operations.{0+1+\1}."),
        (r"^levels\.1\.(\d)\.", r"operations.{9+1+\1}."),
        (r"\.low_shift\.", ".F."),
        (r"\.high_shift\.", ".G."),
        (r"\.high_scale\.", ".H."),
    ),
    "hcflow": (
        (r"^fine\.steps\.(\d)\.", r"flow.layers.{0+1+\1}."),
        (r"^coarse\.steps\.(\d)\.", r"flow.layers.{10+1+\1}."),
        (r"^fine\.conditional\.", "flow.level0_condFlow."),
        (r"^coarse\.conditional\.", "flow.level1_condFlow."),
        (r"\.features\.first\.", ".conv_first."),
        (r"\.features\.blocks\.([01])\.", r".RRDB_trunk0.\1."),
        (r"\.features\.blocks\.2\.", ".RRDB_trunk1.0."),
        (r"\.features\.last\.", ".trunk_conv1."),
        (r"\.dense(\d)\.", r".RDB\1."),
        (r"\.steps\.(\d)\.", r".additional_flow_steps.\1."),
        (r"\.prior\.", ".f."),
        (r"\.mix\.", ".permute."),
        (r"\.norm\.", ".actnorm."),
        (r"\.net\.norm(\d)\.", r".affine.f.conv\1.actnorm."),
        (r"\.net\.", ".affine.f."),
    ),
}
"""By backbone, what turns our tensor names into the official ones, step by step; `{..}` is a sum."""

HAAR_NAMES: Mapping[tuple[str, int], Mapping[str, int]] = {
    ("irn", 2): {"operations.0.haar_weights": 3},
    ("irn", 4): {"operations.0.haar_weights": 3, "operations.9.haar_weights": 12},
    ("hcflow", 4): {"flow.layers.0.haar_weights": 3, "flow.layers.10.haar_weights": 6},
}
"""Tensors that official files hold and our networks do not, being constants: name -> channels before the analysis."""

_UNPACKED_MAX = 2
"""Bytes of tensors to bytes of their file: torch compresses nothing, and few tensors share their memory."""

_TOO_LARGE = "unpacks to far more than any official file holds; import an official .pth file"
_NO_TENSORS = "this checkpoint is not a plain set of named tensors; import an official .pth file"


@dataclass(frozen=True)
class Checkpoint:
    """An official checkpoint, understood.

    Attributes:
        backbone: which network it is for.
        scale: HR size / LR size.
        official: which file it is; empty if that is not known: then it may be anybody's training.
        tensors: the network's state dict, under our names, float32; of SR networks, under those of the file.
        network: which SR network it is.
    """

    backbone: str
    scale: int
    official: str
    tensors: Mapping[str, torch.Tensor]
    network: str = ""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read an official `.pth` file of IRN or HCFlow.

    Raises:
        ModelError: it cannot be read, holds anything but tensors, or fits none of the networks.
    """
    data = _read_bytes(path)
    tensors = load_tensors(data)
    network = _network_for(tensors)
    return Checkpoint(network.name, network.scale, OFFICIAL_FILES.get(blob_sha1(data), ""), rename(tensors, network))


def blob_sha1(data: bytes) -> str:
    """Return the name that git gives to these bytes, in hexadecimal."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read the named tensors of any `.pth` or `.safetensors` file, finite ones.

    Raises:
        ModelError: it cannot be read, or holds anything but tensors.
    """
    data = _read_bytes(path)
    tensors = _unwrapped(_unsafed(data) if path.suffix == ".safetensors" else _unpickle(data), len(data))
    _check_finite(tensors)
    return tensors


def load_tensors(data: bytes) -> dict[str, torch.Tensor]:
    """Read a pickled state dict of floating-point numbers; wrappers and common prefixes are taken off.

    Args:
        data: content of a `.pth` file.

    Raises:
        ModelError: it is damaged, or holds anything but such tensors. None of its code is run.
    """
    tensors = _unwrapped(_unpickle(data), len(data))
    if not all(values.is_floating_point() for values in tensors.values()):
        raise ModelError(_NO_TENSORS)
    return tensors


def official_name(name: str, backbone: str) -> str:
    """Return what the reference calls a tensor of our network."""
    for pattern, replacement in OFFICIAL_NAMES[backbone]:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"\{([\d+]+)\}", lambda match: str(sum(map(int, match[1].split("+")))), name)


def rename(tensors: Mapping[str, torch.Tensor], network: Backbone) -> dict[str, torch.Tensor]:
    """Return a state dict for our network from one of the reference's.

    Args:
        tensors: under official names.
        network: what it must fit; untouched.

    Raises:
        ModelError: names or shapes differ, the Haar kernels are not Haar's, or a value is not finite.
    """
    own = network.state_dict()
    names = {name: official_name(name, network.name) for name in own}
    kernels = {name: haar_kernel(count) for name, count in HAAR_NAMES[network.name, network.scale].items()}
    expected = {official: own[name].shape for name, official in names.items()}
    _compare(tensors, expected | {name: kernel.shape for name, kernel in kernels.items()}, network)
    for name, kernel in kernels.items():
        if not torch.equal(tensors[name].float(), kernel):
            raise ModelError(f"{name} is not the Haar transform; import an official .pth file")
    return {name: tensors[official].detach().float().contiguous().clone() for name, official in names.items()}


def haar_kernel(channels: int) -> torch.Tensor:
    """Return the references' Haar convolution: (4 * channels, 1, 2, 2), the four signs in turn for each channel."""
    signs = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=torch.float32)
    return signs.reshape(4, 1, 2, 2).repeat(channels, 1, 1, 1)


def _read_bytes(path: Path) -> bytes:
    """Return a file's content, if it is not far larger than any official file."""
    if path.exists() and not path.is_file():  # a pipe could keep us waiting for ever
        raise ModelError("is a directory, pipe or device; name a regular file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror}); check the path") from error
    if len(data) > MAX_BYTES:
        raise ModelError(f"has more than {MAX_BYTES >> 20} MiB; import an official .pth file")
    return data


def _unpickle(data: bytes) -> object:
    """Return what a `.pth` file holds, rebuilt by torch's unpickler for tensors alone."""
    try:
        if _unpacked_bytes(data) > _UNPACKED_MAX * len(data):
            raise ModelError(_TOO_LARGE)
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except Exception as error:  # hostile bytes make the unpickler raise nearly anything
        raise ModelError("is damaged, or holds more than tensors; import an official .pth file") from error


def _unpacked_bytes(data: bytes) -> int:
    """Return what a zipped checkpoint unpacks to; the old format is not zipped."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return len(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _unsafed(data: bytes) -> object:
    """Return what a safetensors file holds."""
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError) as error:
        raise ModelError("is damaged, or no safetensors file; download it again") from error


def _unwrapped(content: object, size: int) -> dict[str, torch.Tensor]:
    """Return named tensors without what lies around them and in front of all their names.

    Args:
        content: what a file holds.
        size: bytes of that file.
    """
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not (isinstance(content, Mapping) and content and all(map(_is_named_tensor, content.items()))):
        raise ModelError(_NO_TENSORS)
    if sum(values.numel() * values.element_size() for values in content.values()) > _UNPACKED_MAX * size:
        raise ModelError(_TOO_LARGE)  # tensors that show the same few bytes again and again
    prefix = next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in content)), "")
    return {name.removeprefix(prefix): values for name, values in content.items()}


def _is_named_tensor(item: tuple[object, object]) -> bool:
    """Return whether this is an ordinary tensor, with values, under a name."""
    name, values = item
    if not (isinstance(name, str) and isinstance(values, torch.Tensor)):
        return False
    return values.layout == torch.strided and values.device.type == "cpu"


def _network_for(tensors: Mapping[str, torch.Tensor]) -> Backbone:
    """Return an empty network of the kind that the names point to."""
    with torch.device("meta"):
        if "flow.layers.0.haar_weights" in tensors:
            return HcFlow()
        if "operations.0.haar_weights" in tensors:
            return Irn(4 if "operations.9.haar_weights" in tensors else 2)
    raise ModelError(
        "is neither an IRN x2 or x4 nor an HCFlow x4 rescaling checkpoint; import one of these, "
        "or name --backbone sr for a super-resolution network"
    )


def _compare(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Size], network: Backbone) -> None:
    """Raise `ModelError` unless names and shapes are as expected and all values finite."""
    both = tensors.keys() & expected.keys()
    shapes = (
        f"{name} {tuple(tensors[name].shape)} for {tuple(expected[name])}"
        for name in sorted(both)
        if tensors[name].shape != expected[name]
    )
    complaints = (
        _some("missing", sorted(expected.keys() - tensors.keys())),
        _some("unknown", sorted(tensors.keys() - expected.keys())),
        _some("other shape", shapes),
    )
    if any(complaints):
        what = "; ".join(filter(None, complaints))
        raise ModelError(f"does not fit {network.name} x{network.scale} ({what}); import its official .pth file")
    _check_finite(tensors)


def _check_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise `ModelError` unless all values are finite."""
    for name, values in tensors.items():
        # As float32, which they become; narrower types have no `isfinite` of their own.
        if values.is_floating_point() and not torch.isfinite(values.float()).all():
            raise ModelError(f"holds values that are not finite ({name}); download it again")


def _some(kind: str, names: Iterable[str]) -> str:
    """Return a short complaint that counts all and names the first ones."""
    listed = list(names)
    return f"{len(listed)} {kind}: {', '.join(listed[:3])}{', ...' if len(listed) > 3 else ''}" if listed else ""
