"""Small graphs made by hand, and a forge for files that are wrong in one way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xxhash

from keepfit.artifact import to_bytes
from keepfit.graph import PLAIN_DTYPES, Graph, Node, Ref

MAGIC = '{"__metadata__":{"format":"keepfit","format_version":"1","checksum":"'


def graph_of(arrays: dict[str, Any], extra: Sequence[Node] = ()) -> Graph:
    """A dict of arrays, as a graph."""
    nodes = [Node("numpy.ndarray", array=i) for i in range(len(arrays))]
    nodes.append(Node("dict", items=[Ref(i) for i in range(len(arrays))], keys=list(arrays)))
    return Graph(
        {"object": Ref(len(arrays))},
        [*nodes, *extra],
        list(map(np.asarray, arrays.values())),
        list(arrays),
        {"numpy": "2"},
    )


def worked_example() -> tuple[Graph, dict[str, str]]:
    """The one of docs/spec/format.md: ``{"weights": array([1.0, 2.5]), "fitted": True}``."""
    nodes = [Node("numpy.ndarray", array=0), Node("dict", items=[Ref(0), True], keys=["weights", "fitted"])]
    graph = Graph({"object": Ref(1)}, nodes, [np.array([1.0, 2.5])], ["weights"], {"numpy": "2.4.6"})
    return graph, {"class": "dict"}


def every_dtype() -> Graph:
    arrays = {f"of {name}": np.arange(3).astype(dtype) for name, dtype in PLAIN_DTYPES.items()}
    return graph_of(arrays)


def odd_shapes() -> Graph:
    return graph_of(
        {
            "scalar": np.array(2.5),
            "truth": np.array(True),
            "empty": np.empty((0, 3), np.int16),
            "hollow": np.empty((2, 0, 5)),
            "wide": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
            "deep": np.zeros((1,) * 32, np.float32),
            "höhe ✓": np.array([1, -1], np.int64),
            'a"b\\c\n\x01/': np.array([0.5], np.float16),
        }
    )


def no_arrays() -> Graph:
    return Graph({"object": None}, [], [], [], {})


def group() -> Graph:
    trees = Node("tree", state={"depth": None, "kind": "gini"}, array=0, count=2, lengths=[1, 2])
    trees.columns = {"depth": [3, 4]}
    nodes = [trees, Node("list", items=[Ref(0), Ref(1)])]
    return Graph({"object": Ref(2)}, nodes, [np.arange(6.0).reshape(3, 2)], ["trees"], {})


EXAMPLES: dict[str, Callable[[], Graph]] = {
    "worked": lambda: worked_example()[0],
    "dtypes": every_dtype,
    "shapes": odd_shapes,
    "none": no_arrays,
    "group": group,
    "many": lambda: graph_of({f"estimators_.{i}.nodes": np.full(i % 5, i, np.int32) for i in range(300)}),
    "large": lambda: graph_of({"small": np.arange(3), "large": np.arange(100_000.0), "half": np.ones(70_000, "f2")}),
}


def header_of(data: bytes) -> str:
    return data[8 : 8 + int.from_bytes(data[:8], "little")].decode().rstrip()


def data_of(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


def forge(header: str | bytes, data: bytes = b"", *, align: int = 64) -> bytes:
    """A file with this header and a right checksum over it."""
    text = header.encode() if isinstance(header, str) else header
    text += b" " * (-(8 + len(text)) % align)
    whole = bytearray(len(text).to_bytes(8, "little") + text)
    start = 8 + len(MAGIC)
    whole[start : start + 16] = b"0" * 16
    whole[start : start + 16] = xxhash.xxh3_64_hexdigest(bytes(whole)).encode()
    return bytes(whole) + data


def forge_graph(
    json: str | bytes, arrays: dict[str, tuple[str, list[int], bytes]] | None = None, *, version: str = "1"
) -> bytes:
    """A sound file around any bytes for a graph; the tensors of `arrays` stand in the order given."""
    document = json.encode() if isinstance(json, str) else json
    tensors = {**(arrays or {}), "keepfit.graph": ("U8", [len(document)], document)}
    entries, end = [], 0
    for name, (dtype, shape, content) in tensors.items():
        start, end = end, end + len(content)
        entries.append(
            f'"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}'.replace(", ", ",")
        )
    checksums = "".join(xxhash.xxh3_64_hexdigest(content) for _, _, content in tensors.values())
    magic = MAGIC.replace('version":"1"', f'version":"{version}"')
    header = f'{magic}{"0" * 16}","checksums":"{checksums}"}},{",".join(entries)}}}'
    return forge(header, b"".join(content for _, _, content in tensors.values()))


def example_bytes(name: str) -> bytes:
    return to_bytes(EXAMPLES[name](), {"class": "dict"})
