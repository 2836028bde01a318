"""``scipy.sparse``: every format, as arrays and as matrices, with its arrays exactly as they stand.

Order of entries, duplicates, explicit zeros and the dtype of indices are kept. What compiled code follows blindly is
checked first, both when an array is kept and when it is built: see `_FORMATS`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from keepfit.codecs import scipy_seam as seam
from keepfit.codecs.builtin import fill_mapping
from keepfit.codecs.codec import Building, Codec, Reducing
from keepfit.codecs.once import once, value_range
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["find"]

_INDEX_DTYPES = (np.dtype(np.int32), np.dtype(np.int64))
_NUMBERS = (bool, int, float, complex, np.bool_, np.number)


class _Sparse(Codec):
    """One format. The node's state is the shape and the arrays by SciPy's names."""

    fields: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self._class_name = name
        self._name = f"scipy.sparse.{name}"

    def reduce(self, obj: Any, context: Reducing) -> Node:
        extra = seam.sparse_attributes(obj) - set(self.fields) - {"coords", "row", "col", "rows", "data", "_dict"}
        if extra:
            raise UnsupportedError(f"a {self._name} with an attribute {min(extra)!r} of its own cannot be kept")
        node = Node(self._name, {"shape": tuple(obj.shape), **self._parts(obj, context)})
        empty = seam.empty_sparse(self._class_name, 2)
        if getattr(obj, "maxprint", None) != getattr(empty, "maxprint", None):
            node.state["maxprint"] = obj.maxprint
        try:
            self._check(node)
            _check_apart(node, context.shared)
        except (InvalidStateError, TypeError, ValueError) as error:
            raise UnsupportedError(f"this {self._name} is damaged ({error}); make it anew and keep that") from error
        return node

    def build(self, node: Node, context: Building) -> Any:
        needed = {"shape", *self.fields}
        if not needed <= node.state.keys() <= needed | {"maxprint"}:
            raise InvalidStateError(f"a {node.type} has the fields {sorted(needed)}, not {sorted(node.state)}")
        maxprint = node.state.get("maxprint", 50)
        if type(maxprint) is not int or not 0 <= maxprint < 2**31:
            raise InvalidStateError(f"the maxprint of a {node.type} is a number of entries")
        self._check(node, context)
        _check_apart(node, context.memo)
        shape = node.state["shape"]
        made = seam.empty_sparse(self._class_name, len(shape))
        if made is None:
            raise InvalidStateError(f"a {node.type} of {len(shape)} dimensions cannot be made by the running SciPy")
        self._fill(made, node, context)
        seam.set_shape(made, shape)
        if "maxprint" in node.state:
            made.maxprint = maxprint
        return made

    def _parts(self, obj: Any, context: Reducing) -> dict[str, Any]:
        return {name: getattr(obj, name) for name in self.fields}

    def _check(self, node: Node, context: Building | None = None) -> None:
        """Raise `InvalidStateError` where contents could lead compiled code astray."""
        raise NotImplementedError

    def _fill(self, made: Any, node: Node, context: Building) -> None:
        for name in self.fields:
            setattr(made, name, node.state[name])


class _Compressed(_Sparse):
    """CSR and CSC: ``indptr`` climbs from 0 to at most the number of entries, and ``indices`` lie in range."""

    fields = ("data", "indices", "indptr")

    def _check(self, node: Node, context: Building | None = None) -> None:
        shape = _check_shape(node, (1, 2) if node.type.endswith("csr_array") else (2,))
        data, indices, indptr = (node.state[name] for name in self.fields)
        _check_data(data, 1)
        rows, columns = (1, *shape)[-2:]
        if node.type.startswith("scipy.sparse.csc"):
            rows, columns = columns, rows
        _check_compressed(indices, indptr, len(data), rows, columns, max(shape), context)


class _Blocks(_Sparse):
    """BSR: as CSR, of blocks whose size divides the shape."""

    fields = ("data", "indices", "indptr")

    def _check(self, node: Node, context: Building | None = None) -> None:
        rows, columns = _check_shape(node, (2,))
        data, indices, indptr = (node.state[name] for name in self.fields)
        _check_data(data, 3)
        _, height, width = data.shape
        if height < 1 or width < 1 or rows % height or columns % width:
            raise InvalidStateError(f"blocks of {height} by {width} do not fill {rows} by {columns}")
        most = max(rows, columns, height * width)
        _check_compressed(indices, indptr, len(data), rows // height, columns // width, most, context)


class _Coordinates(_Sparse):
    """COO of any number of dimensions. That its entries are said to be unique is checked."""

    fields = ("coords", "data", "has_canonical_format")

    def _parts(self, obj: Any, context: Reducing) -> dict[str, Any]:
        canonical = bool(obj.has_canonical_format)
        return {"coords": seam.coords_of(obj), "data": obj.data, "has_canonical_format": canonical}

    def _check(self, node: Node, context: Building | None = None) -> None:
        shape = _check_shape(node, range(1, 33) if node.type.endswith("array") else (2,))
        coords, data, canonical = (node.state[name] for name in self.fields)
        _check_data(data, 1)
        if type(coords) is not tuple or len(coords) != len(shape) or type(canonical) is not bool:
            raise InvalidStateError("a COO array has one array of coordinates for each dimension")
        for coordinate, length in zip(coords, shape, strict=True):
            _check_indices(coordinate, len(data), length, max(shape), context)
            if coordinate.dtype != coords[0].dtype:
                raise InvalidStateError("the coordinates of a COO array have one dtype")
        if canonical and len(data) > 1:
            once(context, ("unique", *map(id, coords)), lambda: _check_unique(coords))

    def _fill(self, made: Any, node: Node, context: Building) -> None:
        seam.set_coords(made, node.state["coords"])
        made.data = node.state["data"]
        made.has_canonical_format = node.state["has_canonical_format"]


class _Diagonals(_Sparse):
    """DIA: as many distinct offsets as rows of data, none so far out that sums with the shape could overflow."""

    fields = ("data", "offsets")

    def _check(self, node: Node, context: Building | None = None) -> None:
        shape = _check_shape(node, (2,))
        data, offsets = node.state["data"], node.state["offsets"]
        _check_data(data, 2)
        if type(offsets) is not np.ndarray or offsets.dtype not in _INDEX_DTYPES or offsets.shape != (len(data),):
            raise InvalidStateError("a DIA array has one offset for each row of data")
        distinct = once(context, ("distinct", id(offsets)), lambda: np.unique(offsets))
        if len(distinct) != len(offsets):
            raise InvalidStateError("two offsets of a DIA array are equal")
        most = max(*shape, data.shape[1])
        if 4 * most > np.iinfo(offsets.dtype).max:
            raise InvalidStateError("the shape of a DIA array is larger than its offsets can count")
        if len(offsets) and not -most <= int(distinct[0]) <= int(distinct[-1]) <= most:
            raise InvalidStateError("an offset of a DIA array lies beyond its shape")


class _Lists(_Sparse):
    """LIL: for each row a sorted list of columns and one of values.

    They are the node's items: for each row its length, its columns, its values. So no two arrays can share a list, and
    what is checked here cannot change while the rest of a cycle is built.
    """

    fields = ("dtype",)

    def reduce(self, obj: Any, context: Reducing) -> Node:
        node = super().reduce(obj, context)
        for columns, values in zip(obj.rows, obj.data, strict=True):
            if type(columns) is not list or type(values) is not list or len(columns) != len(values):
                raise UnsupportedError(f"this {self._name} is damaged; make it anew and keep that")
            node.items += [len(columns), *columns, *values]
        try:
            self._rows(node)
        except InvalidStateError as error:
            raise UnsupportedError(f"this {self._name} is damaged ({error}); make it anew and keep that") from error
        return node

    def _check(self, node: Node, context: Building | None = None) -> None:
        _check_shape(node, (2,))
        _check_dtype(node.state["dtype"])

    def _fill(self, made: Any, node: Node, context: Building) -> None:
        made.dtype = node.state["dtype"]
        rows = self._rows(node)
        made.rows, made.data = np.empty(len(rows), object), np.empty(len(rows), object)
        for place, (columns, values) in enumerate(rows):
            made.rows[place], made.data[place] = columns, values

    def _rows(self, node: Node) -> list[tuple[list[Any], list[Any]]]:
        """The columns and values of each row."""
        height, width = node.state["shape"]
        items, place, rows = node.items, 0, []
        while place < len(items):
            count = items[place]
            if type(count) is not int or not 0 <= count <= (len(items) - place - 1) // 2:
                raise InvalidStateError("a row of a LIL array is not as long as it says")
            middle = place + 1 + count
            columns, values = items[place + 1 : middle], items[middle : middle + count]
            if not all(isinstance(column, (int, np.integer)) and 0 <= column < width for column in columns):
                raise InvalidStateError("a column of a LIL array is out of range")
            if any(left >= right for left, right in pairwise(columns)):
                raise InvalidStateError("the columns of a LIL array are not in order")
            if not all(isinstance(value, _NUMBERS) for value in values):
                raise InvalidStateError("the values of a LIL array are numbers")
            rows.append((columns, values))
            place = middle + count
        if len(rows) != height:
            raise InvalidStateError(f"a LIL array of {height} rows has {len(rows)}")
        return rows


class _Keys(_Sparse):
    """DOK: its entries are the node's keys and items."""

    fields = ("dtype",)

    def reduce(self, obj: Any, context: Reducing) -> Node:
        entries = seam.entries_of(obj)
        node = super().reduce(obj, context)
        node.keys, node.items = list(entries), list(entries.values())
        try:
            self._check_entries(node)
        except InvalidStateError as error:
            raise UnsupportedError(f"this {self._name} is damaged ({error}); make it anew and keep that") from error
        return node

    def _check(self, node: Node, context: Building | None = None) -> None:
        _check_shape(node, (1, 2) if node.type.endswith("array") else (2,))
        _check_dtype(node.state["dtype"])
        self._check_entries(node)

    def _check_entries(self, node: Node) -> None:
        shape = node.state["shape"]
        for key in node.keys:
            places = key if len(shape) > 1 else (key,)
            if type(places) is not tuple or len(places) != len(shape):
                raise InvalidStateError(f"a key of a {node.type} has one place for each dimension")
            for place, length in zip(places, shape, strict=True):
                if not isinstance(place, (int, np.integer)) or not 0 <= place < length:
                    raise InvalidStateError(f"a key of a {node.type} is out of range")
        if not all(isinstance(value, _NUMBERS) for value in node.items):
            raise InvalidStateError(f"the values of a {node.type} are numbers")

    def _fill(self, made: Any, node: Node, context: Building) -> None:
        made.dtype = node.state["dtype"]
        entries: dict[Any, Any] = {}
        fill_mapping(entries, node, context)
        seam.set_entries(made, entries)


