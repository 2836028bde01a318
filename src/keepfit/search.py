"""`ModelSearchCV`: one search over several types of model, the best of each kept as it is found."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
    ParameterSampler,
    RandomizedSearchCV,
    check_cv,
)
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from keepfit.errors import KeepfitWarning
from keepfit.search_keeping import Keeper, opened, plain
from keepfit.search_results import best_index, merged, rows_of, score_at, score_column

if TYPE_CHECKING:
    import os

    from keepfit.store import Store

__all__ = ["ModelSearchCV"]


def _every_model_has(method: str) -> Callable[[ModelSearchCV], bool]:
    """Whether the best model has a method; before `fit`, whether all models have it."""

    def check(search: ModelSearchCV) -> bool:
        if not search.refit:
            raise AttributeError(f"{method} needs the best model, and this ModelSearchCV has refit=False")
        if hasattr(search, "best_estimator_"):
            getattr(search.best_estimator_, method)
        else:
            for estimator, _ in search.models.values():
                getattr(estimator, method)
        return True

    return check


class ModelSearchCV(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Search over several types of model, each with its own grid, by cross-validation on the same splits.

    One type of model is searched after the other, in the order given. As a type is done, its best is fitted on all the
    data and, with ``store=``, kept there under its name. Stopped at any moment, the store has the best models so far
    and every finished fit; the same `fit` again goes on from there.

    Parameters
    ----------
    models : dict of str to (estimator, dict or list of dict)
        For each name an estimator and what to try: a grid as `GridSearchCV` takes it, where ``{}`` is the estimator as
        it is; or, where a value has a method ``rvs``, distributions as `RandomizedSearchCV` takes them.
    store : str, path-like, Store or None, default=None
        Where finished work and the best models are kept: a path or a database URL. None keeps nothing.
    cv : int, cross-validation generator or iterable, default=None
        As for `GridSearchCV`. The splits are made once, so all types of model are judged on the same ones. A splitter
        that shuffles needs a fixed ``random_state`` for work to be found again.
    scoring : str, callable, list, tuple, dict or None, default=None
        As for `GridSearchCV`. With several metrics, `refit` says by which to choose.
    n_jobs : int, default=None
        As for `GridSearchCV`.
    refit : bool, str or callable, default=True
        As for `GridSearchCV`. A callable is asked for the best of each type, and then for the best among those.
    n_iter : int, default=10
        How many candidates are drawn for each type that has distributions.
    random_state : int, RandomState or None, default=None
        For drawing them. Only an int lets work be found again.
    error_score : 'raise' or float, default=np.nan
        As for `GridSearchCV`. A type of model whose fits all fail, or whose candidates
        all have the score NaN, is left out with a warning, unless all types are.
    return_train_score : bool, default=False
        As for `GridSearchCV`.
    verbose : int, default=0
        As for `GridSearchCV`.
    progress : bool or None, default=None
        Whether to show progress while a store is used; None shows it on a terminal as a bar, elsewhere as plain lines.
    metadata : dict of str to object, default=None
        Your own facts, kept beside each model in the store.
    share : bool, default=True
        Whether candidates share fits while a store is used, as for `keepfit.checkpoint`. Scores are equal either way.

    Attributes
    ----------
    best_model_ : str
        Name of the type that the best model is of.
    best_estimator_ : estimator
        The best model of all, fitted on all the data. Only with `refit`.
    best_estimators_ : dict of str to estimator
        The best model of each type, fitted on all the data. Only with `refit`.
    best_index_ : int
        Its row in `cv_results_`.
    best_indices_ : dict of str to int
        The row of each type's best.
    best_params_ : dict
        Parameters of the best model.
    best_score_ : float
        Its mean score over the splits. Not with a callable `refit`.
    cv_results_ : dict of str to ndarray
        The tables of all types as one, as `GridSearchCV` has it, with the column ``"model"``; ranks are over all types.
    failed_models_ : dict of str to str
        Types that were left out because all their fits or scores failed, and why.
    kept_versions_ : dict of str to int
        Which version of its name each type's best is in the store: the newest. One that could not be kept is left out.
    scorer_ : callable or dict
        As in `GridSearchCV`, of the best model.
    multimetric_ : bool
        Whether there are several metrics.
    n_splits_ : int
        Number of splits.
    refit_time_ : float
        Seconds for fitting the best model on all the data. Only with `refit`.
    classes_ : ndarray of shape (n_classes,)
        Labels, where the best model is a classifier.
    n_features_in_ : int
        Features seen in `fit`, where the best model knows.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where the best model knows.

    Notes
    -----
    With ``store=``, `fit` runs inside `keepfit.checkpoint`: what is kept, what is found again and what a stop costs is
    said there. A best model that the store already has, from the same data, splits, estimator and releases, is taken
    from there and not fitted again; where another has become the newest of its name since, it becomes a new version.

    `keepfit.dump` keeps a fitted `ModelSearchCV` without its store: that is a place of this machine.

    Examples
    --------
    >>> from keepfit import ModelSearchCV
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> search = ModelSearchCV(
    ...     {"knn": (KNeighborsClassifier(), {"n_neighbors": range(1, 12)}), "nb": (GaussianNB(), {})}, cv=5
    ... )
    >>> search.fit(X, y).best_model_
    'knn'
    >>> search.best_params_
    {'n_neighbors': 6}
    """

    def __init__(
        self,
        models: Mapping[str, tuple[Any, Any]],
        *,
        store: str | os.PathLike[str] | Store | None = None,
        cv: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        n_iter: int = 10,
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        verbose: int = 0,
        progress: bool | None = None,
        metadata: Mapping[str, Any] | None = None,
        share: bool = True,
    ) -> None:
        self.models = models
        self.store = store
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.refit = refit
        self.n_iter = n_iter
        self.random_state = random_state
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.verbose = verbose
        self.progress = progress
        self.metadata = metadata
        self.share = share

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, and with `deep` each estimator by its name and its parameters as ``name__parameter``.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict of str to object
        """
        params: dict[str, Any] = super().get_params(deep=False)
        if deep:
            for name, (estimator, _) in _pairs(self.models):
                params[name] = estimator
                params.update((f"{name}__{key}", value) for key, value in estimator.get_params(deep=True).items())
        return params

    def set_params(self, **params: Any) -> ModelSearchCV:
        """Set parameters; ``name=`` gives a type another estimator, ``name__parameter=`` sets one of its own.

        Parameters
        ----------
        **params
            By name.

        Returns
        -------
        ModelSearchCV
            Itself.
        """
        models = params.pop("models", self.models)
        for name, (_, space) in _pairs(models):
            if name in params:
                models = {**models, name: (params.pop(name), space)}
        self.models = models
        for name, (estimator, _) in _pairs(models):
            own = {key: params.pop(key) for key in list(params) if key.startswith(f"{name}__")}
            estimator.set_params(**{key.removeprefix(f"{name}__"): value for key, value in own.items()})
        super().set_params(**params)
        return self

    def fit(self, X: Any, y: Any = None, **params: Any) -> ModelSearchCV:
        """Search all types of model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        **params : dict of str to object
            As for `GridSearchCV.fit`: ``groups`` for the splitter, ``sample_weight`` and others for `fit`.

        Returns
        -------
        self : ModelSearchCV

        Raises
        ------
        ValueError
            If `models` are not as described, a grid names a parameter its estimator does not have, or all fits or
            scores of all types fail.
        StoreError
            If the store cannot be opened or written, or does not take the name of a type.
        """
        self._check_models()
        X, y = indexable(X, y)
        if y is None and get_tags(self).target_tags.required:
            raise ValueError("ModelSearchCV over these models requires y to be passed, but the target y is None")
        split_params, fit_params = self._route(params)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self._first()))
        splits = list(splitter.split(X, y, **split_params))
        facts = {"cv": _text(splitter), "scoring": _text(self.scoring), **_shape(X), **(self.metadata or {})}
        found: dict[str, _Found] = {}
        failed: dict[str, ValueError] = {}
        with opened(self.store, self.progress, self.share) as keeper:
            for name in self.models:
                search = self._search_of(name, splits)
                try:
                    with keeper.watched(name, self.refit):
                        search.fit(X, y, **fit_params[name])
                    self._check_scores(name, search, (X, y, fit_params[name]))
                except ValueError as error:
                    if self.error_score == "raise":
                        raise
                    failed[name] = error
                    continue
                index = best_index(self.refit, search.cv_results_, multimetric=search.multimetric_)
                found[name] = _Found(search, index)
                if self.refit:
                    self._refit(keeper, name, found[name], (X, y, fit_params[name]), facts)
        self.kept_versions_ = keeper.versions
        self._conclude(found, failed, len(splits))
        return self

    def _check_models(self) -> None:
        if not isinstance(self.models, Mapping) or not self.models:
            raise ValueError("models= takes a dict of name -> (estimator, grid), with at least one")
        own = super().get_params(deep=False)
        for name, pair in self.models.items():
            if not isinstance(name, str) or "__" in name or not name or name in own or name == "splitter":
                raise ValueError(f"{name!r} cannot name a model: take a word that is no parameter and has no '__'")
            if not _is_pair(pair) or not hasattr(pair[0], "fit"):
                raise ValueError(f"models[{name!r}] must be (estimator, grid), where {{}} is a grid of one")
            _check_space(name, *pair)
        if self.store is not None:  # now, and not when the best of many fits is to be kept
            from keepfit.store.catalogue import check_name

            for name in self.models:
                check_name(name)
        kinds = {getattr(get_tags(estimator), "estimator_type", None) for estimator, _ in self.models.values()}
        if len(kinds) > 1:
            raise ValueError(f"models of one search must be of one kind, and these are {sorted(map(str, kinds))}")
        several = isinstance(self.scoring, list | tuple | set | dict)
        if several and not (self.refit is False or callable(self.refit) or self.refit in self.scoring):
            raise ValueError("with several metrics, refit= is the one to choose by, a callable or False")

    def _first(self) -> Any:
        return next(iter(self.models.values()))[0]

    def _search_of(self, name: str, splits: Any) -> Any:
        """The search over one type of model; the best is chosen and fitted here, not there."""
        estimator, space = self.models[name]
        common = {
            "scoring": self.scoring,
            "n_jobs": self.n_jobs,
            "refit": False,
            "cv": splits,
            "verbose": self.verbose,
            "error_score": self.error_score,
            "return_train_score": self.return_train_score,
        }
        if _has_distributions(space):
            return RandomizedSearchCV(estimator, space, n_iter=self.n_iter, random_state=self.random_state, **common)
        return GridSearchCV(estimator, space, **common)

    def _check_scores(self, name: str, search: Any, data: tuple[Any, Any, dict[str, Any]]) -> None:
        """Refuse to choose among candidates that have no score."""
        means = score_column(self.refit, search.cv_results_)
        if callable(self.refit) or means is None or not np.isnan(means).all():
            return
        X, y, params = data
        estimator, _ = self.models[name]
        model = clone(estimator).set_params(**clone(search.cv_results_["params"][0], safe=False))
        model.fit(X, **params) if y is None else model.fit(X, y, **params)
        try:  # what went wrong in the scorer is told by asking it once more, here
            scorers = search.scorer_ if isinstance(search.scorer_, dict) else {"score": search.scorer_}
            for scorer in scorers.values():
                scorer(model, X, y)
            reason = "the scorer gave it"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"the score of every candidate is NaN, so none is the best: {reason}")

    def _refit(
        self, keeper: Keeper, name: str, found: _Found, data: tuple[Any, Any, dict[str, Any]], facts: dict[str, Any]
    ) -> None:
        """Fit the best of a type on all the data and keep it, unless it is kept already."""
        X, y, params = data
        estimator, _ = self.models[name]
        best = found.search.cv_results_["params"][found.index]
        start = time.perf_counter()
        found.estimator = keeper.recall(name, best, estimator)
        if found.estimator is None:
            if get_config()["enable_metadata_routing"]:
                params = process_routing(found.search, "fit", **params).estimator.fit
            found.estimator = clone(estimator).set_params(**clone(best, safe=False))
            found.estimator.fit(X, **params) if y is None else found.estimator.fit(X, y, **params)
            score = score_at(self.refit, found.search.cv_results_, found.index)
            keeper.keep(name, found.estimator, {"score": score, "params": plain(best), **facts})
        found.refit_time_s = time.perf_counter() - start

    def _route(self, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """What of the parameters of `fit` the splitter takes, and what each type of model."""
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **params)
            return routed.splitter.split, {name: routed[name].fit for name in self.models}
        rest = dict(params)
        return {"groups": rest.pop("groups", None)}, dict.fromkeys(self.models, rest)

    def get_metadata_routing(self) -> MetadataRouter:
        """Which of the parameters of `fit` go where, when scikit-learn's metadata routing is on.

        Returns
        -------
        MetadataRouter
        """
        router = MetadataRouter(owner=type(self).__name__)
        for name in self.models:
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(**{name: self._search_of(name, None)}, method_mapping=mapping)
        splitter = check_cv(self.cv, classifier=is_classifier(self._first()))
        return router.add(splitter=splitter, method_mapping=MethodMapping().add(caller="fit", callee="split"))

    def _conclude(self, found: dict[str, _Found], failed: dict[str, ValueError], n_splits: int) -> None:
        if not found:
            raise next(iter(failed.values()))
        self.failed_models_ = {name: str(error).strip() for name, error in failed.items()}
        for name, message in self.failed_models_.items():
            warnings.warn(f"{name} is left out: {_in_short(message)}", KeepfitWarning, stacklevel=3)
        tables = {name: one.search.cv_results_ for name, one in found.items()}
        self.cv_results_ = merged(tables)
        self.n_splits_ = n_splits
        first = next(iter(found.values())).search
        self.scorer_, self.multimetric_ = first.scorer_, first.multimetric_
        if first.multimetric_ and not self.refit:
            return  # nobody said by which metric to choose
        starts = np.cumsum([0, *(len(table["params"]) for table in tables.values())])
        rows = [int(start) + (one.index or 0) for start, one in zip(starts, found.values(), strict=False)]
        self.best_indices_ = dict(zip(found, rows, strict=True))
        best = best_index(self.refit, rows_of(self.cv_results_, rows), multimetric=self.multimetric_) or 0
        self.best_model_ = list(found)[best]
        self.best_index_ = rows[best]
        self.best_params_ = self.cv_results_["params"][self.best_index_]
        if not callable(self.refit):
            self.best_score_ = score_at(self.refit, self.cv_results_, self.best_index_)
        chosen = found[self.best_model_]
        self.scorer_ = chosen.search.scorer_
        if self.refit:
            self.best_estimators_ = {name: one.estimator for name, one in found.items()}
            self.best_estimator_ = chosen.estimator
            self.refit_time_ = chosen.refit_time_s

    def score(self, X: Any, y: Any = None) -> float:
        """The score of the best model, by `scoring`, or by its own ``score`` where there is none.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None

        Returns
        -------
        float

        Raises
        ------
        AttributeError
            If ``refit=False``.
        """
        if not self.refit:
            raise AttributeError("score needs the best model, and this ModelSearchCV has refit=False")
        check_is_fitted(self)
        scorer = self.scorer_
        if isinstance(scorer, dict):
            scorer = scorer[self.refit]
        score = scorer(self.best_estimator_, X, y)
        return score[self.refit] if isinstance(score, dict) else score  # type: ignore[no-any-return]

    def _ask_best(self, method: str, X: Any) -> Any:
        check_is_fitted(self)
        return getattr(self.best_estimator_, method)(X)

    @available_if(_every_model_has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Any:
        """``predict`` of the best model."""
        return self._ask_best("predict", X)

    @available_if(_every_model_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """``predict_proba`` of the best model."""
        return self._ask_best("predict_proba", X)

    @available_if(_every_model_has("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Any:
        """``predict_log_proba`` of the best model."""
        return self._ask_best("predict_log_proba", X)

    @available_if(_every_model_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        """``decision_function`` of the best model."""
        return self._ask_best("decision_function", X)

    @available_if(_every_model_has("score_samples"))  # type: ignore[untyped-decorator]
    def score_samples(self, X: Any) -> Any:
        """``score_samples`` of the best model."""
        return self._ask_best("score_samples", X)

    @available_if(_every_model_has("transform"))  # type: ignore[untyped-decorator]
    def transform(self, X: Any) -> Any:
        """``transform`` of the best model."""
        return self._ask_best("transform", X)

    @available_if(_every_model_has("inverse_transform"))  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: Any) -> Any:
        """``inverse_transform`` of the best model."""
        return self._ask_best("inverse_transform", X)

    @property
    def classes_(self) -> Any:
        return self._of_best("classes_")

    @property
    def n_features_in_(self) -> Any:
        return self._of_best("n_features_in_")

    @property
    def feature_names_in_(self) -> Any:
        return self._of_best("feature_names_in_")

    def _of_best(self, attribute: str) -> Any:
        # By `vars`, because a missing `best_estimator_` must not be looked for as an attribute of a property.
        if "best_estimator_" not in vars(self):
            raise AttributeError(f"this ModelSearchCV has no {attribute} before it is fitted with refit")
        return getattr(self.best_estimator_, attribute)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = [get_tags(estimator) for _, (estimator, _) in _pairs(self.models)]
        if inner:
            tags.estimator_type = inner[0].estimator_type
            tags.classifier_tags = inner[0].classifier_tags
            tags.regressor_tags = inner[0].regressor_tags
            tags.input_tags.pairwise = all(one.input_tags.pairwise for one in inner)
            # A type whose fits all fail is left out, unless errors are to be raised.
            enough = all if self.error_score == "raise" else any
            tags.input_tags.sparse = enough(one.input_tags.sparse for one in inner)
            tags.target_tags.required = any(one.target_tags.required for one in inner)
        return tags


@dataclass
class _Found:
    """What was found of one type of model."""

    search: Any
    index: int | None
    estimator: Any = None
    refit_time_s: float = 0.0


def _in_short(message: str) -> str:
    """What happened and the error that did it, of scikit-learn's message with a traceback between these."""
    first, *rest = message.splitlines()
    return f"{first.rstrip('.')}: {rest[-1].strip()} (failed_models_ has the rest)" if rest else first


