"""Large contents that stand once in a file and are named by many objects, of which each would take a copy."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.interpolate import interp1d
from sklearn.metrics import DistanceMetric

from keepfit import codecs
from keepfit.errors import InvalidStateError
from keepfit.graph import Graph, Node, Ref, first_objects

LENGTH = 20_000
NUMBERS = np.arange(LENGTH, dtype=float)
WORDS = {f"word {number}": number for number in range(LENGTH)}

COPYING = {
    "dict": WORDS,
    "step function": interp1d(NUMBERS, NUMBERS, kind="nearest", copy=False),
    "metric": DistanceMetric.get_metric("minkowski", p=3, w=NUMBERS),
    "distribution": stats.genpareto(NUMBERS),
    "categories": pd.CategoricalDtype(NUMBERS),
    "intervals": pd.arrays.IntervalArray.from_breaks(NUMBERS),
    "dates": pd.date_range("2000", periods=LENGTH, freq="s"),
    "several levels": pd.MultiIndex.from_arrays([np.arange(LENGTH) % 7, NUMBERS]),
    "sparse column": pd.arrays.SparseArray(NUMBERS % 2),
    "wide frame": pd.DataFrame(np.zeros((1, LENGTH))),
    "attributes of a frame": pd.Series([1.0], name="a").pipe(lambda series: series.attrs.update(WORDS) or series),
}


def named_by_many(obj: Any, times: int) -> Graph:
    """The graph of a list of as many such objects, whose arrays and whatever else is long stand in it once."""
    one = codecs.encode(obj)
    last = len(one.nodes) - 1
    nodes, place, index_of = list(one.nodes), first_objects([*one.nodes, Node("")])[-1], {}
    again = [
        (first, node)
        for first, node in zip(first_objects(one.nodes), one.nodes, strict=True)
        if node is one.nodes[last] or (node.array is None and node.count == 1 and "dict" not in node.type)
    ]
    roots = [one.roots["object"]]
    for _ in range(times - 1):
        for first, node in again:
            state, items = (
                {name: Ref(index_of.get(v.index, v.index)) if type(v) is Ref else v for name, v in values.items()}
                for values in (node.state, dict(enumerate(node.items)))
            )
            nodes.append(Node(node.type, state, list(items.values()), node.keys))
            index_of[first] = place
            place += 1
        roots.append(Ref(place - 1))
    nodes.append(Node("list", items=roots))
    return Graph({"object": Ref(place)}, nodes, one.arrays, one.names, one.versions)


@pytest.mark.parametrize("name", COPYING)
def test_what_many_objects_would_take_a_copy_of_is_refused(name: str) -> None:
    assert len(codecs.decode(named_by_many(COPYING[name], 3 if "dict" not in name and "attr" not in name else 1)))
    with pytest.raises(InvalidStateError, match=r"cop(y|ies)|distributions"):
        codecs.decode(named_by_many(COPYING[name], 2000))


def test_keywords_of_many_partials_are_copied_once() -> None:
    graph = named_by_many(partial(np.sum, **{f"word {number}": number for number in range(100)}), 2000)
    built = codecs.decode(graph)
    assert len({id(one.keywords) for one in built}) == 1
    assert built[0] is not built[1]


def test_a_range_is_no_bound_of_intervals() -> None:
    nodes = [
        Node("pandas.RangeIndex", {"start": 0, "stop": 10**9, "step": 1, "name": None}),
        Node("pandas.arrays.IntervalArray", {"left": Ref(0), "right": Ref(0), "closed": "right"}),
    ]
    start = time.process_time()
    with pytest.raises(InvalidStateError, match="bounds of intervals"):
        codecs.decode(Graph({"object": Ref(1)}, nodes, [], [], codecs.encode(COPYING["intervals"]).versions))
    assert time.process_time() - start < 1
