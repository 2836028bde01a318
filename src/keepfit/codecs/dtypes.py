"""NumPy's dtypes: which may be kept, as nodes and as strings."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

import numpy as np

from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.codecs.layout import check_shape
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["DTYPE", "as_dtype", "checked_dtype", "scalar_types"]

_UNIT = r"(\[(\d{0,9})(generic|Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
_DTYPE = re.compile(
    rf"[qQ]|[<>|=]?(b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SUV]\d{{1,9}}|[mM]8{_UNIT}|O)", re.ASCII
)


class _Dtype(Codec):
    """A dtype: its string where that says all, its fields otherwise."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        if obj.metadata:
            raise UnsupportedError(f"the dtype {obj} carries metadata, which cannot be kept")
        if obj.kind == "T":
            return Node("numpy.dtype", {"string": "T", **_string_options(obj)})
        if obj.subdtype is not None:
            base, shape = obj.subdtype
            return Node("numpy.dtype", {"base": base, "shape": tuple(shape)})
        if obj.names is None:
            if obj.type not in scalar_types() or (obj.hasobject and obj.kind != "O"):
                raise UnsupportedError(f"arrays of dtype {obj!r} cannot be kept")
            return Node("numpy.dtype", {"string": obj.str})
        titles = {name: field[2] if len(field) > 2 else None for name, field in obj.fields.items() if name in obj.names}
        return Node(
            "numpy.dtype",
            {
                "names": list(obj.names),
                "formats": [obj.fields[name][0] for name in obj.names],
                "offsets": [obj.fields[name][1] for name in obj.names],
                "titles": [titles[name] for name in obj.names],
                "itemsize": obj.itemsize,
                "aligned": obj.isalignedstruct,
            },
        )

    def build(self, node: Node, context: Building) -> Any:
        state = node.state
        if "string" in state:
            return _dtype_of_string(node)
        if "base" in state:
            if state.keys() != {"base", "shape"} or not isinstance(state["base"], np.dtype):
                raise InvalidStateError("a dtype of arrays has the fields base and shape")
            base, shape = state["base"], state["shape"]
            check_shape(shape, context)
            dtype = np.dtype((base, shape))
            _check_itemsize(dtype.itemsize)
            return dtype
        names, formats, offsets, titles, itemsize, aligned = check_fields(
            node, names=list, formats=list, offsets=list, titles=list, itemsize=int, aligned=bool
        )
        if not len(names) == len(formats) == len(offsets) == len(titles):
            raise InvalidStateError("a structured dtype has as many names as formats, offsets and titles")
        if not set(map(type, names)) <= {str} or not set(map(type, titles)) <= {str, type(None)}:
            raise InvalidStateError("the names and titles of a structured dtype are strings")
        _check_itemsize(itemsize)
        for form, offset in zip(formats, offsets, strict=True):
            if not isinstance(form, np.dtype) or type(offset) is not int or not 0 <= offset <= itemsize - form.itemsize:
                raise InvalidStateError("a field of a structured dtype does not lie inside it")
        fields = {"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize}
        if any(title is not None for title in titles):
            fields["titles"] = titles
        return np.dtype(fields, align=aligned)  # type: ignore[call-overload]


def as_dtype(value: Any) -> np.dtype[Any]:
    return value if isinstance(value, np.dtype) else checked_dtype(value)


@lru_cache(maxsize=1000)
def checked_dtype(string: Any) -> np.dtype[Any]:
    if type(string) is not str or not _DTYPE.fullmatch(string):
        raise InvalidStateError(f"{string!r} is not a dtype that can be kept")
    return np.dtype(string)


def _dtype_of_string(node: Node) -> np.dtype[Any]:
    if node.state["string"] != "T":
        (string,) = check_fields(node, string=str)
        return checked_dtype(string)
    options = {name: value for name, value in node.state.items() if name != "string"}
    if not options.keys() <= {"coerce", "na_object"} or type(options.get("coerce", True)) is not bool:
        raise InvalidStateError("a string dtype has the fields coerce and na_object")
    if type(options.get("na_object")) not in (float, type(None), str):
        raise InvalidStateError("the missing value of a string dtype is NaN, None or a string")
    return np.dtypes.StringDType(**options)


def _string_options(dtype: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"coerce": bool(dtype.coerce)}
    if hasattr(dtype, "na_object"):
        if not isinstance(dtype.na_object, (float, str, type(None))):
            raise UnsupportedError("a string dtype whose missing value is neither NaN, None nor a string")
        options["na_object"] = dtype.na_object
    return options


def _check_itemsize(itemsize: int) -> None:
    if not 0 <= itemsize < 2**31:
        raise InvalidStateError("a dtype's items are larger than any")


@cache
def scalar_types() -> frozenset[type]:
    return frozenset(np.dtype(code).type for code in np.typecodes["All"])


DTYPE = _Dtype()
