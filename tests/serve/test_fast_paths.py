"""The fast way to predict: equal to the bit to scikit-learn's own methods, whatever they are given."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from keepfit.serve.columns import layout_of
from keepfit.serve.fast import prepare, trees_seam
from keepfit.serve.fast.nearest import nearest_to_one
from keepfit.serve.inputs import Inputs

pytestmark = pytest.mark.filterwarnings("ignore")

METHODS = ("predict", "predict_proba", "decision_function", "transform")
WIDTH = 6

BINARY, MULTICLASS, TEXT, SEVERAL, AMOUNT, AMOUNTS = "binary", "multiclass", "text", "several", "amount", "amounts"


def data(target: str) -> tuple[Any, Any]:
    X, y = make_classification(120, WIDTH, n_informative=4, n_classes=3, random_state=0)
    amount = X @ np.arange(1.0, WIDTH + 1)
    return X, {
        BINARY: y > 0,
        MULTICLASS: y,
        TEXT: np.array(["low", "middle", "a lot"])[y],
        SEVERAL: np.c_[y, y > 1],
        AMOUNT: amount,
        AMOUNTS: np.c_[amount, amount**2],
    }[target]


ONE, MANY, BOTH = (AMOUNT,), (AMOUNT, AMOUNTS), (BINARY, MULTICLASS)

#: Estimators, the targets they are fitted on, and the methods that have a fast way then.
MODELS: list[tuple[Any, tuple[str, ...], str]] = [
    (LogisticRegression(), (BINARY, MULTICLASS, TEXT), "predict predict_proba decision_function"),
    (SGDClassifier(random_state=0), (BINARY, MULTICLASS), "predict decision_function"),
    (SGDClassifier(loss="log_loss", random_state=0), (BINARY,), "predict predict_proba decision_function"),
    (RidgeClassifier(), BOTH, "predict decision_function"),
    (LinearSVC(), BOTH, "predict decision_function"),
    (LinearDiscriminantAnalysis(), BOTH, "predict predict_proba decision_function"),
    (LinearRegression(), MANY, "predict"),
    (Ridge(), MANY, "predict"),
    (Lasso(), MANY, "predict"),
    (ElasticNet(), ONE, "predict"),
    (SGDRegressor(random_state=0), ONE, "predict"),
    (GaussianNB(), (MULTICLASS, TEXT), "predict"),
    (SVC(), (BINARY, MULTICLASS, TEXT), "predict"),
    (SVC(kernel="poly", degree=2), (BINARY,), "predict decision_function"),
    (NuSVC(), (BINARY,), "predict"),
    (SVR(), ONE, "predict"),
    (OneClassSVM(), ONE, "predict"),
    (MLPClassifier((8,), max_iter=5, random_state=0), (BINARY, MULTICLASS, TEXT), "predict predict_proba"),
    (MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0), MANY, "predict"),
    (KNeighborsClassifier(algorithm="brute"), (BINARY, TEXT), "predict predict_proba"),
    (KNeighborsClassifier(algorithm="brute", metric="manhattan"), (MULTICLASS,), "predict predict_proba"),
    (KNeighborsClassifier(algorithm="kd_tree"), (MULTICLASS, TEXT), "predict predict_proba"),
    (KNeighborsClassifier(algorithm="ball_tree", n_neighbors=4), (BINARY,), "predict predict_proba"),
    (KNeighborsRegressor(algorithm="brute"), MANY, "predict"),
    (KNeighborsRegressor(algorithm="kd_tree"), MANY, "predict"),
    (DecisionTreeClassifier(max_depth=4), (BINARY, TEXT, SEVERAL), "predict predict_proba"),
    (ExtraTreeClassifier(random_state=0), (MULTICLASS,), "predict predict_proba"),
    (DecisionTreeRegressor(), MANY, "predict"),
    (RandomForestClassifier(7, random_state=0), (BINARY, MULTICLASS, TEXT, SEVERAL), "predict predict_proba"),
    (RandomForestClassifier(7, n_jobs=2, random_state=0), (MULTICLASS,), "predict predict_proba"),
    (ExtraTreesClassifier(7, random_state=0), (MULTICLASS,), "predict predict_proba"),
    (RandomForestRegressor(7, random_state=0), ONE, "predict"),
    (ExtraTreesRegressor(7, random_state=0), ONE, "predict"),
    (GradientBoostingClassifier(n_estimators=7), (BINARY, TEXT), "predict predict_proba decision_function"),
    (GradientBoostingClassifier(n_estimators=7, init="zero"), (MULTICLASS,), "predict predict_proba"),
    (GradientBoostingClassifier(n_estimators=7, loss="exponential"), (BINARY,), "predict predict_proba"),
    (GradientBoostingRegressor(n_estimators=7), ONE, "predict"),
    (HistGradientBoostingClassifier(max_iter=5), (BINARY, TEXT), "predict predict_proba decision_function"),
    (HistGradientBoostingRegressor(max_iter=5), ONE, "predict"),
    (StandardScaler(), ONE, "transform"),
    (StandardScaler(with_mean=False), ONE, "transform"),
    (MinMaxScaler(clip=True), ONE, "transform"),
    (MaxAbsScaler(), ONE, "transform"),
    (RobustScaler(), ONE, "transform"),
    (Normalizer(), ONE, "transform"),
    (SimpleImputer(), ONE, "transform"),
    (SimpleImputer(strategy="median"), ONE, "transform"),
    (PCA(3), ONE, "transform"),
    (TruncatedSVD(3), ONE, "transform"),
    (SelectKBest(k=3), (MULTICLASS,), "transform"),
    (make_pipeline(StandardScaler(), LogisticRegression()), (TEXT,), "predict predict_proba decision_function"),
    (make_pipeline(SimpleImputer(), StandardScaler(), PCA(3), SVC()), (MULTICLASS,), "predict"),
    (make_pipeline(SelectKBest(k=3), "passthrough", RandomForestClassifier(5)), (BINARY,), "predict predict_proba"),
    (make_pipeline(SelectKBest(k=3), RandomForestRegressor(5)), ONE, "predict"),
    (make_pipeline(SelectKBest(k=3), SVC()), (BINARY,), "predict decision_function"),
    (make_pipeline(SelectKBest(k=3), KNeighborsClassifier(algorithm="brute")), (BINARY,), "predict"),
    (make_pipeline(RobustScaler(), MinMaxScaler()), ONE, "transform"),
    (GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {}, cv=2), ONE, "predict"),
]


def fitted() -> list[Any]:
    return [
        pytest.param(
            estimator, target, method, id=f"{re.sub(r'[^A-Za-z0-9=]+', '-', repr(estimator))[:60]} {target} {method}"
        )
        for estimator, targets, methods in MODELS
        for target in targets
        for method in methods.split()
    ]


def odd_inputs() -> dict[str, Any]:
    rng = np.random.RandomState(1)
    X = rng.normal(size=(20, WIDTH))
    missing, infinite = X.copy(), X.copy()
    missing[3, 2], infinite[0, 1] = np.nan, -np.inf
    unaligned = np.frombuffer(b"\0" + X.tobytes(), dtype=np.uint8)[1:].view(float).reshape(X.shape)
    return {
        "rows": X,
        "one row": X[:1].copy(),
        "no rows": X[:0],
        "a hundred rows": rng.normal(size=(100, WIDTH)),
        "many rows": rng.normal(size=(1500, WIDTH)),
        "too few columns": X[:, :-1].copy(),
        "too many columns": np.c_[X, X],
        "missing": missing,
        "a missing row": np.full((1, WIDTH), np.nan),
        "infinite": infinite,
        "huge": X * 1e300,
        "too large for float32": X * 1e60,
        "tiny": X * 1e-310,
        "zeros": np.zeros((2, WIDTH)),
        "negative zeros": -np.zeros((2, WIDTH)),
        "float32": X.astype(np.float32),
        "float32 one row": X[:1].astype(np.float32),
        "float32 missing": missing.astype(np.float32),
        "float16": X.astype(np.float16),
        "whole numbers": (X * 5).astype(int),
        "bool": X > 0,
        "big-endian": X.astype(">f8"),
        "Fortran order": np.asfortranarray(X),
        "every other row": X[::2],
        "backwards": X[::-1],
        "every other column": np.c_[X, X][:, ::2],
        "unaligned": unaligned,
        "objects": X.astype(object),
        "text": X.astype(str),
        "words": np.full((2, WIDTH), "word"),
        "a list": X.tolist(),
        "one dimension": X[0],
        "three dimensions": X[np.newaxis],
        "masked": np.ma.array(X, mask=X > 1),
        "sparse": scipy.sparse.csr_matrix(X),
        "nothing": None,
    }


ODD_INPUTS = odd_inputs()


def outcome(call: Callable[[Any], Any], X: Any) -> tuple[Any, ...]:
    """What a call gives, in a form that is equal only if it is the same to the bit; or its error's class and words."""
    try:
        found = call(X)
    except Exception as error:  # the error is the outcome
        return type(error), str(error)
    parts = found if isinstance(found, list) else [found]
    if any(scipy.sparse.issparse(part) for part in parts):
        return ("sparse", *(part.toarray().tobytes() for part in parts))
    return tuple(
        (type(part), part.dtype, part.shape, part.tolist() if part.dtype == object else part.tobytes())
        for part in parts
    )


