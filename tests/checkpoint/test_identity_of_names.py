"""What a function uses counts, in whatever way it names it; what cannot be seen leaves it without identity."""

from __future__ import annotations

import builtins
import sys
import types

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.metrics import make_scorer

from keepfit.checkpoint.contents import Contents
from keepfit.checkpoint.walk import NoIdentityError


def digest(obj: object) -> bytes:
    return Contents().digest(obj)


def function_of(source: str, **surroundings: object):
    namespace = {"__name__": "__main__", **surroundings}
    exec(compile(source, "<cell>", "exec"), namespace)
    return namespace["f"]


@pytest.fixture
def settings(monkeypatch):
    """A module of the user's own, with a submodule."""
    module, inner = types.ModuleType("own_settings"), types.ModuleType("own_settings.inner")
    module.ALPHA, module.BETA, module.inner, inner.GAMMA = 1, 1, inner, 1
    monkeypatch.setitem(sys.modules, "own_settings", module)
    monkeypatch.setitem(sys.modules, "own_settings.inner", inner)
    return module


BY_NAME = [
    "import own_settings as m\ndef f(e, X, y): return m.ALPHA",
    "import own_settings as m\ndef f(e, X, y): return getattr(m, 'ALPHA')",
    "import own_settings as m\ndef f(e, X, y): return getattr(m, 'AL' + y)",
    "import own_settings as m\ndef f(e, X, y): return vars(m)['ALPHA']",
    "import own_settings as m\ndef f(e, X, y): return m.__dict__['ALPHA']",
    "import own_settings as m, operator\ndef f(e, X, y): return operator.attrgetter('ALPHA')(m)",
    "import own_settings as m\ndef f(e, X, y):\n    n = m\n    return n.ALPHA",
    "import own_settings as m\nall = [m]\ndef f(e, X, y): return all[0].ALPHA",
    "import own_settings as m\ndef f(e, X, y, m=m): return m.ALPHA",
    "def f(e, X, y):\n    import own_settings as m\n    return getattr(m, 'ALPHA')",
    "import own_settings as m\ndef g(): return m.ALPHA\ndef f(e, X, y): return g() + m.BETA",
    "import own_settings as m\ndef g(): return m.BETA\ndef f(e, X, y): return g() + m.ALPHA",
]


@pytest.mark.parametrize("source", BY_NAME)
def test_a_value_of_an_own_module_counts(source, settings) -> None:
    before = digest(function_of(source))
    assert digest(function_of(source)) == before
    settings.ALPHA = 2
    assert digest(function_of(source)) != before


@pytest.mark.parametrize(
    "source",
    [
        "import own_settings as m\ndef f(e, X, y): return m.inner.GAMMA",
        "import own_settings as m\ndef f(e, X, y): return getattr(m.inner, 'GAMMA')",
        "def f(e, X, y):\n    from own_settings import inner as i\n    return getattr(i, 'GAMMA')",
    ],
)
def test_a_value_of_an_own_submodule_counts(source, settings) -> None:
    before = digest(function_of(source))
    settings.inner.GAMMA = 2
    assert digest(function_of(source)) != before


@pytest.mark.parametrize(
    "source",
    [
        "G = 1\ndef f(e, X, y): return globals()['G']",
        "G = 1\ndef f(e, X, y): return eval('G')",
        "G = 1\ndef f(e, X, y):\n    exec('z = G')",
        "look = eval\ndef f(e, X, y): return look('G')",
        "def f(e, X, y, look=eval): return look('G')",
        "import builtins\ndef f(e, X, y): return builtins.eval('G')",
        "import sys\ndef f(e, X, y): return sys.modules['own_settings'].ALPHA",
        "from sys import modules\ndef f(e, X, y): return modules['own_settings'].ALPHA",
        "def f(e, X, y):\n    import sys\n    return sys.modules['own_settings'].ALPHA",
        "import importlib\ndef f(e, X, y): return importlib.import_module('own_settings').ALPHA",
        "from importlib import import_module\ndef f(e, X, y): return import_module('own_settings').ALPHA",
        "def f(e, X, y): return __import__('own_settings').ALPHA",
        "def g(): pass\ndef f(e, X, y): return g.__globals__['G']",
        "import sys\ndef f(e, X, y): return sys._getframe().f_globals['G']",
    ],
)
def test_a_function_that_may_find_anything_has_no_identity(source) -> None:
    with pytest.raises(NoIdentityError, match=r"uses .*, which may find anything; name what it needs, or pass it"):
        digest(function_of(source))


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\ndef f(e, X, y): return np.my_alpha",
        "import numpy as np\ndef f(e, X, y): return getattr(np, 'my_alpha')",
        "def f(e, X, y):\n    import numpy\n    return numpy.my_alpha",
    ],
)
@pytest.mark.parametrize("values", [(1, 2), ([1], [2]), (lambda: 1, lambda: 2), (np.zeros(1), np.ones(1)), (sum, max)])
def test_what_was_put_into_an_installed_module_counts(source, values, monkeypatch) -> None:
    digests = set()
    for value in values:
        monkeypatch.setattr(np, "my_alpha", value, raising=False)
        digests.add(digest(function_of(source)))
    assert len(digests) == 2


