"""Constructors of compiled and private objects: random generators, trees, neighbour trees, metrics, losses, SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from keepfit.codecs.codec import Reducing, find_codec
from keepfit.codecs.losses import CODECS as LOSSES
from keepfit.codecs.neighbors import CODECS as NEIGHBOR_TREES
from keepfit.errors import InvalidStateError
from keepfit.graph import Node
from keepfit.pickles.reading import Maker, Reader, entries_of, no_more, state_of, text_of
from keepfit.pickles.values import MISSING, Derived, Global, Instance, Mapping

__all__ = ["MAKERS"]

_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


class _StandIn:
    """Gives a codec the parts that the object would give it."""

    def __init__(self, *parts: Any) -> None:
        self._parts = parts

    def __getstate__(self) -> tuple[Any, ...]:
        return self._parts

    def __reduce__(self) -> tuple[Any, ...]:
        return (None, (), self._parts)


def _exactly(value: Any, length: int) -> tuple[Any, ...]:
    if type(value) is not tuple or len(value) != length:
        raise InvalidStateError(f"a tuple of {length} values is not there")
    return value


# numpy.random


def _bit_generator(reader: Reader, record: Instance) -> Node:
    """``__bit_generator_ctor(cls)`` and a state of (raw state, seed sequence), or the raw state alone."""
    no_more(record, state=True)
    named = record.args[0] if record.args else "MT19937"
    name = named.name if type(named) is Global and named.module.startswith("numpy.random.") else named
    text_of(name, *_BIT_GENERATORS)
    raw, seed_seq = record.state if type(record.state) is tuple and len(record.state) == 2 else (record.state, None)
    return _bit_generator_node(reader, name, raw, seed_seq)


def _bit_generator_node(reader: Reader, name: str, raw: Any, seed_seq: Any) -> Node:
    state = entries_of(raw)
    state = {key: entries_of(value) if type(value) is Mapping else value for key, value in state.items()}
    state = {
        key: {inner: reader.live(item, int, np.ndarray) for inner, item in value.items()}
        if type(value) is dict
        else reader.live(value, int, float, str, np.ndarray)
        for key, value in state.items()
    }
    text_of(state.get("bit_generator"), name)
    codec: Any = find_codec(f"numpy.random.{name}")
    if seed_seq is None and name in _ALWAYS_SEEDED:
        seed_seq = Derived(_seeds_of(state["state"]))
    return Node(f"numpy.random.{name}", {**codec.fields(state), "seed_seq": seed_seq})


#: Bit generators that cannot be without the seed sequence from which `spawn` takes children.
_ALWAYS_SEEDED = ("PCG64", "PCG64DXSM", "SFC64")


def _seeds_of(state: dict[str, Any]) -> Node:
    """A seed sequence of the state itself: NumPy 1 left it out of pickles, and reading one makes it by chance."""
    number = state["state"]
    entropy = number if type(number) is int else int.from_bytes(np.asarray(number).tobytes()[:32], "little")
    fields = {"entropy": entropy, "spawn_key": (), "pool_size": 4, "n_children_spawned": 0}
    return Node("numpy.random.SeedSequence", fields)


def _source(reader: Reader, record: Instance, raw: Any) -> Any:
    """The bit generator of a Generator or RandomState: the argument, or by an older NumPy only named."""
    args = record.args
    if len(args) == 1 and type(args[0]) is Instance:
        return args[0]
    name = text_of(args[0] if args else "MT19937", *_BIT_GENERATORS)
    constructor = args[1].full_name if len(args) == 2 and type(args[1]) is Global else ""
    if len(args) > 2 or (len(args) == 2 and constructor != "numpy.random._pickle.__bit_generator_ctor"):
        raise InvalidStateError("a random generator is begun in another way than NumPy does")
    return Derived(_bit_generator_node(reader, name, raw, None))


def _generator(reader: Reader, record: Instance) -> Node:
    no_more(record, state=True)
    return Node("numpy.random.Generator", {"bit_generator": _source(reader, record, record.state)})


def _random_state(reader: Reader, record: Instance) -> Node:
    no_more(record, state=True)
    state = state_of(record)
    source = _source(reader, record, record.state)
    if type(source) is Instance:  # which has the same raw state once more
        own = entries_of(source.state[0] if type(source.state) is tuple else source.state)
        if not _same(reader, own.get("state"), state.get("state")):
            raise InvalidStateError("a RandomState has another state than its bit generator")
    has_gauss, gauss = reader.live(state["has_gauss"], int), reader.live(state["gauss"], float)
    return Node("numpy.random.RandomState", {"bit_generator": source, "has_gauss": has_gauss, "gauss": gauss})


def _same(reader: Reader, one: Any, other: Any) -> bool:
    if one is other:
        return True
    first, second = entries_of(one), entries_of(other)
    kinds = (int, np.ndarray)
    return first.keys() == second.keys() and all(
        np.array_equal(reader.live(first[name], *kinds), reader.live(second[name], *kinds)) for name in first
    )


def _seed_sequence(reader: Reader, record: Instance) -> Node:
    """Cython's own reduction: (class, checksum, None) and the attributes in the order of the alphabet."""
    no_more(record, state=True)
    state = record.state
    if state is MISSING:
        state = _exactly(record.args, 3)[2]
    entropy, n_children_spawned, pool, pool_size, spawn_key = _exactly(state, 5)
    reader.live(pool, np.ndarray)  # follows from the rest
    fields = {"entropy": entropy, "spawn_key": spawn_key, "pool_size": pool_size}
    return Node("numpy.random.SeedSequence", {**fields, "n_children_spawned": n_children_spawned})


