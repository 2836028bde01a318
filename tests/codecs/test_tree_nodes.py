"""Nodes of trees: the compiled check, the one by NumPy and a plain walk agree, on real trees and on changed ones."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from spoiling import fitted

from keepfit.codecs import tree_nodes
from keepfit.codecs.sklearn_seam import predictor_record_dtype, tree_node_dtype
from keepfit.codecs.tree_nodes import NodeFields, check_nodes, joined
from keepfit.errors import InvalidStateError

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "keepfit" / "codecs" / "_tree_kernel.c"
COMPILER = shutil.which(os.environ.get("CC", "cc"))

SPLITS = NodeFields("left_child", "right_child", "feature")
PREDICTORS = NodeFields("left", "right", "feature_idx", "is_leaf", "is_categorical")

Verdict = tuple[str, list[int]]


@pytest.fixture(scope="module", autouse=True)
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The kernel, compiled from its source without a warning, in place of the one that is or is not installed.

    ``CFLAGS`` may ask for more, as ``-fsanitize=address,undefined``. Without a compiler: the one that is installed.
    """
    if COMPILER is None:
        yield tree_nodes.kernel
        return
    library = tmp_path_factory.mktemp("kernel") / "_tree_kernel.abi3.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *os.environ.get("CFLAGS", "").split()]
    include = sysconfig.get_path("include")
    subprocess.run([COMPILER, *flags, f"-I{include}", "-o", library, SOURCE], check=True)
    spec = importlib.util.spec_from_file_location("_tree_kernel", library)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_nodes, "kernel", module)
        yield module


def verdict(nodes: Any, counts: Any, n_features: Any, fields: NodeFields) -> Verdict:
    """What `check_nodes` says, in words that tell what is wrong, and the depths."""
    try:
        depths, is_marked = check_nodes(joined([nodes]), counts.tolist(), n_features, fields)
        return "trees" + " with a mark" * is_marked, depths.tolist()
    except InvalidStateError as error:
        return str(error), []


def verdict_of_numpy(*arguments: Any) -> Verdict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_nodes, "kernel", None)
        return verdict(*arguments)


def verdict_of_a_walk(nodes: Any, counts: Any, n_features: Any, fields: NodeFields) -> list[int]:
    """The depths, by following every node from the root; none if these are no trees."""
    depths, start = [], 0
    for count, features in zip(counts.tolist(), n_features.tolist(), strict=True):
        tree = nodes[start : start + count]
        left, right, feature = (tree[name].tolist() for name in fields[:3])
        leaves = tree[fields.is_leaf].astype(bool).tolist() if fields.is_leaf else [
            pair == (-1, -1) for pair in zip(left, right, strict=True)
        ]  # fmt: skip
        seen, waiting, deepest = {0}, [(0, 0)], 0
        while waiting:
            place, depth = waiting.pop()
            deepest = max(deepest, depth)
            if leaves[place]:
                continue
            children = {left[place], right[place]}
            if len(children) < 2 or seen & children or not all(place < child < count for child in children):
                return []
            if not 0 <= feature[place] < features:
                return []
            seen |= children
            waiting += [(child, depth + 1) for child in children]
        if len(seen) != count:
            return []
        depths.append(deepest)
        start += count
    return depths


def forests() -> Iterator[tuple[Any, Any, Any, NodeFields]]:
    """Real trees end to end: deep and shallow ones, single leaves, of forests and of histogram boosting."""
    for options in ({}, {"max_depth": 2}, {"max_leaf_nodes": 9}, {"min_samples_leaf": 40}):
        forest = fitted(RandomForestClassifier(7, random_state=0, **options))
        trees = [one.tree_.__getstate__()["nodes"] for one in forest.estimators_]
        yield *ends(trees, tree_node_dtype()), SPLITS
    rng = np.random.RandomState(0)
    rows = np.c_[rng.normal(size=(300, 3)), rng.randint(8, size=300)]
    answers = (rows[:, 0] + rows[:, 3] > 3).astype(int)
    for options in ({}, {"categorical_features": [3]}, {"max_leaf_nodes": 2}):
        model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5, random_state=0, **options)
        trees = [one.nodes for stage in fitted(model, rows, answers)._predictors for one in stage]
        yield *ends(trees, predictor_record_dtype()), PREDICTORS


