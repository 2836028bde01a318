"""docs/spec/format.md says what the program does: its example and its limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from artifact_examples import data_of, header_of, worked_example

from keepfit.artifact import read, to_bytes
from keepfit.graph import LIMITS, PLAIN_DTYPES

SPECIFICATION = Path(__file__).parents[2] / "docs" / "spec" / "format.md"
START = "<!-- example: made by tests/artifact/test_specification.py -->\n"
END = "<!-- end of example -->"


def example_text() -> str:
    """Section 9, made from the bytes."""
    data = to_bytes(*worked_example())
    header, start = header_of(data), len(data) - len(data_of(data))
    end = 8 + len(header)
    graph = data[start + 16 :].decode()
    assert data[start : start + 16] == bytes.fromhex("000000000000f03f0000000000000440")
    return f"""
| bytes | are |
|---|---|
| 0 to 7 | the length {start - 8}, which is {hex(start - 8)} |
| 8 to {end - 1} | the header |
| {end} to {start - 1} | padding: {start - end} spaces |
| {start} to {start + 15} | the array `weights`: 1.0 and 2.5 |
| {start + 16} to {len(data) - 1} | the graph |

The header, broken into lines here:

```
{in_lines(header, '"checksum|"class|"weights|"keepfit')}
```

The graph, likewise:

```
{in_lines(graph, '"roots|"arrays|"nodes|{"type')}
```

The whole file:

```
{dump(data)}
```
"""


def in_lines(text: str, starts: str) -> str:
    return re.sub(rf",(?={starts})", ",\n", text)


def dump(data: bytes) -> str:
    rows = []
    for place in range(0, len(data), 16):
        row = data[place : place + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{place:08x}  {row.hex(' '):47}  |{text}|")
    return "\n".join(rows)


def undump(text: str) -> bytes:
    return b"".join(bytes.fromhex(row[10:57]) for row in re.findall(r"^[0-9a-f]{8}  .*\|$", text, re.MULTILINE))


def test_the_example_is_what_the_program_writes() -> None:
    written = SPECIFICATION.read_text("utf-8").partition(START)[2].partition(END)[0]
    assert written == example_text(), "put this in the specification:\n" + example_text()


def test_the_bytes_of_the_example_are_read() -> None:
    graph, facts = read(undump(SPECIFICATION.read_text("utf-8")))
    assert [array.tolist() for array in graph.arrays] == [[1.0, 2.5]]
    assert facts == {"class": "dict"}


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("header and padding", LIMITS.header_bytes),
        ("graph", LIMITS.graph_bytes),
        ("objects in the graph", LIMITS.nodes),
        ("arrays", LIMITS.arrays),
        ("dimensions of an array", LIMITS.dimensions),
    ],
)
def test_the_limits_are_the_programs(words: str, limit: int) -> None:
    assert re.search(rf"^\| {words} \| {limit:,}\b", SPECIFICATION.read_text("utf-8"), re.MULTILINE)


def test_the_dtypes_are_the_programs() -> None:
    row = re.search(r"^\| `dtype` \| (.*) \|$", SPECIFICATION.read_text("utf-8"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", row.group(1))) == sorted(PLAIN_DTYPES)
