"""Support vector machines: the arrays that libsvm is handed, whose lengths it takes from one of them.

Rules: ``sklearn/svm/src/libsvm/libsvm_helper.c`` (``set_model``), ``libsvm_sparse_helper.c`` (``csr_set_model``),
``svm.cpp`` (``svm_predict_values``, ``k_function``).
"""

from __future__ import annotations

from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from keepfit.codecs.checks.rules import Check, Dims, State, in_range, is_csr, is_integer, refuse

__all__ = ["CHECKS", "FITTED_ROWS", "is_kernel"]

_RULES = """
    _n_support!           i4[C]
    support_!             i4[S]
    support_vectors_!     f8[S,_] | f8[0,0] | csr[S,F]
    n_features_in_        =F
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


#: The rows that a function as kernel was fitted on, which it gets beside new ones: a private attribute of a base class.
FITTED_ROWS = "_BaseLibSVM__Xfit"

#: Functions of ``sklearn.metrics.pairwise`` that give a column for each row of their second argument.
_KERNELS = frozenset(
    {
        "additive_chi2_kernel", "chi2_kernel", "cosine_similarity", "laplacian_kernel", "linear_kernel",
        "polynomial_kernel", "rbf_kernel", "sigmoid_kernel",
    }
)  # fmt: skip


def is_kernel(kernel: Any) -> bool:
    """Whether a function gives libsvm as many columns as it will read: of others it does not look at the width.

    Of the closed table's these are few. A function of somebody else's is there on the caller's word.
    """
    if type(kernel) is partial and not kernel.args:
        kernel = kernel.func
    module = str(getattr(kernel, "__module__", ""))
    if module == "sklearn.metrics.pairwise":
        return kernel.__name__ in _KERNELS
    return type(kernel) is FunctionType and module.partition(".")[0] not in ("numpy", "scipy", "sklearn")


def _check(*, is_classifier: bool) -> Any:
    def check(state: State, dims: Dims) -> None:
        _check_classes(state, dims, is_classifier=is_classifier)
        pairs = dims["C"] * (dims["C"] - 1) // 2
        if dims["P"] != pairs:
            refuse(f"a support vector machine of {dims['C']} classes has {pairs} intercepts")
        if {state["_probA"].size, state["_probB"].size} not in ({0}, {pairs}):
            refuse("a support vector machine has probabilities for each pair of classes, or none")
        _check_shape(state, dims)
        if callable(state.get("kernel")) and FITTED_ROWS in state:
            _check_function(state, dims)
            return
        if "n_features_in_" not in state:
            refuse("a fitted support vector machine has the attribute 'n_features_in_'")
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


def _check_function(state: State, dims: Dims) -> None:
    """A function as kernel: libsvm reads the columns of the rows that are support vectors, however many there are."""
    rows, coef = state[FITTED_ROWS], state["_dual_coef_"]
    if state["_sparse"] or type(coef) is not np.ndarray or coef.shape != (dims["C"] - 1, dims["S"]):
        refuse("a support vector machine has coefficients for each class but one, and each support vector")
    if type(state["support_vectors_"]) is not np.ndarray or state["support_vectors_"].shape != (0, 0):
        refuse("a support vector machine with a function as kernel has no support vectors, only their places")
    if not is_kernel(state["kernel"]):
        refuse("the kernel of a support vector machine is not known to give a column for each row that was fitted")
    if type(rows) is list:
        count = len(rows)
    else:
        shape = getattr(rows, "shape", None)
        count = shape[0] if type(shape) is tuple and shape else -1
    if count != state["shape_fit_"][0]:
        refuse("a support vector machine with a function as kernel has all rows that it was fitted on")


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
