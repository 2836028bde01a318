"""The identity of a task: 32 bytes over what its result is made from.

Function, estimator with all parameters, data, split, scorer, fit and score parameters, candidate, settings of
scikit-learn and NumPy, releases, threads, and the user's own code with all it names. A task whose identity is found in
the store is not run again. Not in it is what the user's own code asks of the process or the world as it runs:
environment variables, files, the clock, printing options, NumPy's and Python's global random state.

The parts of a call, each with a digest of its own, tell the user what changed when nothing is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from keepfit.checkpoint import scorers_seam, sklearn_seam
from keepfit.checkpoint.contents import Contents
from keepfit.checkpoint.environment import numeric_errors, versions_text
from keepfit.checkpoint.sklearn_seam import Evaluation
from keepfit.checkpoint.walk import NoIdentityError, has_only_a_dict

__all__ = ["Identities"]

#: Raised whenever identities are worked out in another way, so that none of an earlier release is mistaken.
_SCHEME = b"keepfit task 2"

#: Which part of a call each argument belongs to; the others are options.
_PART_OF = {
    "estimator": "estimator",
    "X": "data",
    "y": "target",
    "train": "splits",
    "test": "splits",
    "cv": "splits",
    "split_params": "splits",
    "scorer": "scorer",
    "fit_params": "fit_params",
    "score_params": "fit_params",
    "classes": "target",
}


class Identities:
    """Identities of the tasks of one call.

    Parameters
    ----------
    evaluation : Evaluation
    function : callable
        As it was handed to joblib.
    threads : str
        From `environment.thread_text`.
    occurrences : Counter of bytes
        How often each task that draws at random came before, in all calls of the run: the second time is another task.
    """

    def __init__(self, evaluation: Evaluation, function: Any, threads: str, occurrences: Counter[bytes]) -> None:
        self._evaluation = evaluation
        self._contents = Contents()
        self._estimators: dict[Any, bytes | NoIdentityError] = {}
        self._drawing: dict[bytes, bool] = {}  # by the digest of an estimator
        self._random: dict[tuple[int, int], bool] = {}  # by the ids of a candidate and a splitter
        self._candidates: dict[int, bytes] = {}
        self._last: dict[str, tuple[Any, bytes]] = {}  # by the name of an argument
        self._occurrences = occurrences
        self._here: Counter[bytes] = Counter()
        self._surroundings = {
            "function": evaluation.kind,
            "versions": versions_text(),
            "threads": threads,
            "settings": self._contents.digest((sklearn_seam.configuration(function), numeric_errors())).hex(),
        }
        start = sha256(_SCHEME)
        for name, text in self._surroundings.items():
            start.update(f"{len(name)} {len(text)} {name}{text}".encode())
        self._start = start

    @property
    def met(self) -> list[Any]:
        """The classes and functions that were met on the way: what reading a kept model may have to build."""
        return list(self._contents.met.values())

    def of(self, arguments: Mapping[str, Any]) -> bytes:
        """The identity of a task.

        Parameters
        ----------
        arguments : mapping of str to object
            By name.

        Returns
        -------
        bytes of length 32

        Raises
        ------
        NoIdentityError
            If something in it would not be found again. The message says what.
        """
        callbacks = sklearn_seam.callbacks_of(arguments)
        if callbacks:
            raise NoIdentityError(f"the callback {callbacks[0]} must see every fit")
        if sklearn_seam.goes_on(arguments.get("cv")):
            raise NoIdentityError(
                "the splitter draws from a generator, which goes on from task to task; give it a seed"
            )
        digest = self._start.copy()
        estimator = self._estimator(arguments["estimator"])
        names = sorted(arguments.keys() - self._evaluation.ignored)
        digest.update(b"".join([self._written(name, arguments[name], estimator) for name in names]))
        identity = digest.digest()
        seen = self._occurrences if self._draws(arguments, estimator) else self._here
        seen[identity] += 1
        return identity if seen[identity] == 1 else sha256(identity + b"%d" % seen[identity]).digest()

    def parts(self, tasks: Sequence[Mapping[str, Any]], metric: str | None = None) -> dict[str, str]:
        """The parts of a call and their digests, to say which differ from those of an earlier one.

        Parameters
        ----------
        tasks : sequence of mapping of str to object
            The arguments of each by name.
        metric : str, default=None
            Which of several metrics the part ``scorer`` is of; the first where it is none of them.
        """
        members: dict[str, list[bytes]] = {}
        first = tasks[0]
        for name in sorted(first):
            if name not in self._evaluation.ignored and name != "parameters":
                part = _PART_OF.get(name, "options")
                of_all = tasks if part == "splits" else tasks[:1]
                distinct = {id(task[name]): task[name] for task in of_all}
                members.setdefault(part, []).extend(self._or_unknown(name, value) for value in distinct.values())
        if scorers_seam.has_metrics(first["scorer"]):
            members["scorers"] = members["scorer"]
        members["scorer"] = [self._or_unknown("scorer", scorers_seam.for_comparison(first["scorer"], metric))]
        digests = {part: sha256(b"".join(found)).hexdigest() for part, found in members.items()}
        return {**self._surroundings, "model": sklearn_seam.structure(first["estimator"]), **digests}

    def _or_unknown(self, name: str, value: Any) -> bytes:
        try:
            return self._estimator(value) if name == "estimator" else self._argument(name, value)
        except NoIdentityError:
            return b"unknown"

    def _written(self, name: str, value: Any, estimator: bytes) -> bytes:
        """An argument's name and the digest of its value. Most are the same object for all tasks."""
        known = self._last.get(name)
        if known is None or known[0] is not value:
            digest = estimator if name == "estimator" else self._argument(name, value)
            known = self._last[name] = (value, b"%d %b%b" % (len(name), name.encode(), digest))
        return known[1]

    def _argument(self, name: str, value: Any) -> bytes:
        return self._candidate(value) if name == "parameters" else self._contents.digest(value)

    def _candidate(self, parameters: Mapping[str, Any] | None) -> bytes:
        """The digest of a candidate: its values are worked out once for the whole grid, which shares them."""
        if parameters is None:
            return self._contents.digest(None)
        known = self._candidates.get(id(parameters))
        if known is None:
            digest = sha256(b"%d" % len(parameters))
            for name, value in parameters.items():
                digest.update(self._contents.digest(name) + self._contents.digest(value))
            self._contents.hold(parameters)
            known = self._candidates[id(parameters)] = digest.digest()
        return known

    def _estimator(self, estimator: Any) -> bytes:
        """The digest of an estimator. Each task has a clone of its own; clones share their parameters' values."""
        key = _outline(estimator)
        known = self._estimators.get(key)
        if known is None:
            try:
                known = self._contents.digest(estimator)
            except NoIdentityError as error:
                known = error
            self._estimators[key] = known
        if isinstance(known, NoIdentityError):
            raise known
        return known

    def _draws(self, arguments: Mapping[str, Any], estimator: bytes) -> bool:
        if estimator not in self._drawing:
            self._drawing[estimator] = sklearn_seam.draws(arguments["estimator"])
        key = (id(arguments.get("parameters")), id(arguments.get("cv")))
        if key not in self._random:
            self._random[key] = sklearn_seam.draws_at_random(arguments)
        return self._drawing[estimator] or self._random[key]


_ATOMS = frozenset({type(None), bool, int, float, str})


def _outline(obj: Any) -> Any:
    """The shape of an estimator down to the ids of its values: while all live, equal outlines are equal contents."""
    kind = type(obj)
    if kind in _ATOMS:
        return id(obj)
    if kind is list or kind is tuple:
        return (id(kind), *map(_outline, obj))
    if kind is dict:
        return (id(kind), *((id(key), _outline(value)) for key, value in obj.items()))
    if hasattr(kind, "get_params") and has_only_a_dict(kind):
        return (id(kind), *((name, _outline(value)) for name, value in vars(obj).items()))
    return id(obj)
