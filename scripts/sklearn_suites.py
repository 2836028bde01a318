"""scikit-learn's own tests of its searches, unmodified, inside ``keepfit.checkpoint``: from an empty store and again.

Every test must do as it does outside. A test that fails inside is run outside too; if it fails there as well, it is
not keepfit's. Exits with 1 if any differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import keepfit

MODULES = ("test_search", "test_validation", "test_successive_halving")
PLUGIN_FOLDER = Path(__file__).resolve().parent.parent / "tests" / "checkpoint"


def run(folder: Path, modules: list[str], workers: int, store: Path | None) -> dict[str, str]:
    """The outcome of every test by its name: passed, skipped or failed."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "-c", os.devnull, "--rootdir", str(folder)]
    command += ["-p", "no:cacheprovider", "-W", "ignore", "--no-header", "--junit-xml", str(report), "--tb=short"]
    if store is not None:
        command += ["-p", "inside_checkpoint"]
        environment["KEEPFIT_SUITE_STORE"] = str(store)
        environment["PYTHONPATH"] = os.pathsep.join([str(PLUGIN_FOLDER), environment.get("PYTHONPATH", "")])
    command += ["--pyargs", *(f"sklearn.model_selection.tests.{module}" for module in modules)]
    output = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)  # noqa: S603
    if not report.exists():
        sys.exit(f"the tests did not run:\n{output.stdout}{output.stderr}")
    outcomes = {case.get("classname", "") + "::" + case.get("name", ""): outcome(case) for case in cases(report)}
    if "failed" in outcomes.values():
        print(output.stdout[-20_000:])
    return outcomes


def cases(report: Path) -> list[ElementTree.Element]:
    return list(ElementTree.parse(report).iter("testcase"))  # noqa: S314  written just now


def outcome(case: ElementTree.Element) -> str:
    tags = {child.tag for child in case}
    return "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"


def summary(outcomes: dict[str, str]) -> str:
    counts = {kind: list(outcomes.values()).count(kind) for kind in ("passed", "failed", "skipped")}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(MODULES), help="test modules, all three by default")
    parser.add_argument("--workers", type=int, default=2, help="test processes at a time, on one store")
    options = parser.parse_args()
    differing: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), Path(name) / "suite.db"
        for title in ("an empty store", "the full store"):
            start_s = time.monotonic()
            outcomes = run(folder, options.modules, options.workers, store)
            print(f"inside checkpoint, {title}: {summary(outcomes)} in {time.monotonic() - start_s:.0f} s", flush=True)
            failed = [test for test, result in outcomes.items() if result == "failed"]
            if failed:
                outside = run(folder, options.modules, options.workers, None)
                differing += [test for test in failed if outside.get(test) != "failed"]
        with keepfit.Store(store) as kept:
            searches = kept.work.searches()
        print(f"{sum(s.computed for s in searches)} tasks computed, {sum(s.reused for s in searches)} reused")
    for test in differing:
        print(f"fails inside checkpoint only: {test}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
