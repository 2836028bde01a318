"""Calls of every public method that a loaded estimator answers with its state."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Iterator
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import scipy.interpolate
import scipy.sparse
import scipy.stats
from joblib import parallel_config
from sklearn.base import clone
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression
from sklearn.metrics import DistanceMetric
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import BallTree, KDTree, KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC

import battery
import variants

__all__ = ["every_method", "every_method_of_part", "fitted", "more_fitted", "parts", "unfitted", "variants_data"]

#: Methods of X.
_OF_X = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform", "apply",
    "decision_path", "kneighbors", "radius_neighbors", "kneighbors_graph", "radius_neighbors_graph", "mahalanobis",
    "perplexity", "predict_joint_log_proba", "reconstruct", "gibbs", "get_precision", "correct_covariance",
    "staged_predict", "staged_predict_proba", "staged_decision_function", "staged_score", "sample_y", "query",
)  # fmt: skip
#: Methods of nothing.
_OF_NOTHING = (
    "kneighbors", "radius_neighbors", "sample", "get_feature_names_out", "get_support", "get_covariance",
    "get_precision", "get_stop_words", "get_n_leaves", "get_depth", "get_params", "sparsify", "densify",
    "__sklearn_tags__", "get_indices", "toarray", "tocsc", "sum", "random_sample", "normal",
)  # fmt: skip
#: Methods that tell of a model; they take longer than all others together.
_OF_ITSELF = ("get_metadata_routing", "__repr__", "_repr_html_inner")
_memory_errors: list[str] = []
#: Properties that compute.
_PROPERTIES = (
    "feature_importances_", "coef_", "intercept_", "n_support_", "estimators_samples_", "classes_", "n_iter_",
    "n_features_in_", "feature_names_in_", "infrequent_categories_", "components_", "idf_", "loss_curve_",
    "named_transformers_", "named_steps", "multilabel_", "n_classes_", "biclusters_", "probA_", "explained_variance_",
)  # fmt: skip


#: What sparse arrays and the small objects in models are asked.
_OF_PARTS = (
    "toarray", "tocsr", "tocsc", "tocoo", "todia", "tolil", "todok", "tobsr", "sum_duplicates", "sort_indices",
    "eliminate_zeros", "prune", "max", "argmax", "diagonal", "count_nonzero", "transpose", "copy", "has_sorted_indices",
    "check_format", "mean", "rvs", "pdf", "std", "random", "integers", "permutation", "tolist", "filled", "compressed",
    "describe", "sort_index", "sort_values", "to_numpy", "value_counts", "unique", "duplicated", "isna", "dropna",
    "reset_index", "to_frame", "factorize", "memory_usage", "min", "rank", "mode", "nunique", "to_coo", "to_flat_index",
    "remove_unused_levels", "infer_objects", "convert_dtypes", "stack", "to_dict", "as_ordered", "codes", "head",
    "get_tree_stats", "get_arrays", "derivative", "antiderivative", "sort", "argsort", "cumsum", "ravel",
)  # fmt: skip
#: Those that pandas goes from element to element for, in Python. What is sparse may be honest, small and very long.
_ELEMENT_BY_ELEMENT = frozenset({"to_dict", "tolist"})
_ELEMENTS_MAX = 1_000_000
_OF_PARTS_AND_X = (
    "__call__", "dot", "query", "query_radius", "kernel_density", "two_point_correlation", "pairwise", "__matmul__",
    "__rmatmul__", "__mul__", "multiply", "pdf", "cdf", "integrate", "__imul__",
)  # fmt: skip


def every_method_of_part(part: Any, X: Any) -> int:
    """Call what there is to call of a sparse array, a spline, a tree of neighbours, a generator, on X and numbers."""
    _memory_errors.clear()
    if not isinstance(X, np.ndarray) or X.ndim != 2:
        X = np.arange(24.0).reshape(6, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _OF_PARTS:
            if name in _ELEMENT_BY_ELEMENT and (_attempt(lambda: len(part)) or 0) > _ELEMENTS_MAX:
                continue
            _call(part, name)
            _call(_attempt(lambda: copy.deepcopy(part)), name)
        for name in _OF_PARTS_AND_X:
            for given in (X, X.T, X[0], X[:, 0].copy(), 0.5, 3, part):
                _call(part, name, given)
        for name in ("query", "query_radius", "kernel_density"):
            _call(part, name, X, 2)
        for place in (0, -1, slice(0, 2), [0, 1]):
            _call(part, "__getitem__", place)
        for name in ("__add__", "__sub__", "__eq__", "__lt__", "maximum"):  # with a number they would fill all places
            _call(part, name, _attempt(lambda: copy.copy(part)))
        if type(part).__module__ != "builtins":  # lists are gone through as often as they stand in one another
            for what in (repr, str, len, np.asarray, abs, hash):
                _attempt(lambda what=what: what(part))
        _call(part, "sum", 0)
        _call(part, "take", [0, -1])
        _attempt(lambda: part.astype(object))
        _attempt(lambda: part.groupby(part.columns[-2] if hasattr(part, "columns") else part).size())
        _call(part, "reshape", (1, -1))
        _call(part, "resize", 2, 2)
    return len(_memory_errors)


def every_method(estimator: Any, X: Any, y: Any, form: int | None = None) -> int:
    """Call what there is to call, on X in all forms; by a number, in one of them, and at times what tells of the model.

    Python errors are fine; harm shows in the process. How many were of memory is given back.
    """
    _memory_errors.clear()
    forms = list(_forms(X))
    with warnings.catch_warnings(), parallel_config("threading"):  # processes would outlive the caller's limits
        warnings.simplefilter("ignore")
        for name in _PROPERTIES:
            _attempt(lambda name=name: getattr(estimator, name))
        for name in (*_OF_NOTHING, *(_OF_ITSELF if form is None or form % 64 == 0 else ())):
            _call(estimator, name)
        for given in forms if form is None else [forms[form % len(forms)]]:
            for name in _OF_X:
                result = _call(estimator, name, given)
                if name == "transform" and result is not None:
                    _call(estimator, "inverse_transform", result)
        _call(estimator, "inverse_transform", copy.deepcopy(X))
        _call(estimator, "score", copy.deepcopy(X), *([] if y is None else [y]))
        _call(estimator, "dbscan_clustering", 0.5)
        _call(estimator, "_compute_partial_dependence_recursion", np.zeros((3, 1), np.float32), np.array([0]))
        _attempt(lambda: clone(estimator))
        _call(_attempt(lambda: copy.deepcopy(estimator)), "partial_fit", copy.deepcopy(X), *([] if y is None else [y]))
    return len(_memory_errors)


def _forms(X: Any) -> Iterator[Any]:
    """X as it is; where it is a table of numbers, also a row of it, other dtypes and orders, and sparse."""
    yield copy.deepcopy(X)
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fiu":
        yield X[:1].copy()
        yield np.asfortranarray(X, dtype=np.float32)
        yield scipy.sparse.csr_matrix(X)
        yield scipy.sparse.csc_array(X)


def _call(estimator: Any, name: str, *arguments: Any) -> Any:
    method: Callable[..., Any] | None = _attempt(lambda: getattr(estimator, name, None))
    if not callable(method):
        return None
    np.random.seed(0)
    result = _attempt(lambda: method(*arguments))
    if name.startswith("staged_") and result is not None:
        return _attempt(lambda: list(islice(result, 20)))
    return result


def _attempt(what: Callable[[], Any]) -> Any:
    try:
        return what()
    except MemoryError as error:
        _memory_errors.append(str(error))
        return None
    except Exception:  # an error is an answer
        return None


def fitted(names: Collection[str] = ()) -> Iterator[tuple[str, Any, Any]]:
    """The battery's fitted estimators of these names (all where there are none), with labels and X."""
    for name in [name for name in names if name in _classes()] if names else battery.names():
        for number, estimator in enumerate(battery.instances(_classes()[name])):
            yield from battery.fit(f"{name}-{number}", estimator)


