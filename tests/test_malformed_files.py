"""Whatever is done to the bytes of a model's file, loading it gives a value or a `KeepfitError`.

Tried in a child process, under limits of memory and time, so that a crash or a hang shows.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import keepfit

MEMORY_BYTES = 2 * 1024**3
TIME_S = 240

#: What files hold: values alone, arrays, groups of like nodes, native structures, text.
MODELS = ("values", "pipeline", "forest", "boosting", "neighbors", "svc", "mlp", "text")

#: These hold arrays and values as the first do; what refuses damaged bytes does not know of models.
LONG = ("boosting", "svc", "mlp")

#: Run in the child: every truncation and every single flipped bit of a file.
CHILD = """
import sys, warnings
import keepfit
warnings.simplefilter("ignore")
data = open(sys.argv[1], "rb").read()
keepfit.loads(data)
loaded = refused = 0
def attempt(damaged):
    global loaded, refused
    try:
        keepfit.loads(damaged)
        loaded += 1
    except keepfit.KeepfitError:
        refused += 1
for length in range(len(data)):
    attempt(data[:length])
damaged = bytearray(data)
for place in range(len(data)):
    for bit in range(8):
        damaged[place] ^= 1 << bit
        attempt(bytes(damaged))
        damaged[place] ^= 1 << bit
print(loaded, refused)
"""


@cache
def small_models() -> dict[str, object]:
    X, y = np.random.RandomState(0).normal(size=(12, 2)), np.arange(12) % 2
    return {
        "values": {"a": [1, 2.5, None, "é", 2**70], (1, True): {3, "x"}},
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
        "forest": RandomForestClassifier(8, max_depth=1, random_state=0).fit(X, y),
        "boosting": HistGradientBoostingClassifier(max_iter=1, max_leaf_nodes=2).fit(X, y),
        "neighbors": KNeighborsClassifier(algorithm="kd_tree").fit(X, y),
        "svc": SVC().fit(X, y),
        "mlp": MLPClassifier((2,), max_iter=1).fit(X, y),
        "text": CountVectorizer().fit(["a bee", "sea dee"]),
    }


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in MODELS]
)
def test_every_truncation_and_every_flipped_bit_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    keepfit.dump(small_models()[name], file)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, file], preexec_fn=limited, timeout=TIME_S, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr
    loaded, refused = map(int, child.stdout.split())
    assert loaded == 0
    assert refused == 9 * file.stat().st_size
