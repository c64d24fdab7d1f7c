"""Read official checkpoints of the references without running code from them, check them, and rename their tensors.

A `.pth` file is a pickle. Only `torch.load(weights_only=True)` opens it, which builds tensors and refuses all else.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from hcdcodec.errors import ModelError
from hcdcodec.files.disk import read_head
from hcdcodec.networks.base import Backbone
from hcdcodec.networks.hcflow import HcFlow
from hcdcodec.networks.irn import Irn
from hcdcodec.networks.weights import differences

MAX_CHECKPOINT_BYTES = 2**30
"""Official files of rescaling networks have up to 18 MB, of SR networks up to a few hundred."""

WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
"""Keys under which files store their tensors beside other data. If several are there, the first one counts."""

PREFIXES = ("module.", "netG.")
"""Prefixes that some training code puts before all names."""

OFFICIAL_FILES: Mapping[str, str] = {
    "0e135e9ded155a4ea35e2e3f1324658969b43af2": "IRN_x2.pth of xubingna/HCD",
    "8229d7b1cb7b6354c613c979883605ae828ce863": "IRN_x4.pth of xubingna/HCD",
}
"""Git blob SHA-1 of a file -> its name. It is only for messages, so the weakness of SHA-1 does not matter."""

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
"""By backbone, substitutions that turn our tensor names into the official ones, applied in order; `{..}` is a sum.

The references number all layers of a network in one list, so an index there is an offset plus our index.
"""

HAAR_NAMES: Mapping[tuple[str, int], Mapping[str, int]] = {
    ("irn", 2): {"operations.0.haar_weights": 3},
    ("irn", 4): {"operations.0.haar_weights": 3, "operations.9.haar_weights": 12},
    ("hcflow", 4): {"flow.layers.0.haar_weights": 3, "flow.layers.10.haar_weights": 6},
}
"""Constant tensors that only the official files hold: name -> number of channels before the analysis."""

_ALLOCATING = b"bytearray"
"""torch's unpickler lets a file call this with a number of bytes. No set of tensors needs it."""

_UNPACKED_MAX = 2
"""Largest ratio of tensor bytes to file bytes. torch does not compress, so a larger one is a decompression bomb."""

_TOO_LARGE = "unpacks to far more than any official file holds; import an official .pth file"
_NO_TENSORS = "this checkpoint is not a plain set of named tensors; import an official .pth file"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose network is known.

    Attributes:
        backbone: name of the network.
        scale: HR size / LR size.
        official: name of the official file; empty if the file is not known, for example after training by a user.
        tensors: state dict of the network in float32, under our names; for SR networks, under the names of the file.
        network: title of the SR network; empty for other networks.
    """

    backbone: str
    scale: int
    official: str
    tensors: Mapping[str, torch.Tensor]
    network: str = ""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read an official `.pth` file of IRN or HCFlow.

    Raises:
        ModelError: the file cannot be read, holds more than tensors, or fits none of the networks.
    """
    data = read_bytes(path)
    tensors = load_tensors(data)
    network = _guess_network(tensors)
    return Checkpoint(network.name, network.scale, OFFICIAL_FILES.get(blob_sha1(data), ""), rename(tensors, network))


def blob_sha1(data: bytes) -> str:
    """Return the hash under which git stores these bytes, in hexadecimal."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read the named tensors of a `.pth` or `.safetensors` file. All values must be finite.

    Raises:
        ModelError: the file cannot be read, holds more than tensors, or has values that are not finite.
    """
    data = read_bytes(path)
    tensors = _unwrap(_read_safetensors(data) if path.suffix == ".safetensors" else unpickle(data), len(data))
    _check_finite(tensors)
    return tensors


def load_tensors(data: bytes) -> dict[str, torch.Tensor]:
    """Read a pickled state dict of floating-point numbers, without wrappers and common prefixes.

    Args:
        data: content of a `.pth` file; no code in it is run.

    Raises:
        ModelError: the file is damaged, or holds more than such tensors.
    """
    tensors = _unwrap(unpickle(data), len(data))
    if not all(values.is_floating_point() for values in tensors.values()):
        raise ModelError(_NO_TENSORS)
    return tensors


def official_name(name: str, backbone: str) -> str:
    """Return the name of the reference for a tensor of our network."""
    for pattern, replacement in OFFICIAL_NAMES[backbone]:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"\{([\d+]+)\}", lambda match: str(sum(map(int, match[1].split("+")))), name)


