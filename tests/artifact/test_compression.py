"""Compressed arrays: what comes back, what is left as it is, and what other programs see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from artifact_examples import EXAMPLES, graph_of, header_of
from packed_examples import MATRIX, compressed, damaged, framed, packed_bytes, parts

from keepfit.artifact import read, to_bytes, verify_arrays
from keepfit.errors import FormatError
from keepfit.graph import LIMITS, PLAIN_DTYPES, Graph, Limits

RNG = np.random.default_rng(0)
RECORDS = np.zeros(20_000, [("left", "<i8"), ("right", "<i8"), ("value", "<f8"), ("leaf", "u1")])
RECORDS["left"], RECORDS["right"] = np.arange(20_000), np.arange(20_000)[::-1]
RECORDS["value"] = RNG.integers(0, 9, 20_000)


def through(graph: Graph, level: int = 3) -> Graph:
    data = to_bytes(graph, {}, level=level)
    assert to_bytes(graph, {}, level=level) == data
    return read(data)[0]


@pytest.mark.parametrize("level", [1, 3, 19])
def test_arrays_come_back(level: int) -> None:
    arrays = {name: RNG.integers(0, 2, (3000, 7)).astype(dtype) for name, dtype in PLAIN_DTYPES.items()}
    arrays |= {"records": RECORDS.view("u1").reshape(20_000, -1), "matrix": MATRIX, "ones": np.ones(2_000_001, "u1")}
    graph = graph_of(arrays)
    again = through(graph, level)
    assert [packed.array for packed in again.packed] == list(range(len(arrays)))
    for one, other in zip(graph.arrays, again.arrays, strict=True):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        assert other.flags.writeable
        assert other.flags.aligned


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_files_without_compression_and_with_it_hold_the_same(name: str) -> None:
    graph = EXAMPLES[name]()
    again = through(graph)
    assert [array.tobytes() for array in again.arrays] == [array.tobytes() for array in graph.arrays]
    assert to_bytes(again, {}) == to_bytes(graph, {})


def test_what_does_not_get_smaller_is_left_as_it_is_and_the_file_is_of_version_1() -> None:
    graph = graph_of(
        {"noise": RNG.integers(0, 256, 100_000, np.uint8), "small": np.zeros(100), "none": np.empty((0, 4))}
    )
    assert to_bytes(graph, {}, level=19) == to_bytes(graph, {})
    graph.arrays[1] = np.zeros(1000)
    again = through(graph)
    assert [packed.array for packed in again.packed] == [1]


def test_columns_and_bytes_are_put_apart_where_that_is_smaller() -> None:
    walk = np.cumsum(RNG.normal(size=100_000))
    text = np.frombuffer(b"a word and another " * 5000, np.uint8)
    again = through(graph_of({"records": RECORDS.view("u1").reshape(20_000, -1), "walk": walk, "text": text}))
    turns = {again.names[packed.array]: (packed.row, packed.item) for packed in again.packed}
    assert turns["records"][0] == RECORDS.itemsize
    assert turns["walk"] == (8, 1)
    assert turns["text"] == (1, 1)


def test_the_official_package_opens_the_file() -> None:
    tensors = safetensors.numpy.load(packed_bytes())
    document, content = parts(packed_bytes())
    assert tensors["x"].tobytes() == content
    assert len(content) < 0.7 * MATRIX.nbytes
    assert '"format_version":"2"' in header_of(packed_bytes())
    assert document["packed"][0]["shape"] == [1250, 4]


def test_checksums_are_those_of_the_compressed_bytes() -> None:
    verify_arrays(packed_bytes())
    with pytest.raises(FormatError, match="does not match its checksum"):
        verify_arrays(damaged())


def test_an_array_that_gets_smaller_than_a_reader_believes_is_left_as_it_is() -> None:
    again = through(graph_of({"large": np.zeros(2**24 + 1), "other": np.zeros(1000)}))
    assert [again.names[packed.array] for packed in again.packed] == ["other"]


def test_a_callers_limits_are_held() -> None:
    data = packed_bytes()
    assert read(data, limits=Limits(unpacked_bytes=MATRIX.nbytes))[0].packed
    with pytest.raises(FormatError, match="over the limit"):
        read(data, limits=Limits(unpacked_bytes=MATRIX.nbytes - 1))


def test_nothing_large_is_allocated_for_what_a_file_only_claims() -> None:
    bombs = [
        framed(compressed(bytes(10**8)))(),
        framed(*[compressed(bytes(2**24))] * 5, shape=[5 * 2**24], block=2**24)(),
    ]
    for data in bombs:
        tracemalloc.start()
        try:
            with pytest.raises(FormatError):
                read(data)
            assert tracemalloc.get_traced_memory()[1] < 10**6
        finally:
            tracemalloc.stop()
    assert LIMITS.unpacked_ratio * len(bombs[1]) < 5 * 2**24


def test_without_the_library_the_message_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(packed_bytes())
    shadow = tmp_path / "backports"
    shadow.mkdir()
    (shadow / "__init__.py").write_text("")
    code = (
        "import sys, keepfit\n"
        "sys.modules['compression.zstd'] = None\n"
        "keepfit.loads(keepfit.dumps([1, 2]))\n"
        "for use in (lambda: keepfit.load(sys.argv[1]), lambda: keepfit.dumps([], compress='zstd')):\n"
        "    try: use()\n"
        "    except keepfit.errors.UnsupportedError as error: print(error)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    child: Any = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], env=env, capture_output=True, text=True, check=True
    )
    assert len(re.findall(r"pip install 'keepfit\[zstd\]'", child.stdout)) == 2
