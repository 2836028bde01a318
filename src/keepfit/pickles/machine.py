"""A machine for pickle protocols 0 to 5 that reads opcodes as data. It imports, calls, hashes and constructs nothing.

It accepts less than CPython's C pickle does, never more: where two readers could take a stream in different ways, it is
refused. Rules: CPython's ``Modules/_pickle.c`` and ``Lib/pickletools.py``.
"""

from __future__ import annotations

import re
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keepfit.errors import FormatError
from keepfit.graph import LIMITS, Limits
from keepfit.pickles.literals import WRONG
from keepfit.pickles.stream import Stream
from keepfit.pickles.values import MISSING, Elements, Global, Instance, Mapping, described, sizes_of

__all__ = ["Log", "Machine", "Operation"]

_INDEX = re.compile(rb"0|[1-9][0-9]{0,9}")
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_LONG_MAX = 2**17


@dataclass
class Log:
    """What reading a stream with pickle would do.

    Parameters
    ----------
    imports, calls : dict of str to (int, int)
        For each name how often, and at which byte first.
    instances : list of Instance
        Every call, whether its result is used or not.
    """

    imports: dict[str, tuple[int, int]] = field(default_factory=dict)
    calls: dict[str, tuple[int, int]] = field(default_factory=dict)
    instances: list[Instance] = field(default_factory=list)


