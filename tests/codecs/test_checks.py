"""Fitted attributes that compiled code would follow: each kind of damage that has crashed a process is refused."""

from __future__ import annotations

import copy
import itertools
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import DefragResult

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.special
from sklearn.cluster import HDBSCAN, Birch, BisectingKMeans, FeatureAgglomeration, KMeans, MiniBatchKMeans
from sklearn.covariance import OAS, EmpiricalCovariance
from sklearn.decomposition import (
    NMF,
    PCA,
    IncrementalPCA,
    LatentDirichletAllocation,
    MiniBatchDictionaryLearning,
    MiniBatchNMF,
    SparseCoder,
)
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_approximation import AdditiveChi2Sampler, PolynomialCountSketch, RBFSampler
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    LabelBinarizer,
    MaxAbsScaler,
    MinMaxScaler,
    MultiLabelBinarizer,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
    label_binarize,
)
from sklearn.random_projection import SparseRandomProjection
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import check_array
from spoiling import X, assert_refused, fitted, labels, spoiled_nodes, target

from keepfit import codecs
from keepfit.codecs.checks.rules import in_range
from keepfit.codecs.policy import ITERATIONS_MAX, N_JOBS_MAX, THREADS_MAX
from keepfit.codecs.sklearn_seam import predictor_record_dtype
from keepfit.errors import InvalidStateError, KeepfitError, UnsupportedError, UntrustedError
from keepfit.graph import Graph, Node, Ref

POSITIVE = np.abs(X)
WORDS = ["one two three", "two three four", "five one"]
COLOURS = np.array([["red", "a"], ["green", "b"], ["blue", "a"], ["red", "b"]], dtype=object)
SPARSE = sp.csr_matrix(X)
#: What says that a fitted SVC knows probabilities: since scikit-learn 1.9 not its parameter.
PROBABILITY = "_effective_probability" if hasattr(fitted(SVC()), "_effective_probability") else "probability"

_Spoil = Callable[[Any], Any]
_Case = tuple[Callable[[], Any], _Spoil]


def put(**attributes: Any) -> _Spoil:
    """Set attributes."""
    return lambda model: vars(model).update(attributes)


def cut(name: str, by: Any = np.s_[:-1]) -> _Spoil:
    """Leave part of an attribute away."""
    return lambda model: vars(model).update({name: copy.copy(getattr(model, name))[by]})


def without(name: str) -> _Spoil:
    return lambda model: vars(model).pop(name)


def svm(cls: type, **parameters: Any) -> Callable[[], Any]:
    return lambda: fitted(cls(**parameters), X, target if cls in (SVR, NuSVR) else labels)


def on_sparse(cls: type, **parameters: Any) -> Callable[[], Any]:
    return lambda: fitted(cls(**parameters), SPARSE, target if cls in (SVR, NuSVR) else labels)


def negative_counts(model: Any) -> None:
    counts = model._n_support.copy()
    counts[0] -= 10**6
    counts[1] += 10**6
    model._n_support = counts


SVM: dict[str, _Case] = {
    **{
        f"{cls.__name__}: {what}": (svm(cls), spoil)
        for cls in (SVC, NuSVC, SVR, NuSVR, OneClassSVM)
        for what, spoil in {
            "fewer support vectors than coefficients": cut("support_vectors_"),
            "fewer places than support vectors": cut("support_"),
            "fewer coefficients than support vectors": cut("_dual_coef_", np.s_[:, :-1]),
            "no intercept": cut("_intercept_", np.s_[:0]),
            "support vectors of fewer features": cut("support_vectors_", np.s_[:, :-1]),
            "fewer classes counted": cut("_n_support"),
            "more features": put(n_features_in_=5),
            "no number of features": without("n_features_in_"),
            "a place past the end": put(support_=np.full(60, 60, "i4")),
            "a place before the first of very many": put(support_=np.full(60, -100, "i4"), shape_fit_=(2**32, 4)),
            "coefficients of another dtype": put(_dual_coef_=np.zeros((2, 3), "f4")),
            "sparse where it is dense": put(_sparse=True),
        }.items()
    },
    **{
        f"{cls.__name__} with a function as kernel: {what}": (svm(cls, kernel=rbf_kernel), spoil)
        for cls in (SVC, SVR, OneClassSVM)
        for what, spoil in {
            "one that gives other columns": put(kernel=np.add),
            "one that is bound to other rows": put(kernel=partial(rbf_kernel, X)),
            "another object that can be called": put(kernel=RBF()),
            "fewer rows than were fitted": cut("_BaseLibSVM__Xfit"),
            "a number for rows": put(_BaseLibSVM__Xfit=60),
            "fewer rows than it says": put(shape_fit_=(10**6, 4)),
            "no rows": without("_BaseLibSVM__Xfit"),
            "support vectors": put(support_vectors_=X),
            "fewer coefficients": cut("_dual_coef_", np.s_[:, :-1]),
            "a place past the end": lambda model: vars(model).update(support_=model.support_ + 60),
            "sparse": put(_sparse=True),
            "then a kernel by name": put(kernel="rbf"),
            "then a precomputed one": put(kernel="precomputed"),
        }.items()
    },
    "SVC: negative counts that add up": (svm(SVC), negative_counts),
    "NuSVC: negative counts that add up": (svm(NuSVC), negative_counts),
    "SVC: more classes than counted": (svm(SVC), put(classes_=np.arange(4))),
    "SVC: fewer classes than counted": (svm(SVC), put(classes_=np.arange(2))),
    "SVC: a kernel that it was not fitted with": (svm(SVC), put(kernel="precomputed")),
    "SVC: half of the probabilities": (svm(SVC), put(_probA=np.zeros(3), _probB=np.zeros(2))),
    "sparse SVC: dense where it is sparse": (on_sparse(SVC), put(_sparse=False)),
    "sparse SVC: fewer coefficients": (on_sparse(SVC), put(_dual_coef_=sp.csr_matrix((2, 60)))),
    "sparse SVC: a precomputed kernel": (on_sparse(SVC), put(kernel="precomputed")),
    "sparse SVC: probabilities from nothing": (on_sparse(SVC), put(**{PROBABILITY: True})),
    "sparse SVR: fewer support vectors": (on_sparse(SVR), put(support_vectors_=SPARSE[:1])),
    "sparse SVC: columns for rows": (on_sparse(SVC), put(support_vectors_=sp.csc_matrix(X))),
}

