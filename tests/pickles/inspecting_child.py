"""Inspects the files of a folder, each in a process of its own under limits, and says what came of it.

Run as a script::

    python tests/pickles/inspecting_child.py FOLDER

It prints JSON: for each file its verdict (or the error), the seconds, the megabytes more than before, and what an audit
hook saw that inspecting has no business with.
"""

from __future__ import annotations

import codecs
import json
import os
import resource
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import keepfit
from keepfit.errors import KeepfitError

TIME_S, MEMORY_BYTES = 5, 2**30
_EVENTS = (
    "code.", "compile", "ctypes.", "exec", "marshal.", "os.exec", "os.posix_spawn", "os.remove", "os.system",
    "pickle.find_class", "pty.", "shutil.", "socket.", "subprocess.", "webbrowser.",
)  # fmt: skip
#: Modules for libraries that may not be here; no verdict imports them.
_EXTRAS = {"keepfit.hub", "keepfit.mlflow", "keepfit.mlserver"}


def warm_up() -> None:
    """Import what any verdict imports, so that what is imported later is a file's doing."""
    import pickle
    import pkgutil
    from importlib import import_module

    for module in pkgutil.walk_packages(keepfit.__path__, "keepfit."):
        if "__main__" not in module.name and "cli" not in module.name and module.name not in _EXTRAS:
            import_module(module.name)
    for name in ("cp437", "raw-unicode-escape", "unicode-escape", "utf-8-sig"):
        codecs.lookup(name)
    import pandas  # noqa: F401
    import scipy.interpolate
    import scipy.stats  # noqa: F401
    import sklearn
    from sklearn.datasets import load_iris
    from sklearn.utils.discovery import all_estimators

    all_estimators()
    sklearn.show_versions
    X, y = load_iris(return_X_y=True)
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier

    models = [RandomForestClassifier(2), HistGradientBoostingClassifier(max_iter=2), KNeighborsClassifier()]
    keepfit.inspect(pickle.dumps([model.fit(X, y) for model in models]))


def verdict(path: Path) -> dict[str, Any]:
    """What inspecting a file gives, in this process."""
    data = path.read_bytes()
    seen: list[str] = []

    def hook(event: str, args: Any) -> None:
        if event.startswith(_EVENTS) and not (event == "compile" and args[1] == "<unknown>"):  # a literal of a header
            seen.append(f"{event} {args!r:.100}")

    sys.addaudithook(hook)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            report = keepfit.inspect(data)
            found = report.verdict
            why = "; ".join([obstacle.message for obstacle in report.obstacles] + list(report.untrusted_types))[:200]
            assert str(report)
            assert report.to_json()
        except KeepfitError as error:
            found, why = "unreadable", str(error)[:200]
    time_s = time.process_time() - start
    more_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {"verdict": found, "why": why, "time_s": time_s, "memory_bytes": more_bytes, "events": seen}


def in_child(path: Path) -> dict[str, Any]:
    """The same in a child that may take 5 seconds and 1 GiB more than this process has."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + TIME_S + 1,) * 2)
        signal.alarm(10 * TIME_S)  # the machine may be busy
        with os.fdopen(writing, "w") as file:
            try:
                json.dump(verdict(path), file)
            except BaseException as error:
                json.dump({"verdict": f"{type(error).__name__}: {error}", "why": "", "time_s": 0.0, "memory_bytes": 0,
                           "events": []}, file)  # fmt: skip
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    crashed = {"verdict": f"ended by {status}", "why": "", "time_s": 0.0, "memory_bytes": 0, "events": []}
    return json.loads(text) if text else crashed


if __name__ == "__main__":
    warm_up()
    print(json.dumps({path.name: in_child(path) for path in sorted(Path(sys.argv[1]).iterdir())}))
