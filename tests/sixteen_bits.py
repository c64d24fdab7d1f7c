"""Pictures that 8-bit grey or RGB cannot hold, built byte by byte, since Pillow does not write them."""

import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from hcdcodec.pictures import png_chunks

Samples = npt.NDArray[np.uint16]
LAB = ImageCms.createProfile("LAB")
SRGB = ImageCms.createProfile("sRGB")


def deep(*shape: int) -> Samples:
    samples = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    samples[0, 0], samples[-1, -1] = 0, 65535
    return samples


def png(samples: Samples, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in samples.astype(">u2"))
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return png_chunks.build(png_chunks.Chunk(*part) for part in parts)


def tiff(samples: Samples, order: str = "<", photometric: int | None = None, compression: int = 1) -> bytes:
    """Build a TIFF of one strip, which Pillow cannot write with 16-bit colours."""
    height, width, channels = (*samples.shape, 1)[:3]
    photometric = (2 if channels > 2 else 1) if photometric is None else photometric
    pixels = samples.astype(f"{order}u2").tobytes()
    data = zlib.compress(pixels) if compression == 8 else pixels
    tags = [(256, 4, width), (257, 4, height), (259, 3, compression), (262, 3, photometric), (273, 4, 0),
            (277, 3, channels), (278, 4, height), (279, 4, len(data))]  # fmt: skip
    tags += [(338, 3, 2)] if channels == 4 else []
    behind = 8 + 2 + 12 * (len(tags) + 1) + 4
    depths = struct.pack(f"{order}{channels}H", *[16] * channels)
    place = behind if channels > 2 else struct.unpack(f"{order}I", depths.ljust(4, b"\0"))[0]
    entries = {258: struct.pack(f"{order}HHII", 258, 3, channels, place)}
    for tag, kind, value in tags:
        value = behind + len(depths) if tag == 273 else value
        text = struct.pack(f"{order}I" if kind == 4 else f"{order}HH", *([value] if kind == 4 else [value, 0]))
        entries[tag] = struct.pack(f"{order}HHI", tag, kind, 1) + text
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(entries))
    return head + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4) + depths + data


def cmyk_profile() -> bytes:
    """Build a small CMYK profile: a table of two points for each ink, from ink to Lab."""
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), -1).reshape(-1, 4)
    light = (1 - corners[:, :3]) * (1 - corners[:, 3:])
    image = Image.fromarray((light * 255).astype(np.uint8)[np.newaxis])
    converted = ImageCms.profileToProfile(image, SRGB, LAB, outputMode="LAB")
    assert converted is not None
    # mft1 holds L * 2.55, a + 128, b + 128; the array has a and b as signed bytes.
    lab = np.asarray(converted).reshape(-1, 3) ^ np.array([0, 128, 128], np.uint8)
    identity = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + struct.pack(">9i", *[65536, 0, 0, 0, 65536, 0, 0, 0, 65536])
    table += identity * 4 + lab.tobytes() + identity * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text" + bytes(4) + b"none\0"
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(78)
    parts = [(b"A2B0", table), (b"wtpt", white), (b"cprt", text), (b"desc", description)]
    body, listed, place = b"", b"", 128 + 4 + 12 * len(parts)
    for name, part in parts:
        listed += name + struct.pack(">II", place + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    whole = struct.pack(">I", len(parts)) + listed + body
    head = struct.pack(">I4sI4s4s4s12s4s4sI", 128 + len(whole), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ",
                       bytes(12), b"acsp", bytes(4), 0)  # fmt: skip
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + whole