def fit(estimator: Any, target: str) -> Any:
    np.random.seed(0)
    return estimator.fit(*data(target))


class Counted:
    """What is given to a model's own methods, counted."""

    calls = 0

    def __call__(self, X: Any) -> Any:
        self.calls += 1
        return X


@pytest.mark.parametrize(("estimator", "target", "method"), fitted())
def test_the_fast_way_is_equal_to_the_bit_on_every_input(estimator: Any, target: str, method: str) -> None:
    model = fit(estimator, target)
    stock = getattr(model, method)
    fast = prepare(model, method)
    assert fast is not None
    for name, X in ODD_INPUTS.items():
        np.random.seed(0)
        expected = outcome(stock, X)
        np.random.seed(0)
        assert outcome(fast, X) == expected, name
    rng = np.random.RandomState(2)
    for number in range(40):
        X = rng.normal(scale=10 ** rng.uniform(-2, 2), size=(1 + number % 3, WIDTH))
        assert outcome(fast, X) == outcome(stock, X)
        X = X.astype(np.float32)
        assert outcome(fast, X) == outcome(stock, X)


@pytest.mark.parametrize(("estimator", "target", "method"), fitted())
def test_ordinary_rows_do_not_come_to_the_stock_method(estimator: Any, target: str, method: str) -> None:
    counted = Counted()
    fast = prepare(fit(estimator, target), method, counted)
    assert fast is not None
    counted.calls = 0
    for X in (ODD_INPUTS["rows"], ODD_INPUTS["one row"]):
        before = X.copy()
        assert len(fast(X)) in (len(X), 2)  # a list of two outputs where there are several
        assert np.array_equal(X, before)
    assert counted.calls == 0


