"""`keepfit.open`: single arrays and sub-models, and how much of the file is read for them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import keepfit
from equality import difference
from keepfit import artifact
from keepfit.errors import FormatError, InvalidStateError, PartNotFoundError, UntrustedError
from keepfit.graph import Graph, Node, Ref

X, Y = load_iris(return_X_y=True)


class Own(BaseEstimator):
    """A user's own class."""


class CountingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """The file system of fsspec that is in memory, counting the bytes that are fetched."""

    protocol = "counting"
    fetched: ClassVar[list[int]] = []

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        data: bytes = super().cat_file(path, start=start, end=end, **options)
        self.fetched.append(len(data))
        return data


class WholeFileSystem(CountingFileSystem):
    """One that answers with all of a file whatever part is asked for, as http does of servers that know no ranges."""

    protocol = "whole"

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        return super().cat_file(path, **options)


fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
fsspec.register_implementation("whole", WholeFileSystem, clobber=True)


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    """Models alone and in groups, shared parts, arrays of many kinds."""
    scaler = StandardScaler().fit(X)
    mixed = ColumnTransformer([("a", MinMaxScaler(), [0, 1]), ("b", StandardScaler(), [2, 3])]).fit(X)
    return {
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, Y),
        "forests": {f"m{i}": RandomForestClassifier(3, random_state=i).fit(X, Y) for i in range(10)},
        "neighbors": [KNeighborsClassifier(n_neighbors=i + 1).fit(X, Y) for i in range(9)],
        "boosting": GradientBoostingClassifier(n_estimators=4).fit(X, Y),
        "columns": mixed,
        "scaler": scaler,
        "again": [scaler, (1, scaler)],
        "dotted.key": {"a.b": 1.5, 3: "three", "3": "text"},
        "arrays": {
            "fortran": np.asfortranarray(X), "dates": np.array(["2026-01-02"], "M8[D]"), "bools": Y > 0,
            "text": np.array(["a", "bc"]), "records": np.zeros(3, "i4,f8"), "objects": np.array([1, "x", None], object),
        },
        "records": [{"name": f"n{i}", "value": i, "data": np.arange(i)} for i in range(12)],
    }  # fmt: skip


