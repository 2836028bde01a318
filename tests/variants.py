"""Fitted estimators whose parameters lead to attributes and native objects that the default ones do not have."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import (
    DBSCAN,
    HDBSCAN,
    OPTICS,
    AffinityPropagation,
    AgglomerativeClustering,
    Birch,
    BisectingKMeans,
    KMeans,
    MeanShift,
    MiniBatchKMeans,
    SpectralClustering,
)
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.covariance import EllipticEnvelope, GraphicalLassoCV, LedoitWolf, MinCovDet
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_iris
from sklearn.decomposition import (
    NMF,
    PCA,
    DictionaryLearning,
    FastICA,
    IncrementalPCA,
    KernelPCA,
    LatentDirichletAllocation,
    TruncatedSVD,
)
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Exponentiation,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    LarsCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.manifold import MDS, TSNE, Isomap, LocallyLinearEmbedding, SpectralEmbedding
from sklearn.metrics import f1_score, make_scorer
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.neighbors import (
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestCentroid,
    NearestNeighbors,
    RadiusNeighborsClassifier,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection
from sklearn.semi_supervised import LabelPropagation, SelfTrainingClassifier
from sklearn.svm import SVC, SVR, LinearSVR, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

__all__ = ["variants"]


def variants() -> Iterator[Any]:
    """Fitted estimators whose parameters lead to attributes and native objects that the default ones do not have."""
    X, y = load_iris(return_X_y=True)
    binary = y % 2
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    cases: list[tuple[Any, Any, Any]] = [(estimator, X, y) for estimator in _classifier_variants()]
    cases += [(estimator, X, X[:, 0]) for estimator in _regressor_variants()]
    cases += [(estimator, X, None) for estimator in _other_variants()]
    cases += [(SGDClassifier(loss=loss), X, y) for loss in _SGD_LOSSES]
    with config_context(enable_metadata_routing=True):
        cases += [(LogisticRegression().set_fit_request(sample_weight=True), frame, binary)]
    cases += [(StandardScaler().set_output(transform="pandas"), frame, None)]
    selected = make_column_selector("^[abc]$", dtype_include=[np.number, "float"])
    cases += [(ColumnTransformer([("scale", StandardScaler(), selected)]), frame, None)]
    cases += [(GaussianProcessRegressor(), X, y)]  # whose target stays whole numbers
    cases += [(CalibratedClassifierCV(LogisticRegression(), method="temperature", cv=3), X, y)]
    cases += [(GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=list(KFold(3, shuffle=True).split(X))), X, y)]
    for estimator, features, target in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.random.seed(0)
            try:
                yield estimator.fit(features) if target is None else estimator.fit(features, target)
            except (ValueError, TypeError) as error:  # a parameter of another release
                print(f"left out: {estimator}: {error}")


_SGD_LOSSES = (
    "hinge",
    "log_loss",
    "modified_huber",
    "squared_hinge",
    "perceptron",
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
)


def _classifier_variants() -> list[Any]:
    svc = SVC(probability=False)
    tree = DecisionTreeClassifier(random_state=0)
    return [
        *(
            KNeighborsClassifier(algorithm=algorithm, metric=metric)
            for algorithm in ("kd_tree", "ball_tree", "brute")
            for metric in ("minkowski", "manhattan", "chebyshev")
        ),
        KNeighborsClassifier(algorithm="ball_tree", metric="seuclidean", metric_params={"V": np.ones(4)}),
        KNeighborsClassifier(algorithm="ball_tree", metric="mahalanobis", metric_params={"VI": np.eye(4)}),
        KNeighborsClassifier(algorithm="ball_tree", metric="minkowski", p=3, metric_params={"w": np.ones(4)}),
        *(
            RandomForestClassifier(n_estimators=3, criterion=criterion, random_state=0, oob_score=True, max_samples=0.9)
            for criterion in ("gini", "entropy")
        ),
        GradientBoostingClassifier(n_estimators=3, n_iter_no_change=2, init="zero", subsample=0.5),
        GradientBoostingClassifier(n_estimators=3, loss="log_loss", init=LogisticRegression()),
        HistGradientBoostingClassifier(max_iter=5, early_stopping=True, categorical_features=[3], monotonic_cst=None),
        HistGradientBoostingClassifier(
            max_iter=5, interaction_cst="pairwise", max_features=0.5, class_weight="balanced"
        ),
        MLPClassifier(max_iter=5, early_stopping=True),
        MLPClassifier(max_iter=5, solver="sgd", momentum=0.5),
        MLPClassifier(max_iter=5, solver="lbfgs"),
        AdaBoostClassifier(n_estimators=3),
        BaggingClassifier(svc, n_estimators=3, oob_score=True, bootstrap_features=True),
        CalibratedClassifierCV(svc, method="isotonic", cv=3),
        CalibratedClassifierCV(svc, method="sigmoid", ensemble=False),
        GridSearchCV(
            svc, {"C": [1, 2], "kernel": ["rbf", "linear"]}, scoring="accuracy", cv=3, return_train_score=True
        ),
        GridSearchCV(svc, {"C": [1, 2]}, scoring=["accuracy", "f1_macro"], refit="accuracy", cv=KFold(3)),
        GridSearchCV(svc, {"C": [1, 2]}, scoring=make_scorer(f1_score, average="macro"), cv=StratifiedKFold(3)),
        RandomizedSearchCV(svc, {"C": scipy.stats.loguniform(0.1, 10)}, n_iter=2, random_state=0),
        HalvingGridSearchCV(tree, {"max_depth": [1, 2]}, random_state=0),
        StackingClassifier([("a", svc), ("b", tree)]),
        VotingClassifier([("a", svc), ("b", tree)]),
        VotingClassifier([("a", LogisticRegression()), ("b", "drop")], voting="soft"),
        OneVsOneClassifier(svc),
        OneVsRestClassifier(svc),
        OutputCodeClassifier(svc),
        SelfTrainingClassifier(tree),
        *(
            GaussianProcessClassifier(kernel, multi_class=multi)
            for kernel, multi in ((RBF() + WhiteKernel(), "one_vs_rest"), (Matern() * ConstantKernel(), "one_vs_one"))
        ),
        LogisticRegressionCV(Cs=2, cv=2, scoring="accuracy"),
        RidgeClassifierCV(store_cv_results=True),
        NearestCentroid(shrink_threshold=0.1),
        QuadraticDiscriminantAnalysis(store_covariance=True),
        LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"),
        LabelPropagation(kernel="knn"),
        RadiusNeighborsClassifier(radius=5, outlier_label=0),
        SGDClassifier(average=True, early_stopping=True),
        Pipeline([("scale", StandardScaler()), ("select", SelectKBest(f_classif, k=2)), ("svc", svc)], memory=None),
        ExtraTreesClassifier(n_estimators=2, class_weight="balanced"),
        DecisionTreeClassifier(ccp_alpha=0.01, max_leaf_nodes=4),
    ]


def _regressor_variants() -> list[Any]:
    tree = DecisionTreeRegressor(random_state=0)
    return [
        *(
            RandomForestRegressor(n_estimators=2, criterion=criterion)
            for criterion in ("squared_error", "absolute_error", "poisson")
        ),
        *(
            GradientBoostingRegressor(n_estimators=2, loss=loss)
            for loss in ("squared_error", "absolute_error", "huber", "quantile")
        ),
        *(
            HistGradientBoostingRegressor(max_iter=2, loss=loss, quantile=0.5)
            for loss in ("squared_error", "absolute_error", "gamma", "poisson", "quantile")
        ),
        HistGradientBoostingRegressor(max_iter=2, monotonic_cst=[1, 0, 0, 0], warm_start=True),
        SGDRegressor(loss="huber"),
        SVR(kernel="poly"),
        NuSVR(),
        LinearSVR(),
        KernelRidge(kernel="rbf"),
        GaussianProcessRegressor(
            RationalQuadratic() + ExpSineSquared() + DotProduct() + PairwiseKernel() + WhiteKernel(),
            alpha=100.0,
            normalize_y=True,
        ),
        GaussianProcessRegressor(Exponentiation(RBF(), 2) + WhiteKernel()),
        KNeighborsRegressor(weights="distance", algorithm="kd_tree"),
        RANSACRegressor(min_samples=10),
        HuberRegressor(),
        PoissonRegressor(),
        GammaRegressor(),
        TweedieRegressor(power=1.5),
        TweedieRegressor(power=0),
        QuantileRegressor(),
        TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1),
        TransformedTargetRegressor(LinearRegression(), transformer=QuantileTransformer(n_quantiles=10)),
        StackingRegressor([("a", tree), ("b", LinearRegression())]),
        RidgeCV(store_cv_results=True),
        LassoLarsIC(),
        ElasticNetCV(cv=2),
        LarsCV(cv=2),
        PLSRegression(),
        Pipeline([("splines", SplineTransformer()), ("ridge", Ridge(solver="svd"))]),
        MLPRegressor(max_iter=3),
        AdaBoostRegressor(tree, n_estimators=2, loss="square"),
        BaggingRegressor(tree, n_estimators=2, oob_score=True),
    ]


def _other_variants() -> list[Any]:
    return [
        IsolationForest(n_estimators=3, contamination=0.1),
        LocalOutlierFactor(novelty=True),
        OneClassSVM(),
        KMeans(3, algorithm="elkan"),
        MiniBatchKMeans(3),
        BisectingKMeans(3),
        Birch(),
        Birch(threshold=0.1, n_clusters=None),
        DBSCAN(),
        HDBSCAN(copy=True),
        OPTICS(),
        MeanShift(),
        AgglomerativeClustering(compute_distances=True),
        SpectralClustering(3),
        AffinityPropagation(),
        GaussianMixture(2),
        BayesianGaussianMixture(n_components=2),
        NMF(2, init="random"),
        LatentDirichletAllocation(2),
        PCA(0.9),
        PCA("mle"),
        KernelPCA(fit_inverse_transform=True),
        IncrementalPCA(2),
        TruncatedSVD(2),
        FastICA(2),
        DictionaryLearning(2, max_iter=3),
        Isomap(),
        TSNE(max_iter=250),
        MDS(n_init=1),
        LocallyLinearEmbedding(),
        SpectralEmbedding(),
        NearestNeighbors(),
        KernelDensity(),
        KNeighborsTransformer(),
        OneHotEncoder(sparse_output=False, max_categories=3),
        OrdinalEncoder(min_frequency=5),
        KBinsDiscretizer(3),
        PowerTransformer(),
        QuantileTransformer(n_quantiles=5, output_distribution="normal"),
        PolynomialFeatures(),
        SplineTransformer(extrapolation="periodic"),
        KNNImputer(),
        IterativeImputer(max_iter=2),
        SimpleImputer(strategy="most_frequent", add_indicator=True),
        MissingIndicator(),
        FunctionTransformer(np.abs),
        FunctionTransformer(np.log1p, inverse_func=np.expm1, feature_names_out="one-to-one"),
        RandomTreesEmbedding(2),
        MinCovDet(),
        GraphicalLassoCV(),
        EllipticEnvelope(),
        LedoitWolf(store_precision=False),
        Nystroem(n_components=2),
        FeatureUnion([("pca", PCA(2)), ("pass", "passthrough")]),
        GaussianRandomProjection(2),
        RBFSampler(),
        ColumnTransformer(
            [("num", StandardScaler(), [0, 1]), ("bins", KBinsDiscretizer(3), slice(2, 4))], remainder="drop"
        ),
        ColumnTransformer([("num", StandardScaler(), [0])], remainder="passthrough", verbose_feature_names_out=False),
    ]
