"""`inspect`: what a file holds, told without building it, and whatever the file holds."""

from __future__ import annotations

import html
import io
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.cluster import BisectingKMeans
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import keepfit
from keepfit import artifact
from keepfit.errors import FormatError, KeepfitWarning, UntrustedError, VersionError
from keepfit.graph import Graph, Node, Ref
from keepfit.inspection import Report, TreeNode

X, Y = load_iris(return_X_y=True, as_frame=True)


class Mine:
    """A class that keepfit does not know."""


@pytest.fixture(scope="module")
def model() -> Pipeline:
    return make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(X, Y)


def file_of(*nodes: Node, facts: Any = None, arrays: Any = (), versions: Any = None) -> bytes:
    """A file whose object is the last of `nodes`."""
    last = sum(node.count for node in nodes) - 1
    names = [f"a{n}" for n in range(len(arrays))]
    return artifact.to_bytes(
        Graph({"object": Ref(last)}, list(nodes), list(arrays), names, versions or {}), facts or {}
    )


def forms(report: Report) -> list[str]:
    return [str(report), report._repr_html_(), report.to_json()]


def lines_of(node: TreeNode) -> int:
    return 1 + sum(map(lines_of, node.children))


# What is told


def test_a_report_tells_what_dump_was_given(tmp_path: Path, model: Pipeline) -> None:
    file = tmp_path / "model.safetensors"
    keepfit.dump(model, file, metadata={"accuracy": 0.97}, sample=X[:3])
    report = keepfit.inspect(file)
    assert report.kind == "keepfit"
    assert report.format_version == "1"
    assert report.size_bytes == file.stat().st_size
    assert report.type == "sklearn.pipeline.Pipeline"
    assert report.versions == {name: report.running[name] for name in report.versions}
    assert report.versions["scikit-learn"]
    assert report.metadata == {"accuracy": 0.97}
    assert report.parameters["randomforestclassifier__n_estimators"] == 20
    assert report.features == list(X.columns)
    assert report.classes == [0, 1, 2]
    assert report.roots == ("object", "sample")
    assert report.types["sklearn.tree.DecisionTreeClassifier"] == 21
    assert report.loads_as_it_is


def test_the_digest_is_that_of_the_files_bytes(model: Pipeline) -> None:
    import hashlib

    data = keepfit.dumps(model)
    assert keepfit.inspect(data).digest == hashlib.sha256(data).hexdigest()


def test_every_form_of_a_file_gives_the_same_report(tmp_path: Path, model: Pipeline) -> None:
    data = keepfit.dumps(model)
    (tmp_path / "model").write_bytes(data)
    wanted = keepfit.inspect(data)
    for form in (tmp_path / "model", str(tmp_path / "model"), io.BytesIO(data), bytearray(data), memoryview(data)):
        assert keepfit.inspect(form) == wanted


def test_arrays_are_listed_largest_first_with_shape_and_dtype(model: Pipeline) -> None:
    arrays = {"small": np.zeros((2, 3), np.float32), "complex": np.zeros(4, complex), "dates": np.zeros(9, "M8[D]"),
              "wide": np.asfortranarray(np.zeros((5, 7)))}  # fmt: skip
    report = keepfit.inspect(keepfit.dumps(arrays))
    found = [(array.name, array.dtype, array.shape, array.size_bytes) for array in report.arrays]
    assert found == [
        ("wide", "float64", (5, 7), 280),
        ("dates", "<M8[D]", (9,), 72),
        ("complex", "<c16", (4,), 64),
        ("small", "float32", (2, 3), 24),
    ]
    assert report.array_count == 4
    assert report.array_bytes == report.stored_bytes == 440


def test_compressed_arrays_are_told_with_both_sizes() -> None:
    report = keepfit.inspect(keepfit.dumps({"ramp": np.arange(50_000), "short": np.arange(5)}, compress="zstd"))
    assert report.format_version == "2"
    assert [array.size_bytes for array in report.arrays] == [400_000, 40]
    assert report.arrays[0].stored_bytes < 100_000
    assert report.stored_bytes == report.arrays[0].stored_bytes + 40
    assert report.array_bytes == 400_040
    assert f"400.0 KB ({report.stored_bytes} bytes compressed)" in str(report)


def test_the_tree_names_the_steps_of_a_pipeline(model: Pipeline) -> None:
    (steps,) = keepfit.inspect(keepfit.dumps(model)).tree.children
    assert [step.label for step in steps.children] == ["standardscaler", "randomforestclassifier"]
    forest = {child.label: child for child in steps.children[1].children}
    assert forest["estimators_"].left_out == 16
    tree = forest["estimators_"].children[0].children
    assert [child.label for child in tree] == ["classes_", "n_classes_", "tree_"]


def test_a_plain_value_has_a_report_too() -> None:
    report = keepfit.inspect(keepfit.dumps(5))
    assert report.type == "int"
    assert report.tree == TreeNode("", "int", "5")


