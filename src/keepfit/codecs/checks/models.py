"""Linear models, neural networks, dummies, decompositions: shapes that compiled code takes for granted."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from keepfit.codecs.checks.rules import Check, Dims, State, find_themselves, in_range, is_a, named, refuse

__all__ = ["CHECKS"]

#: Stochastic gradient descent walks over coefficients and their averages side by side (`partial_fit`).
_SGD = """
    coef_!              f[F] | f[K,F] | csr[K,F]
    n_features_in_!     =F
    intercept_          f[_]
    offset_             f[_]
    t_                  float
    _standard_coef      f[F] | f[K,F] | none
    _average_coef       f[F] | f[K,F] | none
    _standard_intercept f[_] | none
    _average_intercept  f[_] | none
    classes_            a[C]
    _expanded_class_weight f[C]
"""
_GLM = """
    coef_!           f[F]
    n_features_in_!  =F
    intercept_       float
"""
_GLM_LOSSES = {
    "PoissonRegressor": ("HalfPoissonLoss", "HalfPoissonLossArrayAPI"),
    "GammaRegressor": ("HalfGammaLoss",),
    "TweedieRegressor": ("HalfTweedieLoss", "HalfTweedieLossIdentity"),
}
_NETWORK = """
    coefs_!          list(f[_,_])*L
    intercepts_!     list(f[_])*L
    n_layers_!       2..
    n_features_in_!  =F
    n_outputs_       1..
    out_activation_  str
    n_iter_                float
    t_                     float
    _no_improvement_count  float
"""
_DUMMY_CLASSIFIER = """
    n_outputs_!    =K
    classes_!      a[C] | list(a[_])*K
    n_classes_!    =C | list(1..)*K
    class_prior_!  f[C] | list(f[_])*K
"""
_DUMMY_REGRESSOR = """
    n_outputs_!    =K
    constant_!     n[1,K]
"""
_COMPONENTS = """
    components_!             f[K,F]
    n_features_in_!          =F
    n_components_            =K
    _n_components            =K
    _n_features_out          =K
    _components_numerator    f[K,F]
    _components_denominator  f[K,F]
    exp_dirichlet_component_ f[K,F]
    _transform_max_iter      0..
    _A                       f[K,K]
    _B                       f[F,K]
    n_batch_iter_            float
    n_steps_                 float
    _no_improvement          float
"""
_INCREMENTAL = """
    components_!      t[K,F]
    mean_!            t[F]
    var_!             t[F]
    singular_values_! t[K]
    n_features_in_!   =F
    n_components_!    =K
    batch_size_!      1..
    n_samples_seen_!  float
"""
_COVARIANCE = """
    covariance_!     t[F,F]
    location_        t[F]
    precision_       f[F,F] | none
    n_features_in_   =F
"""
_MIXTURE = """
    means_!          t[K,F]
    covariances_!    t[...]
    weights_!        t[K]
    n_features_in_!  =F
"""
_VOTE = """
    estimators_!  list
    classes_!     a[C]
"""
_PROCESS = """
    alpha_       t[...]
    L_           t[N,N]
    y_train_     t[...] | i[...] | b[...]
"""
_PROJECTION = """
    components_!         t[K,F] | csr[K,F]
    n_features_in_!      =F
    n_components_        =K
    _n_features_out      =K
    inverse_components_  f[F,K]
"""
_PLS = """
    n_features_in_!  =F
    x_weights_!      f[F,K]
    _n_features_out  =K
"""
#: What `partial_fit` counts in place. Integers could be the labels or columns of another model in the file.
_COUNTED = """
    class_count_     f[_]
    feature_count_   f[_,_]
    category_count_  list(f[_,_])
    theta_           f[_,_]
    var_             f[_,_]
"""
#: Whose `partial_fit` finds a column for each label.
_COUNTED_BY_LABEL = (
    _COUNTED
    + """
    classes_           a[_]
    class_log_prior_   f[_]
    feature_log_prob_  f[_,_] | list(f[_,_])
    feature_all_       f[_]
"""
)
_OPTIMIZER = """
    t  float
"""
_RANGE = """
    n_samples_seen_  0..
"""
_RBM = """
    components_!         f[K,F]
    n_features_in_       =F
    _n_features_out      =K
    intercept_hidden_    f[K]
    intercept_visible_   f[F]
    h_samples_           f[_,K]
