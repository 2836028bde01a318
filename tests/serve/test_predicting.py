"""Models that answer tensors with tensors: what they promise is what they give, and what scikit-learn gives."""

from __future__ import annotations

import re
import sys
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import battery
import estimator_cases
from keepfit.errors import UnsupportedError
from keepfit.serve.errors import RequestError
from keepfit.serve.predicting import Served
from keepfit.serve.signature import Field
from keepfit.serve.tensors import DATATYPES, Tensor, from_array, to_array

pytestmark = pytest.mark.filterwarnings("ignore")

SERVABLE = ("predict", "transform", "predict_proba", "decision_function")


def request_for(served: Served, X: Any) -> list[Tensor]:
    """X as the tensors that the signature asks for."""
    fields = served.signature.inputs
    if isinstance(X, pd.DataFrame) and fields[0].name != "X":
        return [tensor_of(field, X[field.name].to_numpy().reshape(-1, 1)) for field in fields]
    (field,) = fields
    X = X.to_numpy() if isinstance(X, pd.DataFrame) else X
    X = X[:10]  # a hasher's answer is a million columns wide
    if isinstance(X[0], dict | tuple):
        X = [msgspec.json.encode(record).decode() for record in X]
    values = np.asarray(X, dtype=object if field.datatype == "BYTES" else None)
    return [tensor_of(field, values if values.ndim == len(field.shape) else values.reshape(-1, 1))]


def tensor_of(field: Field, values: Any) -> Tensor:
    tensor = from_array(field.name, values.astype(DATATYPES.get(field.datatype, object)))
    assert tensor.datatype == field.datatype
    assert_suits(tensor, field)
    return tensor


def assert_suits(tensor: Tensor, field: Field) -> None:
    assert len(tensor.shape) == len(field.shape)
    assert all(promised in (-1, size) for size, promised in zip(tensor.shape, field.shape, strict=True))


def assert_as_promised(served: Served, model: Any, X: Any) -> None:
    """Each output has the datatype and shape of the signature, and equals the stock method's to the bit."""
    tensors = request_for(served, X)
    if len(tensors) == 1:
        X = X[:10]
    elif isinstance(
        X, pd.DataFrame
    ):  # in C order, as arrays are: in another, the products of BLAS may round differently
        X = pd.DataFrame(np.ascontiguousarray(X.to_numpy()), columns=X.columns, copy=False)
    for field in served.signature.outputs:
        try:
            expected = getattr(model, field.name)(X)
        except (ValueError, TypeError) as error:
            with pytest.raises(RequestError, match=re.escape(str(error).splitlines()[0][:200])):
                served.answer(tensors, [field.name])
            continue
        (answer,) = served.answer(tensors, [field.name])
        assert (answer.name, answer.datatype) == (field.name, field.datatype)
        assert_suits(answer, field)
        assert -1 not in field.shape[1:], "the number of columns is known"
        assert_equal(to_array(answer), expected)


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, list):
        for place, one in enumerate(expected):
            assert np.array_equal(found[:, place, : one.shape[1]], one, equal_nan=True)
        return
    expected = np.asarray(expected.toarray() if hasattr(expected, "toarray") else expected)
    if found.dtype == object:
        assert found.tolist() == np.vectorize(str, otypes=[object])(expected).tolist()
    else:
        assert found.dtype == expected.dtype
        assert found.tobytes() == expected.tobytes()


def test_every_estimator_gives_what_its_signature_promises_and_what_scikit_learn_gives() -> None:
    count = 0
    for label, model, X in battery.fitted():
        methods = {method for method in SERVABLE if hasattr(model, method)}
        if not methods:
            continue
        try:
            served = Served(model, {})
            assert served.signature.type.endswith(type(model).__name__)
            assert {field.name for field in served.signature.outputs} == methods
            assert_as_promised(served, model, X)
        except (AssertionError, RequestError) as error:
            raise AssertionError(label) from error
        count += 1
    assert count >= 200


@pytest.mark.parametrize(
    "category",
    [
        "with several outputs",
        "on a DataFrame",
        pytest.param("in a GridSearchCV", marks=pytest.mark.long),  # of all estimators a search is one, too
        "on float32",
    ],
)
def test_models_in_other_surroundings_give_what_they_promise(category: str) -> None:
    cases = estimator_cases.cases(category)
    assert len(cases) >= 30
    for label, model, X in cases:
        if X is None or not any(hasattr(model, method) for method in SERVABLE):
            continue
        try:
            if category == "on float32":  # what the signature asks for, which is FP32 where categories are
                X = X.astype(DATATYPES[Served(model, {}).signature.inputs[0].datatype])
            assert_as_promised(Served(model, {}), model, X)
        except (AssertionError, RequestError) as error:
            raise AssertionError(label) from error


# Tables of numbers and text


