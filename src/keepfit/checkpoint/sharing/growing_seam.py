"""Growing the trees of a forest without working out for each what is the same for all.

A forest makes each of its trees, and a tree checks and sets up what it learns from, with all the care that an unknown
estimator needs: on a thousand rows that takes half of the time of a fit. Here it is done for the first tree. The others
are grown by scikit-learn's builder with the arguments that their own ``_fit`` would give it. The second one is grown
both ways: if one bit of it differs, the rest are grown by their own ``_fit``.

Private names used, in scikit-learn 1.6 to 1.9: ``_make_estimator`` of forests; ``_fit`` and ``_prune_tree`` of trees;
``sklearn.tree._classes`` (its ``CRITERIA_CLF``, ``CRITERIA_REG``, ``DENSE_SPLITTERS``, ``SPARSE_SPLITTERS``);
``sklearn.tree._tree`` (its ``Tree``, ``DepthFirstTreeBuilder`` and ``BestFirstTreeBuilder``).
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

__all__ = ["growing"]

#: Seeds are drawn below this, as `sklearn.ensemble` does.
_SEEDS = np.iinfo(np.int32).max


@contextlib.contextmanager
def growing(forest: Any) -> Iterator[_Nursery]:
    """Let a forest be fitted with trees that are grown here. They must have no parameters inside their parameters."""
    forest._make_estimator = nursery = _Nursery(forest)
    try:
        yield nursery
    finally:
        del forest._make_estimator
    forest.estimators_ = [one.tree if isinstance(one, _Seedling) else one for one in forest.estimators_]


class _Nursery:
    """Makes the trees of a forest, and grows them: the first one as the forest does, the others like it."""

    def __init__(self, forest: Any) -> None:
        self._forest = forest
        self._pattern: dict[str, Any] = {}
        self._builder: _Builder | None = None
        self._grown = 0
        self._lock = threading.Lock()
        self._here = threading.local()

    @property
    def is_quick(self) -> bool:
        """Whether trees are grown by the builder alone."""
        return self._builder is not None

    def __call__(self, append: bool = True, random_state: Any = None) -> _Seedling:
        if not self._pattern:
            first = type(self._forest)._make_estimator(self._forest, append=append, random_state=random_state)
            self._pattern = dict(vars(first))
            return _Seedling(self, first)
        tree = object.__new__(type(self._forest.estimator_))
        vars(tree).update(self._pattern, random_state=random_state.randint(_SEEDS))
        return _Seedling(self, tree)

    def numbers(self, seed: int) -> Any:
        """The random numbers of a seed. Seeding again is fifty times as fast as a new generator, whose first seed comes
        from the operating system."""
        if not hasattr(self._here, "numbers"):
            self._here.numbers = np.random.RandomState(seed)
        self._here.numbers.seed(seed)
        return self._here.numbers

    def grow(self, tree: Any, X: Any, y: Any, weights: Any, **settings: Any) -> None:
        """Fit a tree of which the forest has checked all."""
        with self._lock:
            if self._grown < 2:
                tree._fit(X, y, sample_weight=weights, **settings)
                self._learn(tree, X, y, weights, settings)
                self._grown += 1
                return
        if self._builder is None:
            tree._fit(X, y, sample_weight=weights, **settings)
        else:
            missing = settings.get("missing_values_in_feature_mask")
            self._builder.build(tree, self.numbers(tree.random_state), X, weights, missing)

    def _learn(self, tree: Any, X: Any, y: Any, weights: Any, settings: dict[str, Any]) -> None:
        """Set up the builder by the first tree, and see by the second whether it does what trees do."""
        if self._grown == 0:
            self._builder = _Builder(tree, set(self._pattern), X, y) if tree.monotonic_cst is None else None
        elif self._builder is not None:
            other = object.__new__(type(tree))
            vars(other).update(self._pattern)
            missing = settings.get("missing_values_in_feature_mask")
            self._builder.build(other, self.numbers(tree.random_state), X, weights, missing)
            if not _same(tree.tree_, other.tree_):
                self._builder = None


class _Seedling:
    """Stands for a tree while its forest is fitted."""

    def __init__(self, nursery: _Nursery, tree: Any) -> None:
        self._nursery = nursery
        self.tree = tree

    def __reduce__(self) -> Any:
        """In another process, where joblib's active backend may have trees fitted, it is the tree."""
        return _itself, (self.tree,)

    @property
    def random_state(self) -> Any:
        """What the forest draws the rows of the tree from."""
        return self._nursery.numbers(self.tree.random_state)

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, **settings: Any) -> _Seedling:
        self._nursery.grow(self.tree, X, y, sample_weight, **settings)
        return self