# scikit-learn


def _tree(reader: Reader, record: Instance) -> Node:
    no_more(record, state=True)
    n_features, n_classes, n_outputs = _exactly(record.args, 3)
    state = state_of(record)
    nodes = reader.live(state["nodes"], np.ndarray)
    if state.keys() != {"max_depth", "node_count", "nodes", "values"} or state["node_count"] != len(nodes):
        raise InvalidStateError("the state of a tree is not as scikit-learn writes it")
    sizes = {"n_features": n_features, "n_classes": n_classes, "n_outputs": n_outputs}
    return Node(record.name, {**sizes, "max_depth": state["max_depth"], "nodes": nodes, "values": state["values"]})


def _neighbor_tree(reader: Reader, record: Instance) -> Node:
    """``newObj(cls)`` and the state of thirteen parts."""
    no_more(record, state=True)
    name = reader.type_name(_exactly(record.args, 1)[0])
    if name not in NEIGHBOR_TREES:
        raise InvalidStateError(f"{name} is no neighbour tree")
    *arrays, metric, weights = _exactly(record.state, 13)
    parts = [reader.live(part, np.ndarray, int) for part in arrays]
    weights = reader.live(weights, np.ndarray, type(None))
    if type(parts[4]) is not int or parts[4] < 1:
        raise InvalidStateError("the leaves of a neighbour tree hold at least one point")
    return NEIGHBOR_TREES[name].reduce(_StandIn(*parts, metric, weights), Reducing())


def _metric(reader: Reader, record: Instance) -> Node:
    no_more(record, state=True)
    name = reader.type_name(_exactly(record.args, 1)[0])
    if name not in LOSSES or type(record.state) is not tuple or len(record.state) not in (3, 5):
        raise InvalidStateError(f"{name} is no distance metric as scikit-learn writes it")
    p, vector, matrix, *function = record.state
    parts = (reader.live(p, float), reader.live(vector, np.ndarray), reader.live(matrix, np.ndarray), *function)
    return LOSSES[name].reduce(_StandIn(*parts), Reducing())


