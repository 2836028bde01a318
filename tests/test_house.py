"""The rules of the house: who imports whom, how large things may be, what the documents say."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import keepfit
from keepfit.graph import LIMITS, Limits

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "keepfit"
MODULES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}

#: Which room each module is in, and how far right the room lies: imports go leftwards only. Rooms of the same number
#: do not know each other.
RANKS = {
    "errors": 0,
    "graph": 1,
    "artifact": 2,
    "codecs": 2,
    "facts": 3,
    "pickles": 3,
    "persistence": 4,
    "inspection": 4,
    "store": 5,
    "checkpoint": 6,
    "search": 7,
    "serve": 7,
    "cli": 8,
    "hub": 8,
    "mlflow": 8,
    "mlserver": 8,
}
ROOM_OF_MODULE = {
    "conversion": "persistence",
    "opening": "persistence",
    "search_keeping": "search",
    "search_results": "search",
    "__main__": "cli",
}

#: Modules and functions that are larger than the house allows, each with its reason.
LARGE_MODULES: dict[str, str] = {}
LARGE_FUNCTIONS: dict[str, str] = {}
MANY_PARAMETERS = {
    "keepfit.search.ModelSearchCV.__init__": "scikit-learn's convention: every choice of an estimator is a parameter",
}
MODULE_LINES, FUNCTION_LINES, PARAMETERS = 400, 50, 8

FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}
LIBRARIES = ("sklearn", "joblib", "numpy")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def room_of(module: str) -> str | None:
    """The room of a module of keepfit; None for the face of the package, which knows all."""
    parts = module.split(".")
    return ROOM_OF_MODULE.get(parts[1], parts[1]) if len(parts) > 1 else None


def imported(module: str) -> Iterator[str]:
    """The modules that a module imports, wherever it does; of ``from a import b`` both ``a`` and ``a.b``."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            name = ".".join([*above, *filter(None, [node.module])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)
        elif is_call_of(node, "import_module") and isinstance(node.args[0], ast.Constant):  # type: ignore[attr-defined]
            yield str(node.args[0].value)  # type: ignore[attr-defined]


def is_call_of(node: ast.AST, name: str) -> bool:
    if not (isinstance(node, ast.Call) and node.args):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called == name


# Structure


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_leftwards(module: str) -> None:
    room = room_of(module)
    if room is None:
        return
    assert room in RANKS, f"{module} is in no room; ARCHITECTURE.md and this table say which there are"
    for name in imported(module):
        other = room_of(name) if name.startswith("keepfit.") else None
        if other in RANKS and other != room:
            assert RANKS[other] < RANKS[room], f"{module} imports {name}"


def test_serving_and_searching_never_meet() -> None:
    for module in MODULES:
        if room_of(module) == "serve":
            assert not {room_of(name) for name in imported(module)} & {"checkpoint", "search"}, module


def test_every_room_of_the_table_exists() -> None:
    assert {room_of(module) for module in MODULES} - {None} == set(RANKS)


@pytest.mark.parametrize("module", MODULES)
def test_no_module_has_a_name_that_says_nothing(module: str) -> None:
    assert not FORBIDDEN_NAMES & set(re.split(r"[._]", module))


@pytest.mark.parametrize("module", MODULES)
def test_private_names_of_libraries_are_touched_in_seams_only(module: str) -> None:
    if module.endswith("_seam"):
        return
    private = {name for name in imported(module) if is_private_of_a_library(name)}
    aliases = {"np": "numpy"} | {library: library for library in LIBRARIES}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            name = ast.unparse(node)
            if name.split(".")[0] in aliases and re.fullmatch(r"[\w.]+", name):
                private.add(name)
    assert not private, f"{module} touches {sorted(private)}; that belongs in a module named *_seam.py"


def is_private_of_a_library(name: str) -> bool:
    top, *rest = name.split(".")
    return top in LIBRARIES and any(part.startswith("_") and not part.startswith("__") for part in rest)


def test_every_seam_says_which_names_and_versions_it_is_for() -> None:
    for module in MODULES:
        if module.endswith("_seam"):
            words = ast.get_docstring(tree_of(module)) or ""
            assert "rivate" in words, module
            assert re.search(r"\d+\.\d+|``_", words), module


# Size


@cache
def code_lines(source: str) -> set[int]:
    """The lines that hold code: not blank, not comment, not docstring."""
    lines: set[int] = set()
    skip = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skip:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            assert node.end_lineno is not None
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return lines


