"""A store, data, and how results are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from store_places import lasting_place, postgresql, postgresql_place

__all__ = ["lasting_place", "postgresql", "postgresql_place"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture(scope="session")
def iris() -> tuple[np.ndarray, np.ndarray]:
    return load_iris(return_X_y=True)
