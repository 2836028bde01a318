"""scikit-learn's classes: the closed table of which may be built, of their parameters and their attributes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache, cached_property
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from keepfit.codecs import policy
from keepfit.codecs.codec import Building, Codec, CyclicCodec, Reducing
from keepfit.codecs.migrations import MAY_LACK
from keepfit.codecs.once import once
from keepfit.codecs.sklearn_seam import bisecting_step, broken_constraint, broken_in_column
from keepfit.codecs.versions import running_version, short_version
from keepfit.errors import InvalidStateError, UnsupportedError, VersionError
from keepfit.graph import Node

if TYPE_CHECKING:
    from keepfit.codecs.checks.rules import Check

__all__ = ["TRANSIENT", "EstimatorCodec", "find", "preload", "supported_releases"]

#: Attributes that mean nothing outside the process that set them, or that their codec sets anew.
TRANSIENT = frozenset({"_stop_words_id", "_kmeans_single"})

#: So many sets of attributes are remembered for each class.
_REMEMBERED_MAX = 100

#: Modules of codecs for classes whose state is more than attributes, or reaches compiled code.
_NATIVE_MODULES = (
    "keepfit.codecs.trees",
    "keepfit.codecs.neighbors",
    "keepfit.codecs.losses",
    "keepfit.codecs.containers",
    "keepfit.codecs.searches",
)


#: Classes that scikit-learn shows only once a module of its ``experimental`` package has been imported.
_EXPERIMENTAL = {
    "HalvingGridSearchCV": "enable_halving_search_cv",
    "HalvingRandomSearchCV": "enable_halving_search_cv",
    "IterativeImputer": "enable_iterative_imputer",
}


class Entry(msgspec.Struct, frozen=True):
    """What a class's instances may hold, and which of these attributes fits of the release were found to leave."""

    parameters: tuple[str, ...]
    attributes: tuple[str, ...]
    met: tuple[str, ...] = ()


@cache
def _table(release: tuple[int, int]) -> dict[str, Entry]:
    path = files("keepfit.codecs").joinpath(f"tables/sklearn-{release[0]}.{release[1]}.json")
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Entry])


@cache
def supported_releases() -> list[tuple[int, int]]:
    """The releases of scikit-learn there is a table for, oldest first."""
    names = (entry.name for entry in files("keepfit.codecs").joinpath("tables").iterdir())
    found = [name.removeprefix("sklearn-").removesuffix(".json") for name in names if name.startswith("sklearn-")]
    return sorted(short_version(release) for release in found)


@cache
def _running() -> tuple[int, int]:
    """The release whose table is today's: the running one, or the newest known before it."""
    running = short_version(running_version("scikit-learn"))
    older = [release for release in supported_releases() if release <= running]
    return older[-1] if older else supported_releases()[0]


