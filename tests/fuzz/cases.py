"""One case: a file is loaded, and what loads has its methods called, under watch."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta, timezone
from importlib import import_module
from io import BytesIO
from pkgutil import walk_packages
from typing import Any

import exercise
import numpy as np
import pandas as pd
from fence import fenced
from inert import names_asked
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from sklearn.base import BaseEstimator
from watching import HONEST, Snapshot, watched

import keepfit
from keepfit import artifact, codecs, inspection, pickles
from keepfit.codecs.estimators import supported_releases
from keepfit.codecs.preloading import preload
from keepfit.codecs.versions import DISTRIBUTIONS, running_version

__all__ = ["ACCEPTED", "REFUSED", "Outcome", "changes_since_start", "prepare", "try_file"]

REFUSED, ACCEPTED = "refused", "accepted"
_PROTO = b"\x80"


@dataclass(frozen=True)
class Outcome:
    """What came of a file: refused or accepted, what harm it did ("" if none), how often memory ran out afterwards."""

    what: str
    harm: str = ""
    memory_errors: int = 0


_snapshot: Snapshot | None = None


def prepare(honest: Iterable[tuple[bytes, Any, Any]]) -> None:
    """Before the first case: import what cases may use, hear what honest files do, note how all classes are."""
    global _snapshot
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some names are there to warn of themselves
        _import_all()
    for file, X, y in honest:
        if file[:1] != _PROTO:
            _read_tables(file)
        try_file(file, X, y)  # imports, fills caches; what it reads besides, any model of its class reads
    _snapshot = Snapshot()
    gc.collect()
    gc.freeze()  # children would copy what the collector writes to


def _import_all() -> None:
    import scipy.special
    import scipy.stats

    with parallel_config("threading"), watched() as events:
        Parallel(-1)(delayed(len)("") for _ in range(3))
        effective_n_jobs(-1)  # asks the system how many processors there are, each time
        odd = timezone(timedelta(microseconds=255))
        pd.Series(pd.date_range("2020-01-01", periods=2, tz=odd)).astype(object)  # reads what UTC is
    HONEST.update(events)
    for package in (scipy, scipy.stats, scipy.special, np, keepfit):
        for name in dir(package):  # some are imported when they are first asked for
            getattr(package, name, None)
    for package in (artifact, codecs, inspection, pickles):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    preload()
    for encoding in (
        "utf-8-sig",
        "utf-16",
        "utf-32",
        "unicode_escape",
        "raw_unicode_escape",
    ):  # of JSON, names, pickles
        "".encode(encoding)
    for distribution in DISTRIBUTIONS.values():
        running_version(distribution)


def _read_tables(file: bytes) -> None:
    """Have the tables of all releases read, as a file of another release does."""
    graph, _ = artifact.read(file)
    for major, minor in supported_releases():
        graph.versions["scikit-learn"] = f"{major}.{minor}"
        with suppress(keepfit.KeepfitError):
            codecs.decode(graph)


def changes_since_start() -> list[str]:
    """Which classes and modules are no longer as they were when `prepare` was called."""
    return _snapshot.changes() if _snapshot is not None else []


def try_file(file: bytes, X: Any, y: Any, form: int | None = None) -> Outcome:
    """Load a file and call every method of what it holds, on X in the form of that number (None: in all forms)."""
    with warnings.catch_warnings(), watched() as events:
        warnings.simplefilter("ignore")
        with nullcontext() if _snapshot is None else fenced():
            outcome = _try(file, X, y, form)
    if _snapshot is None:
        HONEST.update(events)
    if events and not outcome.harm:
        return Outcome(outcome.what, f"the model caused {events[0]}")
    return outcome


def _try(file: bytes, X: Any, y: Any, form: int | None) -> Outcome:
    try:
        if form is None or form % 5 == 0:
            str(keepfit.inspect(file))
    except keepfit.KeepfitError:
        pass
    except Exception as error:
        return Outcome(REFUSED, f"inspect raised {type(error).__name__}: {error}"[:300])
    try:
        if file[:1] == _PROTO:
            file, harm = _converted(file)
            if harm:
                return Outcome(REFUSED, harm)
        obj = keepfit.loads(file)
    except keepfit.KeepfitError as error:
        if isinstance(error.__cause__, MemoryError):
            return Outcome(REFUSED, "load ran out of memory")
        return Outcome(REFUSED)
    except Exception as error:
        return Outcome(REFUSED, f"load raised {type(error).__name__}: {error}"[:300])
    if isinstance(obj, BaseEstimator):
        return Outcome(ACCEPTED, memory_errors=exercise.every_method(obj, X, y, form))
    return Outcome(ACCEPTED, memory_errors=exercise.every_method_of_part(obj, X))


def _converted(file: bytes) -> tuple[bytes, str]:
    """A pickle as a keepfit file; and what is wrong if C pickle would ask for other names than it is read to have."""
    contents = pickles.read(file)
    if contents.error is None and contents.kind == "pickle":
        asked, to_the_end = names_asked(file)
        read = contents.log.imports.keys()
        if not asked <= read or (to_the_end and asked != read):
            return b"", f"C pickle asks for other names: {sorted(asked ^ read)[:5]}"
    target = BytesIO()
    keepfit.convert(file, target)
    return target.getvalue(), ""
