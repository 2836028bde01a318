"""Arrays of trees that are read as the trees are built: the same models, and the same refusals."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

import keepfit
from keepfit import artifact, codecs
from keepfit.errors import FormatError, KeepfitError
from keepfit.graph import Graph, Node, Ref, Stream

rng = np.random.RandomState(0)
X = rng.normal(size=(3000, 5))
y = (X[:, 0] + rng.normal(size=3000) > 0).astype(int)
FOREST = RandomForestClassifier(60, random_state=0).fit(X, y)
NODES = "estimators_.tree_.nodes"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    keepfit.dump(FOREST, tmp_path / "forest")
    return tmp_path / "forest"


def graph_of(path: Path) -> Graph:
    with artifact.open_source(path) as source:
        return artifact.read_source(source)[0]


def streams(path: Path) -> list[str]:
    return sorted(codecs.streamed_arrays(graph_of(path)))


def spoil(path: Path, place_from_the_end: int) -> None:
    data = bytearray(path.read_bytes())
    data[-place_from_the_end] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("model", [FOREST, RandomForestRegressor(30, random_state=0).fit(X, X)], ids=type)
def test_a_forest_read_in_portions_is_the_same_to_the_bit(model: Any, tmp_path: Path) -> None:
    keepfit.dump(model, tmp_path / "forest")
    assert streams(tmp_path / "forest") == [NODES, "estimators_.tree_.values"]
    again = keepfit.load(tmp_path / "forest")
    assert pickle.dumps(again.predict(X)) == pickle.dumps(model.predict(X))
    assert keepfit.dumps(again) == keepfit.dumps(model) == (tmp_path / "forest").read_bytes()


def test_several_forests_in_one_file_are_each_read_in_portions(tmp_path: Path) -> None:
    models = {"one": FOREST, "two": RandomForestClassifier(60, random_state=1).fit(X, y), "again": FOREST}
    keepfit.dump(models, tmp_path / "forests")
    assert len(streams(tmp_path / "forests")) >= 2
    again = keepfit.load(tmp_path / "forests")
    assert again["one"] is again["again"]
    assert all((again[name].predict_proba(X) == model.predict_proba(X)).all() for name, model in models.items())


def test_an_open_file_is_read_from_where_it_stands_and_left_at_its_end(path: Path) -> None:
    path.write_bytes(b"before" + path.read_bytes())
    with path.open("rb") as file:
        file.seek(6)
        assert (keepfit.load(file).predict(X) == FOREST.predict(X)).all()
        assert file.read() == b""


def test_a_flipped_bit_anywhere_in_the_arrays_is_found(path: Path) -> None:
    whole = path.read_bytes()
    size = sum(array.nbytes for array in graph_of(path).arrays)
    assert size > 2**21
    for place in (1, 9, size // 3, size // 2, size - 9):
        path.write_bytes(whole)
        spoil(path, place)
        with pytest.raises(KeepfitError):
            keepfit.load(path)


def test_a_file_cut_short_while_it_is_read_is_an_error(path: Path) -> None:
    with artifact.open_source(path) as source:
        graph, _ = artifact.read_source(source, may_stream=codecs.streamed_arrays)
        assert any(type(array) is Stream for array in graph.arrays)
        path.write_bytes(b"")
        with pytest.raises(FormatError, match="cut short"):
            codecs.decode(graph)


def put_in_a_list(graph: Graph) -> None:
    """A list beside the forest that has one of the arrays of nodes too."""
    places = [node for node in graph.nodes if node.type == "sklearn.tree._tree.Tree"]
    nodes = places[0].columns["nodes"]
    total = sum(node.count for node in graph.nodes)
    graph.nodes.append(Node("tuple", items=[graph.roots["object"], nodes[3]]))
    graph.roots["object"] = Ref(total)


def swap_two_trees(graph: Graph) -> None:
    (trees,) = [node for node in graph.nodes if node.type == "sklearn.tree._tree.Tree"]
    for name in ("nodes", "values"):
        column = trees.columns[name]
        column[0], column[1] = column[1], column[0]
    depths = trees.columns["max_depth"]
    depths[0], depths[1] = depths[1], depths[0]


def name_one_array_twice(graph: Graph) -> None:
    (trees,) = [node for node in graph.nodes if node.type == "sklearn.tree._tree.Tree"]
    trees.columns["nodes"][0] = trees.columns["nodes"][1]


@pytest.mark.parametrize("change", [put_in_a_list, swap_two_trees, name_one_array_twice])
def test_arrays_that_others_refer_to_or_in_another_order_are_read_whole(change: Any, path: Path) -> None:
    graph = graph_of(path)
    change(graph)
    with path.open("wb") as file:
        artifact.write(graph, {}, file)
    assert NODES not in streams(path)
    whole: Any = None
    try:
        whole = keepfit.loads(path.read_bytes())
    except KeepfitError as error:
        with pytest.raises(type(error)):
            keepfit.load(path)
        assert change is name_one_array_twice
        return
    again = keepfit.load(path)
    forest, other = (again[0], whole[0]) if type(again) is tuple else (again, whole)
    assert (forest.predict_proba(X) == other.predict_proba(X)).all()


def test_lengths_that_do_not_fit_their_array_are_refused(path: Path) -> None:
    graph = graph_of(path)
    (group,) = [node for node in graph.nodes if node.array is not None and graph.names[node.array] == NODES]
    group.lengths[0] += 1
    with path.open("wb") as file:
        artifact.write(graph, {}, file)
    assert NODES in streams(path)
    with pytest.raises(KeepfitError):
        keepfit.load(path)
