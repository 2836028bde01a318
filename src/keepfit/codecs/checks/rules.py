"""Rules for attributes, as text: what each attribute of a class must be for compiled code to be safe with it.

A line is a name and what its value may be::

    cluster_centers_!  f[K,F]
    n_features_in_!    =F
    _counts            f[K]
    _tree              none | sklearn.neighbors.KDTree

``!`` marks what must be there as soon as anything of the rules is: a method that finds a state half missing may skip a
check of its own. Capital letters are lengths, and stand for the same number throughout an object. A value may be:

==================  ====================================================================================
``f[K,F]``          an array of floats of this shape. Other dtypes: ``f4 f8 i`` (integers) ``i4 i8 u1 u4 b``
                    (bool) ``n`` (any real numbers) ``o`` (objects) ``a`` (anything), and ``t``: floats that
                    are tame, that is finite and so small that products of two are finite. ``_`` is any
                    length, ``[...]`` any shape
``csr[S,F]``        a CSR matrix or array of floats
``=K``              an integer equal to the length K
``0..10`` ``1..``   an integer in this range
``list(f8[_])*F``   a list of F such values
``bool str float``  a value of the type; ``float`` is any real number, NumPy's too; also ``none dict list tuple``
``any``             anything
``sklearn.x.Class`` an object of exactly this class
==================  ====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cache, cached_property
from operator import attrgetter
from typing import Any, NoReturn, TypeGuard

import numpy as np

from keepfit.codecs.codec import Building, class_name, whole_of
from keepfit.codecs.once import are_large, are_many, note_read
from keepfit.errors import InvalidStateError

__all__ = [
    "COUNT_MAX",
    "Check",
    "Dims",
    "State",
    "check_backed_counts",
    "find_themselves",
    "in_range",
    "is_a",
    "is_csr",
    "is_integer",
    "named",
    "refuse",
]

State = Mapping[str, Any]
Dims = dict[str, int]
_Test = Callable[[Any, Dims], bool]
#: An attribute, whether it must be there, the tests of which one must hold, and their text.
_Rule = tuple[str, bool, tuple[_Test, ...], str]
_Extra = Callable[[State, Dims], None]

#: Up to here a number of features, outputs or components is taken at its word. Past it, an array of that length must
#: stand beside it: methods make a name or a column for each.
COUNT_MAX = 2**24

_COUNTS = frozenset(
    {
        "_n_components", "_n_features", "_n_features_out", "n_classes_", "n_clusters_", "n_components_", "n_features_",
        "n_features_in_", "n_features_out_", "n_output_features_", "n_outputs_",
    }
)  # fmt: skip

_KINDS = {
    "f": ("f", (4, 8)), "f4": ("f", (4,)), "f8": ("f", (8,)), "i": ("iu", (1, 2, 4, 8)), "i4": ("i", (4,)),
    "i8": ("i", (8,)), "u1": ("u", (1,)), "u4": ("u", (4,)), "b": ("b", (1,)), "n": ("biuf", (1, 2, 4, 8, 16)),
    "o": ("O", (8,)), "t": ("f", (4, 8)),
}  # fmt: skip
#: A singular value decomposition of LAPACK's may go round for ever where there is an infinity.
_TAME = 1e150
#: What looks at the type, dtype and shape of a value only.
_UNREAD = re.compile(r"\s*((list\()?[fn][48]?\[|csr\[|none\s*$)")
_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool, np.bool_), "str": (str,), "none": (type(None),), "dict": (dict,), "list": (list,), "tuple": (tuple,),
}  # fmt: skip


def refuse(what: str) -> NoReturn:
    """Raise `InvalidStateError`."""
    raise InvalidStateError(what)


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether a value is an integer, Python's or NumPy's, and no bool."""
    return type(value) is int or isinstance(value, np.integer)


def is_a(value: Any, *names: str) -> bool:
    """Whether a value is of exactly one of these classes, by the names they go by in graphs."""
    return class_name(type(value)) in names


