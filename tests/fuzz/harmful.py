"""Deliberate harm: changes of the fields that compiled code follows, each of which must be refused.

`NATIVE` is the table of those fields, for each class that has any; a line is a field and what harms it:

==========  ==========================================================================================
``place N`` numbers that say where something is among N: the first below, at, and far past the end
``child``   places of children in a tree: of itself, of the root, of one node twice, past the end
``length``  an array with one row or column less, one more, or none
``kind``    an array of another kind or width of number
``count``   a number of things: negative, one less, one more, and more than there is memory for
``order``   numbers in ascending order: NaN, infinity, descending
``gone``    left out
==========  ==========================================================================================

A field is the end of an array's name in the graph (``tree_.nodes/feature`` for a field of records), or a class and an
attribute (``Tree.n_features``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import array_changes
import cases
import mutations
import numpy as np
import rig
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KDTree, KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import LabelBinarizer, MultiLabelBinarizer, OneHotEncoder, SplineTransformer
from sklearn.svm import SVC, SVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from keepfit.artifact import read, to_bytes
from keepfit.codecs import decode, encode
from keepfit.errors import KeepfitError
from keepfit.graph import Graph, Node

__all__ = ["NATIVE", "Score", "harmed", "scores"]

X = np.random.RandomState(0).normal(size=(60, 4))
_y = np.arange(60) % 3
_codes = np.c_[_y, np.arange(60) % 4]

_TREE = """
    tree_.nodes/left_child   child
    tree_.nodes/right_child  child
    tree_.nodes/feature      place 4
    tree_.nodes              length kind
    tree_.values             length kind
    tree_.n_classes          length kind count
    Tree.n_features          count gone
    Tree.n_outputs           count gone
    Tree.max_depth           count gone
    Tree.nodes               gone
    Tree.values              gone
    {0}.n_features_in_       count gone
"""
_SVM = """
    support_vectors_      length kind
    support_              length kind place 60
    _n_support            length kind count
    _intercept_           length kind
    _probA                length kind
    {0}.n_features_in_    count gone
    {0}._gamma            gone
    {0}._sparse           gone
"""
_NEIGHBORS = """
    idx_array          place 60 length kind
    node_bounds        length kind
    {0}.leaf_size      count gone
    {0}.dist_metric    gone
"""
_COMPRESSED = """
    indices  place 4 length kind
    indptr   place 9999 length kind
    data     length
    {0}.shape  gone
