"""A store, and a search in it, on each backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keepfit.store import SearchRecord, Store
from store_places import lasting_place, place, postgresql, postgresql_place

__all__ = ["lasting_place", "place", "postgresql", "postgresql_place"]


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store(place) as store:
        yield store


@pytest.fixture
def search_id(store: Store) -> int:
    return store.work.begin(SearchRecord("_fit_and_score", "GridSearchCV over SVC", {"data": "d1"}, 10))