FRAME = pd.DataFrame(
    {
        "age": [20.0, np.nan, 40.0, 50.0, 33.0, 21.0],
        "city": ["Rome", "Oslo", "Rome", np.nan, "Oslo", "Bern"],
        "rooms": [1, 2, 3, 1, 2, 3],
        "note": ["a small flat", "large", "a large flat", "dark", "small", "a dark flat"],
    }
).astype({"city": object, "note": object})
TARGET = np.array(["no", "yes", "yes", "no", "yes", "no"])


def preparation() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("codes", OrdinalEncoder(), ["rooms"]),
            ("words", TfidfVectorizer(), "note"),
        ]
    )


@pytest.fixture(scope="module")
def mixed() -> Pipeline:
    return make_pipeline(preparation(), LogisticRegression()).fit(FRAME, TARGET)


def columns_of(frame: pd.DataFrame) -> list[Tensor]:
    return [
        from_array(name, frame[name].fillna("").to_numpy() if frame[name].dtype == object else frame[name].to_numpy())
        for name in frame
    ]


def test_each_column_is_an_input_of_the_datatype_that_the_steps_took_it_for(mixed: Pipeline) -> None:
    signature = Served(mixed, {}).signature
    assert signature.inputs == (
        Field("age", "FP64", (-1, 1)),
        Field("city", "BYTES", (-1, 1), ("Bern", "Oslo", "Rome")),
        Field("rooms", "INT64", (-1, 1), ("1", "2", "3")),
        Field("note", "BYTES", (-1, 1)),
    )
    assert signature.outputs == (
        Field("predict", "BYTES", (-1,)),
        Field("predict_proba", "FP64", (-1, 2)),
        Field("decision_function", "FP64", (-1,)),
    )
    assert signature.classes == ("no", "yes")
    assert signature.defaults == ("predict",)


def test_columns_may_come_in_any_order_and_an_empty_text_is_the_missing_value_that_the_model_knows(
    mixed: Pipeline,
) -> None:
    tensors = columns_of(FRAME)
    for sent in (tensors, tensors[::-1]):
        (answer,) = Served(mixed, {}).answer(sent, ["predict_proba"])
        assert to_array(answer).tobytes() == mixed.predict_proba(FRAME).tobytes()


def test_the_default_output_is_given_when_none_is_asked_for(mixed: Pipeline) -> None:
    (answer,) = Served(mixed, {}).answer(columns_of(FRAME), [])
    assert answer.name == "predict"
    assert to_array(answer).tolist() == mixed.predict(FRAME).tolist()


def test_outputs_come_in_the_order_they_are_asked_for(mixed: Pipeline) -> None:
    names = ["decision_function", "predict", "predict_proba"]
    assert [tensor.name for tensor in Served(mixed, {}).answer(columns_of(FRAME), names)] == names


def test_text_and_numbers_without_names_are_inputs_of_their_own() -> None:
    X = FRAME[["age", "city"]].fillna({"age": 0.0, "city": "none"}).to_numpy()
    model = ColumnTransformer([("numbers", StandardScaler(), [0]), ("texts", OneHotEncoder(), [1])]).fit(X)
    served = Served(model, {})
    assert [(field.name, field.datatype) for field in served.signature.inputs] == [("x0", "FP64"), ("x1", "BYTES")]
    sent = [from_array("x0", X[:, 0].astype(float)), from_array("x1", X[:, 1])]
    assert_equal(to_array(served.answer(sent, [])[0]), model.transform(X))


def test_pandas_categories_of_histogram_boosting_are_text_with_its_categories() -> None:
    frame = pd.DataFrame({"n": np.arange(40.0), "c": pd.Categorical(["u", "v"] * 20)})
    model = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2).fit(frame, [0, 1] * 20)
    served = Served(model, {})
    assert served.signature.inputs[1] == Field("c", "BYTES", (-1, 1), ("u", "v"))
    sent = [from_array("n", frame["n"].to_numpy()), from_array("c", frame["c"].to_numpy(dtype=object))]
    assert_equal(to_array(served.answer(sent, ["predict_proba"])[0]), model.predict_proba(frame))


def test_the_facts_of_a_search_tell_of_columns_on_which_the_model_is_silent() -> None:
    facts = {"metadata": msgspec.json.encode({"columns": {"a": "number", "b": "text"}}).decode()}
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    model = ColumnTransformer([("keep", "passthrough", ["a", "b"])]).fit(frame)
    assert [field.datatype for field in Served(model, facts).signature.inputs] == ["FP64", "BYTES"]
    assert [field.datatype for field in Served(model, {}).signature.inputs] == ["FP64", "FP64"]


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: GridSearchCV(model, {}, cv=2)])
def test_a_vectoriser_at_the_front_takes_texts(wrap: Any) -> None:
    texts = FRAME["note"].tolist()
    model = wrap(make_pipeline(HashingVectorizer(n_features=16), LogisticRegression())).fit(texts, TARGET)
    served = Served(model, {})
    assert served.signature.inputs == (Field("X", "BYTES", (-1,)),)
    for shape in ((-1,), (-1, 1)):
        sent = from_array("anything", np.array(texts, dtype=object).reshape(shape))
        assert_equal(to_array(served.answer([sent], [])[0]), model.predict(texts))


