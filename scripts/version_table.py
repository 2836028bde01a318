"""Which models written under one scikit-learn load under another, and whether they answer the same.

Run in an environment of each release, on one folder::

    python scripts/version_table.py --write FOLDER    # fit and dump every estimator and variant, with its outputs
    python scripts/version_table.py --read FOLDER     # load what the other release wrote, and compare

A model that loads and answers otherwise is the only failure: it makes the exit code 1.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

#: Releases compute the same thing in another order now and then.
_TOLERANCE = 1e-9


def main() -> int:
    import sklearn

    action, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    print(f"scikit-learn {sklearn.__version__}: {action[2:]} {folder}")
    return {"--write": write, "--read": read}[action](folder)


def write(folder: Path) -> int:
    import estimator_cases
    import keepfit
    from keepfit.errors import KeepfitError

    for category in ("fitted", "parameter variants"):
        for label, model, X in estimator_cases.cases(category):
            file = folder / f"{category.replace(' ', '_')}-{label}.safetensors"
            try:
                keepfit.dump(model, file)
            except KeepfitError as error:
                print(f"    not written: {label}: {error}")
                continue
            file.with_suffix(".pickle").write_bytes(pickle.dumps((X, outputs(model, X))))
    return 0


def read(folder: Path) -> int:
    import keepfit
    from equality import difference
    from keepfit.errors import KeepfitError

    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(folder.glob("*.safetensors")):
        try:
            model = keepfit.load(file)
        except KeepfitError as error:
            found[type(error).__name__].append(f"{file.stem}: {error}")
            continue
        X, before = pickle.loads(file.with_suffix(".pickle").read_bytes())  # noqa: S301 - written by this script
        now = outputs(model, X)
        if not difference(before, now):
            found["equal to the bit"].append(file.stem)
            continue
        # A method that only one of the releases has cannot answer otherwise.
        worse = [method for method in before.keys() & now.keys() if not close(before[method], now[method])]
        if not worse:
            found["equal to 1e-9"].append(file.stem)
        else:
            told = "" if all(isinstance(now.get(m), str) for m in worse) else " SILENTLY"
            found[f"other answers{told}"].append(f"{file.stem}: {[(m, str(now.get(m))[:150]) for m in worse]}")
    for outcome, cases in found.items():
        print(f"{outcome:<26}{len(cases):>5}")
        if not outcome.startswith("equal to the"):
            print(*(f"    {case[:260]}" for case in cases), sep="\n")
    return int(any("SILENTLY" in outcome for outcome in found))


def outputs(model: Any, X: Any) -> dict[str, Any]:
    """What a model gives, in numpy's types; of neighbours the distances, since releases order ties in other ways."""
    import battery

    found = {method: x.to_numpy() if hasattr(x, "to_numpy") else x for method, x in battery.outputs(model, X).items()}
    if isinstance(found.get("kneighbors"), tuple):
        found["kneighbors"] = found["kneighbors"][0]
    return found


def close(one: Any, other: Any) -> bool:
    """Whether two outputs are equal but for rounding; outputs that are errors, if both are."""
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(close, one, other))
    one, other = (x.toarray() if hasattr(x, "toarray") else np.asarray(x) for x in (one, other))
    if one.dtype.kind not in "fc":
        return one.shape == other.shape and bool((one == other).all())
    return one.shape == other.shape and np.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)


if __name__ == "__main__":
    sys.exit(main())
