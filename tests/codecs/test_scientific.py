"""Sparse arrays, splines and distributions come back exactly; crafted ones never reach compiled code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from exactness import assert_kept, round_trip, same
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.interpolate import BSpline, interp1d

from keepfit import codecs
from keepfit.errors import InvalidStateError, KeepfitError, UnsupportedError
from keepfit.graph import Graph, Node, Ref

FORMATS = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]
DENSE = np.array([[0, 1.5, 0, -0.0], [np.nan, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 4]])


def _sparse(kind: str, family: str = "array", dense: Any = DENSE, **options: Any) -> Any:
    return getattr(sp, f"{kind}_{family}")(dense, **options)


@pytest.mark.parametrize("family", ["array", "matrix"])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f4", "f8", "g", "c8", "c16"])
def test_a_sparse_array_comes_back_exactly(kind: str, family: str, dtype: str) -> None:
    dense = np.nan_to_num(DENSE).astype(dtype)
    built = assert_kept(_sparse(kind, family, dense))
    assert np.array_equal(built.toarray(), dense)


@pytest.mark.parametrize("family", ["array", "matrix"])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (2, 5)])
def test_an_empty_sparse_array_comes_back_exactly(kind: str, family: str, shape: tuple[int, int]) -> None:
    assert_kept(getattr(sp, f"{kind}_{family}")(shape))


@pytest.mark.parametrize("kind", ["bsr", "csc", "csr"])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_disorder_duplicates_explicit_zeros_and_index_dtype_are_kept(kind: str, index: type) -> None:
    made = _sparse(kind, dense=np.eye(3))
    made.indptr = np.array([0, 4, 4, 5], index)
    made.indices = np.array([2, 0, 0, 1, 1], index)
    made.data = np.array([1.0, 0.0, -0.0, np.nan, 5.0]).reshape(-1, *made.data.shape[1:])
    built = assert_kept(made)
    assert built.indices.dtype == index
    assert not built.has_canonical_format
    assert built.nnz == 5


def test_room_beyond_the_last_entry_is_kept() -> None:
    made = sp.csr_array(np.eye(3))
    made.data, made.indices = np.zeros(10), np.zeros(10, made.indices.dtype)
    assert len(assert_kept(made).data) == 10


def test_what_scipy_remembers_of_an_array_is_found_again_and_not_believed() -> None:
    made = sp.csr_array(np.array([[1.0, 2.0]]))
    made.indices[:] = made.indices[::-1].copy()
    made.has_sorted_indices = True  # a lie
    built = round_trip(made)
    assert not built.has_sorted_indices


def test_blocks_keep_their_size() -> None:
    built = assert_kept(sp.bsr_array(np.arange(24.0).reshape(4, 6), blocksize=(2, 3)))
    assert built.blocksize == (2, 3)


@pytest.mark.skipif(not hasattr(sp.coo_array((1, 1)), "coords"), reason="SciPy before 1.13 has two dimensions only")
def test_sparse_arrays_of_other_dimensions_come_back() -> None:
    cube = np.zeros((2, 3, 4))
    cube[1, 2, 3] = 5
    values = [sp.coo_array(np.array([0, 1.5, 2])), sp.dok_array(np.array([0, 1.5]))]
    for dense, kind in [(cube, sp.coo_array), (np.array([0, 1.5, 2]), sp.csr_array)]:
        try:
            values.append(kind(dense))
        except (TypeError, ValueError):  # later releases of SciPy
            continue
    for value in values:
        assert_kept(value)


def test_coordinates_keep_their_order_and_whether_they_are_unique() -> None:
    made = sp.coo_array((np.array([1.0, 2.0, 3.0]), (np.array([2, 0, 2]), np.array([1, 1, 1]))), shape=(3, 2))
    assert not assert_kept(made).has_canonical_format
    made.sum_duplicates()
    assert assert_kept(made).has_canonical_format


def test_entries_of_a_dictionary_of_keys_keep_their_order_types_and_zeros() -> None:
    made = sp.dok_array((5, 5), dtype=np.float32)
    made[3, 1] = 2
    made[0, 0] = 1
    made.setdefault((np.int64(2), 2), np.float32(0))
    built = assert_kept(made)
    assert list(built.items()) == list(made.items())


def test_rows_of_lists_keep_the_types_of_their_values() -> None:
    made = sp.csr_array(DENSE).tolil()
    made[2, 1] = 7
    assert_kept(made)


def test_a_matrix_that_shares_its_arrays_with_another_goes_on_sharing() -> None:
    first = sp.csr_matrix(np.nan_to_num(DENSE))
    second = sp.csr_matrix((first.data * 2, first.indices, first.indptr), shape=first.shape, copy=False)
    built_first, built_second = round_trip([first, second])
    assert built_first.indptr is built_second.indptr
    assert np.array_equal(built_second.toarray(), second.toarray())


def test_fortran_order_of_blocks_and_diagonals_is_kept() -> None:
    made = sp.dia_array(np.nan_to_num(DENSE))
    made.data = np.asfortranarray(made.data)
    assert assert_kept(made).data.flags.f_contiguous


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(0, 6), st.integers(0, 6), st.randoms(use_true_random=False))
def test_any_small_sparse_array_comes_back_exactly(kind: str, rows: int, columns: int, random: Any) -> None:
    dense = np.array([[random.choice([0, 0, 1, -2.5]) for _ in range(columns)] for _ in range(rows)])
    assert_kept(_sparse(kind, dense=dense.reshape(rows, columns)))


def _damaged_pointer() -> Any:
    made = sp.csr_array(np.eye(3))
    made.indptr[1] = 100
    return made


def _mixed_indices() -> Any:
    made = sp.csr_array(np.eye(3))
    made.indptr = made.indptr.astype(np.int64)
    made.indices = made.indices.astype(np.int32)
    return made


def _stamped() -> Any:
    made = sp.csr_array(np.eye(3))
    made.note = "mine"
    return made


def _objects() -> Any:
    made = sp.csr_array(np.eye(3))
    made.data = made.data.astype(object)
    return made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_damaged_pointer, "damaged"),
        (_mixed_indices, "dtype"),
        (_stamped, "'note'"),
        (_objects, "numbers, not object"),
        (lambda: stats.rv_histogram(np.histogram([1, 2, 3]))(), "SciPy's own"),
        (lambda: stats.norm(loc=[1, 2]), "numbers and arrays"),
        (lambda: interp1d([1, 2, 3, 4], [1, 2, 3, 4], kind="cubic"), "make_interp_spline"),
        (lambda: BSpline(np.arange(300.0), np.ones(198), 101), "degree"),
    ],
)
def test_what_cannot_be_kept_exactly_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        codecs.encode(make())


def _state(**fields: Any) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        graph.nodes[-1].state.update(fields)

    return edit


def _shape(*shape: Any) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        place = graph.nodes[-1].state["shape"].index
        graph.nodes[place] = Node("tuple", items=list(shape))

    return edit


def _array(name: str, change: Callable[[Any], Any]) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        for place, known in enumerate(graph.names):
            if known == name:
                graph.arrays[place] = np.ascontiguousarray(change(graph.arrays[place].copy()))

    return edit


def _one(place: int, value: int) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[place] = value
        return array

    return change


def _kind(name: str) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        graph.nodes[-1].type = f"scipy.sparse.{name}"

    return edit


def _items(*items: Any) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        graph.nodes[-1].items = list(items)

    return edit


def _duplicate_key(graph: Graph) -> None:
    graph.nodes[-1].keys[1] = graph.nodes[-1].keys[0]


def _key_outside(graph: Graph) -> None:
    place = graph.nodes[-1].keys[0].index
    graph.nodes[place] = Node("tuple", items=[0, 99])


HOSTILE = [
    ("index past the columns", "csr", _array("indices", _one(0, 4)), "out of range"),
    ("index before the columns", "csr", _array("indices", _one(0, -1)), "out of range"),
    ("index far away", "csc", _array("indices", _one(0, 2**30)), "out of range"),
    ("pointer starts late", "csr", _array("indptr", _one(0, 1)), "climb"),
    ("pointer falls", "csr", _array("indptr", _one(1, 3)), "climb"),
    ("pointer past the entries", "csc", _array("indptr", _one(-1, 1000)), "climb"),
    ("pointer negative", "csr", _array("indptr", _one(1, -5)), "climb"),
    ("pointer too short", "csr", _array("indptr", lambda a: a[:-1]), "one place more"),
    ("pointer too long", "csr", _array("indptr", lambda a: np.r_[a, a[-1:]]), "one place more"),
    ("pointer of other words", "csr", _array("indptr", lambda a: a.astype(np.int64)), "one place more"),
    ("indices unsigned", "csr", _array("indices", lambda a: a.astype(np.uint32)), "32- or 64-bit"),
    ("indices of bytes", "csr", _array("indices", lambda a: a.astype(np.int8)), "32- or 64-bit"),
    ("indices of two dimensions", "csr", _array("indices", lambda a: a[None]), "32- or 64-bit"),
    ("fewer entries than indices", "csr", _array("data", lambda a: a[:-1]), "one for each entry"),
    ("data of two dimensions", "csr", _array("data", lambda a: a[None]), "dimensions"),
    ("more rows than pointers", "csr", _shape(400, 4), "one place more"),
    ("fewer columns than indices", "csr", _shape(4, 2), "out of range"),
    ("more columns than can be counted", "csr", _shape(4, 2**40), "larger than"),
    ("negative shape", "csr", _shape(-4, -4), "shape"),
    ("shape of huge numbers", "csr", _shape(2**62, 2), "shape"),
    ("shape of words", "csr", _shape("4", 4), "shape"),
    ("shape of three", "csr", _shape(4, 4, 4), "dimensions"),
    ("rows named blocks", "csr", _kind("bsr_array"), "dimensions"),
    ("rows named diagonals", "csr", _kind("dia_array"), "has the fields"),
    ("more fields", "csr", _state(has_sorted_indices=True), "has the fields"),
    ("data missing", "csr", _state(data=None), "dimensions"),
    ("many entries printed", "csr", _state(maxprint=-1), "maxprint"),
    ("blocks that do not fit", "bsr", _shape(5, 4), "do not fill"),
    ("blocks of nothing", "bsr", _array("data", lambda a: a[:, :0]), "do not fill"),
    ("block past the columns", "bsr", _array("indices", _one(0, 9)), "out of range"),
    ("row past the shape", "coo", _array("coords.0", _one(0, 4)), "out of range"),
    ("row before the shape", "coo", _array("coords.0", _one(0, -1)), "out of range"),
    ("fewer rows than entries", "coo", _array("coords.0", lambda a: a[:-1]), "one for each entry"),
    ("rows and columns unlike", "coo", _array("coords.0", lambda a: a.astype(np.int64)), "one dtype"),
    ("a third shape", "coo", _shape(4, 4, 4), "coordinates|dimensions"),
    ("unique in word only", "coo", _array("coords.0", lambda a: a * 0), "no duplicates"),
    ("diagonals far out", "dia", _array("offsets", _one(0, 2**31 - 1)), "beyond"),
    ("diagonals far down", "dia", _array("offsets", _one(0, -(2**31))), "beyond"),
    ("two equal diagonals", "dia", _array("offsets", lambda a: a * 0), "equal"),
    ("fewer diagonals than offsets", "dia", _array("data", lambda a: a[:-1]), "one offset"),
    ("a key outside", "dok", _key_outside, "out of range"),
    ("a key twice", "dok", _duplicate_key, "equal"),
    ("a value of words", "dok", _items(*["a"] * 6), "numbers"),
    ("rows too few", "lil", _items(0), "rows has 1"),
    ("a row longer than all", "lil", _items(2**40, 1, 1.0), "as long as it says"),
    ("a row of negative length", "lil", _items(-1, 0, 0, 0), "as long as it says"),
    ("a column past the row", "lil", _items(1, 4, 1.0, 0, 0, 0), "out of range"),
    ("a column of words", "lil", _items(1, "0", 1.0, 0, 0, 0), "out of range"),
    ("columns in disorder", "lil", _items(2, 1, 0, 1.0, 2.0, 0, 0, 0), "not in order"),
    ("a row of words", "lil", _items(1, 0, "a", 0, 0, 0), "numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "edit", "words"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_crafted_sparse_array_is_refused(kind: str, edit: Callable[[Graph], None], words: str) -> None:
    dense = np.nan_to_num(DENSE)
    graph = codecs.encode(_sparse(kind, dense=dense, **({"blocksize": (2, 2)} if kind == "bsr" else {})))
    edit(graph)
    with pytest.raises(InvalidStateError, match=words):
        codecs.decode(graph)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("is_other", [False, True])
def test_entries_are_not_places_of_entries_which_scaling_would_move(kind: str, is_other: bool) -> None:
    first, second = (sp.coo_array(np.arange(1, 5, dtype=np.int32).reshape(2, 2)).asformat(kind) for _ in range(2))
    graph = codecs.encode([first, second])
    nodes = [node for node in graph.nodes if kind in node.type]
    place = nodes[not is_other].state["coords" if kind == "coo" else "indices"]
    nodes[1].state["data"] = graph.node_of(place).items[1] if kind == "coo" else place
    with pytest.raises(InvalidStateError, match="places of entries as well"):
        codecs.decode(graph)
    giver = first if is_other else second
    second.data = giver.coords[1] if kind == "coo" else giver.indices
    with pytest.raises(UnsupportedError, match="places of entries as well"):
        codecs.encode([first, second])


def test_rows_named_columns_are_refused_where_they_do_not_fit() -> None:
    graph = codecs.encode(sp.csr_array(np.ones((2, 5))))
    graph.nodes[-1].type = "scipy.sparse.csc_array"
    with pytest.raises(InvalidStateError):
        codecs.decode(graph)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["bsr", "coo", "csc", "csr", "dia"]), st.data())
def test_any_damage_to_indices_is_refused_or_harmless(kind: str, data: Any) -> None:
    """What gets through is used as models use it: a crash here would take the test run with it."""
    graph = codecs.encode(_sparse(kind, dense=np.nan_to_num(DENSE)))
    whole = [place for place, array in enumerate(graph.arrays) if array.dtype.kind == "i"]
    for place in data.draw(st.lists(st.sampled_from(whole), min_size=1, max_size=3)):
        array = graph.arrays[place].copy()
        array[data.draw(st.integers(0, len(array) - 1))] = data.draw(st.integers(-6, 9))
        graph.arrays[place] = array
    try:
        built = codecs.decode(graph)
    except KeepfitError:
        return
    for use in (
        lambda: built @ np.ones(4),
        lambda: built.T @ np.ones(4),
        built.toarray,
        lambda: (built @ built).tocsr(),
    ):
        with contextlib.suppress(ValueError):  # some releases of SciPy cannot multiply by no diagonals at all
            use()


def test_one_large_array_named_by_many_matrices_is_checked_once() -> None:
    made = sp.csr_array(np.eye(2000))
    graph = codecs.encode(made)
    root = graph.nodes[-1]
    graph.nodes += [Node(root.type, dict(root.state)) for _ in range(5000)]
    graph.nodes.append(Node("list", items=[Ref(len(graph.nodes) - 1 - n) for n in range(5000)]))
    graph.roots["object"] = Ref(len(graph.nodes) - 1)
    built = codecs.decode(graph)
    assert all(one.indices is built[0].indices for one in built)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("extrapolate", [True, False, "periodic"])
def test_a_spline_comes_back_exactly(axis: int, extrapolate: Any) -> None:
    coefficients = np.arange(12.0).reshape((6, 2) if axis == 0 else (2, 6))
    made = BSpline(np.arange(10.0), coefficients, 3, extrapolate=extrapolate, axis=axis)
    built = assert_kept(made)
    where = np.linspace(-1, 10, 50)
    assert np.array_equal(made(where), built(where), equal_nan=True)


@pytest.mark.parametrize("kind", ["linear", "nearest", "nearest-up", "previous", "next"])
@pytest.mark.parametrize("fill_value", ["extrapolate", np.nan, (0.0, 1.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_interpolation_comes_back_with_the_same_values(kind: str, fill_value: Any, dtype: type) -> None:
    x = np.array([0, 1, 3, 4], dtype)
    made = interp1d(x, x**2, kind=kind, fill_value=fill_value, bounds_error=False)
    built = round_trip(made)
    where = np.linspace(-1, 5, 40, dtype=dtype)
    same(made(where), built(where))
    for name in ("bounds_error", "copy", "axis", "x", "y"):
        same(getattr(made, name), getattr(built, name))


@pytest.mark.parametrize(
    "frozen",
    [
        stats.uniform(0, 4), stats.loguniform(1e-4, 1e2), stats.randint(1, 10), stats.norm(loc=np.float64(1), scale=2),
        stats.expon(scale=100), stats.norm(np.array([0.0, 1.0])), stats.bernoulli(0.25), stats.truncnorm(a=-1, b=1),
        stats.reciprocal(1, 2), stats.poisson(3), stats.gamma(2.0),
    ],
    ids=lambda frozen: frozen.dist.name,
)  # fmt: skip
def test_a_frozen_distribution_comes_back_and_draws_the_same(frozen: Any) -> None:
    built = round_trip(frozen)
    assert type(built) is type(frozen)
    assert type(built.dist) is type(frozen.dist)
    same((frozen.args, frozen.kwds, frozen.a, frozen.b), (built.args, built.kwds, built.a, built.b))
    same(frozen.rvs((20, 2), random_state=3), built.rvs((20, 2), random_state=3))


def test_a_frozen_distribution_keeps_a_random_state_of_its_own_and_shares_it() -> None:
    first, second = stats.norm(), stats.uniform(1, 2)
    first.random_state = second.random_state = np.random.RandomState(4)
    built_first, built_second = round_trip([first, second])
    assert built_first.random_state is built_second.random_state
    assert first.rvs() == built_first.rvs()


def _distribution(**fields: Any) -> Node:
    return Node("scipy.stats.rv_continuous_frozen", {**_NORMAL, **fields})


_NORMAL = {"name": "norm", "args": Ref(0), "kwds": Ref(1), "random_state": None}
CRAFTED = [
    ("a distribution that is a module", _distribution(name="distributions"), "no distribution"),
    ("a distribution that is a function", _distribution(name="ttest_ind"), "no distribution"),
    ("a distribution that is a class", _distribution(name="rv_histogram"), "no distribution"),
    ("a discrete one named continuous", _distribution(name="randint", args=Ref(2)), "does not make"),
    ("arguments of words", _distribution(args=Ref(3)), "numbers and arrays"),
    ("too many arguments", _distribution(args=Ref(4)), "do not fit"),
    ("a random state of words", _distribution(random_state="abc"), "random_state"),
    ("arguments that are no tuple", _distribution(args=1), "'args'"),
]


@pytest.mark.parametrize(("node", "words"), [case[1:] for case in CRAFTED], ids=[case[0] for case in CRAFTED])
def test_a_crafted_distribution_is_refused(node: Node, words: str) -> None:
    tuples = [Node("tuple", items=items) for items in ([1, 2], ["a", "b"], [1, 2, 3, 4, 5])]
    nodes = [Node("tuple"), Node("dict"), *tuples, node]
    with pytest.raises(InvalidStateError, match=words):
        codecs.decode(Graph({"object": Ref(5)}, nodes, [], [], {}))


def test_arguments_that_would_broadcast_to_a_giant_are_refused() -> None:
    graph = codecs.encode(stats.norm(np.zeros((1, 1)), np.ones((1, 1))))
    graph.arrays[:] = [np.zeros((10**5, 1)), np.ones((1, 10**5))]
    with pytest.raises(InvalidStateError, match="make up more than"):
        codecs.decode(graph)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"k": -1}, "degree"),
        ({"k": 10**6}, "degree"),
        ({"k": 90}, "enough for its degree"),
        ({"extrapolate": "always"}, "periodic"),
        ({"axis": 7}, "knots"),
        ({"t": 1}, "'t'"),
    ],
)
def test_a_crafted_spline_is_refused(fields: dict[str, Any], words: str) -> None:
    graph = codecs.encode(BSpline(np.arange(10.0), np.arange(6.0), 3))
    graph.nodes[-1].state.update(fields)
    with pytest.raises(InvalidStateError, match=words):
        codecs.decode(graph)


@pytest.mark.parametrize(
    ("place", "contents"),
    [
        (0, np.arange(9.0)[::-1]),
        (0, np.full(10, np.nan)),
        (0, np.r_[np.zeros(9), np.inf]),
        (0, np.r_[np.zeros(9), -1.0]),
        (0, np.zeros((10, 1))),
        (1, np.ones(2)),
    ],
)
def test_a_spline_of_crafted_arrays_is_refused(place: int, contents: Any) -> None:
    graph = codecs.encode(BSpline(np.arange(10.0), np.arange(6.0), 3))
    graph.arrays[place] = np.ascontiguousarray(contents)
    with pytest.raises(InvalidStateError):
        codecs.decode(graph)


def test_an_interpolation_of_crafted_arrays_is_refused() -> None:
    for change in ({"kind": "cubic"}, {"axis": 3}, {"fill_value": "more"}, {"x": 3}):
        graph = codecs.encode(interp1d([1.0, 2, 3], [1.0, 2, 3]))
        graph.nodes[-1].state.update(change)
        with pytest.raises(InvalidStateError):
            codecs.decode(graph)
    graph = codecs.encode(interp1d([1.0, 2, 3], [1.0, 2, 3]))
    graph.arrays[0] = np.arange(7.0)
    with pytest.raises(InvalidStateError, match="do not fit"):
        codecs.decode(graph)
