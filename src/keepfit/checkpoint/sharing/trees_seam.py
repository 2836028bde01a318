"""Decision trees by their number of leaves and by how much they are pruned.

A tree with at most so many leaves is grown best first: the smaller one has the first nodes of the larger, and what the
larger one splits further is a leaf in it. Pruning is a function of the unpruned tree.

Private names used, in scikit-learn 1.6 to 1.9: ``_prune_tree`` of trees; the fields of ``nodes`` in the state of
``sklearn.tree._tree.Tree``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from keepfit.checkpoint.sharing.case import Case, cloned, give_state, is_count, is_seed

__all__ = ["Tree"]

_LEAF, _UNDEFINED = -1, -2


class Tree(Case):
    """Decision trees and extremely randomized ones. Never by depth, which changes what is drawn at random."""

    parameters = frozenset({"max_leaf_nodes", "ccp_alpha"})

    def admits(self, estimator: Any) -> bool:
        leaves, alpha = estimator.max_leaf_nodes, estimator.ccp_alpha
        return (
            is_seed(estimator.random_state)
            and (leaves is None or (is_count(leaves) and leaves >= 2))
            and type(alpha) in (int, float)
            and alpha >= 0
        )

    def kind(self, estimator: Any) -> Hashable:
        return estimator.max_leaf_nodes is None

    def rank(self, estimator: Any) -> Any:
        return estimator.max_leaf_nodes or 0, estimator.ccp_alpha

    def prototype(self, kin: Sequence[Any]) -> Any:
        return cloned(kin[0], max_leaf_nodes=max(kin, key=self.rank).max_leaf_nodes, ccp_alpha=0.0)

    def give(self, source: Any, target: Any) -> None:
        give_state(source, target)
        if target.max_leaf_nodes is not None:
            target.tree_ = _with_leaves(source.tree_, target.max_leaf_nodes)
        target._prune_tree()


def _with_leaves(tree: Any, most: int) -> Any:
    """The tree when it had at most so many leaves."""
    count = 2 * most - 1
    if tree.node_count <= count:
        return tree
    build, arguments, state = tree.__reduce__()
    nodes, values = state["nodes"][:count].copy(), state["values"][:count].copy()
    leaves = nodes["left_child"] >= count
    for name, value in (("left_child", _LEAF), ("right_child", _LEAF), ("feature", _UNDEFINED)):
        nodes[name][leaves] = value
    nodes["threshold"][leaves] = _UNDEFINED
    smaller = build(*arguments)
    smaller.__setstate__({**state, "nodes": nodes, "values": values, "node_count": count, "max_depth": _depth(nodes)})
    return smaller


def _depth(nodes: Any) -> int:
    depths = np.zeros(len(nodes), dtype=np.intp)
    for at in range(len(nodes)):  # children come after their parents
        for name in ("left_child", "right_child"):
            if nodes[name][at] != _LEAF:
                depths[nodes[name][at]] = depths[at] + 1
    return int(depths.max())
