"""Histogram gradient boosting: nodes that compiled code follows from the root, and bitsets that it looks bits up in.

Rules: ``sklearn/ensemble/_hist_gradient_boosting/_predictor.pyx`` and ``_binning.pyx``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepfit.codecs.checks.losses import loss_fits
from keepfit.codecs.checks.rules import Check, Dims, State, is_a, refuse
from keepfit.codecs.codec import Building, class_name, whole_of
from keepfit.codecs.once import once
from keepfit.codecs.sklearn_seam import predictor_record_dtype
from keepfit.codecs.tree_nodes import NodeFields, bunches, check_kinds, check_nodes, joined

__all__ = ["CHECKS"]

_ROOM = "sklearn.ensemble._hist_gradient_boosting."
_PREDICTOR = _ROOM + "predictor.TreePredictor"
_MAPPER = _ROOM + "binning._BinMapper"
_NODE_FIELDS = NodeFields("left", "right", "feature_idx", "is_leaf", "is_categorical")
#: So many nodes are looked at together; trees that do not lie in one array are joined for it.
_NODES_TOGETHER = 100_000

_nodes = attrgetter("nodes")
#: What trees are held to: the number of features, and the array (by its id) that tells which are of categories.
_Purpose = tuple[int, int]

_PREDICTOR_RULES = """
    nodes!                    a[_]
    binned_left_cat_bitsets!  u4[B,8]
    raw_left_cat_bitsets!     u4[B,8]
"""
_MAPPER_RULES = """
    bin_thresholds_!         list(f8[_])*F
    is_categorical_!         u1[F]
    n_bins_non_missing_!     u4[F]
    missing_values_bin_idx_! 0..255
"""
_MODEL_RULES = f"""
    n_features_in_!          =F
    _n_features              =F
    n_trees_per_iteration_!  =K
    _baseline_prediction!    f8[1,K] | f8[1,1]
    _bin_mapper!             {_MAPPER}
    _predictors!             list
    _preprocessor!           none | sklearn.compose.ColumnTransformer
    _loss!                   any
    _in_fit                  bool
    is_categorical_          none | b[F]
    classes_                 a[C]
