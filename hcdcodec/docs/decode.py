"""Decode small pictures of hcdcodec (.hcd.png and .hcd.webp) without hcdcodec: numpy and Pillow are enough.

    python decode.py photo.jpg.hcd.png photo.png

Weights: the .safetensors files beside this one. Networks: crn, irn. Strangers' files can cost any time and memory.
"""

import base64
import hashlib
import io
import json
import re
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

HEADER = struct.Struct(">4s3B16s16sII2BHHBIf3BBQ8s8s16s")
COPY = re.compile(rb"SENEQ[A-Za-z0-9+/]{137}==")  # 106 bytes that begin with HCDC and version 1, in base64
PACKED = re.compile(rb"hcdcodec(?:\0\0|\0\x01\0[^\0]*\0[^\0]*\0| header )(x.*)", re.DOTALL)  # in zTXt, iTXt, or EXIF


def parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, payload) of each chunk of a PNG or WebP."""
    at = 8 if (is_png := data.startswith(b"\x89PNG")) else 12
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at) if is_png else struct.unpack_from("<4sI", data, at)[::-1]
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + (4 if is_png else length % 2)  # a PNG chunk ends with its CRC, a WebP chunk at an even place


def find_header(data: bytes) -> bytes:
    """Return the header from its own chunk, or from its copy in a text or behind EXIF."""
    for name, payload in sorted(parts(data), key=lambda part: part[0] != b"hcDC"):
        text = zlib.decompress(found[1]) if (found := PACKED.search(payload)) else payload
        if name in (b"hcDC", b"EXIF") and text.startswith(b"HCDC"):
            return text[: HEADER.size]
        if name in (b"tEXt", b"zTXt", b"iTXt", b"EXIF") and (found := COPY.search(text)):
            return base64.b64decode(found[0])
    sys.exit("this is no PNG or WebP with a header of hcdcodec")


def read_weights(model_hash: bytes) -> Mapping[str, np.ndarray]:
    """Return the tensors that a header names. Names of files do not matter: the hash of the tensors does."""
    for path in sorted(Path(__file__).parent.glob("*.safetensors")):
        data, weights, digest = path.read_bytes(), {}, hashlib.sha256()
        with suppress(ValueError):  # a broken file
            table = json.loads(data[8 : (start := 8 + int.from_bytes(data[:8], "little"))])
            for name in sorted(table.keys() - {"__metadata__"}):
                begin, end = (start + offset for offset in table[name]["data_offsets"])
                stored = np.frombuffer(data[begin:end], {"F16": "<f2"}.get(table[name]["dtype"], "<f4"))
                weights[name] = stored.reshape(table[name]["shape"])
                digest.update(f"{name}\0{stored.dtype.name}\0{weights[name].shape}\0".encode() + data[begin:end])
            if digest.digest().startswith(model_hash):
                return weights
    sys.exit(f"there are no weights {model_hash.hex()} beside decode.py; copy them there")


def convolve(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str, slope: float = 1) -> np.ndarray:
    """Do a 3x3 convolution of (rows, columns, channels), with zeros around, then a leaky ReLU of this slope."""
    kernel, result, (rows, columns, _) = weights[f"{name}.weight"], weights[f"{name}.bias"], x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    for r, c in np.ndindex(3, 3):
        result = result + padded[r : r + rows, c : c + columns] @ kernel[:, :, r, c].T
    return np.where(result > 0, result, np.float32(slope) * result)


def shuffle(x: np.ndarray, scale: int) -> np.ndarray:
    """Turn channels into pixels: (h, w, c * scale**2) -> (h * scale, w * scale, c)."""
    blocks = x.reshape(*x.shape[:2], -1, scale, scale).transpose(0, 3, 1, 4, 2)
    return blocks.reshape(x.shape[0] * scale, x.shape[1] * scale, -1)


def crn(lr: np.ndarray, weights: Mapping[str, np.ndarray], scale: int) -> np.ndarray:
    """Linear interpolation between the centres of samples, and a correction by residual convolutions."""
    v = convolve(lr - np.float32(0.5), weights, "decoder.head", 0.2)
    for k in range(sum(name.startswith("decoder.body.") for name in weights) // 2):
        v = v + convolve(v, weights, f"decoder.body.{k}", 0.2)
    for axis in (0, 1):
        place = np.clip((np.arange(lr.shape[axis] * scale) + 0.5) / scale - 0.5, 0, lr.shape[axis] - 1)
        share = (place % 1).astype(np.float32).reshape(-1, *[1] * (2 - axis))
        before, after = lr.take(np.floor(place).astype(int), axis), lr.take(np.ceil(place).astype(int), axis)
        lr = before * (1 - share) + after * share
    return np.asarray(lr + shuffle(convolve(v, weights, "decoder.tail"), scale))


def irn(lr: np.ndarray, weights: Mapping[str, np.ndarray], scale: int) -> np.ndarray:
    """Undo invertible blocks and Haar wavelets, from the LR and details z that are zeros."""

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        for k in range(1, 5):
            x = np.concatenate((x, convolve(x, weights, f"{name}.conv{k}", 0.2)), axis=2)
        return convolve(x, weights, f"{name}.conv5")

    x = np.pad(lr, ((0, 0), (0, 0), (0, 3 * scale**2 - 3)))
    for level, block in reversed([(level, block) for level in range(scale // 2) for block in range(8)]):
        low, high, at = x[..., :3], x[..., 3:], f"levels.{level}.{block}"
        high = (high - dense(low, f"{at}.high_shift")) / np.exp(2 / (1 + np.exp(-dense(low, f"{at}.high_scale"))) - 1)
        x = np.concatenate((low - dense(high, f"{at}.low_shift"), high), axis=2)
        if block == 0:
            a, b, c, d = np.split(x, 4, axis=2)
            x = shuffle(np.stack((a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d), 3).reshape(x.shape), 2)
    return x


def spans(length: int, tile: int, halo: int, scale: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield for each tile, along one axis: its window in the LR, what is kept of its result, and the place of that."""
    window = min(length, tile + 2 * halo) if tile else length
    starts = [*range(0, length - window, tile or 1), length - window]
    cores = [0, *(start + halo for start in starts[1:]), length]
    for s, a, b in zip(starts, cores[:-1], cores[1:], strict=True):
        yield slice(s, s + window), slice((a - s) * scale, (b - s) * scale), slice(a * scale, b * scale)


