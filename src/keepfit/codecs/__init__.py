"""Live objects <-> graph: the closed tables of what may be built, and the checks of contents.

One module per library and per native structure. `encode` takes objects apart, `decode` builds them: trust, then steps
between versions, then validation and construction, in that order and by no other way.
"""

from keepfit.codecs.custom import Trusted
from keepfit.codecs.decoding import decode, path_of, script_names, untrusted_types
from keepfit.codecs.encoding import encode
from keepfit.codecs.parts import cut_out, find_part, part_names
from keepfit.codecs.portions import streamed_arrays
from keepfit.codecs.unread import unread_arrays

__all__ = [
    "Trusted",
    "cut_out",
    "decode",
    "encode",
    "find_part",
    "part_names",
    "path_of",
    "script_names",
    "streamed_arrays",
    "unread_arrays",
    "untrusted_types",
]