def test_a_forest_too_large_to_be_copied_is_walked_tree_by_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees_seam, "_NODES_MAX", 10)
    model, X = fit(RandomForestClassifier(7, random_state=0), SEVERAL), ODD_INPUTS["rows"]
    fast = prepare(model, "predict_proba")
    assert fast is not None
    assert outcome(fast, X) == outcome(model.predict_proba, X)


def test_classes_that_are_not_exactly_scikit_learns_have_no_fast_way() -> None:
    class Mine(LogisticRegression):
        pass

    Mine.__name__ = "LogisticRegression"
    assert prepare(fit(Mine(), BINARY), "predict") is None
    assert prepare(fit(make_pipeline(StandardScaler(), Mine()), BINARY), "predict") is None


def test_a_method_that_says_something_else_has_no_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fit(Ridge(), AMOUNT)
    assert prepare(model, "predict") is not None
    original = Ridge.predict
    monkeypatch.setattr(Ridge, "predict", lambda self, X: original(self, X) * (1 + 1e-15))
    assert prepare(model, "predict") is None


@pytest.mark.parametrize(
    "estimator",
    [
        StandardScaler(copy=False),
        SimpleImputer(add_indicator=True),
        SimpleImputer(missing_values=-1),
        StandardScaler().set_output(transform="pandas"),
    ],
)
def test_settings_that_change_what_a_transformer_does_have_no_fast_way(estimator: Any) -> None:
    assert prepare(fit(estimator, AMOUNT), "transform") is None


