"""``keepfit predict`` as a whole process: 20,000 rows of CSV through a logistic pipeline, and memory on a long stream.

``python benchmarks/predicting.py [STREAM_MB]``: medians of seven runs, and the peak of memory on a stream of so many MB
of CSV (default 400) beside one of 4 MB.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keepfit

_WATCHED = """
import sys
from pathlib import Path
from keepfit.cli import main
try:
    main()
finally:
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


def cold(folder: Path) -> None:
    wall_s, cpu_s = [], []
    words = [sys.executable, "-m", "keepfit", "predict", "model.safetensors", "rows.csv", "-o", "out.csv"]
    for _ in range(7):
        before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(words, cwd=folder, check=True, stderr=subprocess.DEVNULL)
        wall_s.append(time.perf_counter() - start_s)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"20,000 rows, cold: {statistics.median(wall_s):.2f} s, of CPU {statistics.median(cpu_s):.2f} s")


def stream(folder: Path, size_mb: float) -> None:
    head, _, body = (folder / "rows.csv").read_bytes().partition(b"\n")
    repeats = max(1, round(size_mb * 1e6 / len(body)))
    words = [sys.executable, "-c", _WATCHED, "predict", "model.safetensors", "-", "-o", "out.csv"]
    start_s = time.perf_counter()
    with subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(head + b"\n")
        for _ in range(repeats):
            process.stdin.write(body)
        process.stdin.close()
        peak_mb = int(process.stderr.read().split()[-1]) / 1024
    seconds = time.perf_counter() - start_s
    print(f"a stream of {repeats * len(body) / 1e6:.0f} MB: peak {peak_mb:.0f} MB, {seconds:.1f} s")


def main() -> None:
    X, y = make_classification(20_000, 20, random_state=0)
    frame = pd.DataFrame(X, columns=[f"x{place}" for place in range(20)])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keepfit.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, y), folder / "model.safetensors")
        frame.to_csv(folder / "rows.csv", index=False)
        cold(folder)
        for size_mb in (4.0, float(sys.argv[1]) if len(sys.argv) > 1 else 400.0):
            stream(folder, size_mb)


if __name__ == "__main__":
    main()
