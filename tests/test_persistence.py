"""`dump`, `dumps`, `load`, `loads`, `verify`: places, refusals, trust, metadata, samples, versions."""

from __future__ import annotations

import io
import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.utils import Bunch

import keepfit
from keepfit import artifact
from keepfit.codecs.estimators import _running, _table, supported_releases
from keepfit.errors import (
    FormatError,
    InvalidStateError,
    KeepfitWarning,
    UnsupportedError,
    UntrustedError,
    VersionError,
)
from keepfit.graph import Graph, Limits, Node, Ref

X, Y = load_iris(return_X_y=True)
#: A release that is known and not the running one.
OTHER = "1.7.2" if sklearn.__version__.startswith("1.6.") else "1.6.1"


@pytest.fixture(scope="module")
def model() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)


class Shift(TransformerMixin, BaseEstimator):
    """A user's own estimator."""

    def __init__(self, by: float = 1.0) -> None:
        self.by = by

    def fit(self, X: Any, y: Any = None) -> Shift:
        self.seen_ = len(X)
        return self

    def transform(self, X: Any) -> Any:
        return X + self.by


def shifted(X: Any) -> Any:
    """A user's own function."""
    return X + 1


class Canary:
    """Leaves a mark if it is ever unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


# Places


@pytest.mark.parametrize("place", [str, Path])
def test_a_model_comes_back_from_a_path(tmp_path: Path, model: Pipeline, place: Any) -> None:
    file = place(tmp_path / "model.safetensors")
    keepfit.dump(model, file)
    assert keepfit.load(file).predict(X).tobytes() == model.predict(X).tobytes()


def test_a_model_comes_back_from_a_binary_file_object(tmp_path: Path, model: Pipeline) -> None:
    with open(tmp_path / "model.safetensors", "w+b") as file:
        keepfit.dump(model, file)
        file.seek(0)
        assert keepfit.load(file).predict(X).tobytes() == model.predict(X).tobytes()


def test_a_model_comes_back_from_an_fsspec_url(model: Pipeline) -> None:
    url = "memory://models/model.safetensors"
    keepfit.dump(model, url)
    assert keepfit.load(url).predict(X).tobytes() == model.predict(X).tobytes()
    assert fsspec.filesystem("memory").cat("/models/model.safetensors") == keepfit.dumps(model)


def test_dump_writes_what_dumps_gives(tmp_path: Path, model: Pipeline) -> None:
    file, stream = tmp_path / "model.safetensors", io.BytesIO()
    keepfit.dump(model, file)
    keepfit.dump(model, stream)
    assert file.read_bytes() == stream.getvalue() == keepfit.dumps(model)


def test_a_text_mode_file_is_refused_in_both_directions(tmp_path: Path, model: Pipeline) -> None:
    with open(tmp_path / "model", "w") as file, pytest.raises(TypeError, match="binary mode"):
        keepfit.dump(model, file)  # type: ignore[arg-type]
    with open(tmp_path / "model") as file, pytest.raises(TypeError, match="binary mode"):
        keepfit.load(file)  # type: ignore[arg-type]


def test_bytes_in_the_place_of_a_path_are_pointed_to_loads(model: Pipeline) -> None:
    with pytest.raises(TypeError, match=r"keepfit\.loads"):
        keepfit.load(keepfit.dumps(model))  # type: ignore[arg-type]


def test_an_unwritable_place_says_what_is_wrong_with_it(tmp_path: Path, model: Pipeline) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
        keepfit.dump(model, tmp_path / "file" / "model")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        keepfit.dump(model, tmp_path)
    with pytest.raises(FileNotFoundError, match="make it first"):
        keepfit.dump(model, tmp_path / "nowhere" / "model")
    with pytest.raises(FileNotFoundError, match="check the path"):
        keepfit.load(tmp_path / "model")


# Foreign and damaged bytes


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pickle.dumps([1]), "a pickle"),
        (b'{"a": [1, 2]}', "JSON"),
        (b"", "an empty file"),
        (b"hello there\n", "text"),
        (bytes(100), "zeros"),
    ],
)
def test_foreign_bytes_are_called_by_their_name(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        keepfit.loads(data)
    with pytest.raises(FormatError, match=words):
        keepfit.verify(data)


def test_a_pickle_is_never_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Canary(mark)))
    with pytest.raises(FormatError, match="never unpickles"):
        keepfit.load(tmp_path / "model.pkl", allow={"code", "paths", "patterns"})
    assert not mark.exists()


@pytest.mark.parametrize("length", [100, 1000, -1])
def test_a_truncated_file_is_told_from_a_foreign_one(model: Pipeline, length: int) -> None:
    with pytest.raises(FormatError, match="cut short"):
        keepfit.loads(keepfit.dumps(model)[:length])


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.99])
def test_a_flipped_bit_is_noticed(model: Pipeline, share: float) -> None:
    data = bytearray(keepfit.dumps(model))
    data[int(len(data) * share)] ^= 8
    with pytest.raises(FormatError):
        keepfit.loads(data)


def test_a_failed_dump_leaves_the_old_file_whole(tmp_path: Path, model: Pipeline) -> None:
    file = tmp_path / "model.safetensors"
    keepfit.dump(model, file)
    before = file.read_bytes()
    with pytest.raises(UnsupportedError):
        keepfit.dump([model, lambda: 0], file)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == [file.name]


def test_an_error_names_the_place_inside_the_object(model: Pipeline) -> None:
    with pytest.raises(UnsupportedError) as caught:
        keepfit.dumps({"models": [model, {"key": lambda: 0}]})
    assert caught.value.path == "models.1.key"


# Code


def test_a_lambda_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnsupportedError, match=r"top of a module .* allow=\{'code'\}"):
        keepfit.dumps(FunctionTransformer(lambda X: X + 1))


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ((each for each in "ab"), r"models\.1: a generator cannot be kept: keep what it gives, such as list\(it\)"),
        (iter([1]), r"Keep what it gives, such as list\(it\), in its place, or pass"),
        (os, "Keep the name 'os' in its place and import it where it is used, or pass"),
        (types.CellType(1), "Its class is Python's own: keep what it is made of in its place"),
        (type("Local", (), {})(), "Define the class at the top of a module that can be imported"),
    ],
)
def test_what_nobody_can_define_in_a_module_is_refused_with_other_advice(obj: Any, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        keepfit.dumps({"models": [StandardScaler(), obj]})


@pytest.mark.parametrize("obj", [(each for each in "ab"), threading.Lock()], ids=["generator", "lock"])
def test_what_has_no_code_either_is_refused_where_code_is_allowed(obj: Any) -> None:
    with pytest.raises(UnsupportedError, match="cannot be kept"):
        keepfit.dumps([obj], allow={"code"})


def test_a_lambda_comes_back_when_code_is_allowed_on_both_sides() -> None:
    data = keepfit.dumps(FunctionTransformer(lambda X: X + 1), allow={"code"})
    assert keepfit.loads(data, allow={"code"}).transform(np.zeros((1, 1))) == 1


def test_a_local_class_comes_back_when_code_is_allowed_on_both_sides() -> None:
    class Local(Shift):
        pass

    with pytest.raises(UnsupportedError, match="Local"):
        keepfit.dumps(Local(by=3))
    data = keepfit.dumps(make_pipeline(Local(by=3)), allow={"code"})
    assert keepfit.loads(data, allow={"code"})[0].transform(np.zeros((1, 1))) == 3


def test_code_in_a_file_does_not_run_unless_it_is_allowed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    data = keepfit.dumps(lambda: os.mkdir(mark), allow={"code"})
    with pytest.raises(UntrustedError, match=r"allow=\{'code'\}"):
        keepfit.loads(data)
    with pytest.raises(UntrustedError):
        keepfit.loads(data, allow={"paths", "patterns"}, trusted=[Shift])
    assert not mark.exists()


@pytest.mark.parametrize("allow", [{"everything"}, ["codes"], "codes"])
def test_a_capability_that_does_not_exist_is_a_mistake(model: Pipeline, allow: Any) -> None:
    with pytest.raises(ValueError, match="allow="):
        keepfit.dumps(model, allow=allow)
    with pytest.raises(ValueError, match="allow="):
        keepfit.loads(keepfit.dumps(model), allow=allow)
    with pytest.raises(ValueError, match="allow="):
        keepfit.verify(keepfit.dumps(model), allow=allow)


def test_one_capability_may_be_given_as_a_string() -> None:
    data = keepfit.dumps(lambda: 5, allow="code")
    assert keepfit.loads(data, allow="code")() == 5


# Trust


def test_a_class_of_the_users_own_is_refused_by_name_and_place() -> None:
    data = keepfit.dumps(make_pipeline(StandardScaler(), Shift()).fit(X))
    with pytest.raises(UntrustedError, match="trusted=") as caught:
        keepfit.loads(data)
    assert caught.value.names == (f"{__name__}.Shift",)
    assert caught.value.path == "steps[1][1]"


@pytest.mark.parametrize("trusted", [[Shift], (Shift,), f"{__name__}.Shift", {f"{__name__}.Shift", "datetime.date"}])
def test_a_class_of_the_users_own_is_built_when_trusted(trusted: Any) -> None:
    back = keepfit.loads(keepfit.dumps(Shift(by=2.5).fit(X)), trusted=trusted)
    assert type(back) is Shift
    assert vars(back) == {"by": 2.5, "seen_": 150}


def test_trust_in_one_class_opens_no_other() -> None:
    with pytest.raises(UntrustedError, match="Shift"):
        keepfit.loads(keepfit.dumps(Shift()), trusted=[Canary])


def test_a_function_of_the_users_own_needs_trust() -> None:
    data = keepfit.dumps(FunctionTransformer(shifted))
    with pytest.raises(UntrustedError, match="shifted"):
        keepfit.loads(data)
    assert keepfit.loads(data, trusted=[shifted]).func is shifted
    assert keepfit.loads(data, trusted=[f"{__name__}.shifted"]).func is shifted


def test_a_trusted_name_that_leads_nowhere_is_a_mistake(model: Pipeline) -> None:
    for name in ("no.such.module.Class", f"{__name__}.NoSuchClass", "nothing"):
        with pytest.raises(UnsupportedError, match="cannot be imported here"):
            keepfit.loads(keepfit.dumps(model), trusted=[name])


def test_an_instance_attribute_on_a_known_class_is_refused() -> None:
    model = StandardScaler().fit(X)
    model.note = "mine"
    with pytest.raises(UnsupportedError, match="'note'"):
        keepfit.dumps(model)


def test_a_class_that_only_claims_a_scikit_learn_name_is_refused() -> None:
    fake = type("StandardScaler", (Shift,), {"__module__": "sklearn.preprocessing._data"})
    with pytest.raises(UnsupportedError):
        keepfit.dumps(fake())


def run(folder: Path, source: str) -> str:
    script = folder / "script.py"
    script.write_text(textwrap.dedent(source))
    package = str(Path(keepfit.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": package}
    done = subprocess.run(
        [sys.executable, script.name], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_a_class_of_the_main_script_needs_that_script_and_trust(tmp_path: Path) -> None:
    wrote = run(
        tmp_path,
        """
        import keepfit
        class Mine:
            value = 5
        keepfit.dump(Mine(), "mine.safetensors")
        print(keepfit.load("mine.safetensors", trusted=[Mine]).value)
        """,
    )
    assert wrote.startswith("5\n")
    with pytest.raises(UntrustedError, match=r"__main__\.Mine"):
        keepfit.load(tmp_path / "mine.safetensors")
    with pytest.raises(UnsupportedError, match=r"cannot be imported here.*trusted=\[Mine\]"):
        keepfit.load(tmp_path / "mine.safetensors", trusted=["__main__.Mine"])


def test_a_class_of_the_main_script_loads_elsewhere_when_the_class_itself_is_given(tmp_path: Path) -> None:
    script = """
        import warnings
        import keepfit
        class Mine:
            def __init__(self): self.value = 5
        def double(number): return 2 * number
        with warnings.catch_warnings(record=True) as caught:
            keepfit.dump([Mine(), double], "mine.safetensors")
            with keepfit.Store("state.db") as store:
                store["mine"] = Mine()
        print([str(one.message).partition(" is ")[0] for one in caught])
        """
    assert run(tmp_path, script) == "['Mine, double', 'Mine']\n"

    Mine = type("Mine", (), {"__module__": __name__, "__qualname__": "Mine"})
    Other = type("Mine", (), {"__module__": "elsewhere", "__qualname__": "Mine"})
    made, function = keepfit.load(tmp_path / "mine.safetensors", trusted=[Mine, double])
    assert (type(made), made.value, function) == (Mine, 5, double)
    with keepfit.Store(tmp_path / "state.db") as store:
        assert type(store.load("mine", trusted=Mine)) is Mine
        with pytest.raises(UntrustedError, match=r"pass it itself: trusted=\[Mine\]"):
            store.load("mine", trusted=[Mine, Other])


def double(number: int) -> int:
    return 2 * number


def test_one_class_or_name_is_trusted_without_a_list(tmp_path: Path) -> None:
    keepfit.dump(Outside(), tmp_path / "one.safetensors")
    assert type(keepfit.load(tmp_path / "one.safetensors", trusted=Outside)) is Outside
    assert type(keepfit.load(tmp_path / "one.safetensors", trusted=f"{__name__}.Outside")) is Outside


class Outside:
    pass


def test_a_class_of_the_main_script_comes_back_anywhere_as_code(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        import keepfit
        class Mine:
            value = 5
        keepfit.dump(Mine(), "mine.safetensors", allow={"code"})
        """,
    )
    assert keepfit.load(tmp_path / "mine.safetensors", allow={"code"}).value == 5


