"""Values that protocols 0 and 1 spell as lines of text: taken only as Python itself spells them.

C pickle reads more (octal and hexadecimal numbers, underscores, escapes), and other readers differ from it there.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["WRONG", "float_of", "int_of", "long_of", "string_of", "unicode_of"]

#: Stands for a line that is spelled in another way.
WRONG = object()

_INT = re.compile(rb"0|-?[1-9][0-9]{0,4299}")
_TEXT = re.compile(rb"[ !#-&(-\[\]-~]*")  # printable, without quotes and backslash
#: What the writer of protocol 0 spells by number.
_ESCAPED = str.maketrans({char: f"\\u{ord(char):04x}" for char in "\\\0\n\r\x1a"})


def int_of(line: bytes) -> Any:
    """An int, or one of the bools ``00`` and ``01``."""
    if line in (b"00", b"01"):
        return line == b"01"
    return int(line) if _INT.fullmatch(line) else WRONG


def long_of(line: bytes) -> Any:
    """An int with an ``L`` behind it."""
    return int(line[:-1]) if line[-1:] == b"L" and _INT.fullmatch(line[:-1]) else WRONG


def float_of(line: bytes) -> Any:
    """A float as `repr` spells it."""
    try:
        value = float(line)
    except ValueError:
        return WRONG
    return value if repr(value).encode() == line else WRONG


def string_of(line: bytes) -> Any:
    """A string of Python 2 in its quotes, of plain ASCII."""
    quoted = len(line) > 1 and line[0] == line[-1] and line[:1] in (b"'", b'"')
    return line[1:-1].decode("ascii") if quoted and _TEXT.fullmatch(line[1:-1]) else WRONG


def unicode_of(line: bytes) -> Any:
    """A text in raw-unicode-escape."""
    try:
        text = line.decode("raw-unicode-escape")
    except UnicodeDecodeError:
        return WRONG
    return text if text.translate(_ESCAPED).encode("raw-unicode-escape") == line else WRONG