class Machine:
    """Reads one pickle. Several machines may read one after the other from the same stream.

    Parameters
    ----------
    stream : Stream
    limits : Limits, default=LIMITS
    after_build : mapping of str to callable, default=None
        By full name of a class, what takes the place of an instance once its state is given: joblib's raw arrays.
    log : Log, default=None
        Collects what the stream would do.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        limits: Limits = LIMITS,
        after_build: dict[str, Callable[[Instance], Any]] | None = None,
        log: Log | None = None,
    ) -> None:
        self.stream = stream
        self.log = Log() if log is None else log
        self.protocol = 0
        self._limits = limits
        self._after_build = after_build or {}
        self._start = stream.position
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._globals: dict[tuple[str, str], Global] = {}
        self._records = 0
        self.place = 0

    def run(self) -> Any:
        """The value of the pickle: plain scalars, lists, tuples and the records of `keepfit.pickles.values`.

        Raises
        ------
        FormatError
            If the bytes are not a pickle as CPython writes them, or over the limits.

        Notes
        -----
        Cost is linear in the bytes read.
        """
        from keepfit.pickles.opcodes import OPCODES  # which names the methods of this class

        stream, data = self.stream, self.stream.data
        for _ in range(self._limits.pickle_opcodes):
            place = self.place = stream.position
            if place == stream.end:
                if place == stream.size:
                    raise FormatError("the pickle ends before its STOP; the file is cut short")
                stream.leave_frame()
            code = data[place]
            stream.position = place + 1
            entry = OPCODES[code]
            if entry is None:
                raise FormatError(f"byte {place:,} of the pickle, {code:#04x}, is no opcode that can be read as data")
            protocol, operation = entry
            if protocol > self.protocol and (protocol > 1 or self.protocol):
                raise self._wrong(f"an opcode of protocol {protocol} in a pickle of protocol {self.protocol}")
            if operation(self):
                return self._finish()
        raise FormatError(f"the pickle has more than {self._limits.pickle_opcodes:,} opcodes")

    def _finish(self) -> Any:
        if len(self._stack) != 1 or self._marks:
            raise self._wrong("a STOP with something else than one value on the stack")
        if self.stream.position != self.stream.end and self.stream.end == self.stream.frame_end:
            raise self._wrong("bytes behind the STOP inside its frame")
        self.stream.leave_frame()
        return self._stack[0]

    def _wrong(self, what: str) -> FormatError:
        return FormatError(f"the pickle has at byte {self.place:,} {what}")

    # The stack

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def record(self, value: Any) -> None:
        self._records += 1
        if self._records > self._limits.pickle_records:
            raise FormatError(f"the pickle has more than {self._limits.pickle_records:,} objects")
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack:
            raise self._wrong("an opcode that takes more from the stack than there is")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack:
            raise self._wrong("an opcode that needs a value on the stack, where there is none")
        return self._stack[-1]

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise self._wrong("an opcode that needs a mark, where there is none")
        values, self._stack = self._stack, self._marks.pop()
        return values

    def mark(self) -> None:
        if len(self._marks) >= self._limits.pickle_marks:
            raise self._wrong(f"more than {self._limits.pickle_marks:,} marks that are open")
        self._marks.append(self._stack)
        self._stack = []

    def pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def pop_mark(self) -> None:
        self._since_mark()

    def dup(self) -> None:
        self.push(self._top())

    # The memo

    def get(self, width: int) -> None:
        self._get(self.stream.number(width))

    def get_line(self) -> None:
        self._get(self._index())

    def put(self, width: int) -> None:
        self._put(self.stream.number(width))

    def put_line(self) -> None:
        self._put(self._index())

    def memoize(self) -> None:
        self._put(len(self._memo))

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self._wrong(f"a reference to memo entry {index}, which is not there")
        self.push(self._memo[index])

    def _put(self, index: int) -> None:
        if index in self._memo or index > self.stream.position:
            raise self._wrong(f"memo entry {index}, written twice or far beyond the others")
        self._memo[index] = self._top()

    def _index(self) -> int:
        line = self.stream.line()
        if not _INDEX.fullmatch(line):
            raise self._wrong("a memo entry whose number is not spelled as Python does")
        return int(line)

    # Strings and numbers

    def proto(self) -> None:
        protocol = self.stream.number(1)
        if self.place != self._start or not 2 <= protocol <= 5:
            raise self._wrong(f"a PROTO of {protocol} that is not at its start, or not known")
        self.protocol = protocol

    def frame(self) -> None:
        self.stream.enter_frame(self.stream.number(8))

    def literal(self, read: Callable[[bytes], Any]) -> None:
        """A value that stands in a line of text, read by a function of `keepfit.pickles.literals`."""
        value = read(self.stream.line())
        if value is WRONG:
            raise self._wrong("a value that is not spelled as Python does")
        self.push(value)

    def long(self, width: int) -> None:
        size = self.stream.number(width)
        if size > _LONG_MAX:
            raise self._wrong(f"an int of {size:,} bytes")
        self.push(int.from_bytes(self.stream.take(size), "little", signed=True))

    def string(self, width: int) -> None:
        text = self.stream.take(self.stream.number(width))
        if not text.isascii():
            raise self._wrong("a string of Python 2 that is not plain ASCII")
        self.push(text.decode("ascii"))

    def unicode(self, width: int) -> None:
        try:
            self.push(self.stream.take(self.stream.number(width)).decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            raise self._wrong("a text that is not UTF-8") from None

    def binary_int(self) -> None:
        self.push(int.from_bytes(self.stream.take(4), "little", signed=True))

    def binary_float(self) -> None:
        self.push(struct.unpack(">d", self.stream.take(8))[0])

    def mutable_bytes(self) -> None:
        self.record(bytearray(self.stream.take(self.stream.number(8))))

    # Containers

    def short_tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise self._wrong("a tuple of more values than there are")
        values = self._stack[-count:]
        del self._stack[-count:]
        self.record(tuple(values))

    def marked_tuple(self) -> None:
        self.record(tuple(self._since_mark()))

    def marked_list(self) -> None:
        self.record(self._since_mark())

    def marked_dict(self) -> None:
        values = self._pairs()
        self.record(Mapping(values[::2], values[1::2], self.place))

    def marked_frozenset(self) -> None:
        self.record(Elements(self._since_mark(), self.place, frozen=True))

    def _pairs(self) -> list[Any]:
        values = self._since_mark()
        if len(values) % 2:
            raise self._wrong("a dict with a key that has no value")
        return values

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is list:
            target.extend(values)
        elif type(target) is Instance and not target.used:
            target.items.extend(values)
        else:
            raise self._wrong(f"items for {described(target)}, which has none or was used before")

    def append(self) -> None:
        value = self._pop()
        self._extend([value])

    def appends(self) -> None:
        self._extend(self._since_mark())

    def _set(self, keys: list[Any], values: list[Any]) -> None:
        target = self._top()
        if type(target) is Instance and not target.used:
            if target.entries is None:
                target.entries = Mapping([], [], self.place)
            target = target.entries
        if type(target) is not Mapping:
            raise self._wrong(f"keys for {described(target)}, which has none or was used before")
        target.keys.extend(keys)
        target.items.extend(values)

    def setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._set([key], [value])

    def setitems(self) -> None:
        values = self._pairs()
        self._set(values[::2], values[1::2])

    def additems(self) -> None:
        values = self._since_mark()
        target = self._top()
        if type(target) is not Elements or target.frozen:
            raise self._wrong(f"elements for {described(target)}, which is no set")
        target.items.extend(values)

    # Names and calls

    def _import(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise self._wrong("a name that is computed; what it imports cannot be told without running it")
        if self.protocol < 3:  # C pickle then reads the names of Python 2
            if (module, name) in NAME_MAPPING:
                module, name = NAME_MAPPING[(module, name)]
            else:
                module = IMPORT_MAPPING.get(module, module)
        if not _NAME.fullmatch(module) or not _NAME.fullmatch(name) or ("." in name and self.protocol < 4):
            raise self._wrong(f"the name {f'{module} {name}'[:120]!r}, which no import can have")
        found = self._globals.get((module, name))
        if found is None:
            found = self._globals[(module, name)] = Global(module, name, self.place)
        self._note(self.log.imports, found.full_name)
        self.record(found)

    def _note(self, table: dict[str, tuple[int, int]], name: str) -> None:
        count, first = table.get(name, (0, self.place))
        if count or len(table) < self._limits.pickle_names:
            table[name] = (count + 1, first)

    def global_lines(self) -> None:
        module, name = self.stream.line(), self.stream.line()
        self._import(module.decode("ascii", "replace"), name.decode("ascii", "replace"))

    def stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._import(module, name)

    def _call(self, function: Any, args: Any, kwargs: Mapping | None = None, *, new: bool) -> None:
        if type(args) is not tuple:
            raise self._wrong(f"a call whose arguments are {described(args)}, not a tuple")
        if type(function) not in (Global, Instance):
            raise self._wrong(f"a call of {described(function)}")
        _use(args)
        self._note(self.log.calls, described(function))
        instance = Instance(function, args, kwargs, self.place, new=new)
        self.log.instances.append(instance)
        self.record(instance)

    def reduce(self) -> None:
        args, function = self._pop(), self._pop()
        self._call(function, args, new=False)

    def newobj(self) -> None:
        args, cls = self._pop(), self._pop()
        self._call(cls, args, new=True)

    def newobj_ex(self) -> None:
        kwargs, args, cls = self._pop(), self._pop(), self._pop()
        if type(kwargs) is not Mapping:
            raise self._wrong(f"a call whose named arguments are {described(kwargs)}")
        self._call(cls, args, kwargs, new=True)

    def inst(self) -> None:
        args = tuple(self._since_mark())
        self.global_lines()
        self._call(self._pop(), args, new=False)

    def obj(self) -> None:
        values = self._since_mark()
        if not values:
            raise self._wrong("an object without a class")
        self._call(values[0], tuple(values[1:]), new=False)

    def build(self) -> None:
        state = self._pop()
        target = self._top()
        if type(target) is not Instance or target.state is not MISSING:
            raise self._wrong(f"a state for {described(target)}, which takes none or has one")
        if target.used and not target.new and target.name != "copyreg._reconstructor":
            raise self._wrong(f"a state for {described(target)}, which was used before")
        target.state = state
        target.sizes += sizes_of((state,))
        _use(state if type(state) is tuple else (state,))
        replace = self._after_build.get(target.name)
        if replace is not None:
            if self.stream.end != self.stream.size and self.stream.position != self.stream.end:
                raise self._wrong("a raw array in the middle of a frame")
            self.stream.leave_frame()
            self._stack[-1] = replace(target)


def _use(values: tuple[Any, ...]) -> None:
    for value in values:
        if type(value) is Instance:
            value.used = True


#: What an opcode does; True ends the pickle.
Operation = Callable[[Machine], Any]
