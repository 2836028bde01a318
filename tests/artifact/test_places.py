"""Where files are: paths, links, file objects, URLs; and what each says when it cannot be used."""

from __future__ import annotations

import errno
import gzip
import io
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifact_examples import EXAMPLES, example_bytes, graph_of, group

from keepfit.artifact import open_bytes, open_source, read, read_source, save, to_bytes, write
from keepfit.errors import FormatError, UnsupportedError

GRAPH = group()
FACTS = {"class": "dict"}
DATA = example_bytes("group")


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0o027)
    yield
    os.umask(old)


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder of nobody's that the tests, without root's rights, may not write in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "old").write_bytes(b"old")
        (folder / "old").chmod(0)
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
            yield folder
            os.seteuid(0)
        else:
            yield folder
        folder.chmod(0o755)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- save ----


def test_a_saved_file_has_the_bytes_of_to_bytes_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for place in (tmp_path / "a.safetensors", str(tmp_path / "b.safetensors")):
        save(GRAPH, FACTS, place)
        assert bytes(open_bytes(place)) == DATA
    assert names_in(tmp_path) == ["a.safetensors", "b.safetensors"]


def test_a_large_file_is_read_back(tmp_path: Path) -> None:
    graph = graph_of({"a": np.arange(1_000_000)})
    save(graph, FACTS, tmp_path / "large")
    data = open_bytes(tmp_path / "large")
    assert bytes(data) == to_bytes(graph, FACTS)
    assert not read(data)[0].arrays[0].flags.writeable


def test_a_path_without_a_folder_is_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(GRAPH, FACTS, "model")
    assert open_bytes("model") == DATA


@pytest.mark.parametrize(
    "name", ["c:model", "a b", "ä✓", "100%", "x" * 255, "-", "http:", ".hidden", "a\nb", "s3:bucket"]
)
def test_odd_names_are_paths(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(GRAPH, FACTS, name)
    assert open_bytes(name) == DATA
    assert names_in(tmp_path) == [name]


@pytest.mark.usefixtures("umask")
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    save(GRAPH, FACTS, tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o644])
@pytest.mark.usefixtures("umask")
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"old")
    path.chmod(mode)
    save(GRAPH, FACTS, path)
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_database_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE models (name TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    (tmp_path / "link").symlink_to(path)
    for place in (path, tmp_path / "link"):
        with pytest.raises(UnsupportedError, match=r"is an SQLite database, such as a store.*give another path"):
            save(GRAPH, FACTS, place)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["link", "state.db"]


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(Path("folder") / "target")
    (tmp_path / "dangling").symlink_to(folder / "new")
    for link, target in (("link", "target"), ("dangling", "new")):
        save(GRAPH, FACTS, tmp_path / link)
        assert (tmp_path / link).is_symlink()
        assert (folder / target).read_bytes() == DATA
    assert names_in(folder) == ["new", "target"]


def test_a_pipe_is_written_to_as_it_stands(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    save(GRAPH, FACTS, pipe)
    reader.join()
    assert found == [DATA]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_full_device_is_an_os_error_that_says_so() -> None:
    with pytest.raises(OSError, match="no space is left; make room") as caught:
        save(GRAPH, FACTS, "/dev/full")
    assert caught.value.errno == errno.ENOSPC


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "model"
    save(GRAPH, FACTS, path)
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]);"
        "from artifact_examples import *; from keepfit.artifact import save;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); save(EXAMPLES['large'](), {}, sys.argv[2])"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(path)]
    child = subprocess.run(arguments, capture_output=True, text=True)
    assert "OSError: [Errno 27] the file is larger than this place allows" in child.stderr
    assert path.read_bytes() == DATA
    assert names_in(tmp_path) == ["model"]


