"""Small files of models with more parts than there is time for are refused; data of any shape are not."""

from __future__ import annotations

import copy
import tracemalloc
from collections import deque
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import BSpline, interp1d
from sklearn import config_context
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import BallTree, KDTree
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from spoiling import X, assert_refused, fitted

from keepfit import codecs
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Graph, Node, Ref, first_objects


def in_itself(sequence: Any) -> Any:
    sequence.extend([sequence, sequence])
    return sequence


def by_way_of_a_tuple() -> list[Any]:
    outer: list[Any] = []
    outer.extend([(outer, 1), (outer,)])
    return outer


def by_way_of_an_array() -> Any:
    array = np.empty(2, object)
    array[:] = [[array], [array, array]]
    return array


SELF_HOLDING = {
    "list": lambda: in_itself([]),
    "deque": lambda: in_itself(deque()),
    "a tuple between": by_way_of_a_tuple,
    "an array between": by_way_of_an_array,
}


@pytest.mark.parametrize("kind", SELF_HOLDING)
def test_a_model_with_numbers_that_hold_themselves_is_refused(kind: str) -> None:
    """NumPy looks 64 levels deep for numbers: of a list that holds itself twice, for as long as 2**64 items take."""
    model = LogisticRegression()
    model.classes_ = SELF_HOLDING[kind]()
    assert_refused(Pipeline([("last", model)]), InvalidStateError, "contains itself")


@pytest.mark.parametrize("make", [Pipeline, FeatureUnion, VotingClassifier, ColumnTransformer])
def test_a_model_that_is_a_part_of_itself_is_refused(make: Any) -> None:
    """scikit-learn looks for tags in all parts, and goes on where one fails: for as long as 2**1000 parts take."""
    model = make([])
    vars(model)[next(iter(vars(model)))] = [("one", model, [0]), ("two", model, [1])]
    assert_refused(model, InvalidStateError, "contains itself")


def test_models_with_rings_in_them_come_back() -> None:
    for rows in (X, np.random.RandomState(0).normal(size=(1500, 4))):
        birch = fitted(Birch(threshold=0.1), rows)  # each leaf knows the one before it and the one after it
        built = codecs.decode(codecs.encode(birch))
        assert np.array_equal(built.predict(rows), birch.predict(rows))
    with config_context(enable_metadata_routing=True):
        model = Pipeline([("last", LogisticRegression().set_fit_request(sample_weight=True))])
        codecs.decode(codecs.encode(fitted(model)))


@pytest.mark.parametrize("kind", SELF_HOLDING)
def test_data_that_hold_themselves_come_back_beside_a_model(kind: str) -> None:
    back = codecs.decode(codecs.encode({"model": LogisticRegression(), "data": SELF_HOLDING[kind]()}))
    assert type(back["model"]) is LogisticRegression


def test_a_model_of_the_same_few_models_again_and_again_is_refused() -> None:
    model: Any = LogisticRegression()
    for _ in range(40):
        model = Pipeline([("one", model), ("two", model)])
    assert_refused(model, InvalidStateError, "most of them the same")


def test_a_model_that_shares_parts_comes_back() -> None:
    shared = LogisticRegression()
    model = Pipeline([(str(number), shared) for number in range(1000)])
    back = codecs.decode(codecs.encode(model))
    assert back.steps[0][1] is back.steps[999][1]


def many_of_one(model: Any, attribute: str, count: int) -> Any:
    """A graph of many models that have all in common, but say that they differ in one attribute."""
    graph = codecs.encode([copy.copy(model) for _ in range(count)])
    group = next(node for node in graph.nodes if node.count == count and node.type.endswith(type(model).__name__))
    group.columns[attribute] = [group.state[attribute]] * count
    group.state[attribute] = None
    return graph


def test_models_that_share_their_members_come_back_unless_they_are_too_many_together() -> None:
    forest = RandomForestClassifier(800, max_depth=1, random_state=0).fit(X, X[:, 0] > 0)
    assert len(codecs.decode(many_of_one(forest, "estimators_", 100))) == 100
    with pytest.raises((InvalidStateError, UnsupportedError), match="together"):
        codecs.decode(many_of_one(forest, "estimators_", 5000))


def test_models_that_share_large_contents_come_back_unless_looking_through_them_has_no_end() -> None:
    words = CountVectorizer(tokenizer=str.split, token_pattern=None).fit([" ".join(map(str, range(100_000)))])
    words.tokenizer = None
    assert len(codecs.decode(many_of_one(words, "vocabulary_", 100))) == 100
    with pytest.raises(InvalidStateError, match="too long to look through"):
        codecs.decode(many_of_one(words, "vocabulary_", 6000))


def test_arrays_in_a_list_count_among_the_contents_that_models_share() -> None:
    places = OneHotEncoder().fit(np.array([[str(number)] for number in range(100_000)], object))
    assert len(codecs.decode(many_of_one(places, "categories_", 20))) == 20
    with pytest.raises(InvalidStateError, match="too long to look through"):
        codecs.decode(many_of_one(places, "categories_", 6000))


@pytest.mark.parametrize("depth", [1000, 5000])
def test_models_in_each_other_that_are_too_many_together_are_refused_by_dump(depth: int) -> None:
    model: Any = LogisticRegression()
    shared = [None, model]
    for _ in range(depth):
        model = Pipeline([("one", model)])
    try:
        taken = codecs.encode([model, shared, shared])
    except UnsupportedError as error:
        assert "together" in str(error)  # noqa: PT017 - either this or what follows
    else:
        assert isinstance(codecs.decode(taken)[0], Pipeline)


@pytest.mark.parametrize("depth", range(10, 20))
def test_what_is_shared_more_and_more_is_refused_from_where_load_would_refuse_it(depth: int) -> None:
    model: Any = LogisticRegression()
    for _ in range(depth):
        model = FeatureUnion([("one", model), ("other", model)])
    try:
        taken = codecs.encode(model)
    except UnsupportedError:
        assert 2**depth > 10_000
    else:
        assert 2**depth < 100_000
        assert isinstance(codecs.decode(taken), FeatureUnion)


ROW = np.arange(30_000.0)
HOLDERS = {
    "KDTree": lambda: KDTree(ROW[:, None], leaf_size=1),
    "BallTree": lambda: BallTree(ROW[:, None], leaf_size=1),
    "BSpline": lambda: BSpline(ROW, np.asfortranarray(np.ones((30_000, 2))), 0),
    "interp1d": lambda: interp1d(ROW, np.ones((2, 30_000)), axis=1),
    "StandardScaler": lambda: StandardScaler().fit(np.vstack([ROW, np.where(ROW > 0, ROW, np.nan)])),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_objects_that_name_the_same_large_arrays_take_little_memory_each(kind: str) -> None:
    graph = codecs.encode(HOLDERS[kind]())
    (number,) = (n for n, node in enumerate(graph.nodes) if node.type.endswith(kind))
    for node in graph.nodes:
        if kind == "BSpline" and node.array is not None and graph.arrays[node.array].ndim == 2:
            node.state["order"] = "F"
            graph.arrays[node.array] = np.ones((2, 30_000))
    first = first_objects(graph.nodes)[number]
    nodes = [*graph.nodes[:number], *[graph.nodes[number]] * 100]
    nodes.append(Node("list", items=[Ref(first + place) for place in range(100)]))
    many = Graph({"object": Ref(first + 100)}, nodes, graph.arrays, graph.names, graph.versions)
    tracemalloc.start()
    try:
        built = codecs.decode(many)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(built) == 100
    assert taken < 4 * sum(array.nbytes for array in graph.arrays)
