"""Linear models by how much they are held back: the costly part of the algebra comes before that, and is done once.

What comes after is done here by scikit-learn's own formulas, in its order, on arrays laid out as its own: equal to the
bit, whatever the library of linear algebra.

Private names used, in scikit-learn 1.6 to 1.9: ``_set_intercept`` of linear models; ``_label_binarizer`` of ridge
classifiers; of quadratic discriminants ``_solve_svd``, to know which rank is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keepfit.checkpoint.sharing.case import Case, Refused, cloned, give_state
from keepfit.checkpoint.sharing.memory import quietly

__all__ = ["QuadraticDiscriminant", "Ridge"]

_Array = np.ndarray[Any, Any]


class Ridge(Case):
    """Ridge regression and classification by ``alpha``, on dense data without weights, by the exact solvers."""

    parameters = frozenset({"alpha"})
    is_cheap = True

    def admits(self, estimator: Any) -> bool:
        return (
            estimator.solver in ("auto", "svd", "cholesky")
            and not estimator.positive
            and getattr(estimator, "class_weight", None) is None
            and type(estimator.alpha) in (int, float)
            and estimator.alpha >= 0
        )

    def fit(self, estimator: Any, X: Any, *y: Any, **params: Any) -> Any:
        is_weighted = any(value is not None for value in params.values())
        if is_weighted or type(X) is not np.ndarray or type(y[0]) is not np.ndarray:
            raise Refused
        if X.dtype not in (np.float64, np.float32) or not (X.flags.c_contiguous or X.flags.f_contiguous):
            raise Refused
        offsets: list[Any] = []
        own = estimator._set_intercept

        def set_intercept(*found: Any) -> None:
            offsets.extend(found)
            own(*found)

        estimator._set_intercept = set_intercept
        try:
            estimator.fit(X, *y)
        finally:
            del estimator._set_intercept
        target = estimator._label_binarizer.transform(y[0]) if hasattr(estimator, "_label_binarizer") else y[0]
        return _Algebra(estimator, offsets, X, target)

    def give(self, source: Any, target: Any) -> None:
        coef, warned = quietly(lambda: source.coef(target.alpha))
        if warned:
            raise Refused
        give_state(source.fitted, target)
        target.coef_ = coef
        target._set_intercept(*source.offsets)


class _Algebra:
    """A ridge that is fitted for one ``alpha``, and what it takes to solve for others."""

    def __init__(self, fitted: Any, offsets: list[Any], X: _Array, y: Any) -> None:
        self.fitted = fitted
        self.offsets = offsets
        self._X = X - offsets[0] if fitted.fit_intercept else X
        y = np.array(y, dtype=X.dtype)  # of its own, as a metric may work in place on the caller's
        y = y - offsets[1] if fitted.fit_intercept else y
        self._is_flat = fitted.coef_.ndim == 1
        self._y = y.reshape(-1, 1) if y.ndim == 1 else y
        solver = getattr(fitted, "solver_", fitted.solver)
        solvers = {"svd": self._by_values, "cholesky": self._by_columns}
        if solver == "cholesky" and X.shape[1] > X.shape[0]:
            solvers["cholesky"] = self._by_rows
        if solver not in solvers:
            raise Refused
        self._solve: Callable[[Any], _Array] = solvers[solver]()

    def coef(self, alpha: float) -> _Array:
        """The coefficients for an ``alpha``, without the intercept."""
        try:
            found = self._solve(self._X.dtype.type(alpha))
        except np.linalg.LinAlgError:
            raise Refused from None
        return found.ravel() if self._is_flat else found

    def _by_values(self) -> Callable[[Any], _Array]:
        U, s, Vt = np.linalg.svd(self._X, full_matrices=False)
        some = s > 1e-15
        values, UTy = s[some][:, np.newaxis], U.T @ self._y

        def solve(alpha: Any) -> _Array:
            d = np.zeros((s.size, self._y.shape[1]), dtype=self._X.dtype)
            d[some] = values / (values**2 + np.full(self._y.shape[1], alpha))
            found: _Array = (Vt.T @ (d * UTy)).T
            return found

        return solve

    def _by_columns(self) -> Callable[[Any], _Array]:
        from scipy import linalg

        A, Xy = self._X.T @ self._X, self._X.T @ self._y

        def solve(alpha: Any) -> _Array:
            held = A.copy(order="K")
            held.flat[:: len(A) + 1] += alpha
            found: _Array = linalg.solve(held, Xy, assume_a="pos", overwrite_a=True).T
            return found

        return solve

    def _by_rows(self) -> Callable[[Any], _Array]:
        from scipy import linalg

        K = self._X @ self._X.T

        def solve(alpha: Any) -> _Array:
            held = K.copy(order="K")
            held.flat[:: len(K) + 1] += alpha
            found: _Array = (self._X.T @ linalg.solve(held, self._y, assume_a="pos", overwrite_a=False)).T
            return found

        return solve


class QuadraticDiscriminant(Case):
    """Quadratic discriminant analysis by ``reg_param``, which is added to the squared singular values."""

    parameters = frozenset({"reg_param"})
    is_cheap = True

    def admits(self, estimator: Any) -> bool:
        return (
            getattr(estimator, "solver", "svd") == "svd"
            and not estimator.store_covariance
            and getattr(estimator, "shrinkage", None) is None
            and type(estimator.reg_param) in (int, float)
            and 0 <= estimator.reg_param <= 1
        )

    def prototype(self, kin: Sequence[Any]) -> Any:
        return cloned(kin[0], reg_param=0.0)

    def fit(self, estimator: Any, X: Any, *y: Any, **params: Any) -> Any:
        """The model as if every class had full rank; whether it has is asked of each candidate."""
        from sklearn import config_context

        with config_context(skip_parameter_validation=True):
            return estimator.set_params(tol=-1.0).fit(X, *y, **params)

    def give(self, source: Any, target: Any) -> None:
        give_state(source, target)
        target.scalings_ = [((1 - target.reg_param) * bare) + target.reg_param for bare in source.scalings_]
        # Before 1.8 the rank is that of the data, and too small a one gives a warning.
        asked = target.scalings_ if hasattr(target, "_solve_svd") else map(np.sqrt, source.scalings_)
        if not all((values > target.tol).all() and len(values) == source.n_features_in_ for values in asked):
            raise Refused
