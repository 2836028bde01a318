"""The places that tests of the store, and of searches that share one, run on. A new one proves itself by its name."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "postgresql.sh"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server: the one given, else one of our own."""
    pytest.importorskip("psycopg", reason="PostgreSQL IS NOT TESTED: pip install 'keepfit[postgresql]'")
    given = os.environ.get("KEEPFIT_TEST_POSTGRESQL")
    if given:
        yield given
        return
    server = subprocess.Popen(
        [SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    url = server.stdout.readline().strip()
    try:
        if not url:
            pytest.skip(f"POSTGRESQL IS NOT TESTED: {server.stderr.read().strip()}")
        yield url
    finally:
        server.communicate()  # its standard input ends, and so it stops


@pytest.fixture
def postgresql_place(postgresql: str) -> Iterator[str]:
    """A place of its own in the server."""
    import sqlalchemy

    name = f"t{uuid.uuid4().hex}"
    admin = sqlalchemy.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    yield f"{postgresql}?options=-csearch_path%3D{name}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
    admin.dispose()


def _place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "postgresql":
        return request.getfixturevalue("postgresql_place")
    return str(tmp_path / "state.db") if kind == "file" else ":memory:"


@pytest.fixture(params=["file", "memory", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store can be made, on each backend."""
    return _place(request.param, request, tmp_path)


@pytest.fixture(params=["file", "postgresql"])
def lasting_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same for those that outlive a `Store` object."""
    return _place(request.param, request, tmp_path)
