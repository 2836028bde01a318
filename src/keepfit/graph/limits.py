"""One table of limits. Whatever reads bytes holds to it before it allocates."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one file may ask for.

    Parameters
    ----------
    file_bytes : int, default=2**40
        Length of a file; of one that is read in parts, also where only parts are read.
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
        The same, for each byte that they are stored in, besides `unpacked_free_bytes`.
    unpacked_free_bytes : int, default=2**26
        What any file, ours or a pickle, may unpack to, however small it is.
    dimensions : int, default=32
        Dimensions of one array (numpy's own bound in its oldest supported release).
    key_size : int, default=10_000
        Values that one dict key or set element may expand to when it is hashed; shared tuples count each time.
    equal_hashes : int, default=64
        Keys of one dict, or elements of one set, that may share a hash.
    pickle_unpacked_bytes : int, default=4_000_000_000
        What a compressed pickle or joblib file may unpack to.
    pickle_unpacked_ratio : int, default=200
        How many times its size such a file may unpack to, where that is more than `unpacked_free_bytes`.
    archive_members : int, default=10_000
        Files in a zip archive.
    pickle_opcodes : int, default=20_000_000
        Opcodes of a pickle.
    pickle_records : int, default=2_000_000
        Containers, names and calls of a pickle.
    pickle_marks : int, default=100_000
        Containers of a pickle that are open at a time, one inside the other.
    pickle_names : int, default=10_000
        Different names of a pickle that a report lists.
    """

    file_bytes: int = 2**40
    header_bytes: int = 100_000_000
    graph_bytes: int = 1_000_000_000
    nodes: int = 20_000_000
    arrays: int = 2_000_000
    group_fields: int = 1_000_000
    unpacked_bytes: int = 2**36
    unpacked_ratio: int = 1_000
    unpacked_free_bytes: int = 2**26
    dimensions: int = 32
    key_size: int = 10_000
    equal_hashes: int = 64
    pickle_unpacked_bytes: int = 4_000_000_000
    pickle_unpacked_ratio: int = 200
    archive_members: int = 10_000
    pickle_opcodes: int = 20_000_000
    pickle_records: int = 2_000_000
    pickle_marks: int = 100_000
    pickle_names: int = 10_000


LIMITS = Limits()