def decode(data: bytes) -> np.ndarray:
    """Return the pixels of a small file, (height, width[, channels]) uint8; alpha is the last channel."""
    _, version, flags, scale, name, model_hash, height, width, mode, _, *rest = HEADER.unpack(find_header(data))
    tile, halo, rule, *_, lr_digest = rest
    network = {b"crn": crn, b"crn-l": crn, b"irn": irn}.get(name.rstrip(b"\0"))
    if version != 1 or flags > 3 or mode > 1 or rule or network is None:
        sys.exit("decode.py knows version 1, the networks crn and irn, and details z of zeros; this file has others")
    levels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    if hashlib.sha256(struct.pack(">II", *levels.shape[:2]) + levels.tobytes()).digest()[:16] != lr_digest:
        sys.exit("the pixels were changed after encoding; restore the file from a copy")
    lr, weights = levels.astype(np.float32) / 255, read_weights(model_hash)
    made = np.empty((lr.shape[0] * scale, lr.shape[1] * scale, 3 if mode else 1), np.uint8)  # mode 0 is grey, 1 RGB
    for rows, kept_rows, place_rows in spans(lr.shape[0], tile, halo, scale):
        for columns, kept_columns, place_columns in spans(lr.shape[1], tile, halo, scale):
            hr = network(lr[rows, columns], weights, scale)[kept_rows, kept_columns]
            made[place_rows, place_columns] = np.rint(np.clip(hr if mode else hr.mean(2, keepdims=True), 0, 1) * 255)
    if flags & 1:
        plane = dict(parts(data)).get(b"hcDA") or sys.exit("the alpha plane is missing; restore the file from a copy")
        made = np.dstack((made[:height, :width], np.asarray(Image.open(io.BytesIO(plane)).convert("L"))))
    return made[:height, :width, 0] if made.shape[2] == 1 else made[:height, :width]


if __name__ == "__main__":
    try:
        small = Path(sys.argv[1]).read_bytes() if len(sys.argv) == 3 else sys.exit(__doc__)
        pixels, about = Image.fromarray(decode(small)), Image.open(io.BytesIO(small)).info
        with Path(sys.argv[2]).open("xb") as file:  # x: it never replaces a file
            exif = about.get("exif", b"").partition(b"hcdcodec header ")[0]
            pixels.save(file, "PNG", icc_profile=about.get("icc_profile"), exif=exif)
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:  # a wrong name, or damage
        sys.exit(f"{error}; check both names, or restore the small file from a copy")