LINEAR_AND_CLUSTERS: dict[str, _Case] = {
    "KMeans: centres of fewer features": (lambda: fitted(KMeans(3), X), cut("cluster_centers_", np.s_[:, :-1])),
    "KMeans: no centres": (lambda: fitted(KMeans(3), X), cut("cluster_centers_", np.s_[:0])),
    "KMeans: no number of features": (lambda: fitted(KMeans(3), X), without("n_features_in_")),
    "KMeans: no threads": (lambda: fitted(KMeans(3), X), put(_n_threads=0)),
    "KMeans: endless names": (lambda: fitted(KMeans(3), X), put(_n_features_out=10**12)),
    "MiniBatchKMeans: fewer counts": (lambda: fitted(MiniBatchKMeans(3), X), cut("_counts")),
    "BisectingKMeans: a cluster inside itself": (
        lambda: fitted(BisectingKMeans(3), X),
        lambda model: vars(model._bisecting_tree).update(left=model._bisecting_tree),
    ),
    "BisectingKMeans: a centre of fewer features": (
        lambda: fitted(BisectingKMeans(3), X),
        lambda model: vars(model._bisecting_tree.left).update(center=np.zeros(2)),
    ),
    "BisectingKMeans: half a cluster": (
        lambda: fitted(BisectingKMeans(3), X),
        lambda model: vars(model._bisecting_tree).update(right=None),
    ),
    "Birch: fewer norms": (lambda: fitted(Birch(), X), cut("_subcluster_norms")),
    "Birch: leaves in a ring": (
        lambda: fitted(Birch(threshold=0.1), X),
        lambda model: vars(model.dummy_leaf_.next_leaf_).update(next_leaf_=model.dummy_leaf_.next_leaf_),
    ),
    "Birch: a leaf that would make a ring of them when it is split": (
        lambda: fitted(Birch(threshold=0.1, branching_factor=4, n_clusters=None), X),
        lambda model: vars(model._get_leaves()[1]).update(prev_leaf_=model._get_leaves()[-1]),
    ),
    "Birch: a leaf of the tree that does not follow another": (
        lambda: fitted(Birch(threshold=0.1, branching_factor=4, n_clusters=None), X),
        lambda model: vars(model._get_leaves()[-2]).update(next_leaf_=None),
    ),
    "Birch: centroids written to, which are integers": (
        lambda: fitted(Birch(), X),
        lambda model: vars(model.root_).update(init_centroids_=np.zeros((51, 4), int)),
    ),
    "Birch: norms written to, which are integers": (
        lambda: fitted(Birch(), X),
        lambda model: vars(model.root_).update(init_sq_norm_=np.zeros(51, int)),
    ),
    "Birch: samples counted in an array": (
        lambda: fitted(Birch(), X),
        lambda model: vars(model.root_.subclusters_[0]).update(n_samples_=np.zeros(4, int)),
    ),
    "FeatureAgglomeration: a label far away": (
        lambda: fitted(FeatureAgglomeration(2), X),
        put(labels_=np.array([0, 1, 2**40, 1])),
    ),
    "FeatureAgglomeration: a label before the first, of few bits": (
        lambda: fitted(FeatureAgglomeration(2), np.random.RandomState(0).normal(size=(9, 300))),
        put(labels_=np.full(300, -100, "i1")),
    ),
    "FeatureAgglomeration: a label far away, in the other order of bytes": (
        lambda: fitted(FeatureAgglomeration(2), X),
        put(labels_=np.full(4, 2**24, ">i4")),
    ),
    "HDBSCAN: a node that is not there": (
        lambda: fitted(HDBSCAN(copy=True), X),
        lambda model: model._single_linkage_tree_["left_node"].__setitem__(0, 2**40),
    ),
    "SGDClassifier: a shorter average": (
        lambda: fitted(SGDClassifier(average=True)),
        cut("_average_coef", np.s_[:, :-1]),
    ),
    "SGDClassifier: coefficients of fewer features": (
        lambda: fitted(SGDClassifier()),
        cut("coef_", np.s_[:, :-1]),
    ),
    "SGDClassifier: fewer intercepts": (lambda: fitted(SGDClassifier()), cut("intercept_")),
    "PoissonRegressor: the loss of classes": (
        lambda: fitted(PoissonRegressor(), X, np.abs(target)),
        lambda model: vars(model).update(_base_loss=fitted(HistGradientBoostingClassifier(max_iter=1))._loss),
    ),
    "PoissonRegressor: another compiled half": (
        lambda: fitted(PoissonRegressor(), X, np.abs(target)),
        lambda model: vars(model._base_loss).update(
            closs=fitted(HistGradientBoostingClassifier(max_iter=1))._loss.closs
        ),
    ),
    "SparseRandomProjection: fewer features": (
        lambda: fitted(SparseRandomProjection(2), X),
        put(components_=sp.csr_matrix((2, 3))),
    ),
    "MLPClassifier: layers that do not follow": (lambda: fitted(MLPClassifier(5)), put(coefs_=[np.zeros((4, 3))] * 2)),
    "IncrementalPCA: an endless decomposition": (
        lambda: fitted(IncrementalPCA(2), X),
        put(mean_=np.array([np.inf, 0, 0, 0])),
    ),
    "EmpiricalCovariance: not finite": (
        lambda: fitted(EmpiricalCovariance(), X),
        put(covariance_=np.full((4, 4), np.inf)),
    ),
    "NMF: fewer components than it says": (lambda: fitted(NMF(3), POSITIVE), put(_n_components=2)),
    "LatentDirichletAllocation: fewer topics": (
        lambda: fitted(LatentDirichletAllocation(3), POSITIVE),
        cut("exp_dirichlet_component_"),
    ),
    "DummyRegressor: a billion outputs": (lambda: fitted(DummyRegressor(), X, target), put(n_outputs_=10**9)),
    "Normalizer: endless features": (lambda: fitted(Normalizer(), X), put(n_features_in_=10**12)),
    "StandardScaler: a number that is an array": (
        lambda: fitted(StandardScaler(), X),
        put(n_features_in_=np.array([4])),
    ),
}


