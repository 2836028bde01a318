"""The opcodes of pickle: for each the protocol that brought it, and what it does to the machine.

Rules: CPython's ``Lib/pickletools.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keepfit.pickles import literals
from keepfit.pickles.machine import Machine, Operation
from keepfit.pickles.values import Elements, Mapping

__all__ = ["OPCODES"]


def _constant(value: Any) -> Operation:
    return lambda machine: machine.push(value)


def _container(make: Callable[[int], Any]) -> Operation:
    return lambda machine: machine.record(make(machine.place))


def _sized(method: Callable[[Machine, int], None], width: int) -> Operation:
    return lambda machine: method(machine, width)


def _literal(read: Callable[[bytes], Any]) -> Operation:
    return lambda machine: machine.literal(read)


def _unsigned(width: int) -> Operation:
    return lambda machine: machine.push(machine.stream.number(width))


def _octets(width: int) -> Operation:
    return lambda machine: machine.push(machine.stream.take(machine.stream.number(width)))


_ROWS: dict[bytes, tuple[int, Operation]] = {
    b"(": (0, Machine.mark),
    b".": (0, lambda machine: True),  # STOP
    b"0": (0, Machine.pop),
    b"1": (1, Machine.pop_mark),
    b"2": (0, Machine.dup),
    # Plain values
    b"N": (0, _constant(None)),
    b"\x88": (2, _constant(True)),
    b"\x89": (2, _constant(False)),
    b"I": (0, _literal(literals.int_of)),
    b"L": (0, _literal(literals.long_of)),
    b"F": (0, _literal(literals.float_of)),
    b"S": (0, _literal(literals.string_of)),
    b"V": (0, _literal(literals.unicode_of)),
    b"K": (1, _unsigned(1)),
    b"M": (1, _unsigned(2)),
    b"J": (1, Machine.binary_int),
    b"G": (1, Machine.binary_float),
    b"\x8a": (2, _sized(Machine.long, 1)),
    b"\x8b": (2, _sized(Machine.long, 4)),
    b"T": (1, _sized(Machine.string, 4)),
    b"U": (1, _sized(Machine.string, 1)),
    b"X": (1, _sized(Machine.unicode, 4)),
    b"\x8c": (4, _sized(Machine.unicode, 1)),
    b"\x8d": (4, _sized(Machine.unicode, 8)),
    b"B": (3, _octets(4)),
    b"C": (3, _octets(1)),
    b"\x8e": (4, _octets(8)),
    b"\x96": (5, Machine.mutable_bytes),
    # Containers
    b")": (1, _container(lambda place: ())),
    b"]": (1, _container(lambda place: [])),
    b"}": (1, _container(lambda place: Mapping([], [], place))),
    b"\x8f": (4, _container(lambda place: Elements([], place, frozen=False))),
    b"t": (0, Machine.marked_tuple),
    b"l": (0, Machine.marked_list),
    b"d": (0, Machine.marked_dict),
    b"\x91": (4, Machine.marked_frozenset),
    b"\x85": (2, _sized(Machine.short_tuple, 1)),
    b"\x86": (2, _sized(Machine.short_tuple, 2)),
    b"\x87": (2, _sized(Machine.short_tuple, 3)),
    b"a": (0, Machine.append),
    b"e": (1, Machine.appends),
    b"s": (0, Machine.setitem),
    b"u": (1, Machine.setitems),
    b"\x90": (4, Machine.additems),
    # Names and calls
    b"c": (0, Machine.global_lines),
    b"\x93": (4, Machine.stack_global),
    b"R": (0, Machine.reduce),
    b"\x81": (2, Machine.newobj),
    b"\x92": (4, Machine.newobj_ex),
    b"i": (0, Machine.inst),
    b"o": (1, Machine.obj),
    b"b": (0, Machine.build),
    # The memo and the frames
    b"g": (0, Machine.get_line),
    b"h": (1, _sized(Machine.get, 1)),
    b"j": (1, _sized(Machine.get, 4)),
    b"p": (0, Machine.put_line),
    b"q": (1, _sized(Machine.put, 1)),
    b"r": (1, _sized(Machine.put, 4)),
    b"\x94": (4, Machine.memoize),
    b"\x80": (0, Machine.proto),
    b"\x95": (4, Machine.frame),
}

#: By code. Not there, and so refused: EXT1, EXT2, EXT4, PERSID, BINPERSID, NEXT_BUFFER, READONLY_BUFFER.
OPCODES = [_ROWS.get(bytes((code,))) for code in range(256)]
