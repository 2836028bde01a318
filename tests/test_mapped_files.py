"""`load(path, mmap=True)`: what stays in the file, what is read before it is checked, and what cannot be mapped."""

from __future__ import annotations

import io
import mmap
import os
import signal
import subprocess
import sys
import textwrap
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import IncrementalPCA
from sklearn.neighbors import KNeighborsClassifier

import keepfit
from keepfit import artifact, codecs
from keepfit.errors import FormatError, InvalidStateError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(5000, 40)), RNG.integers(0, 3, 5000)  # 1.6 MB


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "neighbors.safetensors"
    keepfit.dump(KNeighborsClassifier(algorithm="brute").fit(X, Y), path)
    return path


def is_mapped(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array.obj if isinstance(array, memoryview) else array, mmap.mmap)


def test_a_mapped_model_answers_as_the_one_that_was_kept(file: Path) -> None:
    model = keepfit.load(file, mmap=True)
    assert is_mapped(model._fit_X)
    assert not is_mapped(model._y)
    assert model.predict(X[:50] + 0.1).tolist() == keepfit.load(file).predict(X[:50] + 0.1).tolist()


def test_what_is_mapped_is_memory_that_processes_share(file: Path) -> None:
    model = keepfit.load(file, mmap=True)
    assert model._fit_X.sum() == X.sum()
    mine = Path("/proc/self/smaps").read_text().partition(str(file))[2].partition("VmFlags")[0]
    assert int(mine.partition("Rss:")[2].split()[0]) * 1024 >= X.nbytes
    assert int(mine.partition("Private_Dirty:")[2].split()[0]) == 0


def test_a_mapped_array_can_be_written_to_and_the_file_stays_as_it_is(file: Path) -> None:
    before = file.read_bytes()
    model = keepfit.load(file, mmap=True)
    model._fit_X[:] = 0
    assert file.read_bytes() == before
    assert keepfit.load(file, mmap=True)._fit_X.tobytes() == X.tobytes()


def test_a_read_only_array_is_read_only_when_it_is_mapped(tmp_path: Path) -> None:
    array = X.copy()
    array.flags.writeable = False
    keepfit.dump({"fortran": np.asfortranarray(X), "fixed": array}, tmp_path / "arrays")
    found = keepfit.load(tmp_path / "arrays", mmap=True)
    assert all(map(is_mapped, found.values()))
    assert [found[name].flags.writeable for name in found] == [True, False]
    assert found["fortran"].flags.f_contiguous
    assert found["fortran"].tobytes() == found["fixed"].tobytes() == X.tobytes()


def test_a_mapped_model_stays_when_its_file_is_replaced(file: Path) -> None:
    model = keepfit.load(file, mmap=True)
    keepfit.dump({"something": "else"}, file)
    assert model._fit_X.tobytes() == X.tobytes()
    assert keepfit.load(file, mmap=True) == {"something": "else"}
    keepfit.dump(model, file)
    keepfit.dump(keepfit.load(file, mmap=True), file)
    assert keepfit.load(file)._fit_X.tobytes() == X.tobytes()


def test_damage_of_what_is_mapped_is_found_by_verify_and_other_damage_by_load(file: Path) -> None:
    data = bytearray(file.read_bytes())
    model = keepfit.load(file, mmap=True)
    for array, is_found in ((model._fit_X, False), (model._y, True)):
        spoiled = bytearray(data)
        spoiled[data.index(array[:4].tobytes())] ^= 1
        file.write_bytes(spoiled)
        with pytest.raises(FormatError, match="does not match its checksum"):
            keepfit.verify(file)
        if is_found:
            with pytest.raises(FormatError, match="does not match its checksum"):
                keepfit.load(file, mmap=True)
        else:
            assert keepfit.load(file, mmap=True)._fit_X.shape == X.shape


@pytest.mark.parametrize("array", [X.astype(int), X > 0, X.astype("U4"), X.astype(complex), X[:, :20]])
def test_arrays_that_are_checked_turned_back_or_small_are_read(tmp_path: Path, array: Any) -> None:
    keepfit.dump(array, tmp_path / "array")
    found = keepfit.load(tmp_path / "array", mmap=True)
    assert not is_mapped(found)
    assert found.tobytes() == array.tobytes()


