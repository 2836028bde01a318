"""What validation costs: its share of the time that `keepfit.load` takes on ten of the models of ``models.py``.

Run with ``make bench-validation``. Validation is whatever only refuses or bounds what a file says: the checks of
attributes, trees and parameters, the policy, nesting, expansion. Checksums, which find damage and no lies, are told
beside it. Each model is loaded from its file in turns as it is, without validation, and without checksums, by functions
in their place that do nothing; the differences of the medians are what they cost.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import models

import keepfit

MODELS = (
    "logistic pipeline", "forest, 100 deep", "forest, 500 shallow", "gradient boosting, 100", "hist boosting, 100",
    "kNN on 128 MB", "kNN, kd_tree", "SVC", "MLP", "tf-idf, 60,000 words",
)  # fmt: skip


def _no_validation() -> dict[str, Any]:
    def nothing(*_: Any, **__: Any) -> None: ...

    return {
        "keepfit.artifact.reading._check_bools": nothing,
        "keepfit.codecs.decoding.check_nesting": nothing,
        "keepfit.codecs.decoding.check_expansion": nothing,
        "keepfit.codecs.estimators._broken_constraint": lambda *_: "",
        "keepfit.codecs.checks.rules.Check.__call__": nothing,
        "keepfit.codecs.checks.rules.Check.group": nothing,
        "keepfit.codecs.checks.histogram._check_trees": nothing,
        "keepfit.codecs.policy.is_harmless": lambda attribute, value: True,
        "keepfit.codecs.neighbors._check_permutation": nothing,
        "keepfit.codecs.sparse._check_compressed": nothing,
        "keepfit.codecs.sparse._check_data": nothing,
        "keepfit.codecs.trees._check_trees": nothing,
    }


class _NoDigest:
    def update(self, _: Any) -> None: ...

    def hexdigest(self) -> _Equal:
        return _Equal()


class _Equal:
    """A checksum that every other is equal to."""

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def _no_checksums() -> dict[str, Any]:
    return {"keepfit.artifact.reading.xxhash": SimpleNamespace(xxh3_64=_NoDigest, xxh3_64_hexdigest=lambda _: _Equal())}


@contextmanager
def without(replacements: dict[str, Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for target, nothing in replacements.items():
            stack.enter_context(patch(target, nothing))
        yield


def timed_ms(call: Callable[[], Any]) -> float:
    call()  # the interpreter learns anew what it had put into its instructions, after functions have been replaced
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
    gc.collect()
    gc.freeze()  # else each collection would go through all that is imported, and leave a processor's caches empty
    print(f"{'model':24}{'load ms':>10}{'validation':>12}{'checksums':>12}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        for name in MODELS:
            if arguments.only not in name:
                continue
            keepfit.dump(models.MODELS[name]()[0], path)
            keepfit.load(path)
            many = 1 if timed_ms(lambda: keepfit.load(path)) > 10 else 10  # what takes less time varies more
            rounds: dict[str, list[float]] = {"load": [], "validation": [], "checksums": []}
            for _ in range(arguments.rounds * many):
                rounds["load"].append(timed_ms(lambda: keepfit.load(path)))
                for what, replacements in (("validation", _no_validation()), ("checksums", _no_checksums())):
                    with without(replacements):
                        rounds[what].append(timed_ms(lambda: keepfit.load(path)))
            load, *bare = (statistics.median(times) for times in rounds.values())
            shares = "".join(f"{max(0.0, 1 - time_ms / load):12.1%}" for time_ms in bare)
            print(f"{name:24}{load:10.2f}{shares}", flush=True)


if __name__ == "__main__":
    main()