"""
#: Class -> (a fitted one, its native fields).
NATIVE: dict[str, tuple[Callable[[], Any], str]] = {
    "DecisionTreeClassifier": (lambda: DecisionTreeClassifier(random_state=0).fit(X, _y), _TREE),
    "RandomForestClassifier": (
        lambda: RandomForestClassifier(3, random_state=0).fit(X, _y),
        _TREE.replace("{0}.n_features_in_", "RandomForestClassifier.n_features_in_"),
    ),
    "GradientBoostingClassifier": (
        lambda: GradientBoostingClassifier(n_estimators=2, random_state=0).fit(X, _y),
        _TREE + "{0}.n_trees_per_iteration_ count gone\n{0}._loss gone\n{0}.init_ gone\n{0}.classes_ gone",
    ),
    "HistGradientBoostingClassifier": (
        lambda: HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2, categorical_features=[1]).fit(
            np.c_[X[:, :1], _y, X[:, 2:]], np.arange(60) % 2
        ),
        """
        nodes/left                child
        nodes/right               child
        nodes/feature_idx         place 4
        nodes/bitset_idx          place 9999
        nodes                     length kind
        raw_left_cat_bitsets      length kind
        _baseline_prediction      length kind
        {0}.n_features_in_        count gone
        {0}.n_trees_per_iteration_ count gone
        {0}._bin_mapper           gone
        """,
    ),
    "SVC": (lambda: SVC().fit(X, _y), _SVM),
    "SVR": (lambda: SVR().fit(X, X[:, 0]), _SVM),
    "OneClassSVM": (lambda: OneClassSVM().fit(X), _SVM),
    "SVC on sparse data": (
        lambda: SVC().fit(sp.csr_matrix(X), _y),
        _SVM.replace("{0}", "SVC").replace("    support_vectors_      length kind\n", "")
        + "support_vectors_.indices place 4 length kind\nsupport_vectors_.indptr place 9999 length kind\n"
        + "support_vectors_.data length kind\ndual_coef_.data length kind",
    ),
    "KDTree": (lambda: KDTree(X, leaf_size=5), _NEIGHBORS),
    "KNeighborsClassifier": (
        lambda: KNeighborsClassifier(algorithm="ball_tree", leaf_size=5).fit(X, _y),
        _NEIGHBORS.replace("{0}", "BallTree") + "_y place 3 length\n{0}.classes_ gone",
    ),
    "KNeighborsClassifier by brute force": (
        lambda: KNeighborsClassifier(algorithm="brute").fit(X, _y),
        "_fit_X length\n_y place 3 length\nKNeighborsClassifier.n_features_in_ count gone",
    ),
    "KMeans": (
        lambda: KMeans(3, n_init=1).fit(X),
        "cluster_centers_ length kind\n{0}.n_features_in_ count gone\n{0}._n_features_out count",
    ),
    "OneHotEncoder": (
        lambda: OneHotEncoder(min_frequency=2, drop="first").fit(_codes),
        "categories_.0 length\n{0}.n_features_in_ count gone\n{0}._infrequent_enabled gone\n{0}._n_features_outs gone",
    ),
    "MultiLabelBinarizer": (lambda: MultiLabelBinarizer().fit([[1, 2], [3]]), "{0}.classes_ gone"),
    "LabelBinarizer": (lambda: LabelBinarizer().fit(_y), "{0}.classes_ gone"),
    "CountVectorizer": (lambda: CountVectorizer().fit(["one two", "two three"]), "dict place 3\n{0}.vocabulary_ gone"),
    "csr_matrix": (lambda: sp.csr_matrix(X), _COMPRESSED),
    "csc_array": (lambda: sp.csc_array(X), _COMPRESSED.replace("place 4", "place 60")),
    "coo_matrix": (
        lambda: sp.coo_matrix(X),
        "coords.0 place 60 length kind\ncoords.1 place 4 length kind\ndata length",
    ),
    "IsotonicRegression": (
        lambda: IsotonicRegression().fit(X[:, 0], X[:, 1]),
        "f_.x length order\nf_.y length",
    ),
    "SplineTransformer": (
        lambda: SplineTransformer().fit(X),
        """
        bsplines_.0.t        length kind order
        bsplines_.0.c        length kind
        BSpline.k            count gone
        {0}.n_features_in_   count gone
        """,
    ),
    "RandomState": (lambda: np.random.RandomState(0), "key length kind\nMT19937.pos count gone"),
    "MLPClassifier": (
        lambda: MLPClassifier((5, 4), max_iter=2, random_state=0).fit(X, _y),
        "coefs_.0 length\ncoefs_.2 length\nintercepts_.1 length\n{0}.n_layers_ count gone",
    ),
    "SGDClassifier": (
        lambda: SGDClassifier().fit(X, _y),
        "coef_ length kind\nintercept_ length kind\n{0}.n_features_in_ count",
    ),
}


def harmed(label: str) -> Iterator[tuple[str, Graph]]:
    """Every change of a class's native fields that would do harm, with what it is."""
    make, rules = NATIVE[label]
    graph, _ = read(to_bytes(encode(make()), {}))
    for line in filter(None, map(str.strip, rules.replace("{0}", label).splitlines())):
        field, *kinds = line.split()
        for kind, stop in zip(kinds, [*kinds[1:], ""], strict=True):
            if not kind.isdigit():
                for what, changed in _changes(graph, field, kind, int(stop) if stop.isdigit() else 0):
                    yield f"{field}: {what}", changed


def _changes(graph: Graph, field: str, kind: str, stop: int) -> Iterator[tuple[str, Graph]]:
    name, _, record = field.partition("/")
    numbers = [number for number, known in enumerate(graph.names) if f".{known}".endswith(f".{name}")]
    if not numbers:
        yield from _of_state(graph, field, kind, stop)
    elif kind == "gone":
        raise ValueError(f"{field}: what holds the array is left out instead")
    else:
        yield from _of_array(graph, numbers[0], record, kind, stop)


def _of_array(graph: Graph, number: int, record: str, kind: str, stop: int) -> Iterator[tuple[str, Graph]]:
    original = graph.arrays[number]
    if kind == "length":
        news = {f"axis {axis}: {what}": new for axis in range(original.ndim) for what, new in _lengths(original, axis)}
    elif kind == "kind":
        news = {
            str(dtype): original.astype(dtype)
            for dtype in ("f4", "f8", "i2", "i8", "u1", "?")
            if dtype != original.dtype
        }
    else:
        fields = original.reshape(-1).view(array_changes.RECORDS[original.shape[-1]])[record] if record else original
        news = {}
        for what, values in _values(fields.reshape(-1), kind, stop):
            news[what] = original.copy()
            target = news[what].reshape(-1)
            (target.view(array_changes.RECORDS[original.shape[-1]])[record] if record else target)[:] = values
    for what, new in news.items():
        copy = mutations.copied(graph)
        copy.arrays[number] = np.ascontiguousarray(new).reshape(new.shape)
        yield what, copy