class EstimatorCodec(CyclicCodec):
    """Any class of the table: its node's state is its attributes, parameters and fitted ones alike."""

    groups = True

    def __init__(self, name: str, entry: Entry) -> None:
        self.name = name
        self._parameters = frozenset(entry.parameters)
        self._attributes = frozenset(entry.attributes) | self._parameters
        self._met = frozenset(entry.met)
        self._may_exceed = not policy.EXCESSIVE.isdisjoint(self._attributes)
        self._looked_at = tuple(sorted(policy.looked_at(name) & self._attributes))
        self._sound: set[tuple[str, ...]] = set()  # names of attributes, as they were found together

    @cached_property
    def cls(self) -> type[Any]:
        """The class itself, imported when it is first needed."""
        module, _, name = self.name.rpartition(".")
        if name in _EXPERIMENTAL:
            import_module(f"sklearn.experimental.{_EXPERIMENTAL[name]}")
        found: type[Any] = getattr(import_module(module), name)
        return found

    @cached_property
    def _check(self) -> Check:
        from keepfit.codecs.checks import CHECKS

        return CHECKS[self.name]

    def reduce(self, obj: Any, context: Reducing) -> Node:
        if type(obj) is not self.cls:
            raise UnsupportedError(f"a class that calls itself {self.name} is not scikit-learn's")
        state = dict(obj.__dict__)
        for name in TRANSIENT:
            state.pop(name, None)
        if not state.keys() <= self._attributes:
            unknown = state.keys() - self._attributes
            raise UnsupportedError(
                f"{self.name} of scikit-learn {running_version('scikit-learn')} has no attribute {min(unknown)!r}; "
                "what you add to a model cannot be told from an attack when it is loaded. Keep it beside the model: "
                f"dump({{'model': model, {min(unknown)!r}: ...}}, file), or in metadata="
            )
        if broken_constraint(self.cls, state):
            broken = _broken_constraint(self.cls, state)
            raise UnsupportedError(f"{broken}. scikit-learn would refuse to fit it, and load would refuse to build it")
        if self._may_exceed:
            try:
                policy.check_excess(self.name, state)
            except InvalidStateError as error:
                raise UnsupportedError(f"{error.message}; load would refuse it") from None
        return Node(self.name, state)

    def reduce_group(self, objects: list[Any], context: Reducing) -> Node | None:
        """Members with the same attributes as columns, each distinct parameter looked at once."""
        first = self.reduce(objects[0], context).state
        states = [obj.__dict__ for obj in objects]
        if len(set(map(tuple, states))) > 1:
            return None
        cells = dict(zip(states[0], map(list, zip(*map(dict.values, states), strict=True)), strict=True))
        columns = {name: cells[name] for name in first}
        for name in self._parameters & columns.keys():
            if broken_in_column(self.cls, name, columns[name]):
                return None
        for name in columns.keys() & self._looked_at:
            if any(value is not first[name] and not _is_empty_dict(value) for value in columns[name]):
                return None
        return Node(self.name, columns=columns)

    def new(self, node: Node, context: Building) -> Any:
        cls: Any = self.cls
        return cls.__new__(cls)

    def fill(self, obj: Any, node: Node, context: Building) -> None:
        if node.items or node.keys or node.array is not None:
            raise InvalidStateError(f"{self.name} has attributes only")
        self.check_names(node.state, context)
        self._check_parameters(node.state, context)
        self._set(obj, node.state, context)

    def build_group(self, group: Node, context: Building) -> list[Any]:
        """Members have the same attributes, so names and shared parameters are checked once."""
        if group.array is not None:
            raise InvalidStateError(f"{self.name} has attributes only")
        self.check_names(group.state, context)
        columns = group.columns
        self._check_parameters({name: value for name, value in group.state.items() if name not in columns}, context)
        for name in self._parameters & columns.keys():
            if broken_in_column(self.cls, name, columns[name]):
                for value in columns[name]:
                    self._check_parameters({name: value}, context)
        looked_at_once = columns.keys().isdisjoint(self._looked_at)
        common = self._usable(group.state, context) if looked_at_once else group.state
        states = [common.copy() for _ in range(group.count)]
        for name, column in columns.items():
            for state, value in zip(states, column, strict=True):
                state[name] = value
        if not looked_at_once:
            states = [self._usable(state, context) for state in states]
            columns = {name: [state[name] for state in states] for name in columns}
        self._check.group(states, columns, context)
        cls: Any = self.cls
        objects = []
        for state in states:
            obj = cls.__new__(cls)
            obj.__dict__ = state
            objects.append(obj)
        return objects

    def leaves_unread(self, field: str) -> bool:
        return field not in self._parameters and self._check.leaves_unread(field)

    def check_names(self, state: Mapping[str, Any], context: Building) -> None:
        """Refuse attributes that the class does not have, or not in the release that wrote them.

        Raises
        ------
        VersionError
            If the running release would read the state in another way than the one that wrote it.
        InvalidStateError
            If an attribute is unknown or a parameter is missing.
        """
        names = tuple(state)
        if not context.is_of_running_release:
            self._check_release(state, context)
        elif names in self._sound:
            return
        if not state.keys() <= self._attributes:
            raise InvalidStateError(f"{self.name} has no attribute {min(state.keys() - self._attributes)!r}")
        if not self._parameters <= state.keys():
            raise InvalidStateError(f"{self.name} lacks its parameter {min(self._parameters - state.keys())!r}")
        if len(self._sound) < _REMEMBERED_MAX:
            self._sound.add(names)

    def _check_parameters(self, state: dict[str, Any], context: Building) -> None:
        broken = _broken_constraint(self.cls, state)
        if not broken:
            return
        written, running = context.versions.get("scikit-learn", ""), running_version("scikit-learn")
        if not context.is_of_running_release:
            raise VersionError(
                f"{self.name} was written under scikit-learn {written}, and under {running} {broken}. "
                f"Load it under {written}, or fit it again"
            )
        raise InvalidStateError(broken)

    def _set(self, obj: Any, state: dict[str, Any], context: Building) -> None:
        state = self._usable(state, context)
        self._check(state, context)
        obj.__dict__.update(state)

    def _usable(self, state: dict[str, Any], context: Building) -> dict[str, Any]:
        for attribute in self._looked_at:
            if attribute in state and not policy.is_harmless(attribute, state[attribute]):
                return policy.apply(self.name, state, context)
        return state

    def check_again(self, obj: Any, context: Building) -> None:
        state = dict(obj.__dict__)
        self._check_parameters(state, context)
        self._set(obj, state, context)

    def _is_fitted(self, state: Mapping[str, Any]) -> bool:
        """Whether an object has attributes of a fit, which end with an underscore where a class has any of them."""
        marks = {name for name in self._met if name.endswith("_")}
        return not marks.isdisjoint(state) if marks else bool(state.keys() - self._parameters)

    def _check_release(self, state: Mapping[str, Any], context: Building) -> None:
        """Refuse a state that the running release would read in another way than the one that wrote it."""
        written, running = context.versions.get("scikit-learn", ""), running_version("scikit-learn")
        if short_version(written) not in supported_releases():
            known = " to ".join(f"{a}.{b}" for a, b in (supported_releases()[0], supported_releases()[-1]))
            raise VersionError(
                f"{self.name} was written under scikit-learn {written or '(not said)'}; this keepfit knows the states "
                f"of {known}. Load it where it was written, or with a newer keepfit"
            )
        before = _table(short_version(written)).get(self.name)
        was = frozenset(before.attributes) | frozenset(before.parameters) if before else frozenset()
        strange = [*sorted(state.keys() - self._attributes), *sorted(self._parameters - state.keys())]
        if self._is_fitted(state):  # what the running release has besides, it may rely on
            strange += sorted(self._met - was - state.keys() - set(MAY_LACK.get(self.name, ())))
        if strange or before is None:
            what = f"attribute {strange[0]!r}" if strange else "whole state"
            raise VersionError(
                f"{self.name} was written under scikit-learn {written}, and its {what} is not what scikit-learn "
                f"{running} expects. Load it under {written}, or fit it again"
            )