def test_what_was_put_into_builtins_counts(monkeypatch) -> None:
    digests = set()
    for value in (1, 2):
        monkeypatch.setattr(builtins, "my_alpha", value, raising=False)
        digests.add(digest(function_of("def f(e, X, y): return my_alpha")))
    assert len(digests) == 2


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    a: {} = 0\ndef f(): return A.__annotations__",
        "class A:\n    '{}'\ndef f(): return A.__doc__",
        "def g(x: {}): pass\ndef f(): return g.__annotations__",
        "def g(): pass\ng.__doc__ = '{}'\ndef f(): return g.__doc__",
    ],
)
def test_annotations_and_documentation_count(text) -> None:
    assert digest(function_of(text.format(1))) != digest(function_of(text.format(2)))


def test_a_library_class_that_was_changed_is_another(monkeypatch) -> None:
    before = digest(DummyClassifier())
    digests = {before}
    for change in (lambda *_: 0.0, lambda *_: 1.0, staticmethod(lambda *_: 1.0), property(lambda self: 1.0)):
        monkeypatch.setattr(DummyClassifier, "score", change)
        digests.add(digest(DummyClassifier()))
    monkeypatch.undo()
    assert len(digests) == 5
    assert digest(DummyClassifier()) == before
    monkeypatch.setattr(BaseEstimator, "get_params", lambda self, deep=True: {})
    assert digest(DummyClassifier()) != before


ORDINARY = [
    "import numpy as np\ndef f(e, X, y): return float(np.mean(np.random.rand(3)) + np.pi)",
    "import os, sys, time, math, warnings\ndef f(e, X, y):\n    print(time.time(), math.pi, os.environ.get('A'),"
    " os.path.join('a', os.sep), file=sys.stderr)\n    warnings.warn('x')",
    "import logging\nlog = logging.getLogger(__name__)\ndef f(e, X, y):\n    log.debug('x')\n    logging.info('y')",
    "import re\npattern = re.compile('a')\ndef f(e, X, y): return re.compile('b'), pattern.match('a')",
    "import pandas as pd\ndef f(e, X, y): return pd.DataFrame(X).eval('a + b').sum(), pd.NA, pd.Timestamp(1)",
    "import scipy.stats as st\nfrom scipy import special, stats\ndef f(e, X, y):"
    "\n    return stats.norm.cdf(0), special.expit(1), st.rankdata(y), getattr(special, 'erf')",
    "import sklearn\nfrom sklearn import metrics\ndef f(e, X, y):"
    "\n    return getattr(metrics, 'accuracy_score')(y, e.predict(X)), sklearn.__version__",
    "def f(e, X, y): return {k: v for k, v in locals().items()}, vars(e), isinstance(e, type), len(y), sorted(y)",
    "import functools, itertools, collections, operator\ndef f(e, X, y):"
    "\n    return functools.reduce(operator.add, itertools.chain(y, collections.Counter(y)))",
    "from typing import *\nimport numpy as np, pandas as pd, numpy.typing as npt\nT = TypeVar('T')\n"
    "def f(e: 'Any', X: npt.ArrayLike, y: npt.NDArray[np.float64], a: Optional[int] = None, b: int | None = None,"
    " c: Callable[[int], str] = str, d: Literal['a'] = 'a', g: list[dict[str, int]] = (), h: T = None,"
    " i: Annotated[int, 3] = 3, j: pd.DataFrame | pd.Series = None, k: Iterable['f'] = ()) -> Union[float, T]: pass",
    "from dataclasses import dataclass, field\n@dataclass(frozen=True)\nclass C:\n    a: int = 1\n    b: list = "
    "field(default_factory=list)\ndef f(e, X, y): return C(2)",
    "from typing import NamedTuple, Protocol, Generic, TypeVar\nT = TypeVar('T')\nclass P(Protocol):\n"
    "    def m(self) -> int: ...\nclass G(Generic[T]):\n    a: T\nclass N(NamedTuple):\n    a: int = 1\n"
    "def f(e, X, y): return N(), P, G",
    "import joblib\nfrom sklearn.base import clone\ndef f(e, X, y): return clone(e), joblib.hash(X)",
    "import scipy.sparse as sp\ndef f(e, X, y): return sp.csr_matrix(X), sp.eye",
    "try:\n    import polars as pl\nexcept ImportError:\n    import pandas as pl\n"
    "def f(e, X, y): return pl.DataFrame(X).select(pl.col('a')), pl.Int64",
]


@pytest.mark.parametrize("source", ORDINARY)
def test_ordinary_functions_have_an_identity(source) -> None:
    before = digest(function_of(source))
    np.random.rand(1)
    assert digest(function_of(source)) == before
    assert digest(make_scorer(function_of(source)))
