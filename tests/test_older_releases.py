"""Files that older releases of scikit-learn wrote: they answer the same here, or are refused, and never otherwise."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn

import keepfit
import older_models
from equality import difference
from keepfit import artifact, codecs
from keepfit.codecs.versions import short_version
from keepfit.errors import KeepfitWarning, VersionError
from keepfit.graph import Graph, Node

FILES = sorted(older_models.FOLDER.rglob("*.safetensors"))
RUNNING = short_version(sklearn.__version__)


#: What releases of scikit-learn compute in another order, so that the last bits differ, whichever wrote the model.
ROUNDED = {"predict_proba"}


def release_of(file: Path) -> tuple[int, int]:
    return short_version(file.parent.name.removeprefix("scikit-learn-"))


def ids(file: Path) -> str:
    return f"{file.parent.name}-{file.stem}"


OLDER = [file for file in FILES if release_of(file) <= RUNNING]
REFUSED = [
    file for file in OLDER if file.stem in older_models.REFUSED and older_models.REFUSED[file.stem][0] <= RUNNING
]
LOADED = [file for file in OLDER if file not in REFUSED]


def test_there_are_files_of_every_older_release() -> None:
    assert {release_of(file) for file in FILES} == {(1, 6), (1, 7), (1, 8)}
    for release in ((1, 6), (1, 7)):
        names = {file.stem for file in FILES if release_of(file) == release}
        assert names == older_models.MODELS.keys() | older_models.REFUSED.keys()


def assert_answers_as_it_did(model: Any, file: Path) -> None:
    """Compare with what the older release answered, which is kept in the file."""
    graph, _ = artifact.read(file.read_bytes())
    sample = codecs.decode(graph, root="sample")
    assert sample["outputs"]
    for method, before in sample["outputs"].items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping features")  # as the release that wrote it says, too
            now = getattr(model, method)(sample["inputs"])
        if method in ROUNDED:
            np.testing.assert_allclose(now, before, rtol=1e-12)
        else:
            assert not difference(before, now), method


@pytest.mark.parametrize("file", LOADED, ids=ids)
def test_a_model_of_an_older_release_answers_the_same(file: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", KeepfitWarning)
        model = keepfit.load(file)
    assert len(caught) == (release_of(file) < RUNNING)
    assert_answers_as_it_did(model, file)
    assert keepfit.inspect(file).loads_as_it_is


@pytest.mark.parametrize("file", [file for file in LOADED if file.stem in older_models.PICKLED], ids=ids)
def test_a_pickle_of_an_older_release_is_converted_and_answers_the_same(file: Path, tmp_path: Path) -> None:
    pickled = file.with_suffix(".pkl")
    assert keepfit.inspect(pickled).verdict == "convertible"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KeepfitWarning)
        keepfit.convert(pickled, tmp_path / "model.safetensors")
    assert_answers_as_it_did(keepfit.load(tmp_path / "model.safetensors"), file)


@pytest.mark.parametrize("file", LOADED, ids=ids)
def test_a_model_of_an_older_release_is_like_one_of_this_one(file: Path) -> None:
    """It can be cloned, shown, kept again, and asked for all that it says it has."""
    from sklearn.base import clone

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = keepfit.load(file)
        repr(model)
        clone(model)
        again = keepfit.dumps(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", KeepfitWarning)
        keepfit.loads(again)


@pytest.mark.parametrize("file", REFUSED, ids=ids)
def test_a_model_that_would_answer_otherwise_is_refused(file: Path) -> None:
    release = file.parent.name.removeprefix("scikit-learn-")
    with pytest.raises(VersionError, match=f"written under scikit-learn {release} (with|on) .* fit it again"):
        keepfit.load(file)
    report = keepfit.inspect(file)
    assert not report.loads_as_it_is
    assert "VersionError" in {one.error for one in report.obstacles}


def test_rows_that_a_forest_drew_before_weights_counted_are_those_it_says_it_drew() -> None:
    """Where the running release draws by weights, models that did not go on saying what they did."""
    for release in ("1.6.1", "1.7.2"):
        file = older_models.FOLDER / f"scikit-learn-{release}" / "bagging_weighted.safetensors"
        if file not in LOADED:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KeepfitWarning)
            model: Any = keepfit.load(file)
        alike = [np.random.RandomState(seed).randint(0, 30, 30) for seed in model._seeds]
        assert [sorted(one) for one in model.estimators_samples_] == [sorted(one) for one in alike]


def graph_of(*nodes: Node) -> Graph:
    return Graph({"object": codecs.encode([0]).roots["object"]}, list(nodes), [], [], {"scikit-learn": "1.6.1"})


@pytest.mark.skipif(RUNNING < (1, 7), reason="the release that wrote it takes no step")
def test_many_objects_share_no_list_of_columns() -> None:
    """Each would have a copy of it, which a small file could have take all memory."""
    from keepfit.graph import Ref

    kind = "sklearn.compose._column_transformer._RemainderColsList"
    holders = [Node(kind, {"data": Ref(0)}) for _ in range(2)]
    with pytest.raises(VersionError, match="share"):
        codecs.decode(graph_of(Node("list", items=[1, 2]), *holders))


@pytest.mark.skipif(RUNNING < (1, 8), reason="older releases need no fit of a coder")
def test_a_coder_that_needed_no_fit_is_fitted() -> None:
    from sklearn.decomposition import SparseCoder

    graph = codecs.encode(SparseCoder(np.eye(3)[:2]))
    graph.versions["scikit-learn"] = "1.7.2"
    with pytest.warns(KeepfitWarning):
        coder: Any = keepfit.loads(artifact.to_bytes(graph, {}))
    assert list(coder.get_feature_names_out()) == ["sparsecoder0", "sparsecoder1"]
    assert coder.n_features_in_ == 3


def test_averaging_from_no_step_is_none() -> None:
    from sklearn.linear_model import SGDRegressor

    graph = codecs.encode(SGDRegressor())
    graph.versions["scikit-learn"] = "1.6.1"
    next(node for node in graph.nodes if "average" in node.state).state["average"] = 0
    with pytest.warns(KeepfitWarning):
        model: Any = keepfit.loads(artifact.to_bytes(graph, {}))
    assert model.average is (False if RUNNING > (1, 6) else 0)


@pytest.mark.skipif(RUNNING < (1, 9), reason="only the newest release takes every step")
@pytest.mark.parametrize("count", [1, 3])
def test_steps_take_hostile_states_for_what_they_are(count: int) -> None:
    """A file may say that an old release wrote it, and hold anything."""
    from keepfit.codecs.migrations import _STEPS
    from keepfit.errors import KeepfitError
    from keepfit.graph import Ref

    values = [None, True, 0, 2**60, -1.5, "ovr", Ref(0), Ref(count)]
    for steps in _STEPS.values():
        for kind in steps:
            for value in values:
                names = [
                    "multi_class",
                    "solver",
                    "classes_",
                    "estimators_",
                    "init_",
                    "data",
                    "base_estimator",
                    "n_alphas",
                    "strategy",
                    "threshold",
                    "estimator",
                    "class_prior_",
                    "l1_ratio",
                    "transform_algorithm",
                ]
                columns = {} if count == 1 else {"multi_class": [value] * count}
                state = dict.fromkeys(names, value) | dict.fromkeys(columns)
                hostile = Node(kind, state, count=count, columns=columns)
                data = artifact.to_bytes(graph_of(hostile, Node("list", items=[Ref(0)])), {})
                with contextlib.suppress(KeepfitError, KeepfitWarning):
                    keepfit.loads(data)
                keepfit.inspect(data)
