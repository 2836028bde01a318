"""Models of less common making pass the checks of their attributes, unchanged, and give what they gave."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from sklearn import cluster, covariance, decomposition, dummy, ensemble, linear_model, mixture, neighbors, preprocessing
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.cross_decomposition import CCA, PLSRegression
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.manifold import Isomap
from sklearn.metrics.pairwise import chi2_kernel, linear_kernel, rbf_kernel
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.random_projection import SparseRandomProjection
from sklearn.svm import SVC, SVR, NuSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.fixes import parse_version
from spoiling import X, fitted, labels, target

from keepfit import codecs

BINARY, POSITIVE, SPARSE = labels % 2, np.abs(X), sp.csr_matrix(X * (X > 0))
WORDS = np.array(["a", "b", "c"], dtype=object)[labels]
NAMED = (
    WORDS if parse_version(sklearn.__version__) >= parse_version("1.7") else labels
)  # 1.6 fails on words by brute force
HOLES = np.where(np.arange(60)[:, None] % 7 == 0, np.nan, X)
MIXED = np.c_[X[:, :2], np.arange(60) % 5, BINARY]
FRAME = pd.DataFrame(
    {"a": X[:, 0], "b": pd.Categorical(WORDS), "c": X[:, 1], "d": pd.Categorical(np.where(BINARY, "u", "v"))}
)
_Cases = Iterator[tuple[Any, ...]]


def svm() -> _Cases:
    for options in ({"probability": True}, {"kernel": "linear"}, {"kernel": "poly"}, {"break_ties": True}):
        for data in ((X, labels), (SPARSE, BINARY), (X.astype("f4"), WORDS)):
            yield SVC(**options, random_state=0), *data
    yield NuSVC(), SPARSE, labels
    yield SVC(kernel="precomputed"), X @ X.T, labels
    yield SVR(epsilon=100), X, target  # without a support vector
    yield SVR(epsilon=100), SPARSE, target
    yield OneClassSVM(nu=0.1), SPARSE
    for kernel in (rbf_kernel, functools.partial(rbf_kernel, gamma=0.5), functools.partial(chi2_kernel, gamma=0.1)):
        for data in ((POSITIVE, labels), (POSITIVE.astype("f4"), WORDS)):
            yield SVC(kernel=kernel), *data
            yield NuSVC(kernel=kernel, nu=0.1), *data
        yield SVR(kernel=kernel), POSITIVE, target
        yield OneClassSVM(kernel=kernel), POSITIVE
    yield SVC(kernel=linear_kernel), SPARSE, BINARY
    again = fitted(SVC(kernel=rbf_kernel)).set_params(kernel="rbf")
    yield again, X, labels


def linear() -> _Cases:
    for average in (False, True, 10):
        for data in ((X, labels), (X, BINARY), (SPARSE, labels), (X.astype("f4"), WORDS)):
            yield linear_model.SGDClassifier(average=average, random_state=0), *data
        yield linear_model.SGDRegressor(average=average, random_state=0), X, target
        yield linear_model.SGDOneClassSVM(average=average, random_state=0), X
    for power in (0, 1, 1.5, 2, 3):
        yield linear_model.TweedieRegressor(power=power), X, POSITIVE[:, 0] + 0.1
    yield fitted(linear_model.SGDClassifier(random_state=0)).sparsify(), X, None
    for model in (linear_model.Ridge(), linear_model.LinearRegression(), CCA(2)):
        yield model, X, np.c_[target, POSITIVE[:, 1]]
    yield PLSRegression(2), X, target
    for kind in ("prior", "stratified", "uniform"):
        yield dummy.DummyClassifier(strategy=kind, random_state=0), X, np.c_[labels, BINARY]
    yield dummy.DummyRegressor(strategy="constant", constant=[1, 2]), X, np.c_[target, target]
    yield GaussianProcessRegressor(), X, np.c_[target, target]


def forests() -> _Cases:
    for data in ((X, WORDS), (X, np.c_[labels, BINARY]), (SPARSE, labels), (HOLES, labels), (X, np.zeros(60))):
        yield ensemble.RandomForestClassifier(3, random_state=0), *data
    yield ensemble.RandomForestClassifier(9, oob_score=True, max_samples=10, random_state=0), X, labels
    yield ensemble.RandomForestRegressor(3, monotonic_cst=[1, 0, 0, 0], random_state=0), X, target
    yield ensemble.RandomTreesEmbedding(3, sparse_output=False, random_state=0), X
    for options in ({"max_features": 2}, {"max_samples": 10}, {"contamination": 0.2}, {"bootstrap": True}):
        yield ensemble.IsolationForest(n_estimators=3, random_state=0, **options), X
    for base in (SVC(), DecisionTreeClassifier(), make_pipeline(preprocessing.StandardScaler(), SVC())):
        options = {"max_features": 2, "bootstrap_features": True, "random_state": 0}
        yield ensemble.BaggingClassifier(base, n_estimators=3, **options), X, WORDS
    members = [("a", SVC()), ("b", make_pipeline(preprocessing.StandardScaler(), SVC()))]
    yield ensemble.VotingClassifier(members), X, WORDS


def boosting() -> _Cases:
    for loss, data in (("log_loss", (X, WORDS)), ("exponential", (X, BINARY)), ("log_loss", (SPARSE, BINARY))):
        yield ensemble.GradientBoostingClassifier(n_estimators=3, subsample=0.5, loss=loss, random_state=0), *data
    for loss in ("absolute_error", "huber", "quantile"):
        yield ensemble.GradientBoostingRegressor(n_estimators=3, loss=loss, random_state=0), X, target
    for options in (
        {"categorical_features": [2, 3]},
        {"categorical_features": [False, False, True, True], "early_stopping": True},
        {"interaction_cst": "pairwise", "max_features": 0.5},
    ):
        common = {"max_iter": 3, "min_samples_leaf": 2, "random_state": 0, **options}
        yield ensemble.HistGradientBoostingClassifier(**common), MIXED, WORDS
        yield ensemble.HistGradientBoostingRegressor(**common), MIXED, target
    for loss in ("absolute_error", "gamma", "poisson", "quantile"):
        yield ensemble.HistGradientBoostingRegressor(max_iter=2, loss=loss, quantile=0.5), X, POSITIVE[:, 0] + 0.1
    for frame in (FRAME, FRAME.assign(b=FRAME["b"].where(BINARY == 1))):
        yield ensemble.HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype"), frame, labels
    yield ensemble.HistGradientBoostingClassifier(max_iter=3), HOLES, labels


def searches() -> _Cases:
    inverse = {"metric_params": {"VI": np.eye(4)}}
    for options in (
        {"algorithm": "brute"},
        {"algorithm": "ball_tree", "metric": "mahalanobis", **inverse},
        {"algorithm": "brute", "metric": "mahalanobis", **inverse},
        {"algorithm": "brute", "metric": "seuclidean", "metric_params": {"V": np.ones(4)}},
        {"metric": "minkowski", "metric_params": {"w": np.ones(4)}},
        {"metric": "cosine"},
        {"p": np.inf},
        {"p": 1.5, "weights": "distance"},
    ):
        yield neighbors.KNeighborsClassifier(**options), X, NAMED
        yield neighbors.KNeighborsClassifier(**options), X, np.c_[labels, BINARY]
        yield neighbors.RadiusNeighborsClassifier(50, outlier_label="most_frequent", **options), X, labels
    yield neighbors.KNeighborsClassifier(metric="nan_euclidean", algorithm="brute"), HOLES, labels
    yield neighbors.LocalOutlierFactor(3, novelty=True), SPARSE
    yield neighbors.KernelDensity(metric="haversine"), X[:, :2]
    yield Isomap(n_neighbors=None, radius=50), X
    changed = fitted(neighbors.KNeighborsClassifier(algorithm="brute"))
    yield changed.set_params(metric="manhattan", n_neighbors=3), X, None


def clusters() -> _Cases:
    for kind in (cluster.KMeans, cluster.MiniBatchKMeans, cluster.BisectingKMeans):
        for data in (X, SPARSE, X.astype("f4")):
            yield kind(3, random_state=0), data
        yield kind(1, random_state=0), X
    yield cluster.BisectingKMeans(6, bisecting_strategy="largest_cluster", random_state=0), X
    yield cluster.Birch(threshold=0.1, n_clusters=None), SPARSE
    yield cluster.FeatureAgglomeration(2, pooling_func=np.median), X
    yield cluster.HDBSCAN(copy=True), np.where(X > 2, np.inf, HOLES)
    for kind in ("full", "tied", "diag", "spherical"):
        yield mixture.GaussianMixture(2, covariance_type=kind, random_state=0), X
    yield covariance.EmpiricalCovariance(store_precision=False), X
    yield covariance.MinCovDet(random_state=0), X


def parts() -> _Cases:
    yield decomposition.NMF(2, solver="mu", beta_loss="kullback-leibler", random_state=0), POSITIVE
    yield decomposition.NMF(2, random_state=0), sp.csr_matrix(POSITIVE)
    yield decomposition.MiniBatchNMF(2, forget_factor=0.5, random_state=0), POSITIVE
    yield decomposition.LatentDirichletAllocation(3, random_state=0), sp.csr_matrix(POSITIVE)
    yield decomposition.IncrementalPCA(2, whiten=True, batch_size=10), SPARSE
    yield decomposition.MiniBatchDictionaryLearning(3, random_state=0), X
    yield SparseRandomProjection(2, compute_inverse_components=True, random_state=0), SPARSE


def processes() -> _Cases:
    for targets in (labels, BINARY.astype(bool), target.astype("f4")):
        yield GaussianProcessRegressor(), X, targets


def by_others() -> _Cases:
    """Classes that are met in no estimator as it is by default."""
    yield CalibratedClassifierCV(linear_model.LogisticRegression(), method="sigmoid", cv=3), X, labels
    if parse_version(sklearn.__version__) >= parse_version("1.8"):
        yield CalibratedClassifierCV(linear_model.LogisticRegression(), method="temperature", cv=3), X, labels
    splits = list(KFold(3, shuffle=True, random_state=0).split(X))
    yield GridSearchCV(linear_model.LogisticRegression(), {"C": [1, 2]}, cv=splits), X, labels
    numbers, words = make_column_selector("^[ac]$"), make_column_selector(dtype_include=["category", np.bool_])
    columns = [("n", preprocessing.StandardScaler(), numbers), ("w", preprocessing.OneHotEncoder(), words)]
    yield ColumnTransformer(columns), FRAME


def encoders() -> _Cases:
    for degree in (0, 1, 3):
        yield preprocessing.SplineTransformer(degree=degree, include_bias=False), X
        yield preprocessing.SplineTransformer(degree=degree, extrapolation="linear", sparse_output=True), X
    constant = np.c_[np.zeros(60), X]
    for options in ({}, {"knots": "quantile"}, {"extrapolation": "periodic", "degree": 2}):
        yield preprocessing.SplineTransformer(**options), constant
    yield preprocessing.KBinsDiscretizer([2, 3, 4, 5], encode="onehot-dense", strategy="uniform"), X
    yield preprocessing.MultiLabelBinarizer(classes=["c", "a"]), [["a"], ["c"]]
    yield preprocessing.LabelBinarizer(sparse_output=True), BINARY
    yield CountVectorizer(vocabulary={"a": np.int64(1), "bb": np.int64(0)}, token_pattern=r"\w+"), ["a bb"]
    yield TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3)), ["abc def"]
    yield DictVectorizer(sparse=False), [{"a": 1, "b": "x"}, {"a": ["y", "z"]}]


@pytest.mark.parametrize(
    "family", [svm, linear, forests, boosting, searches, clusters, parts, processes, by_others, encoders]
)
@pytest.mark.filterwarnings("ignore")
def test_models_of_less_common_making_load_unchanged(family: Callable[[], _Cases]) -> None:
    for estimator, data, *rest in family():
        if not (rest and rest[0] is None):  # already fitted
            fitted(estimator, data, *rest)
        changes: list[str] = []
        built = codecs.decode(codecs.encode(estimator), changes=changes)
        assert not changes
        for method in ("predict", "predict_proba", "decision_function", "score_samples", "transform"):
            if hasattr(estimator, method):
                np.random.seed(0)
                expected = getattr(estimator, method)(data)
                np.random.seed(0)
                np.testing.assert_equal(_dense(getattr(built, method)(data)), _dense(expected), err_msg=str(estimator))


def _dense(result: Any) -> Any:
    return result.toarray() if sp.issparse(result) else result