@pytest.fixture(scope="module")
def file(everything: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("opening") / "everything"
    keepfit.dump(everything, path)
    return path


@pytest.fixture
def fetched() -> Iterator[list[int]]:
    CountingFileSystem.fetched.clear()
    yield CountingFileSystem.fetched
    CountingFileSystem.store.clear()


PARTS: list[tuple[Any, Any]] = [
    ("", lambda it: it),
    ("pipeline", lambda it: it["pipeline"]),
    ("pipeline.steps", lambda it: it["pipeline"].steps),
    ("pipeline.steps.1", lambda it: it["pipeline"][1]),
    ("pipeline.steps.standardscaler", lambda it: it["pipeline"][0]),
    ("pipeline.steps.1.coef_", lambda it: it["pipeline"][1].coef_),
    ("pipeline.steps.1.C", lambda it: it["pipeline"][1].C),
    ("forests.m7", lambda it: it["forests"]["m7"]),
    ("forests.m7.estimators_.2", lambda it: it["forests"]["m7"].estimators_[2]),
    ("neighbors.4", lambda it: it["neighbors"][4]),
    (("neighbors", 4, "_fit_X"), lambda it: it["neighbors"][4]._fit_X),
    ("boosting.estimators_", lambda it: it["boosting"].estimators_),
    ("boosting.estimators_.5", lambda it: it["boosting"].estimators_.ravel()[5]),
    ("columns.transformers_.b", lambda it: it["columns"].transformers_[1][1]),
    ("again", lambda it: it["again"]),
    ("dotted.key.a.b", lambda it: 1.5),
    (("dotted.key", "a.b"), lambda it: 1.5),
    ("dotted.key.3", lambda it: "text"),
    ("arrays.objects", lambda it: it["arrays"]["objects"]),
    ("records.11", lambda it: it["records"][11]),
    ("records.11.data", lambda it: it["records"][11]["data"]),
    ("records.11.value", lambda it: 11),
]


@pytest.mark.parametrize(("path", "part"), PARTS, ids=[str(path) for path, _ in PARTS])
def test_a_part_is_what_it_is_in_the_whole(everything: Any, file: Path, path: Any, part: Any) -> None:
    with keepfit.open(file) as opened:
        found = opened[path]
    assert difference(found, part(keepfit.load(file))) == ""


def test_arrays_are_those_of_the_object(everything: dict[str, Any], file: Path) -> None:
    with keepfit.open(file) as opened:
        assert set(opened.names) > {"pipeline.steps.logisticregression.coef_", "arrays.dates", "scaler.mean_"}
        for name, array in everything["arrays"].items():
            if name != "objects":
                found = opened.array(f"arrays.{name}")
                assert (found.dtype, found.tobytes(), found.flags.writeable) == (array.dtype, array.tobytes(), True)
        assert opened.array("arrays.fortran").flags.f_contiguous
        assert all(isinstance(opened.array(name), np.ndarray) for name in opened.names)


def test_every_place_opens_and_stays_usable_by_others(file: Path) -> None:
    data = file.read_bytes()
    keepfit.dump(keepfit.loads(data), "memory://everything")
    with open(file, "rb") as stream:
        for place in (str(file), file, io.BytesIO(data), stream, "memory://everything"):
            with keepfit.open(place) as opened:
                assert opened["pipeline"].predict(X[:2]).tolist() == [0, 0]
        assert not stream.closed


def test_only_what_is_wanted_is_fetched(fetched: list[int]) -> None:
    models = {
        f"m{i}": KNeighborsClassifier(algorithm="brute").fit(X.repeat(400, axis=0) + i, Y.repeat(400)) for i in range(5)
    }
    url = "counting://models"
    keepfit.dump(models, url)
    with keepfit.open(url) as opened:
        small = sum(fetched)
        assert small < 2**17
        model = opened["m3"]
        assert difference(model, models["m3"]) == ""
        assert sum(fetched) - small < 1.01 * (model._fit_X.nbytes + model._y.nbytes) + 1000
        before = sum(fetched)
        assert opened.array("m4._fit_X").tobytes() == models["m4"]._fit_X.tobytes()
        assert sum(fetched) - before == models["m4"]._fit_X.nbytes


def test_a_server_that_knows_no_parts_is_asked_once(fetched: list[int]) -> None:
    keepfit.dump({"a": X, "model": StandardScaler().fit(X)}, "whole://models")
    with keepfit.open("whole://models") as opened:
        assert opened.array("a").tobytes() == X.tobytes()
        assert opened["model"].transform(X[:2]).shape == (2, 4)
    assert len(fetched) == 1


def test_damage_is_found_where_it_is_looked_at(tmp_path: Path) -> None:
    data = bytearray(keepfit.dumps({"one": np.arange(9.0), "other": np.arange(9.0, 18.0)}))
    data[data.index(np.float64(17).tobytes())] ^= 1
    with keepfit.open(io.BytesIO(data)) as opened:
        assert opened["one"].tolist() == list(range(9))
        for look in (lambda: opened["other"], lambda: opened.array("other"), lambda: opened[""]):
            with pytest.raises(FormatError, match="does not match its checksum"):
                look()
    with pytest.raises(FormatError, match="pickle"):
        keepfit.open(io.BytesIO(b"\x80\x05K\x01."))


def test_trust_is_asked_for_what_is_built_only() -> None:
    data = keepfit.dumps({"own": Own(), "known": StandardScaler().fit(X)})
    with keepfit.open(io.BytesIO(data)) as opened:
        assert opened["known"].n_features_in_ == 4
        with pytest.raises(UntrustedError, match="Own"):
            opened["own"]
    with keepfit.open(io.BytesIO(data), trusted=[Own]) as opened:
        assert type(opened["own"]) is Own


def test_what_is_not_there_is_a_key_error_that_says_what_is(file: Path) -> None:
    with keepfit.open(file) as opened:
        with pytest.raises(PartNotFoundError, match="no 'stepz' in pipeline; there is 'steps', ") as caught:
            opened["pipeline.stepz.1"]
        assert isinstance(caught.value, KeyError)
        for path in ("nothing", "neighbors.9", "neighbors.-1", "pipeline.steps.1.C.x", ("forests.m7",)):
            with pytest.raises(PartNotFoundError):
                opened[path]
        with pytest.raises(PartNotFoundError, match="names"):
            opened.array("nothing")


def test_a_file_is_a_mapping_of_the_names_at_its_top(everything: dict[str, Any], file: Path) -> None:
    with keepfit.open(file) as opened:
        assert opened.keys() == tuple(opened) == tuple(everything)
        assert len(opened) == len(everything)
        for path in ("scaler", "pipeline.steps.1", "pipeline.steps.standardscaler", ("neighbors", 4), ""):
            assert path in opened
        for path in ("nothing", "pipeline.steps.7", 0, 1.5, None, True, ("scaler", b"mean_")):
            assert path not in opened
        assert "dotted.key.a.b" in opened
    with keepfit.open(io.BytesIO(keepfit.dumps({"a": 1, "b": [2]}))) as opened:
        assert dict(opened) == dict(opened.items()) == {"a": 1, "b": [2]}
        assert (opened.get("b.0"), opened.get("c"), opened.get("c", 3)) == (2, None, 3)


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ([("a", 1), ("b", 2)], ("0", "1")),
        ({3: "three", "3": "text", (1, 2): "pair"}, ("3",)),
        (np.arange(3.0), ()),
        (1.5, ()),
        ({}, ()),
    ],
)
def test_each_part_at_the_top_has_one_name_that_it_is_found_by(value: Any, keys: tuple[str, ...]) -> None:
    with keepfit.open(io.BytesIO(keepfit.dumps(value))) as opened:
        assert opened.keys() == keys
        for key in keys:
            opened[key]


