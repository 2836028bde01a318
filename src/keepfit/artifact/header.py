"""The header of a file: one layout for given arrays, and one spelling for a given layout.

The header holds strings and whole numbers only, so it can be written in exactly one way. The reader rebuilds it from
what it read and compares: what passes has no duplicate keys, overlaps, gaps, unknown members or odd spellings, whether
or not anybody thought of them. The checks before and after that comparison only find better words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import msgspec
import xxhash

from keepfit.artifact.sniffing import explain
from keepfit.errors import FormatError
from keepfit.graph import PLAIN_DTYPES, Limits

__all__ = [
    "CHECKSUM_DIGITS",
    "GRAPH_NAME",
    "PACKED_VERSION",
    "PLAIN_VERSION",
    "RESERVED_FACTS",
    "RESERVED_NAMES",
    "Header",
    "Tensor",
    "check_size",
    "checked_size",
    "encode",
    "is_ours",
    "lay_out",
    "parse",
    "quote",
]

#: The tensor that holds the graph.
GRAPH_NAME = "keepfit.graph"
_METADATA = "__metadata__"
#: Names that no array can have in a file.
RESERVED_NAMES = frozenset({GRAPH_NAME, _METADATA})
#: Members of the metadata that are the format's own.
RESERVED_FACTS = frozenset({"format", "format_version", "checksum", "checksums"})

#: The versions of ``docs/spec/format.md``: of files without compressed arrays, and with them.
PLAIN_VERSION, PACKED_VERSION = "1", "2"
_ALIGNMENT = 64  # of the data within the file: a cache line, and a multiple of every item's size
#: Hexadecimal digits of a checksum.
CHECKSUM_DIGITS = 16
_NO_CHECKSUM = b"0" * CHECKSUM_DIGITS
# Every header starts with the same bytes up to its checksum, so that damage is found before anything is parsed.
_OPENING = b'{"__metadata__":{"format":"keepfit","format_version":"'
_MAGICS = tuple(_OPENING + version.encode() + b'","checksum":"' for version in (PLAIN_VERSION, PACKED_VERSION))
_CHECKSUM_START = 8 + len(_MAGICS[0])
_CHECKSUM_END = _CHECKSUM_START + CHECKSUM_DIGITS

# Widest items first: then every array is aligned to its items without gaps.
_ITEM_SIZES = {name: dtype.itemsize for name, dtype in PLAIN_DTYPES.items()}
_MAX_SIZE = 2**63 - 1

_LONGEST_QUOTE = 80  # characters of a name in a message

_Size = Annotated[int, msgspec.Meta(ge=0, le=_MAX_SIZE)]


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the header, with safetensors' names.

    Parameters
    ----------
    dtype : str
        A key of `PLAIN_DTYPES`.
    shape : list of int
    data_offsets : tuple of (int, int)
        First byte and the one after the last, counted from the start of the data.
    """

    dtype: str
    shape: list[_Size]
    data_offsets: tuple[_Size, _Size]


class Header(msgspec.Struct, frozen=True):
    """What a header says; an instance that `parse` returns is sound.

    Parameters
    ----------
    version : str
        Of the format: one of `PLAIN_VERSION` and `PACKED_VERSION`.
    facts : dict of str to str
        The caller's facts.
    tensors : dict of str to Tensor
        In the order of their data: widest items first, then by name, the graph last.
    checksums : dict of str to str
        That of each tensor, in the same order.
    data_start : int
        Where the data start in the file.
    """

    version: str
    facts: dict[str, str]
    tensors: dict[str, Tensor]
    checksums: dict[str, str]
    data_start: int

    @property
    def file_size(self) -> int:
        """Length of the whole file, bytes."""
        return self.data_start + self.tensors[GRAPH_NAME].data_offsets[1]


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_metadata = msgspec.json.Decoder(dict[str, str])
_tensor = msgspec.json.Decoder(Tensor)
_tensors = msgspec.json.Decoder(list[Tensor])
_encoder = msgspec.json.Encoder()


def quote(name: str) -> str:
    """A name from a file as it stands in a message: on one line, and not longer than a line."""
    return repr(name if len(name) <= _LONGEST_QUOTE else f"{name[:_LONGEST_QUOTE]}...")


def lay_out(described: Iterable[tuple[str, str, Iterable[int], int]]) -> dict[str, Tensor]:
    """Give each array its place in the data.

    Parameters
    ----------
    described : iterable of (str, str, sequence of int, int)
        Name, dtype, shape and size in bytes of each, the graph included; in any order.

    Returns
    -------
    tensors : dict of str to Tensor
        In the order of their data.
    """
    order = sorted(
        (name == GRAPH_NAME, -_ITEM_SIZES[dtype], name, dtype, shape, size) for name, dtype, shape, size in described
    )
    tensors = {}
    end = 0
    for _, _, name, dtype, shape, size in order:
        start, end = end, end + size
        tensors[name] = Tensor(dtype, list(shape), (start, end))
    return tensors


