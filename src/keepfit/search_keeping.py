"""How `ModelSearchCV` keeps what it finds: the best model of each type, in a store, as its type is done."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from keepfit.errors import KeepfitError, KeepfitWarning

if TYPE_CHECKING:
    from keepfit.checkpoint import Run
    from keepfit.store import ModelInfo, SearchInfo, Store

__all__ = ["Keeper", "opened", "plain"]


class Keeper:
    """Keeps models in a store; without one it does nothing.

    Parameters
    ----------
    store : Store, default=None
    run : Run, default=None
        The checkpoint block that the searches are in.

    Attributes
    ----------
    versions : dict of str to int
        What each model is in the store, by name.
    """

    def __init__(self, store: Store | None = None, run: Run | None = None) -> None:
        self._store = store
        self._run = run
        self._search: SearchInfo | None = None
        self._identity: str | None = None
        self.versions: dict[str, int] = {}

    @contextlib.contextmanager
    def watched(self, name: str, refit: Any) -> Iterator[None]:
        """Name the search in the block and the metric that it chooses by, and note which of the store's it is."""
        self._search = None
        if self._store is None or self._run is None:
            yield
            return
        before = len(self._run.searches)
        self._run.heading = name
        self._run.metric = refit if isinstance(refit, str) else None
        yield
        new = {one.id for one in self._run.searches[before:]}
        if len(new) == 1:
            self._search = next(one for one in self._store.work.searches() if one.id in new)

    def recall(self, name: str, params: Mapping[str, Any], estimator: Any) -> Any:
        """The model that the store has of the same search and parameters, or None. It is the newest of its name then.

        Only where every task of the search was found in the store: then nothing in it is without an identity.
        """
        self._identity = self._identity_of(params)
        if self._store is None or self._search is None or self._identity is None or name not in self._store:
            return None
        if self._search.reused < self._search.task_count:
            return None
        versions = self._store.versions(name)
        for info in reversed(versions):
            if info.metadata.get("identity") == self._identity:
                # The caller holds an estimator of these classes, so may have one of them back.
                with contextlib.suppress(KeepfitError):
                    model = self._store.load(name, version=info.version, trusted=_classes_in(estimator, params))
                    break
        else:
            return None
        if info is versions[-1]:
            self.versions[name] = info.version
        else:  # arrays are kept once, so the same model as a new version takes little room
            self._save(name, lambda store: store.save_graph(name, *store.graph(name, version=info.version)))
        return model

    def keep(self, name: str, model: Any, metadata: Mapping[str, Any]) -> None:
        """Keep a model under a name. A model that cannot be kept does not stop the search."""
        facts = {**metadata, "fitted_at": datetime.now(UTC).isoformat(timespec="seconds")}
        if self._search is not None:
            facts |= {"search": self._search.id, "identity": self._identity, "scoring": self._search.scorers[0]}
        told = {key: plain(value) for key, value in facts.items()}
        self._save(name, lambda store: store.save(name, model, metadata=told))

    def _save(self, name: str, save: Callable[[Store], ModelInfo]) -> None:
        if self._store is None:
            return
        try:
            self.versions[name] = save(self._store).version
        except KeepfitError as error:
            warnings.warn(f"the best {name} was found but could not be kept: {error}", KeepfitWarning, stacklevel=6)

    def _identity_of(self, params: Mapping[str, Any]) -> str | None:
        """A digest over all that a refit depends on; None where that is not known."""
        from keepfit.persistence import dumps

        if self._search is None:
            return None
        try:
            return hashlib.sha256(dumps({"parts": dict(self._search.parts), "params": dict(params)})).hexdigest()
        except KeepfitError:
            return None


@contextlib.contextmanager
def opened(place: str | os.PathLike[str] | Store | None, progress: bool | None, share: bool) -> Iterator[Keeper]:
    """A keeper for a store, inside `keepfit.checkpoint`; for None, one that keeps nothing."""
    if place is None:
        yield Keeper()
        return
    from keepfit.checkpoint import checkpoint
    from keepfit.store import Store

    with contextlib.ExitStack() as stack:
        store = place if isinstance(place, Store) else stack.enter_context(Store(place))
        yield Keeper(store, stack.enter_context(checkpoint(store, progress=progress, share=share)))


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers, text, lists and dicts of them, anything else by its text."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return repr(value)


def _classes_in(estimator: Any, params: Mapping[str, Any]) -> list[type]:
    everything = [estimator, *estimator.get_params(deep=True).values(), *params.values()]
    return list({type(one) for one in everything if hasattr(one, "get_params")})
