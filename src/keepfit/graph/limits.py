"""One table of limits. Whatever reads bytes holds to it before it allocates."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one file may ask for.

    Parameters
    ----------
    header_bytes : int, default=100_000_000
        Length of a safetensors header; the bound of the safetensors specification itself.
    graph_bytes : int, default=1_000_000_000
        Length of the graph's JSON.
    nodes : int, default=20_000_000
        Nodes in a graph.
    arrays : int, default=2_000_000
        Arrays in a graph.
    group_fields : int, default=1_000_000
        Fields that the groups of a graph may expand to, besides 8 for each byte of it.
    unpacked_bytes : int, default=2**36
        What the compressed arrays of a file unpack to, together.
    unpacked_ratio : int, default=1_000
        The same, for each byte that they are stored in, besides 64 MiB that every file may unpack to.
    dimensions : int, default=32
        Dimensions of one array (numpy's own bound in its oldest supported release).
    key_size : int, default=10_000
        Values that one dict key or set element may expand to when it is hashed; shared tuples count each time.
    equal_hashes : int, default=64
        Keys of one dict, or elements of one set, that may share a hash.
    """

    header_bytes: int = 100_000_000
    graph_bytes: int = 1_000_000_000
    nodes: int = 20_000_000
    arrays: int = 2_000_000
    group_fields: int = 1_000_000
    unpacked_bytes: int = 2**36
    unpacked_ratio: int = 1_000
    dimensions: int = 32
    key_size: int = 10_000
    equal_hashes: int = 64


LIMITS = Limits()
