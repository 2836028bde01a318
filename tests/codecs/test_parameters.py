"""The parameters of estimators are what ``get_params`` says."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.utils.discovery import all_estimators

import battery
from keepfit.codecs import policy
from keepfit.codecs.codec import Building
from keepfit.codecs.sklearn_seam import broken_in_column, parameters_of


class ByHand:
    """What another library's estimator may look like."""

    def get_params(self, deep: bool = False) -> dict[str, Any]:
        return {"deep": deep}


class Holder(BaseEstimator):
    def __init__(self, inner: Any) -> None:
        self.inner = inner


@pytest.mark.parametrize(("name", "cls"), all_estimators())
def test_they_are_those_of_get_params(name: str, cls: type) -> None:
    for estimator in battery.instances(cls):
        found, said = parameters_of(estimator), estimator.get_params(deep=True)
        assert found.keys() == said.keys()
        assert all(found[parameter] is said[parameter] for parameter in said)


@pytest.mark.parametrize("obj", [ByHand(), Holder(ByHand()), Holder(ByHand), make_pipeline("passthrough", ByHand())])
def test_also_of_what_only_looks_like_an_estimator(obj: Any) -> None:
    assert parameters_of(obj) == obj.get_params(deep=True)


@pytest.mark.parametrize(
    ("values", "is_broken"),
    [([1, 5, 300], False), ([1, 0, 300], True), ([1, "sqrt", None], False), ([1, 2.5], True), ([True, 1], False)],
)
def test_a_column_of_parameters_is_refused_if_one_value_is(values: list[Any], is_broken: bool) -> None:
    from sklearn.tree import DecisionTreeClassifier

    assert broken_in_column(DecisionTreeClassifier, "max_features", values) is is_broken
    each = [broken_in_column(DecisionTreeClassifier, "max_features", [value]) for value in values]
    assert any(each) is is_broken


class _Recording(dict[str, Any]):
    """A state that notes which attributes it was asked for."""

    def __init__(self, **state: Any) -> None:
        super().__init__(state)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


@pytest.mark.parametrize(
    "name", ["sklearn.decomposition.NMF", "sklearn.decomposition.MiniBatchNMF", "sklearn.svm.SVC", "functools.partial"]
    + [f"sklearn.kernel_approximation.{name}" for name in ("AdditiveChi2Sampler", "PolynomialCountSketch")]
    + [f"sklearn.feature_extraction.text.{name}" for name in ("CountVectorizer", "TfidfVectorizer")],
)  # fmt: skip
def test_what_the_policy_asks_for_is_what_groups_are_looked_at_for(name: str) -> None:
    state = _Recording(memory="a folder", metric_params={})  # so that nothing is passed over
    policy.apply(name, state, Building())
    assert "n_jobs" in state.asked
    assert state.asked <= policy.looked_at(name)
