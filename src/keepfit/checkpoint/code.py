"""What code is: functions, methods and classes.

Code from an installed package is known by its name and the package's release. The user's own is taken as it is:
bytecode, constants, defaults, what closures hold, and all it names in its module, functions and classes in turn. Moving
it in its file, or editing its comments, changes nothing.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from keepfit.checkpoint.effects import written_outside
from keepfit.checkpoint.names import Names, names_in
from keepfit.checkpoint.origins import file_digest, is_importable, release_of, release_of_file
from keepfit.checkpoint.patches import refuse_blind, write_if_set, write_patches
from keepfit.checkpoint.walk import NoIdentityError, Walk, Writer

__all__ = ["CODE_WRITERS", "write_code"]

#: What a class has that says nothing of what it does, or says it twice.
_SKIPPED = frozenset(
    {
        *("__dict__", "__weakref__", "__module__", "__qualname__", "__abstractmethods__", "_abc_impl"),
        *("__annotate__", "__annotate_func__", "__annotations_cache__", "__parameters__"),
        *("__firstlineno__", "__static_attributes__", "__dataclass_fields__", "__dataclass_params__"),
    }
)

_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType, WrapperDescriptorType)


def _write_bytecode(walk: Walk, code: CodeType) -> None:
    walk.mark(b"C", code.co_code)
    walk.mark(b"h", getattr(code, "co_exceptiontable", b""))
    walk.add((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags))
    walk.add((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars))
    walk.add(code.co_consts)


def _write_function(walk: Walk, function: Any) -> None:
    refuse_blind(function)
    walk.met[id(function)] = function
    if _write_by_name(walk, function) or walk.again(function):
        return
    outside = written_outside(function)
    if outside is not None and release_of(function.__globals__.get("__name__", "")) != "python":
        raise NoIdentityError(f"{function.__qualname__} writes to {outside}, which is outside of it")
    walk.mark(b"U")
    _write_bytecode(walk, function.__code__)
    walk.add(function.__defaults__)
    walk.add(function.__kwdefaults__)
    walk.add(function.__doc__)
    walk.add(function.__annotations__)
    for cell in function.__closure__ or ():
        try:
            walk.add(cell.cell_contents)
        except ValueError:  # not filled yet
            walk.mark(b"E")
    walk.add({name: value for name, value in vars(function).items() if name not in _SKIPPED})
    _write_surroundings(walk, function)


def _write_surroundings(walk: Walk, function: Any) -> None:
    names = names_in(function.__code__)
    refuse_blind(function, (*names.globals, *names.attributes), function.__qualname__)
    for name in names.globals:
        if name in function.__globals__:
            walk.text(b"n", name)
            value = function.__globals__[name]
            refuse_blind(value, place=function.__qualname__)
            if isinstance(value, ModuleType):
                _write_used_of(walk, value, names, whole=name in names.bare)
            else:
                walk.add(value)
        elif name in vars(builtins):
            refuse_blind(vars(builtins)[name], place=function.__qualname__)
            write_if_set(walk, builtins, name, vars(builtins)[name])
    for name in names.imports:
        _write_import(walk, name, function)


def _write_used_of(
    walk: Walk, module: ModuleType, names: Names, *, whole: bool, seen: frozenset[int] = frozenset()
) -> None:
    """Of a module of the user's own what the code may use of it; of another one its release, and what was put in it.

    A module that is handed on, as in ``getattr(module, name)``, is used as a whole.
    """
    if id(module) in seen:
        return
    seen |= {id(module)}
    installed = _write_module(walk, module)
    if whole and not installed:
        _write_whole(walk, module)
        return
    for name in (*names.attributes, *names.texts) if whole else names.attributes:
        value = vars(module).get(name, walk)
        if value is walk and not installed:
            value = getattr(module, name, walk)  # by the module's own __getattr__
        if value is walk:
            continue
        if isinstance(value, ModuleType):
            _write_used_of(walk, value, names, whole=name in names.bare, seen=seen)
        elif installed:
            write_if_set(walk, module, name, value)
        else:
            walk.text(b"n", name)
            refuse_blind(value)
            walk.add(value)


def _write_module(walk: Walk, module: ModuleType) -> bool:
    """Write a module's name and release; False for one of the user's own, of which there is more to say."""
    release = release_of(module.__name__)
    walk.text(b"M", f"{module.__name__} {release}")
    return release is not None


#: What the import system puts into each module.
_OF_IMPORT = frozenset(
    {
        *("__builtins__", "__cached__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__"),
    }
)

_WHOLE_NAMES = 2000


def _write_whole(walk: Walk, module: ModuleType) -> None:
    """Write all that a module of the user's own holds."""
    if walk.again(module):
        return
    names = sorted(name for name in vars(module) if name not in _OF_IMPORT)
    if len(names) > _WHOLE_NAMES:
        raise NoIdentityError(f"the module {module.__name__} is used as a whole and holds {len(names):,} names")
    walk.count(b"m", len(names))
    for name in names:
        walk.text(b"n", name)
        try:
            walk.add(vars(module)[name])
        except NoIdentityError as error:
            raise NoIdentityError(
                f"the module {module.__name__} is used as a whole, and so is its {name}: {error}"
            ) from error