def test_a_setting_for_all_transformers_counts_as_well() -> None:
    model = fit(StandardScaler(), AMOUNT)
    with config_context(transform_output="pandas"):
        assert prepare(model, "transform") is None


def test_infinity_that_arises_between_steps_is_refused_as_stock_does() -> None:
    model = fit(make_pipeline(StandardScaler(), LogisticRegression()), BINARY)
    model[0].scale_[0] = 1e-200
    fast = prepare(model, "predict")
    assert fast is not None
    X = np.full((1, WIDTH), 1e153)
    assert outcome(fast, X) == outcome(model.predict, X)
    assert "infinity" in outcome(fast, X)[1]


# Nearest neighbours: where rounding could decide, scikit-learn's own search does


def nearby(kind: str) -> Any:
    """Rows among which neighbours are hard to tell apart."""
    rng = np.random.RandomState(4)
    X = rng.normal(size=(200, WIDTH))
    return {
        "all different": X,
        "each twice": np.repeat(X[:100], 2, axis=0),
        "all the same": np.ones_like(X),
        "on a grid": np.round(X),
        "far from zero": X + 1e8,
        "so far that they are one": X + 1e17,
        "one far away": np.r_[X[:-1], np.full((1, WIDTH), 1e150)],
        "beyond what can be squared": X * 1e200,
        "close to nothing": X * 1e-160,
        "scaled apart": X * np.logspace(-8, 8, WIDTH),
    }[kind]


KINDS = (
    "all different", "each twice", "all the same", "on a grid", "far from zero", "so far that they are one",
    "one far away", "beyond what can be squared", "close to nothing", "scaled apart",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", ["minkowski", "sqeuclidean"])
def test_neighbours_that_are_hard_to_tell_apart_are_those_of_scikit_learn(kind: str, metric: str) -> None:
    X = nearby(kind)
    rng = np.random.RandomState(5)
    shifts = rng.normal(scale=np.abs(X).max() * 1e-9, size=X.shape)
    classifier = KNeighborsClassifier(algorithm="brute", metric=metric).fit(X, rng.randint(3, size=len(X)))
    regressor = KNeighborsRegressor(algorithm="brute", metric=metric).fit(X, rng.normal(size=(len(X), 2)))
    for model, method in ((classifier, "predict"), (classifier, "predict_proba"), (regressor, "predict")):
        fast, stock = prepare(model, method), getattr(model, method)
        if fast is not None:
            for row in (*X[:60], *(X + shifts)[:60], *(X[:30] + X[30:60]) / 2):
                assert outcome(fast, row[np.newaxis]) == outcome(stock, row[np.newaxis])


@pytest.mark.parametrize(("kind", "certain"), [("all different", True), ("each twice", False), ("all the same", False)])
def test_the_nearest_are_told_only_where_that_is_certain(kind: str, certain: bool) -> None:
    X = nearby(kind)
    found = nearest_to_one(X, 3)(X[:1] * 0.9)
    assert (found is not None) is certain
    if found is not None:
        assert found.tolist() == [np.linalg.norm(X - X[0] * 0.9, axis=1).argsort()[:3].tolist()]


def test_neighbours_that_are_as_many_as_the_rows_are_found() -> None:
    X, y = data(AMOUNT)
    model = KNeighborsRegressor(n_neighbors=len(X), algorithm="brute").fit(X, y)
    fast = prepare(model, "predict")
    assert fast is not None
    assert outcome(fast, X[:1]) == outcome(model.predict, X[:1])


# Tables: one row of numbers and text


def table(n_rows: int) -> pd.DataFrame:
    rng = np.random.RandomState(3)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=n_rows),
            "town": rng.choice(["Bern", "Oslo", "Rome"], n_rows).astype(object),
            "b": rng.normal(size=n_rows),
            "grade": rng.choice([1, 2, 3], n_rows),
            "mark": rng.choice(["x", "y", np.nan], n_rows).astype(object),
        }
    )
    frame.loc[::5, "a"] = np.nan
    frame["mark"] = frame["mark"].replace("nan", np.nan)
    return frame