def ends(trees: list[Any], dtype: Any) -> tuple[Any, Any, Any]:
    octets = b"".join(np.ascontiguousarray(one).tobytes() for one in trees)
    counts = np.array([len(one) for one in trees], np.int64)
    return np.frombuffer(octets, dtype), counts, np.full(len(trees), 4, np.int64)


FORESTS = list(forests())


def depths_of(nodes: Any, counts: Any, fields: NodeFields) -> list[int]:
    if fields is PREDICTORS:
        return [int(part["depth"].max()) for part in np.split(nodes, counts.cumsum()[:-1])]
    return verdict_of_a_walk(nodes, counts, np.full(len(counts), 4), fields)


@pytest.mark.parametrize("forest", FORESTS, ids=lambda forest: f"{len(forest[0])} nodes")
def test_real_trees_are_trees_of_their_depths(forest: Any) -> None:
    has_mark = forest[3] is PREDICTORS and bool(forest[0]["is_categorical"].any())
    expected = "trees" + " with a mark" * has_mark, depths_of(forest[0], forest[1], forest[3])
    assert verdict(*forest) == verdict_of_numpy(*forest) == expected


def test_there_may_be_no_trees_at_all() -> None:
    depths, is_marked = check_nodes(np.empty(0, tree_node_dtype()), [], np.empty(0, np.int64), SPLITS)
    assert depths.tolist() == []
    assert not is_marked


def test_the_depths_of_a_forest_are_those_that_scikit_learn_tells() -> None:
    forest = fitted(RandomForestClassifier(9, random_state=1))
    states = [one.tree_.__getstate__() for one in forest.estimators_]
    *arguments, depths = *ends([one["nodes"] for one in states], tree_node_dtype()), SPLITS, [
        one["max_depth"] for one in states
    ]  # fmt: skip
    assert verdict(*arguments) == ("trees", depths)


def changed(rng: random.Random, forest: Any) -> tuple[Any, Any, Any, NodeFields]:
    """A forest with one to three things changed; some changes leave trees as they should be."""
    nodes, counts, n_features, fields = forest
    nodes, counts, n_features = nodes.copy(), counts.copy(), n_features.copy()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(CHANGES)(rng, nodes, counts, n_features, fields)
    return nodes, counts, n_features, fields


def put_number(rng: random.Random, nodes: Any, counts: Any, _: Any, fields: NodeFields) -> None:
    name, place = rng.choice(fields[:3]), rng.randrange(len(nodes))
    n_nodes = int(rng.choice(counts))
    limits = np.iinfo(nodes.dtype[name])
    near = [-2, -1, 0, 1, 3, 4, place, place + 1, n_nodes - 1, n_nodes, rng.randrange(n_nodes), 2**31, 2**32 - 1]
    nodes[name][place] = np.clip(
        rng.choice([*near, limits.min, limits.max, limits.max - place]), limits.min, limits.max
    )


def copy_number(rng: random.Random, nodes: Any, *others: Any) -> None:
    name, other = rng.choices(others[-1][:3], k=2)
    nodes[name][rng.randrange(len(nodes))] = nodes[other][rng.randrange(len(nodes))]


def exchange(rng: random.Random, nodes: Any, *others: Any) -> None:
    """Two children of any nodes: with luck, both come after their new parents."""
    (name, place), (other, there) = ((rng.choice(others[-1][:2]), rng.randrange(len(nodes))) for _ in range(2))
    first, second = nodes[name][place].item(), nodes[other][there].item()
    nodes[name][place], nodes[other][there] = second, first


def exchange_own(rng: random.Random, nodes: Any, *others: Any) -> None:
    left, right, *_ = others[-1]
    place = rng.randrange(len(nodes))
    nodes[left][place], nodes[right][place] = nodes[right][place].item(), nodes[left][place].item()


def copy_node(rng: random.Random, nodes: Any, *_: Any) -> None:
    nodes[rng.randrange(len(nodes))] = nodes[rng.randrange(len(nodes))]


def turn_leaf(rng: random.Random, nodes: Any, counts: Any, _: Any, fields: NodeFields) -> None:
    place = rng.randrange(len(nodes))
    if fields.is_leaf:
        nodes[fields.is_leaf][place] = rng.choice((0, 1, 2, 255))
    else:
        nodes[fields.left][place] = nodes[fields.right][place] = -1