def named(package: str, names: str) -> list[str]:
    """The full names of classes of a package of scikit-learn, given in one string."""
    return [f"sklearn.{package}.{name}" for name in names.split()]


def is_csr(value: Any) -> bool:
    """Whether a value is a CSR matrix or array of SciPy's."""
    return is_a(value, "scipy.sparse._csr.csr_matrix", "scipy.sparse._csr.csr_array")


def in_range(array: Any, stop: int, start: int = 0) -> bool:
    """Whether every integer of an array is at least `start` and less than `stop`."""
    if not array.size:
        return True
    # Their places cost half of what min() and max() do, which go through all that a ufunc may be asked for.
    return bool(start <= array.item(array.argmin()) and array.item(array.argmax()) < stop)


def find_themselves(labels: Any) -> bool:
    """Whether labels, once sorted, are found by bisection, as `label_binarize` looks for them.

    Among objects that are in no order (numbers and a NaN) one may be placed after the last: its column is not there.
    """
    if labels.dtype != object:
        return True
    try:
        return in_range(np.searchsorted(np.sort(labels), labels), len(labels))
    except (TypeError, ValueError, ArithmeticError):  # as it would raise
        return True


def _is_plain_count(value: Any) -> bool:
    return is_integer(value) and 0 <= value <= COUNT_MAX


def check_backed_counts(state: State, name: str) -> None:
    """Refuse a count past `COUNT_MAX` that no array is as long as, or that is no integer where one is looked for.

    Raises
    ------
    InvalidStateError
    """
    for attribute in _COUNTS & state.keys():
        value = state[attribute]
        if type(value) is int and 0 <= value <= COUNT_MAX:  # as nearly all are
            continue
        if is_integer(value):
            if _is_plain_count(value):
                continue
            if value < 0 or not any(type(v) is np.ndarray and value in v.shape for v in state.values()):
                refuse(f"the attribute {attribute!r} of {_last(name)} is {value:,}, which nothing in it bears out")
        elif attribute == "n_features_in_" or isinstance(value, int) or (type(value) is np.ndarray and not value.ndim):
            refuse(f"the attribute {attribute!r} of {_last(name)} is a number")  # these too are taken for one by loops


