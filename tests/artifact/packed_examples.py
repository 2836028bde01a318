"""A file with one compressed array, and a forge for such files that are wrong in one way."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from artifact_examples import data_of, forge_graph, graph_of, header_of

from keepfit.artifact import to_bytes

zstd: Any = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

#: 40,000 bytes of floats in rows of 32, which are smallest by column.
MATRIX = np.arange(5000.0).reshape(1250, 4) * [1, 1e3, 1e6, 1e9]


def packed_bytes() -> bytes:
    return to_bytes(graph_of({"x": MATRIX}), {}, level=3)


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The graph of a file with the array x, and the bytes of x."""
    start, stop = json.loads(header_of(data))["x"]["data_offsets"]
    return json.loads(data_of(data)[stop:]), data_of(data)[start:stop]


def forge_packed(document: dict[str, Any], content: bytes, dtype: str = "U8", shape: list[int] | None = None) -> bytes:
    """A file with this graph and this for its array x, sound in all else."""
    text = json.dumps(document, separators=(",", ":"))
    return forge_graph(text, {"x": (dtype, shape or [len(content)], content)}, version="2")


def said(**changes: Any) -> Callable[[], bytes]:
    """The good file, but that its graph says something else of the compressed array."""

    def build() -> bytes:
        document, content = parts(packed_bytes())
        document["packed"][0].update(changes)
        return forge_packed(document, content)

    return build


def framed(*frames: bytes, **changes: Any) -> Callable[[], bytes]:
    """A file whose compressed array is these frames, a row of bytes as long as a block unless `changes` say more."""

    def build() -> bytes:
        document, _ = parts(packed_bytes())
        sizes = [len(frame) for frame in frames]
        document["packed"][0] = {
            "array": 0, "dtype": "U8", "shape": [1000], "row": 1, "item": 1, "block": 1000, "frames": sizes, **changes,
        }  # fmt: skip
        return forge_packed(document, b"".join(frames))

    return build


def compressed(data: bytes, **options: Any) -> bytes:
    compressor = zstd.ZstdCompressor(**options)
    frame: bytes = compressor.compress(data, compressor.FLUSH_FRAME)
    return frame


def without_a_length() -> bytes:
    compressor = zstd.ZstdCompressor()
    return bytes(compressor.compress(bytes(500)) + compressor.compress(bytes(500)) + compressor.flush())


def with_a_dictionary() -> bytes:
    samples = [f"sample {number} of a dictionary, {number**3}".encode() * 3 for number in range(200)]
    trained = zstd.train_dict(samples, 4096)
    return compressed(b"sample of a dictionary".ljust(1000), zstd_dict=trained)


def claiming(frame: bytes, size: int) -> bytes:
    """A frame of 1,000 bytes whose header says another length."""
    assert frame[4] == 0x60  # one segment, a length of two bytes, which is 256 more than they say
    return frame[:5] + (size - 256).to_bytes(2, "little") + frame[7:]


def document_with(change: Callable[[dict[str, Any]], None]) -> Callable[[], bytes]:
    def build() -> bytes:
        document, content = parts(packed_bytes())
        change(document)
        return forge_packed(document, content)

    return build


def twice(document: dict[str, Any]) -> None:
    document["packed"] *= 2


def in_a_matrix() -> bytes:
    document, content = parts(packed_bytes())
    return forge_packed(document, content, "U8", [1, len(content)])


def unmarked() -> bytes:
    document, content = parts(packed_bytes())
    text = json.dumps(document, separators=(",", ":"))
    return forge_graph(text, {"x": ("U8", [len(content)], content)})


def damaged() -> bytes:
    data = bytearray(packed_bytes())
    data[len(data) - len(data_of(data)) + 20] ^= 1
    return bytes(data)


THOUSAND = compressed(bytes(1000))
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0" + bytes(4)
NOISE = np.random.default_rng(0).bytes(1000)
OTHER = compressed(NOISE)

# (what is wrong, row of the table of refusals, the file)
PACKED_HOSTILE: list[tuple[str, int, Callable[[], bytes]]] = [
    ("a compressed array in version 1", 25, unmarked),
    ("version 2 without a compressed array", 25, document_with(lambda document: document.pop("packed"))),
    ("an array that is compressed twice", 25, document_with(twice)),
    ("a compressed array that is not there", 25, said(array=1)),
    ("a compressed array with an unknown member", 25, said(level=3)),
    ("a compressed array of a negative length", 25, said(shape=[-1250, 4])),
    ("a compressed array of no dtype", 27, said(dtype="BF16")),
    ("a compressed array of 33 dimensions", 27, said(shape=[1] * 33)),
    ("a compressed array larger than any memory", 27, said(shape=[2**40, 2**40])),
    ("a compressed array of no bytes", 27, said(shape=[0, 4])),
    ("a compressed array of fewer bytes than are there", 30, said(shape=[1249, 4])),
    ("a compressed array of more bytes than are there", 30, said(shape=[1251, 4])),
    ("rows of no bytes", 27, said(row=0)),
    ("items of no bytes", 27, said(item=0)),
    ("items that do not divide a row", 27, said(item=3)),
    ("rows that do not divide a block", 27, said(row=24, item=8)),
    ("rows that do not divide the array", 27, said(row=64, item=8, shape=[1249, 4])),
    ("items longer than a row", 27, said(row=8, item=32)),
    ("no blocks", 27, said(block=0)),
    ("blocks past the bound", 27, said(block=2**24 + 32)),
    ("more blocks than frames", 27, said(block=32)),
    ("no frames", 27, said(frames=[])),
    ("frames longer than the tensor", 27, said(frames=[2**40])),
    ("a frame of no bytes", 27, framed(THOUSAND, b"", shape=[2000])),
    ("a compressed array in a tensor of numbers", 27, lambda: forge_packed(*parts(packed_bytes()), "I8")),
    ("a compressed array in a matrix", 27, in_a_matrix),
    ("80 MiB in five bytes", 28, framed(*[b"x"] * 5, shape=[5 * 2**24], block=2**24)),
    ("a changed compressed array", 29, damaged),
    ("no frame", 30, framed(NOISE)),
    ("a frame of fewer bytes", 30, framed(compressed(bytes(999)))),
    ("a frame of more bytes", 30, framed(compressed(bytes(1001)))),
    ("a frame of a hundred megabytes", 30, framed(compressed(bytes(10**8)))),
    ("a frame of more than it says, which is its block", 30, framed(claiming(compressed(bytes(1001)), 1000))),
    ("a frame of less than it says, which is its block", 30, framed(claiming(compressed(bytes(999)), 1000))),
    ("a frame that does not say its length", 30, framed(without_a_length())),
    ("a frame that is cut short", 30, framed(OTHER[:-1])),
    ("a frame with a byte after it", 30, framed(OTHER + b"\0")),
    ("a frame after the frame", 30, framed(OTHER + OTHER)),
    ("a frame of nothing after the frame", 30, framed(OTHER + compressed(b""))),
    ("a frame to skip before the frame", 30, framed(SKIPPABLE + OTHER)),
    ("a frame to skip after the frame", 30, framed(OTHER + SKIPPABLE)),
    ("a frame with a dictionary", 30, framed(with_a_dictionary())),
    ("a frame with a damaged block", 30, framed(OTHER[:9] + b"\xff" * 20 + OTHER[29:])),
    ("a compressed bool of 2", 31, framed(compressed(b"\2" * 1000), dtype="BOOL")),
]  # fmt: skip
