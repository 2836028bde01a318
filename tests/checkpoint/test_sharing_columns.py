"""Parts of column transformers and feature unions that candidates have in common are fitted once for each split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from test_sharing import assert_shared_equals_plain
from test_sharing_guards import planned

from keepfit.checkpoint.sharing import CASES, compose
from keepfit.checkpoint.sharing.memory import same_rows

AMOUNTS, KINDS = ["width", "height"], ["colour", "shape"]


def frame() -> tuple[pd.DataFrame, Any]:
    """Amounts, some of them missing, kinds, and text."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(size=(90, 3)), columns=[*AMOUNTS, "depth"])
    data.loc[::7, "width"] = np.nan
    data["colour"] = rng.choice(["red", "green", "blue", "one of a kind"], 90, p=[0.4, 0.3, 0.2, 0.1])
    data["shape"] = pd.Categorical(rng.choice(["round", "flat"], 90))
    data["words"] = [" ".join(words) for words in rng.choice(["some", "good", "words", "here"], (90, 4))]
    return data, rng.integers(0, 3, 90)


def array() -> tuple[Any, Any]:
    X, y = frame()
    return np.column_stack([X[AMOUNTS].fillna(0.0), X["depth"].round(), X["shape"].cat.codes]), y


def columns(remainder: Any = "drop", **options: Any) -> ColumnTransformer:
    amounts = Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())])
    kinds = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("n", amounts, AMOUNTS), ("k", kinds, KINDS)], remainder=remainder, **options)


def search(first: Any, grid: Any, last: Any = None) -> GridSearchCV:
    last = DecisionTreeClassifier(random_state=0) if last is None else last
    steps = Pipeline([("c", first), ("m", last)])
    return GridSearchCV(steps, grid, cv=3, refit=False, return_train_score=True, error_score="raise")


GRID = {"c__n__fill__strategy": ["mean", "median"], "c__k__min_frequency": [None, 0.15], "m__max_depth": [2, 5]}


def transformed(first: Any, grid: Any, X: Any, y: Any) -> tuple[list[Any], Any]:
    """The transformer of each candidate of a grid, fitted by way of the others' parts, and what holds these."""
    kin = [clone(first).set_params(**one) for one in ParameterGrid(grid)]
    case = CASES[f"{type(first).__module__}.{type(first).__qualname__}"]
    source = case.source(kin, X, y)
    for one in kin:
        found = case.transformed(source, one, X, y)
        plain = clone(one).fit_transform(X, y)
        for made in (found, plain):
            if scipy.sparse.issparse(made):
                made.sort_indices()
        assert type(found) is type(plain)
        as_bytes = [made.data if scipy.sparse.issparse(made) else np.asarray(made) for made in (found, plain)]
        assert as_bytes[0].tobytes() == as_bytes[1].tobytes()
    return kin, source


def test_a_part_is_fitted_once_and_held_until_its_last_candidate_has_it() -> None:
    grid = {"n__fill__strategy": ["mean", "median"], "k__min_frequency": [None, 0.15, 0.25]}
    kin, source = transformed(columns(), grid, *frame())
    kinds = {id(one.named_transformers_["k"].categories_[0]) for one in kin}
    amounts = {id(one.named_transformers_["n"].named_steps["fill"]) for one in kin}
    assert (len(kinds), len(amounts)) == (3, 2)
    assert source._known == []


def test_parts_past_the_room_are_fitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "_MOST_BYTES", 1)
    grid = {"n__fill__strategy": ["mean", "median"], "k__min_frequency": [None, 0.15]}
    kin, _ = transformed(columns(), grid, *frame())
    assert len({id(one.named_transformers_["n"].named_steps["fill"]) for one in kin}) == 4


