"""The main job in a few minutes: a search that is killed, goes on, and leaves its best models to be used.

Run by ``make demo``. All is done by the command line in processes of its own; each command is printed before it runs.
The data are Wisconsin's breast cancer cases, 569 rows of 30 measurements, as they ship with scikit-learn.
"""

# ruff: noqa: S603 - it runs this very interpreter, on words that stand here
from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from keepfit.errors import StoreError
from keepfit.store import SearchInfo, Store

FOLDER = Path("demo-work")
KEEPFIT = (sys.executable, "-m", "keepfit")

SEARCH = (
    "search", "train.csv", "--target", "diagnosis", "--store", "state.db", "--cv", "5", "--n-jobs", "2",
    "--models", "knn,rf,nb,lr",
    "--grid", "knn.n_neighbors=1:100",
    "--grid", "rf.n_estimators=20:150:3",
)  # fmt: skip

#: Loads the best model in a process that knows nothing but the store.
FRESH = """
import keepfit, pandas
test = pandas.read_csv("test.csv")
model = keepfit.Store("state.db")[{name!r}]
print(model.score(test.drop(columns="diagnosis"), test["diagnosis"]))
"""


def main() -> None:
    began = time.monotonic()
    clean_folder()
    write_tables()
    title("A search over four types of model, killed part-way")
    killed_after = run_and_kill(*SEARCH)
    run("status", "state.db", show=True)
    title("The same command again: what is done is not done again")
    result = json.loads(run(*SEARCH, "--json"))
    print(f"\n{killed_after:,} fits had been kept when it was killed; {result['reused']:,} were reused, ", end="")
    print(f"{result['computed']:,} computed.")
    title("What came of it")
    run("leaderboard", "state.db", show=True)
    print()
    run("show", "state.db", show=True)
    title("The best model in a fresh process, on rows it has not seen")
    best = result["best_model"]
    lines = run("predict", f"state.db#{best}", "test.csv").splitlines()
    print("\n".join([*lines[:4], f"... {len(lines) - 1} predictions in all"]))
    by_command = accuracy(lines[1:])
    by_library = float(subprocess.check_output([sys.executable, "-c", FRESH.format(name=best)], cwd=FOLDER, text=True))
    print(f"accuracy by the command line    {by_command:.6f}")
    print(f"accuracy by keepfit.Store       {by_library:.6f}")
    check(by_command == by_library, "the two accuracies differ")
    check(result["reused"] >= killed_after > 0, "finished fits were done again")
    print(f"\nAll in {time.monotonic() - began:.0f} s. The store is {FOLDER / 'state.db'}; try `keepfit status` on it.")


def clean_folder() -> None:
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.iterdir():
        file.unlink()


def write_tables() -> None:
    """Rows to search on, and rows that no search sees."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer(as_frame=True)
    frame = data.data.assign(diagnosis=data.target_names[data.target])
    train, test = train_test_split(frame, test_size=0.25, random_state=0, stratify=frame["diagnosis"])
    train.to_csv(FOLDER / "train.csv", index=False)
    test.to_csv(FOLDER / "test.csv", index=False)
    print(f"wrote {FOLDER}/train.csv ({len(train)} rows) and {FOLDER}/test.csv ({len(test)} rows)")


def run_and_kill(*words: str) -> int:
    """Start a command, kill it and all its workers in the middle of the forests, and say how much had been kept."""
    tell(words)
    process = subprocess.Popen([*KEEPFIT, *words], cwd=FOLDER, start_new_session=True)
    while process.poll() is None:
        searches = status()
        # The neighbours are done; of the forests' 220 fits a third.
        if len(searches) > 1 and searches[0].computed > searches[0].task_count // 3:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print("\n*** SIGKILL ***")
    check(process.returncode == -signal.SIGKILL, "the search ended before it could be killed")
    return sum(one.computed for one in status())


def status() -> list[SearchInfo]:
    """What `keepfit status` shows, often: the forests share their work and are done within seconds."""
    time.sleep(0.05)
    if not (FOLDER / "state.db").exists():
        return []
    with contextlib.suppress(StoreError), Store(FOLDER / "state.db") as store:  # it may be in the making
        return store.work.searches()
    return []


def accuracy(predictions: list[str]) -> float:
    import pandas

    truth = pandas.read_csv(FOLDER / "test.csv")["diagnosis"]
    return float((truth == predictions).mean())


def run(*words: str, show: bool = False) -> str:
    """Run a command; its remarks go to the screen, and with `show` its results too."""
    tell(words)
    out = subprocess.run([*KEEPFIT, *words], cwd=FOLDER, stdout=subprocess.PIPE, text=True, check=True).stdout
    if show:
        print(out, end="")
    return out


def title(text: str) -> None:
    print(f"\n== {text}\n", flush=True)


def tell(words: tuple[str, ...]) -> None:
    print(f"$ keepfit {shlex.join(words)}", flush=True)


def check(held: bool, otherwise: str) -> None:
    if not held:
        sys.exit(f"demo: {otherwise}")


if __name__ == "__main__":
    main()
