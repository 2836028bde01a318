"""Transformers made of others: what candidates have in common inside them is fitted once for each split.

A part, with its output, is held until the last candidate that has it has taken it, and no longer than there is room. It
is taken again where its class, its parameters and the rows and columns that it gets are the same. All around the parts,
which columns they get and how their outputs are put together, is done by scikit-learn for each candidate.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keepfit.checkpoint.sharing.case import Case, Plain, Refused, attach
from keepfit.checkpoint.sharing.memory import Recall, quietly, same_rows
from keepfit.checkpoint.sharing_seam import contents

__all__ = ["ColumnTransformer", "FeatureUnion"]

#: What is held of the parts of one split: their inputs and outputs. The oldest go first.
_MOST_BYTES = 256 << 20


class _Composed(Case):
    """Transformers made of others, whatever they differ in."""

    only_before_others = True

    def parts(self, estimator: Any) -> list[Any]:
        """The transformers inside, of which not all need be estimators."""
        raise NotImplementedError

    def admits(self, estimator: Any) -> bool:
        try:
            return not estimator.verbose and len(self._estimators(estimator)) > 1
        except (TypeError, ValueError):  # no list of tuples: the fit will tell
            return False

    def _estimators(self, estimator: Any) -> list[Any]:
        return [part for part in self.parts(estimator) if hasattr(part, "get_params") and not isinstance(part, type)]

    def rank(self, estimator: Any) -> Any:
        return 0

    def source(self, kin: Sequence[Any], X: Any, *y: Any, **params: Any) -> Any:
        """What has been fitted so far, which is nothing."""
        return _Parts(Counter(contents(part) for one in kin for part in self._estimators(one)))

    def give(self, source: Any, target: Any) -> None:
        from joblib import effective_n_jobs

        if effective_n_jobs(target.n_jobs) != 1:
            raise Refused  # the parts would be fitted elsewhere

    def transformed(self, source: Any, target: Any, X: Any, y: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for part in self._estimators(target):
                stack.enter_context(self._watched(source, part))
            return target.fit_transform(X, y)

    def _watched(self, source: _Parts, part: Any) -> contextlib.AbstractContextManager[None]:
        """Let the parts be fitted by way of what is there already."""
        raise NotImplementedError

    def answers(self, source: Any, kin: Sequence[Any]) -> Any:
        return source


class ColumnTransformer(_Composed):
    """Transformers of some columns each. What they get is a selection that is made anew for each candidate."""

    parameters = frozenset(
        {
            *("transformers", "remainder", "sparse_threshold", "n_jobs", "transformer_weights", "verbose"),
            *("verbose_feature_names_out", "force_int_remainder_cols"),
        }
    )

    def parts(self, estimator: Any) -> list[Any]:
        return [*(part for _, part, _ in estimator.transformers), estimator.remainder]

    @contextlib.contextmanager
    def _watched(self, source: _Parts, part: Any) -> Iterator[None]:
        """It fits clones of its parts."""

        def cloned() -> Any:
            clone = type(part).__sklearn_clone__(part)
            source.watch(clone)
            return clone

        part.__sklearn_clone__ = cloned
        try:
            yield
        finally:
            del part.__sklearn_clone__


class FeatureUnion(_Composed):
    """Transformers of the same columns, side by side."""

    parameters = frozenset(
        {"transformer_list", "n_jobs", "transformer_weights", "verbose", "verbose_feature_names_out"}
    )

    def parts(self, estimator: Any) -> list[Any]:
        return [part for _, part in estimator.transformer_list]

    @contextlib.contextmanager
    def _watched(self, source: _Parts, part: Any) -> Iterator[None]:
        """It fits its parts themselves."""
        source.watch(part)
        try:
            yield
        finally:
            vars(part).pop("fit_transform", None)


@dataclass
class _Part:
    """A fitted part, what it was fitted on and what it made of it."""

    key: Hashable
    rows: Any
    fitted: dict[str, Any]
    made: Any
    size_bytes: int


class _Parts:
    """The fitted parts of one split.

    Parameters
    ----------
    wanted : Counter
        How often each part, by its contents, will be asked for.
    """

    def __init__(self, wanted: Counter[Hashable]) -> None:
        self._wanted = wanted
        self._known: list[_Part] = []
        self._recalls = False

    def attach(self, target: Any) -> None:
        """Let parts remember what they make of other rows: the scorers are scikit-learn's own."""
        self._recalls = True

    def watch(self, part: Any) -> None:
        """Let an unfitted part be what another one like it has become, or be held for those to come."""
        if hasattr(part, "fit_transform"):
            attach(part, "fit_transform", _FitTransform(self, part))

    def fit_transform(self, part: Any, X: Any, y: Any) -> Any:
        key = contents(part)
        found = next((one for one in self._known if one.key == key and same_rows(one.rows, X)), None)
        if found is None:
            found = self._fitted(key, part, X, y)
        else:
            vars(part).clear()
            vars(part).update(found.fitted)
        self._wanted[key] -= 1
        self._make_room()
        return _handed(found.made)

    def _fitted(self, key: Hashable, part: Any, X: Any, y: Any) -> _Part:
        made, warned = quietly(lambda: part.fit_transform(X, y))
        if warned:  # each candidate has to warn
            raise Plain
        if self._recalls and self._wanted[key] > 1:
            attach(part, "transform", _Recall(part.transform))
        found = _Part(key, X, dict(vars(part)), made, _size_bytes(X) + _size_bytes(made))
        self._known.append(found)
        return found

    def _make_room(self) -> None:
        self._known = [one for one in self._known if self._wanted[one.key] > 0]
        while sum(one.size_bytes for one in self._known) > _MOST_BYTES:
            del self._known[0]


@dataclass
class _FitTransform:
    """The ``fit_transform`` of a part."""

    parts: _Parts
    part: Any

    def __call__(self, X: Any, y: Any = None, **params: Any) -> Any:
        del self.part.fit_transform
        if params:  # of metadata: nothing is known of what they do
            raise Plain
        return self.parts.fit_transform(self.part, X, y)


class _Recall(Recall):
    """The ``transform`` of a part."""

    def __call__(self, X: Any, *args: Any, **params: Any) -> Any:
        return _handed(super().__call__(X, *args, **params))


def _handed(made: Any) -> Any:
    """An output for one more who puts it together with others: arrays are only read; frames may be renamed, and the
    indices of a sparse matrix sorted."""
    if type(made) is np.ndarray:
        return made
    return made.copy() if hasattr(made, "indptr") else copy.copy(made)


def _size_bytes(value: Any) -> int:
    if hasattr(value, "indptr"):
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)
    if hasattr(value, "memory_usage"):
        return int(np.sum(value.memory_usage()))
    return int(getattr(value, "nbytes", sys.getsizeof(value)))
