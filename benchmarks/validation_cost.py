"""What validation costs: its share of the time that `keepfit.loads` takes on ten of the models of ``models.py``.

Run with ``make bench-validation``. Validation is whatever only refuses, bounds or compares: the checks of attributes,
trees and parameters, the policy, nesting, expansion, and the checksums. Each model is loaded in turns as it is and with
all of these replaced by functions that do nothing; the difference of the medians is their cost.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import models

import keepfit
from keepfit.artifact import reading
from keepfit.codecs import checks

MODELS = (
    "logistic pipeline", "forest, 100 deep", "forest, 500 shallow", "gradient boosting, 100", "hist boosting, 100",
    "kNN on 128 MB", "kNN, kd_tree", "SVC", "MLP", "tf-idf, 60,000 words",
)  # fmt: skip


class _Nothing:
    """A check that finds nothing."""

    def __call__(self, *_: Any) -> None: ...

    def group(self, *_: Any) -> None: ...


def _replacements() -> dict[str, Any]:
    def nothing(*_: Any, **__: Any) -> None: ...

    parts = reading._parts
    return {
        "keepfit.artifact.reading._parts": lambda *given, verify: parts(*given, verify=False),
        "keepfit.artifact.reading._check_bools": nothing,
        "keepfit.codecs.decoding.check_nesting": nothing,
        "keepfit.codecs.decoding.check_expansion": nothing,
        "keepfit.codecs.estimators._broken_constraint": lambda *_: "",
        "keepfit.codecs.estimators._checks": lambda: dict.fromkeys(checks.CHECKS, _Nothing()),
        "keepfit.codecs.policy.apply": lambda name, state, context: state,
        "keepfit.codecs.neighbors._check_permutation": nothing,
        "keepfit.codecs.sparse._check_compressed": nothing,
        "keepfit.codecs.sparse._check_data": nothing,
        "keepfit.codecs.trees._LARGE": sys.maxsize,
        "keepfit.codecs.trees._check_trees": nothing,
    }


@contextmanager
def without_validation() -> Iterator[None]:
    with ExitStack() as stack:
        for target, nothing in _replacements().items():
            stack.enter_context(patch(target, nothing))
        yield


def timed_ms(call: Callable[[], Any]) -> float:
    gc.collect()
    start = time.process_time()
    call()
    return (time.process_time() - start) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="a part of a model's name")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'model':24}{'load ms':>10}{'without ms':>12}{'validation':>12}")
    for name in MODELS:
        if arguments.only not in name:
            continue
        data = keepfit.dumps(models.MODELS[name]()[0])
        keepfit.loads(data)
        whole, bare = [], []
        for _ in range(arguments.rounds):
            whole.append(timed_ms(lambda data=data: keepfit.loads(data)))
            with without_validation():
                bare.append(timed_ms(lambda data=data: keepfit.loads(data)))
        load, without = statistics.median(whole), statistics.median(bare)
        print(f"{name:24}{load:10.2f}{without:12.2f}{max(0.0, 1 - without / load):12.1%}", flush=True)


if __name__ == "__main__":
    main()