def _itself(tree: Any) -> Any:
    return tree


class _Builder:
    """What a tree's ``_fit`` does, as far as it is not the same for all trees of a forest.

    Parameters
    ----------
    first : decision tree
        A fitted one.
    parameters : set of str
        Attributes that it had before.
    X : array or sparse matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs)
        As the forest gives them to its trees.
    """

    def __init__(self, first: Any, parameters: set[str], X: Any, y: Any) -> None:
        from scipy.sparse import issparse
        from sklearn.tree._classes import DENSE_SPLITTERS, SPARSE_SPLITTERS

        self._first = first
        self._fitted = {name: value for name, value in vars(first).items() if name not in parameters | {"tree_"}}
        self._row_count = X.shape[0]
        classes = getattr(first, "n_classes_", None)
        self._classes = None if classes is None else np.atleast_1d(classes).astype(np.intp)
        self._y = np.ascontiguousarray(y if classes is None else _codes(y), dtype=np.float64)
        self._splitter = (SPARSE_SPLITTERS if issparse(X) else DENSE_SPLITTERS)[first.splitter]
        self._leaf = self._rows(first.min_samples_leaf)
        least = first.min_samples_split
        self._split = max(self._rows(least), 2, 2 * self._leaf)

    def _rows(self, count: Any) -> int:
        """A number of rows, or a share of them."""
        return int(count) if isinstance(count, Integral) else math.ceil(count * self._row_count)

    def build(self, tree: Any, numbers: Any, X: Any, weights: Any, missing: Any) -> None:
        """Make an unfitted tree a fitted one."""
        from sklearn.tree._tree import BestFirstTreeBuilder, DepthFirstTreeBuilder, Tree

        first = self._first
        if weights is not None:
            weights = np.ascontiguousarray(weights, dtype=np.float64)
        total = self._row_count if weights is None else np.sum(weights)
        weight = first.min_weight_fraction_leaf * total
        splitter = self._splitter(self._criterion(), first.max_features_, self._leaf, weight, numbers, None)
        ones = np.ones(first.n_outputs_, dtype=np.intp)
        grown = Tree(first.n_features_in_, ones if self._classes is None else self._classes, first.n_outputs_)
        depth = np.iinfo(np.int32).max if first.max_depth is None else first.max_depth
        limits = (splitter, self._split, self._leaf, weight, depth)
        if first.max_leaf_nodes is None:
            builder = DepthFirstTreeBuilder(*limits, first.min_impurity_decrease)
        else:
            builder = BestFirstTreeBuilder(*limits, first.max_leaf_nodes, first.min_impurity_decrease)
        builder.build(grown, X, self._y, weights, missing)
        vars(tree).update(self._fitted, tree_=grown)
        tree._prune_tree()

    def _criterion(self) -> Any:
        from sklearn.tree._classes import CRITERIA_CLF, CRITERIA_REG

        if self._classes is None:
            return CRITERIA_REG[self._first.criterion](self._first.n_outputs_, self._row_count)
        return CRITERIA_CLF[self._first.criterion](self._first.n_outputs_, self._classes)


def _codes(y: Any) -> Any:
    """The numbers of the classes."""
    return np.column_stack([np.unique(column, return_inverse=True)[1] for column in y.T])


def _same(tree: Any, other: Any) -> bool:
    """Whether two grown trees are equal to the bit; what lies between the fields of their nodes is not looked at."""
    one, two = tree.__getstate__(), other.__getstate__()
    nodes = one["nodes"].dtype.names
    return (
        one.keys() == two.keys()
        and one["values"].tobytes() == two["values"].tobytes()
        and one["nodes"].dtype == two["nodes"].dtype
        and all(one["nodes"][name].tobytes() == two["nodes"][name].tobytes() for name in nodes)
        and all(one[name] == two[name] for name in one.keys() - {"nodes", "values"})
    )
