"""Fuzz keepfit's loader: `make fuzz`, or `python scripts/fuzz.py --help`.

Files of all of scikit-learn's fitted estimators are changed, in their fields, their bytes and their JSON. Each is
loaded in a child process, and what loads has every method called on real data. It must be refused, or do no harm: no
crash, no hang, no more than 2 GiB, no reaching outside the process, no change to a class. Findings are written with
the fewest changes that do harm into a folder; the exit code is 1 where there are any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # before NumPy: a forked child of a process with threads may wait for ever
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / part) for part in ("src", "tests", "tests/artifact", "tests/pickles", "tests/fuzz")]


def main() -> int:
    arguments = _arguments()
    warnings.simplefilter("ignore")
    if arguments.fence:
        import fence

        fence.again_with_fence()
    if arguments.guards:
        return _guards(arguments)
    if arguments.score:
        return _score()
    if arguments.replay:
        return _replay(arguments.replay)
    return _fuzz(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000_000, help="of each fitted estimator (default: no end)")
    parser.add_argument("--from-case", type=int, default=0, help="go on from this case of each")
    parser.add_argument("--minutes", type=float, help="stop by then")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="names of classes, separated by commas (default: all)")
    parser.add_argument("--variants", action="store_true", help="also other parameters, and fits on sparse data")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=ROOT / "fuzz-findings", help="folder to write findings to")
    parser.add_argument("--replay", type=Path, nargs="+", help="try kept files again instead")
    parser.add_argument("--score", action="store_true", help="instead: how many harmful changes are refused")
    parser.add_argument("--fence", action="store_true", help="see reads past the end of arrays too (needs cc, glibc)")
    parser.add_argument("--guards", action="store_true", help="instead: what happens without each guard of the loader")
    return parser.parse_args()


def _fuzz(arguments: argparse.Namespace) -> int:
    import findings
    import rig
    import subjects

    names = [name for name in arguments.only.split(",") if name]
    chosen = list(subjects.subjects(names, variants=arguments.variants))
    numbers = range(arguments.from_case, arguments.from_case + arguments.cases)
    began = told = time.monotonic()
    total = rig.Tally()
    for tally in rig.fuzz(chosen, numbers, arguments.seed, minutes=arguments.minutes, workers=arguments.workers):
        total.add(tally)
        for finding in tally.findings:
            print(f"{finding}\n  kept as {findings.keep(finding, arguments.findings)}\n{finding.where}", flush=True)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(_summary(total, told - began), flush=True)
    _report(total)
    print(_summary(total, time.monotonic() - began))
    return 1 if total.findings else 0


def _report(total: Any) -> None:
    print(f"{'subject':45}{'cases':>11}{'accepted':>10}{'findings':>10}{'out of memory':>15}")
    found = [finding.label for finding in total.findings]
    for label, count in sorted(total.cases.items()):
        accepted, short = total.accepted[label] / count, total.memory_errors[label]
        print(f"{label:45}{count:11,}{accepted:10.1%}{found.count(label):10}{short:15,}")
    for mutator, count in total.of_mutator.items():
        print(f"{mutator:45}{count:11,}{total.accepted_of_mutator[mutator] / count:10.1%}")


def _summary(total: Any, taken_s: float) -> str:
    cases = total.cases.total()
    return (
        f"{cases:,} cases, {total.accepted.total() / max(1, cases):.1%} accepted, {len(total.findings)} findings; "
        f"{total.cpu_s / 3600:.2f} CPU hours, {taken_s:,.0f} s, {cases / taken_s:,.0f} cases/s"
    )


def _score() -> int:
    import harmful

    print(f"{'class':42}{'changes':>8}{'refused':>9}{'accepted':>10}{'of these harmful':>18}")
    total = refused = harmed = 0
    for score in harmful.scores():
        total, refused, harmed = total + score.changes, refused + score.refused, harmed + len(score.harm)
        accepted = len(score.accepted)
        share = score.refused / score.changes
        print(f"{score.label:42}{score.changes:8}{share:9.1%}{accepted:10}{len(score.harm):18}", flush=True)
        for what, harm in score.harm.items():
            print(f"  {what}: {harm}")
    print(f"{'all':42}{total:8}{refused / total:9.1%}{total - refused:10}{harmed:18}")
    return 1 if harmed else 0


def _guards(arguments: argparse.Namespace) -> int:
    import guards

    guards.install()  # before keepfit is imported
    import subjects

    names = [name for name in arguments.only.split(",") if name]
    numbers = range(arguments.from_case, arguments.from_case + arguments.cases)
    end = time.monotonic() + 60 * (arguments.minutes or 1e9)
    found = guards.Found()
    for label in guards.survey(subjects.subjects(names, variants=arguments.variants), numbers, arguments.seed, found):
        if time.monotonic() > end:
            print(f"stopped after {label}")
            break
    every = sorted({*guards.KNOWN, *found.refused})
    print(f"{'guard':90}{'refused':>9}{'alone':>7}{'tried':>7}  without it")
    for name in every:
        counts = f"{found.refused[name]:9,}{found.alone[name]:7,}{found.tried[name]:7,}"
        print(f"{name[:89]:90}{counts}  {found.harm.get(name, '')[:90]}")
    print(
        f"{found.cases:,} cases; {len(every)} guards, {len(found.refused)} of them refused something, "
        f"{len(found.alone)} alone; without {len(found.harm)} of these there is harm"
    )
    return 0


def _replay(files: list[Path]) -> int:
    import cases
    import rig
    import subjects

    given = {file: (file.read_bytes(), *subjects.data_of(file.name.rpartition("-")[0])) for file in files}
    names = {file.name.partition("-")[0] for file in files}
    has_parts = any("-part-" in file.name for file in files)
    cases.prepare((one.file, one.X, one.y) for one in subjects.subjects(names, variants=has_parts))
    harmed = 0
    for file, (data, X, y) in given.items():
        harm = rig.harm_of(data, X, y)
        harmed += harm is not None
        print(f"{file.name}: {'no harm' if harm is None else ': '.join(harm)}")
    return 1 if harmed else 0


if __name__ == "__main__":
    sys.exit(main())
