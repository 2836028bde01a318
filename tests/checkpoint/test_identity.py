"""What the content of an object covers: things that differ never share a digest, things that are the same always do."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import enum
import functools
import io
import itertools
import math
import operator
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, check_scoring, f1_score, get_scorer, make_scorer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from user_code import Doubling, Nearest, half_right

from keepfit.checkpoint.contents import Contents
from keepfit.checkpoint.walk import NoIdentityError

X = np.arange(12.0).reshape(4, 3)


def digest(obj: object) -> bytes:
    return Contents().digest(obj)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Number(enum.IntEnum):
    ONE = 1


Point = collections.namedtuple("Point", "x y")
Other = collections.namedtuple("Other", "x y")


class Text(str):
    __slots__ = ()


def nan(payload: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000 | payload))[0]


def asking_for_weights() -> LogisticRegression:
    with config_context(enable_metadata_routing=True):
        return LogisticRegression().set_fit_request(sample_weight=True)


def looped(text: str) -> list:
    loop: list = [text]
    loop.append(loop)
    return loop


DISTINCT = {
    "scalars": [
        *(None, True, False, 1, 0, -1, 1.0, 0.0, -0.0, 1j, math.inf, nan(0), nan(1), 2**70, -(2**70), "1", b"1", ""),
        *(bytearray(b"1"), Text("1"), Number.ONE, Colour.RED, Colour.BLUE, decimal.Decimal(1), decimal.Decimal("1.0")),
        *(np.float64(1), np.float32(1), np.int64(1), np.int32(1), np.bool_(True), np.str_("1"), np.bytes_(b"1")),
        *(np.datetime64(1, "s"), np.datetime64(1, "ms"), np.timedelta64(1, "s"), np.complex128(1), Ellipsis),
        *(
            "\ud800",
            "\u00e9",
            "e\u0301",
            datetime.date(2020, 1, 1),
            datetime.datetime(2020, 1, 1),
            Path("a"),
            NotImplemented,
        ),
    ],
    "containers": [
        *([], (), {}, set(), frozenset(), [1], (1,), [1.0], [True], [[1]], [(1,)], [1, 2], [2, 1], ["12"], ["1", "2"]),
        *({1: 2}, {2: 1}, {1: 2, 3: 4}, {3: 4, 1: 2}, {"1": 2}, {True: 2}, {1, 2}, frozenset({1, 2}), {1, 3}),
        *(range(3), range(0, 3, 2), slice(0, 3), slice(3), list(range(3)), [None] * 3, [None] * 4, ["a"] * 20),
        *(["a"] * 21, [*(["a"] * 19), b"a"], [*range(20)], [float(n) for n in range(20)], tuple(range(20))),
        *(collections.OrderedDict(a=1), {"a": 1}, collections.Counter("a"), collections.defaultdict(int, a=1)),
        *(collections.defaultdict(float, a=1), Point(1, 2), Other(1, 2), (1, 2), collections.deque([1, 2])),
        *(collections.deque([1, 2], maxlen=2), collections.deque([1, 2], maxlen=3), looped("a"), looped("b")),
    ],
    "arrays": [
        *(X, X + 1, X.T, np.asfortranarray(X), X.ravel(), X.astype("f4"), X.astype(int), X.astype(">f8"), X[:, :2]),
        *(np.ascontiguousarray(X[:, :2]), np.arange(24.0).reshape(4, 6)[:, ::2], -X, X.reshape(3, 4), X[None]),
        *(np.zeros(0), np.zeros((0, 2)), np.zeros((2, 0)), np.array(1.0), np.array([1.0]), np.array([0.0, -0.0])),
        *(np.array(["a", "b"]), np.array(["a", "b"], "U2"), np.array([b"a", b"b"]), np.array(["a", "b"], object)),
        *(np.array([1, "b"], object), np.array([1.0, "b"], object), np.array([[1], [2]], object), [1, "b"]),
        *(
            np.array([nan(0)]),
            np.array([nan(1)]),
            np.array([1], "M8[s]"),
            np.array([1], "M8[ms]"),
            np.array([1], "m8[s]"),
        ),
        *(
            np.array([(1, 2)], [("a", int), ("b", int)]),
            np.array([(1, 2)], [("b", int), ("a", int)]),
            X.view(np.matrix),
        ),
        *(np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0]), np.ma.array([1, 2]), np.array([1, 2])),
        *(np.ma.array([1, 2], mask=[0, 1], fill_value=7), np.dtype("f8"), np.dtype("f4"), np.dtype("i8")),
        *(np.dtype([("a", "f8")]), np.dtype([("b", "f8")]), np.float64, np.float32),
    ],
    "sparse": [
        *(make(np.eye(3)) for make in (sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.coo_matrix, sp.lil_matrix)),
        *(make(np.eye(3)) for make in (sp.dok_matrix, sp.dia_matrix, sp.bsr_matrix, sp.lil_array, sp.coo_array)),
        *(sp.csr_matrix(np.eye(3) * 2), sp.csr_matrix(np.eye(3, 4)), sp.csr_matrix(np.eye(3, dtype="f4")), np.eye(3)),
        *(sp.csr_matrix(([1.0, 0.0], ([0, 1], [0, 1])), (3, 3)), sp.csr_matrix(([1.0], ([0], [0])), (3, 3))),
    ],
    "frames": [
        *(
            pd.DataFrame(X),
            pd.DataFrame(X, columns=list("abc")),
            pd.DataFrame(X, index=[1, 2, 3, 4]),
            pd.DataFrame(X.T),
        ),
        *(pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": [1, 2]}, dtype="Int64")),
        *(
            pd.DataFrame({"a": [1, None]}, dtype="Int64"),
            pd.DataFrame({"a": [1, None]}),
            pd.DataFrame({"a": ["1", "2"]}),
        ),
        *(pd.DataFrame({"a": [1, "x"]}), pd.DataFrame({"a": [1.0, "x"]}), pd.DataFrame({"a": ["1", None]})),
        *(pd.DataFrame({"a": pd.Categorical(["x", "y"])}), pd.DataFrame({"a": pd.Categorical(["x", "y"], ["y", "x"])})),
        *(pd.DataFrame({"a": pd.Categorical(["x", "y"], ordered=True)}), pd.DataFrame({"a": [True, False]})),
        *(pd.DataFrame({"a": pd.to_datetime(["2020", "2021"])}), pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})),
        pd.DataFrame({"a": pd.to_datetime(["2020", "2021"]).tz_localize("UTC")}),
        pd.DataFrame({"a": [1, 2], "b": ["x", "z"]}),
        pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
        *(pd.Series([1, 2]), pd.Series([1, 2], name="a"), pd.Series([1, 2], index=[1, 0]), pd.Index([1, 2])),
        *(pd.Series(["a", "b"]), pd.Series(["a", "b"], dtype=object), pd.RangeIndex(2), pd.Index(["a"]), pd.NA, pd.NaT),
        *(pd.MultiIndex.from_tuples([(1, 2)]), pd.MultiIndex.from_tuples([(2, 1)]), pd.period_range("2020", periods=2)),
        *(pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [1.0, 2.0]}), pl.DataFrame({"b": [1, 2]}), pl.Series([1, 2])),
        *(pl.DataFrame({"a": [1, None]}), pl.DataFrame({"a": ["1", "2"]}), pl.Series("a", [1, 2]), pl.DataFrame()),
        pl.DataFrame({"a": [1, 2]}, schema={"a": pl.Int32}),
        pl.DataFrame({"a": ["x", "y"]}, schema={"a": pl.Categorical}),
    ],
    "estimators": [
        *(SVC(), SVC(C=2.0), SVC(C=2), SVC(C=True), SVC(kernel="linear"), LogisticRegression(), SVC, "SVC()"),
        *(RandomForestClassifier(random_state=seed) for seed in (None, 0, np.random.RandomState(0))),
        RandomForestClassifier(random_state=np.random.RandomState(1)),
        *(make_pipeline(StandardScaler(), SVC()), make_pipeline(StandardScaler(), SVC(C=2.0)), make_pipeline(SVC())),
        make_pipeline(StandardScaler(with_mean=False), SVC()),
        make_pipeline(StandardScaler().set_output(transform="pandas"), SVC()),
        *(ColumnTransformer([("a", Doubling(), columns)]) for columns in ([0], [1], "a", slice(0, 1))),
        *(FunctionTransformer(f) for f in (np.log, np.exp, np.log1p, None, abs, math.sqrt, half_right)),
        *(FunctionTransformer(lambda x, k=k: x + k) for k in (1, 2)),
        *(FrozenEstimator(SVC().fit(X, y)) for y in ([0, 0, 1, 1], [0, 1, 1, 1])),
        *(Nearest(), Nearest(0.5), Doubling(), asking_for_weights()),
        *(KFold(3), KFold(3, shuffle=True), KFold(3, shuffle=True, random_state=1), KFold(4)),
        SVC(class_weight={0: 1, 1: 2}),
        SVC(class_weight={0: 1, 1: 3}),
    ],
    "scorers": [
        *map(get_scorer, ("accuracy", "f1", "f1_macro", "roc_auc", "neg_log_loss")),
        *(make_scorer(f1_score, pos_label=0), make_scorer(accuracy_score, greater_is_better=False), half_right),
        *(functools.partial(half_right, y=1), functools.partial(half_right, y=2), operator.itemgetter(1)),
        *(check_scoring(SVC(), {"a": "accuracy"}), check_scoring(SVC(), {"b": "accuracy"}), check_scoring(SVC())),
        check_scoring(SVC(), {"a": "accuracy", "f": "f1"}),
        check_scoring(SVC(), {"f": "f1", "a": "accuracy"}),
        *(re.compile("a"), re.compile("b"), re.compile("a", re.IGNORECASE), operator.itemgetter(2)),
    ],
}


@pytest.mark.parametrize("kind", DISTINCT)
def test_things_that_differ_have_different_digests(kind) -> None:
    cases = DISTINCT[kind]
    digests = [digest(case) for case in cases]
    for (one, first), (other, second) in itertools.combinations(zip(cases, digests, strict=True), 2):
        assert first != second, f"{one!r} and {other!r}"


@pytest.mark.parametrize("kind", DISTINCT)
def test_copies_have_the_digest_of_the_original(kind) -> None:
    for case in DISTINCT[kind]:
        assert digest(case) == digest(case)
        if kind not in ("scorers", "containers") and not isinstance(case, np.ma.MaskedArray):
            twin = copy.deepcopy(case)
            strided = isinstance(case, np.ndarray) and not (case.flags.c_contiguous or case.flags.f_contiguous)
            assert digest(twin) == digest(case) or strided, repr(case)


def test_digests_are_the_same_in_another_process() -> None:
    script = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from test_identity import DISTINCT, digest\n"
        "for kind in DISTINCT:\n"
        "    for number, case in enumerate(DISTINCT[kind]): print(kind, number, digest(case).hex())"
    )
    outputs = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-W", "ignore", "-c", script, str(Path(__file__).parent)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        outputs.append(done.stdout.splitlines())
    assert len(outputs[0]) == sum(map(len, DISTINCT.values()))
    assert [one for one, other in zip(*outputs, strict=True) if one != other] == []


def test_an_array_in_memory_and_one_in_a_file_are_the_same(tmp_path) -> None:
    np.save(tmp_path / "X.npy", X)
    assert digest(np.load(tmp_path / "X.npy", mmap_mode="r")) == digest(X)


def test_a_large_strided_array_is_its_numbers() -> None:
    big = np.arange(6_000_000.0).reshape(3000, 2000)
    assert digest(big[:, ::2]) == digest(np.arange(6_000_000.0).reshape(3000, 2000)[:, ::2])
    changed = big.copy()
    changed[2999, 1998] += 1
    assert digest(changed[:, ::2]) != digest(big[:, ::2])


def test_chunks_of_a_polars_frame_do_not_matter() -> None:
    whole = pl.DataFrame({"a": [1, 2, 3]})
    assert digest(pl.concat([whole[:1], whole[1:]], rechunk=False)) == digest(whole)


def test_what_cannot_change_a_result_is_left_out() -> None:
    assert digest(SVC(verbose=True)) == digest(SVC())
    assert digest(make_pipeline(SVC(), verbose=True)) == digest(make_pipeline(SVC()))
    fitted = SVC().fit(X, [0, 0, 1, 1])
    assert digest(check_scoring(fitted)) == digest(check_scoring(SVC()))
    assert digest(clone(fitted)) == digest(SVC())


NOT_STABLE = {
    "a generator": (n for n in range(3)),
    "an iterator": iter([1]),
    "an open file": io.TextIOWrapper(io.BytesIO()),
    "a lock": threading.Lock(),
    "a module's lock in a lambda": lambda: LOCK,
    "a thread": threading.current_thread(),
    "a ufunc made here": np.frompyfunc(lambda x: x, 1, 1),
    "text in files": CountVectorizer(input="filename"),
    "a weak reference": __import__("weakref").ref(X),
}
LOCK = threading.Lock()


@pytest.mark.parametrize("name", NOT_STABLE)
def test_what_another_process_would_not_find_again_has_no_identity(name) -> None:
    for holder in (NOT_STABLE[name], [NOT_STABLE[name]], FunctionTransformer(kw_args={"a": NOT_STABLE[name]})):
        with pytest.raises(NoIdentityError):
            digest(holder)


def test_an_open_file_on_disk_has_no_identity(tmp_path) -> None:
    with open(tmp_path / "file", "w") as file, pytest.raises(NoIdentityError, match="only once"):
        digest({"file": file})


# Code


def function_of(source: str, name: str = "f", **surroundings: object):
    """A function from source, as in a notebook."""
    namespace = {"__name__": "__main__", **surroundings}
    exec(compile(source, "<cell>", "exec"), namespace)
    return namespace[name]


PLAIN = "def f(x):\n    return x + 1"
SAME = [
    "def f(x):\n    # a comment\n    return x + 1",
    "\n\n\ndef f(x):\n    return (x\n            + 1)",
    "def unrelated(): pass\ndef f(x):\n    return x + 1",
]
CHANGED = [
    "def f(x):\n    return x + 2",
    "def f(x):\n    return x + 1.0",
    "def f(x):\n    return x - 1",
    "def f(x, y=1):\n    return x + 1",
    "def f(x, *, y=1):\n    return x + 1",
    "def f(x):\n    return [x + 1][0]",
    "def g(): return 1\ndef f(x):\n    return x + g()",
    "def g(): return 2\ndef f(x):\n    return x + g()",
    "def h(): return 1\ndef g(): return h()\ndef f(x):\n    return x + g()",
    "def h(): return 2\ndef g(): return h()\ndef f(x):\n    return x + g()",
    "K = 1\ndef f(x):\n    return x + K",
    "K = 2\ndef f(x):\n    return x + K",
    "K = [1]\ndef f(x):\n    return x + K[0]",
    "K = [2]\ndef f(x):\n    return x + K[0]",
    "def f(x, k=1):\n    return x + k",
    "def f(x, k=2):\n    return x + k",
    "def make(k):\n    return lambda x: x + k\nf = make(1)",
    "def make(k):\n    return lambda x: x + k\nf = make(2)",
    "class A:\n    def g(self): return 1\ndef f(x):\n    return x + A().g()",
    "class A:\n    def g(self): return 2\ndef f(x):\n    return x + A().g()",
    "class B:\n    def g(self): return 1\nclass A(B): pass\ndef f(x):\n    return x + A().g()",
    "class B:\n    def g(self): return 2\nclass A(B): pass\ndef f(x):\n    return x + A().g()",
    "class A:\n    k = 1\n    @property\n    def g(self): return 1\ndef f(x):\n    return x + A().g",
    "class A:\n    k = 1\n    @property\n    def g(self): return 2\ndef f(x):\n    return x + A().g",
    "class A:\n    @staticmethod\n    def g(): return 1\ndef f(x):\n    return x + A.g()",
    "class A:\n    @classmethod\n    def g(cls): return 1\ndef f(x):\n    return x + A.g()",
    "def f(x):\n    def g(): return 1\n    return x + g()",
    "def f(x):\n    def g(): return 2\n    return x + g()",
    "import math\ndef f(x):\n    return math.sin(x)",
    "import math\ndef f(x):\n    return math.cos(x)",
    "from math import sin as g\ndef f(x):\n    return g(x)",
    "from math import cos as g\ndef f(x):\n    return g(x)",
    "import functools\n@functools.lru_cache\ndef f(x):\n    return x + 1",
    "import functools\n@functools.lru_cache\ndef f(x):\n    return x + 2",
    "def f(n):\n    return f(n - 1) if n else 0",
    "def g(n): return f(n)\ndef f(n):\n    return g(n - 1) if n else 0",
    "def g(n): return f(n) + 1\ndef f(n):\n    return g(n - 1) if n else 0",
    "from dataclasses import dataclass\n@dataclass\nclass A:\n    k: int = 1\ndef f(x):\n    return A().k",
    "from dataclasses import dataclass\n@dataclass\nclass A:\n    k: int = 2\ndef f(x):\n    return A().k",
    "import enum\nclass A(enum.Enum):\n    K = 1\ndef f(x):\n    return A.K.value",
    "import enum\nclass A(enum.Enum):\n    K = 2\ndef f(x):\n    return A.K.value",
    "f = lambda x: x in {'a', 'b', 'c'}",
    "f = lambda x: x in {'a', 'b', 'd'}",
    "def f(x):\n    try:\n        return x\n    except ValueError:\n        return 1",
    "def f(x):\n    try:\n        return x\n    except TypeError:\n        return 1",
]


def test_a_function_is_its_code_and_not_its_place() -> None:
    assert {digest(function_of(source)) for source in SAME} == {digest(function_of(PLAIN))}


def test_a_change_anywhere_in_what_a_function_uses_is_seen() -> None:
    digests = [digest(function_of(source)) for source in [PLAIN, *CHANGED]]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    "source",
    [
        "seen = []\ndef f(x):\n    seen.append(x)\n    return x",
        "count = 0\ndef f(x):\n    global count\n    count += 1\n    return x",
        "counts = {}\ndef f(x):\n    counts[x] = 1\n    return x",
        "counts = {'n': 0}\ndef f(x):\n    counts['n'] += 1\n    return x",
        "def make():\n    n = 0\n    def f(x):\n        nonlocal n\n        n += 1\n        return x\n    return f\nf = make()",
        "def make():\n    seen = set()\n    def f(x):\n        seen.add(x)\n        return x\n    return f\nf = make()",
        "seen = []\ndef g(x): seen.append(x)\ndef f(x):\n    g(x)\n    return x",
    ],
)
def test_a_function_that_writes_to_what_is_outside_has_no_identity(source) -> None:
    with pytest.raises(NoIdentityError, match=r"writes to (seen|count|counts|n), which is outside"):
        digest(function_of(source))


@pytest.mark.parametrize(
    "source",
    [
        "costs = {'a': 1}\ndef f(x):\n    mine = []\n    mine.append(costs['a'])\n    return mine",
        "def f(x):\n    total = 0\n    def add(n):\n        nonlocal total\n        total += n\n    add(x)\n    return total",
        "import logging\nlog = logging.getLogger('x')\ndef f(x):\n    log.info('x')\n    return x",
        "import numpy as np\ndef f(x):\n    return np.append(x, 1)",
    ],
)
def test_a_function_that_only_reads_what_is_outside_has_one(source) -> None:
    assert digest(function_of(source)) == digest(function_of(source))


def test_a_module_of_the_users_own_is_what_is_used_of_it(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = "import own_module\ndef f(x):\n    return own_module.g(x)"
    digests = []
    for text in ("def g(x): return x", "def g(x): return x + 1", "def h(x): return 9\ndef g(x): return x + 1"):
        (tmp_path / "own_module.py").write_text(text)
        sys.modules.pop("own_module", None)
        digests.append(digest(function_of(source)))
    sys.modules.pop("own_module", None)
    assert digests[0] != digests[1] == digests[2]


def test_an_import_inside_a_function_is_followed_once_it_is_loaded(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "late_module.py").write_text("def g(x): return x")
    f = function_of("def f(x):\n    from late_module import g\n    return g(x)")
    with pytest.raises(NoIdentityError, match="import it at the top"):
        digest(f)
    f(1)
    assert digest(f)
    sys.modules.pop("late_module")
    assert digest(function_of("def f(x):\n    import json\n    return json.dumps(x)"))


def test_code_of_installed_packages_is_known_by_name_and_release(monkeypatch) -> None:
    before = digest([SVC(), accuracy_score])
    monkeypatch.setattr("sklearn.__version__", "99.0")
    from keepfit.checkpoint import origins

    origins.release_of_file.cache_clear()
    origins._release.cache_clear()
    try:
        assert digest([SVC(), accuracy_score]) != before
    finally:
        monkeypatch.undo()
        origins.release_of_file.cache_clear()
        origins._release.cache_clear()
    assert digest([SVC(), accuracy_score]) == before


def test_deep_nesting_is_no_crash() -> None:
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(NoIdentityError, match="nested too deeply"):
        digest(nested)
    while nested:  # taken apart by hand: so is a deep list freed
        nested = nested.pop()
