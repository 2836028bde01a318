"""Stores that may be read and not written, by a user without rights."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sklearn.linear_model import LinearRegression

from keepfit.cli import root
from keepfit.errors import StoreError
from keepfit.store import Store
from keepfit.store.schema import SCHEMA_VERSION

pytestmark = pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """As somebody who is not root, who may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def with_rights(place: Path) -> Iterator[None]:
    """As the one whose store it is."""
    user, mode = os.geteuid(), place.stat().st_mode
    os.seteuid(os.getuid())
    place.parent.chmod(0o755)
    place.chmod(0o644)
    try:
        yield
    finally:
        place.chmod(mode & 0o777)
        place.parent.chmod(0o555)
        os.seteuid(user)


@pytest.fixture
def place() -> Iterator[Path]:
    """A store in a folder that others can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store(folder / "state.db") as store:
            store["m"] = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
        (folder / "rows.csv").write_text("x\n1\n2\n")
        lock(folder)
        yield folder / "state.db"
        folder.chmod(0o755)


def lock(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)


READING = [
    ["show", "state.db"],
    ["show", "state.db#m"],
    ["status", "state.db"],
    ["leaderboard", "state.db"],
    ["predict", "state.db#m", "rows.csv"],
    ["export", "state.db#m", os.devnull],
    ["inspect", "state.db#m"],
    ["verify", "state.db"],
    ["doctor", "state.db"],
]


def test_what_only_reads_needs_no_right_to_write(place, monkeypatch):
    monkeypatch.chdir(place.parent)
    before = [CliRunner().invoke(root, words) for words in READING]
    with without_rights():
        after = [CliRunner().invoke(root, words) for words in READING]
    for words, one, other in zip(READING, before, after, strict=True):
        assert other.exit_code == one.exit_code, (words, other.output)
        if words[0] != "doctor":
            assert other.output == one.output
        assert "damaged" not in other.output
    assert "no permission to write the file and its folder" in after[-1].output
    assert sorted(path.name for path in place.parent.iterdir()) == ["rows.csv", "state.db"]


@pytest.mark.parametrize(("file", "folder", "what"), [(0o444, 0o777, "the file"), (0o666, 0o555, "its folder")])
def test_what_writes_says_what_may_not_be_written(place, file, folder, what):
    place.parent.chmod(folder)
    place.chmod(file)
    with without_rights(), Store(place) as store:
        assert store["m"].coef_[0] == pytest.approx(1.0)
        with pytest.raises(StoreError, match=f"can be read, not written: there is no permission to write {what}"):
            store["n"] = 1
        assert list(store) == ["m"]
    assert sorted(path.name for path in place.parent.iterdir()) == ["rows.csv", "state.db"]


def test_what_others_have_kept_meanwhile_is_read(place):
    with without_rights(), Store(place) as store:
        with with_rights(place), Store(place) as other:
            other["n"] = 1
        assert list(store) == ["m", "n"]
        with with_rights(place):
            writer = Store(place)
            writer["o"] = 2
        assert store["o"] == 2  # by the locks of the writer
        with with_rights(place):
            writer.close()
        assert list(store) == ["m", "n", "o"]


@pytest.fixture
def copy_in_use(place: Path) -> Iterator[Path]:
    """A copy of a store that was in use: the last work is in its -wal, and there is no -shm."""
    copy = place.parent / "copy"
    with with_rights(place):
        writer = Store(place)
        writer["n"] = 1
        copy.mkdir(mode=0o755)
        for name in ("state.db", "state.db-wal"):
            shutil.copy(place.parent / name, copy / name)
        writer.close()
    lock(copy)
    yield copy / "state.db"
    copy.chmod(0o755)
    place.parent.chmod(0o755)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_work_beside_a_copied_store_is_read_without_writing_anything(copy_in_use, monkeypatch):
    monkeypatch.chdir(copy_in_use.parent)
    before = contents(copy_in_use.parent)
    assert sorted(before) == ["state.db", "state.db-wal"]
    with without_rights():
        with Store("state.db") as store:
            assert list(store) == ["m", "n"]
            assert store["n"] == 1
            with pytest.raises(StoreError, match="can be read, not written"):
                store["o"] = 1
        for words in (["show", "state.db"], ["verify", "state.db"], ["doctor", "state.db"], ["status", "state.db"]):
            result = CliRunner().invoke(root, words)
            assert result.exit_code == 0, result.output
    assert contents(copy_in_use.parent) == before


@pytest.mark.parametrize("store_of", ["place", "copy_in_use"])
def test_what_was_read_while_somebody_wrote_does_not_count(store_of, request):
    path = request.getfixturevalue(store_of)
    with (
        without_rights(),
        Store(path) as store,
        pytest.raises(StoreError, match="was written by another process while it was read; try again"),
        store._database.read(),
        with_rights(path),
        Store(path) as other,
    ):
        other["o"] = 1


def test_work_that_may_not_be_read_is_not_left_out_nor_called_damage(copy_in_use, monkeypatch):
    monkeypatch.chdir(copy_in_use.parent)
    Path("state.db-wal").chmod(0o000)
    with without_rights():
        for words in (["show", "state.db"], ["verify", "state.db"], ["doctor", "state.db"]):
            result = CliRunner().invoke(root, words)
            assert result.exit_code == 1
            assert "in files ending in -wal and -shm, must be readable as well" in result.output
            assert "damaged" not in result.output


def test_a_link_leads_to_the_rights_of_the_file(place):
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        (Path(name) / "link.db").symlink_to(place)
        with without_rights(), Store(Path(name) / "link.db") as store:
            assert list(store) == ["m"]


def test_a_store_of_an_earlier_keepfit_says_who_can_upgrade_it(place):
    with with_rights(place), contextlib.closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("UPDATE keepfit_schema SET version = ?", (SCHEMA_VERSION - 1,))
    with without_rights(), pytest.raises(StoreError, match=r"made by an earlier keepfit .* may not be written here"):
        Store(place)
