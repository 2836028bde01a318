"""Write the files that stand for a release of keepfit under a release of scikit-learn, and are never written again.

Run once for each release of keepfit, in an environment of each supported scikit-learn::

    python scripts/make_corpus.py        # writes tests/corpus/released/KEEPFIT/scikit-learn-RELEASE/

Tests load all of them for ever after. Each model is kept with a sample, so that `keepfit.verify` shows whether it
answers as it did.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

_LARGEST_BYTES = 20_000


def main() -> None:
    import sklearn

    import keepfit
    import released_models

    version = (ROOT / "pyproject.toml").read_text().split('\nversion = "')[1].split('"')[0]
    folder = ROOT / "tests" / "corpus" / "released" / version / f"scikit-learn-{sklearn.__version__}"
    folder.mkdir(parents=True)
    total = 0
    for name, (model, sample) in released_models.models().items():
        file = folder / f"{name}.safetensors"
        keepfit.dump(model, file, sample=sample)
        size = file.stat().st_size
        if size > _LARGEST_BYTES:
            raise SystemExit(f"{file} has {size:,} bytes")
        total += size
    print(f"wrote {folder.relative_to(ROOT)}: {total:,} bytes")


if __name__ == "__main__":
    main()