def _lengths(array: Any, axis: int) -> Iterator[tuple[str, Any]]:
    length = array.shape[axis]
    yield "one more", array.take([*range(length), length - 1], axis) if length else np.zeros((1,), array.dtype)
    if length:
        yield "one less", array.take(range(length - 1), axis)
    if length > 1:
        yield "none", array.take([], axis)


def _values(values: Any, kind: str, stop: int) -> Iterator[tuple[str, Any]]:
    """Other numbers for an array: in the first place that is in use, the last one, and all of them."""
    bad: tuple[Any, ...] = (np.nan, np.inf, -np.inf)
    used = np.arange(len(values))
    if kind == "order":
        yield "descending", values[::-1]
    else:
        limits = np.iinfo(values.dtype)
        known = (0, -2, len(values), limits.max) if kind == "child" else (-1, stop, limits.max, limits.min or -1)
        bad = tuple(number for number in known if limits.min <= number <= limits.max)
        used = np.flatnonzero(values > 0) if (values > 0).any() else used
    for number in bad:
        for what, place in (("first", used[:1]), ("last", used[-1:]), ("all", used)):
            new = values.copy()
            new[place] = number
            yield f"{what} of {len(values)} is {number}", new
    if kind == "child" and len(used) > 1:
        new = values.copy()
        new[used[1]] = new[used[0]]
        yield "one twice", new


_COUNTS = (-1, -(2**31), 2**24 + 1, 2**31, 2**40, 2**62, "3", None, 0.5)


def _of_state(graph: Graph, field: str, kind: str, stop: int) -> Iterator[tuple[str, Graph]]:
    """Changes of a value in a node's state (in the first column of a group), or of the items of a dict."""
    type_name, _, attribute = field.partition(".")
    number = max(n for n, node in enumerate(graph.nodes) if node.type.rpartition(".")[2] == type_name)
    key: Any = attribute or 0

    def changed(new: Any) -> Graph:
        copy = mutations.copied(graph)
        values = _where(copy.nodes[number], attribute)
        if new is _GONE:
            del copy.nodes[number].state[attribute]
            copy.nodes[number].columns.pop(attribute, None)
        else:
            values[0 if values is not copy.nodes[number].state else key] = new
        return copy

    values = _where(graph.nodes[number], attribute)
    old = values[0 if values is not graph.nodes[number].state else key]
    if kind == "gone":
        yield "gone", changed(_GONE)
    elif kind == "place":
        yield from ((f"is {new}", changed(new)) for new in (-1, stop, 2**31 - 1, 2**31, -(2**31), 2**63 - 1))
    else:
        near = (old - 1, old + 1) if type(old) is int else ()
        yield from ((f"{old} is {new!r}", changed(new)) for new in (*near, *_COUNTS) if new != old)


_GONE = object()


def _where(node: Node, attribute: str) -> Any:
    """What holds a value: the items, a column or the state of a node."""
    if not attribute:
        return node.items
    return node.columns.get(attribute, node.state)


@dataclass
class Score:
    """What came of the changes of a class: how many were refused; of the others, what harm each does ("" if none)."""

    label: str
    changes: int = 0
    refused: int = 0
    accepted: dict[str, str] = field(default_factory=dict)

    @property
    def harm(self) -> dict[str, str]:
        """The changes that were accepted and do harm."""
        return {what: harm for what, harm in self.accepted.items() if harm}


def scores() -> Iterator[Score]:
    """How many of the changes of each class are refused; those that are not are tried, each in a child of its own."""
    cases.prepare((to_bytes(encode(make()), {}), X, None) for make, _ in NATIVE.values())
    for label in NATIVE:
        found = Score(label)
        for what, graph in harmed(label):
            found.changes += 1
            try:
                decode(graph)
            except KeepfitError:
                found.refused += 1
            else:
                harm = rig.harm_of(to_bytes(graph, {}), X, None)
                found.accepted[what] = ": ".join(harm) if harm else ""
        yield found
