"""What is read: bytes that are wrong in any way are a `FormatError`, in the order that the specification gives.

The words that a message must hold stand in the table of refusals of docs/spec/format.md, and only there.
"""

from __future__ import annotations

import functools
import random
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from artifact_examples import MAGIC, data_of, example_bytes, forge, forge_graph, graph_of, header_of
from packed_examples import PACKED_HOSTILE

from keepfit import artifact
from keepfit.errors import FormatError
from keepfit.graph import LIMITS, Limits

SPECIFICATION = Path(__file__).parents[2] / "docs" / "spec" / "format.md"


@functools.cache
def refusals() -> dict[int, str]:
    """The words of each row of the table of refusals."""
    rows = re.findall(r"^\| (\d+) \|.*\| `([^`|]+)` \|$", SPECIFICATION.read_text("utf-8"), re.MULTILINE)
    return {int(number): words for number, words in rows}


GOOD = example_bytes("worked")
HEADER, DATA = header_of(GOOD), data_of(GOOD)
GRAPH = '{"versions":{},"roots":{"object":null},"arrays":[],"nodes":[]}'
WEIGHTS = '"weights":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}'
TWO = artifact.to_bytes(graph_of({"a": np.arange(2), "b": np.arange(2)}), {})
TWO_HEADER = header_of(TWO)


def header(old: str, new: str) -> Callable[[], bytes]:
    """The good file with this changed in its header, and the checksum made right."""
    assert old in HEADER
    return lambda: forge(HEADER.replace(old, new), DATA)


def two(*changes: tuple[str, str]) -> Callable[[], bytes]:
    """The same for a file with two arrays, a of bytes 0 to 16 and b of bytes 16 to 32."""
    text = TWO_HEADER
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return lambda: forge(text, data_of(TWO))


def length(value: int) -> Callable[[], bytes]:
    return lambda: value.to_bytes(8, "little") + GOOD[8:]


def array(dtype: str, shape: str, content: bytes = b"") -> Callable[[], bytes]:
    """A sound file but for one array, x."""
    return lambda: forge_graph(GRAPH, {"x": (dtype, shape, content)})


