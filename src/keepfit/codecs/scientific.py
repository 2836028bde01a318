"""SciPy's objects that scikit-learn's models hold: splines, interpolation, frozen distributions. See also `sparse`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs import scipy_seam as seam
from keepfit.codecs import sparse
from keepfit.codecs.codec import Building, Codec, Reducing, check_fields
from keepfit.codecs.once import note_copied, once
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Node

__all__ = ["find"]

#: Evaluating a spline takes time in the square of its degree.
_DEGREE = 100
#: Frozen distributions broadcast their arguments against each other: those of all of a file together, so far.
_ARGUMENTS_SIZE = 10_000_000
_KINDS = ("linear", "nearest", "nearest-up", "previous", "next")


class _BSpline(Codec):
    """A spline: its knots, coefficients and degree.

    They are held to what SciPy's own constructor asks for, but that knots may all be the same: `SplineTransformer`
    makes such splines of a column that is constant, and evaluating them stays between the knots all the same
    (``scipy/interpolate/src/__fitpack.cc``, ``_find_interval``).
    """

    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_unknown_attributes(obj)
        # A new spline has contiguous arrays; those of a copied one may be views. They evaluate alike.
        t, c = np.ascontiguousarray(obj.t), np.ascontiguousarray(obj.c)
        if obj.k > _DEGREE or t.dtype != np.float64 or c.dtype not in (np.float64, np.complex128):
            raise UnsupportedError(f"a spline is kept when it is of doubles, and of a degree up to {_DEGREE}")
        state = {"t": t, "c": c, "k": int(obj.k)}
        return Node("scipy.interpolate.BSpline", {**state, "extrapolate": obj.extrapolate, "axis": int(obj.axis)})

    def build(self, node: Node, context: Building) -> Any:
        from scipy.interpolate import BSpline

        t, c, k, extrapolate, axis = check_fields(
            node, t=np.ndarray, c=np.ndarray, k=int, extrapolate=(bool, str), axis=int
        )
        if not 0 <= k <= _DEGREE:
            raise InvalidStateError(f"the degree of a spline is 0 to {_DEGREE}")
        if type(extrapolate) is str and extrapolate != "periodic":
            raise InvalidStateError("a spline extrapolates, or does not, or is periodic")
        if t.dtype != np.float64 or c.dtype not in (np.float64, np.complex128) or not 0 <= axis < c.ndim:
            raise InvalidStateError("the knots of a spline are float64, its coefficients float64 or complex128")
        count = t.size - k - 1
        if t.ndim != 1 or count <= k or not once(context, ("knots", id(t)), lambda: _are_in_order(t)):
            raise InvalidStateError("the knots of a spline are in order, and enough for its degree")
        if c.shape[0] < count:
            raise InvalidStateError("a spline has a coefficient for each basis function")
        t, c = (once(context, ("in a row", id(one)), partial(np.ascontiguousarray, one)) for one in (t, c))
        return BSpline.construct_fast(t, c, k, extrapolate=extrapolate, axis=axis)


def _are_in_order(knots: NDArray[Any]) -> bool:
    return bool(np.isfinite(knots).all() and (np.diff(knots) >= 0).all())


class _Interpolation(Codec):
    """``interp1d``, as `IsotonicRegression` keeps it. Those of a spline kind are better kept as `BSpline`s."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_unknown_attributes(obj)
        kind = seam.interpolation_kind(obj)
        if kind not in _KINDS:
            raise UnsupportedError("an interp1d of a spline kind cannot be kept; use make_interp_spline instead")
        fill_value = obj.fill_value
        pair = type(fill_value) is tuple
        state = {"x": obj.x, "y": obj.y, "kind": kind, "axis": obj.axis, "copy": obj.copy is True}
        return Node(
            "scipy.interpolate.interp1d",
            {
                **state,
                "bounds_error": None if obj.bounds_error is None else bool(obj.bounds_error),
                "fill_value": tuple(map(np.asarray, fill_value)) if pair else fill_value,
            },
        )

    def build(self, node: Node, context: Building) -> Any:
        from scipy.interpolate import interp1d

        fill_types = (str, np.ndarray, tuple)
        x, y, kind, axis, copy, bounds_error, fill_value = check_fields(
            node,
            x=np.ndarray, y=np.ndarray, kind=str, axis=int, copy=bool, bounds_error=(bool, type(None)),
            fill_value=fill_types,
        )  # fmt: skip
        if kind not in _KINDS or (type(fill_value) is str and fill_value != "extrapolate"):
            raise InvalidStateError("an interp1d is linear, nearest, previous or next")
        if type(fill_value) is tuple and not all(type(value) is np.ndarray for value in fill_value):
            raise InvalidStateError("the fill values of an interp1d are arrays")
        if x.ndim != 1 or x.dtype.kind not in "fiu" or y.dtype.kind not in "fc" or not 0 <= axis < y.ndim:
            raise InvalidStateError("an interp1d has numbers, with x along an axis of y")
        note_copied([x, y], context)
        made = interp1d(
            x, y, kind=kind, axis=axis, copy=False, bounds_error=bounds_error, fill_value=fill_value, assume_sorted=True
        )
        if copy:
            made.copy = True
        return made