def _loss(reader: Reader, record: Instance) -> Node:
    """A class called with at most one number."""
    no_more(record, state=record.state is None or record.state == ())
    numbers = [float(reader.live(value, float, int)) for value in record.args]
    if len(numbers) > 1:
        raise InvalidStateError("a loss has at most one number")
    return Node(reader.type_name(record.function), {"number": numbers[0]} if numbers else {})


def _cython_loss(reader: Reader, record: Instance) -> Node:
    """Cython's own reduction of a loss without numbers: (class, checksum, empty state)."""
    no_more(record, state=record.state is None or record.state == ())
    cls, _, state = _exactly(record.args, 3)
    name = reader.type_name(cls)
    if name not in LOSSES or state not in (None, ()) or not record.name.endswith(f"__pyx_unpickle_{cls.name}"):
        raise InvalidStateError("a loss is written in another way than scikit-learn does")
    return Node(name)


def _loss_makers() -> dict[str, Maker]:
    makers: dict[str, Maker] = {}
    for name in LOSSES:
        module, _, last = name.rpartition(".")
        if "_dist_metrics" not in name:
            makers[name] = _loss
            makers[f"{module}.__pyx_unpickle_{last}"] = _cython_loss
            makers[f"_loss.{last}"] = _loss  # as the compiled module called itself in scikit-learn 1.6 and 1.7
            makers[f"_loss.__pyx_unpickle_{last}"] = _cython_loss
    return makers


def _bunch(reader: Reader, record: Instance) -> Node:
    no_more(record, state=True, entries=True)
    _exactly(record.args, 0)
    warnings = state_of(record, required=False)
    if warnings.keys() - {"_deprecated_key_to_warnings"} or any(map(_length, warnings.values())):
        raise InvalidStateError("a Bunch with attributes of its own cannot be kept")
    entries = record.entries or Mapping([], [], 0)
    return Node("sklearn.utils.Bunch", keys=entries.keys, items=entries.items)


def _length(value: Any) -> int:
    return len(value) if type(value) is Mapping else 1


def _triplet(reader: Reader, record: Instance) -> Node:
    no_more(record)
    fields = ("feat_idx", "neighbor_feat_idx", "estimator")
    return Node(record.name, dict(zip(fields, _exactly(record.args, 3), strict=True)))


# SciPy


def _spline(reader: Reader, record: Instance) -> Node:
    no_more(record, state=True)
    state = {name.removeprefix("_"): value for name, value in state_of(record).items()}
    if not {"t", "c", "k", "extrapolate", "axis"} <= state.keys() <= {"t", "c", "k", "extrapolate", "axis", "asarray"}:
        raise InvalidStateError("the state of a spline is not as SciPy writes it")
    reader.note_copied((state["t"], state["c"]))
    t, c = (np.ascontiguousarray(reader.live(state[name], np.ndarray)) for name in "tc")
    fields = {"t": t, "c": c, "k": state["k"], "extrapolate": state["extrapolate"], "axis": state["axis"]}
    return Node("scipy.interpolate.BSpline", fields)


def _frozen(reader: Reader, record: Instance) -> Node:
    """A frozen distribution, whose own distribution must be the one of SciPy's that it names."""
    from keepfit.codecs.scipy_seam import distribution, distribution_arguments

    no_more(record, state=True)
    state = state_of(record)
    if not {"args", "kwds", "dist"} <= state.keys() <= {"args", "kwds", "dist", "a", "b"}:
        raise InvalidStateError("the state of a frozen distribution is not as SciPy writes it")
    drawn = state["dist"]
    if type(drawn) is not Instance or drawn.state is MISSING:
        raise InvalidStateError("a frozen distribution has a distribution")
    inside = state_of(drawn)
    name = text_of(inside.get("name"))
    found = distribution(name)
    if found is None or reader.type_name(drawn.args[0] if drawn.args and not drawn.new else drawn.function) != (
        f"{type(found).__module__}.{type(found).__name__}"
    ):
        raise InvalidStateError(f"{name[:80]!r} is no distribution of the running SciPy's own")
    own = entries_of(inside.get("_ctor_param"))
    own = {key: reader.live(value, int, float, str, type(None)) for key, value in own.items()}
    if repr(sorted(own.items())) != repr(sorted(distribution_arguments(found).items())):
        raise InvalidStateError(f"the distribution {name} was made by hand, so it cannot be kept")
    drawn.made = found  # it is read no further: SciPy's own is meant
    fields = {"name": name, "args": state["args"], "kwds": state["kwds"]}
    drawn_from = inside.get("_random_state")
    return Node(record.name.replace("._distn_infrastructure.", "."), {**fields, "random_state": drawn_from})


