"""Pickle and joblib files to a graph, by interpreting opcodes as data. Nothing is imported, called or hashed.

- `read`: the bytes of a file, compressed or not, become `Contents`: plain records, and what pickle would do.
- `Contents.graph`: the records become the graph that everything in keepfit is built from, by closed tables.

What comes out goes through `keepfit.codecs.decode` like any other file's graph: trust, versions, validation.
"""

from keepfit.pickles.contents import Contents, read

__all__ = ["Contents", "read"]