# Parameters that reach outside


def test_a_model_that_reads_files_by_name_needs_paths() -> None:
    data = keepfit.dumps(CountVectorizer(input="filename"))
    with pytest.raises(UntrustedError, match=r"allow=\{'paths'\}"):
        keepfit.loads(data)
    assert keepfit.loads(data, allow={"paths"}).input == "filename"


def test_a_cache_folder_is_dropped_with_one_warning(tmp_path: Path) -> None:
    model = Pipeline([("inner", Pipeline([("scale", StandardScaler())], memory=str(tmp_path)))], memory=str(tmp_path))
    data = keepfit.dumps(model)
    with pytest.warns(KeepfitWarning, match="memory") as caught:
        back = keepfit.loads(data)
    assert len(caught) == 1
    assert back.memory is None
    assert keepfit.loads(data, allow={"paths"}).memory == str(tmp_path)


def test_a_warning_points_at_the_line_that_called(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    keepfit.dump(Pipeline([("scale", StandardScaler())], memory="cache"), file)
    for call in (lambda: keepfit.load(file), lambda: keepfit.loads(file.read_bytes()), lambda: keepfit.verify(file)):
        with pytest.warns(KeepfitWarning) as caught:
            call()
        assert caught[0].filename == __file__


# Metadata and samples


def test_metadata_is_shown_and_leaves_the_object_alone(model: Pipeline) -> None:
    metadata = {"accuracy": 0.97, "by": "é", "tags": ["a", None, {"deep": True}]}
    data = keepfit.dumps(model, metadata=metadata)
    assert keepfit.inspect(data).metadata == metadata
    assert keepfit.dumps(keepfit.loads(data)) == keepfit.dumps(model)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.bool_(True), True),
        (np.int64(-5), -5),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float64(0.1), 0.1),
        ([np.int8(1), {"deep": np.float16(0.5)}], [1, {"deep": 0.5}]),
    ],
)
def test_scalars_of_numpy_are_kept_as_the_numbers_they_are(given: Any, kept: Any) -> None:
    found = keepfit.inspect(keepfit.dumps(0, metadata={"value": given})).metadata["value"]
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        ({"acc": np.float64("nan")}, r"metadata\['acc'\] is a float"),
        ({"acc": np.longdouble(1) / 3}, r"metadata\['acc'\] is a longdouble"),
        ({"acc": np.zeros(3)}, r"metadata\['acc'\] is a ndarray"),
        ({"a": [0, {"b": (1,)}]}, r"metadata\['a'\]\[1\]\['b'\] is a tuple"),
    ],
)
def test_metadata_that_cannot_be_kept_is_named(metadata: Any, place: str) -> None:
    with pytest.raises(UnsupportedError, match=place):
        keepfit.dumps(0, metadata=metadata)