def one_hot(**parameters: Any) -> Callable[[], Any]:
    return lambda: fitted(OneHotEncoder(**parameters), COLOURS)


ENCODERS: dict[str, _Case] = {
    "OneHotEncoder: more columns than there are": (one_hot(), put(_n_features_outs=[3, 1])),
    "OneHotEncoder: fewer columns than there are": (one_hot(), put(_n_features_outs=[1, 2])),
    "OneHotEncoder: negative columns": (one_hot(), put(_n_features_outs=[3, -2])),
    "OneHotEncoder: columns far away": (one_hot(), put(_n_features_outs=[2**40, 2])),
    "OneHotEncoder: a category dropped that is not there": (
        one_hot(drop="first"),
        put(_drop_idx_after_grouping=np.array([7, 0], dtype=object)),
    ),
    "OneHotEncoder: half a category dropped": (
        one_hot(drop="first"),
        put(_drop_idx_after_grouping=np.array([0.5, 0], dtype=object)),
    ),
    "OneHotEncoder: groups that point outside": (
        one_hot(min_frequency=2),
        lambda model: model._default_to_infrequent_mappings[0].__setitem__(0, 2**40),
    ),
    "OneHotEncoder: an infrequent category that is not there": (
        one_hot(min_frequency=2),
        lambda model: model._infrequent_indices[0].__setitem__(0, 9),
    ),
    "OneHotEncoder: groups that are not in use": (one_hot(min_frequency=2), put(_infrequent_enabled=False)),
    "OneHotEncoder: categories out of order": (
        lambda: fitted(OneHotEncoder(), labels[:, None]),
        put(categories_=[np.array([2, 1, 0])]),
    ),
    "OneHotEncoder: not a number out of order": (
        lambda: fitted(OneHotEncoder(), labels[:, None]),
        put(categories_=[np.array([np.nan, 1.0, 2.0])]),
    ),
    "OneHotEncoder: objects out of order": (
        lambda: fitted(OneHotEncoder(), labels[:, None]),
        put(categories_=[np.array([2, 1, 0], dtype=object)]),
    ),
    "MultiLabelBinarizer: a place past the end": (
        lambda: fitted(MultiLabelBinarizer(), [["a"], ["b", "c"]]),
        put(_cached_dict={"a": 0, "b": 1, "c": 2**30}),
    ),
    "MultiLabelBinarizer: a place before the start": (
        lambda: fitted(MultiLabelBinarizer(), [["a"], ["b", "c"]]),
        put(_cached_dict={"a": 0, "b": 1, "c": -7}),
    ),
    "MultiLabelBinarizer: two equal classes": (
        lambda: fitted(MultiLabelBinarizer(), [["a"], ["b", "c"]]),
        put(classes_=np.array(["a", "a", "b"], dtype=object)),
    ),
    "DictVectorizer: a column past the end": (
        lambda: fitted(DictVectorizer(), [{"a": 1, "b": 2}]),
        put(vocabulary_={"a": 0, "b": 2**30}),
    ),
    "DictVectorizer: a column before the start": (
        lambda: fitted(DictVectorizer(), [{"a": 1, "b": 2}]),
        put(vocabulary_={"a": 0, "b": -1}),
    ),
    "CountVectorizer: a column past the end": (
        lambda: fitted(CountVectorizer(), WORDS),
        lambda model: model.vocabulary_.update(one=2**30),
    ),
    "TfidfVectorizer: a column before the start": (
        lambda: fitted(TfidfVectorizer(), WORDS),
        lambda model: model.vocabulary_.update(one=-1),
    ),
    "CountVectorizer: no number for a column": (
        lambda: fitted(CountVectorizer(), WORDS),
        lambda model: model.vocabulary_.update(one=None),
    ),
    "CountVectorizer in front of a model: a column past the end": (
        lambda: fitted(make_pipeline(CountVectorizer(), LogisticRegression()), WORDS, [0, 1, 0]),
        lambda model: model[0].vocabulary_.update(one=2**30),
    ),
    "PolynomialFeatures: more terms than there are": (lambda: fitted(PolynomialFeatures(), X), put(_n_out_full=10**6)),
    "PolynomialFeatures: a degree without end": (lambda: fitted(PolynomialFeatures(), X), put(_max_degree=2**31)),
    "SplineTransformer: more columns than splines": (
        lambda: fitted(SplineTransformer(), X),
        put(n_features_out_=10**9),
    ),
    "PolynomialCountSketch: a hash past the end": (
        lambda: fitted(PolynomialCountSketch(n_components=5), X),
        lambda model: model.indexHash_.__setitem__((0, 0), 5),
    ),
}


def in_layers(pipeline: Any) -> Any:
    pipeline[0].components_ = np.zeros((2, 4, 1))  # X @ components_.T is of one layer for each of its first dimension
    return pipeline


