"""The bytes of one file, and the graph they hold: a profile of safetensors. Knows nothing of scikit-learn.

A keepfit file is a valid safetensors file. Each array of a graph is a tensor under its readable name; the graph itself
is one tensor of JSON, the last; the header's ``__metadata__`` holds the caller's facts and a checksum of every byte.
``docs/spec/format.md`` is the specification, with the table of what is refused and in which order.

- `write`, `to_bytes`: a graph becomes bytes. The same graph becomes the same bytes, on every machine.
- `read`, `read_source`, `read_facts`, `verify_arrays`: bytes become a graph, or a `FormatError`. Nothing
  large is allocated before it is known to be there, nothing nested is followed, and no array is copied: those of bytes
  are views, those of a file are read into place or mapped.
- `save`, `save_by`, `open_bytes`, `open_source`: the places files are in: paths, file objects, URLs. Both
  saves replace a file whole or not at all.
- `is_same_file`: whether what is to be written would take the place of what is read.
- `level_of`: what a caller's ``compress=`` means.
- `sniff`: what foreign bytes are, in words.

Errors about *bytes* are `FormatError`. Errors about *places* are Python's own (`FileNotFoundError`, `PermissionError`,
`IsADirectoryError`, other `OSError`), so that code written for files keeps working; their message says what to do.
"""

from keepfit.artifact.compression import level_of
from keepfit.artifact.header import PACKED_VERSION, PLAIN_VERSION
from keepfit.artifact.places import is_same_file, open_bytes, open_source, save, save_by
from keepfit.artifact.reading import Reader, read, read_facts, read_source, verify_arrays
from keepfit.artifact.sniffing import sniff
from keepfit.artifact.sources import FileSource
from keepfit.artifact.writing import to_bytes, write

__all__ = [
    "PACKED_VERSION",
    "PLAIN_VERSION",
    "FileSource",
    "Reader",
    "is_same_file",
    "level_of",
    "open_bytes",
    "open_source",
    "read",
    "read_facts",
    "read_source",
    "save",
    "save_by",
    "sniff",
    "to_bytes",
    "verify_arrays",
    "write",
]