def _is_empty_dict(value: Any) -> bool:
    return type(value) is dict and not value


class _BisectingCodec(EstimatorCodec):
    """``BisectingKMeans``, which holds the function it clusters with: no file may name that."""

    def build_group(self, group: Node, context: Building) -> list[Any]:
        return Codec.build_group(self, group, context)  # the function follows from what may differ

    def _usable(self, state: dict[str, Any], context: Building) -> dict[str, Any]:
        state = super()._usable(state, context)
        if "_bisecting_tree" not in state:
            return state
        return {**state, "_kmeans_single": bisecting_step(state.get("algorithm"), state.get("n_clusters"))}


class _CountingCodec(EstimatorCodec):
    """``StandardScaler``, which counts samples in place: in an array of scalers, not the labels of another model."""

    def build_group(self, group: Node, context: Building) -> list[Any]:
        scalers = super().build_group(group, context)
        for scaler in scalers:
            scaler.__dict__ = self._usable(scaler.__dict__, context)
        return scalers

    def _usable(self, state: dict[str, Any], context: Building) -> dict[str, Any]:
        state = super()._usable(state, context)
        counts = state.get("n_samples_seen_")
        if not isinstance(counts, np.ndarray):
            return state
        return {**state, "n_samples_seen_": once(context, ("counts", id(counts)), counts.copy)}


