"""Models whose state newer releases of scikit-learn have changed, for the corpus of files that older ones wrote.

``PYTHONPATH=src python tests/older_models.py`` in an environment of an older release writes that release's files.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import DictionaryLearning
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_selection import SelectFromModel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNetCV,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    MultiTaskElasticNet,
    PoissonRegressor,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TheilSenRegressor,
)
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import ClassifierChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, MaxAbsScaler, SplineTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

__all__ = ["FOLDER", "MODELS", "PICKLED", "REFUSED", "rows"]

FOLDER = Path(__file__).parent / "corpus" / "older"
SMALL = {"n_estimators": 3, "max_depth": 2, "random_state": 0}

X, y = load_iris(return_X_y=True)
X, y = X[::5].copy(), y[::5]
TWO = y > 0
WEIGHTS = np.linspace(0.5, 2, len(y))
HOLES = np.where(np.arange(X.size).reshape(X.shape) % 7, X, np.nan)
SOME = np.where(np.arange(len(y)) % 3, y, -1)


def rows(name: str) -> Any:
    """What the model of this name is asked about."""
    return HOLES[:3] if "imputer" in name else X[:3]


#: Functions that fit a model, by name. (LogisticRegression of 1.6 and 1.7 has more parameters than mypy knows of.)
MODELS: dict[str, Callable[[], Any]] = {
    "ada_boost": lambda: AdaBoostClassifier(n_estimators=2, random_state=0).fit(X, y),
    "bagging_weighted": lambda: BaggingClassifier(GaussianNB(), 2, random_state=0).fit(X, y, sample_weight=WEIGHTS),
    "bins": lambda: KBinsDiscretizer(3, encode="ordinal").fit(X),
    "birch": lambda: Birch(n_clusters=2).fit(X),
    "calibrated_svc": lambda: CalibratedClassifierCV(SVC(), cv=2).fit(X, y),
    "chain": lambda: ClassifierChain(GaussianNB(), order=[0, 1]).fit(X, np.column_stack([TWO, y > 1])),
    "columns_and_the_rest": lambda: ColumnTransformer([("scale", StandardScaler(), [0])], remainder="passthrough").fit(
        X
    ),
    "elastic_net_cv": lambda: ElasticNetCV(cv=2, n_alphas=5).fit(X, y),
    "extra_trees": lambda: ExtraTreesClassifier(**SMALL, bootstrap=True, class_weight="balanced").fit(X, y),
    "forest_oob": lambda: RandomForestClassifier(**SMALL, oob_score=True).fit(X, y, sample_weight=WEIGHTS),
    "forest_regressor_friedman": lambda: RandomForestRegressor(**SMALL, criterion="friedman_mse").fit(X, y),
    "gaussian_mixture": lambda: GaussianMixture(2, random_state=0).fit(X),
    "gradient_boosting": lambda: GradientBoostingClassifier(**SMALL).fit(X, y),
    "gradient_boosting_zero": lambda: GradientBoostingRegressor(**SMALL, init="zero", loss="huber").fit(X, y),
    "grid_search": lambda: GridSearchCV(SVC(), {"C": [1, 2]}, cv=2).fit(X, y),
    "hist_boosting": lambda: HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=3, early_stopping=True).fit(
        X, y
    ),
    "hist_boosting_poisson": lambda: HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=3, loss="poisson").fit(
        X, y
    ),
    "imputer": lambda: SimpleImputer(keep_empty_features=True).fit(HOLES),
    "imputer_of_short_floats": lambda: SimpleImputer(keep_empty_features=True).fit(HOLES.astype("f4")),
    "filling_with_nan": lambda: SimpleImputer(strategy="constant", fill_value=np.nan, missing_values=X[0, 0]).fit(X),
    "imputer_constant": lambda: SimpleImputer(strategy="constant", fill_value=1).fit(HOLES),
    "isolation_forest": lambda: IsolationForest(n_estimators=2, max_samples=8, random_state=0).fit(X),
    "lasso_cv_alphas": lambda: LassoCV(alphas=[0.1, 1.0], cv=2).fit(X, y),
    "linear_regression": lambda: LinearRegression().fit(X, y),
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
    "logistic_cv": lambda: LogisticRegressionCV(Cs=2, cv=2).fit(X, TWO),
    "logistic_liblinear": lambda: LogisticRegression(solver="liblinear").fit(X, TWO),
    "logistic_words": lambda: LogisticRegression().fit(X, np.array(["a", "b", "c"])[y]),
    "max_abs": lambda: MaxAbsScaler().fit(X),
    "mlp_regressor": lambda: MLPRegressor(hidden_layer_sizes=2, max_iter=3, random_state=0).fit(X, y),
    "poisson": lambda: PoissonRegressor().fit(X, y),
    "quadratic_discriminant": lambda: QuadraticDiscriminantAnalysis(reg_param=0.1).fit(X, y),
    "ridge_classifier": lambda: RidgeClassifier().fit(X, y),
    "ridge_classifier_cv": lambda: RidgeClassifierCV(store_cv_results=True).fit(X, y),
    "ridge_cv": lambda: RidgeCV().fit(X, y),
    "selected_by_logistic": lambda: SelectFromModel(LogisticRegression()).fit(X, y),
    "selected_by_logistic_cv": lambda: SelectFromModel(LogisticRegressionCV(Cs=2, cv=2, l1_ratios=[0.0])).fit(X, TWO),
    "selected_by_logistic_ratio": lambda: SelectFromModel(LogisticRegression(l1_ratio=1.0, penalty="l2")).fit(X, y),
    "selected_by_net_of_tasks": lambda: SelectFromModel(MultiTaskElasticNet(alpha=0.01, l1_ratio=1.0)).fit(
        X, np.column_stack([X[:, 0], TWO])
    ),
    "self_training": lambda: SelfTrainingClassifier(GaussianNB()).fit(X, SOME),
    "sgd": lambda: SGDClassifier(random_state=0).fit(X, y),
    "sgd_regressor": lambda: SGDRegressor(random_state=0).fit(X, y),
    "splines": lambda: SplineTransformer(3).fit(X),
    "svc_probability": lambda: SVC(probability=True, random_state=0).fit(X, TWO),
    "svr": lambda: SVR().fit(X, y),
    "theil_sen": lambda: TheilSenRegressor(random_state=0, max_subpopulation=20).fit(X, y),
    "tree_friedman": lambda: DecisionTreeRegressor(criterion="friedman_mse", max_depth=2).fit(X, y),
    "voting_svc": lambda: VotingClassifier([("one", SVC()), ("other", SVC(C=2))]).fit(X, y),
}

#: Models that newer releases compute something else from: as above, with the release from which on.
REFUSED: dict[str, tuple[tuple[int, int], Callable[[], Any]]] = {
    "boosting_from_one_class": (
        (1, 8),
        lambda: GradientBoostingClassifier(**SMALL, init=DummyClassifier(strategy="most_frequent")).fit(X, TWO),
    ),
    "boosting_of_tiny_weights": (
        (1, 8),
        lambda: GradientBoostingClassifier(**SMALL).fit(X, TWO, sample_weight=np.where(TWO, 1e-9, 1.0)),
    ),
    "coding_by_descent": (
        (1, 8),
        lambda: DictionaryLearning(2, transform_algorithm="lasso_cd", max_iter=2, random_state=0).fit(X),
    ),
    "boosting_from_another": (
        (1, 8),
        lambda: GradientBoostingClassifier(**SMALL, init=LogisticRegression()).fit(X, y),
    ),
    "logistic_liblinear_of_three": ((1, 8), lambda: LogisticRegression(solver="liblinear").fit(X, y)),
    "logistic_multinomial_of_two": ((1, 8), lambda: LogisticRegression(multi_class="multinomial").fit(X, TWO)),
    "logistic_one_against_rest": ((1, 8), lambda: LogisticRegression(multi_class="ovr").fit(X, y)),
}


#: Those that stand as pickles, too.
PICKLED = ("forest_oob", "gradient_boosting", "grid_search", "logistic")


def main() -> None:
    import keepfit

    running = tuple(map(int, sklearn.__version__.split(".")[:2]))
    folder = FOLDER / f"scikit-learn-{sklearn.__version__}"
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    refused = {name: fit for name, (release, fit) in REFUSED.items() if running < release}
    for name, fit in {**MODELS, **refused}.items():
        model = fit()
        keepfit.dump(model, folder / f"{name}.safetensors", sample=rows(name))
        if name in PICKLED:
            (folder / f"{name}.pkl").write_bytes(pickle.dumps(model, protocol=5))


if __name__ == "__main__":
    main()