BOOSTED: dict[str, _Case] = {
    "DecisionTreeClassifier: other features than its nodes": (
        lambda: fitted(DecisionTreeClassifier()),
        put(n_features_in_=2),
    ),
    "DecisionTreeClassifier: no number of features": (
        lambda: fitted(DecisionTreeClassifier()),
        without("n_features_in_"),
    ),
    "DecisionTreeClassifier: a billion outputs": (lambda: fitted(DecisionTreeClassifier()), put(n_outputs_=10**9)),
    "RandomForestClassifier: a tree of more features": (
        lambda: fitted(RandomForestClassifier(2)),
        lambda model: model.estimators_.append(fitted(DecisionTreeClassifier(), np.c_[X, X], labels)),
    ),
    "RandomForestClassifier: something else than a tree": (
        lambda: fitted(RandomForestClassifier(2)),
        lambda model: model.estimators_.append(fitted(LogisticRegression())),
    ),
    "RandomForestClassifier: a billion classes": (lambda: fitted(RandomForestClassifier(2)), put(n_classes_=10**9)),
    "RandomForestRegressor: fewer features": (
        lambda: fitted(RandomForestRegressor(2), X, target),
        put(n_features_in_=3),
    ),
    "IsolationForest: features that are not the trees'": (
        lambda: fitted(IsolationForest(n_estimators=2, max_features=2), X),
        put(estimators_features_=[np.array([0, 1, 2])] * 2),
    ),
    "IsolationForest: fewer features than the trees'": (
        lambda: fitted(IsolationForest(n_estimators=2, max_features=2), X),
        put(estimators_features_=[np.array([0])] * 2),
    ),
    "IsolationForest: features as a mask": (
        lambda: fitted(IsolationForest(n_estimators=2, max_features=2), X),
        put(estimators_features_=[np.array([True, False, False, False])] * 2),
    ),
    "VotingClassifier: a vote for a class far away": (
        lambda: fitted(VotingClassifier([("a", make_pipeline(StandardScaler(), LogisticRegression()))])),
        lambda model: vars(model.estimators_[0][-1]).update(classes_=np.array([0, 1, 2**40])),
    ),
    "BaggingClassifier: a billion classes": (
        lambda: fitted(BaggingClassifier(DecisionTreeClassifier(), 2)),
        put(n_classes_=10**9),
    ),
    "GradientBoosting: a tree of more features": (
        lambda: fitted(GradientBoostingClassifier(n_estimators=2)),
        lambda model: model.estimators_.__setitem__(
            (1, 0), fitted(DecisionTreeRegressor(max_depth=2), np.c_[X, X], target)
        ),
    ),
    "GradientBoosting: fewer trees in a stage": (
        lambda: fitted(GradientBoostingClassifier(n_estimators=2)),
        cut("estimators_", np.s_[:, :-1]),
    ),
    "GradientBoosting: more trees in a stage than columns": (
        lambda: fitted(GradientBoostingRegressor(n_estimators=2), X, target),
        lambda model: vars(model).update(estimators_=np.repeat(model.estimators_, 3, 1)),
    ),
    "GradientBoosting: a start of fewer classes": (
        lambda: fitted(GradientBoostingClassifier(n_estimators=2)),
        lambda model: vars(model).update(init_=fitted(LogisticRegression(), X, labels % 2)),
    ),
    "GradientBoosting: a start of one row": (
        lambda: fitted(GradientBoostingRegressor(n_estimators=2, init=LinearRegression()), X, target),
        lambda model: vars(model.init_).update(intercept_=np.zeros((1, 1))),
    ),
    "GradientBoosting: a start that may lose rows": (
        lambda: fitted(GradientBoostingRegressor(n_estimators=2), X, target),
        put(init_=make_pipeline(FunctionTransformer(np.unique), LinearRegression())),
    ),
    "GradientBoostingRegressor: a start that turns rows into layers": (
        lambda: fitted(GradientBoostingRegressor(n_estimators=2), X, target),
        lambda model: vars(model).update(init_=in_layers(fitted(make_pipeline(PCA(2), DummyRegressor()), X, target))),
    ),
    "GradientBoosting: the loss of more classes": (
        lambda: fitted(GradientBoostingRegressor(n_estimators=2), X, target),
        lambda model: vars(model).update(_loss=fitted(GradientBoostingClassifier(n_estimators=1))._loss),
    ),
    "HistGradientBoosting: fewer trees in an iteration": (
        lambda: fitted(HistGradientBoostingClassifier(max_iter=2)),
        lambda model: model._predictors[1].pop(),
    ),
    "HistGradientBoosting: fewer features": (
        lambda: fitted(HistGradientBoostingRegressor(max_iter=2), X, target),
        put(n_features_in_=3),
    ),
    "HistGradientBoosting: as if it were being fitted": (
        lambda: fitted(HistGradientBoostingRegressor(max_iter=2), X, target),
        put(_in_fit=True),
    ),
    "HistGradientBoosting: a billion trees in an iteration": (
        lambda: fitted(HistGradientBoostingRegressor(max_iter=2), X, target),
        put(n_trees_per_iteration_=10**9),
    ),
    "HistGradientBoosting: categories that are not encoded": (
        lambda: fitted(HistGradientBoostingRegressor(max_iter=2, categorical_features=[3]), POSITIVE.round(), target),
        put(_preprocessor=None, n_features_in_=3),
    ),
    "HistGradientBoosting: another preprocessor": (
        lambda: fitted(HistGradientBoostingRegressor(max_iter=2, categorical_features=[3]), POSITIVE.round(), target),
        lambda model: model._preprocessor.transformers_.pop(1),
    ),
    "HistGradientBoosting: a preprocessor that drops columns": (
        lambda: fitted(HistGradientBoostingRegressor(max_iter=2, categorical_features=[3]), POSITIVE.round(), target),
        lambda model: vars(model._preprocessor.transformers_[1][1]).update(func=np.unique),
    ),
    "HistGradientBoosting: a constant before its data": (
        lambda: fitted(HistGradientBoostingRegressor(max_iter=2, categorical_features=[3]), POSITIVE.round(), target),
        lambda model: vars(model._preprocessor.transformers_[1][1]).update(
            func=partial(model._preprocessor.transformers_[1][1].func, [[1.0]])
        ),
    ),
}

HOSTILE = SVM | LINEAR_AND_CLUSTERS | ENCODERS | BOOSTED


@pytest.mark.parametrize("name", HOSTILE)
def test_damage_that_compiled_code_would_follow_is_refused(name: str) -> None:
    make, spoil = HOSTILE[name]
    model = make()
    codecs.decode(codecs.encode(model))
    spoil(model)
    assert_refused(model, InvalidStateError)