@pytest.mark.parametrize("metadata", [{1: 2}, {"a": object()}, {"a": float("nan")}, {"a": (1, 2)}, [1], {"a": b"x"}])
def test_metadata_that_json_cannot_hold_exactly_is_refused(model: Pipeline, metadata: Any) -> None:
    with pytest.raises(UnsupportedError, match="metadata="):
        keepfit.dumps(model, metadata=metadata)


@pytest.mark.parametrize(
    "odd",
    [
        ColumnTransformer([(StandardScaler(), StandardScaler(), [0])]),
        Pipeline([("\ud800", StandardScaler()), (3, StandardScaler())]),
        Pipeline([{"a": 1, "b": 2}]),
        FunctionTransformer(kw_args={"\ud800": 1}),
        SimpleImputer(strategy="constant", fill_value="\ud800"),
        LogisticRegression().fit(X[:100], ["a", "\udc80"] * 50),
    ],
)
def test_models_that_say_odd_things_of_themselves_are_kept(odd: Any) -> None:
    file = keepfit.dumps(odd)
    assert type(keepfit.loads(file)) is type(odd)
    assert artifact.read(file)[1]["class"].endswith(type(odd).__name__)


def test_a_sample_is_replayed_by_verify(tmp_path: Path, model: Pipeline) -> None:
    file = tmp_path / "model.safetensors"
    keepfit.dump(model, file, sample=X[:5])
    found = keepfit.verify(file)
    assert found.ok
    assert found.methods == {"predict": True, "predict_proba": True, "decision_function": True}
    assert keepfit.load(file).predict(X).tobytes() == model.predict(X).tobytes()