class _VectorCodec(EstimatorCodec):
    """Support vector machines, whose compiled code takes the columns that a kernel gives on trust."""

    def reduce(self, obj: Any, context: Reducing) -> Node:
        from keepfit.codecs.checks.svm import FITTED_ROWS, is_kernel

        node = super().reduce(obj, context)
        if FITTED_ROWS in node.state and callable(obj.kernel) and not is_kernel(obj.kernel):
            raise UnsupportedError(
                f"the kernel of this {type(obj).__name__} is not known to give a column for each row that was fitted, "
                "and load would refuse it. Call it in a function at the top of a module that can be imported, and fit "
                "with that"
            )
        return node


class _ElsewhereCodec(EstimatorCodec):
    """A class that other releases of scikit-learn have, and the running one has not."""

    def __init__(self, name: str, releases: list[tuple[int, int]]) -> None:
        super().__init__(name, Entry((), ()))
        known = " and ".join(f"{major}.{minor}" for major, minor in releases)
        self._message = (
            f"the running scikit-learn {running_version('scikit-learn')} has no {name}; {known} has it. "
            "Load the file there, or fit the model again"
        )

    def new(self, node: Node, context: Building) -> Any:
        raise VersionError(self._message)

    def check_names(self, state: Mapping[str, Any], context: Building) -> None:
        raise VersionError(self._message)


_SPECIAL: dict[str, type[EstimatorCodec]] = {
    "sklearn.cluster.BisectingKMeans": _BisectingCodec,
    "sklearn.preprocessing.StandardScaler": _CountingCodec,
    **{f"sklearn.svm.{name}": _VectorCodec for name in ("NuSVC", "NuSVR", "OneClassSVM", "SVC", "SVR")},
}


def _broken_constraint(cls: type, state: dict[str, Any]) -> str:
    broken = broken_constraint(cls, state)
    if broken is None:
        return ""
    value = state[broken[0]]
    shown = repr(value)[:60] if type(value) in (int, float, str, bool, type(None)) else type(value).__name__
    return f"the parameter {broken[0]!r} of {cls.__name__} is {shown}, and must be {broken[1]}"


@cache
def _native() -> dict[str, Codec]:
    found: dict[str, Codec] = {}
    for module in _NATIVE_MODULES:
        found.update(import_module(module).CODECS)
    return found


@cache
def _codec(name: str) -> Codec | None:
    entry = _table(_running()).get(name)
    if entry is not None:
        return _SPECIAL.get(name, EstimatorCodec)(name, entry)
    elsewhere = [release for release in supported_releases() if name in _table(release)]
    return _ElsewhereCodec(name, elsewhere) if elsewhere else None


def find(name: str) -> Codec | None:
    """The codec of one of scikit-learn's classes."""
    return _native().get(name) or _codec(name)


def preload() -> None:
    """Read the tables of all releases and import every class of the running one."""
    for release in supported_releases():
        _table(release)
    for name in _table(_running()):
        codec = find(name)
        if isinstance(codec, EstimatorCodec):
            with contextlib.suppress(ImportError, AttributeError):  # a release without a table of its own may lack it
                codec.cls, codec._check  # noqa: B018 - imports them
