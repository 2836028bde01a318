"""Private names of SciPy that codecs touch, in one place (1.11 to 1.18).

``_shape`` of sparse arrays, and ``_dict`` of the DOK format: their constructors copy, cast, sort or drop what they are
given, so an exact sparse array is made empty and its parts are set. ``coords`` of the COO format is public from 1.13 on
and made of ``row`` and ``col`` before. ``maxprint`` is an attribute from 1.14 on.

``interp1d._kind``, and ``rv_generic._updated_ctor_param``, which tells a distribution of SciPy's own from one made by
hand under the same name.
"""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = [
    "coords_of", "distribution", "distribution_arguments", "empty_sparse", "entries_of", "interpolation_kind",
    "is_global", "set_coords", "set_entries", "set_shape", "sparse_attributes", "unknown_attributes",
]  # fmt: skip

#: Attributes of a sparse array beside its contents. The two last ones are answers SciPy remembers and can find again.
_SPARSE_ATTRIBUTES = frozenset(
    {"_shape", "maxprint", "_has_sorted_indices", "_has_canonical_format", "has_canonical_format"}
)

#: Attributes of the other kinds, in all supported releases.
_ATTRIBUTES = {
    "BSpline": {
        "_asarray", "_c", "_delegate_to", "_t", "_xp", "_xp_internal", "axis", "c", "extrapolate", "k", "t",
    },
    "interp1d": {
        "_call", "_extrapolate", "_fill_value_above", "_fill_value_below", "_fill_value_orig", "_ind", "_kind", "_side",
        "_spline", "_x_shift", "_y", "axis", "bounds_error", "copy", "x", "x_bds", "y",
    },
    "rv_continuous_frozen": {"a", "args", "b", "dist", "kwds"},
    "rv_discrete_frozen": {"a", "args", "b", "dist", "kwds"},
}  # fmt: skip


def unknown_attributes(obj: Any) -> set[str]:
    """The names of the attributes an object has beyond those its class gives it."""
    return set(vars(obj)) - _ATTRIBUTES[type(obj).__name__]


def sparse_attributes(matrix: Any) -> set[str]:
    """The names of the attributes a sparse array has beyond those every one has."""
    return set(vars(matrix)) - _SPARSE_ATTRIBUTES


@cache
def _class(name: str) -> Any:
    import scipy.sparse

    return getattr(scipy.sparse, name)


def empty_sparse(name: str, dimensions: int) -> Any:
    """A small sparse array of a class, with as many dimensions; None where the running SciPy has no such thing."""
    try:
        return _class(name)((1,) * dimensions)
    except (AttributeError, TypeError, ValueError):
        return None


def set_shape(matrix: Any, shape: tuple[int, ...]) -> None:
    """Give a sparse array its shape, whatever its contents."""
    matrix._shape = shape


def coords_of(matrix: Any) -> tuple[Any, ...]:
    """The coordinate arrays of a COO array, one for each dimension."""
    return tuple(matrix.coords) if hasattr(matrix, "coords") else (matrix.row, matrix.col)


def set_coords(matrix: Any, coords: tuple[Any, ...]) -> None:
    """Give a COO array its coordinates."""
    if hasattr(matrix, "coords"):
        matrix.coords = coords
    else:
        matrix.row, matrix.col = coords


def entries_of(matrix: Any) -> dict[Any, Any]:
    """The dict inside a DOK array."""
    # SciPy before 1.13 let the array itself be the dict.
    entries: dict[Any, Any] = matrix._dict if hasattr(matrix, "_dict") else dict.copy(matrix)
    return entries


def set_entries(matrix: Any, entries: dict[Any, Any]) -> None:
    """Give a DOK array its entries, explicit zeros too."""
    if hasattr(matrix, "_dict"):
        matrix._dict = entries
    else:
        dict.update(matrix, entries)


def interpolation_kind(function: Any) -> str:
    """The kind of an `interp1d`, by which it was made."""
    return str(function._kind)


def distribution(name: str, like: Any = None) -> Any:
    """SciPy's own distribution of a name; None where it has none, or where `like` is another one."""
    from scipy import stats

    found = getattr(stats, name, None)
    if not isinstance(found, (stats.rv_continuous, stats.rv_discrete)):
        return None
    if like is not None and (
        type(like) is not type(found) or repr(like._updated_ctor_param()) != repr(found._updated_ctor_param())
    ):
        return None
    return found


def distribution_arguments(found: Any) -> dict[str, Any]:
    """What a distribution of SciPy's own was made with, as its pickle says it."""
    return dict(found._updated_ctor_param())


def is_global(random_state: Any) -> bool:
    """Whether a distribution draws from NumPy's global state, as it does where nothing else was asked for."""
    import numpy as np

    return random_state is getattr(np.random.rand, "__self__", None)
