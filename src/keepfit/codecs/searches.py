"""`keepfit.ModelSearchCV`: attributes like those of scikit-learn's searches, and a store that stays behind."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec

from keepfit.codecs.codec import Building, Codec, Reducing
from keepfit.codecs.estimators import Entry, EstimatorCodec
from keepfit.errors import InvalidStateError
from keepfit.graph import Node

__all__ = ["CODECS"]


class _SearchCodec(EstimatorCodec):
    """A search is kept without its store: that is a place of one machine, its URL may hold a password, and a file
    must not say where to write."""

    groups = False

    def reduce(self, obj: Any, context: Reducing) -> Node:
        node = super().reduce(obj, context)
        node.state["store"] = None
        return node

    def _usable(self, state: dict[str, Any], context: Building) -> dict[str, Any]:
        if state["store"] is not None:
            raise InvalidStateError("a search in a file has no store")
        return super()._usable(state, context)

    def _check_release(self, state: Mapping[str, Any], context: Building) -> None:
        """Its state does not depend on scikit-learn's release; what it holds is checked by itself."""


def _codecs() -> dict[str, Codec]:
    table = files("keepfit.codecs").joinpath("tables/keepfit.json").read_bytes()
    entries = msgspec.json.decode(table, type=dict[str, Entry])
    return {name: _SearchCodec(name, entry) for name, entry in entries.items()}


CODECS = _codecs()