def encode(version: str, facts: Mapping[str, str], tensors: Mapping[str, Tensor], checksums: str) -> bytes:
    """The first bytes of a file: the header's length, the header, and its padding.

    Parameters
    ----------
    version : str
        Of the format.
    facts : mapping of str to str
        The caller's facts, in any order.
    tensors : mapping of str to Tensor
        As `lay_out` orders them.
    checksums : str
        Those of all tensors, joined.

    Raises
    ------
    UnicodeEncodeError
        If a string holds a lone surrogate.
    """
    text = bytearray(_spelled(version, "0" * CHECKSUM_DIGITS, facts, checksums, tensors))
    text[_CHECKSUM_START:_CHECKSUM_END] = xxhash.xxh3_64_hexdigest(text).encode()
    return bytes(text)


def _spelled(
    version: str, checksum: str, facts: Mapping[str, str], checksums: str, tensors: Mapping[str, Tensor]
) -> bytes:
    metadata = {"format": "keepfit", "format_version": version, "checksum": checksum}
    for name in sorted(facts):
        metadata[name] = facts[name]
    metadata["checksums"] = checksums
    text = _encoder.encode({_METADATA: metadata, **tensors})
    padding = -(8 + len(text)) % _ALIGNMENT
    return b"%b%b%*b" % ((len(text) + padding).to_bytes(8, "little"), text, padding, b"")


def is_ours(data: memoryview) -> bool:
    """Whether bytes start as a keepfit file does."""
    return data[8:_CHECKSUM_START] in _MAGICS


def parse(data: memoryview, limits: Limits) -> Header:
    """Read and check a header; what comes after it in `data` need not be there.

    Parameters
    ----------
    data : memoryview of bytes
        The file, or at least its header.
    limits : Limits

    Raises
    ------
    FormatError
        For the first row of the table of refusals in ``docs/spec/format.md`` that applies.
    """
    text = _undamaged(data, limits)
    metadata, tensors = _members_of(text[8:])
    version, checksum, checksums = (metadata.get(name, "") for name in ("format_version", "checksum", "checksums"))
    sizes = _sizes(tensors, limits)
    _check_graph(tensors, limits)
    facts = {name: metadata[name] for name in metadata if name not in RESERVED_FACTS}
    if not _is_laid_out(tensors, sizes) or _spelled(version, checksum, facts, checksums, tensors) != text:
        raise FormatError(_what_is_not_canonical(text[8:], tensors, sizes))
    if len(checksums) != CHECKSUM_DIGITS * len(tensors):
        raise FormatError(f"the header has {len(checksums) / CHECKSUM_DIGITS:g} checksums for {len(tensors):,} tensors")
    parts = [checksums[i : i + CHECKSUM_DIGITS] for i in range(0, len(checksums), CHECKSUM_DIGITS)]
    return Header(version, facts, tensors, dict(zip(tensors, parts, strict=True)), len(text))


def check_size(header: Header, size: int) -> None:
    """Compare the length of a file with what its header says.

    Raises
    ------
    FormatError
        If it is shorter or longer.
    """
    if size < header.file_size:
        raise FormatError(_cut_short(size, header.file_size))
    if size > header.file_size:
        extra = size - header.file_size
        raise FormatError(f"the file has {extra:,} bytes after its end; it is damaged or something was appended to it")


def _cut_short(size: int, expected: int) -> str:
    return (
        f"the file is cut short: {size:,} of {expected:,} bytes are there. What wrote or copied it did not finish; "
        "get it again"
    )


def _undamaged(data: memoryview, limits: Limits) -> bytes:
    """The length, header and padding, equal to their checksum; nothing has been parsed."""
    if not is_ours(data):
        raise FormatError(_not_ours(data))
    length = int.from_bytes(data[:8], "little")
    if length > limits.header_bytes:
        raise FormatError(f"the header is {length:,} bytes long, over the limit of {limits.header_bytes:,}")
    end = 8 + length
    if end > len(data):
        raise FormatError(_cut_short(len(data), end))
    if end % _ALIGNMENT:
        raise FormatError(f"the header's length {length:,} is not 8 less than a multiple of {_ALIGNMENT}")
    text = bytes(data[:end])
    digits = text[_CHECKSUM_START:_CHECKSUM_END]
    hasher = xxhash.xxh3_64(text[:_CHECKSUM_START])
    hasher.update(_NO_CHECKSUM)
    hasher.update(memoryview(text)[_CHECKSUM_END:])
    if hasher.hexdigest().encode() != digits:
        raise FormatError("the header does not match its checksum: the file is damaged; get it again")
    return text