# (what is wrong, row of the table of refusals, the file)
HOSTILE: list[tuple[str, int, Callable[[], bytes]]] = [
    ("nothing", 1, lambda: b""),
    ("seven bytes", 1, lambda: GOOD[:7]),
    ("eight bytes", 1, lambda: GOOD[:8]),
    ("the start of the opening", 1, lambda: GOOD[:40]),
    ("a file of zeros", 1, lambda: bytes(1000)),
    ("a plain safetensors file", 1, lambda: b"\x02\0\0\0\0\0\0\0{}"),
    ("an opening with white space", 1, header('{"__metadata__":{', '{ "__metadata__":{')),
    ("metadata after the tensors", 1, lambda: forge("{" + WEIGHTS + "," + HEADER[1:], DATA)),
    ("metadata that is no object", 1, lambda: forge('{"__metadata__":3}', DATA)),
    ("100,000 brackets for a header", 1, lambda: forge("[" * 100_000)),
    ("version 0", 2, header('version":"1"', 'version":"0"')),
    ("version 3", 2, header('version":"1"', 'version":"3"')),
    ("version 2 for a file of version 1", 25, header('version":"1"', 'version":"2"')),
    ("version 31", 2, header('version":"1"', 'version":"31"')),
    ("a header length of all ones", 3, length(2**64 - 1)),
    ("a header length that is negative when signed", 3, length(2**63)),
    ("a header length past the limit", 3, length(LIMITS.header_bytes + 1)),
    ("a header length past the end", 4, length(len(GOOD))),
    ("a header length at the limit", 4, length(LIMITS.header_bytes)),
    ("a header length of zero", 5, length(0)),
    ("a header without its padding", 5, lambda: forge(HEADER + " ", DATA, align=1)),
    ("a header length 64 too small", 6, lambda: length(int.from_bytes(GOOD[:8], "little") - 64)()),
    ("a header length 64 too large", 6, lambda: length(int.from_bytes(GOOD[:8], "little") + 64)() + bytes(64)),
    ("a changed fact", 6, lambda: GOOD.replace(b'"class":"dict"', b'"class":"list"')),
    ("a checksum in capitals", 6, lambda: capitals(GOOD)),
    ("a cut header", 7, lambda: forge(HEADER[:-1], DATA)),
    ("two documents", 7, lambda: forge(HEADER + "{}", DATA)),
    ("100,000 open brackets in a shape", 7, header('"shape":[2]', '"shape":' + "[" * 100_000)),
    ("100,000 closed brackets for a tensor", 7, header(WEIGHTS, '"weights":' + "[" * 100_000 + "]" * 100_000)),
    ("100,000 braces for a fact", 7, header('"class":"dict"', '"class":' + '{"a":' * 100_000)),
    ("a fact that is a number", 7, header('"class":"dict"', '"class":3')),
    ("a fact that is null", 7, header('"class":"dict"', '"class":null')),
    ("a tensor that is a string", 7, header(WEIGHTS, '"weights":"F64"')),
    ("a tensor without a shape", 7, header('"shape":[2],', "")),
    ("a tensor with a member too many", 7, header('"shape":[2],', '"shape":[2],"stride":[1],')),
    ("a dtype that is a number", 7, header('"dtype":"F64"', '"dtype":64')),
    ("a negative dimension", 7, header('"shape":[2]', '"shape":[-2]')),
    ("a dimension of 64 bits", 7, header('"shape":[2]', '"shape":[18446744073709551616]')),
    ("a dimension of 5,000 digits", 7, header('"shape":[2]', f'"shape":[{"9" * 5000}]')),
    ("a dimension with a fraction", 7, header('"shape":[2]', '"shape":[2.5]')),
    ("a dimension that is true", 7, header('"shape":[2]', '"shape":[true]')),
    ("a negative offset", 7, header('"data_offsets":[0,16]', '"data_offsets":[-16,0]')),
    ("three offsets", 7, header('"data_offsets":[0,16]', '"data_offsets":[0,16,32]')),
    ("bytes that are no UTF-8", 7, lambda: forge(HEADER.encode().replace(b'"dict"', b'"\xc3("'), DATA)),
    ("a lone surrogate", 7, header('"class":"dict"', r'"class":"\ud800"')),
    ("a byte order mark and NaN", 7, header('"shape":[2]', '"shape":[NaN]')),
    ("a dtype of safetensors that is not ours", 9, array("BF16", "[1]", b"xx")),
    ("a dtype of nobody's", 9, array("F128", "[1]", b"x" * 16)),
    ("a dtype of a million letters", 9, array("x" * 10**6, "[1]", b"x")),
    ("a member of a million letters", 7, header('"shape":[2],', f'"shape":[2],"{"x" * 10**6}":[1],')),
    (
        "a name of a million letters twice",
        15,
        header(WEIGHTS, f"{2 * (WEIGHTS.replace('weights', 'w' * 10**6) + ',')}{WEIGHTS}"),
    ),
    ("a name of a million letters", 31, lambda: forge_graph(node_for("x" * 10**6), {"x" * 10**6: ("BOOL", [1], b"2")})),
    ("a dtype in small letters", 9, array("f64", "[1]", b"x" * 8)),
    ("33 dimensions", 10, array("U8", str([1] * 33), b"x")),
    ("a million dimensions", 10, array("U8", str([1] * 1_000_000), b"x")),
    ("a shape whose size overflows to 0", 11, array("F64", f"[{2**32},{2**32}]")),
    ("a shape whose size overflows to 16", 11, array("F64", f"[{2**61 + 2}]", bytes(16))),
    ("an empty array that is too large", 11, array("F64", f"[0,{2**62},{2**62}]")),
    ("no graph", 12, header('"keepfit.graph"', '"keepfit.grapf"')),
    ("only metadata", 12, lambda: forge(HEADER[: HEADER.index(',"weights"')] + "}", DATA)),
    ("a graph of numbers", 13, lambda: forge(re.sub(r'U8","shape":\[(\d+)\]', r'I8","shape":[\1]', HEADER), DATA)),
    (
        "a graph in two dimensions",
        13,
        lambda: forge(re.sub(r'U8","shape":\[(\d+)\]', r'U8","shape":[1,\1]', HEADER), DATA),
    ),
    (
        "a graph past the limit",
        14,
        lambda: forge(re.sub(r'U8","shape":\[\d+\]', 'U8","shape":[2000000000]', HEADER), DATA),
    ),
    ("a tensor twice", 15, header(WEIGHTS, f"{WEIGHTS},{WEIGHTS}")),
    ("a tensor twice, with other contents", 15, header(WEIGHTS, WEIGHTS.replace("16", "8") + "," + WEIGHTS)),
    ("a tensor twice, once with an escape", 15, header(WEIGHTS, WEIGHTS + "," + WEIGHTS.replace("w", r"\u0077", 1))),
    ("a fact twice", 15, header('"class":"dict"', '"class":"dict","class":"dict"')),
    ("a shape twice", 15, header('"shape":[2]', '"shape":[2],"shape":[2]')),
    ("metadata twice", 15, lambda: forge(HEADER[:-1] + "," + HEADER[1:], DATA)),
    ("a shape too long for its data", 16, header('"shape":[2]', '"shape":[3]')),
    ("a shape too short for its data", 16, header('"shape":[2]', '"shape":[1]')),
    ("a dtype too wide for its data", 16, header('"dtype":"F64","shape":[2]', '"dtype":"F64","shape":[2,2]')),
    ("offsets that run backwards", 16, header('"data_offsets":[0,16]', '"data_offsets":[16,0]')),
    ("an array over another", 17, two(('"data_offsets":[16,32]', '"data_offsets":[8,24]'))),
    ("one array twice under two names", 17, two(('"data_offsets":[16,32]', '"data_offsets":[0,16]'))),
    ("a gap before an array", 18, two(('"data_offsets":[16,32]', '"data_offsets":[24,40]'))),
    ("a gap at the start", 18, two(("[16,32]", "[24,40]"), ("[0,16]", "[8,24]"))),
    ("offsets past the end", 18, two(('"data_offsets":[16,32]', f'"data_offsets":[{2**62},{2**62 + 16}]'))),
    ("names out of order", 19, two(('"a"', '"z"'))),
    (
        "a narrow item before a wide one",
        19,
        lambda: forge_graph(GRAPH, {"a": ("U8", "[8]", bytes(8)), "b": ("F64", "[1]", bytes(8))}),
    ),
    ("the graph before the arrays", 19, lambda: graph_first()),
    ("white space", 20, header('"shape":[2],', '"shape":[2], ')),
    ("white space before the end", 20, header('"weights":', '"weights" :')),
    ("a needless escape", 20, header('"class"', r'"cl\u0061ss"')),
    ("a number with a sign", 20, header('"data_offsets":[0,', '"data_offsets":[-0,')),
    ("members of a tensor in another order", 20, header('"dtype":"F64","shape":[2]', '"shape":[2],"dtype":"F64"')),
    ("facts out of order", 20, header('"class":"dict"', '"class":"dict","b":"x"')),
    ("no checksums", 20, lambda: forge(re.sub(r',"checksums":"[^"]*"', "", HEADER), DATA)),
    ("a tab for padding", 20, lambda: forge(HEADER + "\t", DATA)),
    ("64 spaces of padding too many", 20, lambda: forge(HEADER + " " * 64, DATA)),
    ("a checksum too few", 21, lambda: forge(re.sub(r'"checksums":"[0-9a-f]{16}', '"checksums":"', HEADER), DATA)),
    ("a checksum too many", 21, header('"checksums":"', '"checksums":"0000000000000000')),
    ("half a checksum", 21, lambda: forge(re.sub(r'"checksums":"[0-9a-f]{8}', '"checksums":"', HEADER), DATA)),
    ("data cut by a byte", 22, lambda: GOOD[:-1]),
    ("no data", 22, lambda: forge(HEADER)),
    ("9 bytes that ask for an exabyte", 22, lambda: forge_size(2**60)),
    ("a byte after the end", 23, lambda: GOOD + b"\0"),
    ("a second file after the end", 23, lambda: GOOD + GOOD),
    ("a changed graph", 24, lambda: GOOD.replace(b"fitted", b"FITTED")),
    (
        "a checksum that is no number",
        24,
        lambda: forge(re.sub(r'\w{16}"}', 'zzzzzzzzzzzzzzzz"}', HEADER), DATA),
    ),
    ("a graph that is not JSON", 25, lambda: forge_graph("graph")),
    ("an empty graph", 25, lambda: forge_graph("")),
    ("100,000 brackets for a graph", 25, lambda: forge_graph("[" * 100_000)),
    ("100,000 brackets for a value", 25, lambda: forge_graph(GRAPH.replace("null", "[" * 100_000))),
    ("a graph without a root", 25, lambda: forge_graph(GRAPH.replace('"object"', '"abject"'))),
    ("a ref past the last node", 25, lambda: forge_graph(GRAPH.replace("null", "[0]"))),
    ("a graph with a name twice", 25, lambda: forge_graph(GRAPH.replace("null", 'null,"object":null'))),
    ("an array that the graph does not name", 26, array("F64", "[1]", bytes(8))),
    ("an array that the file does not have", 26, lambda: forge_graph(node_for("y"), {"x": ("F64", "[1]", bytes(8))})),
    ("an array that is the graph", 26, lambda: forge_graph(node_for("keepfit.graph"))),
    ("a changed array", 29, lambda: GOOD.replace(np.float64(2.5).tobytes(), np.float64(2.6).tobytes())),
    ("a bool of 2", 31, lambda: forge_graph(node_for("x"), {"x": ("BOOL", "[2]", b"\1\2")})),
    ("a bool of 255", 31, lambda: forge_graph(node_for("x"), {"x": ("BOOL", "[]", b"\xff")})),
    *PACKED_HOSTILE,
]