class Check:
    """The check of a class: rules as text, and functions for what text cannot say.

    Parameters
    ----------
    name : str
        The class, as graphs name it.
    rules : str, default=""
    extra : function
        Each is given the attributes and the lengths that the rules found, which it leaves as they are, and raises
        `InvalidStateError`. They are called only where something of the rules is there, that is when the object is
        fitted.
    """

    def __init__(self, name: str, rules: str = "", *extra: _Extra) -> None:
        self.name = name
        self._text = rules
        self._extra = extra

    @cached_property
    def _rules(self) -> list[_Rule]:
        """Read when the first object of the class is met: a process meets few of the classes that have rules."""
        rules = []
        for line in filter(None, map(str.strip, self._text.splitlines())):
            attribute, _, text = line.partition(" ")
            tests = tuple(_test(part.strip()) for part in text.split("|"))
            rules.append((attribute.removesuffix("!"), attribute.endswith("!"), tests, text.strip()))
        return rules

    def leaves_unread(self, attribute: str) -> bool:
        """Whether the contents of an attribute that is an array of floats are never looked at.

        A check's functions see what its rules name, and look at arrays of integers and of anything only.
        """
        rule = next((text for name, _, _, text in self._rules if name == attribute), None)
        if rule is None:
            return not self._extra
        return all(map(_UNREAD.match, rule.split("|")))

    def __call__(self, state: State, context: Building) -> None:
        """Raise `InvalidStateError` unless the attributes are as the rules say."""
        dims: Dims = {}
        rules = []
        missing = ""
        for rule in self._rules:
            if rule[0] in state:
                rules.append(rule)
            elif rule[1]:
                missing = missing or rule[0]
        if rules:
            self._note_read(state, context)
            self._test(rules, state, dims)
            if missing:
                refuse(f"a fitted {_last(self.name)} has the attribute {missing!r}")
            for extra in self._extra:
                extra(state, dims)
        check_backed_counts(state, self.name)

    def group(self, members: Sequence[State], columns: Mapping[str, list[Any]], context: Building) -> None:
        """Check several objects that have the same attributes, and the same values of all but those in `columns`.

        Raises
        ------
        InvalidStateError
            Unless the attributes of each are as the rules say.
        """
        first = members[0]
        rules = [rule for rule in self._rules if rule[0] in first]
        missing = next((name for name, needed, _, _ in self._rules if needed and name not in first), "")
        own = [rule for rule in rules if rule[0] in columns and not _hold_alike(rule[3], columns[rule[0]], context)]
        common: Dims = {}
        self._note_read(first, context)
        self._test([rule for rule in rules if rule not in own] if own else rules, first, common)
        counts = [
            name for name in _COUNTS & first.keys() if not all(map(_is_plain_count, columns.get(name, (first[name],))))
        ]
        if rules and missing:
            refuse(f"a fitted {_last(self.name)} has the attribute {missing!r}")
        extras = self._extra if rules else ()
        if not own and len(members) > 1:
            extras = tuple(extra for extra in extras if not _holds_for_all(extra, first, common, columns.keys()))
        if own or extras:
            alike = {name: value for name, value in first.items() if name not in columns}
            self._note_read(alike, context, times=len(members))
            for name, column in columns.items():
                if (large := are_large(column)) and not self.leaves_unread(name):
                    note_read(large, context)
        if not own and not counts:
            for extra in extras:
                for state in members:
                    extra(state, common)
            return
        for state in members:
            dims = dict(common)
            self._test(own, state, dims)
            for extra in extras:
                extra(state, dims)
            if counts:
                check_backed_counts(state, self.name)

    def _note_read(self, state: State, context: Building, times: int = 1) -> None:
        if are_many(context, times) and are_large(state.values()):
            read = [value for name, value in state.items() if not self.leaves_unread(name)]
            note_read(are_large(read), context, times)

    def _test(self, rules: list[_Rule], state: State, dims: Dims) -> None:
        for attribute, _, tests, text in rules:
            value = state[attribute]
            for test in tests:
                if test(value, dims):
                    break
            else:
                self._refuse(attribute, text, dims)

    def _refuse(self, attribute: str, text: str, dims: Dims) -> None:
        known = ", ".join(f"{name} = {length:,}" for name, length in dims.items() if name in text)
        refuse(f"the attribute {attribute!r} of {_last(self.name)} must be {text}" + (f", with {known}" * bool(known)))


#: A rule that asks for a number of dimensions, and for no lengths.
_ANY_LENGTHS = re.compile(r"^\w+\[_(,_)*\]$")


def _hold_alike(text: str, values: list[Any], context: Building) -> bool:
    """Whether a rule that holds for the first of these values holds for all, because it cannot tell them apart."""
    whole = whole_of(values, context) if "t[" not in text else None
    if whole is not None:
        return bool(_ANY_LENGTHS.match(text)) or whole.lengths.count(whole.lengths[0]) == len(whole.lengths)
    kind, *others = set(map(type, values))
    if others or "csr[" in text or (kind is list and "list(" in text) or (kind is np.ndarray and "t[" in text):
        return False  # more is looked at than below
    if kind is np.ndarray:
        shape_of = attrgetter("ndim" if _ANY_LENGTHS.match(text) else "shape")
        return len(set(map(attrgetter("dtype"), values))) == len(set(map(shape_of, values))) == 1
    return not issubclass(kind, (int, np.integer)) or values.count(values[0]) == len(values)