def test_what_cannot_be_kept_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"old")
    with pytest.raises(UnsupportedError):
        save(graph_of({"a": np.zeros(2, complex)}), {}, tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == b"old"
    assert names_in(tmp_path) == ["model"]


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder does not exist; make it first") as caught:
        save(GRAPH, FACTS, tmp_path / "no" / "model")
    assert caught.value.filename == str(tmp_path / "no" / "model")


@pytest.mark.parametrize("name", ["folder", "folder/", ".", "new/"])
def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        save(GRAPH, FACTS, name)
    assert names_in(tmp_path) == ["folder"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    for use in (lambda path: save(GRAPH, FACTS, path), open_bytes):
        with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
            use(tmp_path / "file" / "model")


def test_a_folder_without_permission_is_said(unprivileged_folder: Path) -> None:
    for name in ("new", "old"):
        with pytest.raises(PermissionError, match="no permission for this place"):
            save(GRAPH, FACTS, unprivileged_folder / name)
    with pytest.raises(PermissionError, match="no permission"):
        open_bytes(unprivileged_folder / "old")
    assert names_in(unprivileged_folder) == ["old"]


@pytest.mark.parametrize("path", [b"model", 3, None, object()])
def test_what_is_no_path_is_a_type_error(path: object) -> None:
    with pytest.raises(TypeError, match="path"):
        save(GRAPH, FACTS, path)
    with pytest.raises(TypeError, match="path"):
        open_bytes(path)
    with pytest.raises(TypeError, match="path"):
        write(GRAPH, FACTS, path)


# ---- file objects ----


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_binary_file_object_is_written_and_read_from_where_it_stands(tmp_path: Path, buffering: int) -> None:
    with (tmp_path / "file").open("w+b", buffering=buffering) as file:
        file.write(b"before")
        write(GRAPH, FACTS, file)
        file.seek(6)
        assert open_bytes(file) == DATA
        assert not file.closed


def text_file() -> Any:
    return tempfile.TemporaryFile("w+")


def named_text_file() -> Any:
    return tempfile.NamedTemporaryFile("w+")


@pytest.mark.parametrize("opened", [io.StringIO, text_file, named_text_file])
def test_a_text_file_object_is_a_type_error_that_names_the_mode(opened: Callable[[], Any]) -> None:
    with opened() as file:
        with pytest.raises(TypeError, match="'wb'"):
            write(GRAPH, FACTS, file)
        with pytest.raises(TypeError, match="'rb'"):
            open_bytes(file)


# ---- reading ----


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file") as caught:
        open_bytes(tmp_path / "no")
    assert caught.value.filename == str(tmp_path / "no")


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="this is a folder"):
        open_bytes(tmp_path)


def test_an_empty_path_is_no_file() -> None:
    with pytest.raises(FileNotFoundError):
        open_bytes("")
    with pytest.raises(FileNotFoundError):
        save(GRAPH, FACTS, "")


# ---- URLs ----


def test_a_url_is_saved_and_read() -> None:
    pytest.importorskip("fsspec")
    for name in EXAMPLES:
        save(EXAMPLES[name](), FACTS, f"memory://models/{name}.safetensors")
        assert open_bytes(f"memory://models/{name}.safetensors") == example_bytes(name)


def test_a_failed_save_to_a_url_leaves_what_was_there() -> None:
    pytest.importorskip("fsspec")
    save(GRAPH, FACTS, "memory://models/kept")
    with pytest.raises(UnsupportedError):
        save(graph_of({"a": np.zeros(2, complex)}), {}, "memory://models/kept")
    assert open_bytes("memory://models/kept") == DATA


def test_a_url_of_this_machine_is_a_path(tmp_path: Path) -> None:
    save(GRAPH, FACTS, f"file://{tmp_path}/model")
    assert (tmp_path / "model").read_bytes() == open_bytes(f"file://{tmp_path}/model") == DATA


def test_a_url_that_is_not_there_is_said() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(FileNotFoundError, match="no such file") as caught:
        open_bytes("memory://models/no")
    assert caught.value.filename == "memory://models/no"


def test_an_unknown_scheme_is_unsupported() -> None:
    pytest.importorskip("fsspec")
    for use in (lambda url: save(GRAPH, FACTS, url), open_bytes):
        with pytest.raises(UnsupportedError, match="nobodys://x cannot be used"):
            use("nobodys://x")


def test_a_url_where_nothing_can_be_written_is_unsupported(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(UnsupportedError, match="cannot be used"):
        save(GRAPH, FACTS, "data://text/plain,x")


def test_without_fsspec_a_url_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "fsspec.py").write_text("raise ImportError('not installed')")
    code = "from keepfit.artifact import open_bytes; open_bytes('s3://bucket/model')"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    child = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert "UnsupportedError: s3://bucket/model is a URL" in child.stderr
    assert "pip install 'fsspec[http]'" in child.stderr


def test_fsspec_is_not_imported_for_paths(tmp_path: Path) -> None:
    code = (
        "import sys; from keepfit.artifact import *; from keepfit.graph import Graph;"
        "save(Graph({'object': None}, [], [], [], {}), {}, sys.argv[1]); open_bytes(sys.argv[1]);"
        "assert 'fsspec' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")], check=True)


# ---- open_source ----


def test_a_source_gives_the_parts_of_a_file_from_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before" + DATA)
    with path.open("rb") as file:
        file.seek(6)
        with open_source(file) as source:
            assert read_source(source)[1] == read(DATA)[1]
        assert file.read() == b""
    with io.BytesIO(DATA) as stream, open_source(stream) as source:
        assert read_source(source)[1] == read(DATA)[1]
    with gzip.open(tmp_path / "file.gz", "wb") as packed:
        packed.write(DATA)
    with io.BufferedReader(gzip.open(tmp_path / "file.gz", "rb")) as unpacked, open_source(unpacked) as source:  # type: ignore[type-var]
        assert read_source(source)[1] == read(DATA)[1]


def test_a_file_that_loses_its_end_while_it_is_read_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with open_source(path) as source:
        os.truncate(path, len(DATA) - 1)
        with pytest.raises(FormatError, match="cut short"):
            read_source(source)


def test_arrays_of_a_file_can_be_written_to_and_keep_little_else_in_memory(tmp_path: Path) -> None:
    graph = graph_of({"large": np.arange(1 << 18), "one": np.arange(8), "other": np.arange(9)})
    save(graph, FACTS, tmp_path / "file")
    with open_source(tmp_path / "file") as source:
        large, one, other = read_source(source)[0].arrays
    assert all(array.flags.writeable for array in (large, one, other))
    assert np.shares_memory(one.base, other.base)
    assert not np.shares_memory(one.base, large.base)


def test_a_file_in_text_mode_is_told_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    for read_it in (open_bytes, lambda file: open_source(file).__enter__()):
        with (
            open(tmp_path / "model.safetensors", encoding="utf-8") as file,
            pytest.raises(TypeError, match="text mode"),
        ):
            read_it(file)  # type: ignore[no-untyped-call]