def more_fitted() -> Iterator[tuple[str, Any, Any]]:
    """Estimators of other parameters, and estimators fitted on sparse data, with labels and X."""
    for number, estimator in enumerate(variants.variants()):
        yield f"{type(estimator).__name__}-variant{number}", estimator, variants_data()
    for number, estimator in enumerate(_of_many_members()):
        yield f"{type(estimator).__name__}-variantmany{number}", estimator, variants_data()
    for name in battery.names():
        cls = _classes()[name]
        estimator = battery.instances(cls)[0]
        given, y = battery.data_for(estimator)
        if isinstance(given, np.ndarray) and given.ndim == 2 and given.dtype.kind == "f":
            fitted = _attempt(lambda e=estimator, X=given, y=y: clone(e).fit(scipy.sparse.csr_matrix(X), y))
            if fitted is not None:
                yield f"{name}-sparse", fitted, given


def _of_many_members() -> Iterator[Any]:
    """Ensembles whose members stand in groups, and models of several outputs."""
    X, y = variants.load_iris(return_X_y=True)
    outputs = np.c_[y, y % 2]
    for estimator, target in (
        (RandomForestClassifier(9, max_depth=3, random_state=0), y),
        (RandomForestClassifier(9, max_depth=3, random_state=0), outputs),
        (ExtraTreesRegressor(9, max_depth=3, random_state=0), X[:, :2]),
        (HistGradientBoostingClassifier(max_iter=9, max_depth=3, categorical_features=[3]), y),
        (HistGradientBoostingRegressor(max_iter=9, max_depth=3), X[:, 0]),
        (IsolationForest(n_estimators=9, max_samples=20, random_state=0), y),
        (AdaBoostClassifier(n_estimators=9, random_state=0), y),
        (BaggingRegressor(LinearRegression(), n_estimators=9, max_features=0.5, random_state=0), X[:, 0]),
        (KNeighborsClassifier(algorithm="kd_tree", leaf_size=3), outputs),
        (MLPClassifier((3, 3), max_iter=3), outputs[:, 1]),
        (OneVsRestClassifier(SVC()), np.eye(10)[np.arange(len(X)) % 10]),
        (OneHotEncoder(min_frequency=5, drop="first"), None),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield estimator.fit(X.round()) if target is None else estimator.fit(X, target)


def parts() -> Iterator[tuple[str, Any]]:
    """Objects of NumPy, SciPy and scikit-learn that models hold, and files may hold by themselves."""
    dense = np.arange(20.0).reshape(4, 5) % 3
    for name in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil"):
        for kind in ("array", "matrix"):
            made = getattr(scipy.sparse, f"{name}_{kind}")(dense[:, :4])
            yield f"{name}_{kind}", made
            yield f"{name}_{kind}-int", made.astype(np.int32)
    yield "coo_array-3d", scipy.sparse.coo_array(np.ones((2, 3, 2), np.int64))
    for bits in (np.random.PCG64, np.random.Philox, np.random.SFC64, np.random.MT19937):
        yield f"Generator-{bits.__name__}", np.random.Generator(bits(0))
    yield "RandomState", np.random.RandomState(0)
    X = variants_data()
    for tree in (KDTree, BallTree):
        yield tree.__name__, tree(X, leaf_size=3)
    yield "BallTree-haversine", BallTree(X[:, :2], leaf_size=3, metric="haversine")
    for metric, arguments in (("seuclidean", {"V": np.ones(4)}), ("mahalanobis", {"VI": np.eye(4)}), ("minkowski", {})):
        yield f"DistanceMetric-{metric}", DistanceMetric.get_metric(metric, **arguments)
    yield "BSpline", scipy.interpolate.BSpline(np.arange(9.0), np.ones((5, 2)), 3)
    for kind in ("linear", "nearest", "previous"):
        yield f"interp1d-{kind}", scipy.interpolate.interp1d(np.arange(5.0), np.arange(5.0) ** 2, kind=kind)
    yield "frozen", scipy.stats.norm(loc=np.zeros(3), scale=2.0)
    yield "MaskedArray", np.ma.masked_array(dense, dense > 1)
    yield "records", np.zeros(3, [("a", "<i4"), ("b", ">f8"), ("c", "U3")]).view(np.recarray)
    yield "objects", np.array([["a", None], [1.5, (1, 2)]], dtype=object)
    yield "strings", np.array(["a", "bc"])
    yield "dates", np.array(["2020-01-01"], "M8[s]")
    yield "strided", np.arange(40.0).reshape(5, 8)[::2, ::-2]
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": pd.Categorical(["u", "v", "u"])})
    frame["d"] = pd.array([1, None, 3], "Int64")
    frame["e"] = pd.date_range("2020-01-01", periods=3, tz="UTC")
    yield "DataFrame", frame
    yield "Series", frame["c"]
    yield "MultiIndex", pd.MultiIndex.from_product([["a", "b"], [1, 2, 3]], names=["x", "y"])
    yield "Categorical", pd.Categorical(["a", "b", None], ordered=True)
    yield "intervals", pd.Series(pd.interval_range(0, 5))
    yield "periods", pd.Series(pd.period_range("2020", periods=3, freq="M"))
    yield "sparse", pd.Series(pd.arrays.SparseArray([0, 0, 1, 2, 0]))
    yield "by_interval", pd.Series([1.0, 2.0], index=pd.IntervalIndex.from_breaks([0, 1, 2]))
    yield "many", [np.arange(number, dtype=np.int32) for number in range(1, 20)]


def variants_data() -> Any:
    """X for the methods of the variants."""
    return variants.load_iris().data[::5].copy()


def unfitted(name: str) -> Any:
    """An estimator of a class, as the battery makes it."""
    return battery.instances(_classes()[name])[0]


@cache
def _classes() -> dict[str, Any]:
    from sklearn.utils.discovery import all_estimators

    return dict(all_estimators())
