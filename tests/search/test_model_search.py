"""`ModelSearchCV` as an estimator: what it finds, and how it behaves beside scikit-learn's own searches."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import randint
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, ShuffleSplit, cross_val_score
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

import keepfit
from keepfit import KeepfitWarning, ModelSearchCV

X, y = load_iris(return_X_y=True)
KNN = {"n_neighbors": [1, 5, 9], "weights": ["uniform", "distance"]}


def models():
    return {"knn": (KNeighborsClassifier(), KNN), "nb": (GaussianNB(), {}), "svm": (SVC(), [{"C": [0.1, 1.0]}])}


@pytest.fixture(scope="module")
def fitted():
    return ModelSearchCV(models(), cv=3).fit(X, y)


def of_model(search, name, column):
    return search.cv_results_[column][search.cv_results_["model"] == name]


#: Searches of scikit-learn's own have the same exemption: they do not warn of a column vector where a vector is asked.
NO_WARNING = {"check_supervised_y_2d": "DataConversionWarning not caught, as in GridSearchCV"}


def expected_failures(search):
    return NO_WARNING if "ridge" in search.models else {}


CHECKS = parametrize_with_checks(
    [
        ModelSearchCV({"lr": (LogisticRegression(), {"C": [0.1, 1.0]}), "nb": (GaussianNB(), {})}, cv=2),
        ModelSearchCV(
            {"ridge": (Ridge(), {"alpha": [0.1, 1.0]}), "tree": (DecisionTreeRegressor(random_state=0), {})},
            cv=2,
            error_score="raise",
        ),
    ],
    expected_failed_checks=expected_failures,
)


# As a list, because scikit-learn before 1.9 hands pytest a generator, which pytest warns of.
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
@pytest.mark.filterwarnings("ignore")
def test_it_keeps_scikit_learns_conventions(estimator, check):
    check(estimator)


def test_each_type_has_the_scores_that_a_search_of_its_own_gives(fitted):
    for name, (estimator, grid) in models().items():
        alone = GridSearchCV(estimator, grid, cv=3).fit(X, y)
        for column in ("mean_test_score", "split0_test_score", "std_test_score"):
            np.testing.assert_array_equal(of_model(fitted, name, column), alone.cv_results_[column])
        assert fitted.cv_results_["params"][fitted.best_indices_[name]] == alone.best_params_
        np.testing.assert_array_equal(fitted.best_estimators_[name].predict(X), alone.predict(X))


def test_the_best_of_all_is_the_first_in_rank(fitted):
    row = fitted.best_index_
    assert fitted.cv_results_["rank_test_score"][row] == 1
    assert fitted.best_model_ == fitted.cv_results_["model"][row]
    assert fitted.best_params_ == fitted.cv_results_["params"][row]
    assert fitted.best_score_ == fitted.cv_results_["mean_test_score"].max()
    assert fitted.best_estimator_ is fitted.best_estimators_[fitted.best_model_]


def test_parameters_that_a_type_does_not_have_are_masked(fitted):
    column = fitted.cv_results_["param_n_neighbors"]
    assert column.compressed().tolist() == [1, 1, 5, 5, 9, 9]
    assert np.ma.getmaskarray(column)[fitted.cv_results_["model"] != "knn"].all()


def test_it_predicts_as_its_best_model(fitted):
    best = fitted.best_estimator_
    np.testing.assert_array_equal(fitted.predict(X), best.predict(X))
    assert fitted.score(X, y) == best.score(X, y)
    assert fitted.classes_.tolist() == [0, 1, 2]
    assert fitted.n_features_in_ == 4


def test_it_has_the_methods_of_its_models_only():
    search = ModelSearchCV({"nb": (GaussianNB(), {}), "knn": (KNeighborsClassifier(), {})})
    assert hasattr(search, "predict_proba")
    assert not hasattr(search, "decision_function")
    assert not hasattr(search, "transform")


def test_distributions_are_drawn_as_by_a_randomized_search():
    space = {"n_neighbors": randint(1, 30)}
    search = ModelSearchCV({"knn": (KNeighborsClassifier(), space)}, n_iter=4, random_state=0, cv=3).fit(X, y)
    alone = RandomizedSearchCV(KNeighborsClassifier(), space, n_iter=4, random_state=0, cv=3).fit(X, y)
    assert search.cv_results_["params"] == alone.cv_results_["params"]


def test_all_types_are_judged_on_the_same_splits_even_if_the_splitter_shuffles():
    pair = (KNeighborsClassifier(), {"n_neighbors": [3]})
    search = ModelSearchCV({"one": pair, "two": pair}, cv=ShuffleSplit(4, test_size=0.2)).fit(X, y)
    for split in range(4):
        one, two = search.cv_results_[f"split{split}_test_score"]
        assert one == two


def test_several_metrics_choose_by_the_one_that_refit_names():
    scoring = ["accuracy", "neg_log_loss"]
    search = ModelSearchCV(
        {"knn": (KNeighborsClassifier(), KNN), "nb": (GaussianNB(), {})}, cv=3, scoring=scoring, refit="neg_log_loss"
    ).fit(X, y)
    assert search.best_score_ == search.cv_results_["mean_test_neg_log_loss"].max()
    assert search.score(X, y) == search.scorer_["neg_log_loss"](search.best_estimator_, X, y)


def test_several_metrics_with_none_to_choose_by_are_refused_before_any_fit():
    with pytest.raises(ValueError, match="refit="):
        ModelSearchCV(models(), scoring=["accuracy", "neg_log_loss"]).fit(X, y)


def test_without_refit_there_is_the_best_row_and_no_model():
    search = ModelSearchCV(models(), refit=False, cv=3).fit(X, y)
    assert search.best_model_ in search.models
    assert not hasattr(search, "predict")
    assert not hasattr(search, "best_estimator_")


def test_a_callable_refit_chooses_in_each_type_and_then_among_the_best():
    def worst(results):
        return int(results["mean_test_score"].argmin())

    search = ModelSearchCV(models(), refit=worst, cv=3).fit(X, y)
    assert search.best_index_ == search.cv_results_["mean_test_score"].argmin()
    assert not hasattr(search, "best_score_")


def test_a_type_whose_fits_all_fail_is_left_out_with_a_warning():
    pairs = {"bad": (MultinomialNB(), {}), "good": (GaussianNB(), {})}
    with pytest.warns(KeepfitWarning, match=r"^bad is left out: All the 3 fits failed: ValueError: .*failed_models_"):
        search = ModelSearchCV(pairs, cv=3).fit(X - 10, y)
    assert search.best_model_ == "good"
    assert list(search.failed_models_) == ["bad"]


def test_when_all_fits_of_all_types_fail_the_error_is_scikit_learns():
    with pytest.raises(ValueError, match="fits failed"):
        ModelSearchCV({"bad": (MultinomialNB(), {})}, cv=3).fit(X - 10, y)


def test_a_misspelt_parameter_is_told_before_any_fit():
    with pytest.raises(ValueError, match=r"grid of svm.*'c'"):
        ModelSearchCV({"knn": (KNeighborsClassifier(), KNN), "svm": (SVC(), {"c": [1]})}).fit(X, y)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "at least one"),
        ([("knn", KNeighborsClassifier())], "dict of name"),
        ({"knn": KNeighborsClassifier()}, r"must be \(estimator, grid\)"),
        ({"a__b": (GaussianNB(), {})}, "cannot name a model"),
        ({"cv": (GaussianNB(), {})}, "cannot name a model"),
        ({"nb": (GaussianNB(), {}), "ridge": (Ridge(), {})}, "of one kind"),
    ],
)
def test_models_that_are_not_as_described_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ModelSearchCV(wrong).fit(X, y)


def test_nested_parameters_are_reached_by_the_name_of_the_model():
    search = ModelSearchCV(
        {"svm": (make_pipeline(StandardScaler(), SVC()), {"svc__C": [1.0]}), "nb": (GaussianNB(), {})}
    )
    assert search.get_params()["svm__svc__C"] == 1.0
    search.set_params(svm__svc__gamma=0.5, nb=GaussianNB(var_smoothing=0.1), cv=3)
    assert search.models["svm"][0].named_steps["svc"].gamma == 0.5
    assert search.models["nb"][0].var_smoothing == 0.1
    assert search.cv == 3
    with pytest.raises(ValueError, match="nothing"):
        search.set_params(nothing=1)


def test_a_clone_shares_nothing_and_is_not_fitted(fitted):
    copy = clone(fitted)
    copy.set_params(svm__C=7.0)
    assert fitted.models["svm"][0].C == 1.0
    assert not hasattr(copy, "best_model_")


def test_it_works_inside_cross_validation_and_a_pipeline():
    search = ModelSearchCV({"nb": (GaussianNB(), {}), "knn": (KNeighborsClassifier(), {"n_neighbors": [5]})}, cv=2)
    assert cross_val_score(make_pipeline(StandardScaler(), search), X, y, cv=3).mean() > 0.9


def test_sample_weights_and_groups_reach_fit_and_splitter():
    from sklearn.model_selection import GroupKFold

    A, b = load_diabetes(return_X_y=True)
    weights, groups = np.arange(len(b)) % 5 + 1.0, np.arange(len(b)) % 7
    search = ModelSearchCV({"ridge": (Ridge(), {"alpha": [0.1, 1.0]})}, cv=GroupKFold(3))
    search.fit(A, b, groups=groups, sample_weight=weights)
    alone = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=GroupKFold(3))
    alone.fit(A, b, groups=groups, sample_weight=weights)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(search.best_estimator_.coef_, alone.best_estimator_.coef_)


def test_scikit_learns_metadata_routing_is_followed():
    from sklearn import config_context
    from sklearn.model_selection import GroupKFold

    A, b = load_diabetes(return_X_y=True)
    weights, groups = np.arange(len(b)) % 5 + 1.0, np.arange(len(b)) % 7
    with config_context(enable_metadata_routing=True):
        ridge = Ridge().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        search = ModelSearchCV({"ridge": (ridge, {"alpha": [0.1, 1.0]})}, cv=GroupKFold(3))
        search.fit(A, b, groups=groups, sample_weight=weights)
    expected = Ridge(**search.best_params_).fit(A, b, sample_weight=weights)
    np.testing.assert_array_equal(search.best_estimator_.coef_, expected.coef_)


def test_names_of_columns_are_known_after_a_fit_on_a_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    search = ModelSearchCV({"nb": (GaussianNB(), {})}, cv=3).fit(frame, y)
    assert search.feature_names_in_.tolist() == list("abcd")


def test_a_fitted_search_is_kept_and_loaded_with_no_trust(fitted):
    data = keepfit.dumps(fitted)
    again = keepfit.loads(data)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again.best_params_ == fitted.best_params_
    assert keepfit.dumps(again) == data


def test_the_place_of_the_store_does_not_go_into_a_file():
    search = ModelSearchCV({"nb": (GaussianNB(), {})}, store="postgresql://me:secret@host/models", cv=KFold(3))
    data = keepfit.dumps(search)
    assert b"secret" not in data
    assert keepfit.loads(data).store is None


@pytest.mark.filterwarnings("default")
def test_a_type_whose_scores_are_all_nan_is_left_out_with_the_scorers_error():
    models = {"svm": (SVC(), {"C": [0.1, 1.0]}), "nb": (GaussianNB(), {})}
    search = ModelSearchCV(models, cv=3, scoring="neg_log_loss")
    with pytest.warns(KeepfitWarning, match=r"svm is left out: .* NaN.*predict_proba"):
        search.fit(X, y)
    assert search.best_model_ == "nb"
    assert "predict_proba" in search.failed_models_["svm"]
    with pytest.raises(ValueError, match="NaN"):
        ModelSearchCV({"svm": models["svm"]}, cv=3, scoring="neg_log_loss").fit(X, y)
