"""Changes of a file's bytes: anywhere, or behind checksums that are made anew so that the damage is parsed."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from artifact_examples import data_of, forge, forge_graph, header_of

from keepfit.artifact import to_bytes
from keepfit.graph import Graph, Node, Ref

__all__ = ["anywhere", "behind_checksums", "in_the_header", "random_graph", "random_json"]

_Random = random.Random
_NUMBERS = (0, 1, 2, 7, 8, 63, 64, 127, 128, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64)
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|true|false|null|[\[\]{},:]')
_WORDS = (
    b"null", b"true", b"false", b"0", b"-1", b"1e308", b"1e400", b"-0", b"0.5", b"[0]", b"[-1]", b"[1.5]", b"[]", b"{}",
    b'""', b'"list"', b'"\\u0000"', b'"\\ud800"', b"[[[[[[[[", b"NaN", b"Infinity", b"9223372036854775808", b"1" * 400,
)  # fmt: skip


def anywhere(file: bytes, rng: _Random) -> tuple[bytes, str]:
    """A bit, a byte, a number, a stretch of bytes: changed, dropped, doubled, moved."""
    data = bytearray(file)
    place = rng.choice((rng.randrange(len(data) + 1), rng.randrange(min(len(data), 4096) + 1)))
    length = rng.choice((1, 1, 2, 4, 8, 16, 64, rng.randrange(1, len(data) + 1)))
    what = rng.choice(("flip", "byte", "number", "drop", "double", "move", "cut", "add"))
    if what == "flip" and place < len(data):
        data[place] ^= 1 << rng.randrange(8)
    elif what == "byte":
        data[place : place + length] = bytes([rng.choice((0, 255, rng.randrange(256)))]) * length
    elif what == "number":
        size = rng.choice((1, 2, 4, 8))
        number = rng.choice((*_NUMBERS, len(data), len(data) - 8)) % 2 ** (8 * size)
        data[place : place + size] = number.to_bytes(size, rng.choice(("little", "big")))
    elif what == "drop":
        del data[place : place + length]
    elif what == "double":
        data[place:place] = data[place : place + length]
    elif what == "move":
        part = data[place : place + length]
        del data[place : place + length]
        other = rng.randrange(len(data) + 1)
        data[other:other] = part
    elif what == "cut":
        del data[place:]
    else:
        data += rng.randbytes(length)
    return bytes(data), f"{what} at {place} of {len(file)}, {length} bytes"


def _tokens_changed(text: bytes, rng: _Random) -> tuple[bytes, str]:
    """One token of a JSON text dropped, doubled, or put in the place of another."""
    spans = [match.span() for match in _TOKENS.finditer(text)]
    if not spans:
        return text, "nothing"
    start, stop = rng.choice(spans)
    other = rng.choice(spans)
    new = rng.choice((b"", text[start:stop] * 2, text[slice(*other)], text[slice(*other)], rng.choice(_WORDS)))
    if rng.random() < 0.3 and text[start:stop].lstrip(b"-").isdigit():
        new = str(int(text[start:stop]) + rng.choice((-1, 1, *_NUMBERS))).encode()
    return text[:start] + new + text[stop:], f"token {text[start:stop][:40]!r} -> {new[:40]!r}"


def _tensors_of(file: bytes) -> tuple[bytes, dict[str, tuple[str, list[int], bytes]]]:
    """The graph's JSON, and the other tensors, of a whole file."""
    header, data = json.loads(header_of(file)), data_of(file)
    del header["__metadata__"]
    tensors = {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]) for name, entry in header.items()
    }
    return tensors.pop("keepfit.graph")[2], tensors


def behind_checksums(file: bytes, rng: _Random) -> tuple[bytes, str]:
    """The graph's JSON, or the bytes, dtype or shape of an array, changed under right checksums."""
    graph, tensors = _tensors_of(file)
    where = rng.choice(("tokens", "tokens", "tokens", "bytes", "array", "shape"))
    if where == "tokens" or not tensors:
        graph, note = _tokens_changed(graph, rng)
    elif where == "bytes":
        graph, note = anywhere(graph, rng)
    else:
        name = rng.choice(sorted(tensors))
        dtype, shape, content = tensors[name]
        if where == "array" and content:
            changed, note = anywhere(content, rng)
            tensors[name] = dtype, shape, (changed + content)[: len(content)]
        else:
            shape = [rng.choice((length, length, length + 1, *_NUMBERS)) for length in shape]
            dtype = rng.choice((dtype, dtype, "F64", "I64", "U8", "BOOL", "F16", "I128", ""))
            tensors[name] = dtype, shape, content
            note = f"{name}: {dtype}{shape}"
    return forge_graph(graph, tensors), f"{where}: {note}"


def in_the_header(file: bytes, rng: _Random) -> tuple[bytes, str]:
    """The header's JSON changed, its own checksum made anew."""
    header, note = _tokens_changed(header_of(file).encode(), rng)
    if rng.random() < 0.3:
        header, more = anywhere(header, rng)
        note += f"; {more}"
    return forge(header, data_of(file), align=rng.choice((64, 64, 64, 1))), note


def random_json(rng: _Random, depth: int = 0) -> Any:
    """Any JSON value, of the names and shapes of a graph's or of none."""
    if depth > rng.choice((2, 4, 6)) or rng.random() < 0.3:
        return rng.choice((None, True, -1, 0, 1, 2**63, 0.5, 1e308, "", "list", "dict", "object", "numpy.ndarray", [0]))
    if rng.random() < 0.5:
        return [random_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    names = ("versions", "roots", "arrays", "nodes", "type", "state", "items", "keys", "array", "count", "columns",
             "lengths", "object", "", "x")  # fmt: skip
    return {rng.choice(names): random_json(rng, depth + 1) for _ in range(rng.randrange(5))}


def random_graph(graphs: list[Graph], rng: _Random) -> tuple[bytes, str]:
    """A file of nodes that are picked from many graphs and refer to one another at random."""
    if rng.random() < 0.1:
        document = {"versions": {}, "roots": {"object": [0]}, "arrays": [], "nodes": random_json(rng)}
        return forge_graph(json.dumps(rng.choice((document, random_json(rng))), separators=(",", ":"))), "any JSON"
    nodes: list[Node] = []
    arrays: list[Any] = []
    versions = dict(rng.choice(graphs).versions)
    total = 0
    for _ in range(rng.choice((1, 2, 3, 5, 8, 13))):
        graph = rng.choice(graphs)
        node = rng.choice(graph.nodes)

        def moved(value: Any, total: int = total) -> Any:
            if type(value) is not Ref:
                return value
            return Ref(rng.randrange(total)) if total and rng.random() < 0.95 else Ref(rng.randrange(total + 2))

        copy = Node(
            node.type,
            {name: moved(value) for name, value in node.state.items()},
            [moved(value) for value in node.items],
            [moved(value) for value in node.keys],
            None,
            node.count,
            {name: [moved(value) for value in column] for name, column in node.columns.items()},
            list(node.lengths),
        )
        if node.array is not None:
            copy.array = len(arrays)
            arrays.append(graph.arrays[node.array])
        nodes.append(copy)
        total += copy.count
    names = [str(number) for number in range(len(arrays))]
    made = Graph({"object": Ref(max(0, total - 1))}, nodes, arrays, names, versions)
    return to_bytes(made, {}), ", ".join(node.type for node in nodes)
