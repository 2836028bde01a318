"""Print how many models of each category make the round trip through a file and a fresh process, equal to the bit.

::

    python scripts/estimator_table.py                 # every category
    python scripts/estimator_table.py "in a dict"     # some
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]


def main() -> int:
    import estimator_cases
    import round_trips

    wanted = sys.argv[1:] or list(estimator_cases.CATEGORIES)
    total = good = 0
    print(f"{'category':<30}{'equal':>7}{'of':>7}{'not fitted':>12}{'seconds':>9}")
    for category in wanted:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = round_trips.run([category], Path(folder))[category]
        problems = {label: problem for label, problem in found.items() if problem}
        equal, seconds = len(found) - len(problems), time.perf_counter() - started
        unfitted = len(found) if category == "unfitted" else sum(label.endswith("(unfitted)") for label in found)
        print(f"{category:<30}{equal:>7}{len(found):>7}{unfitted:>12}{seconds:>9.1f}")
        print("".join(f"    {label}: {problem[:300]}\n" for label, problem in problems.items()), end="")
        total += len(found)
        good += equal
    print(f"{'all':<30}{good:>7}{total:>7}")
    return int(good != total)


if __name__ == "__main__":
    sys.exit(main())
