"""Pickle every estimator of scikit-learn in every container, convert it, and count what gives the same to the bit.

python scripts/convert_table.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent / "tests"), str(Path(__file__).parent.parent / "tests" / "pickles")]

from test_estimators_converted import CONTAINERS, problems  # noqa: E402


def main() -> int:
    failed = 0
    every = list(problems())
    for container in CONTAINERS:
        rows = [(label, problem) for kind, label, problem in every if kind == container]
        wrong = [row for row in rows if row[1]]
        failed += len(wrong)
        print(f"{container:<12} {len(rows) - len(wrong)} of {len(rows)}")
        for label, problem in wrong:
            print(f"    {label}: {problem[:200]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