def _pairs(models: Any) -> list[tuple[str, tuple[Any, Any]]]:
    """The models as far as they are as they should be: `get_params` must work on any."""
    if not isinstance(models, Mapping):
        return []
    return [(name, (pair[0], pair[1])) for name, pair in models.items() if isinstance(name, str) and _is_pair(pair)]


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2 and hasattr(pair[0], "get_params")


def _spaces(space: Any) -> list[Mapping[str, Any]]:
    return [space] if isinstance(space, Mapping) else list(space)


def _has_distributions(space: Any) -> bool:
    return any(hasattr(value, "rvs") for one in _spaces(space) for value in one.values())


def _check_space(name: str, estimator: Any, space: Any) -> None:
    """Try the first candidate of each grid on the estimator: a misspelt parameter shows now, not after hours."""
    for one in _spaces(space):
        if _has_distributions(one):
            candidate = next(iter(ParameterSampler(one, n_iter=1, random_state=0)))
        else:
            candidate = ParameterGrid(one)[0]
        try:
            clone(estimator).set_params(**clone(candidate, safe=False))
        except ValueError as error:
            raise ValueError(f"the grid of {name}: {error}") from None


def _text(value: Any) -> str | None:
    """A short description that is the same in every run."""
    text = value if value is None or isinstance(value, str) else repr(value)
    return type(value).__name__ if text is not None and " at 0x" in text else text


def _shape(X: Any) -> dict[str, int]:
    shape = X.shape if hasattr(X, "shape") else (len(X),)
    return dict(zip(("n_samples", "n_features"), map(int, shape), strict=False))
