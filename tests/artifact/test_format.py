"""What is written: a valid safetensors file, the same on every run, read back as it was."""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from artifact_examples import EXAMPLES, data_of, example_bytes, forge, graph_of, group, header_of, worked_example
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keepfit import artifact
from keepfit.errors import FormatError, UnsupportedError
from keepfit.graph import LIMITS, PLAIN_DTYPES, Graph, Node


def assert_same(one: Graph, other: Graph) -> None:
    assert msgspec.to_builtins(one.nodes) == msgspec.to_builtins(other.nodes)
    assert (one.roots, one.names, one.versions) == (other.roots, other.names, other.versions)
    for a, b in zip(one.arrays, other.arrays, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_graph_comes_back_as_it_was(name: str) -> None:
    graph = EXAMPLES[name]()
    facts = {"b": "2", "a": 'ä " \\ \n', "": ""}
    again, facts_again = artifact.read(artifact.to_bytes(graph, facts))
    assert_same(graph, again)
    assert facts_again == facts


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_safetensors_package_reads_the_same_arrays(name: str, tmp_path: Path) -> None:
    graph = EXAMPLES[name]()
    path = tmp_path / "a.safetensors"
    path.write_bytes(artifact.to_bytes(graph, {"class": "dict"}))
    with safetensors.safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == {*graph.names, "keepfit.graph"}
        assert file.metadata()["format"] == "keepfit"
        assert file.metadata()["class"] == "dict"
    tensors = safetensors.numpy.load(path.read_bytes())
    for array_name, array in zip(graph.names, graph.arrays, strict=True):
        assert tensors[array_name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[array_name], array)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_array_is_aligned_in_the_file(name: str) -> None:
    data = example_bytes(name)
    start = len(data) - len(data_of(data))
    assert start % 64 == 0
    for key, tensor in msgspec.json.decode(header_of(data)).items():
        if key != "__metadata__":
            assert (start + tensor["data_offsets"][0]) % PLAIN_DTYPES[tensor["dtype"]].itemsize == 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_streaming_writes_the_same_bytes(name: str) -> None:
    file = io.BytesIO()
    artifact.write(EXAMPLES[name](), {"class": "dict"}, file)
    assert file.getvalue() == example_bytes(name)


def test_a_file_that_takes_a_little_at_a_time_gets_everything() -> None:
    class Slow(io.RawIOBase):
        taken = b""

        def writable(self) -> bool:
            return True

        def write(self, piece: object) -> int:
            part = bytes(memoryview(piece)[: 1 + len(piece) // 2])
            self.taken += part
            return len(part)

    file = Slow()
    artifact.write(EXAMPLES["large"](), {"class": "dict"}, file)
    assert file.taken == example_bytes("large")


def test_the_same_graph_is_the_same_bytes_in_another_process() -> None:
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); from artifact_examples import *;"
        "print(*(hashlib.sha256(example_bytes(n)).hexdigest() for n in EXAMPLES))"
    )
    expected = [hashlib.sha256(example_bytes(name)).hexdigest() for name in EXAMPLES]
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        out = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], env=env, stdout=-1, check=True)
        assert out.stdout.decode().split() == expected


def test_the_order_of_facts_makes_no_difference() -> None:
    graph = group()
    assert artifact.to_bytes(graph, {"a": "1", "b": "2"}) == artifact.to_bytes(graph, {"b": "2", "a": "1"})


@settings(max_examples=50, deadline=None)
@given(
    arrays=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=6).filter(
            lambda name: name not in ("keepfit.graph", "__metadata__")
        ),
        st.sampled_from(list(PLAIN_DTYPES.values())).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
        ),
        max_size=5,
    ),
    facts=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), st.text(st.characters(codec="utf-8"))),
)
def test_any_arrays_and_facts_come_back(arrays: dict[str, np.ndarray], facts: dict[str, str]) -> None:
    graph = graph_of({name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()})
    data = artifact.to_bytes(graph, facts)
    again, facts_again = artifact.read(data)
    assert_same(graph, again)
    assert facts_again == facts
    assert safetensors.numpy.load(data).keys() == {*arrays, "keepfit.graph"}


# ---- reading ----


def test_facts_are_read_from_the_first_bytes_alone() -> None:
    data = example_bytes("large")
    assert artifact.read_facts(data[: -len(data_of(data))]) == {"class": "dict"}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))])
def test_arrays_are_views_and_as_writable_as_their_buffer(kind: object) -> None:
    data = kind(example_bytes("large"))
    graph, _ = artifact.read(data)
    for array in graph.arrays:
        assert np.shares_memory(array, np.frombuffer(data, np.uint8))
        assert array.flags.aligned
        assert array.flags.writeable != memoryview(data).readonly