def _write_import(walk: Walk, name: str, function: Any) -> None:
    """What a function imports when it runs: loaded modules of the user's own by what is used of them."""
    package = function.__globals__.get("__package__") or ""
    for full in (name, f"{package}.{name}"):  # an import may be relative
        module = sys.modules.get(full)
        if module is not None:
            names = names_in(function.__code__)
            whole = not names.bare.isdisjoint((name, name.rpartition(".")[2]))
            _write_used_of(walk, module, names, whole=whole)
            return
    top = name.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top) if top else None
    except (ImportError, ValueError):
        spec = None
    release = None if spec is None or spec.origin is None else release_of_file(top, spec.origin)
    if spec is not None and release is None:
        raise NoIdentityError(f"{function.__qualname__} imports {name} as it runs; import it at the top of its file")
    walk.text(b"I", f"{name} {release}")


def _write_by_name(walk: Walk, obj: Any) -> bool:
    """Write what an installed package has under a name by that name and release; False for anything else."""
    release = release_of(getattr(obj, "__module__", None) or "")
    if release is None or not is_importable(obj):
        return False
    walk.text(b"N", f"{obj.__module__}:{obj.__qualname__} {release}")
    return True


def _write_class(walk: Walk, cls: Any) -> None:
    new = id(cls) not in walk.met
    walk.met[id(cls)] = cls
    if _write_by_name(walk, cls):
        if new:
            write_patches(walk, cls)
        return
    if walk.again(cls):
        return
    walk.mark(b"k")
    walk.add(cls.__qualname__)
    walk.add(type(cls))
    walk.add(tuple(cls.__bases__))
    for name in sorted(vars(cls), key=str):
        value = vars(cls)[name]
        if name not in _SKIPPED and not isinstance(value, _DESCRIPTORS):
            walk.add(name)
            walk.add(value)


def _write_wrapped(walk: Walk, obj: Any) -> None:
    walk.mark(b"w")
    walk.add(type(obj).__name__)
    walk.add(obj.__func__)


def _write_property(walk: Walk, obj: property) -> None:
    walk.mark(b"v")
    for function in (obj.fget, obj.fset, obj.fdel):
        walk.add(function)


def _write_method(walk: Walk, method: MethodType) -> None:
    walk.mark(b"j")
    walk.add(method.__func__)
    walk.add(method.__self__)


def _write_builtin(walk: Walk, function: Any) -> None:
    refuse_blind(function)
    walk.met[id(function)] = function
    owner = function.__self__
    if owner is not None and not isinstance(owner, ModuleType):
        walk.mark(b"j")
        walk.add(function.__name__)
        walk.add(owner)
    elif not _write_by_name(walk, function):
        _write_compiled(walk, function)


def _write_compiled(walk: Walk, function: Any) -> None:
    """Compiled code of the user's own: the file that holds it."""
    file = getattr(sys.modules.get(getattr(function, "__module__", None) or ""), "__file__", None)
    if file is None:
        raise NoIdentityError(f"{function!r} is compiled code from nowhere")
    walk.text(b"H", f"{function.__qualname__} {file_digest(file)}")


def _write_module_value(walk: Walk, module: ModuleType) -> None:
    if not _write_module(walk, module):
        _write_whole(walk, module)


CODE_WRITERS: dict[type, Writer] = {
    CodeType: _write_bytecode,
    FunctionType: _write_function,
    BuiltinFunctionType: _write_builtin,
    MethodType: _write_method,
    ModuleType: _write_module_value,
    staticmethod: _write_wrapped,
    classmethod: _write_wrapped,
    property: _write_property,
    type: _write_class,
}


def write_code(walk: Walk, obj: Any) -> bool:
    """Write classes with a metaclass, compiled functions, cached functions and properties; False for anything else."""
    if isinstance(obj, type):
        _write_class(walk, obj)
    elif callable(obj) and hasattr(obj, "__wrapped__") and hasattr(obj, "cache_info"):
        walk.mark(b"w", b"cache")
        walk.add(obj.__wrapped__)
    elif type(obj).__name__ == "cached_property" and hasattr(obj, "func"):
        walk.mark(b"w", b"property")
        walk.add(obj.func)
    else:
        return _write_named(walk, obj)
    return True


#: Types of compiled functions, by name: Cython makes one for each module.
_COMPILED = frozenset({"cython_function_or_method", "fused_cython_function", "_ArrayFunctionDispatcher"})


def _write_named(walk: Walk, obj: Any) -> bool:
    """Write compiled functions: NumPy's and SciPy's ufuncs, and functions of Cython modules."""
    if type(obj).__name__ == "ufunc":
        name: str = obj.__name__
        for module in ("numpy", "scipy.special"):
            if getattr(sys.modules.get(module), name, None) is obj:
                walk.text(b"N", f"{module}:{name} {release_of(module)}")
                return True
        raise NoIdentityError(f"{obj!r} was made by numpy.frompyfunc; use the function itself, or numpy.vectorize")
    if type(obj).__name__ not in _COMPILED:
        return False
    walk.met[id(obj)] = obj
    if not _write_by_name(walk, obj):
        _write_compiled(walk, obj)
    return True
