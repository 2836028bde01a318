"""Estimators and functions such as a user writes."""

from __future__ import annotations

import os

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.tree import DecisionTreeClassifier


class Nearest(ClassifierMixin, BaseEstimator):
    """Predicts by the nearest class mean, shrunk."""

    def __init__(self, shrinkage: float = 0.0) -> None:
        self.shrinkage = shrinkage

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        means = np.stack([X[y == one].mean(axis=0) for one in self.classes_])
        self.means_ = means * (1 - self.shrinkage) + X.mean(axis=0) * self.shrinkage
        return self

    def predict(self, X):
        return self.classes_[((X[:, None] - self.means_) ** 2).sum(axis=2).argmin(axis=1)]


class Doubling(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X * 2


class FailsAt(DecisionTreeClassifier):
    """Fails to fit at one depth."""

    def __init__(self, max_depth=None, random_state=None, bad_depth=None):
        super().__init__(max_depth=max_depth, random_state=random_state)
        self.bad_depth = bad_depth

    def fit(self, X, y, sample_weight=None, check_input=True):
        if self.max_depth == self.bad_depth:
            raise ArithmeticError(f"no tree of depth {self.max_depth}")
        return super().fit(X, y, sample_weight, check_input)


class StopsAbove(DecisionTreeClassifier):
    """A tree whose user presses Ctrl-C at so many rows."""

    def fit(self, X, y, sample_weight=None, check_input=True):
        if len(X) > int(os.environ.get("STOP_ABOVE", "1000")):
            raise KeyboardInterrupt
        return super().fit(X, y, sample_weight, check_input)


def half_right(estimator, X, y):
    return float((estimator.predict(X) == y).mean() / 2)


def no_score(estimator, X, y):
    raise ArithmeticError("no score today")
