"""The command line as a process: how fast it starts, how it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import keepfit

KEEPFIT = (sys.executable, "-m", "keepfit")

#: 500 fits of more than a tenth of a second, so that it is far from its end when the first of them are kept.
SEARCH = (
    "search", "iris.csv", "--target", "species", "--models", "rf", "--grid", "rf.n_estimators=100:200", "--cv", "5",
    "--no-share",
)  # fmt: skip


def start(*words, **options):
    return subprocess.Popen(
        [*KEEPFIT, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def test_help_imports_none_of_the_large_libraries():
    code = (
        "import sys; sys.argv = ['keepfit', '--help']\n"
        "from keepfit.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'sklearn', 'sqlalchemy', 'rich', 'pandas', 'numpy'} & set(sys.modules), file=sys.stderr)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip() == "set()"


def test_a_closed_pipe_leaves_no_traceback(csv, store):
    with start("predict", f"{store}#lr", csv) as process:
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 141


def test_a_table_that_cannot_be_predicted_for_is_one_line_and_no_file(tmp_path):
    rows = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})
    keepfit.dump(LinearRegression().fit(rows, [1, 2, 3]), tmp_path / "model.safetensors")
    rows.mask(rows == 2).to_csv(tmp_path / "rows.csv", index=False)
    words = ["-X", "dev", "-W", "ignore", "-m", "keepfit", "predict", "model.safetensors", "rows.csv", "-o", "out.csv"]
    result = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1
    assert "Input X contains NaN" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Exception ignored" not in result.stderr  # of a buffer for the file that was not finished
    assert not (tmp_path / "out.csv").exists()


def test_debug_shows_the_traceback(tmp_path):
    process = start("--debug", "show", tmp_path / "none.db")
    assert "Traceback" in process.communicate()[1]
    assert process.returncode == 1


@pytest.mark.parametrize(("number", "code", "n_jobs"), [(signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)])
def test_a_search_that_is_stopped_says_how_to_go_on_and_keeps_what_is_done(csv, tmp_path, number, code, n_jobs):
    process = start(*SEARCH, "--n-jobs", n_jobs, "--no-progress", cwd=tmp_path)
    wait_for_work(tmp_path / "state.db")
    os.killpg(process.pid, number)
    error = process.communicate()[1]
    assert process.returncode == code, error
    assert "Traceback" not in error
    assert "kept in state.db; run the same command again to go on" in error
    with keepfit.Store(tmp_path / "state.db") as store:
        (search,) = store.work.searches()
        assert search.state == "stopped"
        assert 0 < search.computed < 500


def wait_for_work(place):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if place.exists():
            with keepfit.Store(place) as store:
                if any(one.computed for one in store.work.searches()):
                    return
        time.sleep(0.02)
    raise AssertionError("the search did not get going")


@pytest.mark.parametrize("output", ["-", "out.csv"])
def test_a_prediction_that_is_stopped_says_what_was_written(csv, store, tmp_path, output):
    rows = csv.read_text().splitlines(keepends=True)
    csv.write_text("".join(rows[:1] + rows[1:] * 1000))
    if output == "-":  # nobody reads what it writes, so it does not come to an end
        process = start("predict", f"{store}#lr", csv, cwd=tmp_path)
    else:  # more could come, so it does not
        process = start("predict", f"{store}#lr", "-", "-o", output, cwd=tmp_path, stdin=subprocess.PIPE)
        process.stdin.write(csv.read_text())
        process.stdin.flush()
    deadline = time.monotonic() + 60
    while not (list(tmp_path.glob("*out.csv*")) if output != "-" else select.select([process.stdout], [], [], 0)[0]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    result, error = process.communicate()
    assert process.returncode == 130, error
    assert "Traceback" not in error
    (said,) = [line for line in error.splitlines() if "stopped by Ctrl-C" in line]
    if output == "-":
        told = int(said.split("; ")[1].split()[0].replace(",", ""))
        assert 0 <= told <= result.count("setosa") + result.count("versicolor") + result.count("virginica")
        assert said.endswith((" rows written", " 1 row written"))
    else:
        assert said.endswith("nothing was written to out.csv")
        assert not list(tmp_path.glob("*out.csv*"))
