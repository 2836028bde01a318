"""Short facts about a kept object: text by name, readable in a file's header without building anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from keepfit.codecs.codec import class_name
from keepfit.codecs.sklearn_seam import parameters_of
from keepfit.errors import UnsupportedError
from keepfit.graph import Graph, Ref

__all__ = ["facts_of", "metadata_of"]

_TEXT_MAX = 20_000
_WORD_MAX = 200


def facts_of(obj: object, graph: Graph, metadata: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The facts of an object: its class, the libraries' releases, parameters, features, classes, and the user's own.

    Parameters
    ----------
    obj : object
    graph : Graph
        What `codecs.encode` gave for it.
    metadata : mapping of str to JSON-able, default=None

    Returns
    -------
    dict of str to str
        ``class`` always; ``versions``, ``parameters``, ``features``, ``classes`` and ``metadata``, as JSON, where there
        are any. The same for the same object in every process.

    Raises
    ------
    UnsupportedError
        If `metadata` is not a mapping with string keys, or holds what JSON cannot.
    """
    facts = {"class": class_name(type(obj))}
    if graph.versions:
        facts["versions"] = _json(graph.versions)
    root = graph.roots["object"]
    if callable(getattr(type(obj), "get_params", None)) and type(root) is Ref:
        found = _answer(parameters_of, obj) or {}
        names = sorted([name for name in found if isinstance(name, str)])  # of a step it may be anything before a fit
        shown = {}
        for name in names:
            if name != "store":  # of a search: its URL may hold a password
                value = found[name]
                shown[_short(name)] = value if value is None or type(value) is bool else _short(value)
        _note(facts, "parameters", shown)
    for fact, attribute in (("features", "feature_names_in_"), ("classes", "classes_")):
        values = _answer(getattr, obj, attribute, None)
        if values is not None and hasattr(values, "tolist") and getattr(values, "ndim", 0) == 1:
            _note(facts, fact, [_short(value) for value in values.tolist()])
    if metadata is not None:
        facts["metadata"] = _metadata_text(metadata)
    return facts


def _answer(ask: Callable[..., Any], *arguments: Any) -> Any:
    """What a model says of itself; None where it is put together so oddly that it cannot say."""
    try:
        return ask(*arguments)
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def _note(facts: dict[str, str], fact: str, value: Any) -> None:
    text = _json(value)
    if len(text) <= _TEXT_MAX:
        facts[fact] = text


def metadata_of(facts: Mapping[str, str]) -> dict[str, Any]:
    """The user's own metadata among the facts; empty where there is none or it is not JSON."""
    try:
        found = msgspec.json.decode(facts.get("metadata", "{}"))
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _metadata_text(metadata: Mapping[str, Any]) -> str:
    try:
        return _json(_plain(metadata, "metadata"))
    except RecursionError:
        raise UnsupportedError("metadata= takes what JSON can hold, and this contains itself") from None


def _plain(value: Any, place: str) -> Any:
    """The user's value as JSON holds it exactly: NumPy's scalars become Python's of the same value."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UnsupportedError(f"{place} has the key {key!r}; metadata= takes dicts with string keys")
        return {key: _plain(one, f"{place}[{key!r}]") for key, one in value.items()}
    if place == "metadata":
        raise UnsupportedError("metadata= takes a dict with string keys")
    if isinstance(value, list):
        return [_plain(one, f"{place}[{index}]") for index, one in enumerate(value)]
    if isinstance(value, np.bool_ | np.integer | np.floating | np.str_):
        value = value.item()
    try:
        if msgspec.json.decode(_json(value)) == value:
            return value
    except (TypeError, ValueError, OverflowError):
        pass
    raise UnsupportedError(
        f"{place} is a {type(value).__name__} ({_limited(repr(value))}), which JSON cannot hold exactly; metadata= "
        "takes strings, numbers (no NaN), true, false, null, and lists and dicts of them"
    )


def _limited(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "..."


def _short(value: Any) -> Any:
    """A parameter as JSON can show it; an estimator or array by its class, so that facts stay short."""
    kind = type(value)
    if kind is str and len(value) <= _WORD_MAX and value.isascii():  # as all names are
        return value
    if value is None or kind is bool:
        return value
    if isinstance(value, str):  # half a surrogate pair is no text that a file may hold
        return value.encode(errors="backslashreplace").decode() if len(value) <= _WORD_MAX else f"<{class_name(kind)}>"
    if (kind is int or kind is float) and abs(value) < 2**63:
        return value
    if isinstance(value, (list, tuple)) and len(value) <= 20 and all(type(v) in (str, int, bool) for v in value):
        return [_short(v) for v in value]
    return f"<{class_name(kind)}>"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