@pytest.fixture(scope="module")
def forest() -> RandomForestClassifier:
    X, y = load_iris(return_X_y=True, as_frame=True)
    return RandomForestClassifier(5, random_state=0).fit(X, y)


def test_named_columns_of_one_datatype_may_come_as_one_tensor(forest: RandomForestClassifier) -> None:
    X = load_iris(as_frame=True).data
    served = Served(forest, {})
    expected = forest.predict_proba(X)
    together = from_array("input-0", X.to_numpy())
    for sent in ([together], [from_array(name, X[name].to_numpy().reshape(-1, 1)) for name in X]):
        assert to_array(served.answer(sent, ["predict_proba"])[0]).tobytes() == expected.tobytes()


def test_float32_reaches_the_model_as_float32() -> None:
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(X, y)
    (answer,) = Served(model, {}).answer([from_array("X", X.astype(np.float32))], ["predict_proba"])
    assert_equal(to_array(answer), model.predict_proba(X.astype(np.float32)))


# Refusals


@pytest.mark.parametrize(
    ("tensors", "outputs", "why"),
    [
        ([from_array("X", np.full((1, 4), np.nan))], [], "Input X contains NaN"),
        ([from_array("X", np.ones((1, 3)))], [], "X has 3 features, but Ridge is expecting 4"),
        ([from_array("X", np.ones(4))], [], "Expected 2D array"),
        ([from_array("X", np.ones((0, 4)))], [], "0 sample"),
        ([from_array("X", np.ones((1, 4)))], ["predict_proba"], "no output 'predict_proba'; it has predict"),
        ([from_array("X", np.array([["a"] * 4]))], [], "is of BYTES; the model takes numbers"),
        ([], [], "inputs are missing: 'x0'"),
        ([from_array("X", np.ones((1, 4)))] * 2, [], "no input 'X'; it has 'x0'"),
        ([Tensor("X", "FP64", (1, 4), b"")], [], "0 bytes of data"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(tensors: list[Tensor], outputs: list[str], why: str) -> None:
    served = Served(Ridge().fit(np.eye(4), [1.0, 2.0, 3.0, 4.0]), {})
    with pytest.raises(RequestError, match=re.escape(why)) as caught:
        served.answer(tensors, outputs)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_what_is_wrong_with_one_column_is_said_by_its_name(mixed: Pipeline) -> None:
    served, sent = Served(mixed, {}), columns_of(FRAME)
    for tensors, why in (
        (sent[1:], "missing: 'age'"),
        ([*sent, from_array("street", np.ones(6))], "no input 'street'"),
        ([*sent, sent[0]], "'age' is there twice"),
        ([from_array("age", np.array(["x"] * 6)), *sent[1:]], "'age' is of BYTES; the model takes numbers"),
        ([from_array("age", np.ones(5)), *sent[1:]], "different numbers of rows"),
        ([from_array("age", np.ones((3, 2))), *sent[1:]], "it takes [-1, 1]"),
        ([from_array("X", np.ones((6, 4)))], "send one tensor for each of 'age', 'city'"),
        (
            [*sent[:2], from_array("rooms", np.full(6, 9)), sent[3]],
            "Found unknown categories [np.int64(9)] in column 0",
        ),
    ):
        with pytest.raises(RequestError, match=re.escape(why)):
            served.answer(tensors, [])


def test_a_record_has_to_be_json() -> None:
    with pytest.raises(RequestError, match="as JSON"):
        Served(DictVectorizer().fit([{"a": 1}]), {}).answer([from_array("X", np.array(["{"], dtype=object))], [])


def test_a_sparse_answer_too_large_to_be_sent_is_refused() -> None:
    with pytest.raises(RequestError, match="ask for fewer rows"):
        Served(HashingVectorizer(), {}).answer([from_array("X", np.array(["a"] * 20, dtype=object))], [])


@pytest.mark.parametrize(
    ("model", "why"), [(DBSCAN(), "nothing to serve"), ({}, "nothing to serve"), (Ridge(), "not fitted")]
)
def test_what_cannot_be_served_is_refused_at_once(model: Any, why: str) -> None:
    with pytest.raises(UnsupportedError, match=why):
        Served(model, {})


def test_columns_found_by_name_need_pandas_and_others_do_not(
    mixed: Pipeline, forest: RandomForestClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(RequestError, match="pandas"):
        Served(mixed, {}).answer(columns_of(FRAME), [])
    X = load_iris().data
    (answer,) = Served(forest, {}).answer([from_array("X", X)], [])
    assert answer.shape == (150,)
