"""Clusters: centres that compiled code goes through, and trees of clusters that are walked."""

from __future__ import annotations

from typing import Any

import numpy as np

from keepfit.codecs.checks.rules import Check, Dims, State, in_range, is_a, is_integer, refuse

__all__ = ["CHECKS"]

_CENTERS = """
    cluster_centers_!  f[K,F]
    n_features_in_!    =F
    _n_threads!        1..
    _n_features_out    =K
    labels_            i4[_]
    _counts            f[K]
    _X_mean            f[F]
    _bisecting_tree    sklearn.cluster._bisect_k_means._BisectingTree
    n_steps_           float
    _no_improvement    float
    _n_since_last_reassign  float
"""
_BIRCH = """
    root_!                sklearn.cluster._birch._CFNode
    dummy_leaf_!          sklearn.cluster._birch._CFNode
    n_features_in_!       =F
    subcluster_centers_   f[K,F]
    _subcluster_norms     f[K]
    subcluster_labels_    i[K]
    _n_features_out       =K
"""
#: What `partial_fit` of a Birch writes into. Integers could be the labels or columns of another model in the file.
_BIRCH_NODE = """
    is_leaf!        bool
    subclusters_!   list
    init_centroids_ f[_,_]
    init_sq_norm_   f[_]
"""
_BIRCH_SUBCLUSTER = """
    n_samples_    float
    linear_sum_   f[_]
    squared_sum_  float
"""
_LINKED = """
    _single_linkage_tree_!  a[M]
    labels_                 i[N]
"""
_AGGLOMERATION = """
    labels_!         i[F]
    n_features_in_   =F
    n_clusters_      1..
    _n_features_out  1..
    children_        i[_,2]
"""
_NODE = "sklearn.cluster._bisect_k_means._BisectingTree"
_LEAF = "sklearn.cluster._birch._CFNode"
_SUBCLUSTER = "sklearn.cluster._birch._CFSubcluster"


def _check_centers(state: State, dims: Dims) -> None:
    if not dims["K"]:
        refuse("there is a cluster at least")
    tree = state.get("_bisecting_tree")
    if tree is not None:
        _check_bisections(tree, dims)


def _check_bisections(root: Any, dims: Dims) -> None:
    """Raise unless the clusters are a tree, each with a centre, each leaf with a label."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        state = getattr(node, "__dict__", {})
        center = state.get("center")
        if not is_a(node, _NODE) or id(node) in seen or len(seen) > 2 * dims["K"]:
            refuse("the clusters of a bisection are a tree")
        is_centre = type(center) is np.ndarray and center.shape == (dims["F"],) and center.dtype.kind == "f"
        if not is_centre and node is not root:
            refuse("a cluster has a centre")
        seen.add(id(node))
        left, right = state.get("left"), state.get("right")
        if left is None:
            label = state.get("label")
            if right is not None or not is_integer(label) or not 0 <= label < dims["K"]:
                refuse("a cluster is divided in two, or has a label")
        else:
            stack += [left, right]


def _check_birch(state: State, dims: Dims) -> None:
    """Raise unless the leaves of the tree hang on one finite thread, from the dummy leaf on.

    A leaf that is split is replaced on the thread by two, between the leaf that it names as the one before it and the
    one that it names as the one after it: were these not its neighbours, the thread could become a ring.
    """
    thread: set[int] = set()
    before, leaf = None, state["dummy_leaf_"]
    while leaf is not None:
        if id(leaf) in thread or not is_a(leaf, _LEAF) or leaf.__dict__.get("prev_leaf_") is not before:
            refuse("the leaves of a clustering follow one another, and end")
        thread.add(id(leaf))
        before, leaf = leaf, leaf.__dict__.get("next_leaf_")
    seen: set[int] = set()
    stack = [state["root_"]]
    while stack:
        node = stack.pop()
        if not is_a(node, _LEAF) or id(node) in seen or (node.__dict__.get("is_leaf") and id(node) not in thread):
            refuse("the nodes of a clustering are a tree, and its leaves follow one another")
        seen.add(id(node))
        parts = [getattr(part, "__dict__", {}) for part in node.__dict__.get("subclusters_", ())]
        stack += [part["child_"] for part in parts if part.get("child_") is not None]


def _check_linkage(state: State, dims: Dims) -> None:
    tree = state["_single_linkage_tree_"]
    if not {"left_node", "right_node"} <= set(tree.dtype.names or ()) or dims.get("N", dims["M"] + 1) != dims["M"] + 1:
        refuse("a single linkage tree joins two nodes in each step")
    last = 2 * dims["M"] + 1
    if not in_range(tree["left_node"], last) or not in_range(tree["right_node"], last):
        refuse("a single linkage tree joins nodes that are there")


def _check_agglomeration(state: State, dims: Dims) -> None:
    if not in_range(state["labels_"], dims["F"]) or state.get("n_clusters_", 0) > dims["F"]:
        refuse("a cluster of features is one of at most as many as there are features")
    if state.get("_n_features_out", 0) > dims["F"]:
        refuse("features are joined, not made")


CHECKS = {
    **{
        f"sklearn.cluster.{name}": Check(f"sklearn.cluster.{name}", _CENTERS, _check_centers)
        for name in ("KMeans", "MiniBatchKMeans", "BisectingKMeans")
    },
    "sklearn.cluster.Birch": Check("sklearn.cluster.Birch", _BIRCH, _check_birch),
    _LEAF: Check(_LEAF, _BIRCH_NODE),
    _SUBCLUSTER: Check(_SUBCLUSTER, _BIRCH_SUBCLUSTER),
    "sklearn.cluster.HDBSCAN": Check("sklearn.cluster.HDBSCAN", _LINKED, _check_linkage),
    "sklearn.cluster.FeatureAgglomeration": Check(
        "sklearn.cluster.FeatureAgglomeration", _AGGLOMERATION, _check_agglomeration
    ),
}