_SPARSE = {
    "bsr": ("data", "indices", "indptr"),
    "coo": ("coords", "data", "has_canonical_format"),
    "csc": ("data", "indices", "indptr"),
    "csr": ("data", "indices", "indptr"),
    "dia": ("data", "offsets"),
}
_MAXPRINT = 50


def _sparse(name: str, fields: tuple[str, ...]) -> Maker:
    def build(reader: Reader, record: Instance) -> Node:
        no_more(record, state=True)
        state = state_of(record)
        if "coords" in fields and "row" in state:  # SciPy before 1.13
            state["coords"] = (state.pop("row"), state.pop("col"))
        remembered = {"_has_sorted_indices", "_has_canonical_format", "has_canonical_format", "maxprint", "_shape"}
        if not {"_shape", *fields} <= state.keys() <= {*fields, *remembered}:
            raise InvalidStateError(f"the state of a {name} is not as SciPy writes it")
        node = Node(f"scipy.sparse.{name}", {"shape": state["_shape"], **{field: state[field] for field in fields}})
        if state.get("maxprint", _MAXPRINT) != _MAXPRINT:
            node.state["maxprint"] = state["maxprint"]
        return node

    return build


def _sparse_makers() -> dict[str, Maker]:
    makers: dict[str, Maker] = {}
    for kind, fields in _SPARSE.items():
        for last in (f"{kind}_matrix", f"{kind}_array"):
            makers[f"scipy.sparse._{kind}.{last}"] = makers[f"scipy.sparse.{last}"] = _sparse(last, fields)
    return makers


def isotonic_function(reader: Reader, state: dict[str, Any]) -> Any:
    """The ``f_`` of an `IsotonicRegression`, which it leaves out of its state and makes again of what is there.

    Rule: ``IsotonicRegression._build_f``.
    """
    from scipy.interpolate import interp1d

    x, y = (reader.live(state[name], np.ndarray) for name in ("X_thresholds_", "y_thresholds_"))
    if len(y) < 2:
        raise InvalidStateError("an IsotonicRegression of one value predicts by a function that cannot be kept")
    reader.note_copied((x, y))
    return interp1d(x, y, kind="linear", bounds_error=state.get("out_of_bounds") == "raise")


MAKERS: dict[str, Maker] = {
    "numpy.random._pickle.__bit_generator_ctor": _bit_generator,
    "numpy.random._pickle.__generator_ctor": _generator,
    "numpy.random._pickle.__randomstate_ctor": _random_state,
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": _seed_sequence,
    "scipy.interpolate._bsplines.BSpline": _spline,
    "sklearn.impute._iterative._ImputerTriplet": _triplet,
    "sklearn.metrics._dist_metrics.newObj": _metric,
    "sklearn.neighbors._ball_tree.newObj": _neighbor_tree,
    "sklearn.neighbors._kd_tree.newObj": _neighbor_tree,
    "sklearn.tree._tree.Tree": _tree,
    "sklearn.utils._bunch.Bunch": _bunch,
    **{f"scipy.stats._distn_infrastructure.rv_{kind}_frozen": _frozen for kind in ("continuous", "discrete")},
    **_loss_makers(),
    **_sparse_makers(),
}