"""


def _check_model(state: State, dims: Dims) -> None:
    outputs = dims["K"]
    mapper = state["_bin_mapper"].__dict__
    is_categorical = mapper.get("is_categorical_")
    if is_categorical is None or is_categorical.shape != (dims["F"],) or not outputs:
        refuse("histogram boosting bins all its features")
    if state.get("_in_fit"):  # then X would not be checked at all
        refuse("histogram boosting is not being fitted")
    if not loss_fits(state["_loss"], outputs, is_classifier="classes_" in state):
        refuse("the loss of histogram boosting does not fit its number of trees in an iteration")
    iterations = state["_predictors"]
    if not set(map(type, iterations)) <= {list} or not set(map(len, iterations)) <= {outputs}:
        refuse("histogram boosting has a tree for each output in an iteration")
    if state["_preprocessor"] is not None:
        _check_preprocessor(state["_preprocessor"].__dict__, state, dims["F"])


class _ModelCheck(Check):
    """The check of a model, whose trees are looked at together: they mostly lie in one array."""

    def __call__(self, state: State, context: Building) -> None:
        super().__call__(state, context)
        if "_predictors" in state:
            _check_trees(state, context)

    def group(self, members: Sequence[State], columns: Mapping[str, list[Any]], context: Building) -> None:
        for state in members:
            self(state, context)


class _Earlier:
    """The trees of models that were looked at before, which copies of a model share.

    They are read once: a small file could name large trees for any number of models.
    """

    def __init__(self) -> None:
        self._models: list[tuple[list[Any], _Purpose]] = []  # a file of one model, as most are, asks for no tree of it
        self._known: dict[int, tuple[int, _Purpose]] = {}

    def add(self, iterations: list[Any], purpose: _Purpose) -> None:
        self._models.append((iterations, purpose))

    def without(self, trees: Sequence[Any], purpose: _Purpose) -> Sequence[Any]:
        """Those that are new. Others must be of models that are alike in all that trees are held to."""
        while self._models:
            iterations, held_to = self._models.pop()
            for tree in chain.from_iterable(iterations):
                self._known[id(tree.nodes)] = id(tree), held_to
        if not self._known:
            return trees
        found = [self._known.get(id(tree.nodes)) for tree in trees]
        if any(one is not None and one != (id(tree), purpose) for one, tree in zip(found, trees, strict=True)):
            refuse("a tree has nodes of its own, and models that share it bin their features alike")
        return [tree for one, tree in zip(found, trees, strict=True) if one is None]


def _check_trees(state: State, context: Building) -> None:
    """Raise unless the trees of a model, of which all else has been checked, are trees."""
    iterations = state["_predictors"]
    if not iterations:
        refuse("histogram boosting has trees")
    n_features = np.array([state["n_features_in_"]] * len(iterations), np.int64)
    purpose = state["n_features_in_"], id(state["_bin_mapper"].is_categorical_)
    earlier: _Earlier = once(context, "models of histogram boosting", _Earlier)
    seen: set[int] = set()
    for of_output in zip(*iterations, strict=True):
        if any(class_name(cls) != _PREDICTOR for cls in set(map(type, of_output))):
            refuse("histogram boosting is made of its own trees")
        trees = earlier.without(of_output, purpose)
        if not trees:
            continue
        nodes = list(map(_nodes, trees))
        whole = whole_of(nodes, context)  # the trees of one output mostly lie in one array
        arrays = nodes if whole is None else [whole.array]
        before = len(seen)
        seen.update(map(id, arrays))
        if len(seen) < before + len(arrays):
            refuse("each tree has nodes of its own")  # a small file could name large ones for any number of trees
        if whole is not None:
            check_kinds([whole.array], predictor_record_dtype())
            _check_nodes(trees, whole.array, whole.lengths, n_features[: len(trees)], state)
            continue
        lengths = list(map(len, nodes))
        for first, last in bunches(lengths, _NODES_TOGETHER):
            part = slice(first, last)
            check_kinds(nodes[part], predictor_record_dtype())
            _check_nodes(trees[part], joined(nodes[part]), lengths[part], n_features[part], state)
    earlier.add(iterations, purpose)


def _check_nodes(
    trees: Sequence[Any], nodes: Any, lengths: list[int], n_features: NDArray[np.int64], state: State
) -> None:
    """Raise unless the nodes of some trees, which lie end to end, are trees."""
    if not all(lengths):
        refuse("a tree has at least one node")
    _, has_categories = check_nodes(nodes, lengths, n_features, _NODE_FIELDS)
    if has_categories:
        _check_categories(trees, nodes, lengths, state)


def _check_categories(trees: Sequence[Any], nodes: Any, lengths: list[int], state: State) -> None:
    """Raise unless these trees, whose nodes have been checked, list what they split by categories on."""
    by_category = np.flatnonzero((nodes["is_categorical"] != 0) & (nodes["is_leaf"] == 0))
    listed = np.repeat([len(tree.raw_left_cat_bitsets) for tree in trees], lengths)[by_category]
    of_categories = state["_bin_mapper"].is_categorical_[nodes["feature_idx"][by_category]]
    if not of_categories.all() or (nodes["bitset_idx"][by_category] >= listed).any():
        refuse("a tree splits by categories that it does not list, or on a feature that has none")


def _check_preprocessor(parts: dict[str, Any], state: State, features: int) -> None:
    """Raise unless what encodes the categories gives as many columns as there are features.

    The trees read those columns without another look. So it must be what `fit` makes: an encoder of the columns that
    are categorical, and an identity for the others.
    """
    is_categorical = state.get("is_categorical_")
    transformers, chosen = parts.get("transformers_"), parts.get("_transformer_to_input_indices")
    if is_categorical is None or type(transformers) is not list or type(chosen) is not dict:
        refuse("histogram boosting encodes the features that are categorical")
    expected = {"encoder": is_categorical, "numerical": ~is_categorical}
    steps = {step[0]: step[1:] for step in transformers if type(step) is tuple and len(step) == 3}
    rest = steps.pop("remainder", ("drop", None))
    if steps.keys() != expected.keys() or len(transformers) > 3 or parts.get("transformer_weights") is not None:
        refuse("histogram boosting encodes categories with one encoder, and leaves other features as they are")
    if type(rest[0]) is not str or rest[0] != "drop" or parts.get("n_features_in_") != features:
        refuse("histogram boosting gives all its features to its trees")
    for name, mask in expected.items():
        columns, indices = steps[name][1], chosen.get(name)
        if (
            type(columns) is not np.ndarray
            or columns.dtype != bool
            or not np.array_equal(columns, mask)
            or not np.array_equal(np.asarray(indices), np.flatnonzero(mask))
        ):
            refuse("histogram boosting encodes the features that are categorical, and no others")
    if not is_a(steps["encoder"][0], "sklearn.preprocessing.OrdinalEncoder") or not _is_identity(steps["numerical"][0]):
        refuse("histogram boosting encodes categories with one encoder, and leaves other features as they are")


def _is_identity(transformer: Any) -> bool:
    """Whether a transformer only checks its input: ``partial(check_array, dtype=...)``, nothing before the array."""
    from functools import partial

    from sklearn.utils import check_array

    if not is_a(transformer, "sklearn.preprocessing.FunctionTransformer"):
        return False
    function = transformer.__dict__.get("func")
    return (
        type(function) is partial
        and function.func is check_array
        and not function.args
        and function.keywords.keys() <= {"dtype", "ensure_all_finite", "force_all_finite"}
        and transformer.__dict__.get("kw_args") is None
    )


CHECKS = {
    _PREDICTOR: Check(_PREDICTOR, _PREDICTOR_RULES),
    _MAPPER: Check(_MAPPER, _MAPPER_RULES),
    **{
        f"sklearn.ensemble.{name}": _ModelCheck(f"sklearn.ensemble.{name}", _MODEL_RULES, _check_model)
        for name in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
    },
}