def prepared(*more: Any, **options: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b"]),
            ("texts", OneHotEncoder(handle_unknown="ignore", drop="if_binary", sparse_output=False), ["town", "mark"]),
            ("grades", OrdinalEncoder(), [3]),
            *more,
        ],
        **options,
    )


KEPT = ("kept", "passthrough", slice("a", "a"))

TABLES = [
    (make_pipeline(prepared(), LogisticRegression()), ("predict", "predict_proba", "decision_function")),
    (make_pipeline(prepared(), RandomForestClassifier(5, random_state=0)), ("predict", "predict_proba")),
    (make_pipeline(prepared(KEPT), HistGradientBoostingClassifier(max_iter=3)), ("predict", "predict_proba")),
    (GridSearchCV(make_pipeline(prepared(), "passthrough", SVC()), {}, cv=2), ("predict",)),
    (prepared(), ("transform",)),
]


@pytest.mark.parametrize(("estimator", "methods"), TABLES)
def test_one_row_of_a_table_is_predicted_the_fast_way_to_the_bit(estimator: Any, methods: tuple[str, ...]) -> None:
    frame = table(60)
    model = estimator.fit(frame, np.arange(60) % 2)
    inputs = Inputs(layout_of(model, {}))
    for method in methods:
        counted = Counted()
        fast = prepare(model, method, lambda rows, counted=counted: inputs.for_model(counted(rows)))
        assert fast is not None
        counted.calls = 0
        for place in range(60):
            row = frame.iloc[[place]]
            columns = [row[name].to_numpy() for name in frame]
            assert outcome(fast, columns) == outcome(getattr(model, method), row)
        assert counted.calls == 0


@pytest.mark.parametrize(
    "change",
    [
        {"town": "Paris"},
        {"town": np.nan},
        {"town": 3.0},
        {"a": np.inf},
        {"a": 7},
        {"a": "7"},
        {"b": np.nan},
        {"grade": 9},
        {"grade": 2.0},
        {"grade": True},
        {"mark": "x"},
        {"mark": None},
        {"mark": ""},
    ],
)
def test_odd_cells_of_a_table_are_what_they_are_to_scikit_learn(change: dict[str, Any]) -> None:
    frame = table(60)
    model = make_pipeline(prepared(), LogisticRegression()).fit(frame, np.arange(60) % 2)
    as_input = Inputs(layout_of(model, {})).for_model
    fast = prepare(model, "predict_proba", as_input)
    assert fast is not None
    columns = [frame[name].to_numpy()[:1] for name in frame]
    for name, value in change.items():
        columns[frame.columns.get_loc(name)] = np.array(
            [value], dtype=object if isinstance(value, str | None) else None
        )
    assert outcome(fast, columns) == outcome(lambda rows: model.predict_proba(as_input(rows)), columns)


@pytest.mark.parametrize("n_rows", [0, 2, 7])
def test_more_rows_of_a_table_go_the_stock_way(n_rows: int) -> None:
    frame = table(60)
    model = make_pipeline(prepared(), LogisticRegression()).fit(frame, np.arange(60) % 2)
    as_input = Inputs(layout_of(model, {})).for_model
    fast = prepare(model, "predict_proba", as_input)
    assert fast is not None
    columns = [frame[name].to_numpy()[:n_rows] for name in frame]
    assert outcome(fast, columns) == outcome(lambda rows: model.predict_proba(as_input(rows)), columns)


@pytest.mark.parametrize(
    "estimator",
    [
        prepared(sparse_threshold=1.0).set_params(texts__sparse_output=True),
        prepared(("more", FunctionTransformer(np.abs), ["a"])),
        prepared().set_output(transform="pandas"),
    ],
)
def test_tables_of_other_steps_have_no_fast_way(estimator: Any) -> None:
    model = estimator.fit(table(60).fillna({"a": 0.0}))
    assert prepare(model, "transform", Inputs(layout_of(model, {})).for_model) is None