@pytest.mark.parametrize(
    ("model", "count", "spoil"),
    [
        (GaussianNB(), "class_count_", np.int64),
        (GaussianNB(), "theta_", np.int64),
        (CategoricalNB(), "category_count_", lambda counts: [each.astype(np.int64) for each in counts]),
        (MinMaxScaler(), "n_samples_seen_", lambda count: np.array([count, 0])),
        (MaxAbsScaler(), "n_samples_seen_", lambda count: np.array([count, 0])),
        (LatentDirichletAllocation(2, max_iter=1), "n_batch_iter_", np.atleast_1d),
        (MiniBatchNMF(2, max_iter=1), "n_steps_", np.atleast_1d),
        (MiniBatchDictionaryLearning(2, max_iter=1), "n_steps_", np.atleast_1d),
        (MiniBatchKMeans(2, max_iter=1), "n_steps_", np.atleast_1d),
        (MiniBatchKMeans(2, max_iter=1), "_n_since_last_reassign", np.atleast_1d),
        (MLPClassifier(2, max_iter=1), "t_", np.atleast_1d),
        (MLPClassifier(2, max_iter=1), "n_iter_", np.atleast_1d),
        (MLPClassifier(2, max_iter=1), "_no_improvement_count", np.atleast_1d),
    ],
    ids=lambda value: value if type(value) is str else getattr(type(value), "__name__", ""),
)
def test_what_is_counted_in_place_cannot_be_the_labels_of_another_model(
    model: Any, count: str, spoil: Callable[[Any], Any]
) -> None:
    fitted(model, POSITIVE.round(), labels)
    setattr(model, count, spoil(getattr(model, count)))
    assert_refused(model, InvalidStateError)


def test_steps_of_an_optimizer_cannot_be_the_labels_of_another_model() -> None:
    model = fitted(MLPClassifier(2, max_iter=1))
    model._optimizer.t = np.zeros(3, int)
    assert_refused(model, InvalidStateError, match="AdamOptimizer")


@pytest.mark.parametrize("scalers", [1, 9])
def test_samples_are_counted_in_an_array_of_a_scalers_own(scalers: int) -> None:
    counts = np.array([5, 5, 5, 5])
    model: dict[str, Any] = {str(n): fitted(StandardScaler(with_mean=False, with_std=False), X) for n in range(scalers)}
    for scaler in model.values():
        scaler.n_samples_seen_ = counts
    loaded = codecs.decode(codecs.encode({**model, "labels": counts}))
    loaded["0"].partial_fit(X)
    assert loaded["labels"].tolist() == [5] * 4


@pytest.mark.parametrize("cls", [FeatureHasher, HashingVectorizer])
def test_hashing_into_no_columns_is_refused(cls: type) -> None:
    graph = codecs.encode(cls())
    graph.nodes[-1].state["n_features"] = 0
    with pytest.raises(InvalidStateError, match="n_features"):
        codecs.decode(graph)


def node_field(field: str, value: int, place: int = 0) -> Callable[[Any], None]:
    def spoil(nodes: Any) -> None:
        nodes[field][place] = value

    return spoil


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left", 2**32 - 1),
        ("right", 0),
        ("left", 0),
        ("feature_idx", 4),
        ("feature_idx", -1),
        ("feature_idx", 2**62),
        ("is_leaf", 1),
        ("is_categorical", 1),
    ],
)
def test_nodes_of_histogram_boosting_that_are_not_one_tree_are_refused(field: str, value: int) -> None:
    model = fitted(HistGradientBoostingRegressor(max_iter=1, max_leaf_nodes=4, min_samples_leaf=2), X, target)
    with pytest.raises(InvalidStateError):
        codecs.decode(spoiled_nodes(model, predictor_record_dtype(), node_field(field, value)))


def test_a_category_split_on_a_feature_or_a_bitset_that_is_not_there_is_refused() -> None:
    kind = np.arange(60.0) % 4
    model = HistGradientBoostingRegressor(max_iter=1, categorical_features=[0], min_samples_leaf=2)
    fitted(model, np.c_[kind, POSITIVE[:, 1:]], np.cos(kind) * 9 + target)
    nodes = model._predictors[0][0].nodes
    split = int(np.flatnonzero((nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 1))[0])
    for field, value in (("bitset_idx", 10**6), ("feature_idx", 1)):
        with pytest.raises(InvalidStateError):
            codecs.decode(spoiled_nodes(model, predictor_record_dtype(), node_field(field, value, split)))


@pytest.mark.parametrize("is_in_one_array", [True, False])
@pytest.mark.parametrize("number", [0, 3, 11])
def test_each_tree_of_histogram_boosting_is_looked_at_wherever_its_nodes_lie(
    number: int, is_in_one_array: bool
) -> None:
    kind = np.arange(60.0) % 4
    model = HistGradientBoostingRegressor(max_iter=12, categorical_features=[0], min_samples_leaf=2)
    fitted(model, np.c_[kind, POSITIVE[:, 1:]], np.cos(kind) * 9 + target)
    kept = model if is_in_one_array else [model._predictors[5], model]  # the nodes of that tree are kept first
    built = codecs.decode(codecs.encode(kept))
    built = built if is_in_one_array else built[1]
    assert [tree[0].nodes.tobytes() for tree in built._predictors] == [
        tree[0].nodes.tobytes() for tree in model._predictors
    ]
    tree = model._predictors[number][0]
    for field, value in (("feature_idx", 4), ("bitset_idx", 10**6)):
        place = int(np.flatnonzero((tree.nodes["is_leaf"] == 0) & (tree.nodes["is_categorical"] == 1))[0])
        before = tree.nodes[field][place]
        tree.nodes[field][place] = value
        with pytest.raises(InvalidStateError, match="tree splits"):
            codecs.decode(codecs.encode(kept))
        tree.nodes[field][place] = before


def test_trees_of_histogram_boosting_have_nodes_of_their_own() -> None:
    """A small file could name large ones for any number of trees."""
    model = fitted(HistGradientBoostingRegressor(max_iter=3), X, target)
    model._predictors[2][0].nodes = model._predictors[0][0].nodes
    with pytest.raises(InvalidStateError, match="of its own"):
        codecs.decode(codecs.encode(model))


