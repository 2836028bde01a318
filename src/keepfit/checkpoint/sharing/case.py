"""What a case of shared work is: one fit from which the fitted state of many candidates is taken."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from keepfit.checkpoint.sharing_seam import parameters_of

__all__ = ["Answers", "Case", "Plain", "Refused", "attach", "cloned", "give_state", "grows", "is_count", "is_seed"]


class Refused(Exception):  # noqa: N818 - not an error: the task is done the plain way
    """What a fitted model, or the data, show only now: this candidate cannot be taken from the shared fit."""


class Plain(BaseException):
    """Do this task the plain way. It leaves scikit-learn's function, which catches exceptions, and is seen by none."""


class Answers(Protocol):
    """Predictions of the candidates of one fit, made with what those before them have left."""

    def attach(self, target: Any) -> None:
        """Let a fitted candidate answer from here. Its own methods do the rest."""


class Case:
    """One row of the table: a class of scikit-learn, and the parameters that one fit serves.

    Attributes
    ----------
    parameters : frozenset of str
        Those in which the candidates of one fit may differ.
    is_cheap : bool
        Whether the fit costs little beside what comes after it, so that it may be done twice for two workers.
    only_before_others : bool
        Whether it is shared as a step before the last one only.
    """

    parameters: frozenset[str] = frozenset()
    is_cheap: bool = False
    only_before_others: bool = False

    def admits(self, estimator: Any) -> bool:
        """Whether an unfitted candidate may share. The guards of the case."""
        raise NotImplementedError

    def kind(self, estimator: Any) -> Hashable:
        """Candidates of different kinds do not share one fit."""
        return None

    def rank(self, estimator: Any) -> Any:
        """The order in which candidates are taken from a fit, so that each goes on from the one before.

        By their parameters, the first of the alphabet first.
        """
        return tuple(getattr(estimator, name) for name in sorted(self.parameters))

    def cost(self, estimator: Any) -> float:
        """What the fit of a candidate costs, beside the fits of others that may be served with it."""
        return 1.0

    def prototype(self, kin: Sequence[Any]) -> Any:
        """The unfitted estimator whose fit serves all of `kin`; it is cloned before it is fitted."""
        return max(kin, key=self.rank)

    def source(self, kin: Sequence[Any], X: Any, *y: Any, **params: Any) -> Any:
        """What all of `kin` are taken from."""
        return self.fit(cloned(self.prototype(kin)), X, *y, **params)

    def fit(self, estimator: Any, X: Any, *y: Any, **params: Any) -> Any:
        """Fit the prototype.

        Returns
        -------
        object
            What the candidates are taken from: the fitted estimator, or more.
        """
        return estimator.fit(X, *y, **params)

    def give(self, source: Any, target: Any) -> None:
        """Make a candidate what its own fit would make it.

        Raises
        ------
        Refused
            If that cannot be done to the bit.
        """
        raise NotImplementedError

    def transformed(self, source: Any, target: Any, X: Any, y: Any) -> Any:
        """What ``fit_transform`` of the candidate would give, after `give`."""
        attach(target, "fit", lambda *_, **__: target)
        try:
            return target.fit_transform(X, y)
        finally:
            del target.fit

    def answers(self, source: Any, kin: Sequence[Any]) -> Answers | None:
        """Predictions that build on each other; None if they cost little."""
        return None


def give_state(source: Any, target: Any) -> None:
    """Give a candidate all that a fit has set on the estimator that was fitted."""
    parameters = parameters_of(source)
    vars(target).update((name, value) for name, value in vars(source).items() if name not in parameters)


def attach(target: Any, name: str, method: Callable[..., Any]) -> None:
    """Set a method on an instance, in the place of its class's and under its name.

    The traceback of an error may become part of a result, so none may lead through here.
    """

    def attached(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception:
            raise Plain from None

    attached.__name__ = name
    setattr(target, name, attached)


def cloned(estimator: Any, **parameters: Any) -> Any:
    """An unfitted estimator with some parameters changed."""
    from sklearn.base import clone

    return clone(estimator).set_params(**parameters)


def grows(ensemble: Any, count: Any) -> bool:
    """Whether the first members of an ensemble are the same however many follow, and nobody watches them come."""
    watched = getattr(ensemble, "warm_start", False) or getattr(ensemble, "verbose", 0)
    return is_count(count) and is_seed(ensemble.random_state) and not watched


def is_count(value: Any) -> bool:
    """Whether a value is a plain positive whole number."""
    return type(value) is int and value >= 1


def is_seed(value: Any) -> bool:
    """Whether a seed gives the same numbers each time: None draws, and a generator goes on."""
    return type(value) is int