def move_end(rng: random.Random, nodes: Any, counts: Any, *_: Any) -> None:
    """Of one tree, into the next."""
    tree = rng.randrange(len(counts) - 1)
    moved = rng.randint(1 - int(counts[tree]), int(counts[tree + 1]) - 1)
    counts[tree] += moved
    counts[tree + 1] -= moved


def take_features(rng: random.Random, nodes: Any, counts: Any, n_features: Any, _: Any) -> None:
    n_features[rng.randrange(len(counts))] = rng.choice((0, 1, 2, 3, 4, 5, 2**62))


CHANGES: list[Callable[..., None]] = [
    *(put_number, copy_number, exchange, exchange, exchange_own),
    *(copy_node, turn_leaf, move_end, take_features),
]


@pytest.mark.parametrize("forest", range(len(FORESTS)))
def test_a_change_has_the_same_verdict_message_and_depths_from_all(forest: int, kernel: Any) -> None:
    rng = random.Random(forest)
    accepted, messages = 0, Counter[str]()
    for _ in range(1_000):
        arguments = changed(rng, FORESTS[forest])
        found = verdict(*arguments)
        assert found == verdict_of_numpy(*arguments)
        assert found[1] == verdict_of_a_walk(*arguments)
        accepted += found[0].startswith("trees")
        messages[found[0]] += 1
    assert 50 < accepted < 950
    assert len(messages) >= 3


@pytest.mark.parametrize("fields", [SPLITS, PREDICTORS], ids=["splits", "predictors"])
def test_small_arrays_of_any_numbers_have_the_same_verdict_from_all(fields: NodeFields) -> None:
    rng = np.random.RandomState(0)
    dtype = predictor_record_dtype() if fields.is_leaf else tree_node_dtype()
    found = Counter[str]()
    for _ in range(4_000):
        counts = rng.choice([1, 3, 3, 5], size=rng.randint(1, 4)).astype(np.int64)
        nodes = np.zeros(counts.sum(), dtype)
        low = -1 if fields is SPLITS else 0
        nodes[fields.left] = rng.randint(low, 5, size=len(nodes))
        nodes[fields.right] = rng.randint(low, 5, size=len(nodes))
        starts = np.repeat(counts.cumsum() - counts, counts)
        late = np.arange(len(nodes)) - starts >= np.repeat(counts, counts) // 2  # where the leaves of a tree might be
        if fields.is_leaf:
            nodes[fields.is_leaf] = late ^ (rng.rand(len(nodes)) < 0.05)
        else:
            nodes[fields.left][late] = nodes[fields.right][late] = -1
        n_features = np.full(len(counts), 1, np.int64)
        one = verdict(nodes, counts, n_features, fields)
        assert one == verdict_of_numpy(nodes, counts, n_features, fields)
        assert one[1] == verdict_of_a_walk(nodes, counts, n_features, fields)
        found[one[0]] += 1
    assert len(found) >= 4
    assert found["trees"] > 50


def test_a_chain_of_many_nodes_is_as_deep_as_it_is_long() -> None:
    nodes = np.zeros(200_001, tree_node_dtype())
    nodes["left_child"][:-1:2] = np.arange(1, 200_000, 2)
    nodes["left_child"][1::2] = nodes["right_child"][1::2] = -1
    nodes["right_child"][:-1:2] = np.arange(2, 200_001, 2)
    nodes["left_child"][-1] = nodes["right_child"][-1] = -1
    arguments = nodes, np.array([len(nodes)]), np.array([1]), SPLITS
    assert verdict(*arguments) == verdict_of_numpy(*arguments) == ("trees", [100_000])


@pytest.mark.parametrize("forest", [FORESTS[0], FORESTS[-2]], ids=["splits", "predictors"])
def test_records_need_not_be_aligned_nor_next_to_each_other(forest: Any) -> None:
    nodes, *others = forest
    expected = verdict(*forest)
    shifted = np.frombuffer(b"\0" + nodes.tobytes(), "u1")[1:].view(nodes.dtype)
    assert shifted.ctypes.data % 2 != nodes.ctypes.data % 2
    assert verdict(shifted, *others) == expected
    assert verdict(np.repeat(nodes, 2)[::2], *others) == expected