def test_equal_parts_on_other_columns_are_told_apart() -> None:
    first = ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", StandardScaler(), [2, 1]), ("k", "drop", [3])])
    kin, _ = transformed(first, {"k": ["drop", "passthrough"]}, *array())
    assert kin[0].named_transformers_["a"].mean_ is kin[1].named_transformers_["a"].mean_
    assert kin[0].named_transformers_["a"].mean_ is not kin[0].named_transformers_["b"].mean_


def test_parts_that_are_told_otherwise_how_to_give_their_output_are_not_the_same() -> None:
    ways = [OneHotEncoder(sparse_output=False).set_output(transform=way) for way in ("default", "pandas")]
    first = ColumnTransformer([("n", StandardScaler(), AMOUNTS), ("k", "drop", KINDS)])
    kin, _ = transformed(first, {"k": ways}, *frame())
    assert kin[0].named_transformers_["n"].mean_ is kin[1].named_transformers_["n"].mean_
    whole = [planned(Pipeline([("a", one), ("b", DecisionTreeClassifier(random_state=0))]), {}) for one in ways]
    assert whole[0].single == whole[1].single == [0, 1]
    steps = Pipeline([("a", StandardScaler()), ("b", DecisionTreeClassifier(random_state=0))])
    scalers = [StandardScaler(), StandardScaler().set_output(transform="pandas")]
    assert planned(steps, {"a": scalers, "b__max_leaf_nodes": [3]}).groups == []


CODES = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
REMAINDERS: dict[str, Any] = {"dropped": "drop", "kept": "passthrough", "encoded": CODES}


@pytest.mark.parametrize("threshold", [0.0, 1.0])
@pytest.mark.parametrize("remainder", REMAINDERS)
def test_scores_are_equal_on_frames(remainder: str, threshold: float, tmp_path: Path) -> None:
    X, y = frame()
    first = columns(REMAINDERS[remainder], sparse_threshold=threshold)
    data = X.drop(columns="words") if remainder != "dropped" else X
    run = assert_shared_equals_plain(search(first, GRID), (data, y), tmp_path / "s.db")
    assert run.computed == 24


@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_scores_are_equal_on_arrays(form: Any, tmp_path: Path) -> None:
    X, y = array()
    scaled = StandardScaler(with_mean=False)
    first = ColumnTransformer([("n", scaled, [0, 1]), ("k", "drop", [3])], remainder=clone(scaled))
    grid = {"c__n__with_std": [True, False], "c__k": [SelectKBest(k=1), "drop", "passthrough"], "m__max_depth": [2, 5]}
    assert_shared_equals_plain(search(first, grid), (form(X), y), tmp_path / "s.db")


def test_scores_are_equal_with_text_selectors_weights_and_named_outputs(tmp_path: Path) -> None:
    X, y = frame()
    bins = KBinsDiscretizer(3, encode="onehot", strategy="uniform")
    parts = [
        ("text", TfidfVectorizer(), "words"),
        ("n", bins, ["depth"]),
        ("k", OneHotEncoder(), make_column_selector(dtype_include="category")),
    ]
    weighted = ColumnTransformer(parts, transformer_weights={"text": 0.3, "n": 2.0})
    grid = {"c__text__norm": ["l1", "l2"], "c__n__n_bins": [2, 3], "m__max_depth": [2, 5]}
    assert_shared_equals_plain(search(weighted, grid), (X, y), tmp_path / "a.db")
    named = columns(sparse_threshold=0).set_params(k__sparse_output=False).set_output(transform="pandas")
    assert_shared_equals_plain(search(named, GRID), (X, y), tmp_path / "b.db")


def test_scores_are_equal_after_other_steps_and_with_forests(tmp_path: Path) -> None:
    first = ColumnTransformer([("n", PCA(svd_solver="full"), [0, 1]), ("k", StandardScaler(), [2, 3])])
    steps = Pipeline([("s", StandardScaler()), ("c", first), ("m", RandomForestClassifier(random_state=0))])
    grid = {"s__with_std": [True, False], "c__n__n_components": [1, 2], "m__n_estimators": [3, 6]}
    found = GridSearchCV(steps, grid, cv=3, refit=False, scoring="neg_log_loss", n_jobs=2)
    run = assert_shared_equals_plain(found, array(), tmp_path / "s.db")
    assert run.searches[0].fit_count == 12