def with_trees(model: Any, iterations: list[Any]) -> Any:
    other = copy.copy(model)
    other._predictors = iterations
    return other


def test_models_of_histogram_boosting_that_share_trees_come_back() -> None:
    model = fitted(HistGradientBoostingRegressor(max_iter=30), X, target)
    copies = [copy.copy(model) for _ in range(50)]
    stages = [with_trees(model, model._predictors[:stop]) for stop in range(1, 31)]
    built = codecs.decode(codecs.encode([*copies, *stages]))
    assert built[0]._predictors is built[49]._predictors
    assert built[0]._predictors[0][0] is built[50]._predictors[0][0]
    for before, after in zip([*copies, *stages], built, strict=True):
        assert np.array_equal(before.predict(X), after.predict(X))


def test_trees_of_histogram_boosting_are_read_once_however_many_models_name_them() -> None:
    """A small file could name large ones for any number of models."""
    model = fitted(HistGradientBoostingRegressor(max_iter=1), X, target)
    tree = model._predictors[0][0]
    nodes = np.repeat(tree.nodes[-1:], 200_001)  # a chain: each inner node has a leaf after it, and the next
    inner = nodes[:-1:2]
    inner["is_leaf"], inner["feature_idx"] = 0, 0
    inner["left"] = np.arange(1, len(nodes), 2)
    inner["right"] = inner["left"] + 1
    tree.nodes = nodes

    def took_s(count: int) -> float:
        graph = codecs.encode([with_trees(model, [[tree]]) for _ in range(count)])
        start_s = time.process_time()
        codecs.decode(graph)
        return time.process_time() - start_s

    assert took_s(300) < 30 * max(took_s(1) for _ in range(3))


@pytest.mark.parametrize("differ", ["features", "nodes"])
def test_trees_of_another_model_of_histogram_boosting_are_refused_unless_they_bin_alike(differ: str) -> None:
    model = fitted(HistGradientBoostingRegressor(max_iter=3), X, target)
    other = fitted(HistGradientBoostingRegressor(max_iter=3), X[:, :2] if differ == "features" else X, target)
    if differ == "features":
        other._predictors = model._predictors[:2]
    else:
        other._predictors[0][0].nodes = model._predictors[1][0].nodes
    with pytest.raises(InvalidStateError, match="of its own"):
        codecs.decode(codecs.encode([model, other]))


def test_a_model_whose_attribute_is_built_after_it_is_refused() -> None:
    """A vocabulary that the file builds after its vectorizer is empty while the vectorizer is looked at."""
    graph = codecs.encode(fitted(CountVectorizer(), WORDS))
    vectorizer = graph.nodes.pop()
    vocabulary = next(n for n, node in enumerate(graph.nodes) if node.type == "dict")
    words = graph.nodes[vocabulary]
    graph.nodes[vocabulary] = Node("dict")
    last = len(graph.nodes)
    vectorizer.state["vocabulary_"] = Ref(last + 1)
    graph.nodes += [vectorizer, words]
    graph.roots["object"] = Ref(last)
    with pytest.raises(InvalidStateError, match="contains itself"):
        codecs.decode(graph)


def test_trees_that_a_forest_is_given_later_are_checked_as_well() -> None:
    forest = fitted(RandomForestClassifier(2, random_state=0))
    forest.estimators_ = []
    stranger = [fitted(DecisionTreeClassifier(random_state=0), np.c_[X, X], labels)]
    graph = codecs.encode((forest, stranger))
    owner = next(node for node in graph.nodes if node.type == "sklearn.ensemble.RandomForestClassifier")
    trees = graph.nodes[-1].items[1]
    place = graph.nodes.index(owner)
    starts = np.cumsum([0, *(node.count for node in graph.nodes)])
    assert trees.index > starts[place]
    owner.state["estimators_"] = trees
    with pytest.raises(InvalidStateError):
        codecs.decode(graph)


@pytest.mark.parametrize("dtype", ["i1", "i2", "<i4", ">i4", "i8", "u1", "u8"])
def test_integers_of_every_width_and_sign_are_held_to_a_range(dtype: str) -> None:
    ends = np.iinfo(dtype)
    values = [value for value in (ends.min, -128, -1, 0, 1, 5, 126, ends.max) if ends.min <= value <= ends.max]
    for array in (np.array(few, dtype) for length in range(3) for few in itertools.permutations(values, length)):
        for start, stop in itertools.product((0, 1), (0, 1, 2, 6, 127, 128, 200, 2**31, 2**63)):
            assert in_range(array, stop, start) is all(start <= value < stop for value in array.tolist())


def test_an_estimator_of_two_of_the_same_forty_times_over_is_refused() -> None:
    union: Any = StandardScaler()
    for _ in range(40):
        union = FeatureUnion([("a", union), ("b", union)])
    assert_refused(union, InvalidStateError, match="parts")


def test_a_parameter_that_is_a_list_of_two_of_the_same_forty_times_over_is_refused() -> None:
    weight: Any = [1.0]
    for _ in range(40):
        weight = [weight, weight]
    codecs.decode(codecs.encode(weight))  # as a value it is one like others
    assert_refused(LogisticRegression(class_weight={0: weight}), InvalidStateError, match="parts")


def test_a_model_of_many_parts_of_its_own_is_not() -> None:
    union = FeatureUnion([(f"part {n}", make_pipeline(StandardScaler(), Normalizer())) for n in range(300)])
    codecs.decode(codecs.encode(make_pipeline(union, union)))


