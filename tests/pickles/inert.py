"""C pickle with nothing behind its names: which it asks for, and nothing of theirs runs."""

from __future__ import annotations

import io
import pickle
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import Any

__all__ = ["names_asked"]


def names_asked(data: bytes) -> tuple[set[str], bool]:
    """The names that C pickle resolves as it reads a pickle, and whether it reads it to its end."""
    unpickler = _Inert(data)
    try:
        unpickler.load()
    except Exception:
        return unpickler.asked, False
    return unpickler.asked, True


class _Inert(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.asked: set[str] = set()
        self.has_old_names = data[:1] != b"\x80" or data[1:2] < b"\3"

    def find_class(self, module: str, name: str) -> Any:
        if self.has_old_names:  # Python 2's, which pickle looks up under Python 3's
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        self.asked.add(f"{module}.{name}")
        return _Anything


class _Anything(list):  # type: ignore[type-arg]
    """Takes any arguments, state and items."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)