@pytest.mark.parametrize("data", [array, frame])
def test_scores_are_equal_in_unions(data: Any, tmp_path: Path) -> None:
    if data is array:
        parts = [("s", StandardScaler()), ("p", PCA(svd_solver="full")), ("k", SelectKBest())]
        grid: dict[str, list[Any]] = {"c__p__n_components": [1, 2], "c__k__k": [1, 3], "c__s": ["drop", "passthrough"]}
        first = FeatureUnion(parts, transformer_weights={"p": 10.0})
        found = search(first, grid)
    else:
        words = FeatureUnion([("a", CountVectorizer()), ("b", TfidfVectorizer(analyzer="char"))])
        found = search(words, {"c__a__binary": [True, False], "c__b__ngram_range": [(1, 1), (1, 2)]})
    X, y = data()
    assert_shared_equals_plain(found, (X["words"] if data is frame else X, y), tmp_path / "s.db")


def test_parts_of_unions_are_fitted_once_and_named_outputs_are_theirs() -> None:
    X, y = frame()
    first = FeatureUnion([("a", StandardScaler()), ("b", SimpleImputer())]).set_output(transform="pandas")
    kin, _ = transformed(first, {"b__strategy": ["mean", "median"]}, X[["height", "depth"]], y)
    assert kin[0].transformer_list[0][1].mean_ is kin[1].transformer_list[0][1].mean_
    assert list(kin[1].get_feature_names_out()) == ["a__height", "a__depth", "b__height", "b__depth"]


def test_routed_metadata_go_the_plain_way(tmp_path: Path) -> None:
    X, y = array()
    with sklearn.config_context(enable_metadata_routing=True):
        weighted, other = (StandardScaler().set_fit_request(sample_weight=asked) for asked in (True, False))
        first = ColumnTransformer([("n", weighted, [0, 1]), ("k", other, [2])])
        last = DecisionTreeClassifier(random_state=0).set_fit_request(sample_weight=True)
        found = search(first, {"c__n__with_std": [True, False], "m__max_depth": [2, 3]}, last)
        found.scoring = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        weights = np.linspace(0.1, 1, len(y))
        assert_shared_equals_plain(found, (X, y), tmp_path / "s.db", sample_weight=weights)


def test_messages_and_a_single_part_are_no_reason_to_share() -> None:
    case = CASES["sklearn.compose._column_transformer.ColumnTransformer"]
    assert not case.admits(columns(verbose=True))
    assert not case.admits(ColumnTransformer([("n", StandardScaler(), [0]), ("k", "drop", [1])]))
    assert not case.admits(ColumnTransformer([StandardScaler()]))
    assert not CASES["sklearn.pipeline.FeatureUnion"].admits(FeatureUnion([("n", StandardScaler())]))


def test_a_column_transformer_by_itself_is_not_shared() -> None:
    grid = {"n__with_std": [True, False]}
    first = ColumnTransformer([("n", StandardScaler(), [0]), ("k", StandardScaler(), [1])])
    assert planned(first, grid).groups == []


def test_frames_are_compared_by_what_is_in_them() -> None:
    X, _ = frame()
    assert same_rows(X, X.copy())
    assert all(same_rows(X[name], X[name].copy()) for name in X)
    for name, values in {"width": (0.0, -0.0), "colour": ("a", "b"), "shape": ("flat", "round")}.items():
        one, other = X.copy(), X.copy()
        one.loc[0, name], other.loc[0, name] = values
        assert not same_rows(one, other)
        assert not same_rows(one[name], other[name])
    turned = X["shape"].cat.reorder_categories(["round", "flat"])
    assert not same_rows(X["shape"], turned)
    assert not same_rows(X["width"], X["width"].rename("height"))
