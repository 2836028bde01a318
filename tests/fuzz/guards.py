"""The guards of the loader, each with a switch: what comes of a file that only one of them refuses?

A guard is an ``if`` that refuses, in the modules of `GUARDED`, or a rule of a class's attribute. `survey` changes files
as the rig does. Where one is refused, the guard that did so is switched off and the file loaded again; if it loads now,
its methods are called. So each guard is measured on the cases that it alone stands in the way of: a guard without which
the rig finds harm is *needed*, and the rig is sharp enough to tell.

`install` must be called before anything of keepfit is imported.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

__all__ = ["KNOWN", "ONE_PASS", "Found", "install", "survey"]

_CODECS = "keepfit.codecs."
GUARDED = frozenset(
    _CODECS + name
    for name in (
        *("checks.clusters", "checks.encoders", "checks.histogram", "checks.losses", "checks.models"),
        *("checks.neighbors", "checks.rules", "checks.svm", "checks.trees"),
        *("arrays", "dtypes", "layout", "losses", "neighbors", "random", "scientific", "sparse", "tree_nodes"),
        "trees",
    )
)
_RULES, _TREE_NODES = _CODECS + "checks.rules", _CODECS + "tree_nodes"
_REFUSALS = frozenset({"refuse", "InvalidStateError", "VersionError"})
#: All guards that have been imported.
KNOWN: list[str] = []

_off: str | None = None
_refused: list[str] = []


def guard(name: str, is_wrong: Any) -> bool:
    """Whether to refuse: what is wrong counts unless the guard is off."""
    if not is_wrong or name == _off:
        return False
    _refused.append(name)
    return True


class _Switches(ast.NodeTransformer):
    """Puts a switch into each ``if`` that does nothing but refuse."""

    def __init__(self, module: str) -> None:
        self._module = module.removeprefix(_CODECS)

    def visit_If(self, node: ast.If) -> ast.If:
        self.generic_visit(node)
        message = _message_of(node.body[-1]) if len(node.body) == 1 else None
        if message is not None:
            name = f"{self._module}:{node.lineno} {message[:70]}"
            KNOWN.append(name)
            call = ast.Call(ast.Name("_guard", ast.Load()), [ast.Constant(name), node.test], [])
            node.test = ast.copy_location(call, node.test)
        return node


def _message_of(statement: ast.stmt) -> str | None:
    """What a statement that refuses says; None for another statement."""
    call = statement.exc if isinstance(statement, ast.Raise) else getattr(statement, "value", None)
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in _REFUSALS:
        return None
    return ast.unparse(call.args[0]).removeprefix("f").strip("'\"") if call.args else ""


class _Loader(SourceFileLoader):
    def source_to_code(self, data: Any, path: Any, **_: Any) -> CodeType:  # type: ignore[override]
        tree = _Switches(self.name).visit(ast.parse(data, path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def get_code(self, name: str) -> CodeType:  # not the one that lies compiled beside the source
        path = self.get_filename(name)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["_guard"] = guard
        super().exec_module(module)
        if module.__name__ == _TREE_NODES:
            module.__dict__["kernel"] = None  # one check that stands before several guards, and has no switches
        if module.__name__ == _RULES:
            module.__dict__["in_range"] = _once_mistaken(module.__dict__["in_range"])
            module.__dict__["Check"]._refuse = _switched(module.__dict__["Check"]._refuse)


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in GUARDED else None
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec


ONE_PASS = "rules: in_range in one pass, as it once was"


def _once_mistaken(in_range: Callable[..., bool]) -> Callable[..., bool]:
    """`in_range` as it is, and with its guard off as it was: negative numbers were compared without their signs."""
    KNOWN.append(ONE_PASS)

    def both(array: Any, stop: int, start: int = 0) -> bool:
        is_fine = in_range(array, stop, start)
        if is_fine or start or array.dtype.kind != "i":
            return is_fine
        passed = bool(array.view(f"u{array.dtype.itemsize}").max() < stop)
        return passed and not guard(ONE_PASS, is_wrong=True)

    return both


def _switched(refuse: Callable[..., None]) -> Callable[..., None]:
    def switched(self: Any, attribute: str, text: str, dims: Any) -> None:
        if guard(f"{self.name.removeprefix('sklearn.')}.{attribute} {text}", is_wrong=True):
            refuse(self, attribute, text, dims)

    return switched


def install() -> None:
    """Give the guards of all modules that are imported from now on their switches."""
    assert not GUARDED & sys.modules.keys()
    sys.meta_path.insert(0, _Finder())


@dataclass
class Found:
    """Of each guard: how many cases it refused, how many it alone, how many of these were tried, and the first harm."""

    cases: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)
    harm: dict[str, str] = field(default_factory=dict)


#: What is tried of a guard without which nothing bad happens.
_TRIES = 150


def survey(subjects: Iterable[Any], numbers: range, seed: int, found: Found, case_s: float = 2.0) -> Iterator[str]:
    """Measure all guards on changed files.

    Parameters
    ----------
    subjects : iterable of Subject
    numbers : range
        Which cases of each subject.
    seed : int
        The same seed, subjects and numbers make the same cases.
    found : Found
        What is counted is counted here.
    case_s : float, default=2.0
        Processor time of one case.

    Yields
    ------
    str
        The label of each subject that is done.
    """
    import cases
    from children import in_child

    chosen = list(subjects)
    donors = [subject.graph for subject in chosen]
    cases.prepare((subject.file, subject.X, subject.y) for subject in chosen)
    for subject in chosen:
        todo = list(numbers)
        while todo:

            def work(tell: Callable[..., None], start: Callable[[], None], todo: list[int] = todo) -> None:
                for number in todo:
                    start()
                    _try(subject, donors, f"{seed} {subject.label} {number}", found, tell)  # noqa: B023
                    tell("done")

            told = in_child(work, case_s)
            trying = _note(found, told.told)
            done = sum(what == ["done"] for what in told.told)
            found.cases += done
            todo = todo[done:]
            if told.how and todo:
                if trying is not None:
                    found.harm.setdefault(trying, f"{told.how} ({subject.label})")
                todo = todo[1:]
        yield subject.label


def _note(found: Found, told: list[Any]) -> str | None:
    """Count what a child told; the guard that was being tried when it ended, if one was."""
    trying: str | None = None
    for what, *more in told:
        if what == "done":
            trying = None
        elif what == "trying":
            trying = more[0]
            found.tried[more[0]] += 1
        elif what == "harm":
            found.harm.setdefault(*more)
        else:
            getattr(found, what)[more[0]] += 1
    return trying


def _try(subject: Any, donors: list[Any], seed: str, found: Found, tell: Callable[..., None]) -> None:
    import random

    import cases
    import mutations

    import keepfit
    from keepfit.artifact import to_bytes

    global _off
    number = random.Random(seed).getrandbits(48)
    graph, _ = mutations.mutate(subject.graph, number, donors)
    _off = None
    _refused.clear()
    try:
        file = to_bytes(graph, {})
        keepfit.loads(file)
    except Exception:  # some graphs are none that a writer writes
        if not _refused:
            return
        name = ONE_PASS if ONE_PASS in _refused[-2:] else _refused[-1]  # what asks it has refused after it
    else:
        return
    tell("refused", name)
    if name in found.harm or found.alone[name] >= _TRIES:
        return
    _off = name
    try:
        keepfit.loads(file)
    except Exception:  # another guard, or the library itself
        return
    finally:
        _off = None
    tell("alone", name)
    _off = name
    tell("trying", name)
    outcome = cases.try_file(file, subject.X, subject.y, number)
    if outcome.harm:
        tell("harm", name, f"{outcome.harm} ({subject.label})")
    _off = None
