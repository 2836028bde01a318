"""Code inside a file, by cloudpickle: only where the caller opens ``allow={"code"}`` on both sides."""

from __future__ import annotations

from pickle import PicklingError
from typing import Any

import numpy as np

from keepfit.codecs.codec import Building, Codec, check_fields
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["CODE", "to_node"]


def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ImportError:
        message = "code in a file needs cloudpickle: pip install cloudpickle"
        raise UnsupportedError(message) from None
    return cloudpickle


def to_node(obj: Any) -> Node:
    """The node that holds the code of `obj`.

    Raises
    ------
    UnsupportedError
        If cloudpickle is not installed, or has no code for it.
    """
    cloudpickle = _cloudpickle()
    try:
        data = cloudpickle.dumps(obj)
    except (TypeError, PicklingError) as error:
        raise UnsupportedError(f"an object of the class {type(obj).__qualname__} cannot be kept: {error}") from error
    return Node("code", array=np.frombuffer(data, "u1"))


class _Code(Codec):
    """Built only after the walk has seen ``"code"`` in what the caller allows."""

    def build(self, node: Node, context: Building) -> Any:
        check_fields(node)
        if node.array is None or node.array.dtype != np.uint8 or node.array.ndim != 1:
            raise InvalidStateError("code is kept as one row of octets")
        return _cloudpickle().loads(node.array.tobytes())


CODE = _Code()