class _Watched(dict[str, Any]):
    """A state that notes what a function asks it for."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        self.asked.update(self.keys())
        return super().__iter__()

    def items(self) -> Any:
        self.asked.update(self.keys())
        return super().items()

    def values(self) -> Any:
        self.asked.update(self.keys())
        return super().values()


def _holds_for_all(extra: _Extra, first: State, common: Dims, differing: Set[str]) -> bool:
    """Whether what a function says of the first member it says of all: it asks for nothing in which they differ."""
    watched = _Watched(first)
    extra(watched, dict(common))
    return watched.asked.isdisjoint(differing)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


@cache
def _test(text: str) -> _Test:
    """The test that a rule stands for."""
    if match := re.fullmatch(r"(csr|\w+)\[([\w,]*|\.\.\.)\]", text):
        kind, shape = match.groups()
        lengths = None if shape == "..." else [int(d) if d.isdigit() else d for d in shape.split(",") if d]
        return _sparse_test(lengths) if kind == "csr" else _array_test(kind, lengths)
    if match := re.fullmatch(r"=([A-Z])", text):
        return _equal_test(match[1])
    if match := re.fullmatch(r"(\d+)\.\.(\d*)", text):
        return _range_test(int(match[1]), int(match[2]) if match[2] else 2**62)
    if match := re.fullmatch(r"list\((.*)\)(?:\*([A-Z]))?", text):
        return _list_test(_test(match[1]), match[2])
    if text == "float":
        return _is_real
    if text == "any":
        return lambda value, dims: True
    types = _TYPES.get(text)
    if types is not None:
        return lambda value, dims: type(value) in types
    return lambda value, dims: class_name(type(value)) == text


def _is_real(value: Any, dims: Dims) -> bool:
    return type(value) in (int, float) or isinstance(value, (np.integer, np.floating))


def _bind(names: list[Any], shape: tuple[int, ...], dims: Dims) -> bool:
    """Whether a shape has these lengths; lengths not known yet become known."""
    if len(names) != len(shape):
        return False
    new: Dims = {}
    for name, length in zip(names, shape, strict=True):
        if name == "_":
            continue
        known = name if type(name) is int else dims.get(name, new.get(name))
        if known is None:
            new[name] = length
        elif known != length:
            return False
    if new:
        dims.update(new)
    return True


def _array_test(kind: str, lengths: list[Any] | None) -> _Test:
    kinds, sizes = _KINDS.get(kind, ("", ()))
    dtypes = map(np.dtype, np.typecodes["All"])
    numbers = {dtype.num for dtype in dtypes if dtype.kind in kinds and dtype.itemsize in sizes}
    row = lengths[0] if lengths is not None and len(lengths) == 1 and type(lengths[0]) is str else ""

    def test(value: Any, dims: Dims) -> bool:
        if type(value) is not np.ndarray or (kind != "a" and value.dtype.num not in numbers):
            return False
        if kind == "t" and value.size and not -_TAME <= float(value.min()) <= float(value.max()) <= _TAME:
            return False
        if row:  # as most are
            return value.ndim == 1 and (row == "_" or dims.setdefault(row, len(value)) == len(value))
        return lengths is None or _bind(lengths, value.shape, dims)

    return test


def _sparse_test(lengths: list[Any] | None) -> _Test:
    def test(value: Any, dims: Dims) -> bool:
        return is_csr(value) and value.dtype.kind == "f" and (lengths is None or _bind(lengths, value.shape, dims))

    return test


def _equal_test(name: str) -> _Test:
    return lambda value, dims: is_integer(value) and value == dims.setdefault(name, int(value))


def _range_test(least: int, most: int) -> _Test:
    return lambda value, dims: is_integer(value) and bool(least <= value <= most)


def _list_test(test: _Test, length: str | None) -> _Test:
    def of_list(value: Any, dims: Dims) -> bool:
        if type(value) is not list or (length and len(value) != dims.get(length, len(value))):
            return False
        bound = dict(dims)  # items may bind lengths before one of them fails
        if not all(test(item, bound) for item in value):
            return False
        if length:
            bound[length] = len(value)
        dims.update(bound)
        return True

    return of_list
