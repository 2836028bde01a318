"""scikit-learn's containers that hold more than attributes."""

from __future__ import annotations

from typing import Any

from keepfit.codecs.builtin import fill_mapping
from keepfit.codecs.codec import Building, Codec, CyclicCodec, Reducing, check_fields
from keepfit.codecs.sklearn_seam import private_class
from keepfit.codecs.standard import check_attribute_names
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["CODECS"]


class _Bunch(CyclicCodec):
    """``sklearn.utils.Bunch``, a dict with string keys."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        if any(name != "_deprecated_key_to_warnings" for name in vars(obj)) or obj.__dict__.get(
            "_deprecated_key_to_warnings"
        ):
            raise UnsupportedError("a Bunch with attributes of its own cannot be kept")
        check_attribute_names(obj, UnsupportedError)  # a Bunch answers for its keys as if they were attributes
        return Node("sklearn.utils.Bunch", items=list(obj.values()), keys=list(obj))

    def new(self, node: Node, context: Building) -> Any:
        from sklearn.utils import Bunch

        return Bunch()

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        check_fields(node)
        if not all(type(key) is str for key in node.keys):
            raise InvalidStateError("the keys of a Bunch are strings")
        check_attribute_names(node.keys, InvalidStateError)
        fill_mapping(obj, node, context)


class _ImputerTriplet(Codec):
    """One step of `IterativeImputer`, a named tuple."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        return Node(_TRIPLET, obj._asdict())

    def build(self, node: Node, context: Building) -> Any:
        cls: Any = private_class(_TRIPLET)
        if tuple(node.state) != cls._fields:
            raise InvalidStateError(f"a step of an imputer has the fields {', '.join(cls._fields)}")
        return cls(**node.state)


_TRIPLET = "sklearn.impute._iterative._ImputerTriplet"

CODECS: dict[str, Codec] = {"sklearn.utils.Bunch": _Bunch(), _TRIPLET: _ImputerTriplet()}