def node_for(name: str) -> str:
    return f'{{"versions":{{}},"roots":{{"object":[0]}},"arrays":["{name}"],"nodes":[{{"type":"a","array":0}}]}}'


def capitals(data: bytes) -> bytes:
    start = 8 + len(MAGIC)
    digits = data[start : start + 16]
    assert digits.upper() != digits
    return data[:start] + digits.upper() + data[start + 16 :]


def graph_first() -> bytes:
    size = len(GRAPH)
    graph = f'"keepfit.graph":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}'
    array = f'"x":{{"dtype":"U8","shape":[1],"data_offsets":[{size},{size + 1}]}}'
    return forge(f'{MAGIC}{"0" * 16}","checksums":"{"0" * 32}"}},{graph},{array}}}', GRAPH.encode() + b"x")


def forge_size(size: int) -> bytes:
    array = f'"x":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}'
    graph = f'"keepfit.graph":{{"dtype":"U8","shape":[10],"data_offsets":[{size},{size + 10}]}}'
    return forge(f'{MAGIC}{"0" * 16}","checksums":"{"0" * 32}"}},{array},{graph}}}', b"x")


@pytest.mark.parametrize(("row", "build"), [pytest.param(*case[1:], id=case[0]) for case in HOSTILE])
def test_a_hostile_file_is_refused_in_the_words_of_the_specification(row: int, build: Callable[[], bytes]) -> None:
    data = build()
    for verify_arrays in (True, False) if row != 29 else (True,):
        with pytest.raises(FormatError, match=re.escape(refusals()[row])) as caught:
            artifact.read(data, verify_arrays=verify_arrays)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("row", "limits", "words"),
    [
        (8, Limits(arrays=1), "3 tensors"),
        (3, Limits(header_bytes=100), "header"),
        (14, Limits(graph_bytes=100), "graph"),
        (10, Limits(dimensions=0), "dimensions"),
        (25, Limits(nodes=2), "3 objects"),
    ],
)
def test_a_callers_limits_are_held(row: int, limits: Limits, words: str) -> None:
    with pytest.raises(FormatError, match=words) as caught:
        artifact.read(TWO, limits=limits)
    assert refusals()[row] in str(caught.value)