def test_an_unaligned_buffer_gives_aligned_arrays() -> None:
    data = example_bytes("dtypes")
    room = np.zeros(len(data) + 8, np.uint8)
    shift = 1 - room.ctypes.data % 8
    buffer = memoryview(room)[shift % 8 : shift % 8 + len(data)]
    buffer[:] = data
    graph, _ = artifact.read(buffer.toreadonly())
    assert_same(EXAMPLES["dtypes"](), graph)
    assert all(array.flags.aligned and not array.flags.writeable for array in graph.arrays)


def test_a_mapped_file_is_read_without_reading_its_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(example_bytes("large"))
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    graph, facts = artifact.read(mapped, verify_arrays=False)
    assert_same(EXAMPLES["large"](), graph)
    assert facts == {"class": "dict"}


def test_arrays_left_unverified_can_be_verified_later() -> None:
    data = bytearray(example_bytes("large"))
    artifact.verify_arrays(data)
    data[len(data) - len(data_of(data)) + 5] ^= 1
    artifact.read(data, verify_arrays=False)
    with pytest.raises(FormatError, match="'large': the array does not match its checksum"):
        artifact.verify_arrays(data)


def test_what_is_not_bytes_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        artifact.read("text")
    with pytest.raises(TypeError, match="side by side"):
        artifact.read(memoryview(bytes(100))[::2])


# ---- what cannot be written ----


def test_an_array_whose_name_is_the_formats_own_is_renamed() -> None:
    graph = graph_of({"keepfit.graph": np.arange(2), "keepfit.graph~2": np.arange(3), "__metadata__": np.arange(4)})
    again, _ = artifact.read(artifact.to_bytes(graph, {}))
    assert again.names == ["keepfit.graph~3", "keepfit.graph~2", "__metadata__~2"]
    assert [len(array) for array in again.arrays] == [2, 3, 4]
    assert artifact.to_bytes(again, {}) == artifact.to_bytes(graph, {})


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, complex),
        np.zeros(3, object),
        np.zeros(3, ">i4"),
        np.zeros(3, "S3"),
        np.zeros(3, "M8[s]"),
        np.zeros((3, 3), order="F")[:, :2],
        np.zeros(6)[::2],
        np.zeros((1,) * 33) if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else np.zeros(2, complex),
    ],
    ids=lambda array: f"{array.dtype}-{array.ndim}",
)
def test_an_array_that_the_format_does_not_hold_is_refused_by_name(array: np.ndarray) -> None:
    with pytest.raises(UnsupportedError, match=r"steps\.0"):
        artifact.to_bytes(graph_of({"steps.0": array}), {})


@pytest.mark.parametrize("name", ["format", "format_version", "checksum", "checksums"])
def test_a_fact_may_not_have_a_name_of_the_format(name: str) -> None:
    with pytest.raises(UnsupportedError, match="name"):
        artifact.to_bytes(group(), {name: "x"})


@pytest.mark.parametrize("facts", [{"a": 1}, {1: "a"}, {"a": None}])
def test_facts_are_strings(facts: dict) -> None:
    with pytest.raises(UnsupportedError, match="strings"):
        artifact.to_bytes(group(), facts)


@pytest.mark.parametrize("where", ["fact", "name", "value"])
def test_a_lone_surrogate_is_refused(where: str) -> None:
    graph = graph_of({"\ud800" if where == "name" else "a": np.arange(3)})
    graph.roots["object"] = "\ud800" if where == "value" else graph.roots["object"]
    with pytest.raises(UnsupportedError, match="Unicode"):
        artifact.to_bytes(graph, {"a": "\ud800" if where == "fact" else ""})


def test_what_a_reader_would_refuse_is_not_written() -> None:
    with pytest.raises(UnsupportedError, match="names and facts"):
        artifact.to_bytes(group(), {"a": "x" * LIMITS.header_bytes})
    many = Node("g", state={"x": None}, columns={"x": []}, count=LIMITS.nodes + 1)
    with pytest.raises(UnsupportedError, match="20,000,001 objects"):
        artifact.to_bytes(Graph({"object": None}, [many], [], [], {}), {})


def test_names_must_be_one_for_each_array() -> None:
    graph = graph_of({"a": np.arange(2), "b": np.arange(3)})
    graph.names = ["a", "a"]
    with pytest.raises(UnsupportedError, match="names"):
        artifact.to_bytes(graph, {})
    graph.names = ["a"]
    with pytest.raises(UnsupportedError, match="names"):
        artifact.to_bytes(graph, {})


def test_the_forge_of_these_tests_makes_what_the_writer_makes() -> None:
    data = artifact.to_bytes(*worked_example())
    assert forge(header_of(data), data_of(data)) == data