_FORMATS: dict[str, type[_Sparse]] = {
    "bsr": _Blocks,
    "coo": _Coordinates,
    "csc": _Compressed,
    "csr": _Compressed,
    "dia": _Diagonals,
    "dok": _Keys,
    "lil": _Lists,
}
_CODECS: dict[str, Codec] = {}
for _format, _codec in _FORMATS.items():
    for _kind in ("array", "matrix"):
        _CODECS[f"scipy.sparse.{_format}_{_kind}"] = _codec(f"{_format}_{_kind}")
        _CODECS[f"scipy.sparse._{_format}.{_format}_{_kind}"] = _codec(f"{_format}_{_kind}")


def find(name: str) -> Codec | None:
    """The codec of a sparse array or matrix."""
    return _CODECS.get(name)


def _check_shape(node: Node, dimensions: Any) -> tuple[int, ...]:
    shape = node.state["shape"]
    if type(shape) is not tuple or len(shape) not in dimensions:
        raise InvalidStateError(f"a {node.type} has {' or '.join(map(str, dimensions))} dimensions")
    if not all(type(length) is int and 0 <= length < 2**62 for length in shape):
        raise InvalidStateError(f"the shape of a {node.type} is out of range")
    return shape


def _check_dtype(dtype: Any) -> None:
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufc":
        raise InvalidStateError(f"a sparse array holds numbers, not {dtype}")


