"""What the identity of an object covers beyond what its class gives to pickle: slots, omitted state, parameters."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import KFold, cross_val_score
from sklearn.svm import SVC

import keepfit
from keepfit.checkpoint.contents import Contents
from keepfit.checkpoint.walk import NoIdentityError


def digest(obj: object) -> bytes:
    return Contents().digest(obj)


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a: float) -> None:
        self.a = a

    def __call__(self, estimator, X, y) -> float:
        return self.a


class SlotsAndDict:
    __slots__ = ("__dict__", "a")

    def __init__(self, a: float) -> None:
        self.a = a

    def __call__(self, estimator, X, y) -> float:
        return self.a


class PrivateSlot(Slotted):
    __slots__ = ("__b",)

    def __init__(self, b: float) -> None:
        super().__init__(0)
        self.__b = b

    def __call__(self, estimator, X, y) -> float:
        return self.__b


class SlotsUnderAPlainClass(Slotted):
    pass


class ForgetfulSlots(Slotted):
    __slots__ = ()

    def __getstate__(self):
        return {}


class Forgetful:
    def __init__(self, a: float) -> None:
        self.a = a

    def __getstate__(self):
        return {}

    def __call__(self, estimator, X, y) -> float:
        return self.a


class ForgetfulByReduce(Forgetful):
    def __reduce__(self):
        return (type(self), (0,))


class ForgetfulNumber(float):
    def __new__(cls, a):
        number = super().__new__(cls, 1.0)
        number.a = a
        return number

    def __reduce__(self):
        return (float, (1.0,))

    def __call__(self, estimator, X, y) -> float:
        return self.a


class ForgetfulList(list):
    def __init__(self, a):
        super().__init__([a])

    def __reduce__(self):
        return (type(self), (0,))

    def __call__(self, estimator, X, y) -> float:
        return self[0]


KINDS = [Slotted, SlotsAndDict, PrivateSlot, SlotsUnderAPlainClass, ForgetfulSlots, Forgetful, ForgetfulByReduce]
KINDS += [ForgetfulNumber, ForgetfulList]


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_an_object_holds_counts(kind) -> None:
    assert digest(kind(0)) != digest(kind(1))
    assert digest(kind(0)) == digest(kind(0))


@pytest.mark.parametrize("kind", [Slotted, SlotsAndDict, Forgetful])
def test_a_score_is_not_taken_from_another_scorer_of_its_class(kind, store, iris) -> None:
    with keepfit.checkpoint(store, progress=False):
        scores = [cross_val_score(DummyClassifier(), *iris, cv=KFold(2), scoring=kind(a)).tolist() for a in (0, 1, 1)]
    assert scores == [[0, 0], [1, 1], [1, 1]]
    with keepfit.checkpoint(store, progress=False) as run:
        cross_val_score(DummyClassifier(), *iris, cv=KFold(2), scoring=kind(1))
    assert run.reused == 2


class ForgetfulEstimator(BaseEstimator):
    def __init__(self, a=0):
        self.a = a

    def __getstate__(self):
        return {}


class Duck:
    """An estimator by its methods alone, whose parameter is in a slot."""

    __slots__ = ("__dict__", "__weakref__", "a")

    def __init__(self, a=0):
        self.a = a

    def get_params(self, deep=True):
        return {"a": self.a}

    def set_params(self, a):
        self.a = a
        return self

    def fit(self, X, y):
        return self

    def score(self, X, y):
        return float(self.a)

    def __sklearn_tags__(self):
        return DummyClassifier().__sklearn_tags__()


@pytest.mark.parametrize("kind", [ForgetfulEstimator, Duck])
def test_parameters_count_wherever_they_are(kind) -> None:
    assert digest(kind(0)) != digest(kind(1))
    assert digest(kind(0)) == digest(kind(0))


def test_candidates_that_differ_in_a_slot_are_two(store, iris) -> None:
    with keepfit.checkpoint(store, progress=False):
        scores = [cross_val_score(Duck(a), *iris, cv=KFold(2)).tolist() for a in (0, 1)]
    assert scores == [[0, 0], [1, 1]]


class Counted:
    def __init__(self, lock):
        self.lock = lock

    def __getstate__(self):
        return {}


def test_what_pickle_is_not_given_may_leave_an_object_without_identity() -> None:
    with pytest.raises(NoIdentityError, match="lock"):
        digest(Counted(threading.Lock()))


def test_objects_of_installed_classes_are_what_they_pickle() -> None:
    rng = np.random.default_rng(0)
    assert digest(np.random.default_rng(0)) == digest(rng)
    assert digest(SVC(C=2)) != digest(SVC())
