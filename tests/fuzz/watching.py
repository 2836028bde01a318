"""What a model must not do to its process: events that Python tells of, and changes of classes and modules."""

from __future__ import annotations

import ast
import os
import re
import sys
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["HONEST", "Snapshot", "watched"]

#: Audit events (https://docs.python.org/3/library/audit_events.html) of reaching outside, or of running new code.
_EVENTS = frozenset({"open", "exec", "compile", "import", "mmap.__new__", "marshal.loads", "pickle.find_class"})
_FAMILIES = (
    "os.", "socket.", "subprocess.", "ctypes.", "shutil.", "tempfile.", "glob.", "pathlib.", "sqlite3.", "urllib.",
    "http.", "ftplib.", "smtplib.", "fcntl.", "webbrowser.", "code.", "function.", "marshal.", "pty.", "resource.",
)  # fmt: skip

#: Events of honest models: what estimators do without any change, such as reading the style sheet of their HTML.
HONEST: set[str] = set()
#: Events that do nothing: text is parsed into a tree (to run it would be an "exec"), a traceback shows its source.
_IDLE = {("compile", ast.parse.__code__), ("open", tokenize.open.__code__)}
_ADDRESS = re.compile(" at 0x[0-9a-f]+")
_heard: list[str] | None = None
_is_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _heard is not None and (event in _EVENTS or event.startswith(_FAMILIES)):
        code = sys._getframe(1).f_code
        if (event, code) in _IDLE:
            return
        where = f"{Path(code.co_filename).name}, {code.co_name}"
        what = f"{event} {_ADDRESS.sub('', repr(arguments)[:300])} in {where}"
        if what not in HONEST:
            _heard.append(what)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect the events of a block. A hook cannot be taken away again, so there is one, which mostly sleeps."""
    global _heard, _is_hooked
    if not _is_hooked:
        sys.addaudithook(_hook)
        _is_hooked = True
    _heard = heard = []
    try:
        yield heard
    finally:
        _heard = None


#: Packages whose modules and classes are compared.
_PACKAGES = frozenset(
    {"keepfit", "sklearn", "numpy", "scipy", "pandas", "joblib", "builtins", "os", "sys", "io", "functools", "operator",
     "collections", "copyreg", "pickle", "random", "warnings"}
)  # fmt: skip
#: Attributes that processes of any kind change as they run.
_CHANGING = frozenset({
    "__warningregistry__", "_abc_impl", "last_exc", "last_type", "last_value", "last_traceback", "filters",
    "_filters_version", "onceregistry",
    "__slotnames__",
})  # fmt: skip


class Snapshot:
    """The attributes of all modules and classes of the libraries, and what else belongs to a whole process."""

    def __init__(self) -> None:
        self._owners: dict[int, tuple[str, Any, dict[str, Any]]] = {}
        for name, module in list(sys.modules.items()):
            if isinstance(module, ModuleType) and name.partition(".")[0] in _PACKAGES:
                self._keep(name, module)
                for value in list(vars(module).values()):
                    if isinstance(value, type):
                        self._keep(f"{value.__module__}.{value.__qualname__}", value)
        self._process = _of_process()

    def _keep(self, name: str, owner: Any) -> None:
        if id(owner) not in self._owners:
            self._owners[id(owner)] = (name, owner, dict(vars(owner)))

    def changes(self) -> list[str]:
        """What is no longer as it was."""
        found = [
            f"{name}.{attribute}"
            for name, owner, before in self._owners.values()
            for attribute in _differing(before, vars(owner))
        ]
        return found + [name for name, value in _of_process().items() if value != self._process[name]]


def _differing(before: dict[str, Any], now: Any) -> list[str]:
    return [
        name
        for name in before.keys() | now.keys()
        if name not in _CHANGING
        and before.get(name, before) is not now.get(name, before)
        and not isinstance(now.get(name), ModuleType)  # a submodule that was imported is told by the hook
    ]


def _of_process() -> dict[str, Any]:
    import numpy as np
    import sklearn

    return {
        "the environment": dict(os.environ),
        "the folder": os.getcwd(),
        "sys.path": list(sys.path),
        "numpy's error state": np.geterr(),
        "scikit-learn's configuration": sklearn.get_config(),
        "the umask": os.umask(os.umask(0o022)),
    }