def test_verify_notices_a_model_that_answers_otherwise(model: Pipeline) -> None:
    graph, facts = artifact.read(keepfit.dumps(model, sample=X[:5]))
    place = next(n for n, name in enumerate(graph.names) if name.endswith("intercept_"))
    graph.arrays[place] = graph.arrays[place] + 1e-9
    found = keepfit.verify(artifact.to_bytes(graph, facts))
    assert not found
    assert found.methods["predict"]
    assert not found.methods["decision_function"]


def test_a_file_without_a_sample_verifies_by_its_checksums_alone(model: Pipeline) -> None:
    found = keepfit.verify(keepfit.dumps(model))
    assert found
    assert found.methods == {}
    assert found.arrays == len(keepfit.inspect(keepfit.dumps(model)).arrays)


def test_a_sample_needs_a_model_that_answers() -> None:
    with pytest.raises(UnsupportedError, match="sample="):
        keepfit.dumps({"a": 1}, sample=X[:5])


# Versions


def written_under(data: bytes, release: str | None) -> bytes:
    graph, facts = artifact.read(data)
    graph.versions = {name: version for name, version in graph.versions.items() if name != "scikit-learn"}
    if release is not None:
        graph.versions["scikit-learn"] = release
    return artifact.to_bytes(graph, facts)