class _Frozen(Codec):
    """A frozen distribution: one of SciPy's own by its name, with numbers for arguments."""

    def __init__(self, name: str) -> None:
        self._name = name

    def reduce(self, obj: Any, context: Reducing) -> Node:
        _refuse_unknown_attributes(obj)
        name = obj.dist.name
        if seam.distribution(name, like=obj.dist) is None:
            raise UnsupportedError(f"the distribution {name!r} is not one of SciPy's own, so it cannot be kept")
        wrong = _wrong_with_arguments(obj.args, obj.kwds, context.shared)
        if wrong:
            raise UnsupportedError(f"a frozen distribution cannot be kept when {wrong}")
        drawn_from = obj.random_state
        state = {"name": name, "args": obj.args, "kwds": obj.kwds}
        return Node(self._name, {**state, "random_state": None if seam.is_global(drawn_from) else drawn_from})

    def build(self, node: Node, context: Building) -> Any:
        generators = (type(None), np.random.RandomState, np.random.Generator)
        name, args, kwds, drawn_from = check_fields(node, name=str, args=tuple, kwds=dict, random_state=generators)
        found = seam.distribution(name)
        if found is None:
            raise InvalidStateError(f"the running SciPy has no distribution {name[:80]!r}")
        wrong = _wrong_with_arguments(args, kwds, context.memo)
        if wrong:
            raise InvalidStateError(f"a frozen distribution cannot be built when {wrong}")
        made = found.freeze(*args, **kwds)
        if type(made).__name__ != self._name.rpartition(".")[2]:
            raise InvalidStateError(f"the distribution {name} does not make a {self._name}")
        if drawn_from is not None:
            made.random_state = drawn_from
        return made


_FROZEN = ("rv_continuous_frozen", "rv_discrete_frozen")
_CODECS: dict[str, Codec] = {
    "scipy.interpolate.BSpline": _BSpline(),
    "scipy.interpolate._bsplines.BSpline": _BSpline(),
    "scipy.interpolate._interpolate.interp1d": _Interpolation(),
    "scipy.interpolate.interp1d": _Interpolation(),
    **{f"scipy.stats.{name}": _Frozen(f"scipy.stats.{name}") for name in _FROZEN},
    **{f"scipy.stats._distn_infrastructure.{name}": _Frozen(f"scipy.stats.{name}") for name in _FROZEN},
}


def find(name: str) -> Codec | None:
    """The codec of a type of SciPy."""
    return sparse.find(name) or _CODECS.get(name)


def _refuse_unknown_attributes(obj: Any) -> None:
    unknown = seam.unknown_attributes(obj)
    if unknown:
        raise UnsupportedError(f"a {type(obj).__name__} with an attribute {min(unknown)!r} of its own cannot be kept")


def _wrong_with_arguments(args: tuple[Any, ...], kwds: dict[Any, Any], memo: dict[Any, Any]) -> str:
    """What is wrong with the arguments of a distribution; empty where nothing is."""
    values = [*args, *kwds.values()]
    if not all(type(name) is str for name in kwds) or len(values) > 20:
        return "its arguments are not as those of any distribution"
    if not all(
        isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))
        or (type(value) is np.ndarray and value.dtype.kind in "biuf")
        for value in values
    ):
        return "its arguments are something else than numbers and arrays of them"
    size = float(np.prod(np.broadcast_shapes(*map(np.shape, values)), dtype=float))
    memo["distributions"] = size + memo.get("distributions", 0.0)
    if size > 1 and memo["distributions"] > _ARGUMENTS_SIZE:
        return f"its arguments make up more than {_ARGUMENTS_SIZE:,} distributions"
    return ""
