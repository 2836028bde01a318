"""The walk from objects to a graph and back: identity, cycles, groups, depth, hashing, paths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from keepfit import codecs, graph
from keepfit.errors import InvalidStateError, UnsupportedError
from keepfit.graph import Graph, Node, Ref


def kept(obj: Any) -> Any:
    """`obj` taken apart, written as JSON, read and built again."""
    taken = codecs.encode(obj)
    read = graph.from_json(graph.to_json(taken))
    read.arrays = [np.array(array) for array in taken.arrays]
    return codecs.decode(read)


def by_hand(*nodes: Node, root: int | None = None) -> Graph:
    objects = sum(node.count for node in nodes)
    whole = Graph({"object": Ref(objects - 1 if root is None else root)}, list(nodes), [], [], {})
    return graph.from_json(graph.to_json(whole))


def test_a_shared_object_stays_one_object() -> None:
    shared = [1]
    found = kept({"a": shared, "b": (shared, [shared])})
    assert found["a"] is found["b"][0] is found["b"][1][0]


def test_equal_but_different_objects_stay_different() -> None:
    first, second = kept([[1], [1]])
    assert first is not second


def test_a_list_may_contain_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    found = kept(loop)
    assert found[0] is found


def test_a_tuple_may_contain_itself_through_a_list() -> None:
    outer = ([],)
    outer[0].append(outer)  # type: ignore[attr-defined]
    found = kept(outer)
    assert found[0][0] is found


def test_two_tuples_may_contain_each_other_through_a_list() -> None:
    links: list[Any] = []
    inner = (links,)
    outer = (inner, 5)
    links.append((inner, outer))
    found = kept(outer)
    assert found[0][0][0][0] is found[0]
    assert found[0][0][0][1] is found


def test_an_array_that_contains_itself_is_refused_because_numpy_would_follow_it_without_end() -> None:
    array = np.empty(1, object)
    array[0] = array
    with pytest.raises(UnsupportedError):
        codecs.encode(array)


def test_a_model_that_is_reached_from_its_own_attribute_is_refused() -> None:
    """scikit-learn walks through models as through trees: of one that contains itself it never finds the end."""
    model = KNeighborsClassifier()
    model.metric_params = {"model": model}
    with pytest.raises(UnsupportedError, match="contains itself"):
        codecs.encode(model)


def test_depth_is_no_limit() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    found = kept(deep)
    for _ in range(50_000):
        (found,) = found
    assert found == []


def test_like_objects_stand_as_one_node() -> None:
    forest = RandomForestClassifier(20, random_state=0).fit([[0.0], [1.0]] * 20, [0, 1] * 20)
    taken = codecs.encode(forest)
    assert len(taken.nodes) < 40
    assert {node.count for node in taken.nodes if node.type == "sklearn.tree._tree.Tree"} == {20}


def test_the_members_of_a_group_keep_their_differences_and_their_order() -> None:
    models = {f"k={k}": KNeighborsClassifier(k) for k in range(1, 30)}
    found = kept(models)
    assert list(found) == list(models)
    assert [model.n_neighbors for model in found.values()] == list(range(1, 30))


def test_a_member_of_a_group_may_stand_elsewhere_too() -> None:
    models = [KNeighborsClassifier(k) for k in range(1, 30)]
    found, best = kept((models, models[7]))
    assert found[7] is best


def test_a_member_that_stands_twice_in_its_list_stays_one_object() -> None:
    models = [KNeighborsClassifier(k) for k in range(1, 30)]
    found = kept([*models, models[3]])
    assert found[3] is found[29]
    assert len({id(model) for model in found}) == 29


@pytest.mark.parametrize("member", [lambda one: (one,), lambda one: {"a": one}, lambda one: [one, one, 7]])
def test_members_may_have_all_in_common(member: Any) -> None:
    one = ["shared"]
    found = kept([member(one) for _ in range(30)])
    assert found == [member(one) for _ in range(30)]
    first = found[0]["a"] if isinstance(found[0], dict) else found[0][0]
    assert all(first is (row["a"] if isinstance(row, dict) else row[0]) for row in found)


def test_members_may_refer_to_each_other() -> None:
    rows: list[dict[str, Any]] = [{"number": number, "next": None} for number in range(30)]
    for row, after in zip(rows, rows[1:] + rows[:1], strict=True):
        row["next"] = after
    found = kept(rows)
    assert all(a["next"] is b for a, b in zip(found, found[1:] + found[:1], strict=True))


def test_like_records_stay_records() -> None:
    rows = [{"C": number / 8, "kernel": "rbf", "flag": number % 2 == 0} for number in range(40)]
    assert kept(rows) == rows
    pairs = [(f"step{number}", [number, None]) for number in range(40)]
    assert kept(pairs) == pairs


@pytest.mark.parametrize("value", [0.0, -0.0, float("nan"), True, 1, 1.0, "1", None, 2**70])
def test_values_that_look_alike_stay_apart_in_a_column(value: Any) -> None:
    values = [1, True, 1.0, 0, False, 0.0, -0.0, None, "1", float("inf"), value]
    found = kept([[item] for item in values])
    assert [repr(row[0]) for row in found] == [repr(item) for item in values]
    assert [type(row[0]) for row in found] == [type(item) for item in values]


def test_arrays_of_a_group_are_told_apart_again() -> None:
    arrays = [np.arange(number, dtype=np.float32) for number in range(40)]
    found = kept(arrays)
    assert all(a.dtype == b.dtype and (a == b).all() for a, b in zip(found, arrays, strict=True))
    assert all(array.flags.writeable for array in found)


def test_the_same_object_gives_the_same_bytes() -> None:
    model = RandomForestClassifier(20, random_state=0).fit([[0.0], [1.0]] * 20, [0, 1] * 20)
    once = codecs.encode({"model": model, "words": {"b", "a", "c"}, "mixed": {1, "a", (2, "b"), frozenset({3})}})
    assert graph.to_json(once) == graph.to_json(codecs.encode(codecs.decode(once)))


def test_the_place_of_what_cannot_be_kept_is_named() -> None:
    with pytest.raises(UnsupportedError) as caught:
        codecs.encode({"models": [{"function": lambda x: x}]})
    assert caught.value.path == "models.0.function"
    assert "allow={'code'}" in str(caught.value)


def test_arrays_have_readable_names() -> None:
    forest = RandomForestClassifier(10, random_state=0).fit([[0.0], [1.0]] * 20, [0, 1] * 20)
    names = codecs.encode({"steps": [("forest", forest)]}).names
    assert "steps.forest.estimators_.tree_.nodes" in names


def nested_tuples(levels: int) -> list[Node]:
    return [Node("tuple"), *(Node("tuple", items=[Ref(level), Ref(level)]) for level in range(levels))]


def test_a_key_that_expands_without_end_is_refused_before_it_is_hashed() -> None:
    bomb = by_hand(*nested_tuples(60), Node("dict", keys=[Ref(60)], items=[1]))
    with pytest.raises(InvalidStateError, match="expands to more than"):
        codecs.decode(bomb)


def test_nested_tuples_that_are_not_hashed_are_welcome() -> None:
    codecs.decode(by_hand(*nested_tuples(60)))


def test_keys_that_collide_are_refused() -> None:
    modulus = 2**61 - 1
    keys = [Node("int", {"hex": f"{modulus * number + 1:x}"}) for number in range(8, 200)]
    refs = [Ref(number) for number in range(len(keys))]
    with pytest.raises(InvalidStateError, match="share one hash"):
        codecs.decode(by_hand(*keys, Node("dict", keys=refs, items=[None] * len(refs))))


HOSTILE = {
    "a tuple ahead of itself": ([Node("tuple", items=[Ref(0)])], "cannot be part of a cycle"),
    "a set with an equal pair": ([Node("set", items=[1, True])], "two elements of a set are equal"),
    "a dict with an equal pair": ([Node("dict", keys=[1, 1.0], items=[1, 2])], "two keys of a mapping are equal"),
    "a dict without keys": ([Node("dict", items=[1])], "as many keys"),
    "an unhashable key": ([Node("list"), Node("dict", keys=[Ref(0)], items=[1])], "unhashable"),
    "a list with a state": ([Node("list", {"x": 1})], "must have the fields"),
    "an int that is not one": ([Node("int", {"hex": "0xg"})], "hexadecimal"),
    "a float of three bytes": ([Node("float", {"hex": "000000"})], "16 hexadecimal"),
    "a range of nothing": ([Node("range", {"start": 0, "stop": 1, "step": 0})], "do not fit"),
    "bytes without an array": ([Node("bytes")], "one row of octets"),
    "a group of floats": (
        [Node("float", {"hex": None}, count=2, columns={"hex": ["0" * 16, "1" * 16]})],
        "do not stand in groups",
    ),
    "a group of lists with odd places": (
        [Node("list", {"1": None}, count=2, columns={"1": [1, 2]})],
        "are its places",
    ),
    "a group of functions": (
        [Node("function", {"name": None}, count=2, columns={"name": ["os.system", "os.system"]})],
        "do not stand in groups",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_nodes_are_refused(name: str) -> None:
    nodes, words = HOSTILE[name]
    with pytest.raises(InvalidStateError, match=words):
        codecs.decode(by_hand(*nodes))