def _not_ours(data: memoryview) -> str:
    start = bytes(data[8:_CHECKSUM_START])
    if start.startswith(_OPENING):
        version = start[len(_OPENING) :].split(b'"')[0].decode("ascii", "replace")
        if version.isdecimal() and version not in (PLAIN_VERSION, PACKED_VERSION):
            return (
                f"the file is of version {version} of the format, and this keepfit reads the versions {PLAIN_VERSION} "
                f"and {PACKED_VERSION}; upgrade keepfit"
            )
    return explain(data)


def _members_of(text: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        members = _members.decode(text)
        metadata = _metadata.decode(members.pop(_METADATA))
        return metadata, dict(zip(members, _tensors.decode(b"[%b]" % b",".join(members.values())), strict=True))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"the header is not what the format says: {_where(text)}{str(error)[:200]}") from None


def _where(text: bytes) -> str:
    """The name of the first tensor whose entry is malformed."""
    try:
        members = _members.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    members.pop(_METADATA)
    for name, entry in members.items():
        try:
            _tensor.decode(entry)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return f"tensor {quote(name)}: "
    return "metadata: "


def _sizes(tensors: Mapping[str, Tensor], limits: Limits) -> dict[str, int]:
    if len(tensors) > limits.arrays + 1:
        raise FormatError(f"the file has {len(tensors):,} tensors, over the limit of {limits.arrays + 1:,}")
    return {name: checked_size(name, tensor.dtype, tensor.shape, limits) for name, tensor in tensors.items()}


def checked_size(name: str, dtype: str, shape: list[int], limits: Limits) -> int:
    """How many bytes an array of this dtype and shape has.

    Raises
    ------
    FormatError
        If there is no such array. The message calls it by `name`.
    """
    item_size = _ITEM_SIZES.get(dtype)
    if item_size is None:
        raise FormatError(f"tensor {quote(name)} has the dtype {quote(dtype)}, which the format does not have")
    if len(shape) > limits.dimensions:
        raise FormatError(f"tensor {quote(name)} has {len(shape)} dimensions, over the limit of {limits.dimensions}")
    size = math.prod(shape) * item_size
    # numpy multiplies the dimensions that are not 0 and refuses what overflows, also for an empty array.
    if size > _MAX_SIZE or (not size and math.prod(filter(None, shape)) * item_size > _MAX_SIZE):
        raise FormatError(f"tensor {quote(name)} has the shape {shape}, which is larger than any memory")
    return size


def _check_graph(tensors: Mapping[str, Tensor], limits: Limits) -> None:
    graph = tensors.get(GRAPH_NAME)
    if graph is None:
        raise FormatError(f"the file has no tensor {GRAPH_NAME!r}, which says what its arrays are")
    if graph.dtype != "U8" or len(graph.shape) != 1:
        raise FormatError(f"the tensor {GRAPH_NAME!r} is not a row of bytes")
    if graph.shape[0] > limits.graph_bytes:
        raise FormatError(f"the graph is {graph.shape[0]:,} bytes long, over the limit of {limits.graph_bytes:,}")


def _is_laid_out(tensors: Mapping[str, Tensor], sizes: Mapping[str, int]) -> bool:
    """Whether the data of all tensors lie in the order of `lay_out`, side by side from the first byte on."""
    end = 0
    last = (-_MAX_SIZE, "")
    for name, tensor in tensors.items():
        start, stop = tensor.data_offsets
        here = (-_ITEM_SIZES[tensor.dtype], name) if name != GRAPH_NAME else (_MAX_SIZE, "")
        if start != end or stop - start != sizes[name] or here <= last:
            return False
        end, last = stop, here
    return True


def _what_is_not_canonical(text: bytes, tensors: Mapping[str, Tensor], sizes: Mapping[str, int]) -> str:
    """The words for a header that differs from the one its contents ought to have."""
    twice = _name_that_stands_twice(text)
    if twice is not None:
        return f"the name {quote(twice)} stands twice in the header"
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        start, stop = tensor.data_offsets
        if stop - start != sizes[name]:
            return (
                f"tensor {quote(name)} has {stop - start:,} bytes of data; its dtype and shape ask for {sizes[name]:,}"
            )
        if start != end:
            return f"there is {'an overlap' if start < end else 'a gap'} in the data before tensor {quote(name)}"
        end = stop
    ordered = lay_out((name, tensor.dtype, tensor.shape, sizes[name]) for name, tensor in tensors.items())
    for name, expected in zip(tensors, ordered, strict=True):
        if name != expected:
            return f"tensor {quote(name)} is out of order; {quote(expected)} belongs in its place"
    return "the header is not spelled as the format says: another program wrote or rewrote it"


def _name_that_stands_twice(text: bytes) -> str | None:
    found: list[str] = []

    def pairs(members: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in members:
            if name in seen:
                found.append(name)
            seen.add(name)

    with suppress(ValueError, RecursionError):  # what stands under a name that stands again has not been looked at
        json.loads(text, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    return found[0] if found else None