def test_a_report_goes_through_json(model: Pipeline) -> None:
    report = keepfit.inspect(keepfit.dumps(model, metadata={"by": "é"}))
    read = json.loads(report.to_json())
    assert read["metadata"] == {"by": "é"}
    assert read["arrays"][0]["name"] == report.arrays[0].name
    assert read["loads_as_it_is"] is True
    assert read.keys() == report.to_dict().keys()


def test_nothing_is_imported_or_built_for_a_report(tmp_path: Path, model: Pipeline) -> None:
    keepfit.dump([model, Mine(), BisectingKMeans(3).fit(X)], tmp_path / "model")
    code = (
        "import sys, keepfit; report = keepfit.inspect('model'); print(report)\n"
        "report._repr_html_(); report.to_json()\n"
        "assert not {'sklearn', 'scipy', 'pandas', 'joblib', 'test_inspection'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(keepfit.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "RandomForestClassifier" in done.stdout


@pytest.mark.parametrize(("data", "words"), [(b"", "an empty file"), (b"[1]", "JSON")])
def test_foreign_bytes_are_called_by_their_name(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        keepfit.inspect(data)


# What load would say


def test_untrusted_types_are_what_load_asks_for() -> None:
    data = keepfit.dumps({"models": [Mine()]})
    report = keepfit.inspect(data)
    assert list(report.untrusted_types) == [f"{__name__}.Mine"]
    assert not report.loads_as_it_is
    with pytest.raises(UntrustedError) as caught:
        keepfit.loads(data)
    assert caught.value.names == tuple(report.untrusted_types)
    assert caught.value.path == report.untrusted_types[f"{__name__}.Mine"]
    assert type(keepfit.loads(data, trusted=report.untrusted_types)["models"][0]) is Mine


def test_code_is_a_capability_and_not_a_matter_of_trust() -> None:
    report = keepfit.inspect(keepfit.dumps([lambda: 0], allow={"code"}))
    assert report.capabilities == ("code",)
    assert report.untrusted_types == {}
    assert "allow={'code'}" in str(report)


def test_a_model_that_reads_files_needs_paths() -> None:
    report = keepfit.inspect(keepfit.dumps(CountVectorizer(input="filename")))
    assert report.capabilities == ("paths",)


def test_changes_are_those_that_load_warns_of() -> None:
    data = keepfit.dumps([KNeighborsClassifier(n_jobs=10**6), Pipeline([("scale", StandardScaler())], memory="cache")])
    report = keepfit.inspect(data)
    assert len(report.changes) == 2
    assert report.loads_as_it_is
    with pytest.warns(KeepfitWarning) as caught:
        keepfit.loads(data)
    assert all(change in str(caught[0].message) for change in report.changes)


def test_members_of_a_group_are_looked_at_one_by_one() -> None:
    many = [KNeighborsClassifier(n_jobs=n) for n in range(1, 50)]
    many[30].n_jobs = 10**6
    assert len(keepfit.inspect(keepfit.dumps(many)).changes) == 1


def test_a_class_of_another_release_is_the_obstacle_that_load_raises() -> None:
    graph, facts = artifact.read(keepfit.dumps([SimpleImputer().fit(X)]))
    graph.versions["scikit-learn"] = "1.7.2" if sklearn.__version__.startswith("1.6.") else "1.6.1"
    graph.nodes[-2].state["_gone"] = 1
    data = artifact.to_bytes(graph, facts)
    (obstacle,) = keepfit.inspect(data).obstacles
    with pytest.raises(VersionError) as caught:
        keepfit.loads(data)
    assert (obstacle.error, obstacle.message, obstacle.place) == ("VersionError", caught.value.message, "[0]")


# Hostile files


def test_shared_nodes_are_walked_once_however_often_they_are_shared() -> None:
    nodes = [Node("list")]
    nodes += [Node("list", items=[Ref(n), Ref(n)]) for n in range(500)]  # 2 ** 500 lists, as a tree
    report = keepfit.inspect(file_of(*nodes))
    assert report.types == {"list": 501}
    assert report.tree.children[1].same_as == "[0]"
    assert all(len(form) < 20_000 for form in forms(report))


def test_an_object_that_contains_itself_has_a_report() -> None:
    report = keepfit.inspect(file_of(Node("list", items=[Ref(0)])))
    assert report.tree.children == (TreeNode("[0]", "list", "1 item", "the top"),)


def test_an_array_named_many_times_counts_once() -> None:
    nodes = [Node("numpy.ndarray", array=0), *(Node("list", items=[Ref(0)] * 1000) for _ in range(200))]
    nodes.append(Node("list", items=[Ref(n) for n in range(1, 201)]))
    report = keepfit.inspect(file_of(*nodes, arrays=[np.zeros(1000)]))
    assert report.array_bytes == 8000
    assert report.types["numpy.ndarray"] == 1
    assert all(len(form) < 20_000 for form in forms(report))


def test_the_tree_is_bounded_in_every_direction() -> None:
    nodes = [Node("dict", items=[1], keys=["k"])]
    for _ in range(40):  # deep and wide
        leaves = [Node("list", items=[n, Ref(0)]) for n in range(30)]
        first = len(nodes)
        nodes += leaves
        nodes.append(Node("dict", items=[Ref(first + n) for n in range(30)] + [Ref(first - 1)], keys=list(range(31))))
    report = keepfit.inspect(file_of(*nodes))
    assert lines_of(report.tree) <= 301
    assert report.tree.left_out == 31 - 12
    assert "… and 19 more" in str(report)


def test_giant_texts_are_cut() -> None:
    giant = "x" * 5_000_000
    facts = {"class": giant, "metadata": json.dumps({giant: giant}), "features": json.dumps([giant] * 3)}
    nodes = [Node(giant), Node("list", items=[Ref(0)] * 1000), Node("dict", items=[Ref(1)], keys=[giant])]
    report = keepfit.inspect(file_of(*nodes, facts=facts))
    assert len(str(report)) < 20_000
    assert len(report._repr_html_()) < 20_000
    assert len(report.to_json()) < 50_000_000  # what the file says stands in it once


@pytest.mark.parametrize(
    "fact",
    ["[" * 100_000, "{" * 100_000, '{"a":' * 900 + "1" + "}" * 900, '{"a":1' + "0" * 5000 + "}", "nonsense", "[]", "7"],
)
def test_facts_that_are_not_what_dump_writes_are_no_obstacle(fact: str) -> None:
    facts = dict.fromkeys(("metadata", "parameters", "features", "classes", "versions"), fact)
    report = keepfit.inspect(file_of(Node("list"), facts=facts))
    assert all(forms(report))


HOSTILE_TEXT = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>'\"&\x1b[31m\x1b]0;title\x07\r\x9b2J\u202e\u2028\x00"
)


def hostile_report() -> Report:
    """A report on a file that has hostile text wherever a file has text."""
    text = HOSTILE_TEXT
    facts = {"metadata": json.dumps({text: text, "nested": [text]}), "parameters": json.dumps({text: text})}
    facts |= {"features": json.dumps([text]), "classes": json.dumps([text])}
    nodes = [
        Node(text, state={text: Ref(1)}),
        Node("function", state={"name": text}),
        Node("numpy.scalar", state={"dtype": text, "value": text}),
        Node("numpy.ndarray", state={"dtype": text, "dims": text}, array=0),
        Node("numpy.ndarray", state={"dims": text}),
        Node("tuple", items=[text, Ref(2)]),
        Node("dict", items=[Ref(n) for n in range(6)], keys=[text, *range(5)]),
    ]
    graph = Graph({"object": Ref(6), text: 1}, nodes, [np.zeros((2, 2))], [text], {"scikit-learn": text, text: text})
    return keepfit.inspect(artifact.to_bytes(graph, facts))


def test_only_releases_of_libraries_that_keepfit_knows_are_looked_up() -> None:
    """To look one up is to search the installed packages: for each name that a file makes up, if it may."""
    data = file_of(Node("list"), versions={"": "1", "../x": "1", "pip": "1", "numpy": "2"})
    assert keepfit.inspect(data).running == {"numpy": np.__version__}


def test_no_text_of_a_file_becomes_markup() -> None:
    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()
            self.attributes: set[str] = set()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.add(tag)
            self.attributes.update(name for name, _ in attrs)

    page = hostile_report()._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert tags.seen <= {"div", "p", "table", "tr", "th", "td", "br", "details", "summary", "pre"}
    assert tags.attributes <= {"style"}
    assert html.escape("<script>alert(1)</script>") in page


def test_no_text_of_a_file_steers_a_terminal() -> None:
    for form in forms(hostile_report()):
        assert all(char.isprintable() or char == "\n" for char in form)
    assert r"\x1b[31m" in str(hostile_report())


def test_a_line_of_text_cannot_pass_for_a_line_of_the_report() -> None:
    facts = {"metadata": json.dumps({"a": "1\nload        keepfit.load(file) builds it"})}
    plain, hostile = (str(keepfit.inspect(file_of(Node("list"), facts=f))) for f in ({"metadata": '{"a":1}'}, facts))
    assert len(hostile.splitlines()) == len(plain.splitlines())


def test_json_gives_the_texts_of_a_file_exactly() -> None:
    read = json.loads(hostile_report().to_json())
    assert read["metadata"][HOSTILE_TEXT] == HOSTILE_TEXT


def test_every_single_flipped_byte_gives_a_report_or_a_format_error() -> None:
    data = bytearray(keepfit.dumps(StandardScaler().fit(X)))
    for place in range(0, len(data), 7):
        data[place] ^= 16
        with pytest.raises(FormatError):
            keepfit.inspect(data)
        data[place] ^= 16