def test_a_models_attributes_are_the_names_at_its_top() -> None:
    scaler = StandardScaler().fit(X)
    with keepfit.open(io.BytesIO(keepfit.dumps(scaler))) as opened:
        assert set(vars(scaler)) <= set(opened)
        assert all(difference(opened[name], value) == "" for name, value in vars(scaler).items())


def test_a_number_is_a_place_and_what_is_no_name_is_refused_in_plain_words() -> None:
    with keepfit.open(io.BytesIO(keepfit.dumps(["zero", "one"]))) as opened:
        assert opened[1] == opened["1"] == "one"
    with keepfit.open(io.BytesIO(keepfit.dumps({"a": 1}))) as opened:
        with pytest.raises(PartNotFoundError, match="no '0' in the object; there is 'a'"):
            opened[0]
        for path in (slice(2), 1.5, None, True, ("a", None)):
            with pytest.raises(TypeError, match="named by a str such as"):
                opened[path]  # type: ignore[index]


def test_an_open_file_shows_what_it_is(tmp_path: Path) -> None:
    keepfit.dump({f"k{place}\x1b": np.arange(3.0) for place in range(9)}, tmp_path / "nine")
    with keepfit.open(tmp_path / "nine") as opened:
        shown = repr(opened)
    assert shown.startswith(f"<OpenFile {str(tmp_path / 'nine')!r} of dict: 'k0\\x1b', 'k1\\x1b', ")
    assert shown.endswith(", ...; 1 array>")  # nine of a kind are one
    with keepfit.open(io.BytesIO(keepfit.dumps(StandardScaler()))) as opened:
        assert repr(opened).startswith("<OpenFile of sklearn.preprocessing.StandardScaler: 'with_mean'")


def test_parts_of_compressed_files_are_read(everything: dict[str, Any]) -> None:
    data = keepfit.dumps(everything, compress="zstd")
    with keepfit.open(io.BytesIO(data)) as opened:
        assert difference(opened["forests.m2"], keepfit.loads(data)["forests"]["m2"]) == ""


def test_members_of_a_group_that_counts_other_rows_than_it_has_are_refused() -> None:
    nodes = [Node("numpy.ndarray", array=0, count=2, lengths=[1, 2]), Node("list", items=[Ref(0), Ref(1)])]
    data = artifact.to_bytes(Graph({"object": Ref(2)}, nodes, [np.arange(4.0)], ["x"], {}), {})
    with keepfit.open(io.BytesIO(data)) as opened, pytest.raises(InvalidStateError, match="lengths of a group"):
        opened["0"]


def test_a_part_with_a_cycle_is_built() -> None:
    inner: list[Any] = [1]
    inner.append(inner)
    with keepfit.open(
        io.BytesIO(keepfit.dumps({"inner": inner, "other": Pipeline([("a", StandardScaler())])}))
    ) as opened:
        found = opened["inner"]
    assert found[1] is found