@pytest.mark.parametrize(
    ("model", "parameter", "most"),
    [
        (NMF(max_iter=10**9, tol=0), "max_iter", ITERATIONS_MAX),
        (MiniBatchNMF(transform_max_iter=10**9), "transform_max_iter", ITERATIONS_MAX),
        (LatentDirichletAllocation(max_doc_update_iter=10**9), "max_doc_update_iter", ITERATIONS_MAX),
        (SparseCoder(np.eye(3), transform_max_iter=10**9), "transform_max_iter", ITERATIONS_MAX),
        (RandomForestClassifier(n_jobs=10**6), "n_jobs", N_JOBS_MAX),
        (FeatureUnion([], n_jobs=1e9), "n_jobs", N_JOBS_MAX),
        (RandomForestClassifier(n_jobs=-(10**6)), "n_jobs", 1),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else str(value),
)
def test_what_asks_too_much_is_bounded_and_the_change_is_told(model: Any, parameter: str, most: int) -> None:
    changes: list[str] = []
    built = codecs.decode(codecs.encode(model), changes=changes)
    assert getattr(built, parameter) == most
    assert parameter in changes[0]


def test_threads_that_a_model_remembers_are_bounded() -> None:
    model = fitted(KMeans(2), X)
    model._n_threads = 10**9
    changes: list[str] = []
    assert codecs.decode(codecs.encode(model), changes=changes)._n_threads == THREADS_MAX
    assert "_n_threads" in changes[0]


@pytest.mark.parametrize(
    "model",
    [
        AdditiveChi2Sampler(sample_steps=10**9, sample_interval=0.5),
        FunctionTransformer(np.diff, kw_args={"n": 10**9}),
        FunctionTransformer(np.add, kw_args={"n_jobs": 64}),
        FunctionTransformer(partial(np.diff, n=10**9)),
        FunctionTransformer(partial(scipy.special.eval_legendre, 10**9)),
        FunctionTransformer(partial(scipy.special.mathieu_a, np.full(4, 1e9))),
        FunctionTransformer(np.exp, kw_args={"VI": np.eye(1)}),
        FunctionTransformer(np.exp, inv_kw_args={"metric_kwargs": {"Y_norm_squared": np.zeros(1)}}),
        FunctionTransformer(np.exp, kw_args=OrderedDict(metric_kwargs={"Y_norm_squared": np.zeros(1)})),
        FunctionTransformer(np.diff, kw_args={"n": np.array(10**9)}),
        FunctionTransformer(partial(partial(scipy.special.eval_legendre), 10**9)),
        FunctionTransformer(partial(scipy.special.eval_legendre, np.array([10**9], object), casting="unsafe")),
        CountVectorizer(ngram_range=DefragResult(1, 10**9)),
    ],
    ids=[
        "steps", "n", "n_jobs", "partial", "degree", "orders", "VI", "metric_kwargs", "an ordered dict",
        "an array for a number", "a partial of a partial", "objects for numbers", "a named tuple",
    ],
)  # fmt: skip
def test_parameters_that_would_harm_through_a_function_are_refused(model: Any) -> None:
    assert_refused(model, InvalidStateError)


ANY = np.zeros(60, int)


@pytest.mark.parametrize(
    "function",
    [
        partial(np.argmax, axis=1, out=ANY),
        partial(np.add, np.full(60, 2**40), out=ANY, casting="unsafe"),
        partial(np.divmod, np.full(60, 2**40), 1, ANY),
        partial(partial(np.divmod, np.full(60, 2**40)), 1),
        partial(np.add, 2**40, 1),
        partial(np.round, 2.0**40, 0),
        partial(np.percentile, [2.0**40], 50, None),
        partial(np.atleast_2d, ANY),
        partial(np.squeeze, ANY),
        partial(check_array, ANY),
        partial(max, [ANY]),
        partial(max, default=ANY),
        partial(sum, start=ANY),
    ],
    ids=lambda function: (
        f"{getattr(function.func, '__name__', 'partial')} {len(function.args)} {list(function.keywords)}"
    ),
)
def test_no_function_writes_to_what_was_checked_nor_gives_it_to_one_that_does(function: Any) -> None:
    assert_refused(FunctionTransformer(function), InvalidStateError)
    assert_refused(FunctionTransformer(function.func, kw_args=function.keywords) if not function.args else function)


def test_functions_that_are_bound_to_what_is_not_written_to_load() -> None:
    for function in (
        partial(np.add, X[0]), partial(np.power, 2), partial(np.matmul, np.eye(60)), partial(np.clip, a_min=0, a_max=1),
        partial(np.percentile, q=50, axis=0), partial(rbf_kernel, X), partial(np.sum, axis=0, dtype=float),
    ):  # fmt: skip
        built = codecs.decode(codecs.encode(FunctionTransformer(function)))
        np.testing.assert_array_equal(built.transform(X), function(X))


def test_text_of_numpy_is_held_to_what_text_is() -> None:
    searched = fitted(NearestNeighbors(algorithm="brute"), X)
    searched.metric = np.str_("precomputed")  # then the number of columns of X would not be looked at
    assert_refused(searched, InvalidStateError, match="precomputed")
    assert_refused(CountVectorizer(token_pattern=np.str_("(a+)+$")), UntrustedError)


@pytest.mark.parametrize("number", [np.array(10**12), re.RegexFlag(2**40)], ids=["array", "flag"])
def test_what_loops_take_for_a_number_is_held_to_what_numbers_are(number: Any) -> None:
    named = fitted(RBFSampler(n_components=2), X)
    named._n_features_out = number
    assert_refused(named, InvalidStateError, match="_n_features_out")
    if type(number) is not np.ndarray:
        searched = fitted(NearestNeighbors(), X)
        searched.n_neighbors = number
        assert_refused(searched, InvalidStateError, match="neighbours")


NO_ORDER = np.array([5.0, np.nan, 1.0, 2.0], object)  # as sorted as NumPy can; 5 is placed after 2


@pytest.mark.parametrize(
    "model",
    [LabelBinarizer(), MultinomialNB(), BernoulliNB(), ComplementNB(), CategoricalNB()],
    ids=lambda m: type(m).__name__,
)
def test_labels_that_would_be_placed_past_the_last_column_are_refused(model: Any) -> None:
    given = [labels % 2] if type(model) is LabelBinarizer else [POSITIVE.round(), labels]
    fitted(model, *given)
    model.classes_ = np.array(["a", "b", "c"], object)
    codecs.decode(codecs.encode(model))
    model.classes_ = NO_ORDER
    assert_refused(model, InvalidStateError, match="in order")
    assert_refused(FunctionTransformer(label_binarize, kw_args={"classes": NO_ORDER}), InvalidStateError)
    assert_refused(partial(label_binarize, classes=NO_ORDER), InvalidStateError)


def test_functions_that_are_not_sound_are_not_for_files_to_name() -> None:
    with pytest.raises(UnsupportedError):
        codecs.encode(partial(scipy.special.obl_rad1, 1, 2, 103))
    for kind, name in (("function", "scipy.special.obl_rad1"), ("class", "numpy.ndarray")):
        graph = Graph({"object": Ref(0)}, [Node(kind, {"name": name})], [], [], {})
        with pytest.raises(UntrustedError):
            codecs.decode(graph)


def test_functions_that_hand_arrays_to_compiled_code_unseen_are_not_for_files_to_name() -> None:
    model = fitted(BisectingKMeans(3, algorithm="elkan"), X)
    built = codecs.decode(codecs.encode(model))
    assert built._kmeans_single is model._kmeans_single
    transformer = FunctionTransformer(model._kmeans_single)
    assert_refused(transformer, UntrustedError, match="_kmeans_single_elkan")


def test_reading_files_that_the_input_names_needs_the_callers_word() -> None:
    graph = codecs.encode(TfidfVectorizer(input="filename"))
    with pytest.raises(UntrustedError, match="paths"):
        codecs.decode(graph)
    assert codecs.decode(graph, allow={"paths"}).input == "filename"


@pytest.mark.parametrize("name", ["predict", "__class__", "_repr_html_", "fit"])
def test_an_attribute_that_would_stand_before_a_method_is_refused(name: str) -> None:
    model = fitted(LogisticRegression())
    setattr(model, name, type(model)) if name == "__class__" else vars(model).update({name: 1})
    if name == "__class__":
        graph = codecs.encode(model)
        graph.nodes[-1].state[name] = 1
        with pytest.raises(InvalidStateError):
            codecs.decode(graph)
    else:
        with pytest.raises(UnsupportedError):
            codecs.encode(model)


@pytest.mark.parametrize(
    "init",
    [
        "zero",
        DecisionTreeRegressor(max_depth=2),
        Ridge(),
        make_pipeline(StandardScaler(), LinearRegression()),
        RandomForestRegressor(3),
        HistGradientBoostingRegressor(max_iter=2),
        GradientBoostingRegressor(n_estimators=2, init="zero"),
        SVR(),
    ],
    ids=str,
)
def test_gradient_boosting_may_start_from_what_gives_a_row_for_each_sample(init: Any) -> None:
    model = fitted(GradientBoostingRegressor(n_estimators=2, init=init), X, target)
    assert np.array_equal(codecs.decode(codecs.encode(model)).predict(X), model.predict(X))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("init", [LogisticRegression(), DecisionTreeClassifier(), RandomForestClassifier(3)], ids=str)
def test_gradient_boosting_of_classes_may_start_from_a_classifier(init: Any, classes: int) -> None:
    model = fitted(GradientBoostingClassifier(n_estimators=2, init=init), X, np.arange(60) % classes)
    assert np.array_equal(codecs.decode(codecs.encode(model)).predict_proba(X), model.predict_proba(X))


def test_honest_encoders_of_every_making_load() -> None:
    numbers = np.array([[3.0], [np.nan], [1.0], [3.0]])
    for encoder, data in (
        (OneHotEncoder(drop="first"), COLOURS),
        (OneHotEncoder(drop=["red", "b"]), COLOURS),
        (OneHotEncoder(drop="if_binary", sparse_output=False), COLOURS),
        (OneHotEncoder(min_frequency=2), COLOURS),
        (OneHotEncoder(max_categories=2, drop="first", handle_unknown="infrequent_if_exist"), COLOURS),
        (OneHotEncoder(categories=[["red", "green", "blue"], ["b", "a"]]), COLOURS),
        (OneHotEncoder(), numbers),
        (OneHotEncoder(), np.array([["a", None], [None, "b"], [np.nan, "c"]], dtype=object)),
        (OneHotEncoder(), np.array([[True], [False]])),
        (OneHotEncoder(), np.array([["2020-01-02"], ["2020-01-01"]], "M8[D]")),
        (OneHotEncoder(), labels.astype("u1")[:, None]),
    ):
        fitted(encoder, data)
        built = codecs.decode(codecs.encode(encoder))
        expected, found = encoder.transform(data), built.transform(data)
        assert (expected != found).sum() == 0


def test_polynomials_of_every_making_load() -> None:
    for degree in (0, 1, 2, 5, (0, 0), (2, 3), (3, 3)):
        for only in (False, True):
            for bias in (False, True):
                if degree in (0, (0, 0)) and not bias:
                    continue
                model = fitted(PolynomialFeatures(degree, interaction_only=only, include_bias=bias), X)
                assert np.array_equal(codecs.decode(codecs.encode(model)).transform(X), model.transform(X))


def test_every_refusal_names_the_attribute() -> None:
    model = make_pipeline(StandardScaler(), KMeans(2))
    fitted(model, X)
    model[-1].cluster_centers_ = np.zeros((2, 3))
    with pytest.raises(KeepfitError, match=r"steps.*n_features_in_.*KMeans.*F = 3"):
        codecs.decode(codecs.encode(model))


def test_a_graph_of_a_class_with_no_rules_still_has_its_counts_checked() -> None:
    state = {"normalizer": "l2"}
    graph = Graph({"object": Ref(0)}, [Node("sklearn.preprocessing.Normalizer", state)], [], [], {})
    with pytest.raises(KeepfitError):
        codecs.decode(graph)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_models_of_either_precision_load_in_silence_and_infinities_do_not(dtype: str) -> None:
    model = fitted(OAS(), X.astype(dtype))
    assert model.covariance_.dtype == dtype
    codecs.decode(codecs.encode(model))
    for wrong in (np.inf, -np.inf, np.nan):
        model.covariance_[0, 0] = wrong
        assert_refused(model, InvalidStateError)
