"""Support vector machines by libsvm, and neural networks layer by layer.

Private names used, in scikit-learn 1.6 to 1.9: ``sklearn.svm._libsvm.predict`` and ``decision_function``;
``sklearn.svm._base.LIBSVM_IMPL``; of the estimators ``_sparse``, ``_n_support``, ``_dual_coef_``, ``_intercept_``,
``_probA``, ``_probB``, ``_gamma``, ``_impl``; of `MLPClassifier` and `MLPRegressor` ``_forward_pass_fast`` and
``_label_binarizer``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keepfit.serve.fast.step import Array, Step, width_of

__all__ = ["network", "support_vectors"]


def support_vectors(model: Any, method: str) -> Step | None:
    """`SVC`, `NuSVC`, `SVR`, `NuSVR` and `OneClassSVM`, with kernels that libsvm knows, fitted on dense rows."""
    from sklearn.svm import _libsvm
    from sklearn.svm._base import LIBSVM_IMPL

    width = width_of(model)
    if width is None or model._sparse or model.kernel not in ("linear", "poly", "rbf", "sigmoid"):
        return None
    state = (
        model.support_,
        model.support_vectors_,
        model._n_support,
        model._dual_coef_,
        model._intercept_,
        model._probA,
        model._probB,
    )
    options = {
        "svm_type": LIBSVM_IMPL.index(model._impl),
        "kernel": model.kernel,
        "degree": model.degree,
        "coef0": model.coef0,
        "gamma": model._gamma,
        "cache_size": model.cache_size,
    }
    classes, is_detector = getattr(model, "classes_", None), type(model).__name__ == "OneClassSVM"
    if method == "predict" and not getattr(model, "break_ties", False):

        def predict(X: Array) -> Any:
            found = _libsvm.predict(np.ascontiguousarray(X, dtype=np.float64), *state, **options)
            if classes is not None:
                return classes.take(found.astype(np.intp))
            return found.astype(np.intp) if is_detector else found

        return Step(predict, width)
    if method == "decision_function" and classes is not None and len(classes) == 2:
        return Step(
            lambda X: -_libsvm.decision_function(np.ascontiguousarray(X, dtype=np.float64), *state, **options).ravel(),
            width,
        )
    return None


def network(model: Any, method: str) -> Step | None:
    """`MLPClassifier` of one target, and `MLPRegressor`."""
    width, forward = width_of(model), model._forward_pass_fast
    if width is None:
        return None
    classes = getattr(model, "classes_", None)
    if classes is None:

        def amounts(X: Array) -> Any:
            found = forward(X, check_input=False)
            return found.ravel() if found.shape[1] == 1 else found

        return Step(amounts, width) if method == "predict" else None
    if model._label_binarizer.y_type_ not in ("binary", "multiclass"):
        return None
    run = _classes_of(classes, lambda X: forward(X, check_input=False)).get(method)
    return None if run is None else Step(run, width)


def _classes_of(classes: Array, forward: Callable[[Array], Array]) -> dict[str, Callable[[Array], Array]]:
    def probabilities(X: Array) -> Array:
        found = forward(X)
        return np.vstack([1 - found.ravel(), found.ravel()]).T if found.shape[1] == 1 else found

    def predict(X: Array) -> Any:
        found = forward(X)
        if found.shape[1] == 1:
            return classes.take((found.ravel() > 0.5).astype(np.intp))
        return classes.take(found.argmax(axis=1))

    return {"predict": predict, "predict_proba": probabilities}
