"""Searches inside ``keepfit.checkpoint`` on Dask and Ray; `make ecosystem` runs this in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
from comparing import scores_of
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import keepfit

distributed = pytest.importorskip("distributed", reason="Dask is not installed here; make ecosystem runs this")
ray = pytest.importorskip("ray", reason="Ray is not installed here; make ecosystem runs this")

X, y = load_iris(return_X_y=True)
SEARCHES = {
    "nothing to share": (SVC(), {"C": [0.1, 1, 10]}),
    "neighbours": (KNeighborsClassifier(), {"n_neighbors": [1, 3, 5, 7]}),
    "forests, whose trees the engine would fit as well": (
        RandomForestClassifier(random_state=0),
        {"n_estimators": [5, 10, 15]},
    ),
    "a step in common": (make_pipeline(StandardScaler(), SVC()), {"svc__C": [1, 2, 3]}),
}


@pytest.fixture(scope="module", params=["dask", "ray"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "dask":
        with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
            yield "dask"
        return
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False)
    register_ray()
    yield "ray"
    ray.shutdown()


@pytest.mark.parametrize("is_inside", [False, True], ids=["around the block", "inside the block"])
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_gives_the_same_to_the_bit_and_goes_on(
    name: str, is_inside: bool, engine: str, tmp_path: Path
) -> None:
    estimator, grid = SEARCHES[name]

    def search() -> Any:
        return GridSearchCV(estimator, grid, cv=3, n_jobs=-1).fit(X, y).cv_results_

    alone = search()
    for again in (False, True):
        block = keepfit.checkpoint(tmp_path / "state.db", progress=False)
        if is_inside:
            with block as run, joblib.parallel_config(engine):
                found = search()
        else:
            with joblib.parallel_config(engine), block as run:
                found = search()
        assert scores_of(found) == scores_of(alone)
        count = 3 * len(found["params"])
        assert (run.reused, run.computed) == ((count, 0) if again else (0, count))
