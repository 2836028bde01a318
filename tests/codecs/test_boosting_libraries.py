"""Models of XGBoost and LightGBM: kept, and loaded by those who trust them, as their compiled code reads the files."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas
import pytest
import xgboost
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import StackingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import keepfit
from keepfit import artifact, codecs
from keepfit.errors import UntrustedError

X, y = load_iris(return_X_y=True)
X2, y2 = load_breast_cancer(return_X_y=True)
XD, yd = load_diabetes(return_X_y=True)
FEW = {"n_estimators": 4, "random_state": 0}
QUIET = {**FEW, "verbose": -1}
GROUPS = [15] * 10
KINDS = {"xgboost": xgboost.XGBRegressor, "lightgbm": lightgbm.LGBMRegressor}


def categories() -> Any:
    frame = pandas.DataFrame(X[:, :2], columns=["width", "length"])
    return frame.assign(kind=pandas.Categorical(np.where(X[:, 2] > 3, "long", "short")))


def stopped_early(model: Any) -> Any:
    return model.fit(XD[:300], yd[:300], eval_set=[(XD[300:], yd[300:])], verbose=False)


#: Fitted models and rows they predict.
MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "xgboost, two classes": lambda: (xgboost.XGBClassifier(**FEW).fit(X2, y2), X2),
    "xgboost, three classes": lambda: (xgboost.XGBClassifier(**FEW).fit(X, y), X),
    "xgboost, stopped early": lambda: (stopped_early(xgboost.XGBRegressor(**FEW, early_stopping_rounds=2)), XD),
    "xgboost, dropped out": lambda: (xgboost.XGBRegressor(**FEW, booster="dart", rate_drop=0.5).fit(XD, yd), XD),
    "xgboost, linear": lambda: (xgboost.XGBRegressor(**FEW, booster="gblinear").fit(XD, yd), XD),
    "xgboost, categories": lambda: (
        xgboost.XGBClassifier(**FEW, enable_categorical=True).fit(categories(), y),
        categories(),
    ),
    "xgboost, forest": lambda: (xgboost.XGBRFClassifier(**FEW).fit(X, y), X),
    "xgboost, ranker": lambda: (xgboost.XGBRanker(**FEW).fit(X, y, group=GROUPS), X),
    "lightgbm, two classes": lambda: (lightgbm.LGBMClassifier(**QUIET).fit(X2, y2), X2),
    "lightgbm, words for classes": lambda: (lightgbm.LGBMClassifier(**QUIET).fit(X, np.array(["a", "b", "c"])[y]), X),
    "lightgbm, forest": lambda: (
        lightgbm.LGBMRegressor(**QUIET, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5).fit(XD, yd),
        XD,
    ),
    "lightgbm, categories": lambda: (lightgbm.LGBMClassifier(**QUIET).fit(categories(), y), categories()),
    "lightgbm, ranker": lambda: (lightgbm.LGBMRanker(**QUIET).fit(X, y, group=GROUPS), X),
    "in a pipeline": lambda: (make_pipeline(StandardScaler(), xgboost.XGBClassifier(**FEW)).fit(X, y), X),
    "in a search": lambda: (
        GridSearchCV(lightgbm.LGBMClassifier(**QUIET), {"n_estimators": [2, 3]}, cv=2).fit(X2, y2),
        X2,
    ),
    "calibrated": lambda: (CalibratedClassifierCV(xgboost.XGBClassifier(**FEW), cv=2).fit(X2, y2), X2),
    "stacked": lambda: (
        StackingClassifier(
            [("lgbm", lightgbm.LGBMClassifier(**QUIET)), ("tree", DecisionTreeClassifier(random_state=0))], cv=2
        ).fit(X, y),
        X,
    ),
    "several targets": lambda: (MultiOutputRegressor(xgboost.XGBRegressor(**FEW)).fit(XD, np.c_[yd, yd**2]), XD),
}


@pytest.mark.filterwarnings("default:.*is deprecated")  # by newer releases of XGBoost
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_and_predicts_the_same_to_the_bit(name: str) -> None:
    model, rows = MODELS[name]()
    data = keepfit.dumps(model)
    needed = keepfit.inspect(data).untrusted_types
    assert {one.partition(".")[0] for one in needed} in ({"xgboost"}, {"lightgbm"})
    back = keepfit.loads(data, trusted=needed)
    for method in ("predict", "predict_proba"):
        if hasattr(model, method):
            assert (
                np.asarray(getattr(back, method)(rows)).tobytes() == np.asarray(getattr(model, method)(rows)).tobytes()
            )
    assert repr(back.get_params()) == repr(model.get_params())
    assert repr(clone(back)) == repr(clone(model))
    assert keepfit.dumps(back) == data


@pytest.mark.parametrize(
    "model", [xgboost.XGBRegressor(), lightgbm.LGBMRegressor()], ids=lambda one: type(one).__name__
)
def test_without_trust_a_model_is_refused_whether_it_is_fitted_or_not(model: Any) -> None:
    name = f"{type(model).__module__}.{type(model).__name__}"
    with pytest.raises(UntrustedError, match=name):
        keepfit.loads(keepfit.dumps(model))
    with pytest.raises(UntrustedError, match=name):
        keepfit.loads(keepfit.dumps(model.fit(XD[:50], yd[:50])))


def test_a_process_that_has_not_met_the_library_loads_its_models_by_name(tmp_path: Path) -> None:
    model = xgboost.XGBRegressor(**FEW).fit(XD, yd)
    keepfit.dump(model, tmp_path / "model.safetensors", sample=XD[:3])
    program = (
        "import keepfit, sys; report = keepfit.inspect(sys.argv[1]);"
        "assert 'xgboost' not in sys.modules;"
        "print(keepfit.verify(sys.argv[1], trusted=report.untrusted_types).methods)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model.safetensors")], check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == "{'predict': True}"


@pytest.mark.parametrize("library", [xgboost, lightgbm], ids=lambda one: one.__name__)
def test_a_file_says_which_release_of_the_library_wrote_it(library: Any) -> None:
    report = keepfit.inspect(keepfit.dumps(KINDS[library.__name__]().fit(XD[:50], yd[:50])))
    assert f"{library.__name__} {library.__version__}" in str(report)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_model_of_another_release_loads_with_a_warning(library: str) -> None:
    model = make_pipeline(StandardScaler(), KINDS[library]()).fit(XD[:50], yd[:50])
    graph = codecs.encode(model)
    graph.versions[library] = "0.90"
    data = artifact.to_bytes(graph, {})
    with pytest.warns(keepfit.KeepfitWarning, match=f"written under {library} 0.90, running .*keepfit.verify"):
        back = keepfit.loads(data, trusted=keepfit.inspect(data).untrusted_types)
    assert back.predict(XD).tobytes() == model.predict(XD).tobytes()


def test_pickles_of_them_are_converted_for_those_who_trust_them() -> None:
    import joblib

    model = make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(**QUIET)).fit(X, y)
    joblib.dump(model, pickled := io.BytesIO())
    needed = keepfit.inspect(pickled.getvalue()).untrusted_types
    keepfit.convert(io.BytesIO(pickled.getvalue()), converted := io.BytesIO(), trusted=needed)
    back = keepfit.loads(converted.getvalue(), trusted=needed)
    assert back.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