def test_every_row_of_the_specification_has_a_hostile_file() -> None:
    assert sorted(refusals()) == list(range(1, 32))
    assert {row for _, row, _ in HOSTILE} | {8} == set(refusals())


def test_refusing_takes_little_memory() -> None:
    files = [build() for _, _, build in HOSTILE]
    largest = max(map(len, files))
    tracemalloc.start()
    try:
        for data in files:
            with pytest.raises(FormatError):
                artifact.read(data)
        assert tracemalloc.get_traced_memory()[1] < 50 * largest
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["worked", "dtypes", "group", "none"])
def test_every_truncation_is_refused(name: str) -> None:
    data = example_bytes(name)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            artifact.read(data[:size])


@pytest.mark.parametrize("name", ["worked", "dtypes", "group", "none"])
def test_every_flipped_bit_is_noticed(name: str) -> None:
    data = bytearray(example_bytes(name))
    unnoticed = []
    for place in range(len(data)):
        for bit in range(8):
            data[place] ^= 1 << bit
            try:
                artifact.read(data)
                unnoticed.append((place, bit))
            except FormatError:
                pass
            data[place] ^= 1 << bit
    assert not unnoticed


def test_a_flipped_bit_outside_the_arrays_is_noticed_without_verifying_them() -> None:
    data = bytearray(example_bytes("worked"))
    start = len(data) - len(data_of(data))
    for place in [*range(start), *range(start + 16, len(data))]:
        data[place] ^= 1
        with pytest.raises(FormatError):
            artifact.read(data, verify_arrays=False)
        data[place] ^= 1