def test_what_a_rule_looks_at_is_read(tmp_path: Path) -> None:
    model = IncrementalPCA(n_components=2).fit(X[:50])
    model.components_ = X[:2].repeat(4000, axis=1)
    model.mean_ = model.var_ = X[0].repeat(4000)
    model.n_features_in_ = 160_000
    keepfit.dump(model, tmp_path / "model")
    found = keepfit.load(tmp_path / "model", mmap=True)
    assert not is_mapped(found.components_)
    model.components_[0, 0] = np.inf
    keepfit.dump(model, tmp_path / "model")
    with pytest.raises(InvalidStateError, match="components_"):
        keepfit.load(tmp_path / "model", mmap=True)


def test_what_is_shared_with_something_that_is_looked_at_is_read(tmp_path: Path) -> None:
    queue = deque([X])  # keepfit says of no other type that it leaves an array alone
    for obj in ({"plain": X, "queue": queue}, {"queue": queue, "plain": X}):
        keepfit.dump(obj, tmp_path / "both")
        found = keepfit.load(tmp_path / "both", mmap=True)
        assert found["plain"] is found["queue"][0]
        assert not is_mapped(found["plain"])


#: Builds every estimator with what may be mapped lying in a file that has lost its contents: to look at it is a SIGBUS.
_BUILD_ALL = """
    import mmap, os, sys, warnings
    import numpy as np
    from battery import fit, fitted
    from keepfit import codecs
    from sklearn.decomposition import IncrementalPCA

    file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
    os.truncate(file, 1 << 24)
    gone = mmap.mmap(file, 1 << 24, access=mmap.ACCESS_COPY)
    os.truncate(file, 0)
    warnings.simplefilter("ignore")
    count = 0
    for label, estimator, X in fitted() if sys.argv[2] == "all" else fit("", IncrementalPCA()):
        graph = codecs.encode(estimator)
        unread = set(codecs.unread_arrays(graph)) if sys.argv[2] == "all" else set(graph.names)
        for number, (name, array) in enumerate(zip(graph.names, graph.arrays)):
            if name in unread and array.dtype.kind == "f" and len(array):
                graph.arrays[number] = np.ndarray(array.shape, array.dtype, gone)
                count += 1
        codecs.decode(graph, changes=[], allow={"paths", "patterns"})
    print(count)
"""


@pytest.mark.parametrize("which", ["all", "some"])
def test_building_does_not_look_at_what_may_be_mapped(tmp_path: Path, which: str) -> None:
    code = textwrap.dedent(_BUILD_ALL)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, str(tmp_path / "gone"), which],
        capture_output=True, text=True, env=env, timeout=300,
    )  # fmt: skip
    if which == "some":  # what a rule looks at is looked at: so the check above can fail
        assert done.returncode == -signal.SIGBUS
        return
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 300


def test_a_graph_with_a_cycle_is_read() -> None:
    obj: list[Any] = [X]
    assert codecs.unread_arrays(codecs.encode(obj)) != []
    obj.append(obj)
    assert codecs.unread_arrays(codecs.encode(obj)) == []


def test_what_cannot_be_mapped_is_a_type_error(tmp_path: Path, file: Path) -> None:
    url = "memory://models/mapped"
    keepfit.dump(1, url)
    for place in (file.read_bytes(), io.BytesIO(file.read_bytes()), url):
        with pytest.raises(TypeError, match=r"path of a file on this machine|keepfit\.loads"):
            keepfit.load(place, mmap=True)  # type: ignore[arg-type]
    with open(file, "rb") as opened, pytest.raises(TypeError, match="path of a file on this machine"):
        keepfit.load(opened, mmap=True)
    with pytest.raises(FileNotFoundError, match="check the path"):
        keepfit.load(tmp_path / "no", mmap=True)


def test_bytes_of_a_mapped_source_and_of_memory_make_the_same_graph(file: Path) -> None:
    expected, facts = artifact.read(file.read_bytes())
    with artifact.open_source(file) as source:
        graph, facts_again = artifact.read_source(source, may_map=codecs.unread_arrays)
    assert facts == facts_again
    assert [array.tobytes() for array in graph.arrays] == [array.tobytes() for array in expected.arrays]
