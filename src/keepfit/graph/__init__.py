"""The neutral description of an object: plain nodes and arrays. Every other room speaks it.

A graph is what an object *is*, with no Python class in sight. Its nodes lie in one flat table. A node is a type name,
a state (named values), items (with keys when the node is a mapping) and at most one array. A value is ``None``, a
bool, an int of 64 bits, a finite float, a str, or a `Ref` to a node. Shared references and cycles are refs like any
other, so identity is kept and nothing is nested: no depth, no recursion, every size known before anything is built.

The order of nodes is the order of building: a node refers to nodes before it. Only a cycle makes it refer to one after
it, and then to one of a type that can be made empty and filled later.

Objects of one type that stand together (the trees of a forest, the models of a dict) are one node, a *group*: what they
share stands once, what differs stands in columns, and their arrays are one array. That is what makes large ensembles
small and fast.

Arrays in a graph are C-contiguous and of a plain dtype (`PLAIN_DTYPES`); a codec that keeps more (structured, strings,
dates, complex, Fortran order) says so in its node's state.
"""

from keepfit.graph.limits import LIMITS, Limits
from keepfit.graph.memory import copy_of, file_of_zeros, fresh_memory
from keepfit.graph.nodes import (
    INLINE_TYPES,
    PLAIN_DTYPES,
    Graph,
    Node,
    Outline,
    Packed,
    Ref,
    Value,
    first_objects,
    from_json,
    refs_of,
    to_json,
)
from keepfit.graph.rows import Rows
from keepfit.graph.streams import Stream

__all__ = [
    "INLINE_TYPES",
    "LIMITS",
    "PLAIN_DTYPES",
    "Graph",
    "Limits",
    "Node",
    "Outline",
    "Packed",
    "Ref",
    "Rows",
    "Stream",
    "Value",
    "copy_of",
    "file_of_zeros",
    "first_objects",
    "fresh_memory",
    "from_json",
    "refs_of",
    "to_json",
]