def test_a_header_changed_anyhow_with_a_right_checksum_is_refused_or_canonical() -> None:
    generator = random.Random(0)
    pieces = re.findall(r'"[^"]*"|\d+|[^\w"]', HEADER[len(MAGIC) + 17 :])
    accepted = 0
    for _ in range(3000):
        tokens = list(pieces)
        for _ in range(generator.randint(1, 3)):
            place = generator.randrange(len(tokens))
            tokens[place] = generator.choice([*pieces, "", " ", "-1", "1e1", "null", '"\\u0061"', tokens[place] * 2])
        data = forge(HEADER[: len(MAGIC) + 17] + "".join(tokens), DATA)
        try:
            graph, facts = artifact.read(data)
        except FormatError:
            continue
        accepted += 1
        assert artifact.to_bytes(graph, facts) == data
    assert accepted


def test_random_bytes_are_refused() -> None:
    generator = random.Random(0)
    for _ in range(2000):
        with pytest.raises(FormatError):
            artifact.read(generator.randbytes(generator.randrange(200)))


@pytest.mark.parametrize("hidden", [b'"\xff"', b"[" * 5000 + b"]" * 5000], ids=["not UTF-8", "too deep"])
def test_what_a_second_member_of_the_same_name_hides_is_refused(hidden: bytes) -> None:
    """The parser skips it, and so must whoever explains what is wrong."""
    file = example_bytes("worked")
    header = header_of(file).encode()
    assert header.count(b',"weights":') == 1
    with pytest.raises(FormatError):
        artifact.read(forge(header.replace(b',"weights":', b',"weights":%b,"weights":' % hidden), data_of(file)))
