"""A slice of the fuzzer: states changed at random are refused, or do no harm. `fuzz_states.py` does more of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import fuzz_states
import mutations
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import Normalizer
from spoiling import X, fitted

import keepfit
from keepfit import codecs

#: Estimators whose state reaches compiled code, or loops.
_ESTIMATORS = (
    "Birch BisectingKMeans CountVectorizer DecisionTreeClassifier DictVectorizer GradientBoostingClassifier HDBSCAN "
    "HistGradientBoostingClassifier HistGradientBoostingRegressor IsolationForest KMeans KNeighborsClassifier "
    "KernelDensity LatentDirichletAllocation LocalOutlierFactor MiniBatchKMeans MultiLabelBinarizer NMF NuSVC "
    "OneClassSVM OneHotEncoder Pipeline PolynomialFeatures RadiusNeighborsClassifier RandomForestClassifier "
    "SGDClassifier SVC SVR SplineTransformer"
)


def test_changed_states_are_refused_or_do_no_harm() -> None:
    """In a process of its own, with one thread: forked children of a process with several may wait for ever."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(keepfit.__file__).parent.parent),
    }
    command = [sys.executable, fuzz_states.__file__, "--cases", "12", "--estimators", ",".join(_ESTIMATORS.split())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 findings" in done.stdout


def test_the_same_seed_makes_the_same_changes() -> None:
    graph = codecs.encode(fitted(KMeans(2, random_state=0), X))
    notes = [mutations.mutate(graph, random.Random(seed), [graph])[1] for seed in (1, 1, 2)]
    assert notes[0] == notes[1] != notes[2]


def test_changes_leave_the_original_as_it_was() -> None:
    graph = codecs.encode(fitted(KMeans(2, random_state=0), X))
    before = [array.copy() for array in graph.arrays], keepfit.graph.to_json(graph)
    for seed in range(300):
        mutations.mutate(graph, random.Random(seed), [graph])
    assert keepfit.graph.to_json(graph) == before[1]
    assert all(np.array_equal(a, b) for a, b in zip(graph.arrays, before[0], strict=True))


class Harmful:
    """Data that does harm to the process that looks at it."""

    def __init__(self, harm: str) -> None:
        self.harm = harm

    def __array__(self, *_: object, **__: object) -> object:
        if self.harm == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        while True:
            pass


@pytest.mark.parametrize(("harm", "told"), [("dies", "SIGKILL"), ("hangs", "hang")])
def test_the_fuzzer_finds_what_dies_or_hangs(harm: str, told: str) -> None:
    subject = fuzz_states.Subject("Normalizer-0", codecs.encode(Normalizer()), Harmful(harm), None)
    found = fuzz_states.fuzz([subject], 3, seed=3, case_s=0.3).findings
    assert found
    assert told in found[0].what
