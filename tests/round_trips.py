"""Round trips through files and a fresh process: one process writes models and what they give, another compares.

Run as a script it is the other process::

    python tests/round_trips.py FOLDER

It prints JSON: for each file below the folder what was wrong with it, or nothing.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keepfit
from keepfit.errors import KeepfitError

__all__ = ["check_folder", "in_fresh_process", "load_all", "only_deprecations_pass", "run", "write"]

HASH_SEED = "271828"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def write(folder: Path, cases: list[tuple[str, Any, Any]]) -> dict[str, str]:
    """Write each case's model by keepfit, and its X and outputs by pickle. What was wrong with writing, by label."""
    import battery

    folder.mkdir(parents=True)
    problems = {}
    for number, (label, model, X) in enumerate(cases):
        estimator = model["model"] if isinstance(model, dict) else model
        outputs = {} if X is None else battery.outputs(estimator, X)
        pickled = pickle.dumps(model)
        expected = {"label": label, "model": pickled, "X": X, "outputs": outputs}
        try:
            with warnings.catch_warnings():
                only_deprecations_pass()
                keepfit.dump(model, folder / f"{number}.safetensors")
                expected["bytes of a copy"] = keepfit.dumps(pickle.loads(pickled))
        except (KeepfitError, Warning) as error:
            problems[label] = f"dump: {type(error).__name__}: {error}"
            continue
        (folder / f"{number}.pickle").write_bytes(pickle.dumps(expected))
    return problems


def load_all(folder: Path) -> dict[Path, Any]:
    """The model of each file below a folder, or what was wrong with loading it."""
    models = {}
    for file in sorted(folder.rglob("*.safetensors")):
        with warnings.catch_warnings():
            only_deprecations_pass()
            try:
                models[file] = keepfit.load(file)
            except (KeepfitError, Warning) as error:
                models[file] = f"load: {type(error).__name__}: {error}"
    return models


def only_deprecations_pass() -> None:
    """Warnings are errors, but for those that scikit-learn gives when a class it will drop is made."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Class .* is deprecated", FutureWarning)


def check(file: Path, model: Any) -> tuple[str, str]:
    """The label of a case and what is wrong with its loaded model; nothing if it is all that was written."""
    expected = pickle.loads(file.with_suffix(".pickle").read_bytes())
    return expected["label"], model if isinstance(model, str) else _differences(file, model, expected)


def _differences(file: Path, model: Any, expected: dict[str, Any]) -> str:
    again = keepfit.dumps(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = pickle.loads(expected["model"])
        copy_again = keepfit.dumps(original)
        found = _other_behaviour(model, original, expected)
    if found:
        return found
    if again != file.read_bytes():
        return "the bytes of the loaded model are others"
    return "the bytes depend on the process" if copy_again != expected["bytes of a copy"] else ""


def _other_behaviour(model: Any, original: Any, expected: dict[str, Any]) -> str:
    from sklearn.base import clone

    import battery
    from equality import difference

    estimator, wanted = (m["model"] if isinstance(m, dict) else m for m in (model, original))
    found = difference(wanted.get_params(deep=True), estimator.get_params(deep=True))
    if found:
        return f"get_params: {found}"
    found = difference(original, model)
    if found:
        return f"state: {found}"
    clone(estimator)
    if expected["X"] is None:
        return ""
    found = difference(expected["outputs"], battery.outputs(estimator, expected["X"]))
    return f"outputs: {found}" if found else ""


def check_folder(folder: Path) -> dict[str, dict[str, str]]:
    """What is wrong with the files below a folder: for each folder, by label."""
    models = load_all(folder)  # first, in a process that has imported nothing but keepfit
    found: dict[str, dict[str, str]] = {}
    for file, model in models.items():
        label, problem = check(file, model)
        found.setdefault(file.parent.name, {})[label] = problem
    return found


def run(
    categories: list[str], folder: Path, look: Callable[[str, Any], object] = lambda category, model: None
) -> dict[str, dict[str, str]]:
    """Round trips of the cases of some categories: what is wrong with each, by category and label.

    `look` is called with the category and model of each case, as the models are nowhere else.
    """
    import estimator_cases

    problems = {}
    for name in categories:
        cases = estimator_cases.cases(name)
        for _, model, _ in cases:
            look(name, model)
        problems[name] = write(folder / name, cases)
    found = in_fresh_process(folder)
    return {name: {**found.get(name, {}), **problems[name]} for name in categories}


def in_fresh_process(folder: Path) -> dict[str, dict[str, str]]:
    """`check_folder` in a process of its own, with another hash seed."""
    paths = [str(Path(__file__).parent), str(Path(keepfit.__file__).parent.parent)]
    environment = {**os.environ, **ONE_THREAD, "PYTHONHASHSEED": HASH_SEED, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, __file__, str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(f"the fresh process ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(check_folder(Path(sys.argv[1]))))
