"""Verdicts on hostile and on harmless files by category, beside other scanners where they are installed.

    python scripts/hostile_table.py [--scanners FOLDER/bin]

Hostile files are those of `tests/pickles/hostile.py`; harmless ones 30 estimators in four containers. Counted are
the files that a scanner says anything against, or cannot read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "pickles")]

import hostile  # noqa: E402
from test_estimators_converted import CONTAINERS  # noqa: E402
from test_hostile import inspected  # noqa: E402

import battery  # noqa: E402

#: Each scanner's command; its exit code is 0 where it has nothing to say.
SCANNERS = {
    "picklescan": ["picklescan", "-p"],
    "fickling": ["fickling", "--check-safety"],
    "modelscan": ["modelscan", "-p"],
}
_TIME_S = 20


def harmless() -> list[hostile.Shape]:
    """30 estimators in four containers."""
    rows = []
    seen: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for label, model, _ in battery.fitted():
            kind = type(model).__name__
            if kind in seen or not any(name.endswith("_") for name in vars(model)):
                continue
            seen.add(kind)
            rows += [(f"harmless, {name}", label, make(model)) for name, make in CONTAINERS.items()]
    every = len(rows) // 4 // 30
    return [row for place, row in enumerate(rows) if place // 4 % every == 0][:120]


def scanner_says(command: list[str], rows: list[hostile.Shape], folder: Path) -> list[bool]:
    """For each file whether a scanner has something to say against it."""
    found = []
    for number, (category, _, data) in enumerate(rows):
        place = folder / f"{number:04}{'.joblib' if 'joblib' in category else '.pkl'}"
        place.write_bytes(data)
        try:
            asked = [*command, str(place)]  # some write a report into their folder
            done = subprocess.run(asked, cwd=folder, capture_output=True, timeout=_TIME_S, check=False)  # noqa: S603
            found.append(done.returncode != 0)
        except subprocess.TimeoutExpired:
            found.append(True)
        place.unlink()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scanners", type=lambda text: Path(text).absolute(), help="the folder of their commands")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        canary = folder / "canary"
        rows = [*hostile.shapes(canary), *harmless()]
        verdicts = [result["verdict"] for result in inspected(folder / "files", rows)]
        columns = {"keepfit": [verdict != "convertible" for verdict in verdicts]}
        for scanner, command in SCANNERS.items():
            if options.scanners and (options.scanners / command[0]).exists():
                (folder / scanner).mkdir()
                path = [str(options.scanners / command[0]), *command[1:]]
                columns[scanner] = scanner_says(path, rows, folder / scanner)
        totals = Counter(category for category, _, _ in rows)
        print("against".ljust(24), "files".rjust(6), *(scanner.rjust(12) for scanner in columns))
        for category, total in totals.items():
            counts = [
                sum(says for row, says in zip(rows, found, strict=True) if row[0] == category)
                for found in columns.values()
            ]
            print(category.ljust(24), str(total).rjust(6), *(str(count).rjust(12) for count in counts))
        print("the canary sang" if canary.exists() else "nothing ran")
        wrong = [row[:2] for row, says in zip(rows, columns["keepfit"], strict=True) if says == ("harmless" in row[0])]
        print(*wrong, sep="\n")
        return 1 if wrong or canary.exists() else 0


if __name__ == "__main__":
    sys.exit(main())
