"""Support vector machines: the arrays that libsvm is handed, whose lengths it takes from one of them.

Rules: ``sklearn/svm/src/libsvm/libsvm_helper.c`` (``set_model``), ``libsvm_sparse_helper.c`` (``csr_set_model``),
``svm.cpp`` (``svm_predict_values``, ``k_function``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keepfit.codecs.checks.rules import Check, Dims, State, in_range, is_csr, is_integer, refuse

__all__ = ["CHECKS"]

_RULES = """
    _n_support!           i4[C]
    support_!             i4[S]
    support_vectors_!     f8[S,_] | f8[0,0] | csr[S,F]
    n_features_in_!       =F
    _dual_coef_!          f8[_,S] | csr[...]
    _intercept_!          f8[P]
    _probA!               f8[_]
    _probB!               f8[_]
    _sparse!              bool
    _gamma!               float
    shape_fit_!           tuple
    dual_coef_            f8[_,S] | csr[...]
    intercept_            f8[P]
    _effective_probability bool
    class_weight_         f8[C]
"""


def _check(*, is_classifier: bool) -> Any:
    def check(state: State, dims: Dims) -> None:
        _check_classes(state, dims, is_classifier=is_classifier)
        pairs = dims["C"] * (dims["C"] - 1) // 2
        if dims["P"] != pairs:
            refuse(f"a support vector machine of {dims['C']} classes has {pairs} intercepts")
        if {state["_probA"].size, state["_probB"].size} not in ({0}, {pairs}):
            refuse("a support vector machine has probabilities for each pair of classes, or none")
        _check_shape(state, dims)
        (_check_sparse if state["_sparse"] else _check_dense)(state, dims, pairs)

    return check


def _check_classes(state: State, dims: Dims, *, is_classifier: bool) -> None:
    counts = state["_n_support"].tolist()  # a few: NumPy takes longer
    if not is_classifier:
        if dims["C"] != 2:
            refuse("a support vector regression counts its support vectors as two classes")
    elif dims["C"] < 2 or len(state.get("classes_", ())) != dims["C"]:
        refuse("a support vector machine counts support vectors for each of its classes, two at least")
    elif min(counts) < 0 or sum(counts) != dims["S"]:
        refuse("the support vectors of the classes of a support vector machine are all there are")


def _check_shape(state: State, dims: Dims) -> None:
    shape = state["shape_fit_"]
    if not 1 <= len(shape) <= 2 or not all(map(is_integer, shape)):
        refuse("a support vector machine was fitted on rows and features")
    if not in_range(state["support_"], shape[0]):
        refuse("a support vector is one of the rows that were fitted")


def _check_dense(state: State, dims: Dims, pairs: int) -> None:
    vectors, coef = state["support_vectors_"], state["_dual_coef_"]
    if type(vectors) is not np.ndarray or type(coef) is not np.ndarray or coef.shape != (dims["C"] - 1, dims["S"]):
        refuse("a support vector machine has coefficients for each class but one, and each support vector")
    # A precomputed kernel has no support vectors, only their places in the rows of the kernel.
    if state.get("kernel") == "precomputed":
        if state["shape_fit_"][0] != dims["F"]:
            refuse("a precomputed kernel has a column for each row that was fitted")
    elif vectors.shape != (dims["S"], dims["F"]):
        refuse("a support vector has all features")


def _check_sparse(state: State, dims: Dims, pairs: int) -> None:
    vectors, coef = state["support_vectors_"], state["_dual_coef_"]
    if not is_csr(vectors) or not is_csr(coef) or vectors.shape != (dims["S"], dims["F"]):
        refuse("a support vector machine that was fitted on sparse data has sparse support vectors")
    # The entries of the coefficients are read as if none were left out.
    if coef.data.shape != ((dims["C"] - 1) * dims["S"],) or coef.data.dtype != np.float64:
        refuse("a support vector machine has coefficients for each class but one, and each support vector")
    if vectors.data.dtype != np.float64 or vectors.indptr[0] != 0 or vectors.indptr[-1] > vectors.data.size:
        refuse("a support vector is a row of numbers")
    if type(state.get("kernel")) is not str or state["kernel"] == "precomputed":
        refuse("a support vector machine that was fitted on sparse data has a kernel by name, not precomputed")
    wants = state.get("_effective_probability", state.get("probability", False))
    if (wants is not False or state.get("probability") is True) and state["_probA"].size != pairs:
        refuse("a support vector machine that gives probabilities has what they are made from")


CHECKS = {
    f"sklearn.svm.{name}": Check(f"sklearn.svm.{name}", _RULES, _check(is_classifier=is_classifier))
    for name, is_classifier in (
        ("SVC", True),
        ("NuSVC", True),
        ("SVR", False),
        ("NuSVR", False),
        ("OneClassSVM", False),
    )
}