"""


def _check_sgd(state: State, dims: Dims) -> None:
    coef = state["coef_"]
    rows = coef.shape[0] if coef.ndim == 2 else 1
    for name in ("_standard_coef", "_average_coef"):
        if state.get(name) is not None and state[name].size != rows * dims["F"]:
            refuse("the averages of coefficients are as many as they")
    for name in ("intercept_", "offset_", "_standard_intercept", "_average_intercept"):
        if state.get(name) is not None and state[name].shape != (rows,):
            refuse("coefficients have an intercept in each row")


def _check_glm(losses: tuple[str, ...]) -> Any:
    names = tuple(f"sklearn._loss.loss.{name}" for name in losses)

    def check(state: State, dims: Dims) -> None:
        if "_base_loss" in state and not is_a(state["_base_loss"], *names):
            refuse(f"the loss of this model is a {losses[0]}")

    return check


def _check_network(state: State, dims: Dims) -> None:
    widths = [dims["F"], *(len(bias) for bias in state["intercepts_"])]
    shapes = [layer.shape for layer in state["coefs_"]]
    if state["n_layers_"] != dims["L"] + 1 or shapes != list(pairwise(widths)):
        refuse("the layers of a network follow one another")
    if state.get("n_outputs_", widths[-1]) != widths[-1]:
        refuse("a network has an output for each unit of its last layer")


def _check_seen(state: State, dims: Dims) -> None:
    if not 0 <= state["n_samples_seen_"] <= 2.0**60:
        refuse("the number of samples that were seen is a number of samples")


def _check_order(state: State, dims: Dims) -> None:
    if "classes_" in state and not find_themselves(state["classes_"]):
        refuse("the classes of a model are in order")


def _check_votes(state: State, dims: Dims) -> None:
    """Votes are counted in an array as long as the largest of them."""
    for member in state["estimators_"]:
        parts = getattr(member, "__dict__", {})
        while is_a(member, "sklearn.pipeline.Pipeline") and type(parts.get("steps")) is list and parts["steps"]:
            member = parts["steps"][-1][-1]
            parts = getattr(member, "__dict__", {})
        classes = parts.get("classes_")
        if type(classes) is np.ndarray and classes.dtype.kind in "iu" and not in_range(classes, dims["C"]):
            refuse("a member of a vote votes for one of the classes")


def _checks(package: str, names: str, rules: str, *extra: Any) -> dict[str, Check]:
    return {name: Check(name, rules, *extra) for name in named(package, names)}


CHECKS = {
    **_checks("ensemble", "VotingClassifier", _VOTE, _check_votes),
    **_checks(
        "linear_model",
        "SGDClassifier SGDRegressor SGDOneClassSVM Perceptron PassiveAggressiveClassifier PassiveAggressiveRegressor",
        _SGD,
        _check_sgd,
    ),
    **{
        f"sklearn.linear_model.{name}": Check(f"sklearn.linear_model.{name}", _GLM, _check_glm(losses))
        for name, losses in _GLM_LOSSES.items()
    },
    **_checks("neural_network", "MLPClassifier MLPRegressor", _NETWORK, _check_network),
    **_checks("neural_network._stochastic_optimizers", "AdamOptimizer", _OPTIMIZER),
    **_checks("neural_network", "BernoulliRBM", _RBM),
    **_checks("dummy", "DummyClassifier", _DUMMY_CLASSIFIER),
    **_checks("dummy", "DummyRegressor", _DUMMY_REGRESSOR),
    **_checks(
        "decomposition",
        "NMF MiniBatchNMF LatentDirichletAllocation DictionaryLearning MiniBatchDictionaryLearning SparsePCA "
        "MiniBatchSparsePCA TruncatedSVD FactorAnalysis FastICA",
        _COMPONENTS,
    ),
    **_checks("decomposition", "IncrementalPCA", _INCREMENTAL, _check_seen),
    **_checks(
        "covariance",
        "EllipticEnvelope EmpiricalCovariance GraphicalLasso GraphicalLassoCV LedoitWolf MinCovDet OAS "
        "ShrunkCovariance",
        _COVARIANCE,
    ),
    **_checks("mixture", "GaussianMixture BayesianGaussianMixture", _MIXTURE),
    **_checks("gaussian_process", "GaussianProcessRegressor", _PROCESS),
    **_checks("model_selection", "_split._CVIterableWrapper", "cv! list"),
    **_checks("random_projection", "GaussianRandomProjection SparseRandomProjection", _PROJECTION),
    **_checks("naive_bayes", "GaussianNB", _COUNTED),
    **_checks("naive_bayes", "BernoulliNB CategoricalNB ComplementNB MultinomialNB", _COUNTED_BY_LABEL, _check_order),
    **_checks("preprocessing", "MaxAbsScaler MinMaxScaler", _RANGE),
    **_checks("cross_decomposition", "CCA PLSCanonical PLSRegression PLSSVD", _PLS),
}
