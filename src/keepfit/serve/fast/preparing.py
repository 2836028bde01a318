"""The one door: which models have a fast way, the guard in front of it, and the proof that it is the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from copy import copy
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from keepfit.serve.answers import REFUSALS, to_dense
from keepfit.serve.errors import RequestError
from keepfit.serve.fast import composing, kernels_seam, linear, neighbors_seam, tables_seam, transforming, trees_seam
from keepfit.serve.fast.step import Array, Step
from keepfit.serve.fast.tables_seam import TableStep
from keepfit.serve.formulas import Formula, evaluator
from keepfit.serve.tensors import from_array

__all__ = ["formula_of", "prepare"]

_T = TypeVar("_T")
_Builder = Callable[[Any, str], Step | None]


def _each(names: str, builder: _Builder) -> dict[str, _Builder]:
    return dict.fromkeys(names.split(), builder)


#: For each public module of scikit-learn, its classes that have a fast way.
_BUILDERS: dict[str, dict[str, _Builder]] = {
    "sklearn.linear_model": _each(
        "LogisticRegression LogisticRegressionCV SGDClassifier Perceptron RidgeClassifier RidgeClassifierCV",
        linear.classifier,
    )
    | _each(
        "LinearRegression Ridge RidgeCV Lasso LassoCV ElasticNet ElasticNetCV SGDRegressor Lars LarsCV LassoLars "
        "LassoLarsCV LassoLarsIC HuberRegressor TheilSenRegressor BayesianRidge ARDRegression QuantileRegressor "
        "OrthogonalMatchingPursuit",
        linear.regressor,
    ),
    "sklearn.discriminant_analysis": {"LinearDiscriminantAnalysis": linear.classifier},
    "sklearn.naive_bayes": {"GaussianNB": linear.naive_bayes},
    "sklearn.svm": {"LinearSVC": linear.classifier, "LinearSVR": linear.regressor}
    | _each("SVC NuSVC SVR NuSVR OneClassSVM", kernels_seam.support_vectors),
    "sklearn.neural_network": _each("MLPClassifier MLPRegressor", kernels_seam.network),
    "sklearn.neighbors": {
        "KNeighborsClassifier": neighbors_seam.classifier,
        "KNeighborsRegressor": neighbors_seam.regressor,
    },
    "sklearn.tree": _each("DecisionTreeClassifier ExtraTreeClassifier", trees_seam.tree_classifier)
    | _each("DecisionTreeRegressor ExtraTreeRegressor", trees_seam.tree_regressor),
    "sklearn.ensemble": _each("RandomForestClassifier ExtraTreesClassifier", trees_seam.forest_classifier)
    | _each("RandomForestRegressor ExtraTreesRegressor", trees_seam.forest_regressor)
    | _each("GradientBoostingClassifier GradientBoostingRegressor", trees_seam.boosting)
    | _each("HistGradientBoostingClassifier HistGradientBoostingRegressor", trees_seam.histogram_boosting),
    "sklearn.preprocessing": {
        "StandardScaler": transforming.standard,
        "MinMaxScaler": transforming.min_max,
        "MaxAbsScaler": transforming.max_abs,
        "RobustScaler": transforming.robust,
        "Normalizer": transforming.normalizer,
    },
    "sklearn.impute": {"SimpleImputer": transforming.imputer},
    "sklearn.decomposition": _each("PCA IncrementalPCA TruncatedSVD", transforming.projection),
    "sklearn.feature_selection": _each(
        "SelectKBest SelectPercentile SelectFromModel VarianceThreshold RFE RFECV", transforming.selection
    ),
    "sklearn.pipeline": {"Pipeline": lambda model, method: composing.pipeline(model, method, build)},
    "sklearn.model_selection": _each(
        "GridSearchCV RandomizedSearchCV", lambda model, method: composing.best(model, method, build)
    ),
}
_OF_CLASS = {name: (module, builder) for module, table in _BUILDERS.items() for name, builder in table.items()}

#: Past so many rows the checks cost nothing beside the arithmetic, which the stock method may do with several threads.
_ROWS_MAX = 1024

#: How large the numbers of rows are on which a formula is held against the method.
_TRIAL_SCALES = (0.0, 1e-3, 0.1, 1.0, 1.0, 1.0, 3.0, 10.0, 1e3)

_FLOAT64, _FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)


def prepare(model: Any, method: str, as_input: Callable[[Any], Any] | None = None) -> Callable[[Any], Any] | None:
    """A predictor that gives what ``getattr(model, method)`` gives, to the bit, and is faster on few rows.

    Parameters
    ----------
    model : fitted estimator
        It must not change afterwards.
    method : {"predict", "predict_proba", "decision_function", "transform"}
    as_input : callable, default=None
        From what the predictor is given to what the method takes: rows to a DataFrame, for models that were fitted on
        one. Default: the same.

    Returns
    -------
    callable or None
        Rows that are an ndarray of float64 or float32 in C order, of the width that the model was fitted on, with
        finite values (or missing ones where the model takes them), go the fast way; behind a `ColumnTransformer`, one
        row does, also as a list of columns of one value each. All else goes to the method itself. None if the model
        has no fast way: its class is not exactly one of scikit-learn's that are known here, a setting is not, or it
        did not prove itself.

    Notes
    -----
    The proof: rows drawn at random, one and several, of both dtypes, with missing values where they are admitted. Fast
    and stock have to give the same bytes of the same dtype and shape; where they do not, there is no fast way. This
    costs six calls of the stock method or fewer. scikit-learn's configuration counts as it is now.
    """
    stock = _after(getattr(model, method), as_input)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = _after(getattr(_alone(model), method), as_input)
        step = build(model, method)
        if step is not None:
            dtypes = tuple(dtype for dtype in (_FLOAT64, _FLOAT32) if _is_proven(step, alone, dtype))
            return _guarded(step, stock, dtypes) if dtypes else None
        table = _built(lambda: tables_seam.table_step(model, method, build))
        if table is not None and all(_agree(_by_cells(table), alone, row) for row in table.trial_rows()):
            return _guarded_table(table, stock)
    return None


def formula_of(model: Any, method: str, as_input: Callable[[Any], Any] | None = None) -> Formula | None:
    """What ``getattr(model, method)`` does with one row of float64, in numbers: equal to the bit.

    Parameters
    ----------
    model : fitted estimator
        It must not change afterwards.
    method : {"predict", "predict_proba", "decision_function", "transform"}
    as_input : callable, default=None
        As for `prepare`.

    Returns
    -------
    Formula or None
        None if the model has none: it is not linear, has too many numbers, or its formula did not prove itself.
    """
    step = build(model, method)
    formula = None if step is None else step.formula
    evaluate = None if formula is None else evaluator(formula)
    if formula is None or evaluate is None:
        return None
    stock = _after(getattr(model, method), as_input)
    rng = np.random.RandomState(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for scale in _TRIAL_SCALES:
            row = rng.normal(size=(1, formula.width)) * scale
            try:
                if evaluate(row.tobytes()) != from_array(method, to_dense(stock(row))):
                    return None
            except (*REFUSALS, RequestError):
                return None
    return formula


def build(model: Any, method: str) -> Step | None:
    """The arithmetic of a method, unproven; None if there is none for the model, or for how it is set.

    A release of scikit-learn that a seam does not fit has no fast way there.
    """
    module, builder = _OF_CLASS.get(type(model).__name__, ("", None))
    if builder is None or getattr(import_module(module), type(model).__name__) is not type(model):
        return None
    if method == "transform" and _gives_frames(model):
        return None
    return _built(lambda: builder(model, method))


def _built(make: Callable[[], _T]) -> _T | None:
    try:
        return make()
    except (AttributeError, ImportError, LookupError, TypeError, ValueError):
        return None


def _after(method: Callable[[Any], Any], as_input: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    return method if as_input is None else lambda rows: method(as_input(rows))


def _guarded(step: Step, stock: Callable[[Array], Any], dtypes: tuple[Any, ...]) -> Callable[[Array], Any]:
    run, width, admits = step.run, step.width, step.admits

    def predict(X: Array) -> Any:
        if type(X) is np.ndarray and X.dtype in dtypes and X.ndim == 2 and X.shape[1] == width:
            flags = X.flags
            if 0 < X.shape[0] <= _ROWS_MAX and flags.c_contiguous and flags.aligned and admits(X):
                found = run(X)
                if found is not None:
                    return found
        return stock(X)

    return predict


def _guarded_table(table: TableStep, stock: Callable[[Any], Any]) -> Callable[[Any], Any]:
    fast = _by_cells(table)

    def predict(rows: Any) -> Any:
        found = fast(rows)
        return stock(rows) if found is None else found

    return predict


def _by_cells(table: TableStep) -> Callable[[Any], Any]:
    """From one row, as an array or a list of columns, to what the step gives; None for more rows, or none."""
    run, width = table.run, table.width

    def fast(rows: Any) -> Any:
        if type(rows) is np.ndarray:
            return run(list(rows[0])) if rows.shape == (1, width) else None
        if type(rows) is list and len(rows) == width and all(np.shape(column) == (1,) for column in rows):
            return run([column[0] for column in rows])
        return None

    return fast


def _is_proven(step: Step, stock: Callable[[Array], Any], dtype: Any) -> bool:
    return all(
        _agree(lambda rows: step.run(rows) if step.admits(rows) else None, stock, rows)
        for rows in _trial_rows(step, dtype)
    )


def _agree(fast: Callable[[Any], Any], stock: Callable[[Any], Any], rows: Any) -> bool:
    """Whether the fast way gives the same as stock, or leaves it to it."""
    try:
        found = fast(rows)
    except REFUSALS:
        return False
    try:
        expected = stock(rows)
    except REFUSALS:
        return found is None
    return found is None or _is_same(found, expected)


def _trial_rows(step: Step, dtype: Any) -> Iterator[Array]:
    rng = np.random.RandomState(0)
    trials = [rng.normal(scale=scale, size=(n_rows, step.width)) for n_rows, scale in ((1, 1.0), (9, 3.0))]
    if step.accepts != "finite":
        trials.append(np.where(rng.uniform(size=(3, step.width)) < 0.5, np.nan, 1.0))
    for rows in trials:
        rows = rows.astype(dtype)
        rows.flags.writeable = False
        yield rows


def _is_same(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(_is_same, found, expected))
    if type(found) is not np.ndarray or type(expected) is not np.ndarray:
        return False
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    return found.tolist() == expected.tolist() if found.dtype == object else found.tobytes() == expected.tobytes()


def _alone(model: Any) -> Any:
    """The model with one job: with more, a forest adds its trees in any order, which is not always the same sum."""
    if getattr(model, "n_jobs", None) in (None, 1):
        return model
    model = copy(model)
    model.n_jobs = 1
    return model


def _gives_frames(model: Any) -> bool:
    from sklearn import get_config

    wanted = getattr(model, "_sklearn_output_config", {}).get("transform") or get_config()["transform_output"]
    return bool(wanted != "default")