def functions_of(module: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            inner = f"{name}.{child.name}" if hasattr(child, "name") else name
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield inner, child
            yield from walk(child, inner)

    return walk(tree_of(module), module)


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_are_of_a_size_to_be_read(module: str) -> None:
    lines = code_lines(MODULES[module].read_text())
    if module not in LARGE_MODULES:
        assert len(lines) <= MODULE_LINES, f"{module} has {len(lines)} lines of code"
    for name, function in functions_of(module):
        assert function.end_lineno is not None
        count = len(lines & set(range(function.lineno, function.end_lineno + 1)))
        if name not in LARGE_FUNCTIONS:
            assert count <= FUNCTION_LINES, f"{name} has {count} lines of code"
        names = [
            argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
        ]
        count = len([name for name in names if name not in ("self", "cls")])
        if name not in MANY_PARAMETERS:
            assert count <= PARAMETERS, f"{name} has {count} parameters"


def test_every_stated_exception_is_needed() -> None:
    assert all(len(code_lines(MODULES[module].read_text())) > MODULE_LINES for module in LARGE_MODULES)
    functions = {name: function for module in MODULES for name, function in functions_of(module)}
    assert {*LARGE_FUNCTIONS, *MANY_PARAMETERS} <= functions.keys()


# The tests


def test_rooms_of_tests_can_be_run_in_one_call() -> None:
    """Modules of tests are found by their names alone: two of one name would be one, and so would two conftests."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    names = [path.name for path in files if path.name != "conftest.py"]
    assert len(set(names)) == len(names)
    for path in files:
        modules = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
        assert "conftest" not in modules, path


# The face


def run_python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_keepfit_imports_nothing_heavy() -> None:
    heavy = ("sklearn", "scipy", "sqlalchemy", "pandas", "polars", "rich", "click", "fsspec", "joblib", "cloudpickle")
    loaded = run_python("import sys, keepfit; keepfit.dump; keepfit.inspect; print(*sys.modules)").split()
    assert not set(heavy) & set(loaded)
    assert "keepfit.codecs._tree_kernel" not in loaded


def test_the_face_has_at_most_fifteen_names_and_each_leads_somewhere() -> None:
    assert len(keepfit.__all__) <= 15
    assert len(set(keepfit.__all__)) == len(keepfit.__all__)
    assert all(getattr(keepfit, name) is not None for name in keepfit.__all__)
    assert set(keepfit.__all__) <= set(dir(keepfit))
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        keepfit.nothing_of_this_name


def public_functions(name: str) -> Iterator[tuple[str, Any]]:
    """A function of the face, or a class and its methods."""
    value = getattr(keepfit, name)
    if inspect.isfunction(value):
        yield name, value
    elif inspect.isclass(value) and not issubclass(value, Exception):
        yield name, value
        for method, function in vars(value).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                yield f"{name}.{method}", function


@pytest.mark.parametrize("face", keepfit.__all__)
def test_what_is_public_is_documented_as_numpydoc_has_it(face: str) -> None:
    for name, value in public_functions(face):
        text = inspect.getdoc(value) or ""
        assert text, f"{name} has no docstring"
        for parameter in inspect.signature(value).parameters:
            if parameter not in ("self", "cls"):
                assert "Parameters\n----------" in text, f"{name} has no Parameters"
                assert re.search(rf"\b{parameter}\b", text), f"{name} does not tell of {parameter}"
        if not inspect.isfunction(value):
            continue
        returns = inspect.signature(value).return_annotation
        if returns not in (inspect.Signature.empty, None, "None", "NoReturn"):
            assert re.search(r"(Returns|Yields)\n-+\n", text), f"{name} does not tell what it returns"
        if re.search(r"^\s+raise \w", inspect.getsource(value), re.MULTILINE):
            assert re.search(r"Raises\n-+\n", text), f"{name} does not tell what it raises"


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if ">>> " in path.read_text()])
def test_the_examples_in_docstrings_are_true(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(tree_of(module))


# The documents


def snippets(file: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / file).read_text(), re.MULTILINE | re.DOTALL)


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    code = "\n".join(snippets("README.md", "python"))
    assert "keepfit.dump" in code
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent), "PYTHONWARNINGS": "error::keepfit.KeepfitWarning"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_examples_of_the_library_page_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # and back afterwards: the page makes a folder of its own
    found = doctest.testfile(str(ROOT / "docs" / "library.md"), module_relative=False)
    assert found.attempted
    assert not found.failed


def test_the_library_page_names_all_that_there_is() -> None:
    paragraph = (ROOT / "docs" / "library.md").read_text().split("`help(")[0]
    assert set(re.findall(r"`(\w+)`", paragraph)) == {"keepfit", *keepfit.__all__}


def test_the_commands_of_the_readme_exist() -> None:
    from keepfit.cli.application import COMMANDS

    lines = [line for text in snippets("README.md", "sh") for line in text.splitlines()]
    commands = {line.split()[1] for line in lines if line.startswith("keepfit ")}
    assert commands
    assert commands <= set(COMMANDS)
    targets = {line.split()[1] for line in lines if line.startswith("make ")}
    assert {"demo", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_the_readme_fits_on_a_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


def test_the_limits_in_the_security_document_are_the_limits() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    stated = {name: int(value.replace(",", "")) for name, value in rows}
    assert stated == {field.name: getattr(LIMITS, field.name) for field in fields(Limits)}


def test_the_capabilities_in_the_security_document_are_the_capabilities() -> None:
    from keepfit.persistence import CAPABILITIES

    rows = re.findall(r'^\| `"(\w+)"` \|', (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    assert set(rows) == CAPABILITIES


def test_the_architecture_names_every_room_in_the_order_of_imports() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    places = [re.search(rf"^\| `{room}(\.py|/)` \|", text, re.MULTILINE) for room in RANKS]
    assert all(places)
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)


def test_links_between_documents_lead_somewhere() -> None:
    for file in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name} links to {target}"


def test_the_changelog_tells_of_the_version_in_pyproject() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text()
