"""Parts of long lists: which one a request asks for."""

from __future__ import annotations

from starlette.datastructures import QueryParams

from keepfit.serve.errors import RequestError

__all__ = ["LIMIT_MAX", "part_of"]

LIMIT_MAX = 1000


def part_of(query: QueryParams, *, limit: int | None = None) -> slice:
    """The part of a list that ``offset`` and ``limit`` of a request's query name.

    Parameters
    ----------
    query : QueryParams
    limit : int, default=None
        Where none is named; None for all.

    Raises
    ------
    RequestError
        If one is no number, or the limit not from 1 to 1,000.
    """
    offset = _number(query, "offset", 0, 0, 2**31)
    named = None if "limit" not in query and limit is None else _number(query, "limit", limit or 0, 1, LIMIT_MAX)
    return slice(offset, None if named is None else offset + named)


def _number(query: QueryParams, name: str, default: int, low: int, high: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high):
        raise RequestError(f"{name} has to be a number from {low:,} to {high:,}")
    return int(text)