def rename(tensors: Mapping[str, torch.Tensor], network: Backbone) -> dict[str, torch.Tensor]:
    """Return a state dict for our network, made from a state dict of the reference.

    Args:
        tensors: tensors under official names.
        network: the network that they must fit; it is not changed.

    Raises:
        ModelError: names or shapes differ, the Haar kernels are not Haar's, or a value is not finite.
    """
    own = network.state_dict()
    names = {name: official_name(name, network.name) for name in own}
    kernels = {name: haar_kernel(count) for name, count in HAAR_NAMES[network.name, network.scale].items()}
    expected = {official: own[name].shape for name, official in names.items()}
    if what := differences(tensors, expected | {name: kernel.shape for name, kernel in kernels.items()}):
        raise ModelError(f"does not fit {network.name} x{network.scale} ({what}); import its official .pth file")
    _check_finite(tensors)
    # Our networks compute the Haar transform without a kernel. A checkpoint with another one would decode wrongly.
    for name, kernel in kernels.items():
        if not torch.equal(tensors[name].float(), kernel):
            raise ModelError(f"{name} is not the Haar transform; import an official .pth file")
    # `clone`, since a tensor in a file can be a view into a much larger one.
    return {name: tensors[official].detach().float().contiguous().clone() for name, official in names.items()}


def haar_kernel(channels: int) -> torch.Tensor:
    """Return the Haar convolution of the references: (4 * channels, 1, 2, 2), four sign patterns for each channel."""
    signs = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=torch.float32)
    return signs.reshape(4, 1, 2, 2).repeat(channels, 1, 1, 1)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file that is not far larger than any official file.

    Raises:
        ModelError: the file cannot be read, is no regular file, or is too large.
    """
    try:
        if path.exists() and not path.is_file():
            raise ModelError("is a folder, pipe or device; name a regular file")
        data = read_head(path, MAX_CHECKPOINT_BYTES + 1)  # does not wait if a pipe has come there meanwhile
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror}); check the path") from error
    if len(data) > MAX_CHECKPOINT_BYTES:
        raise ModelError(f"has more than {MAX_CHECKPOINT_BYTES >> 20} MiB; import an official .pth file")
    return data


def unpickle(data: bytes) -> object:
    """Return the content of a `.pth` file, read by torch's unpickler that accepts only tensors and plain values.

    Raises:
        ModelError: the file is damaged, holds anything else, or unpacks to far more bytes.
    """
    try:
        if any(_ALLOCATING in pickled for pickled in _pickles(data)):
            raise ModelError(_NO_TENSORS)
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except Exception as error:  # hostile bytes make the unpickler raise errors of nearly any class
        raise ModelError("is damaged, or holds more than tensors; import an official .pth file") from error


def _pickles(data: bytes) -> list[bytes]:
    """Return the parts of a checkpoint that name functions, once it is clear that it unpacks to no more than usual."""
    if not zipfile.is_zipfile(io.BytesIO(data)):  # the old format, which cannot be compressed
        return [data]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _UNPACKED_MAX * len(data):
            raise ModelError(_TOO_LARGE)
        return [archive.read(entry) for entry in archive.infolist() if entry.filename.endswith(".pkl")]


def _read_safetensors(data: bytes) -> object:
    """Return the content of a safetensors file."""
    try:
        return safetensors.torch.load(data)
    # KeyError: a number type that torch does not have. RuntimeError: a tensor that torch cannot make.
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError("is damaged, or no safetensors file; download it again") from error


def _unwrap(content: object, size: int) -> dict[str, torch.Tensor]:
    """Return named tensors without the dictionaries around them and without a common prefix of their names.

    Args:
        content: content of a file.
        size: size of that file in bytes.
    """
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not (isinstance(content, Mapping) and content and all(map(is_named_tensor, content.items()))):
        raise ModelError(_NO_TENSORS)
    if sum(values.numel() * values.element_size() for values in content.values()) > _UNPACKED_MAX * size:
        raise ModelError(_TOO_LARGE)  # strided tensors can show the same few bytes again and again
    prefix = next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in content)), "")
    return {name.removeprefix(prefix): values for name, values in content.items()}


def is_named_tensor(item: tuple[object, object]) -> bool:
    """Tell whether an item is an ordinary tensor with values, under a text as its key."""
    name, values = item
    if not (isinstance(name, str) and isinstance(values, torch.Tensor)):
        return False
    return values.layout == torch.strided and values.device.type == "cpu"


def _guess_network(tensors: Mapping[str, torch.Tensor]) -> Backbone:
    """Return an empty network of the family to which these names belong."""
    with torch.device("meta"):
        if "flow.layers.0.haar_weights" in tensors:
            return HcFlow()
        if "operations.0.haar_weights" in tensors:
            return Irn(4 if "operations.9.haar_weights" in tensors else 2)
    raise ModelError(
        "is neither an IRN x2 or x4 nor an HCFlow x4 rescaling checkpoint; import one of these, "
        "or name --backbone sr for a super-resolution network"
    )


def _check_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise `ModelError` unless all values are finite."""
    for name, values in tensors.items():
        # The values become float32, and `isfinite` does not know some narrower types.
        if values.is_floating_point() and not torch.isfinite(values.float()).all():
            raise ModelError(f"holds values that are not finite ({name}); download it again")
