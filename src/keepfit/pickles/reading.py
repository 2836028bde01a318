"""What the tables of constructors read a record's parts with: each is of a type they name, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from keepfit.errors import InvalidStateError, UntrustedError
from keepfit.pickles.values import MISSING, Instance, Mapping, described

__all__ = ["Maker", "Reader", "entries_of", "no_more", "refused", "state_of", "text_of"]


class Reader(Protocol):
    """What stands behind a record, as far as it is plain data."""

    def live(self, value: Any, *types: type) -> Any:
        """The plain value of one of these types that a value of the stream stands for."""

    def value_of(self, value: Any) -> Any:
        """The plain value that a value of the stream stands for; itself where it stands for none."""

    def type_name(self, value: Any) -> str:
        """The name in keepfit's tables of a class that the stream names."""

    def note_copied(self, values: Iterable[Any]) -> None:
        """Note that a record takes copies of values: a small pickle could name large ones for any number of records.

        Raises
        ------
        InvalidStateError
            If large values are copied again and again.
        """


#: Makes of a record a live value of our own, or a `Node` whose fields are values of the stream.
Maker = Callable[[Reader, Instance], Any]

_FIELDS_MAX = 10_000


def refused(what: str, record: Instance) -> UntrustedError:
    """The error for a structure outside the tables, which no trust opens."""
    return UntrustedError(f"the pickle has {what} (byte {record.place:,})")


def no_more(record: Instance, *, state: bool = False, items: bool = False, entries: bool = False) -> None:
    """Refuse a record that has been given more than the tables know for it."""
    if record.kwargs is not None and len(record.kwargs):
        raise refused(f"named arguments for {record.name}", record)
    for known, given, what in (
        (state, record.state is not MISSING, "a state"),
        (items, bool(record.items), "items"),
        (entries, record.entries is not None and len(record.entries) > 0, "keys"),
    ):
        if given and not known:
            raise refused(f"{what} for {described(record)}, which has none as Python writes it", record)


def state_of(record: Instance, *, required: bool = True) -> dict[str, Any]:
    """The state of a record that is a dict with strings for keys."""
    state = record.state
    if (state is MISSING or state is None) and not required:
        return {}
    return entries_of(state)


def entries_of(value: Any) -> dict[str, Any]:
    """A dict of the stream whose keys are strings, each once."""
    if type(value) is not Mapping or set(map(type, value.keys)) - {str} or len(value) > _FIELDS_MAX:
        raise InvalidStateError(f"{described(value)} in place of a dict of named values")
    found = dict(zip(value.keys, value.items, strict=True))
    if len(found) != len(value):
        raise InvalidStateError("a dict of named values names one twice")
    return found


def text_of(value: Any, *allowed: str) -> str:
    """A string, one of those allowed where any are given."""
    if type(value) is not str or (allowed and value not in allowed):
        raise InvalidStateError(f"{described(value)} in place of {' or '.join(map(repr, allowed)) or 'a text'}")
    return value
