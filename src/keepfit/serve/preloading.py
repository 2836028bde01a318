"""Everything that a worker may import, imported before it is forked: a jail cannot open a file any more."""

from __future__ import annotations

import gc
import pkgutil
import time
import warnings
from collections.abc import Iterable
from importlib import import_module
from typing import Any

__all__ = ["preload"]

#: Packages of which every module is imported.
_PACKAGES = (
    "encodings", "scipy", "sklearn", "keepfit.artifact", "keepfit.codecs", "keepfit.graph", "keepfit.pickles",
    "keepfit.serve.fast",
)  # fmt: skip
_MODULES = (
    "numpy.fft", "numpy.ma", "numpy.polynomial", "numpy.random", "numpy.rec", "keepfit.conversion",
    "keepfit.persistence", "keepfit.serve.worker", "backports.zstd", "bz2", "lzma", "zlib", "lz4.frame", "pandas",
)  # fmt: skip
#: Parts of names of modules that no model needs: tests, and ways to other libraries, which may be large.
_SKIPPED = frozenset(
    {"tests", "testing", "conftest", "_build_utils", "_precompute", "torch", "cupy", "dask", "datasets"}
)


def preload(modules: Iterable[str] = ()) -> None:
    """Import all of scikit-learn, SciPy, pandas where it is installed, and keepfit, and let models work once.

    Parameters
    ----------
    modules : iterable of str, default=()
        More to import.

    Raises
    ------
    ImportError
        If one of `modules` cannot be imported.

    Notes
    -----
    Takes about 2 s of processor time. Linear algebra uses one thread from here on.
    """
    for module in modules:
        import_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*_MODULES, *(each for package in _PACKAGES for each in _modules_of(package))):
            _try_import(name)
        _keep_to_one_thread()
        _work_once()
        _work_once_on_a_table()
    time.tzset()
    gc.collect()
    gc.freeze()  # what is here stays as it is, so that its pages stay shared


def _modules_of(package: str) -> Iterable[str]:
    top = _try_import(package)
    if top is None:
        return
    yield package
    for module in pkgutil.iter_modules(top.__path__, f"{package}."):
        if not _SKIPPED.intersection(module.name.split(".")):
            yield module.name
            if module.ispkg:
                yield from _modules_of(module.name)


def _try_import(name: str) -> Any:
    try:
        return import_module(name)
    except Exception:  # whatever it is, the module is of no use: not installed, or not for this system
        return None


def _keep_to_one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def _work_once() -> None:
    """Fill what libraries only find out at the first call, from files they open then."""
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    from keepfit.codecs import preloading
    from keepfit.persistence import dumps, loads

    preloading.preload()
    X = np.random.default_rng(0).normal(size=(30, 3))
    y = np.arange(30) % 3
    for model in (
        KMeans(2, n_init=1), KNeighborsClassifier(), KNeighborsClassifier(algorithm="brute"), SVC(),
        HistGradientBoostingClassifier(max_iter=2), RandomForestClassifier(2), make_pipeline(StandardScaler(), SVC()),
    ):  # fmt: skip
        loads(dumps(model.fit(X, y))).predict(X)
    words = ["one two", "two three"]
    loads(dumps(TfidfVectorizer().fit(words))).transform(words)


def _work_once_on_a_table() -> None:
    """The same for models of named columns: scikit-learn finds its way to pandas when it first meets a table."""
    pandas = _try_import("pandas")
    if pandas is None:
        return
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from keepfit.persistence import dumps, loads
    from keepfit.serve.predicting import Served

    table = pandas.DataFrame({"number": [1.0, 2.0, 3.0], "word": ["a", "b", "a"]})
    columns = ColumnTransformer([("number", StandardScaler(), ["number"]), ("word", OneHotEncoder(), ["word"])])
    Served(loads(dumps(make_pipeline(columns, LogisticRegression()).fit(table, [0, 1, 0]))), {})
    scaler = StandardScaler().set_output(transform="pandas").fit(table[["number"]])
    Served(loads(dumps(scaler)), {})
