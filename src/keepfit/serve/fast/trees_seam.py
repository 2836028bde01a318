"""Decision trees, forests and gradient boosting, by their compiled trees.

Private names used, in scikit-learn 1.6 to 1.9: ``sklearn.ensemble._gradient_boosting.predict_stages``, which adds up
the values of many regression trees in one call; of `GradientBoostingClassifier` and its regressor
``_raw_predict_init`` and ``_loss``; of histogram boosting ``_preprocessor``, ``_predictors``,
``_baseline_prediction``, ``_bin_mapper`` and ``_loss``. The trees' own ``tree_`` is public.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from keepfit.serve.fast.step import Array, Step, is_finite, to_float32, width_of

__all__ = [
    "boosting",
    "forest_classifier",
    "forest_regressor",
    "histogram_boosting",
    "tree_classifier",
    "tree_regressor",
]


#: Forests of at most so many nodes are walked in one call, for which each node is copied: 72 bytes each, 19 MB in all.
_NODES_MAX = 1 << 18

#: Past so many rows a call for each tree costs little beside the walk itself.
_LEAVES_ROWS_MAX = 64


def tree_classifier(model: Any, method: str) -> Step | None:
    """`DecisionTreeClassifier` and `ExtraTreeClassifier`."""
    return _voting(model, method, model.tree_.predict)


def tree_regressor(model: Any, method: str) -> Step | None:
    """`DecisionTreeRegressor` and `ExtraTreeRegressor`."""
    walk, several = model.tree_.predict, model.n_outputs_ > 1
    return _by_trees(model, method, "predict", lambda X: walk(X)[:, :, 0] if several else walk(X)[:, 0])


def forest_classifier(model: Any, method: str) -> Step | None:
    """`RandomForestClassifier` and `ExtraTreesClassifier`.

    Notes
    -----
    The trees are added up in their order, as the method does with ``n_jobs=1``. With more, it adds them in whatever
    order its threads come in, so that the last bit of what it gives is not always the same; here it is.
    """
    trees = [tree.tree_ for tree in model.estimators_]
    values = _Leaves(trees) if sum(tree.node_count for tree in trees) <= _NODES_MAX else None
    walks = [tree.predict for tree in trees]

    def probabilities(X: Array) -> Any:
        if values is not None and len(X) <= _LEAVES_ROWS_MAX:
            total = np.add.reduce(values(X), axis=1)
        else:
            total = walks[0](X)
            for walk in walks[1:]:
                total += walk(X)
        total /= len(walks)
        return total

    return _voting(model, method, probabilities)


def forest_regressor(model: Any, method: str) -> Step | None:
    """`RandomForestRegressor` and `ExtraTreesRegressor` of one target."""
    from sklearn.ensemble._gradient_boosting import predict_stages

    if model.n_outputs_ != 1 or any(tree.tree_.value.shape[1:] != (1, 1) for tree in model.estimators_):
        return None
    trees = np.array(model.estimators_, dtype=object).reshape(-1, 1)

    def run(X: Array) -> Any:
        total = np.zeros((len(X), 1))
        predict_stages(trees, X, 1.0, total)
        total /= len(trees)
        return total.reshape(-1)

    return _by_trees(model, method, "predict", run)


def boosting(model: Any, method: str) -> Step | None:
    """`GradientBoostingClassifier` and `GradientBoostingRegressor` that start from a constant."""
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.ensemble._gradient_boosting import predict_stages

    width, trees, rate = width_of(model), model.estimators_, model.learning_rate
    if width is None or not (isinstance(model.init_, str) or type(model.init_) in (DummyClassifier, DummyRegressor)):
        return None
    start = model._raw_predict_init(np.zeros((1, width), dtype=np.float32))

    def raw(X: Array) -> Array:
        total: Array = np.repeat(start, len(X), axis=0)
        predict_stages(trees, X, rate, total)
        return total

    if not hasattr(model, "classes_"):
        return _by_trees(model, method, "predict", lambda X: raw(X).ravel())
    run = _classes_of_scores(model, method, raw, model._loss.predict_proba)
    return None if run is None else _by_trees(model, method, method, run)


def histogram_boosting(model: Any, method: str) -> Step | None:
    """`HistGradientBoostingClassifier` and its regressor with the squared error, without categories."""
    width, predictors, baseline = width_of(model), model._predictors, model._baseline_prediction
    if width is None or model._preprocessor is not None:
        return None
    bitsets, places = model._bin_mapper.make_known_categories_bitsets()
    n_columns, dtype = model.n_trees_per_iteration_, baseline.dtype
    walks = [[predictor.predict for predictor in row] for row in predictors]
    one = _Histograms.of(predictors, baseline)

    def raw(X: Array) -> Array:
        X = X.astype(np.float64, copy=False)
        if one is not None and len(X) == 1 and is_finite(X):
            return one(X[0])
        total = np.zeros((len(X), n_columns), dtype=dtype, order="F")
        total += baseline
        columns = [total[:, place] for place in range(n_columns)]
        for row in walks:
            for column, walk in zip(columns, row, strict=True):
                column += walk(X, bitsets, places, 1)
        return total

    if hasattr(model, "classes_"):
        run = _classes_of_scores(model, method, raw, model._loss.predict_proba)
        return None if run is None else Step(run, width, accepts="all")
    if method != "predict":
        return None
    inverse = model._loss.link.inverse
    return Step(lambda X: inverse(raw(X)).ravel(), width, accepts="all")


class _Leaves:
    """The values at the leaves that rows come to, in all trees of a forest, by one call.

    `predict_stages` adds up the values of regression trees. Here each tree stands in a column of its own, and
    the value of a node is its place: so what comes out are the places of the leaves.
    """

    def __init__(self, trees: list[Any]) -> None:
        from sklearn.ensemble._gradient_boosting import predict_stages

        self._walk = predict_stages
        self._values = np.concatenate([tree.value for tree in trees])
        if self._values.shape[1] == 1:
            self._values = self._values[:, 0]
        ends = np.cumsum([tree.node_count for tree in trees])
        self._trees = np.empty((1, len(trees)), dtype=object)
        for place, tree in enumerate(trees):
            self._trees[0, place] = SimpleNamespace(tree_=_with_places(tree, ends[place] - tree.node_count))

    def __call__(self, X: Array) -> Array:
        """Of shape (n_rows, n_trees, n_classes), or (n_rows, n_trees, n_outputs, n_classes)."""
        places = np.zeros((len(X), self._trees.shape[1]))
        self._walk(self._trees, X, 1.0, places)
        found: Array = self._values[places.astype(np.intp)]
        return found


def _with_places(tree: Any, start: int) -> Any:
    """A regression tree of the same nodes, whose values are the places of the nodes, counted from `start`."""
    state = tree.__getstate__()
    places = np.arange(start, start + tree.node_count, dtype=np.float64).reshape(-1, 1, 1)
    copied = type(tree)(tree.n_features, np.ones(1, dtype=np.intp), 1)
    copied.__setstate__({**state, "values": places})
    return copied


class _Histograms:
    """Histogram boosting for one row of finite values: a step down all trees at once, until each has come to a leaf.

    A call of a compiled predictor costs 5 us, most of it to look at its nodes' form; a step here costs as much for all.
    """

    def __init__(self, predictors: list[Any], baseline: Array) -> None:
        sizes = [len(predictor.nodes) for row in predictors for predictor in row]
        nodes = np.concatenate([predictor.nodes for row in predictors for predictor in row])
        self._roots: Array = np.cumsum(sizes) - sizes
        shift, is_leaf, here = np.repeat(self._roots, sizes), nodes["is_leaf"].astype(bool), np.arange(len(nodes))
        children = np.stack([nodes["left"] + shift, nodes["right"] + shift], axis=1).astype(np.intp)
        self._depth = _depth(self._roots, children, is_leaf)
        # A leaf leads to itself, so that trees of less depth can wait for the others.
        self._children = np.where(is_leaf[:, np.newaxis], here[:, np.newaxis], children).ravel()
        self._features = np.where(is_leaf, 0, nodes["feature_idx"]).astype(np.intp)
        self._thresholds = np.where(is_leaf, np.inf, nodes["num_threshold"])
        self._values = nodes["value"].astype(np.float64)
        self._shape = len(predictors), len(predictors[0])
        self._baseline = baseline.reshape(1, -1)

    @classmethod
    def of(cls, predictors: list[Any], baseline: Array) -> _Histograms | None:
        """None for forests that are too large, or have categories."""
        nodes = [predictor.nodes for row in predictors for predictor in row]
        if sum(map(len, nodes)) > _NODES_MAX or any(tree["is_categorical"].any() for tree in nodes):
            return None
        return cls(predictors, baseline) if baseline.dtype == np.float64 else None

    def __call__(self, row: Array) -> Array:
        """Raw scores of shape (1, 1 or n_classes), from a row of shape (n_columns,)."""
        places = self._roots
        for _ in range(self._depth):
            goes_right = row.take(self._features.take(places)) > self._thresholds.take(places)
            places = self._children.take(2 * places + goes_right)
        values = self._values.take(places).reshape(self._shape)
        found: Array = np.add.accumulate(np.concatenate([self._baseline, values]), axis=0)[-1:]
        return found


def _depth(roots: Array, children: Array, is_leaf: Array) -> int:
    """How many steps it is at most from a root to a leaf."""
    level, depth = roots[~is_leaf[roots]], 0
    while len(level):
        level, depth = children[level].ravel(), depth + 1
        level = level[~is_leaf[level]]
        if len(level) > len(is_leaf) or depth > len(is_leaf):
            raise ValueError("the nodes are not trees")
    return depth


def _by_trees(model: Any, method: str, wanted: str, run: Callable[[Array], Any]) -> Step | None:
    width = width_of(model)
    if method != wanted or width is None:
        return None

    def as_float32(X: Array) -> Any:
        X32 = to_float32(X)
        return None if X32 is None else run(X32)

    return Step(as_float32, width)


def _voting(model: Any, method: str, probabilities: Callable[[Array], Array]) -> Step | None:
    """The methods of a classifier, from probabilities: (n_rows, n_classes), or (n_rows, n_outputs, n_classes)."""
    classes, n_outputs, n_classes = model.classes_, model.n_outputs_, model.n_classes_

    def split(X: Array) -> Any:
        found = probabilities(X)
        if n_outputs == 1:
            return found
        return [found[:, place, :count].copy() for place, count in enumerate(n_classes)]

    def predict(X: Array) -> Array:
        found = split(X)
        if n_outputs == 1:
            taken: Array = classes.take(found.argmax(axis=1), axis=0)
            return taken
        columns = np.empty((len(X), n_outputs), dtype=classes[0].dtype)
        for place, part in enumerate(found):
            columns[:, place] = classes[place].take(part.argmax(axis=1), axis=0)
        return columns

    run = {"predict": predict, "predict_proba": split}.get(method)
    return None if run is None else _by_trees(model, method, method, run)


def _classes_of_scores(
    model: Any, method: str, raw: Callable[[Array], Array], probabilities: Callable[[Array], Array]
) -> Callable[[Array], Array] | None:
    """The methods of a boosted classifier, from the raw scores of shape (n_rows, 1 or n_classes)."""
    classes: Array = model.classes_
    is_open = (
        "Hist" in type(model).__name__
    )  # at a score of zero, the one gives the first class and the other the second

    def decide(X: Array) -> Array:
        scores = raw(X)
        return scores.ravel() if scores.shape[1] == 1 else scores

    def predict(X: Array) -> Any:
        scores = decide(X)
        if scores.ndim > 1:
            return classes[scores.argmax(axis=1)]
        return classes[(scores > 0 if is_open else scores >= 0).astype(int)]

    return {
        "predict": predict,
        "decision_function": decide,
        "predict_proba": lambda X: probabilities(raw(X)),
    }.get(method)
