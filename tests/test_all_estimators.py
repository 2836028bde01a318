"""Every estimator of scikit-learn, through a file and a fresh process, equal to the bit and with nothing trusted.

``scripts/estimator_table.py`` prints the figures; `estimator_cases` says what the cases are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import sklearn
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

import estimator_cases
import keepfit
import round_trips
from keepfit import artifact
from keepfit.errors import UnsupportedError, UntrustedError
from keepfit.graph import Graph, Node, Ref

#: Categories that share a fresh process, each with the fewest cases it has under any supported release, so that a test
#: that no longer tests anything fails.
GROUPS = {
    "alone": {"unfitted": 215, "fitted": 215, "parameter variants": 145},
    "inside transformers": {"in a Pipeline": 200, "in a ColumnTransformer": 85, "in a FeatureUnion": 85},
    "inside classifiers": {
        "in a StackingClassifier": 40,
        "in a VotingClassifier": 40,
        "in a BaggingClassifier": 40,
        "in a CalibratedClassifierCV": 38,
    },
    "inside regressors": {"in a StackingRegressor": 52, "in a VotingRegressor": 52, "in a BaggingRegressor": 52},
    "inside others": {"in a GridSearchCV": 190, "in a dict": 200},
    "on other data": {
        "on a sparse matrix": 120,
        "on a sparse array": 120,
        "on a DataFrame": 180,
        "on float32": 180,
        "with several outputs": 25,
    },
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the fresh process: what scikit-learn answers may depend on the number of threads, and so does the time."""
    with threadpool_limits(1):
        yield


def test_every_category_is_in_a_group() -> None:
    assert {name for group in GROUPS.values() for name in group} == set(estimator_cases.CATEGORIES)


#: Every estimator is alone and on other data; in these groups each is once more inside one that is alone, too.
LONG = ("inside transformers", "inside classifiers", "inside regressors", "inside others")

#: Categories whose fits show which attributes there are, and the fewest classes that they show in a group.
OBSERVED = {"unfitted", "fitted", "parameter variants", "on a DataFrame"}
CLASSES_MET = {"alone": 201, "on other data": 150}


@pytest.mark.parametrize(
    "group", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in GROUPS]
)
def test_every_estimator_comes_back_in_a_fresh_process_equal_to_the_bit(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent.parent / "scripts"), *sys.path])
    import make_tables

    met: dict[type, set[str]] = {}

    def look(category: str, model: Any) -> None:
        if category in OBSERVED:
            make_tables.meet(model, met)

    found = round_trips.run(list(GROUPS[group]), tmp_path, look)
    problems = [
        f"{category}: {label}: {problem[:300]}"
        for category, cases in found.items()
        for label, problem in cases.items()
        if problem
    ]
    assert not problems, "\n".join([f"{len(problems)} cases:", *problems])
    for category, fewest in GROUPS[group].items():
        assert len(found[category]) >= fewest, f"{category} has {len(found[category])} cases only"
    assert len(met) >= CLASSES_MET.get(group, 0)
    assert_every_attribute_is_in_the_table(met, make_tables.public_name)


def assert_every_attribute_is_in_the_table(met: dict[type, set[str]], public_name: Callable[[type], str]) -> None:
    """What the fits left is in the table: the same fits, as they take longest."""
    release = ".".join(sklearn.__version__.split(".")[:2])
    table = json.loads(files("keepfit.codecs").joinpath(f"tables/sklearn-{release}.json").read_bytes())
    for cls, attributes in met.items():
        if attributes:  # compiled classes have none
            entry = table[public_name(cls)]
            missing = attributes - {*entry["attributes"], *entry["parameters"], "_stop_words_id"}
            assert not missing, f"{cls.__name__}: {sorted(missing)}"


@pytest.mark.parametrize("module", ["sklearn.preprocessing._data", "sklearn.preprocessing"])
def test_a_class_that_only_claims_a_name_of_scikit_learn_is_refused(module: str) -> None:
    fake = type("StandardScaler", (BaseEstimator,), {"__module__": module})
    with pytest.raises(UnsupportedError, match="StandardScaler"):
        keepfit.dumps(fake())


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.preprocessing.NoSuchScaler",
        "sklearn.os.system",
        "sklearn.utils.fixes.sys.exit",
        "sklearn.externals.joblib.memory.Memory",
        "sklearn.utils._testing.TempMemmap",
        "sklearn.datasets.load_iris",
        "sklearn",
        "sklearn.",
    ],
)
def test_a_name_inside_scikit_learn_opens_nothing_by_itself(name: str) -> None:
    graph = Graph({"object": Ref(0)}, [Node(name)], [], [], {"scikit-learn": sklearn.__version__})
    with pytest.raises(UntrustedError):
        keepfit.loads(artifact.to_bytes(graph, {}))
