"""Decision trees and what is made of them: forests, bagging, gradient boosting.

Members of an ensemble are called without a check of their input (``check_input=False``), so each must take exactly the
features that its ensemble gives it. A compiled tree is sound in itself (`keepfit.codecs.trees`).
"""

from __future__ import annotations

from typing import Any

from keepfit.codecs.checks.losses import loss_fits
from keepfit.codecs.checks.rows import has_a_row_for_each
from keepfit.codecs.checks.rules import COUNT_MAX, Check, Dims, State, refuse
from keepfit.codecs.codec import class_name

__all__ = ["CHECKS"]

_SINGLE = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")
#: The trees of each forest.
_FORESTS = {
    "RandomForestClassifier": "DecisionTreeClassifier",
    "RandomForestRegressor": "DecisionTreeRegressor",
    "ExtraTreesClassifier": "ExtraTreeClassifier",
    "ExtraTreesRegressor": "ExtraTreeRegressor",
    "RandomTreesEmbedding": "ExtraTreeRegressor",
}
#: More rows than a forest is ever fitted on; `estimators_samples_` draws as many.
_SAMPLES_MAX = 2**28

_TREE = """
    tree_!           sklearn.tree._tree.Tree
    n_features_in_!  =F
    n_outputs_!      =K
    n_classes_       =C | i[K]
    classes_         a[C] | list(a[_])*K
"""
_FOREST = """
    n_features_in_!       =F
    n_outputs_!           =K
    estimators_!          list
    n_classes_            =C | list(0..)*K
    classes_              a[C] | list(a[_])*K
    _n_samples            =N
    _n_samples_bootstrap  none | 0..268435456
    _n_features_out       0..
    one_hot_encoder_      sklearn.preprocessing.OneHotEncoder
"""
_BAGGING = """
    n_features_in_!        =F
    estimators_!           list
    estimators_features_!  list(i[_])
    n_classes_             =C
    classes_               a[C]
    _n_samples             =N
    _max_samples           0..268435456
"""
_ISOLATION = """
    n_features_in_!        =F
    estimators_!           list
    estimators_features_!  list(i[M])
    _max_features!         =M
    _n_samples             =N
    _max_samples           0..268435456
    max_samples_           0..268435456
"""
_BOOSTING = """
    n_features_in_!          =F
    estimators_!             o[S,K]
    n_trees_per_iteration_!  =K
    init_!                   any
    _loss!                   any
"""
_BOOSTING_CLASSES = """
    classes_!                a[C]
    n_classes_!              =C
"""


def _check_tree(state: State, dims: Dims) -> None:
    tree = state["tree_"]
    if tree.n_features != dims["F"] or tree.n_outputs != dims["K"] or dims["F"] > COUNT_MAX:
        refuse("the numbers of features and outputs of a decision tree are not those of its nodes")


def _compiled(member: Any) -> Any:
    """The compiled tree of a member that is built and checked; None for anything else."""
    return getattr(member, "__dict__", {}).get("tree_")


def _check_members(members: Any, kind: str, dims: Dims, outputs: int | None, features: int) -> None:
    trees = [_compiled(member) for member in members]
    if (
        any(class_name(cls) != f"sklearn.tree.{kind}" for cls in set(map(type, members)))
        or None in trees
        or not {tree.n_features for tree in trees} <= {features}
        or (outputs is not None and not {tree.n_outputs for tree in trees} <= {outputs})
    ):
        refuse(f"an ensemble holds {kind}s of the features it gives them, and of its outputs")
    _check_samples(dims)


def _check_samples(dims: Dims) -> None:
    if dims.get("N", 0) > _SAMPLES_MAX:
        refuse("the number of samples of an ensemble is beyond all bounds")


def _check_forest(kind: str) -> Any:
    def check(state: State, dims: Dims) -> None:
        outputs = state["n_outputs_"] if kind != "ExtraTreeRegressor" else None
        _check_members(state["estimators_"], kind, dims, outputs, dims["F"])

    return check


def _check_bagging(state: State, dims: Dims) -> None:
    if len(state["estimators_"]) != len(state["estimators_features_"]):
        refuse("each member of an ensemble has its features")
    _check_samples(dims)


def _check_isolation(state: State, dims: Dims) -> None:
    if len(state["estimators_"]) != len(state["estimators_features_"]) or dims["M"] > dims["F"]:
        refuse("each member of an ensemble has its features")
    _check_members(state["estimators_"], "ExtraTreeRegressor", dims, None, dims["M"])


def _check_boosting(state: State, dims: Dims) -> None:
    features, outputs = dims["F"], dims["K"]
    if not dims["S"] or not outputs:
        refuse("gradient boosting has trees")
    _check_members(state["estimators_"].reshape(-1), "DecisionTreeRegressor", dims, 1, features)
    classes = state.get("classes_")
    if classes is not None and outputs != (len(classes) if len(classes) > 2 else 1):
        refuse("gradient boosting has a tree for each class in a stage, or one where there are two classes")
    if not loss_fits(state["_loss"], outputs, is_classifier=classes is not None):
        refuse("the loss of gradient boosting does not fit its number of trees in a stage")
    init = state["init_"]
    if type(init) is str and init == "zero":
        return
    # What init_ predicts is written to by compiled code, a row for each sample and a column for each tree of a stage.
    if not has_a_row_for_each(init, features, len(classes) if classes is not None else 0):
        refuse(
            f"gradient boosting starts from a {type(init).__name__}, of which it is not certain that it gives a row "
            "for each sample; scikit-learn's common regressors and classifiers do, alone or in a Pipeline"
        )


CHECKS = {
    **{f"sklearn.tree.{name}": Check(f"sklearn.tree.{name}", _TREE, _check_tree) for name in _SINGLE},
    **{
        f"sklearn.ensemble.{name}": Check(f"sklearn.ensemble.{name}", _FOREST, _check_forest(kind))
        for name, kind in _FORESTS.items()
    },
    **{
        f"sklearn.ensemble.{name}": Check(f"sklearn.ensemble.{name}", _BAGGING, _check_bagging)
        for name in ("BaggingClassifier", "BaggingRegressor")
    },
    "sklearn.ensemble.IsolationForest": Check("sklearn.ensemble.IsolationForest", _ISOLATION, _check_isolation),
    "sklearn.ensemble.GradientBoostingClassifier": Check(
        "sklearn.ensemble.GradientBoostingClassifier", _BOOSTING + _BOOSTING_CLASSES, _check_boosting
    ),
    "sklearn.ensemble.GradientBoostingRegressor": Check(
        "sklearn.ensemble.GradientBoostingRegressor", _BOOSTING, _check_boosting
    ),
}