def test_a_file_of_another_release_loads_with_one_warning_where_states_agree() -> None:
    data = written_under(keepfit.dumps([MinMaxScaler().fit(X), MinMaxScaler()]), OTHER)
    with pytest.warns(KeepfitWarning, match=re.escape(OTHER)) as caught:
        back = keepfit.loads(data)
    assert len(caught) == 1
    assert back[0].transform(X).tobytes() == MinMaxScaler().fit_transform(X).tobytes()


def test_a_file_of_another_patch_release_loads_in_silence() -> None:
    major, minor = sklearn.__version__.split(".")[:2]
    keepfit.loads(written_under(keepfit.dumps(StandardScaler().fit(X)), f"{major}.{minor}.99"))


def test_a_class_whose_state_has_changed_is_refused_with_both_versions() -> None:
    data = keepfit.dumps({"imputer": SimpleImputer().fit(X)})
    graph, facts = artifact.read(data)
    node = next(node for node in graph.nodes if node.type.endswith("SimpleImputer"))
    node.state["_gone"] = 1
    graph.versions["scikit-learn"] = OTHER
    with pytest.raises(VersionError, match=rf"SimpleImputer .*{re.escape(OTHER)}.*attribute '_gone'") as caught:
        keepfit.loads(artifact.to_bytes(graph, facts))
    assert "imputer" in caught.value.path


@pytest.mark.parametrize("release", ["0.24.2", "1.3.2", "99.0.0", "nonsense", "", None])
def test_a_release_that_is_not_known_is_refused(release: str | None) -> None:
    with pytest.raises(VersionError, match="StandardScaler"):
        keepfit.loads(written_under(keepfit.dumps(StandardScaler().fit(X)), release))


