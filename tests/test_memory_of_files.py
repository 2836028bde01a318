"""How much memory `dump` and `load` take besides the object, as the system counts it in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

import keepfit

MODEL_MB = 160
BESIDES_MB = 64

_CHILD = """
import sys
from pathlib import Path
import numpy as np
import keepfit
from sklearn.neighbors import KNeighborsClassifier

def peak_mb():  # of this program; getrusage would count what forked it
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

what, path, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
import sklearn.ensemble
keepfit.loads(keepfit.dumps(KNeighborsClassifier(algorithm="brute").fit([[0.0], [1.0]], [0, 1])))  # imports
if what == "dump a forest":
    from copy import deepcopy
    from sklearn.ensemble import RandomForestClassifier
    X = np.random.RandomState(0).rand(20_000, 2)
    model = RandomForestClassifier(1, random_state=0).fit(X, np.arange(20_000) % 2)
    tree = model.estimators_[0]
    model.estimators_ = [deepcopy(tree) for _ in range(rows * 64 * 8 // (tree.tree_.node_count * 80))]
elif what.startswith("dump"):
    model = KNeighborsClassifier(algorithm="brute").fit(np.ones((rows, 64)), np.zeros(rows, int))
before = peak_mb()
if what in ("dump to a path", "dump a forest"):
    keepfit.dump(model, path)
elif what == "dump to a file":
    with open(path, "wb") as file:
        keepfit.dump(model, file)
elif what == "load from a path":
    keepfit.load(path)
elif what == "load from a file":
    with open(path, "rb") as file:
        keepfit.load(file)
else:
    keepfit.load(path, mmap=True)
print(peak_mb() - before)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "model"
    rows = MODEL_MB * 2**20 // 512
    keepfit.dump(KNeighborsClassifier(algorithm="brute").fit(np.ones((rows, 64)), np.zeros(rows, int)), path)
    return path


@pytest.mark.parametrize(
    ("what", "most_mb"),
    [
        ("dump to a path", BESIDES_MB),
        ("dump to a file", BESIDES_MB),
        ("dump a forest", BESIDES_MB),
        ("load from a path", MODEL_MB + BESIDES_MB),
        ("load from a file", MODEL_MB + BESIDES_MB),
        ("load with mmap", BESIDES_MB),
    ],
)
def test_no_more_than_64_mb_besides_the_model(file: Path, tmp_path: Path, what: str, most_mb: int) -> None:
    taken_mb = _taken_mb(what, tmp_path / "model" if what.startswith("dump") else file)
    assert taken_mb < most_mb
    assert what.startswith("dump") or what == "load with mmap" or taken_mb > MODEL_MB


def test_a_forest_is_not_in_memory_twice_while_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "forest"
    _taken_mb("dump a forest", path)
    assert MODEL_MB * 0.9 < _taken_mb("load from a path", path) < MODEL_MB + BESIDES_MB


def _taken_mb(what: str, path: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, what, str(path), str(MODEL_MB * 2**20 // 512)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return float(done.stdout)