def _check_data(data: Any, dimensions: int) -> None:
    if type(data) is not np.ndarray or data.ndim != dimensions:
        raise InvalidStateError(f"the data of this format is an array of {dimensions} dimensions")
    _check_dtype(data.dtype)


def _check_indices(indices: Any, count: int, below: int, most: int, context: Building | None) -> None:
    if type(indices) is not np.ndarray or indices.dtype not in _INDEX_DTYPES or indices.shape != (count,):
        raise InvalidStateError("the indices of a sparse array are 32- or 64-bit integers, one for each entry")
    if most > np.iinfo(indices.dtype).max:
        raise InvalidStateError("the shape of a sparse array is larger than its indices can count")
    if count:
        lowest, highest = value_range(context, indices)
        if lowest < 0 or highest >= below:
            raise InvalidStateError(f"an index of a sparse array is out of range: {lowest} to {highest} of {below}")


def _check_compressed(
    indices: Any, indptr: Any, count: int, rows: int, columns: int, most: int, context: Building | None
) -> None:
    _check_indices(indices, count, columns, most, context)
    if type(indptr) is not np.ndarray or indptr.dtype != indices.dtype or indptr.shape != (rows + 1,):
        raise InvalidStateError(
            "the index pointer of a sparse array has one place more than rows, and its indices' dtype"
        )
    climbs = once(context, ("climbs", id(indptr)), lambda: bool((indptr[1:] >= indptr[:-1]).all()))
    if indptr[0] != 0 or not climbs or indptr[-1] > count:
        raise InvalidStateError("the index pointer of a sparse array does not climb from 0 to the number of entries")


def _check_apart(node: Node, memo: dict[Any, Any]) -> None:
    """Refuse entries that are the places of entries, here or in another array: to scale them would move those away."""
    state = node.state
    places = [*state.get("coords", ()), *(state[name] for name in ("indices", "indptr") if name in state)]
    if not places:
        return
    all_entries = memo.setdefault("entries of sparse arrays", set())
    all_places = memo.setdefault("places of sparse arrays", set())
    all_entries.add(id(state["data"]))
    all_places.update(map(id, places))
    if not all_entries.isdisjoint(all_places):
        raise InvalidStateError("the entries of a sparse array are the places of entries as well")


def _check_unique(coords: tuple[Any, ...]) -> bool:
    order = np.lexsort(coords)
    repeats = np.ones(len(order) - 1, np.bool_)
    for coordinate in coords:
        placed = coordinate[order]
        repeats &= placed[1:] == placed[:-1]
    if repeats.any():
        raise InvalidStateError("a COO array is said to have no duplicates, and has")
    return True
