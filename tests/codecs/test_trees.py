"""Decision trees: nodes that are not one tree are refused, and no honest tree is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier
from spoiling import X, fitted, labels, spoiled_nodes, target

from keepfit import codecs
from keepfit.codecs.sklearn_seam import tree_node_dtype
from keepfit.errors import InvalidStateError, KeepfitError, VersionError
from keepfit.graph import Node, Ref

TREE = fitted(DecisionTreeClassifier(random_state=0))
NODES = tree_node_dtype()
LAST = TREE.tree_.node_count - 1
INNER = int(np.flatnonzero(TREE.tree_.children_left != -1)[-1])
LEAF = int(np.flatnonzero(TREE.tree_.children_left == -1)[0])


def put(field: str, place: int, value: int) -> Callable[[Any], None]:
    def spoil(nodes: Any) -> None:
        nodes[field][place] = value

    return spoil


HOSTILE = {
    "a child past the end": put("left_child", 0, LAST + 1),
    "a child far away": put("right_child", 0, 2**62),
    "the largest child there is": put("right_child", 0, 2**63 - 1),
    "a child before the start": put("left_child", 0, -2),
    "a child that is its own parent": put("left_child", 0, 0),
    "a child that comes before it": put("right_child", INNER, 0),
    "two parents of one child": put("left_child", 0, int(TREE.tree_.children_right[0])),
    "a leaf on one side only": put("right_child", INNER, -1),
    "a leaf with a child": put("right_child", LEAF, LAST),
    "a leaf that is made a node": put("left_child", LEAF, LAST),
    "a feature past the end": put("feature", 0, 4),
    "a feature far away": put("feature", 0, 2**62),
    "a feature before the start": put("feature", INNER, -1),
    "no inner node at all": lambda nodes: nodes["left_child"].fill(-1),
    "all nodes the root": lambda nodes: nodes["left_child"].fill(0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nodes_that_are_not_one_tree_are_refused(name: str) -> None:
    with pytest.raises(InvalidStateError):
        codecs.decode(spoiled_nodes(TREE, NODES, HOSTILE[name]))


@pytest.mark.parametrize("name", HOSTILE)
def test_one_bad_tree_among_many_is_found(name: str) -> None:
    forest = fitted(RandomForestClassifier(3, random_state=0, bootstrap=False, max_features=None))
    first = forest.estimators_[0].tree_.node_count

    def spoil_the_last_tree(nodes: Any) -> None:
        if name.startswith(("no inner", "all nodes")):
            HOSTILE[name](nodes[-first:])
        else:
            nodes["left_child"][-first] = len(nodes)

    graph = spoiled_nodes(forest, NODES, spoil_the_last_tree)
    with pytest.raises(InvalidStateError):
        codecs.decode(graph)


def test_a_child_in_the_next_tree_of_the_group_is_refused() -> None:
    forest = fitted(RandomForestClassifier(2, random_state=0))
    first = forest.estimators_[0].tree_.node_count
    with pytest.raises(InvalidStateError):
        codecs.decode(spoiled_nodes(forest, NODES, put("right_child", 0, first + 1)))


@pytest.mark.parametrize("field", ["threshold", "impurity", "weighted_n_node_samples"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_only_mislead_are_let_through(field: str, value: float) -> None:
    def spoil(nodes: Any) -> None:
        nodes[field] = value

    built = codecs.decode(spoiled_nodes(TREE, NODES, spoil))
    assert built.predict(X).shape == (60,)
    assert built.decision_path(X).shape[0] == 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_depth", 10**9),
        ("max_depth", 0),
        ("max_depth", -1),
        ("n_features", 3),
        ("n_features", -1),
        ("n_features", 2**40),
        ("n_outputs", 0),
        ("n_outputs", 2),
        ("n_outputs", 2**40),
    ],
)
def test_numbers_beside_the_nodes_must_agree_with_them(field: str, value: int) -> None:
    graph = codecs.encode(TREE)
    (node,) = (node for node in graph.nodes if node.type == "sklearn.tree._tree.Tree")
    node.state[field] = value
    with pytest.raises(InvalidStateError):
        codecs.decode(graph)


@pytest.mark.parametrize("part", ["values", "nodes", "n_classes"])
@pytest.mark.parametrize("change", ["shorter", "longer", "none", "another dtype", "another shape"])
def test_arrays_of_a_tree_must_fit_each_other(part: str, change: str) -> None:
    graph = codecs.encode(TREE)
    number = next(n for n, name in enumerate(graph.names) if name.endswith(part))
    array = np.asarray(graph.arrays[number])
    graph.arrays[number] = {
        "shorter": array[:-1],
        "longer": np.concatenate([array, array[:1]]),
        "none": array[:0],
        "another dtype": array.astype("f4"),
        "another shape": array.reshape(-1, 1),
    }[change].copy()
    with pytest.raises(KeepfitError):
        codecs.decode(graph)


def test_nodes_of_another_release_are_told_apart_from_damage() -> None:
    graph = codecs.encode(TREE)
    for node in graph.nodes:
        if node.type == "list" and "missing_go_to_left" in node.items:
            node.items = ["went_left" if name == "missing_go_to_left" else name for name in node.items]
    with pytest.raises(VersionError, match="another scikit-learn release"):
        codecs.decode(graph)


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(max_leaf_nodes=7),
        DecisionTreeClassifier(ccp_alpha=0.02),
        DecisionTreeClassifier(max_depth=1),
        ExtraTreeClassifier(min_samples_leaf=10),
        DecisionTreeRegressor(criterion="absolute_error"),
        ExtraTreesRegressor(5, max_leaf_nodes=4),
        RandomForestClassifier(5, warm_start=True, ccp_alpha=0.01),
        GradientBoostingClassifier(n_estimators=3, init="zero"),
    ],
    ids=str,
)
def test_honest_trees_of_every_making_load(estimator: Any) -> None:
    fitted(estimator.set_params(random_state=0))
    built = codecs.decode(codecs.encode(estimator))
    assert np.array_equal(built.predict(X), estimator.predict(X))


def test_trees_of_one_node_of_many_outputs_of_text_and_of_sparse_data_load() -> None:
    from scipy.sparse import csr_matrix

    for tree in (
        fitted(DecisionTreeClassifier(), X, np.zeros(60)),
        fitted(DecisionTreeClassifier(), X, np.c_[labels, labels == 1]),
        fitted(DecisionTreeClassifier(), X, np.array(["a", "b", "c"], dtype=object)[labels]),
        fitted(DecisionTreeRegressor(), X, np.c_[target, -target]),
        fitted(DecisionTreeRegressor(), csr_matrix(X), target),
        fitted(DecisionTreeClassifier(), np.where(X > 2, np.nan, X), labels),
    ):
        built = codecs.decode(codecs.encode(tree))
        assert np.array_equal(built.predict(X), tree.predict(X))
        assert np.array_equal(built.feature_importances_, tree.feature_importances_)


@pytest.mark.parametrize("leaves", [249, 250, 251])  # 497, 499 and 501 nodes: the depth is found in two ways
def test_the_depth_of_large_trees_and_small_ones_is_checked(leaves: int) -> None:
    rng = np.random.RandomState(0)
    rows, target = rng.normal(size=(600, 4)), rng.normal(size=600)
    large = fitted(DecisionTreeRegressor(max_leaf_nodes=leaves, random_state=0), rows, target)
    small = fitted(DecisionTreeRegressor(max_depth=2), rows, target)
    trees = [large, *(fitted(DecisionTreeRegressor(max_depth=2), rows, target) for _ in range(9)), small]
    for wrong in range(len(trees)):
        graph = codecs.encode([one.tree_ for one in trees])
        codecs.decode(graph)
        group = next(node for node in graph.nodes if node.type.endswith("._tree.Tree"))
        assert group.count == len(trees)
        group.columns["max_depth"][wrong] += 1
        with pytest.raises(InvalidStateError, match="depth"):
            codecs.decode(graph)


def test_an_array_of_nodes_belongs_to_one_tree() -> None:
    graph = codecs.encode(TREE.tree_)
    tree = graph.nodes[-1]
    depth = {"max_depth": [tree.state["max_depth"]] * 9}
    graph.nodes[-1] = Node(tree.type, {**tree.state, "max_depth": None}, count=9, columns=depth)
    with pytest.raises(InvalidStateError, match="same array"):
        codecs.decode(graph)
    first = graph.roots["object"].index
    twice = [tree, Node(tree.type, dict(tree.state)), Node("list", items=[Ref(first), Ref(first + 1)])]
    graph = msgspec.structs.replace(graph, nodes=[*graph.nodes[:-1], *twice], roots={"object": Ref(first + 2)})
    with pytest.raises(InvalidStateError, match="same array"):
        codecs.decode(graph)


def test_the_numbers_of_classes_of_every_tree_of_a_group_are_integers() -> None:
    trees = [fitted(DecisionTreeClassifier(max_depth=2, random_state=seed)).tree_ for seed in range(9)]
    graph = codecs.encode(trees)
    counts = next(node for node in graph.nodes if node.lengths == [1] * 9)
    assert np.asarray(graph.arrays[counts.array]).tolist() == [3] * 9
    counts.state["dtype"] = "m8[s]"  # the same octets
    with pytest.raises(InvalidStateError, match="number of classes"):
        codecs.decode(graph)
