"""Neighbour trees and searches: only arrays that belong together are built into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import DistanceMetric, pairwise_distances
from sklearn.neighbors import (
    BallTree,
    KDTree,
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
    RadiusNeighborsTransformer,
)
from spoiling import X, assert_refused, fitted, labels, target

from keepfit import codecs
from keepfit.errors import InvalidStateError, KeepfitError, UnsupportedError


def spoiled(tree: Any, part: str, change: Callable[[Any], Any]) -> Any:
    graph = codecs.encode(tree)
    number = next(n for n, name in enumerate(graph.names) if name.endswith(part))
    graph.arrays[number] = np.ascontiguousarray(change(graph.arrays[number].copy()))
    return graph


def set_to(value: Any, place: int = 0) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array.reshape(-1)[place] = value
        return array

    return change


HOSTILE = {
    "a point past the end": ("idx_array", set_to(60)),
    "a point far away": ("idx_array", set_to(2**62)),
    "a point before the start": ("idx_array", set_to(-1)),
    "a point twice": ("idx_array", lambda order: np.full_like(order, 3)),
    "too few points": ("idx_array", lambda order: order[:-1]),
    "too many points": ("idx_array", lambda order: np.append(order, 0)),
    "points in 32 bits": ("idx_array", lambda order: order.astype("i4")),
    "too few rows": ("data", lambda data: data[:-1]),
    "no rows": ("data", lambda data: data[:0]),
    "too few columns": ("data", lambda data: data[:, :-1]),
    "rows of another precision": ("data", lambda data: data.astype("f4")),
    "rows of three dimensions": ("data", lambda data: data[..., None]),
    "too few radii": ("radius", lambda radius: radius[:-1]),
    "too few bounds": ("node_bounds", lambda bounds: bounds[:, :-1]),
    "bounds of fewer features": ("node_bounds", lambda bounds: bounds[..., :-1]),
}


@pytest.mark.parametrize("kind", [KDTree, BallTree])
@pytest.mark.parametrize("name", HOSTILE)
def test_arrays_of_a_neighbour_tree_that_do_not_fit_are_refused(kind: type, name: str) -> None:
    part, change = HOSTILE[name]
    with pytest.raises(KeepfitError):
        codecs.decode(spoiled(kind(X, leaf_size=5), part, change))


@pytest.mark.parametrize("leaf_size", [0, -1, 1, 50, 10**12, 2**62])
def test_a_leaf_size_that_the_layout_contradicts_is_refused(leaf_size: int) -> None:
    graph = codecs.encode(KDTree(X, leaf_size=5))
    graph.nodes[-1].state["leaf_size"] = leaf_size
    with pytest.raises(InvalidStateError):
        codecs.decode(graph)


@pytest.mark.parametrize("kind", [KDTree, BallTree])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 59, 60])
@pytest.mark.parametrize("leaf_size", [1, 2, 40, 1000])
def test_trees_of_every_size_come_back_and_answer_alike(kind: type, count: int, leaf_size: int) -> None:
    tree = kind(X[:count], leaf_size=leaf_size)
    built = codecs.decode(codecs.encode(tree))
    for a, b in zip(tree.query(X, k=min(2, count)), built.query(X, k=min(2, count)), strict=True):
        assert np.array_equal(a, b)


def test_numbers_that_only_mislead_are_let_through_and_queries_end() -> None:
    for part in ("data", "radius", "node_bounds"):
        for value in (np.nan, np.inf, -1e308):
            built = codecs.decode(
                spoiled(BallTree(X, leaf_size=5), part, lambda array, v=value: np.full_like(array, v))
            )
            built.query(X, k=3)
            built.query_radius(X, 1.0)
            built.kernel_density(X, 0.5)


@pytest.mark.parametrize(
    ("metric", "arguments", "field", "value"),
    [
        ("mahalanobis", {"VI": np.eye(4)}, "VI", np.eye(3)),
        ("mahalanobis", {"VI": np.eye(4)}, "VI", np.ones((4, 3))),
        ("seuclidean", {"V": np.ones(4)}, "V", np.ones(3)),
        ("minkowski", {"p": 3, "w": np.ones(4)}, "w", np.ones(1)),
    ],
)
def test_a_metric_of_other_features_than_the_points_is_refused(
    metric: str, arguments: dict[str, Any], field: str, value: Any
) -> None:
    tree = BallTree(X, metric=DistanceMetric.get_metric(metric, **arguments))
    codecs.decode(codecs.encode(tree))
    with pytest.raises(InvalidStateError):
        codecs.decode(spoiled(tree, field, lambda array: value))


def neighbors(**parameters: Any) -> Any:
    return fitted(KNeighborsClassifier(**parameters))


SPOILED: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "more samples than there are": (lambda: neighbors(algorithm="brute"), {"n_samples_fit_": 10**9}),
    "fewer features than there are": (lambda: neighbors(algorithm="brute"), {"n_features_in_": 3}),
    "more features than there are": (lambda: neighbors(algorithm="brute"), {"n_features_in_": 5}),
    "points of fewer features": (lambda: neighbors(algorithm="brute"), {"_fit_X": X[:, :3]}),
    "no points": (lambda: neighbors(algorithm="brute"), {"_fit_X": X[:0], "_y": labels[:0], "n_samples_fit_": 0}),
    "a label past the end": (lambda: neighbors(), {"_y": labels + 1}),
    "a label before the start": (lambda: neighbors(), {"_y": labels - 1}),
    "a label far away": (lambda: neighbors(metric="manhattan", algorithm="brute"), {"_y": labels + 2**40}),
    "too few labels": (lambda: neighbors(), {"_y": labels[:-1]}),
    "fewer classes than labels": (lambda: neighbors(), {"classes_": np.array([0])}),
    "labels of two outputs": (lambda: neighbors(), {"_y": np.c_[labels, labels]}),
    "two outputs that are one": (lambda: neighbors(), {"outputs_2d_": True}),
    "a tree of other points": (lambda: neighbors(algorithm="kd_tree"), {"_tree": KDTree(X[:5])}),
    "a tree and all points": (lambda: neighbors(algorithm="kd_tree"), {"_fit_method": "brute"}),
    "no tree where one is used": (lambda: neighbors(algorithm="kd_tree"), {"_tree": None}),
    "something else for a tree": (lambda: neighbors(algorithm="kd_tree"), {"_tree": "tree"}),
    "distances that are not precomputed": (
        lambda: neighbors(algorithm="brute"),
        {"effective_metric_": "precomputed"},
    ),
    "precomputed distances that are not": (lambda: neighbors(algorithm="brute"), {"metric": "precomputed"}),
    "norms of rows for the metric": (
        lambda: neighbors(algorithm="brute"),
        {"effective_metric_params_": {"Y_norm_squared": np.zeros(1)}},
    ),
    "an array for the metric to write to": (
        lambda: neighbors(algorithm="brute", metric="cosine"),
        {"effective_metric_params_": {"out": np.zeros(1)}},
    ),
    "a small inverse covariance": (
        lambda: neighbors(algorithm="brute", metric="mahalanobis", metric_params={"VI": np.eye(4)}),
        {"effective_metric_params_": {"VI": np.ones((1, 1))}},
    ),
    "few weights": (
        lambda: neighbors(algorithm="brute", metric_params={"w": np.ones(4)}),
        {"effective_metric_params_": {"p": 2, "w": np.ones(1)}},
    ),
    "a billion neighbours": (lambda: neighbors(metric="manhattan", algorithm="brute"), {"n_neighbors": 10**9}),
    "threads by way of the metric": (lambda: neighbors(algorithm="brute"), {"metric_params": {"n_jobs": 10**6}}),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_search_for_neighbours_whose_parts_do_not_fit_is_refused(name: str) -> None:
    make, changes = SPOILED[name]
    model = make()
    codecs.decode(codecs.encode(model))
    vars(model).update(changes)
    assert_refused(model, InvalidStateError)


def test_other_searches_are_held_to_the_same_rules() -> None:
    for model in (
        fitted(KNeighborsRegressor(algorithm="brute"), X, target),
        fitted(NearestNeighbors(algorithm="brute"), X),
        fitted(RadiusNeighborsClassifier(algorithm="brute", outlier_label=0)),
        fitted(LocalOutlierFactor(novelty=True, algorithm="brute"), X),
    ):
        codecs.decode(codecs.encode(model))
        model._fit_X = X[:, :2].copy()
        assert_refused(model, InvalidStateError)


def test_a_kernel_density_has_a_tree_of_its_features() -> None:
    model = fitted(KernelDensity(), X)
    model.tree_ = KDTree(X[:, :2])
    assert_refused(model, InvalidStateError)


def test_searches_on_sparse_integer_and_precomputed_data_load() -> None:
    from scipy.sparse import csr_matrix

    for model, data in (
        (KNeighborsClassifier(), csr_matrix(X)),
        (KNeighborsClassifier(metric="hamming"), (X > 0).astype(int)),
        (KNeighborsClassifier(metric="precomputed"), pairwise_distances(X)),
        (KNeighborsClassifier(metric=_distance), X),
        (KNeighborsClassifier(3, p=3, metric_params={"w": np.ones(4)}), X),
        (KNeighborsClassifier(), X.astype("f4")),
    ):
        fitted(model, data, np.c_[labels, labels] if model.n_neighbors == 3 else labels)
        built = codecs.decode(codecs.encode(model), trusted=[_distance])
        assert np.array_equal(built.predict(data), model.predict(data))


def _distance(a: Any, b: Any) -> float:
    return float(np.abs(a - b).sum())


@pytest.mark.parametrize("cls", [KNeighborsTransformer, RadiusNeighborsTransformer])
@pytest.mark.parametrize("metric", ["precomputed", np.str_("precomputed")])
def test_a_graph_of_precomputed_distances_whose_columns_none_looks_at_is_refused(cls: Any, metric: str) -> None:
    graph_of = fitted(cls(metric="precomputed"), pairwise_distances(X))
    graph_of.metric = metric
    assert_refused(graph_of, InvalidStateError, match="any number of columns")
    with pytest.raises(UnsupportedError, match="any number of columns"):
        codecs.encode(graph_of)
    assert codecs.decode(codecs.encode(clone(graph_of))).metric == "precomputed"
    others = [fitted(cls(), X) for _ in range(20)]
    assert_refused([*others, graph_of], InvalidStateError, match="any number of columns")
