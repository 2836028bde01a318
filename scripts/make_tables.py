"""Write the closed tables of what keepfit builds, from real fits of every estimator and from scikit-learn's own source.

Run once for each supported scikit-learn, in an environment that has that release::

    python scripts/make_tables.py            # writes src/keepfit/codecs/tables/sklearn-1.9.json
    python scripts/make_tables.py --functions  # writes functions.json, from the newest release only

Then read the difference before committing it: a class or name that has come in is one that any file may name.

A class of scikit-learn comes into a table when it is an estimator, a kernel, a splitter, a scorer or a distance metric,
or when it was met inside a fitted one. Its attributes are those its source assigns to ``self`` (its bases included) and
those that the fits had; the latter stand under ``met`` as well: a release may rely on them, while what only its source
names may be gone when ``fit`` returns.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

TABLES = ROOT / "src" / "keepfit" / "codecs" / "tables"
#: Modules whose classes all come in, fitted or not, because users hold them: kernels, splitters, scorers.
OPEN_MODULES = (
    "sklearn.gaussian_process.kernels",
    "sklearn.model_selection",
    "sklearn.metrics._scorer",
    "sklearn._loss.loss",
    "sklearn._loss.link",
)
#: Classes of other modules that users or searches hold without a fit leading to them.
OPEN_CLASSES = ("sklearn.compose.make_column_selector", "sklearn.model_selection._split._CVIterableWrapper")
#: Met in those modules, but never held by a model.
LEFT_OUT = ("HasMethods", "StrOptions", "Hyperparameter", "_MetadataRequester")


def main() -> None:
    warnings.simplefilter("ignore")
    if "--functions" in sys.argv:
        write(TABLES / "functions.json", functions())
        return
    import sklearn

    release = ".".join(sklearn.__version__.split(".")[:2])
    write(TABLES / f"sklearn-{release}.json", classes())


def write(path: Path, table: dict[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=0, sort_keys=True).replace("\n]", "]").replace("[\n", "[") + "\n")
    print(f"wrote {path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def classes() -> dict[str, Any]:
    from sklearn.utils.discovery import all_estimators

    import battery
    import variants

    observed: dict[type, set[str]] = {}
    for _, cls in all_estimators():
        observed.setdefault(cls, set())
        for estimator in battery.instances(cls):
            meet(estimator, observed)
    for _, estimator, _ in battery.fitted():
        meet(estimator, observed)
    for extra in variants.variants():
        meet(extra, observed)
    for module in OPEN_MODULES:
        for cls in vars(importlib.import_module(module)).values():
            if inspect.isclass(cls) and cls.__module__.startswith("sklearn.") and not inspect.isabstract(cls):
                observed.setdefault(cls, set())
    for name in OPEN_CLASSES:
        module_name, _, last = name.rpartition(".")
        cls = getattr(importlib.import_module(module_name), last)
        observed.setdefault(cls, set()).update(inspect.signature(cls).parameters)
    table = {}
    for cls, names in observed.items():
        if (
            is_native(cls)
            or issubclass(cls, BaseException)
            or cls.__name__ in LEFT_OUT
            or cls.__name__.endswith("Mixin")
        ):
            continue
        parameters = parameters_of(cls)
        attributes = (assigned(cls) | names) - set(parameters)
        attributes = {name for name in attributes if not name.startswith("__")}
        if "n_features_in_" in attributes:  # a function outside the class sets both, this one for data with names
            attributes.add("feature_names_in_")
        table[public_name(cls)] = {
            "parameters": sorted(parameters),
            "attributes": sorted(attributes),
            "met": sorted(names & attributes),
        }
    return table


def meet(root: Any, observed: dict[type, set[str]]) -> None:
    """Note every class of scikit-learn below an object, and the attributes its instances have."""
    import numpy as np

    seen: set[int] = set()
    alive = [root]
    stack = [root]
    while stack:
        obj = stack.pop()
        if id(obj) in seen or isinstance(obj, (str, bytes, int, float, type(None), type)):
            continue
        seen.add(id(obj))
        alive.append(obj)
        if isinstance(obj, dict):
            stack.extend(obj.values())
        elif isinstance(obj, (list, tuple, set, frozenset)):
            stack.extend(obj)
        elif isinstance(obj, np.ndarray) and obj.dtype == object:
            stack.extend(obj.ravel().tolist())
        if type(obj).__module__.startswith("sklearn."):
            fields = getattr(obj, "__dict__", {})
            observed.setdefault(type(obj), set()).update(fields)
            stack.extend(fields.values())


def is_native(cls: type) -> bool:
    """Compiled classes have codecs of their own, written by hand."""
    try:
        inspect.getsource(cls)
    except (TypeError, OSError):
        return True
    return False


def parameters_of(cls: type) -> list[str]:
    get = getattr(cls, "_get_param_names", None)
    return list(get()) if inspect.ismethod(get) else []


def assigned(cls: type) -> set[str]:
    """Names that the source of a class, or of a base within scikit-learn, assigns to ``self``."""
    found: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("sklearn.") or is_native(base):
            continue
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(base)))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
                found.add(f"_{base.__name__.lstrip('_')}{node.attr}" if is_private(node.attr) else node.attr)
    methods = {name for name, value in inspect.getmembers_static(cls) if isinstance(value, property) or callable(value)}
    return found - methods


def is_private(name: str) -> bool:
    """Whether Python puts the name of the class before an attribute."""
    return name.startswith("__") and not name.endswith("__")


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def public_name(cls: type) -> str:
    sys.path.insert(0, str(ROOT / "src"))
    from keepfit.codecs.codec import class_name

    return class_name(cls)


def functions() -> dict[str, list[str]]:
    """Functions and classes that may stand as values: pure computations, and types of data."""
    import numpy as np
    import scipy.special
    from sklearn.utils.discovery import all_estimators

    names = [f"numpy.{name}" for name, value in vars(np).items() if isinstance(value, np.ufunc)]
    names += [f"numpy.{name}" for name in NUMPY_FUNCTIONS.split() if hasattr(np, name)]
    names += [f"numpy.linalg.{name}" for name in ("norm", "det", "inv", "pinv")]
    names += [
        f"scipy.special.{name}"
        for name, value in vars(scipy.special).items()
        if isinstance(value, np.ufunc) and not name.startswith(UNSOUND_FUNCTIONS)
    ]
    names += ["scipy.special.logsumexp", "scipy.special.softmax", "scipy.special.log_softmax"]
    names += [
        "builtins.len",
        "builtins.abs",
        "builtins.sum",
        "builtins.min",
        "builtins.max",
        "builtins.sorted",
    ]
    for module_name in ("sklearn.metrics", "sklearn.metrics.cluster", "sklearn.metrics.pairwise",
                        "sklearn.feature_selection", "sklearn.preprocessing", "sklearn.covariance"):  # fmt: skip
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", None) or vars(module):
            value = getattr(module, name, None)
            own = inspect.isfunction(value) and value.__module__.startswith("sklearn.metrics.pairwise")
            own = own and not name.startswith(("_", "check_"))  # which give back what they are given, to be written to
            if inspect.isfunction(value) and (hasattr(module, "__all__") or own):
                names.append(f"{module_name}.{name}")
    names += EXTRA_FUNCTIONS
    builtin = ["bool", "int", "float", "complex", "str", "bytes", "bytearray", "list", "tuple", "dict", "set",
               "frozenset", "object", "type", "slice", "range"]  # fmt: skip
    scalars = {f"numpy.{np.dtype(code).type.__name__}" for code in np.typecodes["All"]}
    estimators = {public_name(cls) for _, cls in all_estimators()}
    # Not numpy.ndarray: called, it takes any octets for pointers to objects.
    others = {"collections.OrderedDict", "collections.Counter", "collections.defaultdict", "collections.deque",
              "datetime.datetime", "datetime.date", "decimal.Decimal", "fractions.Fraction",
              "numpy.bool_",  # as NumPy 1 calls it
              "numpy.generic", "numpy.number", "numpy.integer", "numpy.floating"}  # fmt: skip
    return {"function": sorted(set(names)), "class": sorted({*builtin, *scalars, *estimators, *others})}


#: Special functions of SciPy's that write past their buffers (the spheroidal wave functions, of large orders), or go
#: round for ever on small numbers; found by calling every one with a few hundred combinations of numbers.
UNSOUND_FUNCTIONS = ("obl_", "pro_", "nctdtrinc", "nctdtrit")

#: NumPy functions beside its ufuncs that work on arrays alone.
NUMPY_FUNCTIONS = """
    mean median std var sum prod min max amin amax ptp average quantile percentile argmax argmin nanmean
    nanmedian nanstd nanvar nansum nanmin nanmax nanquantile nanpercentile nan_to_num clip round ravel
    squeeze transpose sort cumsum cumprod diff count_nonzero any all unique asarray array atleast_2d
    real imag angle sinc i0 abs absolute
"""

#: Functions that fitted estimators were found to hold.
EXTRA_FUNCTIONS = [
    "sklearn.utils.check_array",
]


if __name__ == "__main__":
    main()