# Values


def test_a_class_that_only_another_release_has_is_a_matter_of_versions_and_not_of_trust() -> None:
    names = (name for release in supported_releases() for name in _table(release) if name not in _table(_running()))
    name = next(name for name in names if not name.endswith("_RemainderColsList"))  # for which there is a step
    graph = Graph({"object": Ref(0)}, [Node(name)], [], [], {"scikit-learn": OTHER})
    with pytest.raises(VersionError, match=rf"has no {re.escape(name)}; \d.* has it"):
        keepfit.loads(artifact.to_bytes(graph, {}))


def test_what_is_shared_stays_shared() -> None:
    scaler = StandardScaler().fit(X)
    back = keepfit.loads(keepfit.dumps([scaler, {"again": scaler}, Bunch(third=scaler)]))
    assert back[0] is back[1]["again"] is back[2].third


def test_an_attribute_that_would_shadow_a_method_is_refused(model: Pipeline) -> None:
    graph, facts = artifact.read(keepfit.dumps(model))
    node = next(node for node in graph.nodes if node.type.endswith("LogisticRegression"))
    node.state["predict"] = 5
    with pytest.raises(InvalidStateError, match="predict"):
        keepfit.loads(artifact.to_bytes(graph, facts))


# Compression


def test_a_compressed_forest_is_smaller_and_the_same(tmp_path: Path) -> None:
    forest = RandomForestClassifier(30, random_state=0).fit(X, Y)
    plain = keepfit.dumps(forest)
    for compress in ("zstd", 1, 19):
        data = keepfit.dumps(forest, compress=compress)
        assert len(data) < len(plain) / 2
        assert keepfit.dumps(keepfit.loads(data)) == plain
        assert keepfit.verify(data)
    assert keepfit.dumps(forest, compress="zstd") == keepfit.dumps(forest, compress=3)
    keepfit.dump(forest, tmp_path / "forest", compress="zstd")
    with open(tmp_path / "other", "wb") as file:
        keepfit.dump(forest, file, compress="zstd")
    assert (tmp_path / "forest").read_bytes() == (tmp_path / "other").read_bytes()
    for options in ({}, {"mmap": True}):
        assert keepfit.dumps(keepfit.load(tmp_path / "forest", **options)) == plain


@pytest.mark.parametrize("compress", ["gzip", "", 0, 20, -1, 3.0, True, ("zlib", 3)])
def test_another_compression_is_a_value_error(compress: Any) -> None:
    with pytest.raises(ValueError, match="from 1 to 19"):
        keepfit.dumps(1, compress=compress)


LONG = keepfit.dumps({"numbers": np.arange(1000.0), "list": [[], [], []]})


def named(tmp_path: Path) -> str:
    (tmp_path / "long").write_bytes(LONG)
    return str(tmp_path / "long")


@pytest.mark.parametrize("read", [keepfit.load, keepfit.verify, keepfit.inspect, keepfit.open])
@pytest.mark.parametrize("place", [named, lambda _: io.BytesIO(LONG), lambda _: io.BufferedReader(io.BytesIO(LONG))])  # type: ignore[arg-type]
def test_a_caller_may_set_narrower_limits(read: Any, place: Any, tmp_path: Path) -> None:
    read(place(tmp_path), limits=Limits(file_bytes=len(LONG)))
    with pytest.raises(FormatError, match="the file is longer than"):
        read(place(tmp_path), limits=Limits(file_bytes=len(LONG) - 1))
    with pytest.raises(FormatError, match="objects"):
        read(place(tmp_path), limits=Limits(nodes=4))


def test_limits_hold_for_bytes_and_for_what_is_converted(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="objects"):
        keepfit.loads(LONG, limits=Limits(nodes=4))
    old = pickle.dumps([[], [], [], []], 2)
    keepfit.convert(old, tmp_path / "new", limits=Limits(pickle_records=5))
    with pytest.raises(FormatError, match="more than 3 objects"):
        keepfit.convert(old, tmp_path / "new", limits=Limits(pickle_records=3))
    assert keepfit.inspect(old, limits=Limits(pickle_records=3)).verdict == "unreadable"