def test_records_of_another_byte_order_or_width_are_left_to_numpy() -> None:
    nodes, counts, n_features, fields = FORESTS[0]
    for kind in (">i8", "i4"):
        other = np.zeros(len(nodes), [(name, kind) for name in fields[:3]])
        for name in fields[:3]:
            other[name] = nodes[name]
        assert verdict(other, counts, n_features, fields) == verdict(*FORESTS[0])


@pytest.mark.parametrize(
    "spoil",
    [
        {"nodes": b""},
        {"nodes": bytes(63)},
        {"nodes": bytes(65)},
        {"nodes": bytes(128)},
        {"counts": b""},
        {"counts": bytes(7)},
        {"counts": np.array([0])},
        {"counts": np.array([2])},
        {"counts": np.array([-1])},
        {"counts": np.array([2**63 - 1])},
        {"counts": np.array([1, 0]), "n_features": np.array([1, 1]), "depths": np.zeros(2, np.int64)},
        {"counts": np.array([2, -1]), "n_features": np.array([1, 1]), "depths": np.zeros(2, np.int64)},
        {"n_features": b""},
        {"depths": bytearray(7)},
        {"depths": bytearray(16)},
        {"size": 0},
        {"size": -64},
        {"size": 7},
        {"size": sys.maxsize},
        {"left": -1},
        {"left": 57},
        {"left": sys.maxsize},
        {"right": -sys.maxsize},
        {"right": 64},
        {"feature": 60},
        {"is_leaf": 64},
        {"is_leaf": sys.maxsize},
        {"mark": 64},
    ],
    ids=str,
)
def test_the_kernel_takes_nothing_that_does_not_fit(spoil: dict[str, Any], kernel: Any) -> None:
    leaf = np.zeros(1, tree_node_dtype())
    leaf["left_child"] = leaf["right_child"] = -1
    arguments = {
        "nodes": leaf, "counts": np.array([1]), "n_features": np.array([1]), "depths": np.empty(1, np.int64),
        "size": 64, "left": 0, "right": 8, "feature": 16, "is_leaf": -1, "mark": -1,
    }  # fmt: skip
    if kernel is not None:
        assert kernel.check(*arguments.values())
        with pytest.raises(ValueError, match=r"fit each other|all records together"):
            kernel.check(*(arguments | spoil).values())


def test_the_kernel_takes_no_buffers_with_gaps_and_none_it_cannot_write_to(kernel: Any) -> None:
    nodes, counts, n_features, fields = FORESTS[0]
    layout = tree_nodes._layout(nodes.dtype, fields)
    assert layout
    if kernel is not None:
        with pytest.raises((ValueError, BufferError)):
            kernel.check(nodes[::2], counts, n_features, np.empty(len(counts), np.int64), *layout)
        with pytest.raises(TypeError):
            kernel.check(nodes, counts, n_features, bytes(8 * len(counts)), *layout)
        with pytest.raises(TypeError):
            kernel.check([nodes], counts, n_features, np.empty(len(counts), np.int64), *layout)


def test_where_keepfit_was_installed_with_a_compiler_the_kernel_is_there() -> None:
    """A clone that is only on the path may do without: ``make kernel`` builds it there."""
    urls = [text for one in distributions(name="keepfit") if (text := one.read_text("direct_url.json"))]
    was_installed = any(f'"{ROOT.as_uri()}"' in text for text in urls)
    found = importlib.util.find_spec("keepfit.codecs._tree_kernel")
    assert found or not was_installed or COMPILER is None, "pip install -e . did not build the kernel"


_LEFT_THERE = """
import sys
from types import ModuleType
left = sys.modules["keepfit.codecs._tree_kernel"] = ModuleType("_tree_kernel")
if {version} is not None:
    left.VERSION = {version}
from keepfit.codecs.tree_nodes import kernel
assert kernel in (None, left)
print(kernel is left)
"""


@pytest.mark.parametrize("version", [None, 0, 1, 3])
def test_a_module_compiled_from_another_source_is_not_called(version: int | None) -> None:
    def is_called(version: int | None) -> str:
        code = _LEFT_THERE.format(version=version)
        return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()

    assert is_called(version) == "False"
    assert is_called(tree_nodes._KERNEL_VERSION) == "True"


def test_the_source_of_the_kernel_has_the_version_that_is_asked_for(kernel: Any) -> None:
    assert f"#define VERSION {tree_nodes._KERNEL_VERSION} " in SOURCE.read_text()
    assert kernel is None or kernel.VERSION == tree_nodes._KERNEL_VERSION
